//! Bytes that are given to a scratch server because it may not, or cannot, see the file they come from.

use std::path::Path;

use super::{Scratch, StartError, UNPACKED, judge_ending};
use crate::docker::{ExecResult, StdinMode};
use crate::domain::backup::{Manifest, Packing};
use crate::job::JobContext;
use crate::job::opened::{Opened, Rest};
use crate::job::server::{self, FeedError, Flow, Patience, feed_exec};
use crate::job::verify::VerifyError;
use crate::postgres::scratch::ScratchPlan;
use crate::store::StoreError;

impl Scratch {
    /// Opens a sealed file into the scratch. Its bytes are those that were written: where they do not open, they never did.
    pub(super) async fn unseal(
        &self,
        context: &JobContext,
        manifest: &Manifest,
        path: &Path,
    ) -> Result<(), StartError> {
        let mut opened = Opened::open(context, &Rest::Disk(path.to_owned())).await?;
        let spooled = self.spool(context, manifest.packing, &mut opened).await;
        let finished = opened.finish().await?;
        if finished.sha256 != manifest.stored_sha256 {
            // They were the right ones a moment ago.
            let path = path.to_owned();
            return Err(StoreError::Altered { path }.into());
        }
        match finished.broken {
            Some(error) => Err(StartError::Undecodable(error.to_string())),
            None => spooled,
        }
    }

    /// It restores what is going to be spooled.
    pub(in crate::job::verify) fn expecting_a_stream(mut self) -> Self {
        self.file = UNPACKED;
        self
    }

    /// Writes an archive into the scratch, unpacked where it is packed from outside.
    pub(in crate::job::verify) async fn spool(
        &self,
        context: &JobContext,
        packing: Packing,
        archive: &mut (impl Flow + Send),
    ) -> Result<(), StartError> {
        let command = ScratchPlan::spool_command(packing, UNPACKED);
        let asked = server::request(command, StdinMode::Attached);
        let begun = context.docker.exec(&self.container, asked).await;
        let begun = begun.map_err(VerifyError::Docker)?;
        // It writes to a disk, and unpacks at most.
        let fed = feed_exec(context, begun, Patience::Silence, archive, |_printed| {}).await;
        let fed = fed.map_err(|error| match error {
            FeedError::Docker(error) => VerifyError::Docker(error),
            FeedError::Silent { .. } => VerifyError::Scratch {
                operation: "could not take the archive",
                said: error.to_string(),
            },
        })?;
        self.expect_room(&ExecResult {
            code: fed.code,
            stdout: String::new(),
            stderr: fed.stderr.clone(),
        })?;
        judge_ending(fed.code, &fed.stderr)
    }
}
