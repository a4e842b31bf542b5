//! Runs one service's migration: in a clone of its own container, under the database's lock, behind a backup.
//!
//! Dropped or killed at any await, it leaves at most a clone, which the next start removes; the lock goes
//! with its session. The migration tool itself then ends as its container does.

mod clone;
mod conditions;

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tracing::{info, warn};

use super::backup::{BackupError, Locking, RunGlobals, TakeRequest, take_database};
use super::copy::along::Copied;
use super::server::{self, DatabaseLock, ServerError};
use super::{JobContext, Run};
use crate::docker::DockerError;
use crate::domain::backup::{Backup, Content, Level, Reason, Series};
use crate::domain::failure::chain;
use crate::domain::fleet::{Container, Dependency};
use crate::domain::id::{DatabaseRef, Revision, ServiceName};
use crate::domain::migration::{
    DatabaseState, KeyParts, LastGood, MigrationKey, is_unchanged, serves, status_command,
};
use crate::domain::policy::{BackupBefore, EntrypointPolicy, MigrationPolicy};
use crate::domain::roster::ServerTarget;
use crate::domain::unit::Timestamp;
use crate::postgres::revision;
use crate::store::StoreError;

/// Compose's hash of a service's configuration.
const CONFIG_HASH: &str = "com.docker.compose.config-hash";

/// One service's migration and everything known about it beforehand.
#[derive(Debug)]
pub struct MigrationPlan {
    /// The container to clone.
    pub container: Container,
    /// What its labels say.
    pub policy: MigrationPolicy,
    /// The database it changes.
    pub database: DatabaseRef,
    /// Its server.
    pub target: ServerTarget,
    /// How far the server's backups are to be proven; the gate itself waits for `archive`.
    pub level: Level,
    /// What has to hold first.
    pub conditions: Vec<Dependency>,
    /// The last run that left the database where it belongs.
    pub last_good: Option<LastGood>,
    /// When anything was last migrated in this database.
    pub last_migrated: Option<Timestamp>,
}

/// How a migration ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migrated {
    /// Nothing was pending.
    NothingPending,
    /// The command ran.
    Applied {
        /// How long.
        took: Duration,
    },
}

/// What is written about a migration.
#[derive(Debug)]
pub struct MigrationRecord {
    /// The service.
    pub service: ServiceName,
    /// What the run was made of, when that could be learned.
    pub key: Option<MigrationKey>,
    /// The revision before.
    pub before: Option<Revision>,
    /// The revision after.
    pub after: Option<Revision>,
    /// How it ended.
    pub outcome: Result<Migrated, MigrateError>,
}

/// Why a migration failed.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// A condition did not come true.
    #[error("service {service} waits for {waited_for}, which {state} after {waited:?}")]
    Condition {
        /// The service.
        service: ServiceName,
        /// What it waits for.
        waited_for: String,
        /// What that did instead.
        state: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The server.
    #[error("prepare the migration of {service}")]
    Server {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: ServerError,
    },
    /// Docker.
    #[error("run the migration of {service}")]
    Docker {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: DockerError,
    },
    /// The backup folder.
    #[error("look for a backup before the migration of {service}")]
    Store {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// No backup, no migration.
    #[error("no backup could be taken before the migration of {service}, so it was not run")]
    Backup {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: BackupError,
    },
    /// The command failed.
    #[error("the migration of {service} failed with code {code}{}; its last words: {tail}", memory_hint(*out_of_memory))]
    Failed {
        /// The service.
        service: ServiceName,
        /// Its exit code.
        code: i64,
        /// Whether the kernel killed it for memory.
        out_of_memory: OutOfMemory,
        /// The end of its output.
        tail: String,
    },
    /// The command took too long.
    #[error(
        "the migration of {service} did not end within {after:?} and was killed; raise stackwarden.migrate.timeout; its last words: {tail}"
    )]
    TimedOut {
        /// The service.
        service: ServiceName,
        /// The limit.
        after: Duration,
        /// The end of its output.
        tail: String,
    },
    /// The lock went away under the migration.
    #[error(
        "the lock on {database} was lost, so the migration of {service} was killed; look at the log of the database"
    )]
    LockLost {
        /// The service.
        service: ServiceName,
        /// The database.
        database: DatabaseRef,
        /// Why.
        #[source]
        source: ServerError,
    },
    /// We were told to stop.
    #[error("told to stop during the migration of {service}")]
    Cancelled {
        /// The service.
        service: ServiceName,
    },
}

