//! What is known of a server as a whole, and what a scratch server needs to be like it.

use std::time::Duration;

use serde::Deserialize;

use crate::postgres::failure::PostgresError;
use crate::postgres::session::Session;

const DEADLINE: Duration = Duration::from_secs(30);

/// How much of the rows a role sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Rights {
    /// Everything.
    #[serde(rename = "superuser")]
    Superuser,
    /// All rows of the tables it may read.
    #[serde(rename = "bypass")]
    BypassesRowSecurity,
    /// Perhaps half the rows of a table, or none of the table at all.
    #[serde(rename = "limited")]
    Limited,
}

/// Whether the server is a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Recovery {
    /// It takes writes.
    #[serde(rename = "primary")]
    Primary,
    /// It replays another's log.
    #[serde(rename = "standby")]
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
    /// Encoding of `template1`, as which the names of roles are kept.
    pub encoding: String,
    /// Room in the lock table: `max_locks_per_transaction` times connections and prepared transactions.
    pub lock_table_size: u64,
}

impl ServerFacts {
    /// The major version, such as 17.
    pub fn major(&self) -> u32 {
        self.version_number / 10_000
    }
}

/// Settings that a restore depends on and that no dump carries: what is preloaded, how money is read,
/// and whatever extensions or views were given in the server's own configuration.
const SERVER: &str = "\
SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int8 AS version_number,
  pg_catalog.current_setting('server_version') AS version,
  (SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.oid = 10) AS bootstrap_user,
  me.rolname AS current_user,
  COALESCE((SELECT pg_catalog.pg_encoding_to_char(d.encoding) FROM pg_catalog.pg_database AS d WHERE d.datname = 'template1'),
    'UTF8') AS encoding,
  CASE WHEN me.rolsuper THEN 'superuser' WHEN me.rolbypassrls THEN 'bypass' ELSE 'limited' END AS rights,
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS recovery,
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

/// The command line the server was started with.
const OPTIONS: &str = "\
SELECT pg_catalog.pg_read_file('postmaster.opts', 0, 100000, true) AS options";

/// What stands for the identifier of a server that does not tell it.
pub const UNKNOWN_IDENTIFIER: &str = "unknown";

/// Whether two identifiers are sure to be one server's.
pub fn is_same_server(one: &str, other: &str) -> bool {
    one == other && one != UNKNOWN_IDENTIFIER
}

/// The identifier that changes with every initdb. Some managed servers let nobody ask, and to be refused would break the
/// transaction that asks: so whether we may is asked first.
///
/// # Errors
/// As [`Session::row`].
pub async fn system_identifier(session: &mut Session) -> Result<String, PostgresError> {
    #[derive(Deserialize)]
    struct May {
        may: bool,
    }
    #[derive(Deserialize)]
    struct Row {
        identifier: String,
    }
    let may = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS may";
    let asked: May = session.row(may, DEADLINE).await?;
    if !asked.may {
        return Ok(UNKNOWN_IDENTIFIER.to_owned());
    }
    let sql = "SELECT system_identifier::pg_catalog.text AS identifier FROM pg_catalog.pg_control_system()";
    let row: Row = session.row(sql, DEADLINE).await?;
    Ok(row.identifier)
}

/// Reads what is known of a server.
///
/// # Errors
/// As [`Session::row`].
pub async fn server_facts(session: &mut Session) -> Result<ServerFacts, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        version_number: u32,
        version: String,
        bootstrap_user: String,
        current_user: String,
        rights: Rights,
        recovery: Recovery,
        encoding: String,
        lock_table_size: u64,
        carried_settings: Vec<(String, String)>,
    }
    let row: Row = session.row(SERVER, DEADLINE).await?;
    let identifier = system_identifier(session).await?;
    let mut carried_settings = row.carried_settings;
    if row.rights == Rights::Superuser {
        add_custom_settings(session, &mut carried_settings).await?;
    }
    Ok(ServerFacts {
        system_identifier: identifier,
        version_number: row.version_number,
        version: row.version,
        bootstrap_user: row.bootstrap_user,
        current_user: row.current_user,
        rights: row.rights,
        recovery: row.recovery,
        carried_settings,
        encoding: row.encoding,
        lock_table_size: row.lock_table_size,
    })
}

/// Custom settings (`app.flag`) of the configuration file and of the command line are in no view that
/// everybody may read; a view or a function may need them to be restored.
async fn add_custom_settings(
    session: &mut Session,
    carried: &mut Vec<(String, String)>,
) -> Result<(), PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        setting: String,
    }
    #[derive(Deserialize)]
    struct Options {
        options: Option<String>,
    }
    // A server whose files cannot be read (a managed one) still has all the rest.
    let mut custom: Vec<(String, String)> = match session.rows(CUSTOM, DEADLINE).await {
        Ok(rows) => rows
            .into_iter()
            .map(|row: Row| (row.name, row.setting))
            .collect(),
        Err(PostgresError::Server { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    match session.row::<Options>(OPTIONS, DEADLINE).await {
        Ok(row) => custom.extend(custom_options(&row.options.unwrap_or_default())),
        Err(PostgresError::Server { .. }) => {}
        Err(error) => return Err(error),
    }
    // Later ones win, as in the server itself.
    for (name, setting) in custom {
        carried.retain(|(known, _)| *known != name);
        carried.push((name, setting));
    }
    Ok(())
}

/// Reads `/…/postgres "-c" "app.flag=x" "--app.other=y"`; the file knows no escapes.
fn custom_options(line: &str) -> Vec<(String, String)> {
    let words = line.trim_end().split('"').skip(1).step_by(2);
    words
        .filter_map(|word| word.trim_start_matches("--").split_once('='))
        .filter(|(name, _)| name.contains('.') && !name.contains('/'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_settings_are_read_from_the_command_line() {
        let line = "/usr/bin/postgres \"-c\" \"work_mem=4MB\" \"-c\" \"app.flag=it's a=b\" \"--cron.x=1\" \"-D\" \"/a.b=c\"\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            custom_options(line),
            [pair("app.flag", "it's a=b"), pair("cron.x", "1")]
        );
    }
}
