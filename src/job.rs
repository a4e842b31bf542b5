//! The verbs: each job plans (pure) and then runs against the adapters.
//!
//! Knows domain, clock and the adapters but the journal; never who asked. Every job says what it leaves behind
//! when it is dropped at any await; [`tidy`] cleans that at start.

pub mod accept;
pub mod backup;
pub mod copy;
pub mod fsck;
pub mod migrate;
pub mod opened;
pub mod probe;
pub mod progress;
pub mod prune;
pub mod restore;
pub mod server;
pub mod tell;
pub mod tidy;
pub mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::Keys;
use crate::clock::Clock;
use crate::docker::{Docker, OwnContainer};
use crate::domain::id::{JobId, ProjectName};
use crate::domain::room::ProofRoom;
use crate::domain::unit::{ByteCount, Timestamp, hexadecimal};
use crate::store::disk::{DiskStore, find_free};
use crate::store::s3::S3Store;
use progress::Progress;
use server::Passfiles;
use verify::Turns;

/// The label that marks every container of ours: its value is the project.
pub const OWNED_LABEL: &str = "stackwarden.owned-by-project";
/// The label with the id of the container whose process made it.
pub const MAKER_LABEL: &str = "stackwarden.made-by";

/// The scratch server's name, the same for every stack of a host: whoever has it is the one proof that runs.
pub const SCRATCH_NAME: &str = "stackwarden-proof";

/// Mounted by Docker into every container from its own folder.
const MANAGED_FILE: &str = "/etc/hostname";

/// Bounds of patience and appetite.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A dump that yields nothing for so long is ended.
    pub silence: Duration,
    /// How long a job waits for another writer of the same database.
    pub lock_wait: Duration,
    /// Memory cap of the scratch server.
    pub proof_memory: ByteCount,
    /// What a proof on disk leaves free there, at least.
    pub proof_reserve: ByteCount,
    /// The longest that one backup, or one proof, may take.
    pub deadline: Duration,
    /// A dump that makes somebody wait for so long gives way; `None`: it never does.
    pub patience: Option<Duration>,
}

/// What every job needs; one for the process.
#[derive(Debug)]
pub struct JobContext {
    /// The engine.
    pub docker: Docker,
    /// The backup folder.
    pub store: DiskStore,
    /// The bucket, where there is one.
    pub s3: Option<S3Store>,
    /// For whom backups are sealed, and what opens them.
    pub keys: Keys,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// The Compose project.
    pub project: ProjectName,
    /// The container we run in, when we run in one.
    pub own: Option<OwnContainer>,
    /// Bounds.
    pub limits: Limits,
    /// Whose turn it is to make a scratch server.
    pub turns: Turns,
    /// What is being done.
    pub progress: Progress,
    /// Passwords of servers outside the stack, as libpq reads them.
    pub passfiles: Passfiles,
}

impl JobContext {
    /// Where the host keeps a path of ours, for bind mounts into other containers.
    pub fn host_path(&self, path: &std::path::Path) -> Option<PathBuf> {
        match &self.own {
            Some(own) => own.host_path(path),
            // Outside a container our paths are the host's.
            None => Some(path.to_owned()),
        }
    }

    /// Free bytes where a scratch server keeps its volume: Docker's data root. From inside a container it shows
    /// in the files that Docker itself mounts from there; outside one, the backup folder's disk has to stand for
    /// it, which is usually the same. `None` where nobody knows.
    pub fn find_proof_room(&self) -> Option<ProofRoom> {
        let place = match &self.own {
            Some(_) => std::path::Path::new(MANAGED_FILE),
            None => self.store.root(),
        };
        let free = find_free(place).ok().flatten()?;
        let reserve = self.limits.proof_reserve;
        Some(ProofRoom { free, reserve })
    }
}

/// One run of a job: who it is, and when to stop.
#[derive(Debug, Clone)]
pub struct Run {
    /// The job.
    pub id: JobId,
    /// Cancelled when it has to reach its safe point.
    pub stop: CancellationToken,
}

/// That we were told to stop.
#[derive(Debug, Clone, Copy)]
pub struct Stopped;

impl Run {
    /// The answer, unless we are told to stop before it is there: nobody who says nothing is waited for then.
    pub async fn or_stopped<T, E: From<Stopped>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            answer = work => answer,
            () = self.stop.cancelled() => Err(Stopped.into()),
        }
    }
}

/// A job's id: unique among processes, since two gates may begin in the same second and process ids repeat
/// in containers.
pub fn job_id(kind: &str, now: Timestamp) -> JobId {
    let mut random = [0_u8; 3];
    // Without random bytes the second alone has to do; ids only have to differ from those of the living.
    let _filled: Result<(), getrandom::Error> = getrandom::fill(&mut random);
    JobId::new(format!(
        "{kind}-{:x}-{}",
        now.timestamp(),
        hexadecimal(&random)
    ))
}
