//! The configuration of a scratch server: like the live one where a restore depends on it, else made for one restore.

use super::ScratchMemory;
use crate::postgres::catalog::ServerFacts;
use crate::postgres::quote;

/// Connections a proof needs, jobs of a restore and digests included.
const CONNECTIONS: u64 = 32;
const MIB: u64 = 1024 * 1024;
/// The least that the server takes, in MiB: two files.
const LEAST_LOG: u64 = 32;
/// Least `max_locks_per_transaction`.
const LOCKS: u64 = 1_024;
/// Two jobs, and a parallel worker for the index that one of them builds. A library that is loaded with the server may bring
/// workers of its own, which would run jobs of the restored database: then there is room for none.
const WORKERS: u32 = 2;

/// The text of `postgresql.conf`.
pub(super) fn text(facts: &ServerFacts, folder: &str, memory: ScratchMemory) -> String {
    let locks = (facts.lock_table_size / CONNECTIONS).max(LOCKS);
    let workers = if loads_libraries(facts) { 0 } else { WORKERS };
    let mut settings: Vec<(String, String)> = facts.carried_settings.clone();
    let ours = [
        ("listen_addresses", String::new()),
        ("port", "5432".to_owned()),
        ("unix_socket_directories", format!("{folder}/socket")),
        ("unix_socket_permissions", "0777".to_owned()),
        ("max_connections", CONNECTIONS.to_string()),
        ("max_locks_per_transaction", locks.to_string()),
        ("max_worker_processes", workers.to_string()),
        ("max_logical_replication_workers", "0".to_owned()),
        ("max_wal_senders", "0".to_owned()),
        ("wal_level", "minimal".to_owned()),
        ("archive_mode", "off".to_owned()),
        ("fsync", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("synchronous_commit", "off".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("track_counts", "off".to_owned()),
        ("bgwriter_lru_maxpages", "0".to_owned()),
        ("checkpoint_timeout", "1h".to_owned()),
        (
            "max_wal_size",
            format!("{}MB", (memory.log.0 / MIB).max(LEAST_LOG)),
        ),
        ("wal_init_zero", "off".to_owned()),
        ("checkpoint_completion_target", "0".to_owned()),
        ("shared_buffers", format!("{}MB", memory.shared_buffers_mib)),
        (
            "maintenance_work_mem",
            format!("{}MB", memory.maintenance_mib),
        ),
        ("huge_pages", "off".to_owned()),
        ("jit", "off".to_owned()),
        ("ssl", "off".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        // A logged statement (pgaudit, auto_explain, an error) may quote rows.
        ("log_min_messages", "fatal".to_owned()),
        ("log_min_error_statement", "panic".to_owned()),
        ("log_statement", "none".to_owned()),
    ];
    settings.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    if facts.major() >= 18 {
        // Workers that read ahead for one small server would only wait.
        settings.push(("io_method".to_owned(), "sync".to_owned()));
    }
    let lines = settings.iter().filter_map(line_of);
    lines.collect::<Vec<_>>().join("\n")
}

fn loads_libraries(facts: &ServerFacts) -> bool {
    let mut carried = facts.carried_settings.iter();
    carried.any(|(name, value)| name == "shared_preload_libraries" && !value.trim().is_empty())
}

/// A line of the file; nothing for a name that could end the line.
fn line_of((name, value): &(String, String)) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    let value_is_one_line = !value.contains(['\n', '\r']);
    (name.chars().all(plain) && value_is_one_line)
        .then(|| format!("{name} = {}", quote::configuration_value(value)))
}
