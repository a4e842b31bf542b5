//! Backs up what is left of an old, stopped stack: a volume. A throw-away server of the image that somebody names is started
//! on a copy of the data, dumped like any other and proven while it runs.
//!
//! The volume itself is mounted read-only, so that not even a crash recovery changes it. Dropped or killed at any await, it
//! leaves the container with its copy, which the next start removes, and what a backup leaves, see [`super`].

mod failure;
mod revived;

use super::{BackupOutcome, Taking, find_databases, take_all};
use crate::domain::backup::{Content, Destination, Level, Manifest, Reason};
use crate::domain::id::DatabaseRef;
use crate::domain::job::{JobKind, Outcome};
use crate::domain::policy::DatabaseSelection;
use crate::domain::progress::Step;
use crate::domain::roster::ServerTarget;
use crate::domain::volume::{ImageName, VolumeName};
use crate::job::verify::{self, VerifyPlan};
use crate::job::{JobContext, Run};

pub use failure::VolumeError;
use revived::Revived;

/// Which volume is backed up, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlan {
    /// The volume.
    pub volume: VolumeName,
    /// The image of its server, as somebody names it.
    pub image: ImageName,
    /// How far its backups are proven.
    pub level: Level,
}

/// Backs up every database of a volume.
///
/// # Errors
/// When no server can be started on a copy of it, or there is nothing in it. What fails later is in the outcome.
///
/// # Cancellation
/// Told to stop by `run`, it removes the throw-away server first; dropped, see the module.
pub async fn run(
    context: &JobContext,
    run: &Run,
    plan: &VolumePlan,
) -> Result<BackupOutcome, VolumeError> {
    let subject = format!("volume {}", plan.volume);
    context
        .progress
        .begin(JobKind::Backup, &subject, Step::Reviving);
    let revived = Revived::start(context, run, plan).await?;
    let outcome = Box::pin(back_up(context, run, plan, &revived.target)).await;
    revived.remove(context).await;
    outcome
}

async fn back_up(
    context: &JobContext,
    run: &Run,
    plan: &VolumePlan,
    target: &ServerTarget,
) -> Result<BackupOutcome, VolumeError> {
    let databases = find_databases(context, run, target, &DatabaseSelection::All).await;
    let databases = databases.map_err(|(outcome, said)| match outcome {
        Outcome::Cancelled => VolumeError::Cancelled,
        _ => VolumeError::Unlisted { said },
    })?;
    if databases.is_empty() {
        let volume = plan.volume.clone();
        return Err(VolumeError::Nothing { volume });
    }
    let taking = Taking {
        target,
        level: plan.level,
        reason: Reason::Manual,
    };
    let mut outcome = BackupOutcome::default();
    take_all(context, run, taking, databases, &mut outcome).await;
    if plan.level >= Level::Restore {
        prove(context, run, plan, target, &mut outcome).await;
    }
    Ok(outcome)
}

/// Now, since the server that tells what a scratch server has to be like lives only now.
async fn prove(
    context: &JobContext,
    run: &Run,
    plan: &VolumePlan,
    target: &ServerTarget,
    outcome: &mut BackupOutcome,
) {
    let published = outcome
        .parts
        .iter()
        .filter_map(|part| part.manifest.as_ref());
    let is_proven = |it: &&Manifest| outcome.proofs.iter().any(|(plan, _)| plan.id == it.id);
    let unproven = published.filter(|it| !is_proven(it));
    let plans: Vec<VerifyPlan> = unproven
        .filter_map(|manifest| match &manifest.series.content {
            Content::Globals => None,
            Content::Database(database) => Some(VerifyPlan {
                database: DatabaseRef::new(target.service.clone(), database.clone()),
                id: manifest.id.clone(),
                level: plan.level,
                from: Some(Destination::Disk),
                server: Some(target.clone()),
            }),
        })
        .collect();
    for plan in plans {
        context.progress.go_on(JobKind::Backup, Step::Restoring);
        let proof = Box::pin(verify::run(context, run, &plan)).await;
        outcome.proofs.push((plan, proof));
    }
}
