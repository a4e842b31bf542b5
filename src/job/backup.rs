//! Takes backups: for each server its roles, then each database, then retention.
//!
//! The steps and their order are the protocol: snapshot, dump, the look whether something slipped between,
//! digests beside the dump, one pass to the disk, read back and decode, manifest last.
//!
//! Dropped or killed at any await, a job leaves at most an unlocked partial file or dump without manifest
//! and a pg_dump in the database's container; [`super::tidy`] removes the one and ends the other.

mod archive_check;
mod attempt;
mod compose;
mod courtesy;
mod deadline;
mod failure;
mod globals;
mod plan;
mod predecessor;
mod retention;
mod take;
mod unopened;
pub mod volume;

use std::sync::Arc;
use std::time::Duration;

use super::copy;
use super::copy::along::{Copied, STANDSTILL};
use super::prune::Pruned;
use super::server;
use super::verify::Stage;
use super::{JobContext, Run};
use crate::domain::backup::{Content, Level, Manifest, Reason, Series};
use crate::domain::failure::chain;
use crate::domain::id::DatabaseName;
use crate::domain::job::Outcome;
use crate::domain::policy::DatabaseSelection;
use crate::domain::roster::ServerTarget;

pub use failure::BackupError;
pub use globals::RunGlobals;
pub use plan::{BackupPlan, ServerPlan};
pub use take::{Locking, take_database};
pub use unopened::Proven;

/// How long the parts of one backup took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// Snapshot and dump.
    pub dump: Duration,
    /// The digests, as far as they went on behind the dump.
    pub digest: Duration,
    /// Reading back and decoding, as far as it went on behind both.
    pub archive: Duration,
    /// Writing the manifest.
    pub publish: Duration,
}

impl Stages {
    /// All of them, one after the other.
    pub fn total(self) -> Duration {
        self.dump + self.digest + self.archive + self.publish
    }
}

/// How one series' backup ended.
#[derive(Debug, Clone)]
pub struct SeriesOutcome {
    /// Which.
    pub series: Series,
    /// How.
    pub outcome: Outcome,
    /// What was published.
    pub manifest: Option<Manifest>,
    /// Why not.
    pub error: Option<String>,
    /// What became of its copy.
    pub copied: Copied,
    /// How long it took.
    pub stages: Stages,
}

/// How the whole job ended.
#[derive(Debug, Default)]
pub struct BackupOutcome {
    /// Part by part.
    pub parts: Vec<SeriesOutcome>,
    /// Proofs that had to be made in the same pass.
    pub proofs: Vec<Proven>,
    /// What retention did afterwards.
    pub pruned: Pruned,
}

/// Runs a plan: one server after the other; what fails does not stop the rest.
pub async fn run(
    context: &JobContext,
    run: &Run,
    plan: &BackupPlan,
    reason: Reason,
) -> BackupOutcome {
    let mut outcome = BackupOutcome::default();
    for server in &plan.servers {
        back_up_server(context, run, server, reason, &mut outcome).await;
    }
    for server in &plan.servers {
        let pruned = retention::prune_disk(context, server, &outcome.parts).await;
        outcome.pruned.absorb(pruned);
        let pruned = retention::prune_bucket(context, run, server, &outcome.parts).await;
        outcome.pruned.absorb(pruned);
    }
    outcome
}

async fn back_up_server(
    context: &JobContext,
    run: &Run,
    server: &ServerPlan,
    reason: Reason,
    outcome: &mut BackupOutcome,
) {
    let databases = match find_databases(context, run, &server.target, &server.databases).await {
        Ok(databases) => databases,
        Err(error) => {
            let failed =
                |content| finish(server.series(&context.project, content), Err(error.clone()));
            outcome.parts.push(failed(Content::Globals));
            outcome.parts.extend(
                server
                    .expected()
                    .into_iter()
                    .map(Content::Database)
                    .map(failed),
            );
            return;
        }
    };
    let taking = Taking {
        target: &server.target,
        level: server.rules.verify,
        reason,
    };
    take_all(context, run, taking, databases, outcome).await;
}

