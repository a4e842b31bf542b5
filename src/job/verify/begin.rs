//! A scratch server for a proof, or why there is none.

use std::path::Path;

use super::findings::Findings;
use super::scratch::{Model, Place, Scratch, StartError, Stored};
use super::{VerifyError, VerifyPlan, bounds};
use crate::domain::backup::{Backup, Level};
use crate::job::{JobContext, Run};

/// What is proven, by which file.
pub(super) struct Proving<'a> {
    pub(super) plan: &'a VerifyPlan,
    pub(super) backup: &'a Backup,
    pub(super) archive: &'a Path,
}

/// A scratch server, or what is known without one.
pub(super) enum Begun {
    Scratch(Box<Scratch>),
    Settled(Box<Findings>),
}

/// Starts it where its data is to be.
pub(super) async fn begin(
    context: &JobContext,
    run: &Run,
    proving: &Proving<'_>,
    place: Place,
) -> Result<Begun, VerifyError> {
    let Proving {
        plan,
        backup,
        archive,
    } = proving;
    if let Some(shortage) = bounds::find_lack(context, &backup.manifest, place) {
        return Ok(Begun::settled(Findings::without_room(shortage)));
    }
    let model = Model::find(plan.server.as_ref(), &backup.manifest);
    let model = model.ok_or_else(|| VerifyError::NoServer {
        database: plan.database.clone(),
    })?;
    let stored = Stored {
        manifest: &backup.manifest,
        path: archive,
    };
    match Scratch::start(context, run, model, &stored, place).await {
        Ok(scratch) => Ok(Begun::Scratch(Box::new(scratch))),
        Err(StartError::Unserved(said)) => {
            let reason = format!("its image cannot run a scratch server: {said}");
            Ok(Begun::settled(Findings::stepped_down(
                Level::Archive,
                reason,
            )))
        }
        Err(StartError::Undecodable(said)) => {
            let what = format!("its zstd stream does not unpack: {said}");
            let file = &backup.manifest.file;
            Ok(Begun::settled(Findings::wrong_bytes(&what, file)))
        }
        Err(StartError::Verify(error)) => Err(error),
    }
}

impl Begun {
    fn settled(findings: Findings) -> Self {
        Self::Settled(Box::new(findings))
    }
}
