//! Runs a command in a clone of the application's container and follows it to its end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{MigrateError, MigrationPlan, OutOfMemory, STATUS_ENTRYPOINT, docker_error};
use crate::docker::{CloneRequest, DockerError, Exit};
use crate::domain::failure::{bounded, chain};
use crate::domain::id::{ContainerId, ServiceName};
use crate::domain::policy::{CommandLine, EntrypointPolicy};
use crate::job::server::{self, DatabaseLock};
use crate::job::{JobContext, MAKER_LABEL, OWNED_LABEL, Run};

/// How often the session that holds the lock is asked whether it lives.
const LOCK_CHECK: Duration = Duration::from_secs(5);
/// A status command that takes longer tells nothing.
const STATUS_LIMIT: Duration = Duration::from_mins(2);
/// How much of a failed command's output is told in the error.
const TAIL_LINES: usize = 15;
const TAIL_CHARACTERS: usize = 2_000;

/// Runs the migration itself.
///
/// # Errors
/// When it fails, takes too long, loses the lock, or we are told to stop; the clone is gone in each case.
pub(super) async fn apply(
    context: &JobContext,
    run: &Run,
    plan: &MigrationPlan,
    lock: &mut DatabaseLock,
) -> Result<(), MigrateError> {
    let clone = create(
        context,
        plan,
        "migrate",
        &plan.policy.command,
        plan.policy.entrypoint,
    )
    .await;
    let clone = clone.map_err(|source| docker_error(plan, source))?;
    let outcome = tokio::select! {
        outcome = begin(context, plan, &clone) => outcome,
        () = run.stop.cancelled() => Err(cancelled(plan)),
    };
    let addresses = match outcome {
        Ok(addresses) => addresses,
        Err(error) => {
            remove(context, &plan.container.service, &clone).await;
            return Err(error);
        }
    };
    let outcome = tokio::select! {
        outcome = follow(context, plan, &clone) => outcome,
        error = watch_lock(plan, lock) => Err(error),
        () = run.stop.cancelled() => Err(cancelled(plan)),
    };
    remove(context, &plan.container.service, &clone).await;
    if outcome.is_err() {
        end_backends(context, run, plan, &addresses).await;
    }
    outcome
}

fn cancelled(plan: &MigrationPlan) -> MigrateError {
    MigrateError::Cancelled {
        service: plan.container.service.clone(),
    }
}

/// Starts the clone; the addresses its connections come from.
async fn begin(
    context: &JobContext,
    plan: &MigrationPlan,
    clone: &ContainerId,
) -> Result<Vec<IpAddr>, MigrateError> {
    let failed = |source| docker_error(plan, source);
    context.docker.start(clone).await.map_err(failed)?;
    let running = context.docker.inspect(clone).await.map_err(failed)?;
    let networks = running.map(|it| it.networks).unwrap_or_default();
    Ok(networks
        .into_iter()
        .filter_map(|attachment| attachment.address)
        .collect())
}

/// Before the lock is given back, nothing of a failed or killed migration may still run in the database.
async fn end_backends(context: &JobContext, run: &Run, plan: &MigrationPlan, addresses: &[IpAddr]) {
    // A run that was told to stop has to tidy up all the same.
    let tidy = Run {
        id: run.id.clone(),
        stop: CancellationToken::new(),
    };
    match server::end_clients(context, &tidy, &plan.target, addresses).await {
        Ok(0) => {}
        Ok(ended) => {
            info!(service = %plan.container.service, ended, "the migration's sessions were ended");
        }
        Err(error) => {
            warn!(service = %plan.container.service, error = %chain(&error), "the migration's sessions may still run");
        }
    }
}

async fn create(
    context: &JobContext,
    plan: &MigrationPlan,
    purpose: &str,
    command: &CommandLine,
    entrypoint: EntrypointPolicy,
) -> Result<ContainerId, DockerError> {
    let service = &plan.container.service;
    let maker = context
        .own
        .as_ref()
        .map(|own| own.id.to_string())
        .unwrap_or_default();
    let labels = BTreeMap::from([
        (OWNED_LABEL.to_owned(), context.project.to_string()),
        (MAKER_LABEL.to_owned(), maker),
    ]);
    let name = format!("{}-{service}-stackwarden-{purpose}", context.project);
    let request = || CloneRequest {
        source: plan.container.id.clone(),
        name: name.clone(),
        labels: labels.clone(),
        command: command.0.clone(),
        entrypoint,
    };
    match context.docker.create_clone(request()).await {
        // The lock is ours, so a clone of that name belongs to nobody who lives.
        Err(DockerError::NameTaken { .. }) => {
            context
                .docker
                .remove(&ContainerId::new(name.clone()))
                .await?;
            context.docker.create_clone(request()).await
        }
        created => created,
    }
}

