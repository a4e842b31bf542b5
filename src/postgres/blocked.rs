//! Who waits for a table because a session of ours holds it.
//!
//! A dump holds ACCESS SHARE, which only ACCESS EXCLUSIVE waits for; behind such a waiter everybody queues who
//! only wants to read. What a statement says beyond its kind never leaves this module: it may hold data.

use std::time::Duration;

use serde::Deserialize;

use super::command::ApplicationName;
use super::failure::PostgresError;
use super::quote;
use super::session::Session;

const DEADLINE: Duration = Duration::from_secs(30);

/// Statements that take ACCESS EXCLUSIVE, longer beginnings first.
const KINDS: [&str; 19] = [
    "ALTER TABLE",
    "ALTER INDEX",
    "ALTER SEQUENCE",
    "ALTER MATERIALIZED VIEW",
    "ALTER",
    "TRUNCATE",
    "DROP TABLE",
    "DROP INDEX",
    "DROP SCHEMA",
    "DROP TRIGGER",
    "DROP",
    "VACUUM",
    "CLUSTER",
    "REINDEX",
    "REFRESH MATERIALIZED VIEW",
    "LOCK",
    "CREATE RULE",
    "CREATE OR REPLACE RULE",
    "REPACK",
];

/// Somebody who waits for a table that a session of ours holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The waiting backend.
    pub process: i32,
    /// What kind of statement it executes, such as `ALTER TABLE`.
    pub statement: &'static str,
    /// The relation it waits for, quoted.
    pub relation: String,
}

/// Everybody who waits for ACCESS EXCLUSIVE in the session's database behind sessions of this name.
///
/// # Errors
/// As [`Session::rows`].
pub async fn blocked(
    session: &mut Session,
    ours: &ApplicationName,
) -> Result<Vec<Blocked>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        process: i32,
        query: String,
        relation: String,
    }
    let rows: Vec<Row> = session.rows(&sql(ours), DEADLINE).await?;
    let blocked = rows.into_iter().map(|row| Blocked {
        process: row.process,
        statement: kind_of(&row.query),
        relation: row.relation,
    });
    Ok(blocked.collect())
}

/// The lock table is read for those who wait behind us only: with 12 000 tables in a dump it is long.
fn sql(ours: &ApplicationName) -> String {
    let ours = quote::literal(ours.as_str());
    format!(
        "SELECT w.pid AS process, pg_catalog.left(w.query, 1000) AS query,
  COALESCE(pg_catalog.format('%I.%I', n.nspname, c.relname), 'a table that is not to be seen yet') AS relation
FROM (
  SELECT a.pid, a.query FROM pg_catalog.pg_stat_activity AS a
  CROSS JOIN LATERAL (SELECT pg_catalog.pg_blocking_pids(a.pid) AS pids OFFSET 0) AS b
  WHERE a.wait_event_type = 'Lock' AND a.datname = pg_catalog.current_database()
    AND a.application_name <> {ours} AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS o
      WHERE o.pid = ANY (b.pids) AND o.application_name = {ours})
  OFFSET 0
) AS w
CROSS JOIN LATERAL (
  SELECT k.relation FROM pg_catalog.pg_locks AS k
  WHERE k.pid = w.pid AND NOT k.granted AND k.locktype = 'relation' AND k.mode = 'AccessExclusiveLock'
  OFFSET 0
) AS l
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    )
}

/// The kind of the first statement of a text that may take ACCESS EXCLUSIVE.
fn kind_of(query: &str) -> &'static str {
    let statements = query.split(';').map(opening_words);
    let kinds = statements.filter_map(|words| {
        let begins = |kind: &&&str| words == ***kind || words.starts_with(&format!("{kind} "));
        KINDS.iter().find(begins).copied()
    });
    kinds.into_iter().next().unwrap_or("statement")
}

/// The first words of a statement in capitals, without comments.
fn opening_words(statement: &str) -> String {
    let mut rest = statement.trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map(|(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else {
            break;
        };
        rest = after.unwrap_or_default().trim_start();
    }
    let words: Vec<String> = rest
        .split_whitespace()
        .take(4)
        .map(str::to_uppercase)
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kind_of_a_statement_is_told() {
        for (query, kind) in [
            (
                "ALTER TABLE users ADD COLUMN x text DEFAULT 'secret'",
                "ALTER TABLE",
            ),
            ("  -- why\n/* 1 */ alter\n table users", "ALTER TABLE"),
            ("BEGIN; TRUNCATE users", "TRUNCATE"),
            ("truncate", "TRUNCATE"),
            ("DROP TYPE mood", "DROP"),
            ("REFRESH MATERIALIZED VIEW v", "REFRESH MATERIALIZED VIEW"),
            ("SELECT migrate('secret')", "statement"),
            ("DROPPED", "statement"),
            ("", "statement"),
        ] {
            assert_eq!(kind_of(query), kind, "{query}");
        }
    }
}
