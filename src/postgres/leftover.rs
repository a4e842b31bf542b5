//! Sessions of ours that outlived their caller: a killed sidecar leaves an exec'd `pg_dump` with its locks.

use std::net::IpAddr;

use super::command::ApplicationName;
use super::quote;
use crate::domain::id::{DatabaseName, ProjectName};

/// Which of a project's sessions are to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftovers<'a> {
    /// Those with exactly this name: one job's, on cancel.
    Job(&'a ApplicationName),
    /// All of a project's on one database: at start, by the holder of that database's lock, since the
    /// gate and the sidecar share the project.
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
        Leftovers::Database(project, database) => format!(
            "pg_catalog.starts_with(a.application_name, {}) AND a.datname = {}",
            quote::literal(&ApplicationName::prefix(project)),
            quote::literal(database.as_str())
        ),
    };
    format!(
        "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) AS ended
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND {condition}"
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