/// Starts the clone, passes its lines on and learns how it ended.
async fn follow(
    context: &JobContext,
    plan: &MigrationPlan,
    clone: &ContainerId,
) -> Result<(), MigrateError> {
    let service = &plan.container.service;
    let failed = |source| docker_error(plan, source);
    let exit = {
        let lines = pass_lines_on(context, service, clone);
        let exit = context.docker.wait_exit(clone, plan.policy.timeout);
        tokio::pin!(lines, exit);
        tokio::select! {
            exit = &mut exit => exit,
            () = &mut lines => exit.await,
        }
    };
    match exit {
        Ok(Exit { code: 0, .. }) => Ok(()),
        Ok(Exit {
            code,
            out_of_memory,
        }) => Err(MigrateError::Failed {
            service: service.clone(),
            code,
            out_of_memory: if out_of_memory {
                OutOfMemory::Killed
            } else {
                OutOfMemory::No
            },
            tail: tail(context, clone).await,
        }),
        Err(DockerError::StillRunning { after, .. }) => {
            drop(context.docker.kill(clone).await);
            let tail = tail(context, clone).await;
            Err(MigrateError::TimedOut {
                service: service.clone(),
                after,
                tail,
            })
        }
        Err(source) => Err(failed(source)),
    }
}

async fn pass_lines_on(context: &JobContext, service: &ServiceName, clone: &ContainerId) {
    let mut lines = context.docker.follow_logs(clone);
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => info!(service = %service, line = %line.text, "migration"),
            Err(error) => {
                debug!(service = %service, error = %chain(&error), "its log broke off; its end is learned otherwise");
                return;
            }
        }
    }
}

async fn tail(context: &JobContext, clone: &ContainerId) -> String {
    match context.docker.logs_tail(clone, TAIL_LINES).await {
        Ok(text) => bounded(text.trim(), TAIL_CHARACTERS),
        Err(error) => format!("(its log cannot be read: {})", chain(&error)),
    }
}

/// Ends only when the lock is lost.
async fn watch_lock(plan: &MigrationPlan, lock: &mut DatabaseLock) -> MigrateError {
    loop {
        tokio::time::sleep(LOCK_CHECK).await;
        if let Err(source) = lock.check().await {
            let service = plan.container.service.clone();
            return MigrateError::LockLost {
                service,
                database: plan.database.clone(),
                source,
            };
        }
    }
}

async fn remove(context: &JobContext, service: &ServiceName, clone: &ContainerId) {
    if let Err(error) = context.docker.remove(clone).await {
        warn!(service = %service, error = %chain(&error), "the clone could not be removed; the next start tries again");
    }
}

/// Asks the tool whether something is pending: exit code 0 means nothing is; anything else, or no known
/// way to ask, means that nobody can tell.
///
/// # Errors
/// When no clone can be made or run.
pub(super) async fn is_nothing_pending(
    context: &JobContext,
    run: &Run,
    plan: &MigrationPlan,
    status: Option<CommandLine>,
) -> Result<bool, MigrateError> {
    let Some(status) = status else {
        return Ok(false);
    };
    let failed = |source| docker_error(plan, source);
    let clone = create(context, plan, "status", &status, STATUS_ENTRYPOINT)
        .await
        .map_err(failed)?;
    let asked = async {
        context.docker.start(&clone).await.map_err(failed)?;
        match context.docker.wait_exit(&clone, STATUS_LIMIT).await {
            Ok(exit) => Ok(exit.code == 0),
            Err(DockerError::StillRunning { .. }) => Ok(false),
            Err(source) => Err(failed(source)),
        }
    };
    let answer = tokio::select! {
        answer = asked => answer,
        () = run.stop.cancelled() => {
            Err(MigrateError::Cancelled { service: plan.container.service.clone() })
        }
    };
    if matches!(answer, Ok(false)) {
        let said = tail(context, &clone).await;
        debug!(service = %plan.container.service, said, "something is pending, or nobody can tell");
    }
    remove(context, &plan.container.service, &clone).await;
    answer
}
