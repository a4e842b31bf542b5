//! The revision a migration tool has recorded in a database, in one query whatever the tool is.
//!
//! A statement cannot name a table that may not exist, so the tables found in the catalogue are read by
//! `ts_stat`, the one function of every build that runs a query given as text (`query_to_xml` is missing
//! in builds without libxml): each yields one lexeme, kept to the letter.

use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::catalog::server::system_identifier;
use super::failure::PostgresError;
use super::session::Session;
use crate::domain::id::Revision;

const DEADLINE: Duration = Duration::from_secs(30);

/// Longest revision kept as text; a schema per tenant can mean hundreds of them.
const REVISION_LIMIT: usize = 300;

/// A migration tool: its table, the columns by which it is known, and a query for one text.
struct Tool {
    name: &'static str,
    table: &'static str,
    columns: &'static [&'static str],
    /// `%s` is the table's quoted name.
    query: &'static str,
}

/// The table of tools. Tables of one name are told apart by their columns; the first that fits counts.
const TOOLS: &[Tool] = &[
    Tool {
        name: "alembic",
        table: "alembic_version",
        columns: &["version_num"],
        query: "SELECT string_agg(version_num::text, ',' ORDER BY version_num::text COLLATE \"C\") FROM %s",
    },
    // An unfinished one makes the tool refuse everything: the state is not the one recorded as good.
    Tool {
        name: "prisma",
        table: "_prisma_migrations",
        columns: &[
            "migration_name",
            "finished_at",
            "rolled_back_at",
            "started_at",
        ],
        query: "SELECT COALESCE((array_agg(migration_name::text ORDER BY finished_at DESC, started_at DESC, migration_name::text COLLATE \"C\" DESC) FILTER (WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL))[1], '') || COALESCE(' (unfinished: ' || string_agg(migration_name::text, ',' ORDER BY migration_name::text COLLATE \"C\") FILTER (WHERE finished_at IS NULL AND rolled_back_at IS NULL) || ')', '') FROM %s",
    },
    Tool {
        name: "django",
        table: "django_migrations",
        columns: &["id", "app", "name"],
        query: "SELECT count(*) || ' ' || (array_agg(app || '.' || name ORDER BY id DESC))[1] FROM %s HAVING count(*) > 0",
    },
    Tool {
        name: "flyway",
        table: "flyway_schema_history",
        columns: &["installed_rank", "version", "success"],
        query: "SELECT count(*) || ' ' || COALESCE((array_agg(version::text ORDER BY installed_rank DESC) FILTER (WHERE success AND version IS NOT NULL))[1], '') || CASE WHEN bool_and(success) THEN '' ELSE ' (failed)' END FROM %s HAVING count(*) > 0",
    },
    Tool {
        name: "sqlx",
        table: "_sqlx_migrations",
        columns: &["version", "success"],
        query: "SELECT count(*) || ' ' || max(version) || CASE WHEN bool_and(success) THEN '' ELSE ' (failed)' END FROM %s HAVING count(*) > 0",
    },
    Tool {
        name: "golang-migrate",
        table: "schema_migrations",
        columns: &["version", "dirty"],
        query: "SELECT max(version) || CASE WHEN bool_or(dirty) THEN ' (dirty)' ELSE '' END FROM %s",
    },
    Tool {
        name: "schema_migrations",
        table: "schema_migrations",
        columns: &["version"],
        query: "SELECT count(*) || ' ' || max(version::text COLLATE \"C\") FROM %s HAVING count(*) > 0",
    },
    Tool {
        name: "knex",
        table: "knex_migrations",
        columns: &["id", "name"],
        query: "SELECT count(*) || ' ' || (array_agg(name::text ORDER BY id DESC))[1] FROM %s HAVING count(*) > 0",
    },
    Tool {
        name: "goose",
        table: "goose_db_version",
        columns: &["id", "version_id", "is_applied"],
        query: "SELECT max(id) || ' ' || (array_agg(version_id::text || CASE WHEN is_applied THEN '' ELSE ' (down)' END ORDER BY id DESC))[1] FROM %s",
    },
    Tool {
        name: "liquibase",
        table: "databasechangelog",
        columns: &["id", "orderexecuted"],
        query: "SELECT count(*) || ' ' || (array_agg(id::text ORDER BY orderexecuted DESC))[1] FROM %s HAVING count(*) > 0",
    },
    Tool {
        name: "ef",
        table: "__EFMigrationsHistory",
        columns: &["MigrationId"],
        query: "SELECT count(*) || ' ' || max(\"MigrationId\"::text COLLATE \"C\") FROM %s HAVING count(*) > 0",
    },
    Tool {
        name: "drizzle",
        table: "__drizzle_migrations",
        columns: &["id", "hash"],
        query: "SELECT count(*) || ' ' || (array_agg(hash ORDER BY id DESC))[1] FROM %s HAVING count(*) > 0",
    },
];

