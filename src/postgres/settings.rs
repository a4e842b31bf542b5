//! The settings of a session that counts, digests or compares: one statement for every major version.
//!
//! Source of the list: the protocol of proof. Five of them change a digest; the timeouts would end the
//! holding session in mid-dump; PostgreSQL 15 remembers what a volatile function said of a large object's handle and
//! gives one object's size for all; parallel workers would take the processors from the dump that they run beside; pages
//! of a table are read alone only by a scan that somebody may have switched off.

use std::time::Duration;

use super::failure::PostgresError;
use super::session::Session;

const DEADLINE: Duration = Duration::from_secs(30);

/// Sets everything at once and returns what was set; fails on a name the server does not know.
///
/// The number is the first major version that knows the name. Runs outside a transaction, or a
/// rollback would take the settings back.
pub const SETTINGS_SQL: &str = "\
SELECT pg_catalog.set_config(v.name, v.value, false) AS value
FROM (VALUES
  ('search_path', '', 14),
  ('standard_conforming_strings', 'on', 14),
  ('client_min_messages', 'warning', 14),
  ('TimeZone', 'UTC', 14),
  ('DateStyle', 'ISO, MDY', 14),
  ('IntervalStyle', 'postgres', 14),
  ('extra_float_digits', '3', 14),
  ('bytea_output', 'hex', 14),
  ('lc_monetary', 'C', 14),
  ('xmloption', 'content', 14),
  ('quote_all_identifiers', 'off', 14),
  ('row_security', 'off', 14),
  ('jit', 'off', 14),
  ('max_parallel_workers_per_gather', '0', 14),
  ('enable_memoize', 'off', 14),
  ('enable_tidscan', 'on', 14),
  ('statement_timeout', '0', 14),
  ('lock_timeout', '0', 14),
  ('idle_in_transaction_session_timeout', '0', 14),
  ('idle_session_timeout', '0', 14),
  ('transaction_timeout', '0', 17)
) AS v(name, value, since)
WHERE pg_catalog.current_setting('server_version_num')::pg_catalog.int4 / 10000 >= v.since";

/// Brings a session under the protocol's settings.
///
/// # Errors
/// When the server refuses one; the session must not be used for digests then.
pub async fn apply(session: &mut Session) -> Result<(), PostgresError> {
    session.run(SETTINGS_SQL, DEADLINE).await
}
