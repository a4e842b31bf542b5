//! Commands in place: what runs when no sidecar does.

mod holdings;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::ground::{Ground, GroundError, SidecarLock};
use crate::board::{Board, Picture, ServerPicture};
use crate::config::Settings;
use crate::desk::{Books, Desk, Runner};
use crate::docker::DockerError;
use crate::domain::backup::{Backup, Destination, Level, Reason, latest};
use crate::domain::id::{BackupId, DatabaseRef};
use crate::domain::job::{BackupScope, JobReport, JobRequest, JobState, Submission};
use crate::domain::restore::ChoiceError;
use crate::domain::restore::wish::Wish;
use crate::domain::roster::read_roster;
use crate::domain::volume::{ImageName, VolumeName, is_of_volume};
use crate::job::tidy;
use crate::observe::metrics::{Metrics, MetricsError};
use crate::store::StoreError;

/// Why a command could not be carried out here.
#[derive(Debug, Error)]
pub enum OnceError {
    /// The ground.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// Somebody else is at it.
    #[error(
        "a sidecar or another command of this stack holds the lock and does not answer; wait for it, or stop it"
    )]
    Locked,
    /// Docker.
    #[error("the stack cannot be read")]
    Docker(#[source] DockerError),
    /// The folder.
    #[error("the backup folder cannot be tidied")]
    Tidy(#[source] StoreError),
    /// The bucket, where the folder holds nothing.
    #[error("the backup folder holds no backup, and the bucket cannot be listed: {why}")]
    Bucket {
        /// Why.
        why: String,
    },
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// No backup, or several of different databases, have this id.
    #[error(
        "no single backup of a database has the id {id}; `stackwarden backups` lists all, add service/database where two have the same"
    )]
    Unclear {
        /// The id.
        id: BackupId,
    },
    /// There is none.
    #[error(
        "no backup is proven and trusted yet, and `latest` means such a one; `stackwarden backups` lists all, name one by its id"
    )]
    Nothing,
    /// It is not clear what is to be restored.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The desk closed early.
    #[error("told to stop")]
    Cancelled,
}

impl OnceError {
    /// Whether the user has to change something before trying again.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Ground(error) if error.is_configuration())
    }
}

/// Takes backups in this very process, through the same desk as the sidecar's.
///
/// # Errors
/// When nothing can be begun; what fails later is in the report.
pub async fn back_up(
    settings: &Settings,
    databases: BTreeSet<DatabaseRef>,
    stop: CancellationToken,
) -> Result<JobReport, OnceError> {
    let (ground, lock) = begin_tidily(settings).await?;
    let picture = look(&ground).await?;
    let scope = if databases.is_empty() {
        BackupScope::Stack
    } else {
        BackupScope::Databases(databases)
    };
    let request = JobRequest::Backup {
        scope,
        reason: Reason::Manual,
    };
    let report = carry_out(settings, &ground, picture, request, stop).await;
    drop(lock);
    report
}

/// Backs up a volume in this very process.
///
/// # Errors
/// When nothing can be begun; what fails later is in the report.
pub async fn back_up_volume(
    settings: &Settings,
    volume: VolumeName,
    image: ImageName,
    stop: CancellationToken,
) -> Result<JobReport, OnceError> {
    let (ground, lock) = begin_tidily(settings).await?;
    let picture = look(&ground).await?;
    let request = JobRequest::BackupVolume { volume, image };
    let report = carry_out(settings, &ground, picture, request, stop).await;
    drop(lock);
    report
}

/// Accepts a suspect backup in this very process.
///
/// # Errors
/// When no or several backups have this id, or nothing can be begun.
pub async fn accept(
    settings: &Settings,
    id: BackupId,
    only: Option<DatabaseRef>,
    stop: CancellationToken,
) -> Result<JobReport, OnceError> {
    let (ground, lock) = begin(settings).await?;
    let mut picture = Picture::new(ground.context.project.clone(), ground.context.clock.now());
    holdings::survey(&ground, &mut picture).await?;
    let is_it = |backup: &&Backup| backup.manifest.id == id;
    let with_it = picture.known(None).into_iter();
    let with_it = with_it.filter(|(_, backups)| backups.iter().any(is_it));
    let owners = with_it.filter_map(|(series, _)| {
        let database = series.content.database()?.clone();
        Some(DatabaseRef::new(series.service.clone(), database))
    });
    let owners: Vec<DatabaseRef> = owners
        .filter(|owner| only.as_ref().is_none_or(|only| only == owner))
        .collect();
    let [database] = owners.as_slice() else {
        return Err(OnceError::Unclear { id });
    };
    let database = database.clone();
    let request = JobRequest::Accept { database, id };
    let report = carry_out(settings, &ground, picture, request, stop).await;
    drop(lock);
    report
}

