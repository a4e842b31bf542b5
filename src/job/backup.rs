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
mod globals;
mod take;

use std::time::Duration;

use thiserror::Error;

use super::prune::{self, Removed};
use super::server::{self, ServerError};
use super::{JobContext, Run};
use crate::docker::DockerError;
use crate::domain::backup::{Content, Level, Manifest, Reason, Series};
use crate::domain::failure::chain;
use crate::domain::id::{DatabaseName, ProjectName, ServiceName};
use crate::domain::job::{BackupScope, Outcome};
use crate::domain::policy::{BackupPolicy, DatabaseSelection, KeepPolicy};
use crate::domain::roster::ServerTarget;
use crate::postgres::PostgresError;
use crate::store::StoreError;

pub use globals::RunGlobals;
pub use take::{Locking, take_database};

/// What a backup job does.
#[derive(Debug, Clone)]
pub struct BackupPlan {
    /// Server by server.
    pub servers: Vec<ServerPlan>,
}

/// One server's part.
#[derive(Debug, Clone)]
pub struct ServerPlan {
    /// The server.
    pub target: ServerTarget,
    /// Which of its databases.
    pub databases: DatabaseSelection,
    /// Retention afterwards.
    pub keep: KeepPolicy,
    /// How far its backups are to be proven.
    pub level: Level,
    /// Databases known from the last look: what has failed when the server does not answer now.
    pub known: Vec<DatabaseName>,
}

impl ServerPlan {
    /// Narrows what the policy selects to what was asked for.
    pub fn new(
        target: ServerTarget,
        policy: &BackupPolicy,
        known: Vec<DatabaseName>,
        scope: &BackupScope,
    ) -> Self {
        let databases = match scope {
            BackupScope::Stack => policy.databases.clone(),
            BackupScope::Databases(wanted) => DatabaseSelection::Named(
                wanted
                    .iter()
                    .filter(|wanted| wanted.service == target.service)
                    .map(|wanted| wanted.database.clone())
                    .collect(),
            ),
        };
        Self {
            target,
            databases,
            keep: policy.keep,
            level: policy.verify,
            known,
        }
    }

    fn expected(&self) -> Vec<DatabaseName> {
        match &self.databases {
            DatabaseSelection::Named(named) => named.iter().cloned().collect(),
            DatabaseSelection::All => self.known.clone(),
        }
    }

    fn series(&self, project: &ProjectName, content: Content) -> Series {
        Series {
            project: project.clone(),
            service: self.target.service.clone(),
            content,
        }
    }
}

impl BackupPlan {
    /// The series that this plan is sure to try.
    pub fn known_series(&self, project: &ProjectName) -> Vec<Series> {
        let of_server = |server: &ServerPlan| {
            let contents = server.expected().into_iter().map(Content::Database);
            let series = contents
                .chain([Content::Globals])
                .map(|it| server.series(project, it));
            series.collect::<Vec<_>>()
        };
        self.servers.iter().flat_map(of_server).collect()
    }
}

/// How long the parts of one backup took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// Snapshot, dump and digests.
    pub dump: Duration,
    /// Reading back and decoding.
    pub archive: Duration,
    /// Writing the manifest.
    pub publish: Duration,
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
    /// How long it took.
    pub stages: Stages,
}

/// How the whole job ended.
#[derive(Debug, Clone, Default)]
pub struct BackupOutcome {
    /// Part by part.
    pub parts: Vec<SeriesOutcome>,
    /// What retention removed afterwards.
    pub removed: Vec<Removed>,
}

/// Why a backup of one database failed.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The backup folder.
    #[error(transparent)]
    Store(#[from] StoreError),
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
        "pg_dump gave no byte for {silent_for:?} and was ended; look for locks in pg_stat_activity, or raise STACKWARDEN_SILENCE"
    )]
    Silent {
        /// So long.
        silent_for: Duration,
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

impl BackupError {
    fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Server(ServerError::Cancelled))
    }
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
        let any_good = outcome.parts.iter().any(|part| {
            part.series.service == server.target.service && part.outcome == Outcome::Succeeded
        });
        // Retention never runs behind a failure: old backups may be all there is.
        if any_good {
            outcome.removed.extend(prune_server(context, server));
        }
    }
    outcome
}

fn prune_server(context: &JobContext, server: &ServerPlan) -> Vec<Removed> {
    let series = server.series(&context.project, Content::Globals);
    match prune::run(context, &series, &server.keep) {
        Ok(removed) => removed,
        Err(error) => {
            tracing::warn!(service = %series.service, error = %chain(&error), "retention could not run");
            Vec::new()
        }
    }
}

async fn back_up_server(
    context: &JobContext,
    run: &Run,
    server: &ServerPlan,
    reason: Reason,
    outcome: &mut BackupOutcome,
) {
    let databases = match find_databases(context, run, server).await {
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
    let mut globals = RunGlobals::default();
    for database in databases {
        let request = TakeRequest {
            target: server.target.clone(),
            database: database.clone(),
            reason,
            level: server.level,
        };
        let taken = take_database(context, run, &request, Locking::Take, &mut globals).await;
        let series = server.series(&context.project, Content::Database(database));
        outcome.parts.push(finish(series, taken.map_err(describe)));
    }
    for taken in globals.into_outcomes() {
        let series = server.series(&context.project, Content::Globals);
        outcome.parts.push(finish(series, taken.map_err(describe)));
    }
}

async fn find_databases(
    context: &JobContext,
    run: &Run,
    server: &ServerPlan,
) -> Result<Vec<DatabaseName>, (Outcome, String)> {
    let looked = async {
        let mut maintenance = server::connect_maintenance(context, run, &server.target).await?;
        server::choose(
            context,
            run,
            &server.target,
            &server.databases,
            &mut maintenance,
        )
        .await
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
}

/// What was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The published manifest.
    pub manifest: Manifest,
    /// How long it took.
    pub stages: Stages,
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

fn finish(series: Series, taken: Result<Taken, (Outcome, String)>) -> SeriesOutcome {
    match taken {
        Ok(taken) => SeriesOutcome {
            series,
            outcome: Outcome::Succeeded,
            manifest: Some(taken.manifest),
            error: None,
            stages: taken.stages,
        },
        Err((outcome, why)) => SeriesOutcome {
            series,
            outcome,
            manifest: None,
            error: Some(why),
            stages: Stages::default(),
        },
    }
}
