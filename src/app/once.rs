//! Commands in place: what runs when no sidecar does.

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::ground::{Ground, GroundError, SidecarLock};
use crate::board::{Board, Picture, ServerPicture};
use crate::config::Settings;
use crate::desk::{Books, Desk, Runner};
use crate::docker::DockerError;
use crate::domain::backup::Reason;
use crate::domain::id::DatabaseRef;
use crate::domain::job::{BackupScope, JobReport, JobRequest, JobState, Submission};
use crate::domain::roster::read_roster;
use crate::job::tidy;
use crate::observe::metrics::{Metrics, MetricsError, Objectives};
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
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
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
    let ground = Ground::find(settings).await?;
    let Some(_lock) = SidecarLock::take(&ground.state_folder)? else {
        return Err(OnceError::Locked);
    };
    tidy::files(&ground.context).map_err(OnceError::Tidy)?;
    tidy::containers(&ground.context)
        .await
        .map_err(OnceError::Docker)?;
    let board = Board::new(look(&ground).await?);
    let metrics = Metrics::new(Objectives {
        recovery_point: settings.rpo,
        recovery_time: settings.rto,
    })?;
    let books = Books {
        board: board.clone(),
        journal: ground.journal.clone(),
        metrics: Arc::new(metrics),
    };
    let (desk, inbox) = Desk::open();
    let runner = Runner::new(inbox, Arc::clone(&ground.context), books).run(stop);
    let scope = if databases.is_empty() {
        BackupScope::Stack
    } else {
        BackupScope::Databases(databases)
    };
    let ask = async {
        let submission = desk
            .submit(JobRequest::Backup {
                scope,
                reason: Reason::Manual,
            })
            .await;
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
    let roster = read_roster(&fleet, &ground.defaults);
    let mut picture = Picture::new(context.project.clone(), context.clock.now());
    let servers = roster.servers.into_iter();
    picture.servers = servers
        .map(|(service, server)| (service, ServerPicture::new(server.target, server.policy)))
        .collect();
    Ok(picture)
}

/// Lists the backups of the folder without a sidecar.
///
/// # Errors
/// When the folder or the project cannot be found.
pub async fn list(settings: &Settings) -> Result<crate::http::wire::BackupsWire, OnceError> {
    let ground = Ground::find(settings).await?;
    let listing = ground.context.store.list().map_err(OnceError::Tidy)?;
    let mut picture = Picture::new(ground.context.project.clone(), ground.context.clock.now());
    for (series, backups) in listing.series {
        let state = picture.series.entry(series).or_default();
        state.backups = backups.into_iter().map(Arc::new).collect();
    }
    Ok(crate::http::wire::backups(&picture, None))
}
