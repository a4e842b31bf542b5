//! How a scratch server, or a program in it, ended, and what that says.

use super::Scratch;
use crate::docker::ExecResult;
use crate::domain::failure::{bounded, chain};
use crate::job::JobContext;
use crate::job::verify::VerifyError;
use crate::postgres::scratch::is_unfit;

/// Code of the start script for an image that it cannot serve.
const UNSERVED: i64 = 64;
/// What every program says where a disk, or the memory that stands for one, is full.
const NO_ROOM: &str = "No space left on device";

/// Why no scratch server stands.
pub(in crate::job::verify) enum StartError {
    /// The image cannot be served; the level steps down.
    Unserved(String),
    /// The stored stream does not unpack: the backup is refuted.
    Undecodable(String),
    /// Anything else.
    Verify(VerifyError),
}

impl<E: Into<VerifyError>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self::Verify(error.into())
    }
}

impl Scratch {
    /// A scratch that ended by itself cannot prove anything.
    pub(in crate::job::verify) async fn check_alive(
        &self,
        context: &JobContext,
    ) -> Result<(), StartError> {
        // Asked, not waited for: with no time at all the engine would hardly ever answer, and the dead would pass for living.
        match context.docker.find_exit(&self.container).await {
            Ok(None) => Ok(()),
            Ok(Some(exit)) if exit.code == UNSERVED => {
                Err(StartError::Unserved(self.last_words(context).await))
            }
            Ok(Some(exit)) if exit.out_of_memory => {
                let said =
                    "the kernel killed it for lack of memory; raise STACKWARDEN_PROOF_MEMORY"
                        .to_owned();
                Err(ended(said).into())
            }
            Ok(Some(_)) => Err(self.judge_ending(self.last_words(context).await)),
            Err(error) => Err(VerifyError::Docker(error).into()),
        }
    }

    /// What happens once is no property of the image: a full disk, a kill. The proof is tried again then.
    fn judge_ending(&self, said: String) -> StartError {
        if said.contains(NO_ROOM) {
            let place = self.place;
            return VerifyError::Full { place, said }.into();
        }
        if is_unfit(&said) {
            return StartError::Unserved(said);
        }
        ended(said).into()
    }

    /// A full place says nothing about the backup; another place may have room.
    pub(in crate::job::verify) fn expect_room(&self, ran: &ExecResult) -> Result<(), VerifyError> {
        if ran.end().is_success() || !ran.stderr.contains(NO_ROOM) {
            return Ok(());
        }
        Err(VerifyError::Full {
            place: self.place,
            said: bounded(ran.stderr.trim(), 1_000),
        })
    }

    pub(super) async fn last_words(&self, context: &JobContext) -> String {
        match context.docker.logs_tail(&self.container, 10).await {
            Ok(said) => bounded(said.trim(), 1_000),
            Err(error) => chain(&error),
        }
    }
}

fn ended(said: String) -> VerifyError {
    let operation = "ended";
    VerifyError::Scratch { operation, said }
}

/// Turns an exit code into an error with what was said.
pub(in crate::job::verify) fn expect_success(
    operation: &'static str,
    ran: &ExecResult,
) -> Result<(), VerifyError> {
    if ran.end().is_success() {
        return Ok(());
    }
    Err(VerifyError::Scratch {
        operation,
        said: bounded(ran.stderr.trim(), 1_000),
    })
}