/// Reads everything that is stored again, in this very process.
///
/// # Errors
/// When nothing can be begun; what is found is in the report.
pub async fn fsck(settings: &Settings, stop: CancellationToken) -> Result<JobReport, OnceError> {
    let (ground, lock) = begin(settings).await?;
    let picture = Picture::new(ground.context.project.clone(), ground.context.clock.now());
    let report = carry_out(settings, &ground, picture, JobRequest::Fsck, stop).await;
    drop(lock);
    report
}

/// What is to be verified.
#[derive(Debug, Clone)]
pub enum Which {
    /// The newest that is proven and trusted.
    Latest,
    /// This backup.
    Id(BackupId),
    /// This file, whoever made it.
    File(PathBuf),
}

/// A verification as somebody wants it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Of what.
    pub which: Which,
    /// Of which database; for a file, whose server the scratch is like.
    pub only: Option<DatabaseRef>,
    /// How far; as far as possible otherwise.
    pub level: Option<Level>,
    /// From where; otherwise from disk, and from the bucket where the disk does not have it.
    pub from: Option<Destination>,
}

/// Proves a backup or judges a file in this very process.
///
/// # Errors
/// When nothing can be begun, or no or several backups are meant; what is found out is in the report.
pub async fn verify(
    settings: &Settings,
    wanted: Wanted,
    stop: CancellationToken,
) -> Result<JobReport, OnceError> {
    let (ground, lock) = begin_tidily(settings).await?;
    let mut picture = look(&ground).await?;
    holdings::survey(&ground, &mut picture).await?;
    let request = choose(&picture, wanted)?;
    let report = carry_out(settings, &ground, picture, request, stop).await;
    drop(lock);
    report
}

fn choose(picture: &Picture, wanted: Wanted) -> Result<JobRequest, OnceError> {
    let Wanted {
        which,
        only,
        level,
        from,
    } = wanted;
    let id = match which {
        Which::File(file) => {
            return Ok(JobRequest::VerifyFile {
                file,
                service: only.map(|only| only.service),
                level: level.unwrap_or(Level::Content),
            });
        }
        Which::Id(id) => Some(id),
        Which::Latest => None,
    };
    let mut found = Vec::new();
    for (series, backups) in picture.known(from) {
        let Some(database) = series.content.database() else {
            continue;
        };
        let database = DatabaseRef::new(series.service.clone(), database.clone());
        if only.as_ref().is_some_and(|only| *only != database) {
            continue;
        }
        // What was taken from a volume is meant where it is named.
        if only.is_none() && id.is_none() && is_of_volume(&database.service) {
            continue;
        }
        let meant = match &id {
            Some(id) => backups.into_iter().find(|it| it.manifest.id == *id),
            None => latest(backups),
        };
        found.extend(meant.map(|it| (database, it.manifest.clone())));
    }
    if id.is_none() {
        let newest = found.into_iter().max_by_key(|(_, it)| it.snapshot_at);
        found = newest.into_iter().collect();
    }
    let [(database, manifest)] = found.as_slice() else {
        return Err(match id {
            Some(id) => OnceError::Unclear { id },
            None => OnceError::Nothing,
        });
    };
    let server = picture.servers.get(&database.service);
    let usual = server.map_or(Level::Content, |server| server.policy.verify);
    Ok(JobRequest::Verify {
        database: database.clone(),
        id: manifest.id.clone(),
        level: level.unwrap_or(usual),
        from,
    })
}