/// From which server, how far, and why.
#[derive(Clone, Copy)]
struct Taking<'a> {
    target: &'a ServerTarget,
    level: Level,
    reason: Reason,
}

/// Each database, and the roles once.
async fn take_all(
    context: &JobContext,
    run: &Run,
    taking: Taking<'_>,
    databases: Vec<DatabaseName>,
    outcome: &mut BackupOutcome,
) {
    let series = |content| Series {
        project: context.project.clone(),
        service: taking.target.service.clone(),
        content,
    };
    let mut globals = RunGlobals::default();
    for database in databases {
        let request = TakeRequest {
            target: taking.target.clone(),
            database: database.clone(),
            reason: taking.reason,
            level: taking.level,
            stage: None,
        };
        let (taken, proven) = Box::pin(unopened::take(context, run, request, &mut globals)).await;
        outcome.proofs.extend(proven);
        let series = series(Content::Database(database));
        outcome.parts.push(finish(series, taken.map_err(describe)));
    }
    for taken in globals.into_outcomes() {
        let taken = match taken {
            Ok(taken) => Ok(with_copy(context, run, taken).await),
            Err(error) => Err(describe(error)),
        };
        outcome.parts.push(finish(series(Content::Globals), taken));
    }
}

/// Roles are a few kilobytes, and no lock is held any more: they are copied when they stand.
async fn with_copy(context: &JobContext, run: &Run, taken: Taken) -> Taken {
    let Some(store) = &context.s3 else {
        return taken;
    };
    let copy = copy::copy_file(context, run, store, &taken.manifest, STANDSTILL);
    let copied = match copy.await {
        Ok(()) => Copied::Done,
        Err(error) => Copied::Missing(chain(&error)),
    };
    Taken { copied, ..taken }
}

async fn find_databases(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    selection: &DatabaseSelection,
) -> Result<Vec<DatabaseName>, (Outcome, String)> {
    let looked = async {
        let mut maintenance = server::connect_maintenance(context, run, target).await?;
        server::choose(context, run, target, selection, &mut maintenance).await
    };
    looked
        .await
        .map_err(|error| describe(BackupError::from(error)))
}

/// What to take.
#[derive(Debug, Clone)]
pub struct TakeRequest {
    /// From which server.
    pub target: ServerTarget,
    /// Which database.
    pub database: DatabaseName,
    /// Why.
    pub reason: Reason,
    /// How far it is to be proven: at `stream` it is not read back, below `rows` nothing is counted.
    pub level: Level,
    /// Where the stream is restored that cannot be opened later.
    pub stage: Option<Arc<Stage>>,
}

/// What was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The published manifest.
    pub manifest: Manifest,
    /// How long it took.
    pub stages: Stages,
    /// What became of its copy.
    pub copied: Copied,
}

/// An error in the words people read.
#[expect(clippy::needless_pass_by_value, reason = "errors end here")]
fn describe(error: BackupError) -> (Outcome, String) {
    let outcome = if error.is_cancelled() {
        Outcome::Cancelled
    } else {
        Outcome::Failed
    };
    (outcome, chain(&error))
}

/// How a backup that another job took ended, for the books.
pub(super) fn outcome_of(series: Series, taken: Result<Taken, BackupError>) -> SeriesOutcome {
    finish(series, taken.map_err(describe))
}

fn finish(series: Series, taken: Result<Taken, (Outcome, String)>) -> SeriesOutcome {
    match taken {
        Ok(taken) => SeriesOutcome {
            series,
            outcome: match taken.copied {
                Copied::NotAsked | Copied::Done => Outcome::Succeeded,
                // It stands on disk, and only there.
                Copied::Missing(_) => Outcome::Partial,
            },
            manifest: Some(taken.manifest),
            error: None,
            copied: taken.copied,
            stages: taken.stages,
        },
        Err((outcome, why)) => SeriesOutcome {
            series,
            outcome,
            manifest: None,
            error: Some(why),
            copied: Copied::NotAsked,
            stages: Stages::default(),
        },
    }
}
