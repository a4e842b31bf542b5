//! Sessions of ours that outlived their caller: a killed sidecar leaves an exec'd `pg_dump` with its locks.

use std::net::IpAddr;

use super::command::ApplicationName;
use super::quote;
use crate::domain::id::{DatabaseName, GATE_RUN, ProjectName};

/// Which of a project's sessions are to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftovers<'a> {
    /// Those with exactly this name: one job's, on cancel.
    Job(&'a ApplicationName),
    /// A project's on one database, at start, asked by the holder of that database's lock: those whose job lives no more. A job
    /// lives while a session of its name holds any lock; a gate asks short questions before it has one.
    Database(&'a ProjectName, &'a DatabaseName),
    /// Those that came from these addresses: Postgres does not notice a killed client in mid-statement.
    Clients(&'a [IpAddr]),
}

/// A query that ends leftover sessions and returns one row `{"ended": n}`.
pub fn terminate_sql(leftovers: &Leftovers<'_>) -> String {
    let condition = match leftovers {
        Leftovers::Job(name) => {
            format!("a.application_name = {}", quote::literal(name.as_str()))
        }
        Leftovers::Clients(addresses) => {
            let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let listed = quote::literal(&format!("{{{}}}", listed.join(",")));
            format!("a.client_addr = ANY ({listed}::pg_catalog.inet[])")
        }
        Leftovers::Database(project, database) => of_dead_jobs(project, database),
    };
    format!(
        "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) AS ended
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND {condition}"
    )
}

/// How long a question of a gate without a lock may take, with room to spare: longer than any that it asks.
const GATE_QUESTION: &str = "1 minute";

fn of_dead_jobs(project: &ProjectName, database: &DatabaseName) -> String {
    let prefix = ApplicationName::prefix(project);
    format!(
        "pg_catalog.starts_with(a.application_name, {project}) AND a.datname = {database}
  AND (NOT pg_catalog.starts_with(a.application_name, {gate})
    OR a.xact_start < pg_catalog.now() - {question}::pg_catalog.interval)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS o ON o.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND o.application_name = a.application_name)",
        project = quote::literal(&prefix),
        gate = quote::literal(&format!("{prefix}{GATE_RUN}")),
        database = quote::literal(database.as_str()),
        question = quote::literal(GATE_QUESTION),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_project_with_the_same_beginning_is_not_met() {
        let project = ProjectName::new("shop");
        let database = DatabaseName::new("o'brien");
        let sql = terminate_sql(&Leftovers::Database(&project, &database));
        assert!(sql.contains("'stackwarden/shop/'") && sql.contains("'o''brien'"));
    }
}