/// Restores in this very process.
///
/// # Errors
/// When nothing can be begun, or no or several backups are meant; what becomes of it is in the report.
pub async fn restore(
    settings: &Settings,
    wish: Wish,
    stop: CancellationToken,
) -> Result<JobReport, OnceError> {
    let (ground, lock) = begin_tidily(settings).await?;
    let mut picture = look(&ground).await?;
    holdings::survey(&ground, &mut picture).await?;
    let from = wish.from;
    let order = wish.resolve(picture.known(from));
    let order = order.map_err(|error| error.explained(picture.unread()))?;
    let request = JobRequest::Restore(order);
    let report = carry_out(settings, &ground, picture, request, stop).await;
    drop(lock);
    report
}

async fn begin(settings: &Settings) -> Result<(Ground, SidecarLock), OnceError> {
    let ground = Ground::find(settings).await?;
    let lock = SidecarLock::take(&ground.state_folder)?.ok_or(OnceError::Locked)?;
    Ok((ground, lock))
}

/// The same, and removes what killed ones left: for jobs that write, or need the host's scratch server.
async fn begin_tidily(settings: &Settings) -> Result<(Ground, SidecarLock), OnceError> {
    let (ground, lock) = begin(settings).await?;
    tidy::files(&ground.context).map_err(OnceError::Tidy)?;
    tidy::containers(&ground.context)
        .await
        .map_err(OnceError::Docker)?;
    Ok((ground, lock))
}

/// One job through a desk of its own, to its end.
async fn carry_out(
    settings: &Settings,
    ground: &Ground,
    picture: Picture,
    request: JobRequest,
    stop: CancellationToken,
) -> Result<JobReport, OnceError> {
    let board = Board::new(picture);
    let metrics = Metrics::new(settings.objectives())?;
    let books = Books {
        board: board.clone(),
        journal: ground.journal.clone(),
        metrics: Arc::new(metrics),
    };
    let (desk, inbox) = Desk::open();
    let runner = Runner::new(inbox, Arc::clone(&ground.context), books).run(stop);
    let ask = async {
        let submission = desk.submit(request).await;
        let Submission::Accepted(id) = submission else {
            return Err(OnceError::Cancelled);
        };
        let mut changes = board.subscribe();
        loop {
            let ended = changes
                .borrow_and_update()
                .jobs
                .iter()
                .find_map(|job| match &job.state {
                    JobState::Ended { report, .. } if job.id == id => Some(report.clone()),
                    _ => None,
                });
            if let Some(report) = ended {
                return Ok(report);
            }
            if changes.changed().await.is_err() {
                return Err(OnceError::Cancelled);
            }
        }
    };
    tokio::select! {
        biased;
        report = ask => report,
        () = runner => Err(OnceError::Cancelled),
    }
}

async fn look(ground: &Ground) -> Result<Picture, OnceError> {
    let context = &ground.context;
    let fleet = context
        .docker
        .list(&context.project)
        .await
        .map_err(OnceError::Docker)?;
    let roster = read_roster(&fleet, &ground.defaults, &ground.outside);
    let mut picture = Picture::new(context.project.clone(), context.clock.now());
    let servers = roster.servers.into_iter();
    picture.servers = servers
        .map(|(service, server)| (service, ServerPicture::new(server.target, server.policy)))
        .collect();
    Ok(picture)
}

/// What retention would do now, without a sidecar.
///
/// # Errors
/// When the folder or the project cannot be read.
pub async fn plan(settings: &Settings) -> Result<crate::http::wire::PlanWire, OnceError> {
    let ground = Ground::find(settings).await?;
    let mut picture = look(&ground).await?;
    holdings::survey(&ground, &mut picture).await?;
    let now = ground.context.clock.now();
    Ok(crate::http::wire::plan(&picture, None, now))
}

/// Lists the backups of the folder and of the bucket without a sidecar.
///
/// # Errors
/// When the folder or the project cannot be found.
pub async fn list(settings: &Settings) -> Result<crate::http::wire::BackupsWire, OnceError> {
    let ground = Ground::find(settings).await?;
    let mut picture = Picture::new(ground.context.project.clone(), ground.context.clock.now());
    holdings::survey(&ground, &mut picture).await?;
    Ok(crate::http::wire::backups(&picture, None))
}
