//! Why a proof could not be made.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::scratch::Place;
use crate::docker::DockerError;
use crate::domain::id::{BackupId, DatabaseRef};
use crate::domain::room::Shortage;
use crate::domain::unit::format_age;
use crate::job::Stopped;
use crate::job::opened::OpenedError;
use crate::job::server::ServerError;
use crate::postgres::PostgresError;
use crate::store::StoreError;
use crate::store::s3::S3Error;

/// Why no proof could be made; says nothing about the backup.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no such backup.
    #[error("there is no backup {id} of {database}; see `stackwarden backups`")]
    Missing {
        /// The id.
        id: BackupId,
        /// The database.
        database: DatabaseRef,
    },
    /// Its server is not part of the stack now.
    #[error(
        "service {database} is not running, so nobody knows what a scratch server has to be like"
    )]
    NoServer {
        /// The database.
        database: DatabaseRef,
    },
    /// The image of a server that is gone.
    #[error(
        "its server is gone, and its image {image} is not on this host; get it: docker pull {image}"
    )]
    NoImage {
        /// Which.
        image: String,
    },
    /// Our files cannot be mounted elsewhere.
    #[error(
        "the backup folder is not on this docker host, so the scratch server cannot read {file}"
    )]
    NotMountable {
        /// The file.
        file: String,
    },
    /// A file that somebody named.
    #[error("cannot read {}; put it into the backup folder, or mount its folder into stackwarden's service", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of a backup of roles.
    #[error("{} holds roles, which are proven with a database; verify one of that server's backups", .file.display())]
    Roles {
        /// The file.
        file: PathBuf,
    },
    /// There is no server to be like.
    #[error(
        "no database server of this stack is known, so nobody knows what a scratch server has to be like"
    )]
    NoServers,
    /// Several servers, and nobody said which.
    #[error("{} could judge {}; say which with --database SERVICE/DATABASE", .known.join(", "), .file.display())]
    NoChoice {
        /// The file.
        file: PathBuf,
        /// The servers.
        known: Vec<String>,
    },
    /// The folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no bucket.
    #[error(
        "no bucket is set, and backups on s3 are in one; set STACKWARDEN_S3_BUCKET and its key"
    )]
    NoBucket,
    /// The bucket.
    #[error("the copy in the bucket could not be read")]
    Bucket(#[from] S3Error),
    /// A sealed file.
    #[error(transparent)]
    Opened(OpenedError),
    /// The live server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Docker.
    #[error("use the scratch server")]
    Docker(#[source] DockerError),
    /// The scratch server.
    #[error("the scratch server {operation}: {said}")]
    Scratch {
        /// A verb phrase.
        operation: &'static str,
        /// What it said.
        said: String,
    },
    /// The copy does not fit.
    #[error("the scratch server ran out of space: {said}")]
    Full {
        /// Where it stood.
        place: Place,
        /// What was said.
        said: String,
    },
    /// A session with it.
    #[error("ask the scratch server")]
    Session(#[source] PostgresError),
    /// Another proof is running on this host.
    #[error("another proof has been running on this host for {waited:?}")]
    HostBusy {
        /// How long we waited.
        waited: Duration,
    },
    /// The image can never serve.
    #[error("its image cannot run a scratch server: {said}")]
    Unserved {
        /// What it said.
        said: String,
    },
    /// The image that was named for it.
    #[error(
        "the image {image}, in which STACKWARDEN_EXTERNAL lets its backups be proven, is not on this host; docker pull {image}"
    )]
    ImageAbsent {
        /// Which.
        image: String,
    },
    /// A sealed file that is no backup of ours.
    #[error(
        "{} is sealed with age and is no backup of this stack; open it first: age -d -i KEY FILE > DUMP, and verify that", .file.display()
    )]
    SealedFile {
        /// The file.
        file: PathBuf,
    },
    /// A copy would leave too little room.
    #[error("Docker's disk has too little room for a copy: {shortage}")]
    NoRoom {
        /// How much is missing.
        shortage: Shortage,
    },
    /// The stream of a sealed backup did not come by whole.
    #[error(
        "it is sealed, and not all of its stream reached the scratch server while it was taken; the next backup is proven again, or set STACKWARDEN_AGE_IDENTITY_FILE and ask for this one"
    )]
    Incomplete,
    /// It took too long altogether.
    #[error(
        "the proof was not done after {} and was ended; raise STACKWARDEN_DEADLINE, or ask for a lower stackwarden.backup.verify",
        format_age(*.limit)
    )]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// We were told to stop.
    #[error("told to stop")]
    Cancelled,
}

impl From<Stopped> for VerifyError {
    fn from(_stopped: Stopped) -> Self {
        Self::Cancelled
    }
}

impl From<OpenedError> for VerifyError {
    fn from(error: OpenedError) -> Self {
        match error {
            OpenedError::Store(error) => Self::Store(error),
            OpenedError::Bucket(error) => Self::Bucket(error),
            closed => Self::Opened(closed),
        }
    }
}