/// What decides whether a migration has anything to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Changes with every initdb.
    pub system_identifier: String,
    /// Changes when the database is made anew.
    pub database_oid: u32,
    /// What the tools have recorded; `None` without a known tool, or before its first migration.
    pub revision: Option<Revision>,
    /// The tool, where exactly one is known.
    pub tool: Option<&'static str>,
}

/// Reads the identity of the session's server, and in one query that and the revision of its database.
///
/// # Errors
/// As [`Session::row`], such as no right to read the tool's table.
pub async fn migration_state(session: &mut Session) -> Result<MigrationState, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        database_oid: u32,
        found: Vec<Found>,
    }
    let system_identifier = system_identifier(session).await?;
    let row: Row = session.row(&state_sql(), DEADLINE).await?;
    let recorded = recorded(row.found)?;
    let tool = match recorded.as_slice() {
        [(tool, _, _)] => Some(*tool),
        _ => None,
    };
    Ok(MigrationState {
        system_identifier,
        database_oid: row.database_oid,
        revision: join(&recorded),
        tool,
    })
}

#[derive(Deserialize)]
struct Found {
    tool: usize,
    relation: String,
    revision: Option<String>,
}

fn state_sql() -> String {
    let tools: Vec<String> = TOOLS
        .iter()
        .enumerate()
        .map(|(index, tool)| {
            let columns: Vec<String> = tool
                .columns
                .iter()
                .map(|c| super::quote::literal(c))
                .collect();
            format!(
                "({index}, {}, ARRAY[{}], {})",
                super::quote::literal(tool.table),
                columns.join(", "),
                super::quote::literal(tool.query)
            )
        })
        .collect();
    format!(
        "SELECT (SELECT d.oid::pg_catalog.int8 FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()) AS database_oid,
  (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('tool', f.tool, 'relation', f.relation,
      'revision', (SELECT s.word FROM pg_catalog.ts_stat({LEXEME} || pg_catalog.format(f.query, f.relation)
        || ') AS r(v) WHERE r.v <> ''''') AS s LIMIT 1))
      ORDER BY f.relation COLLATE \"C\"), '[]')
   FROM (
    SELECT DISTINCT ON (c.oid) t.tool, t.query,
      pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS relation
    FROM (VALUES {}) AS t(tool, name, columns, query)
    JOIN pg_catalog.pg_class AS c ON c.relname = t.name AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE pg_catalog.cardinality(t.columns) = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute AS a
      WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname = ANY (t.columns))
    ORDER BY c.oid, t.tool OFFSET 0
  ) AS f) AS found",
        tools.join(",\n    ")
    )
}

/// Head of the query given to `ts_stat`; a lexeme holds 2046 bytes.
const LEXEME: &str = "'SELECT array_to_tsvector(ARRAY[CASE WHEN octet_length(r.v) > 1500 \
THEN left(r.v, 300) || '' md5:'' || md5(r.v) ELSE r.v END]) FROM ('";

type Recorded = (&'static str, String, String);

/// Tool, relation and revision of every table that holds one.
fn recorded(found: Vec<Found>) -> Result<Vec<Recorded>, PostgresError> {
    let mut recorded = Vec::new();
    for one in found {
        let tool = TOOLS
            .get(one.tool)
            .ok_or_else(|| PostgresError::answer("an unknown migration tool"))?;
        if let Some(revision) = one.revision {
            recorded.push((tool.name, one.relation, revision));
        }
    }
    Ok(recorded)
}

fn join(recorded: &[Recorded]) -> Option<Revision> {
    let text = match recorded {
        [] => return None,
        [(_, _, revision)] => revision.clone(),
        several => several
            .iter()
            .map(|(_, relation, revision)| format!("{relation}={revision}"))
            .collect::<Vec<_>>()
            .join("; "),
    };
    if text.len() <= REVISION_LIMIT {
        return Some(Revision::new(text));
    }
    let hash = Sha256::digest(text.as_bytes());
    let head = hash
        .iter()
        .take(16)
        .fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
    Some(Revision::new(format!(
        "{} tables, sha256:{head:032x}",
        recorded.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_revision_stands_as_written_and_several_with_their_tables() {
        let one = (
            "alembic",
            "public.alembic_version".to_owned(),
            "9f3".to_owned(),
        );
        let two = (
            "django",
            "public.django_migrations".to_owned(),
            "3 a.b".to_owned(),
        );
        assert_eq!(join(std::slice::from_ref(&one)).unwrap().as_str(), "9f3");
        assert_eq!(
            join(&[one.clone(), two]).unwrap().as_str(),
            "public.alembic_version=9f3; public.django_migrations=3 a.b"
        );
        assert!(
            join(&vec![one; 50])
                .unwrap()
                .as_str()
                .starts_with("50 tables, sha256:")
        );
        assert_eq!(join(&[]), None);
    }
}
