//! Why a restore failed, in the words that people read. Whatever it is, the live database is as it was.

use std::time::Duration;

use thiserror::Error;

use crate::domain::backup::Series;
use crate::domain::id::{BackupId, DatabaseName, ProjectName, ServiceName};
use crate::domain::restore::ChoiceError;
use crate::domain::room::Shortage;
use crate::domain::unit::format_age;
use crate::job::Stopped;
use crate::job::backup::BackupError;
use crate::job::opened::OpenedError;
use crate::job::server::ServerError;
use crate::job::verify::VerifyError;
use crate::store::StoreError;
use crate::store::codec::CodecError;
use crate::store::s3::S3Error;

/// Why nothing was restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// There is no such backup.
    #[error("there is no backup {id} of {series}; see `stackwarden backups`")]
    Missing {
        /// The id.
        id: BackupId,
        /// Of what.
        series: Series,
    },
    /// Another project has nothing here.
    #[error(
        "there is no backup of project {project} here; check its name, and where it has another STACKWARDEN_S3_PREFIX name that with --prefix"
    )]
    NothingElsewhere {
        /// Which.
        project: ProjectName,
    },
    /// What is meant of another project's is not clear.
    #[error("project {project}")]
    Elsewhere {
        /// Which.
        project: ProjectName,
        /// Why.
        #[source]
        source: ChoiceError,
    },
    /// Its server is not part of the stack now.
    #[error(
        "service {service} is not there; start it first: docker compose up -d --wait {service}"
    )]
    NoServer {
        /// The service.
        service: ServiceName,
    },
    /// There is no server at all.
    #[error(
        "no database server of this stack is there; start it first: docker compose up -d --wait SERVICE"
    )]
    NoServers,
    /// Several servers, and nobody said which.
    #[error("{} could take it; say which with --database SERVICE/DATABASE", .known.join(" and "))]
    NoChoice {
        /// The servers.
        known: Vec<String>,
    },
    /// The file of a backup of roles.
    #[error("{file} holds roles; name a backup of a database, its roles are restored with it")]
    OnlyRoles {
        /// The file.
        file: String,
    },
    /// A manifest beside a file that cannot be read.
    #[error("the manifest {file} cannot be read")]
    Manifest {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// The name is taken.
    #[error(
        "database {name} exists already and nothing is restored over it; choose another name with --into, or drop it first"
    )]
    Taken {
        /// The name.
        name: DatabaseName,
    },
    /// The copy does not fit.
    #[error(
        "there is too little room for a copy where service {service} keeps its data: {shortage}; free some, or remove what earlier swaps kept: stackwarden restore --drop"
    )]
    NoRoom {
        /// The service.
        service: ServiceName,
        /// How much.
        shortage: Shortage,
    },
    /// It takes no writes.
    #[error("service {service} is a standby and takes no writes; restore on its primary")]
    Standby {
        /// The service.
        service: ServiceName,
    },
    /// Locks are held in it.
    #[error(
        "database postgres cannot be swapped, since what excludes others is held in it; restore it with --into NAME and rename it yourself"
    )]
    Maintenance,
    /// The login may enter no other database than the one to be swapped.
    #[error(
        "database {database} cannot be swapped: the login may not enter database postgres, so that what excludes others is held in {database} itself; GRANT CONNECT ON DATABASE postgres to it, or restore with --into NAME and rename it yourself"
    )]
    Within {
        /// The database.
        database: DatabaseName,
    },
    /// Something forbids the swap.
    #[error("database {database} cannot be swapped while there is {}; nothing was changed", .obstacles.join(" and "))]
    Forbidden {
        /// The database.
        database: DatabaseName,
        /// What.
        obstacles: Vec<String>,
    },
    /// Nothing would be left to go back to.
    #[error("no backup of {database} could be taken first, so nothing was changed")]
    Unsafe {
        /// The database.
        database: DatabaseName,
        /// Why.
        #[source]
        source: Box<BackupError>,
    },
    /// It does not restore.
    #[error("it could not be restored, and the copy was removed: {said}")]
    Refused {
        /// In the program's words.
        said: String,
    },
    /// There is no bucket to restore from.
    #[error(
        "no bucket is set, and backups on s3 are in one; set STACKWARDEN_S3_BUCKET and its key"
    )]
    NoBucket,
    /// The bucket could not be read.
    #[error(
        "the backup could not be read from the bucket, and nothing was changed; ask again, or restore from disk"
    )]
    Bucket(#[from] S3Error),
    /// Roles that are not what was written.
    #[error(
        "{file}, the roles of this backup, holds other bytes than were written to it (SHA-256 differs); nothing was changed, restore another backup"
    )]
    AlteredRoles {
        /// The file.
        file: String,
    },
    /// Other bytes than were written.
    #[error(
        "{file} holds other bytes than were written to it (SHA-256 differs); the copy was removed, restore another backup"
    )]
    Altered {
        /// The file.
        file: String,
    },
    /// The copy differs.
    #[error("the copy is not what was backed up, and was removed: {first}{}", more(*.others))]
    Unlike {
        /// The first difference.
        first: String,
        /// How many there are besides.
        others: usize,
    },
    /// No dump.
    #[error("{file}: {why}")]
    NoDump {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// It cannot be swapped in.
    #[error(
        "nothing is kept of {database} that could be put back; `\\l+` in psql lists what there is"
    )]
    NothingKept {
        /// The database.
        database: DatabaseName,
    },
    /// The name is still in use.
    #[error(
        "the sessions with {database} could not be ended, so nothing was changed; stop what connects to it and ask again"
    )]
    Occupied {
        /// The database.
        database: DatabaseName,
        /// Why.
        #[source]
        source: Box<ServerError>,
    },
    /// The folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed file.
    #[error(transparent)]
    Opened(OpenedError),
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The file, or the comparison.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// No random name could be made.
    #[error("the system gives no random bytes")]
    Random(#[source] std::io::Error),
    /// It took too long altogether.
    #[error(
        "the restore was not done after {} and was ended; raise STACKWARDEN_DEADLINE",
        format_age(*.limit)
    )]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// We were told to stop.
    #[error("told to stop; nothing was changed")]
    Cancelled,
}

impl From<Stopped> for RestoreError {
    fn from(_stopped: Stopped) -> Self {
        Self::Cancelled
    }
}

impl From<OpenedError> for RestoreError {
    fn from(error: OpenedError) -> Self {
        match error {
            OpenedError::Store(error) => Self::Store(error),
            OpenedError::Bucket(error) => Self::Bucket(error),
            closed => Self::Opened(closed),
        }
    }
}

impl RestoreError {
    /// Whether it ended because we were told to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled
            | Self::Server(ServerError::Cancelled)
            | Self::Verify(VerifyError::Cancelled) => true,
            Self::Unsafe { source, .. } => source.is_cancelled(),
            _ => false,
        }
    }
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    }
}
