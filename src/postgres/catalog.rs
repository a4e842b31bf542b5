//! What the catalogue says of a server and its databases.

pub(super) mod server;

use std::time::Duration;

use serde::Deserialize;

use super::failure::PostgresError;
use super::mark;
use super::session::Session;
use crate::domain::backup::DatabaseFacts;
use crate::domain::id::DatabaseName;
use crate::domain::restore::mark::Mark;
use crate::domain::restore::name;
pub use server::{Recovery, Rights, ServerFacts, is_same_server, server_facts};

const DEADLINE: Duration = Duration::from_secs(30);

/// A database of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// Its name.
    pub name: DatabaseName,
    /// `pg_database.oid`.
    pub oid: u32,
    /// What it is for.
    pub role: DatabaseRole,
    /// Its comment.
    pub comment: Option<String>,
}

impl DatabaseEntry {
    /// That a restore made it or put it aside.
    pub fn mark(&self) -> Option<Mark> {
        mark::find(self.comment.as_deref()?)
    }
}

/// What a database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseRole {
    /// Somebody's.
    Ordinary,
    /// A template.
    Template,
    /// It takes no connections, so nothing can be read from it.
    Closed,
    /// Somebody's, and this login may not enter it.
    Forbidden,
    /// A restore makes it, or put it aside: nobody's live database.
    Aside,
}

/// Lists the databases, in the order of names.
///
/// # Errors
/// As [`Session::rows`].
pub async fn databases(session: &mut Session) -> Result<Vec<DatabaseEntry>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        oid: u32,
        role: DatabaseRole,
        comment: Option<String>,
    }
    // datconnlimit -2 marks a database whose DROP was interrupted.
    let sql = "\
SELECT d.datname AS name, d.oid::pg_catalog.int8 AS oid,
  CASE WHEN d.datistemplate THEN 'template' WHEN NOT d.datallowconn OR d.datconnlimit = -2 THEN 'closed'
    WHEN NOT pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN 'forbidden' ELSE 'ordinary' END AS role,
  pg_catalog.encode(pg_catalog.textsend(pg_catalog.shobj_description(d.oid, 'pg_database')), 'hex') AS comment
FROM pg_catalog.pg_database AS d ORDER BY d.datname::pg_catalog.text COLLATE \"C\"";
    let rows: Vec<Row> = session.rows(sql, DEADLINE).await?;
    let entries = rows.into_iter().map(|row| {
        let mut entry = DatabaseEntry {
            name: DatabaseName::new(row.name),
            oid: row.oid,
            role: row.role,
            comment: row.comment.as_deref().map(read_comment),
        };
        // A copy has its name an instant before its mark.
        if name::is_copy(&entry.name) || entry.mark().is_some() {
            entry.role = DatabaseRole::Aside;
        }
        entry
    });
    Ok(entries.collect())
}

/// A comment may be in the encoding of another database than the one that lists it, and is no text there: so it comes as bytes.
fn read_comment(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2);
    let bytes =
        pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

/// Whether a session is with this very database.
///
/// # Errors
/// As [`Session::row`].
pub async fn is_within(
    session: &mut Session,
    database: &DatabaseName,
) -> Result<bool, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let sql = "SELECT pg_catalog.current_database() AS name";
    let row: Row = session.row(sql, DEADLINE).await?;
    Ok(row.name == database.as_str())
}

/// Whether the session's database holds tables (or large objects) that are no extension's own.
///
/// # Errors
/// As [`Session::row`].
pub async fn has_user_tables(session: &mut Session) -> Result<bool, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        found: bool,
    }
    let sql = "\
SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema'
      AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 1259 AND d.objid = c.oid AND d.refclassid = 3079 AND d.deptype = 'e'))
  OR EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AS found";
    let row: Row = session.row(sql, DEADLINE).await?;
    Ok(row.found)
}

/// Reads the properties of the session's database.
///
/// # Errors
/// As [`Session::row`].
pub async fn database_facts(session: &mut Session) -> Result<DatabaseFacts, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        owner: String,
        encoding: String,
        collate: String,
        ctype: String,
        locale_provider: String,
        acl: Option<String>,
        settings: Vec<String>,
        connection_limit: i32,
        extensions: Vec<String>,
    }
    // datlocprovider came with 15: read by way of JSON it is absent rather than an error.
    let sql = "\
SELECT pg_catalog.pg_get_userbyid(d.datdba) AS owner, pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
  d.datcollate AS collate, d.datctype AS ctype, d.datacl::pg_catalog.text AS acl,
  COALESCE(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') AS locale_provider,
  d.datconnlimit AS connection_limit,
  (SELECT COALESCE(pg_catalog.jsonb_agg(CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole) || ': ' END || v.setting
      ORDER BY s.setrole, v.setting COLLATE \"C\"), '[]')
    FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS v(setting)
    WHERE s.setdatabase = d.oid) AS settings,
  (SELECT COALESCE(pg_catalog.jsonb_agg(e.extname || ' ' || e.extversion ORDER BY e.extname COLLATE \"C\"), '[]')
    FROM pg_catalog.pg_extension AS e) AS extensions
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()";
    let row: Row = session.row(sql, DEADLINE).await?;
    Ok(DatabaseFacts {
        owner: row.owner,
        encoding: row.encoding,
        collate: row.collate,
        ctype: row.ctype,
        locale_provider: row.locale_provider,
        acl: row.acl,
        settings: row.settings.iter().map(|one| without_secret(one)).collect(),
        connection_limit: row.connection_limit,
        extensions: row.extensions,
    })
}

/// Some products keep their signing key in a database's settings; a manifest is no place for it.
fn without_secret(setting: &str) -> String {
    let Some((name, _)) = setting.split_once('=') else {
        return setting.to_owned();
    };
    let lower = name.to_lowercase();
    let secret = ["secret", "password", "passwd", "token", "key", "credential"];
    if secret.iter().any(|word| lower.contains(word)) {
        format!("{name}=***")
    } else {
        setting.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_setting_is_not_kept() {
        assert_eq!(without_secret("app.jwt_secret=abc=d"), "app.jwt_secret=***");
        assert_eq!(without_secret("work_mem=4MB"), "work_mem=4MB");
    }
}
