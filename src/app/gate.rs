//! `stackwarden gate`: runs before the application at every `up`, and keeps it down when a migration fails.

use std::collections::BTreeMap;

use thiserror::Error;
use tracing::{error, info, warn};

use super::ground::Ground;
use super::history;
use crate::docker::DockerError;
use crate::domain::backup::Level;
use crate::domain::database::migration::{MigrationDatabaseError, find_migration_database};
use crate::domain::database::{Server, find_servers};
use crate::domain::failure::{bounded, chain};
use crate::domain::fleet::Fleet;
use crate::domain::id::{GATE_RUN, ServiceName};
use crate::domain::label::MigrationReading;
use crate::domain::order::{OrderError, conditions_before_gate, order};
use crate::domain::policy::MigrationPolicy;
use crate::domain::roster::{Roster, read_roster};
use crate::job::migrate::{self, MigrateError, Migrated, MigrationPlan, MigrationRecord};
use crate::job::{Run, job_id, tidy};
use crate::journal::{Entry, JournalError, Line};
use tokio_util::sync::CancellationToken;

/// The longest error that is kept in the journal; the log has all of it.
const LONGEST_ERROR: usize = 2_000;

/// Why the gate stays closed.
#[derive(Debug, Error)]
pub enum GateError {
    /// Docker.
    #[error("the stack cannot be read")]
    Docker(#[source] DockerError),
    /// The journal.
    #[error("the record of earlier migrations cannot be read")]
    Journal(#[source] JournalError),
    /// A label that decides about a migration is wrong.
    #[error("a migration cannot be understood: {}", .0.join("; "))]
    Labels(Vec<String>),
    /// The order.
    #[error("the order of the migrations is not clear")]
    Order(#[source] OrderError),
    /// The database.
    #[error("a migration's database is not clear")]
    Database(#[source] MigrationDatabaseError),
    /// A migration.
    #[error("the application stays down")]
    Migration(#[source] Box<MigrateError>),
}

impl GateError {
    /// Whether the user has to change the compose file before trying again.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Labels(_) | Self::Order(_) | Self::Database(_))
    }
}

/// Opens the gate: every migration of the stack, in order. What keeps it closed goes to the journal, where the sidecar reads it
/// and tells people.
///
/// # Errors
/// The first one that failed; those after it were not run.
pub async fn run(ground: &Ground, stop: CancellationToken) -> Result<(), GateError> {
    let opened = Box::pin(open(ground, stop)).await;
    if let Err(unwritten) = note(ground, &opened) {
        warn!(error = %chain(&unwritten), "the journal cannot be written, so nobody is told of the gate");
    }
    opened
}

/// One line when the gate stayed closed before any migration began, and one when it gets that far again; a migration has a line of its
/// own.
fn note(ground: &Ground, opened: &Result<(), GateError>) -> Result<(), JournalError> {
    let (outcome, error) = match opened {
        Ok(()) | Err(GateError::Migration(_)) => (history::SUCCEEDED, None),
        Err(error) => (history::FAILED, Some(bounded(&chain(error), LONGEST_ERROR))),
    };
    let before = history::gate(&ground.journal.read()?);
    let was_closed = before.is_some_and(|it| it.error.is_some());
    if error.is_none() && !was_closed {
        return Ok(());
    }
    let outcome = outcome.to_owned();
    let entry = Entry::Gate { outcome, error };
    ground.journal.append(ground.context.clock.now(), entry)
}

async fn open(ground: &Ground, stop: CancellationToken) -> Result<(), GateError> {
    let context = &ground.context;
    let fleet = context
        .docker
        .list(&context.project)
        .await
        .map_err(GateError::Docker)?;
    let roster = read_roster(&fleet, &ground.defaults, &ground.outside);
    let policies = read_policies(&roster)?;
    let ordered = order(&policies).map_err(GateError::Order)?;
    if ordered.is_empty() {
        info!("no service of this stack has a stackwarden.migrate label; nothing to do");
        return Ok(());
    }
    let orphans = tidy::containers(context).await.map_err(GateError::Docker)?;
    let run = Run {
        id: job_id(GATE_RUN, context.clock.now()),
        stop,
    };
    tidy::clients(context, &run, &orphans, roster.all_servers.values()).await;
    let stack = Stack {
        fleet,
        roster,
        policies,
    };
    for service in ordered {
        let lines = ground.journal.read().map_err(GateError::Journal)?;
        let Some(plan) = plan(ground, &stack, &service, &lines)? else {
            continue;
        };
        let record = Box::pin(migrate::run(context, &run, &plan)).await;
        write(ground, &record).map_err(GateError::Journal)?;
        record
            .outcome
            .map_err(|error| GateError::Migration(Box::new(error)))?;
    }
    Ok(())
}

fn read_policies(roster: &Roster) -> Result<BTreeMap<ServiceName, MigrationPolicy>, GateError> {
    let mut policies = BTreeMap::new();
    let mut broken = Vec::new();
    for (service, entry) in &roster.services {
        match &entry.migration {
            MigrationReading::Absent => {}
            MigrationReading::Valid(policy) => {
                drop(policies.insert(service.clone(), policy.clone()));
            }
            MigrationReading::Broken => {
                let of_service = roster.problems.iter().filter(|it| &it.service == service);
                broken.extend(of_service.map(ToString::to_string));
            }
        }
    }
    if broken.is_empty() {
        Ok(policies)
    } else {
        Err(GateError::Labels(broken))
    }
}

/// The stack as the gate found it.
struct Stack {
    fleet: Fleet,
    roster: Roster,
    policies: BTreeMap<ServiceName, MigrationPolicy>,
}

fn plan(
    ground: &Ground,
    stack: &Stack,
    service: &ServiceName,
    lines: &[Line],
) -> Result<Option<MigrationPlan>, GateError> {
    let (Some(container), Some(policy)) = (
        stack.fleet.find_service(service),
        stack.policies.get(service),
    ) else {
        return Ok(None);
    };
    let outside = ground.outside.iter().map(|it| it.target.server.clone());
    let servers: Vec<Server> = find_servers(&stack.fleet)
        .into_iter()
        .chain(outside)
        .collect();
    let database =
        find_migration_database(container, policy, &servers).map_err(GateError::Database)?;
    let target = stack.roster.all_servers.get(&database.service);
    let target = target.ok_or_else(|| {
        let service = service.clone();
        GateError::Database(MigrationDatabaseError::NoServer { service })
    })?;
    let asked = stack.roster.servers.get(&target.service);
    let own = ground
        .context
        .own
        .as_ref()
        .and_then(|own| own.service.clone());
    let conditions = own.map(|gate| conditions_before_gate(&stack.fleet, service, &gate));
    Ok(Some(MigrationPlan {
        container: container.clone(),
        policy: policy.clone(),
        database,
        target: target.clone(),
        level: asked.map_or(Level::Content, |server| server.policy.verify),
        conditions: conditions.unwrap_or_default(),
        last_good: history::last_good(lines).remove(service),
        last_migrated: history::last_migrated(lines),
    }))
}

/// One log line and one journal line for each migration.
fn write(ground: &Ground, record: &MigrationRecord) -> Result<(), JournalError> {
    let service = &record.service;
    let revision = |it: &Option<crate::domain::id::Revision>| it.as_ref().map(ToString::to_string);
    let (before, after) = (revision(&record.before), revision(&record.after));
    let (from, to) = (
        before.as_deref().unwrap_or("none"),
        after.as_deref().unwrap_or("none"),
    );
    let (outcome, seconds) = match &record.outcome {
        Ok(Migrated::NothingPending) => {
            info!(service = %service, revision = to, "nothing pending");
            (history::NOTHING_PENDING, 0.0)
        }
        Ok(Migrated::Applied { took }) => {
            info!(service = %service, from, to, took_ms = took.as_millis(), "migrated");
            (history::SUCCEEDED, took.as_secs_f64())
        }
        Err(error) => {
            error!(service = %service, from, to, error = %chain(error), "migration failed");
            (history::FAILED, 0.0)
        }
    };
    let error = record.outcome.as_ref().err();
    let error = error.map(|error| bounded(&chain(error), LONGEST_ERROR));
    ground.journal.append(
        ground.context.clock.now(),
        Entry::Migration {
            service: service.to_string(),
            outcome: outcome.to_owned(),
            key: record
                .key
                .as_ref()
                .map(|key| key.as_str().to_owned())
                .unwrap_or_default(),
            before,
            after,
            seconds,
            error,
        },
    )
}
