//! The advisory lock that excludes backup and migration of one database, across processes and hosts.
//!
//! It lives in database `postgres` (else `template1`), since a session on the target would block its
//! renaming, and its key comes from the database's name alone, so that two stacks on one server exclude
//! each other. Never blocks: the caller polls.

use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::failure::PostgresError;
use super::session::Session;
use crate::domain::id::DatabaseName;

const DEADLINE: Duration = Duration::from_secs(30);

/// What came of asking for the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockAnswer {
    /// Ours until the session ends.
    Held,
    /// Somebody else's.
    Busy {
        /// Application name, process id and start, for people.
        holder: String,
    },
}

/// The lock's key: the first eight bytes of SHA-256 of `stackwarden:` and the name.
pub fn lock_key(database: &DatabaseName) -> i64 {
    let hash = Sha256::digest(format!("stackwarden:{database}").as_bytes());
    let mut head = [0_u8; 8];
    for (to, from) in head.iter_mut().zip(hash.iter()) {
        *to = *from;
    }
    i64::from_be_bytes(head)
}

/// Asks for the lock of a database, in an autocommit session of its own on `postgres`.
///
/// A session that has it already is told so again; the lock ends with the session.
///
/// # Errors
/// A lost session or a passed deadline; the lock is not held then.
pub async fn try_lock(
    session: &mut Session,
    database: &DatabaseName,
) -> Result<LockAnswer, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        held: bool,
    }
    let key = lock_key(database);
    let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({key}) AS held");
    let row: Row = session.row(&sql, DEADLINE).await?;
    if row.held {
        return Ok(LockAnswer::Held);
    }
    let holder = holder(session, key).await?;
    Ok(LockAnswer::Busy { holder })
}

async fn holder(session: &mut Session, key: i64) -> Result<String, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        holder: String,
    }
    // Both halves of the key are shown as unsigned numbers.
    let (high, low) = ((key >> 32) & 0xffff_ffff, key & 0xffff_ffff);
    let sql = format!(
        "SELECT pg_catalog.format('%s (process %s, since %s UTC)',
  COALESCE(NULLIF(a.application_name, ''), 'a session without a name'), l.pid,
  COALESCE(pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), 'unknown')) AS holder
FROM pg_catalog.pg_locks AS l LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.classid = {high}::pg_catalog.oid AND l.objid = {low}::pg_catalog.oid
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
    WHERE d.datname = pg_catalog.current_database())"
    );
    let rows: Vec<Row> = session.rows(&sql, DEADLINE).await?;
    Ok(rows.into_iter().next().map_or_else(
        || "a session that has just ended".to_owned(),
        |row| row.holder,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_changes_or_two_versions_would_not_exclude_each_other() {
        assert_eq!(
            lock_key(&DatabaseName::new("recyclic")),
            lock_key(&DatabaseName::new("recyclic"))
        );
        assert_eq!(lock_key(&DatabaseName::new("app")), KEY_OF_APP);
        assert_ne!(
            lock_key(&DatabaseName::new("app")),
            lock_key(&DatabaseName::new("App"))
        );
    }

    /// `printf %s stackwarden:app | sha256sum | cut -c1-16`, as a signed number.
    const KEY_OF_APP: i64 = -5_040_776_059_391_622_947;
}
