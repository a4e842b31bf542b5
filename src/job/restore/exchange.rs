//! The exchange of names: all statements or none, while the sessions with both databases are ended.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::RestoreError;
use super::site::Site;
use crate::domain::failure::chain;
use crate::domain::id::{BackupId, DatabaseName};
use crate::domain::restore::dependents;
use crate::domain::restore::mark::{Mark, Stage};
use crate::domain::restore::name::{Side, aside};
use crate::job::server::Connected;
use crate::postgres::catalog::DatabaseEntry;
use crate::postgres::mark::mark_sql;
use crate::postgres::restore as sql;
use crate::postgres::{Condition, PostgresError};

/// The longest that an exchange of names may take.
const EXCHANGE: Duration = Duration::from_mins(1);
/// How often sessions are ended while names are exchanged.
const PAUSE: Duration = Duration::from_millis(20);
/// A session that does not end within a rename's own five seconds may end within the next.
const TRIES: usize = 3;

/// What an exchange took.
pub(super) struct Exchanged {
    pub(super) downtime: Duration,
    ended: u64,
}

impl Exchanged {
    pub(super) fn told(&self) -> String {
        format!(
            "nobody could connect for {} ms and {} sessions were ended",
            self.downtime.as_millis(),
            self.ended
        )
    }
}

impl Site<'_> {
    /// Names what forbids that a database is renamed.
    pub(super) async fn expect_no_obstacle(
        &self,
        maintenance: &mut Connected,
        database: &DatabaseName,
    ) -> Result<(), RestoreError> {
        let found = sql::obstacles(&mut maintenance.session, database).await;
        let obstacles = found.map_err(|source| maintenance.error(source))?;
        if obstacles.is_empty() {
            return Ok(());
        }
        Err(RestoreError::Forbidden {
            database: database.clone(),
            obstacles,
        })
    }

    /// The statements that take a live database out of the way, and its name there.
    pub(super) fn put_aside(
        &self,
        live: &DatabaseEntry,
        side: Side,
        id: &BackupId,
        all: &[DatabaseEntry],
    ) -> (DatabaseName, Vec<String>) {
        let taken: BTreeSet<DatabaseName> = all.iter().map(|it| it.name.clone()).collect();
        let name = aside(&live.name, side, id, &taken);
        let mark = Mark {
            stage: Stage::Aside(side),
            project: self.context.project.clone(),
            of: live.name.clone(),
            backup: Some(id.clone()),
            at: self.context.clock.now(),
            comment: live.comment.clone(),
        };
        let statements = vec![sql::rename_sql(&live.name, &name), mark_sql(&name, &mark)];
        (name, statements)
    }

    /// Ends the sessions with these databases while the statements rename them, all or none.
    pub(super) async fn transact(
        &self,
        database: &DatabaseName,
        statements: &[String],
        oids: &[u32],
    ) -> Result<Exchanged, RestoreError> {
        let mut changing = self.maintenance().await?;
        let mut ended = 0;
        let mut tries = 1;
        let downtime = loop {
            // A session whose question was cut off answers no other.
            let mut ending = self.maintenance().await?;
            // Before the last try everybody could connect again.
            let begun = Instant::now();
            let change = sql::transact(&mut changing.session, statements, EXCHANGE);
            let changed = tokio::select! {
                biased;
                changed = change => changed,
                never = end_sessions(&mut ending, oids, &mut ended) => match never {},
            };
            let error = match changed {
                Ok(()) => break begun.elapsed(),
                Err(error) => error,
            };
            if is_occupied(&error) && tries < TRIES {
                tries += 1;
                continue;
            }
            let occupied = is_occupied(&error);
            let source = changing.error(error);
            if occupied {
                return Err(RestoreError::Occupied {
                    database: database.clone(),
                    source: Box::new(source),
                });
            }
            // A session that is lost at its last word may have said it.
            if self.is_exchanged(database, oids).await {
                break begun.elapsed();
            }
            return Err(source.into());
        };
        Ok(Exchanged { downtime, ended })
    }

    /// Whether the name belongs to the last of these databases, which was to take it.
    async fn is_exchanged(&self, database: &DatabaseName, oids: &[u32]) -> bool {
        let found = self.find(database).await.ok().flatten();
        found.is_some_and(|it| oids.last() == Some(&it.oid))
    }

    /// Restarts who depends on the server: pools and caches may hold what was true of another database.
    pub(super) async fn restart_dependents(&self) -> Vec<(String, Result<String, String>)> {
        let docker = &self.context.docker;
        let fleet = match docker.list(&self.context.project).await {
            Ok(fleet) => fleet,
            Err(error) => {
                let told = format!("could not be looked for: {}", chain(&error));
                return vec![("dependents".to_owned(), Err(told))];
            }
        };
        let own = self.context.own.as_ref().map(|own| &own.image_id);
        let found = dependents::find(&fleet, &self.target.service, own);
        let restarts = found.into_iter().map(|container| async move {
            let told = match docker.restart(&container.id).await {
                Ok(()) => Ok("restarted".to_owned()),
                Err(error) => Err(format!("could not be restarted: {}", chain(&error))),
            };
            (format!("service {}", container.service), told)
        });
        join_all(restarts.collect::<Vec<_>>()).await
    }
}

/// Ends sessions for ever; where that is refused, the rename says so.
async fn end_sessions(
    ending: &mut Connected,
    oids: &[u32],
    ended: &mut u64,
) -> std::convert::Infallible {
    let mut first = true;
    loop {
        match sql::end_sessions(&mut ending.session, oids).await {
            // Later rounds meet those again that are still on their way out.
            Ok(met) if first => *ended += met,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), "sessions with a database that is to be renamed cannot be ended");
                return std::future::pending().await;
            }
        }
        first = false;
        tokio::time::sleep(PAUSE).await;
    }
}

/// `object_in_use`, or a lock that was not to be had.
fn is_occupied(error: &PostgresError) -> bool {
    matches!(error, PostgresError::Server { sqlstate, .. } if sqlstate == "55006")
        || error.condition() == Some(&Condition::LockTimeout)
}
