//! What restores leave behind: copies of killed ones, removed without asking, and what swaps put aside, removed when asked.

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::site::Site;
use super::{Done, RestoreError};
use crate::domain::failure::chain;
use crate::domain::id::DatabaseName;
use crate::domain::restore::mark::Stage;
use crate::domain::restore::name;
use crate::domain::roster::ServerTarget;
use crate::job::server::{self, Connected, ServerError};
use crate::job::{JobContext, Run};
use crate::postgres::catalog::{self, DatabaseEntry};
use crate::postgres::lock::{LockAnswer, try_lock};
use crate::postgres::restore as sql;

/// Dropping a large database on a busy disk.
const STATEMENT: Duration = Duration::from_mins(10);

/// How long a killed process may seem to live.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often its lock is asked for.
const PAUSE: Duration = Duration::from_millis(200);

/// Removes the copies of this project's killed restores on one server; says how many.
///
/// A living restore holds the lock of its copy's name, so that what nobody holds is a leftover. The name alone is not
/// enough to be removed: a copy carries our mark, or was killed before it had one, and is empty.
///
/// # Errors
/// When the server does not answer.
pub async fn remove_leftovers(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
) -> Result<u64, ServerError> {
    let mut maintenance = server::connect_maintenance(context, run, target).await?;
    let listed = catalog::databases(&mut maintenance.session).await;
    let listed = listed.map_err(|source| maintenance.error(source))?;
    let mut removed = 0;
    for entry in listed.iter().filter(|it| name::is_copy(&it.name)) {
        if !is_leftover(context, run, target, entry).await
            || !is_given_up(&mut maintenance, entry).await?
        {
            continue;
        }
        maintenance
            .run(&sql::remove_sql(&entry.name), STATEMENT)
            .await?;
        info!(service = %target.service, database = %entry.name, "leftover copy of a restore removed");
        removed += 1;
    }
    Ok(removed)
}

/// Whether nobody works on a copy. A process that was killed a moment ago may still seem to: its session ends with its
/// streams, so that a little patience tells the living from the dead.
async fn is_given_up(
    maintenance: &mut Connected,
    entry: &DatabaseEntry,
) -> Result<bool, ServerError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = try_lock(&mut maintenance.session, &entry.name).await;
        let answer = answer.map_err(|source| maintenance.error(source))?;
        if answer == LockAnswer::Held || Instant::now() > deadline {
            return Ok(answer == LockAnswer::Held);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn is_leftover(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    entry: &DatabaseEntry,
) -> bool {
    match entry.mark() {
        Some(mark) => mark.stage == Stage::Copy && mark.project == context.project,
        None if entry.comment.is_some() => false,
        None => match server::connect(context, run, target, &entry.name).await {
            Ok(mut inside) => {
                let holds = catalog::has_user_tables(&mut inside.session).await;
                holds.is_ok_and(|holds| !holds)
            }
            Err(error) => {
                tracing::warn!(database = %entry.name, error = %chain(&error), "a database that is called like a copy of a restore cannot be looked into");
                false
            }
        },
    }
}

impl Site<'_> {
    /// Removes what swaps of this database put aside.
    pub(super) async fn drop_kept(&self, database: &DatabaseName) -> Result<Done, RestoreError> {
        let mut kept = self.databases().await?;
        kept.retain(|it| it.mark().is_some_and(|mark| mark.is_aside(database)));
        if kept.is_empty() {
            return Err(RestoreError::NothingKept {
                database: database.clone(),
            });
        }
        let mut maintenance = self.maintenance().await?;
        let mut parts = Vec::new();
        for entry in &kept {
            // Whoever still looks at it is not thrown out: then it stays, and is named.
            let sql = sql::remove_unused_sql(&entry.name);
            let dropped = maintenance.run(&sql, STATEMENT).await;
            let told = match dropped {
                Ok(()) => Ok("removed".to_owned()),
                Err(error) => Err(chain(&error)),
            };
            parts.push((self.name(&entry.name), told));
        }
        let removed = parts.iter().filter(|(_, told)| told.is_ok()).count();
        Ok(Done {
            subject: self.name(database),
            backup: None,
            detail: format!(
                "{removed} of {} databases that swaps kept are removed",
                kept.len()
            ),
            downtime: None,
            parts,
        })
    }
}
