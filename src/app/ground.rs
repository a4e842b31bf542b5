//! What every way of running stands on: the engine, our own container, the project, the backup folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::docker::{Docker, DockerError, OwnContainer};
use crate::domain::external::{self, Clients, Station};
use crate::domain::failure::FailureKind;
use crate::domain::id::ProjectName;
use crate::domain::label::StackDefaults;
use crate::domain::roster::RosterServer;
use crate::domain::schedule::ScheduleError;
use crate::job::progress::Progress;
use crate::job::server::{Passfiles, find_clients};
use crate::job::verify::Turns;
use crate::job::{JobContext, Limits};
use crate::journal::Journal;
use crate::observe::logging::name_project;
use crate::store::StoreError;
use crate::store::disk::DiskStore;
use crate::store::s3::{Patience, S3Error, S3Store};

/// How long the engine may be away at start: it may come up after us when the machine boots.
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a job waits for another writer of the same database.
const LOCK_WAIT: Duration = Duration::from_mins(15);

/// Why nothing can be done here.
#[derive(Debug, Error)]
pub enum GroundError {
    /// Docker.
    #[error("docker cannot be used")]
    Docker(#[source] DockerError),
    /// Nobody knows which stack this is.
    #[error(
        "the Compose project is not known: run this as a service of the stack, or set STACKWARDEN_PROJECT to its name"
    )]
    NoProject,
    /// The backup folder.
    #[error("the backup folder cannot be used")]
    Store(#[source] StoreError),
    /// Backups would vanish with the container.
    #[error("{} is not mounted, so backups would be lost with this container; add volumes: [./backups:{}]", .path.display(), .path.display())]
    NotMounted {
        /// The folder.
        path: PathBuf,
    },
    /// The state folder.
    #[error("the state folder {} cannot be used; check its mount and its owner", .path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The bucket.
    #[error("the bucket cannot be used")]
    Bucket(#[source] S3Error),
    /// A default that cannot be.
    #[error("the backup schedule cannot be used")]
    Schedule(#[source] ScheduleError),
}

impl GroundError {
    /// Whether the user has to change something before trying again.
    pub fn is_configuration(&self) -> bool {
        match self {
            // Of the bucket nothing has been asked yet: what is wrong then is wrong with the settings.
            Self::NoProject | Self::NotMounted { .. } | Self::Schedule(_) | Self::Bucket(_) => true,
            Self::Docker(error) => error.kind() == FailureKind::Permanent,
            Self::Store(error) => error.kind() == FailureKind::Permanent,
            Self::State { .. } => false,
        }
    }
}

/// The ground.
#[derive(Debug)]
pub struct Ground {
    /// What jobs need.
    pub context: Arc<JobContext>,
    /// The record of what happened.
    pub journal: Journal,
    /// Defaults of the stack, with its nightly minute.
    pub defaults: StackDefaults,
    /// The state folder.
    pub state_folder: PathBuf,
    /// The servers outside the stack.
    pub outside: Vec<RosterServer>,
}

impl Ground {
    /// Finds everything out; nothing is changed but the state folder, which is made.
    ///
    /// # Errors
    /// The first thing that is missing, in words that say what to do.
    pub async fn find(settings: &Settings) -> Result<Self, GroundError> {
        let docker =
            Docker::connect(Some(&settings.docker.to_string())).map_err(GroundError::Docker)?;
        let own = find_own(&docker).await?;
        let project = find_project(settings, own.as_ref())?;
        name_project(&project);
        let folder = settings.backup_dir.clone();
        if own
            .as_ref()
            .is_some_and(|own| own.host_path(&folder).is_none())
        {
            return Err(GroundError::NotMounted { path: folder });
        }
        let store = DiskStore::new(folder, project.clone());
        match store.probe() {
            Ok(_) => {}
            // A full folder is said and watched; a backup into it fails with the same words.
            Err(error @ StoreError::Full { .. }) => {
                tracing::error!(error = %crate::domain::failure::chain(&error), "the backup folder is full");
            }
            Err(error) => return Err(GroundError::Store(error)),
        }
        let state_folder = settings.state_dir.clone();
        make_folder(&state_folder)?;
        let s3 = open_bucket(settings, &project)?;
        warn_of_strange_keys(settings);
        let defaults = settings
            .stack_defaults(&project)
            .map_err(GroundError::Schedule)?;
        let outside = find_outside(settings, &defaults, own.as_ref());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let limits = Limits {
            silence: settings.silence,
            lock_wait: LOCK_WAIT,
            proof_memory: settings.proof_memory,
            proof_reserve: settings.proof_reserve,
            deadline: settings.deadline,
            patience: settings.patience,
        };
        let context = JobContext {
            docker,
            store,
            s3,
            keys: settings.keys.clone(),
            clock,
            project,
            own,
            limits,
            turns: Turns::default(),
            progress: Progress::default(),
            passfiles: Passfiles::default(),
        };
        Ok(Self {
            context: Arc::new(context),
            journal: Journal::new(&state_folder),
            defaults,
            state_folder,
            outside,
        })
    }
}

/// Said at once where none of them can be reached; every look and every backup says so again.
fn find_outside(
    settings: &Settings,
    defaults: &StackDefaults,
    own: Option<&OwnContainer>,
) -> Vec<RosterServer> {
    if settings.external.is_empty() {
        return Vec::new();
    }
    let station = Station {
        container: own.map(|own| own.id.clone()),
        clients: find_clients(own),
    };
    if let Clients::Missing(why) = station.clients {
        tracing::error!("the servers of STACKWARDEN_EXTERNAL are not backed up: {why}");
    }
    external::enter(&settings.external, defaults, &station)
}

/// No mistake that stops us: the identity may be kept for what was sealed before.
fn warn_of_strange_keys(settings: &Settings) {
    let keys = &settings.keys;
    if keys.recipients.is_some() && keys.identity.is_some() && keys.own_identity().is_none() {
        tracing::warn!(
            "STACKWARDEN_AGE_IDENTITY opens nothing that is sealed for STACKWARDEN_AGE_RECIPIENTS, so new backups are treated as if there were none"
        );
    }
}

fn open_bucket(settings: &Settings, project: &ProjectName) -> Result<Option<S3Store>, GroundError> {
    let Some(access) = settings.bucket.clone() else {
        return Ok(None);
    };
    let (roots, state) = (&settings.roots, &settings.state_dir);
    let patience = Patience::default().within(settings.silence);
    S3Store::new(access, project.clone(), roots, state, patience)
        .map(Some)
        .map_err(GroundError::Bucket)
}

/// Waits a little for an engine that is just coming up.
async fn find_own(docker: &Docker) -> Result<Option<OwnContainer>, GroundError> {
    let deadline = tokio::time::Instant::now() + ENGINE_PATIENCE;
    loop {
        match docker.find_own().await {
            Ok(own) => return Ok(own),
            Err(error)
                if error.kind() == FailureKind::Transient
                    && tokio::time::Instant::now() < deadline =>
            {
                tracing::warn!(error = %crate::domain::failure::chain(&error), "waiting for docker");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Err(error) => return Err(GroundError::Docker(error)),
        }
    }
}

fn find_project(
    settings: &Settings,
    own: Option<&OwnContainer>,
) -> Result<ProjectName, GroundError> {
    let named = settings.project.clone();
    named
        .or_else(|| own.and_then(|own| own.project.clone()))
        .ok_or(GroundError::NoProject)
}

fn make_folder(path: &Path) -> Result<(), GroundError> {
    let made = std::fs::create_dir_all(path);
    made.map_err(|source| GroundError::State {
        path: path.to_owned(),
        source,
    })
}

/// The right to be the one sidecar, or the one command in its place; given back when dropped.
#[derive(Debug)]
pub struct SidecarLock {
    _file: File,
}

impl SidecarLock {
    /// Takes it; `None` when a living process has it.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn take(state_folder: &Path) -> Result<Option<Self>, GroundError> {
        let path = state_folder.join("sidecar.lock");
        let failed = |source| GroundError::State {
            path: path.clone(),
            source,
        };
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
