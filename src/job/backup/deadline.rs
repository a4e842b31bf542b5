//! The time one backup may take from its lock to its manifest, whatever it waits for.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::BackupError;

/// What a backup is at, for the sentence that tells where its time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another writer of the database is waited for.
    Lock,
    /// The dump and its digests.
    Dump,
    /// It gave way to an ALTER and stays away for a while.
    Pause,
    /// The stored file is read back.
    ArchiveCheck,
}

impl Step {
    /// In the failure's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "the wait for the database's lock",
            Self::Dump => "the dump",
            Self::Pause => "the pause after giving way",
            Self::ArchiveCheck => "the archive check",
        }
    }
}

/// The end of the patience with one backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    limit: Duration,
    at: Instant,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        let at = Instant::now() + limit;
        Self { limit, at }
    }

    /// One step of the work, ended when the time is over.
    pub(super) async fn bound<T, E>(
        self,
        step: Step,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BackupError>
    where
        BackupError: From<E>,
    {
        match timeout_at(self.at, work).await {
            Ok(ended) => Ok(ended?),
            Err(_elapsed) => Err(BackupError::Deadline {
                step,
                limit: self.limit,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_outlasts_the_time_is_ended_and_named() {
        let deadline = Deadline::after(Duration::from_millis(20));
        let quick = deadline.bound(Step::Dump, async { Ok::<_, BackupError>(1) });
        assert_eq!(quick.await.unwrap(), 1);
        let slow = std::future::pending::<Result<(), BackupError>>();
        let error = deadline.bound(Step::ArchiveCheck, slow).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("was ended during the archive check")
                && said.contains("STACKWARDEN_DEADLINE"),
            "{said}"
        );
    }
}
