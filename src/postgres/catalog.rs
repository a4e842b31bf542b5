//! What the catalogue says of a server and its databases.

use std::time::Duration;

use serde::Deserialize;

use super::failure::PostgresError;
use super::session::Session;
use crate::domain::backup::DatabaseFacts;
use crate::domain::id::DatabaseName;

const DEADLINE: Duration = Duration::from_secs(30);

/// How much of the rows a role sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    Superuser,
    /// All rows of the tables it may read.
    BypassesRowSecurity,
    /// Perhaps half the rows of a table, or none of the table at all.
    Limited,
}

/// Whether the server is a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It takes writes.
    Primary,
    /// It replays another's log.
    Standby,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Changes with every initdb.
    pub system_identifier: String,
    /// `server_version_num`, such as 170010.
    pub version_number: u32,
    /// `server_version` as shown.
    pub version: String,
    /// The role with oid 10.
    pub bootstrap_user: String,
    /// Who we are.
    pub current_user: String,
    /// What we may see.
    pub rights: Rights,
    /// Primary or standby.
    pub recovery: Recovery,
    /// Settings a scratch server needs to be like this one, `shared_preload_libraries` among them.
    pub carried_settings: Vec<(String, String)>,
    /// Room in the lock table: `max_locks_per_transaction` times connections and prepared transactions.
    pub lock_table_size: u64,
}

impl ServerFacts {
    /// The major version, such as 17.
    pub fn major(&self) -> u32 {
        self.version_number / 10_000
    }

    /// `shared_preload_libraries`, one by one.
    pub fn preload_libraries(&self) -> Vec<&str> {
        self.carried_settings
            .iter()
            .filter(|(name, _)| name == "shared_preload_libraries")
            .flat_map(|(_, value)| value.split(','))
            .map(|library| library.trim().trim_matches('"'))
            .filter(|library| !library.is_empty())
            .collect()
    }
}

/// Settings that a restore depends on and that no dump carries: what is preloaded, how money is read,
/// and whatever extensions or views were given in the server's own configuration.
const SERVER: &str = "\
SELECT (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()) AS system_identifier,
  pg_catalog.current_setting('server_version_num')::pg_catalog.int8 AS version_number,
  pg_catalog.current_setting('server_version') AS version,
  (SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.oid = 10) AS bootstrap_user,
  me.rolname AS current_user, me.rolsuper AS superuser, me.rolbypassrls AS bypass,
  pg_catalog.pg_is_in_recovery() AS standby,
  pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int8
    * (pg_catalog.current_setting('max_connections')::pg_catalog.int8
      + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8) AS lock_table_size,
  (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.name, s.reset_val)
      ORDER BY s.name COLLATE \"C\"), '[]')
    FROM pg_catalog.pg_settings AS s
    WHERE s.reset_val IS NOT NULL AND (s.name IN ('shared_preload_libraries', 'lc_monetary', 'lc_numeric', 'lc_time')
      OR s.name LIKE '%.%' AND s.source IN ('configuration file', 'command line', 'environment variable'))
  ) AS carried_settings
FROM pg_catalog.pg_roles AS me WHERE me.rolname = CURRENT_USER";

/// Custom settings of the configuration file are in no other view; a superuser's view only.
const CUSTOM: &str = "\
SELECT f.name, f.setting FROM pg_catalog.pg_file_settings AS f
WHERE f.applied AND f.name LIKE '%.%' AND f.setting IS NOT NULL ORDER BY f.seqno";

/// Reads what is known of a server.
///
/// # Errors
/// As [`Session::row`].
pub async fn server_facts(session: &mut Session) -> Result<ServerFacts, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        system_identifier: String,
        version_number: u32,
        version: String,
        bootstrap_user: String,
        current_user: String,
        superuser: bool,
        bypass: bool,
        standby: bool,
        lock_table_size: u64,
        carried_settings: Vec<(String, String)>,
    }
    let row: Row = session.row(SERVER, DEADLINE).await?;
    let mut carried_settings = row.carried_settings;
    if row.superuser {
        add_custom_settings(session, &mut carried_settings).await?;
    }
    Ok(ServerFacts {
        system_identifier: row.system_identifier,
        version_number: row.version_number,
        version: row.version,
        bootstrap_user: row.bootstrap_user,
        current_user: row.current_user,
        rights: match (row.superuser, row.bypass) {
            (true, _) => Rights::Superuser,
            (false, true) => Rights::BypassesRowSecurity,
            (false, false) => Rights::Limited,
        },
        recovery: if row.standby {
            Recovery::Standby
        } else {
            Recovery::Primary
        },
        carried_settings,
        lock_table_size: row.lock_table_size,
    })
}

async fn add_custom_settings(
    session: &mut Session,
    carried: &mut Vec<(String, String)>,
) -> Result<(), PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        setting: String,
    }
    let rows: Vec<Row> = match session.rows(CUSTOM, DEADLINE).await {
        Ok(rows) => rows,
        // A server whose files cannot be read (a managed one) still has all the rest.
        Err(PostgresError::Server { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    for row in rows {
        if !carried.iter().any(|(name, _)| *name == row.name) {
            carried.push((row.name, row.setting));
        }
    }
    Ok(())
}

/// A database of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// Its name.
    pub name: DatabaseName,
    /// `pg_database.oid`.
    pub oid: u32,
    /// What it is for.
    pub role: DatabaseRole,
}

/// What a database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseRole {
    /// Somebody's.
    Ordinary,
    /// A template.
    Template,
    /// It takes no connections, so nothing can be read from it.
    Closed,
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
        is_template: bool,
        allows_connections: bool,
    }
    // datconnlimit -2 marks a database whose DROP was interrupted.
    let sql = "\
SELECT d.datname AS name, d.oid::pg_catalog.int8 AS oid, d.datistemplate AS is_template,
  d.datallowconn AND d.datconnlimit <> -2 AS allows_connections
FROM pg_catalog.pg_database AS d ORDER BY d.datname::pg_catalog.text COLLATE \"C\"";
    let rows: Vec<Row> = session.rows(sql, DEADLINE).await?;
    Ok(rows
        .into_iter()
        .map(|row| DatabaseEntry {
            name: DatabaseName::new(row.name),
            oid: row.oid,
            role: match (row.is_template, row.allows_connections) {
                (true, _) => DatabaseRole::Template,
                (false, true) => DatabaseRole::Ordinary,
                (false, false) => DatabaseRole::Closed,
            },
        })
        .collect())
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

/// `pg_database.oid` of the session's database.
///
/// # Errors
/// As [`Session::row`].
pub async fn database_oid(session: &mut Session) -> Result<u32, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
    }
    let sql = "SELECT d.oid::pg_catalog.int8 AS oid FROM pg_catalog.pg_database AS d \
WHERE d.datname = pg_catalog.current_database()";
    let row: Row = session.row(sql, DEADLINE).await?;
    Ok(row.oid)
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
