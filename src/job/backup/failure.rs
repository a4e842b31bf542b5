//! Why a backup failed, in the words that people read.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::deadline::Step;
use crate::archive::SealError;
use crate::docker::DockerError;
use crate::domain::failure::chain;
use crate::domain::id::ServiceName;
use crate::domain::room::Shortage;
use crate::domain::unit::format_age;
use crate::job::Stopped;
use crate::job::opened::OpenedError;
use crate::job::server::ServerError;
use crate::postgres::PostgresError;
use crate::store::StoreError;

/// Why a backup of one database failed.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The backup folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A program ended with an error.
    #[error("{program} failed with code {code}")]
    Program {
        /// Which.
        program: &'static str,
        /// Its exit code.
        code: i64,
        /// What it said.
        #[source]
        source: PostgresError,
    },
    /// The image cannot dump.
    #[error(
        "the image of service {service} has no {program}; use one with PostgreSQL's client programs"
    )]
    MissingProgram {
        /// The service.
        service: ServiceName,
        /// Which program.
        program: &'static str,
    },
    /// The stream broke, or its end could not be learned: what was written is not trusted.
    #[error("the output of {program} broke off; the backup is not trusted and was removed")]
    Stream {
        /// Which program.
        program: &'static str,
        /// Why.
        #[source]
        source: DockerError,
    },
    /// Nothing came for too long.
    #[error(
        "{program} gave no byte for {silent_for:?} and was ended; look for locks in pg_stat_activity, or raise STACKWARDEN_SILENCE"
    )]
    Silent {
        /// Which program.
        program: &'static str,
        /// So long.
        silent_for: Duration,
    },
    /// It took too long altogether.
    #[error(
        "the backup was not done after {} and was ended during {}; look what keeps it in pg_stat_activity, or raise STACKWARDEN_DEADLINE",
        format_age(*.limit), .step.as_str()
    )]
    Deadline {
        /// What it was at.
        step: Step,
        /// The limit.
        limit: Duration,
    },
    /// The disk would be full.
    #[error(
        "the backup folder {} has too little room for a backup of the size of the last one ({shortage}); free some, or shorten stackwarden.backup.keep; nothing was begun",
        .folder.display()
    )]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// How much is missing.
        shortage: Shortage,
    },
    /// Somebody waited for a table that the dump held.
    #[error(
        "the dump gave way {times} times, each time after {} in which {statement} on {relation} waited for it; take the backup when nobody changes tables, or raise STACKWARDEN_YIELD",
        format_age(*.waited)
    )]
    GaveWay {
        /// What kind of statement waited.
        statement: &'static str,
        /// For which table.
        relation: String,
        /// So long.
        waited: Duration,
        /// So often.
        times: usize,
    },
    /// Every table of the snapshot changed its storage again and again.
    #[error("tables were truncated or rewritten while the dump began: {}", .tables.join(", "))]
    Slipped {
        /// Which.
        tables: Vec<String>,
    },
    /// The role may not see everything.
    #[error(
        "role {user} may not bypass row security, so its dump could lack rows; use a superuser or ALTER ROLE {user} BYPASSRLS"
    )]
    Rights {
        /// The role.
        user: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] std::io::Error),
    /// We were told to stop.
    #[error("told to stop")]
    Cancelled,
}

impl From<Stopped> for BackupError {
    fn from(_stopped: Stopped) -> Self {
        Self::Cancelled
    }
}

impl From<OpenedError> for BackupError {
    fn from(error: OpenedError) -> Self {
        match error {
            OpenedError::Store(error) => Self::Store(error),
            // What is taken is read back from the disk, and with our own identity.
            other => {
                let told = std::io::Error::other(chain(&other));
                Self::Store(StoreError::from_io("read", "the stored file", told))
            }
        }
    }
}

impl BackupError {
    pub(in crate::job) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Server(ServerError::Cancelled))
    }
}
