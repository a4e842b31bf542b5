//! Cleans what killed processes left: partial files, clones, scratch containers, dumps that still hold locks, copies of
//! databases that were being restored.
//!
//! What a living process works on is never touched: its files are locked, its containers carry the id of
//! their maker, its Postgres sessions hold the database's advisory lock.

use std::net::IpAddr;

use tracing::{info, warn};

use super::{JobContext, MAKER_LABEL, OWNED_LABEL, Run, SCRATCH_NAME, restore, server};
use crate::docker::{DockerError, Leftover};
use crate::domain::failure::chain;
use crate::domain::id::{ContainerId, ProjectName};
use crate::domain::roster::ServerTarget;
use crate::store::StoreError;

/// Removes partial files, and dumps and proofs without manifest; what cannot be removed is named and left.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(context: &JobContext) -> Result<(), StoreError> {
    let swept = context.store.sweep()?;
    for path in &swept.removed {
        info!(path = %path.display(), "leftover file removed");
    }
    for problem in &swept.problems {
        warn!(error = %chain(problem), "leftover file could not be removed; the next start tries again");
    }
    Ok(())
}

/// Removes containers of ours whose maker does not live any more: this project's, and any scratch server,
/// since its name is the host's one place for a proof. Gives the addresses of those that still ran.
///
/// # Errors
/// When Docker cannot be asked.
pub async fn containers(context: &JobContext) -> Result<Vec<IpAddr>, DockerError> {
    let is_ours = |leftover: &Leftover| {
        let project = leftover.labels.get(OWNED_LABEL).map(String::as_str);
        project == Some(context.project.as_str()) || leftover.name == SCRATCH_NAME
    };
    remove_orphans(context, is_ours).await
}

/// Ends what removed migrations still run in the databases: Postgres does not notice a killed client in
/// mid-statement.
pub async fn clients<'a>(
    context: &JobContext,
    run: &Run,
    addresses: &[IpAddr],
    targets: impl IntoIterator<Item = &'a ServerTarget>,
) {
    // Outside the stack a container's address is another one.
    let inside = targets
        .into_iter()
        .filter(|target| target.server.outside.is_none());
    for target in inside {
        match server::end_clients(context, run, target, addresses).await {
            Ok(0) => {}
            Ok(ended) => {
                info!(service = %target.service, sessions = ended, "sessions of a removed migration ended");
            }
            Err(error) => {
                warn!(service = %target.service, error = %chain(&error), "could not look for sessions of removed migrations");
            }
        }
    }
}

/// Removes copies of databases that killed restores left on one server.
///
/// A server that does not answer is named and left alone: the next restore looks again.
pub async fn copies(context: &JobContext, run: &Run, target: &ServerTarget) {
    match restore::remove_leftovers(context, run, target).await {
        Ok(_removed) => {}
        Err(error) => {
            warn!(service = %target.service, error = %chain(&error), "could not look for copies of killed restores");
        }
    }
}

/// The same for the host's one scratch server, whatever project it was of.
///
/// # Errors
/// When Docker cannot be asked.
pub async fn scratch(context: &JobContext) -> Result<(), DockerError> {
    remove_orphans(context, |leftover| leftover.name == SCRATCH_NAME)
        .await
        .map(drop)
}

/// The same for this project's one server on a copy of a volume.
///
/// # Errors
/// When Docker cannot be asked.
pub async fn revived(context: &JobContext) -> Result<(), DockerError> {
    let name = revived_name(&context.project);
    remove_orphans(context, |leftover| leftover.name == name)
        .await
        .map(drop)
}

/// The name of the throw-away server on a copy of a volume: a project has one at a time.
pub fn revived_name(project: &ProjectName) -> String {
    format!("{project}-stackwarden-volume")
}

async fn remove_orphans(
    context: &JobContext,
    is_meant: impl Fn(&Leftover) -> bool,
) -> Result<Vec<IpAddr>, DockerError> {
    let mut addresses = Vec::new();
    for leftover in context.docker.find_by_label(&[(OWNED_LABEL, "")]).await? {
        if !is_meant(&leftover) {
            continue;
        }
        let maker = leftover
            .labels
            .get(MAKER_LABEL)
            .map(|id| ContainerId::new(id.clone()));
        if is_maker_alive(context, maker.as_ref()).await? {
            continue;
        }
        info!(container = %leftover.name, "leftover container removed");
        let running = context.docker.inspect(&leftover.id).await?;
        let networks = running.map(|it| it.networks).unwrap_or_default();
        addresses.extend(
            networks
                .into_iter()
                .filter_map(|attachment| attachment.address),
        );
        context.docker.remove(&leftover.id).await?;
    }
    Ok(addresses)
}

/// At start nothing of this container's own making can be alive: it has only just begun.
async fn is_maker_alive(
    context: &JobContext,
    maker: Option<&ContainerId>,
) -> Result<bool, DockerError> {
    let own = context.own.as_ref().map(|own| &own.id);
    match maker {
        None => Ok(false),
        Some(maker) if Some(maker) == own => Ok(false),
        Some(maker) => {
            let found = context.docker.inspect(maker).await?;
            Ok(found.is_some_and(|it| it.state == crate::domain::fleet::ContainerState::Running))
        }
    }
}

/// Ends dumps of this project that outlived their process, on one server.
///
/// A server that does not answer is named and left alone: its sessions end with it.
pub async fn sessions(context: &JobContext, run: &Run, target: &ServerTarget) {
    match server::end_leftovers(context, run, target).await {
        Ok(0) => {}
        Ok(ended) => info!(service = %target.service, sessions = ended, "leftover sessions ended"),
        Err(error) => {
            warn!(service = %target.service, error = %chain(&error), "could not look for leftover sessions");
        }
    }
}
