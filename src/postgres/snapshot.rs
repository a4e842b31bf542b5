//! The holding session: one exported snapshot that dump, counts and digests share.
//!
//! The session it lives in must stay open until the dump has imported the snapshot and the digests are
//! done, and should end then, since it holds back vacuum.

use std::time::Duration;

use serde::Deserialize;

use super::failure::PostgresError;
use super::quote;
use super::session::Session;
use super::settings;
use crate::domain::unit::Timestamp;

const DEADLINE: Duration = Duration::from_secs(30);

/// An exported snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What `pg_dump --snapshot=` and `SET TRANSACTION SNAPSHOT` take.
    pub name: String,
    /// The server's clock when the snapshot was taken.
    pub at: Timestamp,
    /// Position in the write-ahead log.
    pub lsn: Option<String>,
}

/// The snapshot as the server writes it; the domain's timestamp reads no JSON.
#[derive(Deserialize)]
struct Row {
    name: String,
    at: String,
    lsn: Option<String>,
}

const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const EXPORT: &str = "\
SELECT pg_catalog.pg_export_snapshot() AS name,
  pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC',
    'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS at,
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
    ELSE pg_catalog.pg_current_wal_lsn() END AS lsn";

/// Puts the session under the protocol's settings, begins its transaction and exports its snapshot.
///
/// # Errors
/// As [`Session::row`]; the session is of no use then.
///
/// # Cancellation
/// Dropping the session ends the transaction; the server keeps it until it notices.
pub async fn begin_snapshot(session: &mut Session) -> Result<Snapshot, PostgresError> {
    settings::apply(session).await?;
    session.run(BEGIN, DEADLINE).await?;
    let row: Row = session.row(EXPORT, DEADLINE).await?;
    let at = row
        .at
        .parse()
        .map_err(|_not_a_time| PostgresError::answer(format!("time {:?}", row.at)))?;
    Ok(Snapshot {
        name: row.name,
        at,
        lsn: row.lsn,
    })
}

/// Puts another session of the same database under the protocol's settings and lets it see an exported snapshot.
///
/// # Errors
/// As [`Session::run`]: also when the session that exported it is gone.
pub async fn import_snapshot(
    session: &mut Session,
    snapshot: &Snapshot,
) -> Result<(), PostgresError> {
    settings::apply(session).await?;
    session.run(BEGIN, DEADLINE).await?;
    let name = quote::literal(&snapshot.name);
    let import = format!("SET TRANSACTION SNAPSHOT {name}");
    session.run(&import, DEADLINE).await
}