/// Whether the kernel killed the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfMemory {
    /// It did.
    Killed,
    /// It did not.
    No,
}

fn memory_hint(out_of_memory: OutOfMemory) -> &'static str {
    match out_of_memory {
        OutOfMemory::Killed => " (killed for lack of memory; raise the service's mem_limit)",
        OutOfMemory::No => "",
    }
}

/// Runs one migration and says what happened; never panics the rest of the gate.
pub async fn run(context: &JobContext, run: &Run, plan: &MigrationPlan) -> MigrationRecord {
    let mut record = MigrationRecord {
        service: plan.container.service.clone(),
        key: None,
        before: None,
        after: None,
        outcome: Ok(Migrated::NothingPending),
    };
    record.outcome = Box::pin(migrate(context, run, plan, &mut record)).await;
    record
}

async fn migrate(
    context: &JobContext,
    run: &Run,
    plan: &MigrationPlan,
    record: &mut MigrationRecord,
) -> Result<Migrated, MigrateError> {
    conditions::wait(context, run, plan).await?;
    let image = context.docker.image_content(&plan.container.image_id).await;
    let image = image.map_err(|source| docker_error(plan, source))?;
    let image = format!("{}\n{}", image.layers.join("\n"), image.configuration);
    let state = read_state(context, run, plan).await?;
    let key = key(plan, &image, &state);
    record.before.clone_from(&state.revision);
    record.after.clone_from(&state.revision);
    record.key = Some(key.clone());
    if is_unchanged(plan.last_good.as_ref(), &key, &state) {
        return Ok(Migrated::NothingPending);
    }
    let mut lock = server::lock(context, run, &plan.target, &plan.database.database)
        .await
        .map_err(|source| server_error(plan, source))?;
    // Another gate may have migrated while we waited.
    let state = read_state(context, run, plan).await?;
    record.before.clone_from(&state.revision);
    record.after.clone_from(&state.revision);
    if clone::is_nothing_pending(context, run, plan, status_command(&plan.policy)).await? {
        return Ok(Migrated::NothingPending);
    }
    Box::pin(back_up(context, run, plan, &state, &mut lock)).await?;
    let begun = Instant::now();
    info!(service = %plan.container.service, database = %plan.database, revision = shown(&state), "migration begins");
    let applied = clone::apply(context, run, plan, &mut lock).await;
    let after = read_state(context, run, plan).await;
    if let Ok(after) = &after {
        record.after.clone_from(&after.revision);
        record.key = Some(self::key(plan, &image, after));
    }
    applied?;
    after?;
    Ok(Migrated::Applied {
        took: begun.elapsed(),
    })
}

fn shown(state: &DatabaseState) -> &str {
    state.revision.as_ref().map_or("none", Revision::as_str)
}

fn docker_error(plan: &MigrationPlan, source: DockerError) -> MigrateError {
    MigrateError::Docker {
        service: plan.container.service.clone(),
        source,
    }
}

fn server_error(plan: &MigrationPlan, source: ServerError) -> MigrateError {
    match source {
        ServerError::Cancelled => MigrateError::Cancelled {
            service: plan.container.service.clone(),
        },
        source => MigrateError::Server {
            service: plan.container.service.clone(),
            source,
        },
    }
}

