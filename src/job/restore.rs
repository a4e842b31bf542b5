//! Restores into the live server, beside everything that is there; a whole and proven copy may then take the live
//! database's place, in one transaction.
//!
//! Dropped or killed at any await, it leaves at most a database with the name and the mark of a copy, which the next start
//! or the next restore removes. What is live, and what was put aside, is before or after one transaction, never between.

mod copy;
mod exchange;
mod failure;
mod foreign;
mod kept;
mod roles;
mod rows;
mod shelf;
mod site;
mod source;
mod swap;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::backup::SeriesOutcome;
use super::{JobContext, Run};
use crate::domain::backup::Level;
use crate::domain::id::{BackupId, DatabaseRef, ProjectName, ServiceName};
use crate::domain::restore::RestoreOrder;
use crate::domain::roster::ServerTarget;

pub use failure::RestoreError;
pub use kept::remove_leftovers;
use site::Site;
use source::Material;

/// What to restore, and where servers are.
#[derive(Debug, Clone)]
pub struct RestorePlan {
    /// What is asked for.
    pub order: RestoreOrder,
    /// The servers of the stack, with the level their backups are proven at.
    pub servers: BTreeMap<ServiceName, (ServerTarget, Level)>,
}

impl RestorePlan {
    fn server(&self, service: &ServiceName) -> Result<&(ServerTarget, Level), RestoreError> {
        let found = self.servers.get(service);
        found.ok_or_else(|| RestoreError::NoServer {
            service: service.clone(),
        })
    }

    /// The server for a file: the one that is named, or the only one.
    fn chosen(&self, service: Option<&ServiceName>) -> Result<&ServerTarget, RestoreError> {
        if let Some(service) = service {
            return Ok(&self.server(service)?.0);
        }
        let mut servers = self.servers.values();
        match (servers.next(), servers.next()) {
            (Some((only, _)), None) => Ok(only),
            (None, _) => Err(RestoreError::NoServers),
            (Some(_), Some(_)) => Err(RestoreError::NoChoice {
                known: self.servers.keys().map(ToString::to_string).collect(),
            }),
        }
    }
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Done {
    /// `service/database`.
    pub subject: String,
    /// The backup that was restored.
    pub backup: Option<BackupId>,
    /// One sentence.
    pub detail: String,
    /// How long nobody could connect.
    pub downtime: Option<Duration>,
    /// What belongs to it, one by one: a table's rows, a restarted service, a removed database.
    pub parts: Vec<(String, Result<String, String>)>,
}

impl Done {
    /// With the words for whose backup it was.
    fn of(self, material: &Material, project: &ProjectName, database: &DatabaseRef) -> Self {
        let owner = material.told_owner(project, database).unwrap_or_default();
        Self {
            detail: self.detail + &owner,
            ..self
        }
    }
}

/// How a restore ended.
#[derive(Debug)]
pub struct RestoreOutcome {
    /// Backups that were taken first.
    pub backups: Vec<SeriesOutcome>,
    /// What was done, or why not.
    pub result: Result<Done, RestoreError>,
    /// How long it took.
    pub took: Duration,
}

/// Does what is asked for.
///
/// # Cancellation
/// Told to stop by `run`, it removes its copy first; dropped, see the module.
pub async fn run(context: &JobContext, run: &Run, plan: &RestorePlan) -> RestoreOutcome {
    let begun = Instant::now();
    let mut backups = Vec::new();
    // Out of time means: told to stop, so that there is one way to clean.
    let run = Run {
        id: run.id.clone(),
        stop: run.stop.child_token(),
    };
    let limit = context.limits.deadline;
    let mut work = Box::pin(carry_out(context, &run, plan, &mut backups));
    let result = tokio::select! {
        result = &mut work => result,
        () = tokio::time::sleep(limit) => {
            run.stop.cancel();
            // What was done all the same is done.
            work.as_mut().await.map_err(|error| {
                if error.is_cancelled() { RestoreError::Deadline { limit } } else { error }
            })
        }
    };
    drop(work);
    RestoreOutcome {
        backups,
        result,
        took: begun.elapsed(),
    }
}

async fn carry_out(
    context: &JobContext,
    run: &Run,
    plan: &RestorePlan,
    backups: &mut Vec<SeriesOutcome>,
) -> Result<Done, RestoreError> {
    match &plan.order {
        RestoreOrder::Into {
            source,
            service,
            name,
        } => {
            let material = run
                .or_stopped(Box::pin(Material::find(context, source)))
                .await?;
            let server = plan.chosen(service.as_ref())?;
            let site = Site::open(context, run, server).await?;
            let done = site.restore_into(&material, name).await?;
            let database = DatabaseRef::new(server.service.clone(), name.clone());
            Ok(done.of(&material, &context.project, &database))
        }
        RestoreOrder::Swap { database, source } => {
            let (server, level) = plan.server(&database.service)?;
            let material = run
                .or_stopped(Box::pin(Material::find(context, source)))
                .await?;
            let site = Site::open(context, run, server).await?;
            let name = &database.database;
            let done = Box::pin(site.swap_in(&material, name, *level, backups)).await?;
            Ok(done.of(&material, &context.project, database))
        }
        RestoreOrder::Undo { database } => {
            let site = Site::open(context, run, &plan.server(&database.service)?.0).await?;
            site.undo(&database.database).await
        }
        RestoreOrder::Drop { database } => {
            let site = Site::open(context, run, &plan.server(&database.service)?.0).await?;
            site.drop_kept(&database.database).await
        }
    }
}
