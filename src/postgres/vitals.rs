//! How a running server is, from one cheap query.

use std::time::Duration;

use serde::Deserialize;

use super::failure::PostgresError;
use super::session::Session;
use crate::domain::health::ServerVitals;
use crate::domain::unit::ByteCount;

const DEADLINE: Duration = Duration::from_secs(15);

const VITALS: &str = "\
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
    WHERE backend_type = 'client backend') AS connections,
  pg_catalog.current_setting('max_connections')::pg_catalog.int8 AS max_connections,
  (SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_database_size(oid)), 0)::pg_catalog.int8
    FROM pg_catalog.pg_database WHERE datallowconn AND pg_catalog.has_database_privilege(oid, 'CONNECT')) AS size,
  (SELECT COALESCE(pg_catalog.max(EXTRACT(EPOCH FROM
      pg_catalog.clock_timestamp() - xact_start)), 0)::pg_catalog.int8
    FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS longest_transaction";

/// The size of the session's database on its server's disk.
///
/// # Errors
/// As [`Session::row`].
pub async fn database_size(session: &mut Session) -> Result<ByteCount, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        size: u64,
    }
    let sql = "SELECT pg_catalog.pg_database_size(d.oid) AS size FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()";
    let row: Row = session.row(sql, DEADLINE).await?;
    Ok(ByteCount(row.size))
}

/// Connections, size and the longest open transaction of a server.
///
/// # Errors
/// As [`Session::row`].
pub async fn vitals(session: &mut Session) -> Result<ServerVitals, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        connections: u64,
        max_connections: u64,
        size: u64,
        longest_transaction: i64,
    }
    let row: Row = session.row(VITALS, DEADLINE).await?;
    Ok(ServerVitals {
        connections: row.connections,
        max_connections: row.max_connections,
        size: ByteCount(row.size),
        longest_transaction_seconds: row.longest_transaction.max(0).unsigned_abs(),
    })
}