fn key(plan: &MigrationPlan, image_content: &str, state: &DatabaseState) -> MigrationKey {
    MigrationKey::build(&KeyParts {
        service: &plan.container.service,
        image_content,
        command: &plan.policy.command,
        configuration_hash: plan
            .container
            .labels
            .get(CONFIG_HASH)
            .map_or("", String::as_str),
        state,
    })
}

async fn read_state(
    context: &JobContext,
    run: &Run,
    plan: &MigrationPlan,
) -> Result<DatabaseState, MigrateError> {
    let read = || async {
        let database = &plan.database.database;
        let mut connected = server::connect(context, run, &plan.target, database).await?;
        let state = revision::migration_state(&mut connected.session).await;
        let state = state.map_err(|source| connected.error(source))?;
        Ok(DatabaseState {
            system_identifier: state.system_identifier,
            database_oid: state.database_oid,
            revision: state.revision,
        })
    };
    let read = server::patiently(run, read).await;
    read.map_err(|source| server_error(plan, source))
}

/// Puts a backup behind us, unless one that still fits is there or nobody wants one.
async fn back_up(
    context: &JobContext,
    run: &Run,
    plan: &MigrationPlan,
    state: &DatabaseState,
    lock: &mut DatabaseLock,
) -> Result<(), MigrateError> {
    let service = &plan.container.service;
    if plan.policy.backup == BackupBefore::Never {
        warn!(service = %service, "migrating without a backup, as stackwarden.migrate.backup says");
        return Ok(());
    }
    if let Some(backup) = find_serving(context, plan, state).await?
        && plan.policy.backup == BackupBefore::Auto
    {
        info!(service = %service, backup.id = %backup.manifest.id, "a fresh backup stands before the migration");
        return Ok(());
    }
    let request = TakeRequest {
        target: plan.target.clone(),
        database: plan.database.database.clone(),
        reason: Reason::PreMigration,
        level: plan.level.max(Level::Archive),
        stage: None,
    };
    let mut globals = RunGlobals::default();
    let taken = take_database(context, run, &request, Locking::Held(lock), &mut globals).await;
    // Without the roles a backup still serves to take the schema back, so their failure only warns.
    for error in globals.into_outcomes().into_iter().filter_map(Result::err) {
        warn!(service = %service, error = %chain(&error), "the roles could not be backed up");
    }
    let taken = taken.map_err(|source| MigrateError::Backup {
        service: service.clone(),
        source,
    })?;
    info!(
        service = %service, backup.id = %taken.manifest.id, size_bytes = taken.manifest.stored_size.0,
        took_ms = taken.manifest.took.as_millis(), "backup taken before the migration"
    );
    if let Copied::Missing(why) = &taken.copied {
        warn!(service = %service, error = %why, "it stands on disk and not in the bucket; the sidecar copies it later");
    }
    Ok(())
}

async fn find_serving(
    context: &JobContext,
    plan: &MigrationPlan,
    state: &DatabaseState,
) -> Result<Option<Backup>, MigrateError> {
    let failed = |source| MigrateError::Store {
        service: plan.container.service.clone(),
        source,
    };
    let store = context.store.clone();
    let listed = tokio::task::spawn_blocking(move || store.list()).await;
    let listed = listed.map_err(|_lost| {
        failed(StoreError::ThreadLost {
            path: context.store.root().to_owned(),
        })
    })?;
    let mut listing = listed.map_err(failed)?;
    let series = Series {
        project: context.project.clone(),
        service: plan.database.service.clone(),
        content: Content::Database(plan.database.database.clone()),
    };
    let backups = listing.series.remove(&series).unwrap_or_default();
    let now = context.clock.now();
    let fits = |it: &Backup| serves(it, &plan.policy, state, plan.last_migrated, now);
    Ok(backups.into_iter().rev().find(fits))
}

/// The entrypoint a status command runs with: none, since some images migrate inside theirs.
const STATUS_ENTRYPOINT: EntrypointPolicy = EntrypointPolicy::Clear;
