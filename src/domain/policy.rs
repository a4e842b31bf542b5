//! What a service asked for by its labels, completed by the defaults of the stack.

use std::collections::BTreeSet;
use std::time::Duration;

use super::backup::Level;
use super::id::{DatabaseName, DatabaseRef, ServiceName};
use super::schedule::Schedule;

/// Which databases of a server are backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseSelection {
    /// `*`: all but templates, and `postgres` only when it holds tables.
    All,
    /// Exactly these.
    Named(BTreeSet<DatabaseName>),
}

/// How long backups stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepPolicy {
    /// Everything younger than this stays.
    pub within: Option<Duration>,
    /// The newest so many.
    pub last: u32,
    /// One for each of so many days.
    pub daily: u32,
    /// One for each of so many weeks.
    pub weekly: u32,
    /// One for each of so many months.
    pub monthly: u32,
    /// One for each of so many years.
    pub yearly: u32,
}

/// What a database server asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPolicy {
    /// `stackwarden.backup`.
    pub enabled: bool,
    /// `.backup.schedule`.
    pub schedule: Schedule,
    /// `.backup.databases`.
    pub databases: DatabaseSelection,
    /// `.backup.keep`.
    pub keep: KeepPolicy,
    /// `.backup.verify`: the level the sidecar proves every backup at.
    pub verify: Level,
    /// `.backup.drill`: when the newest backup is proven again.
    pub drill: Schedule,
}

/// A command as an argument vector; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

/// What becomes of the image's entrypoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntrypointPolicy {
    /// The command runs behind it.
    Keep,
    /// The command runs alone.
    Clear,
}

/// When a migration is preceded by a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupBefore {
    /// When something is pending or nobody can tell.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What an application asked for by `stackwarden.migrate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationPolicy {
    /// `stackwarden.migrate`.
    pub command: CommandLine,
    /// `.migrate.after`.
    pub after: BTreeSet<ServiceName>,
    /// `.migrate.status`.
    pub status: Option<CommandLine>,
    /// `.migrate.entrypoint`.
    pub entrypoint: EntrypointPolicy,
    /// `.migrate.database`.
    pub database: Option<DatabaseRef>,
    /// `.migrate.backup`.
    pub backup: BackupBefore,
    /// `.migrate.backup.max-age`.
    pub backup_max_age: Duration,
    /// `.migrate.timeout`.
    pub timeout: Duration,
}

/// How a service's health is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeTarget {
    /// Docker's own state and HEALTHCHECK.
    Docker,
    /// GET of a URL as seen inside the container.
    Http {
        /// Host header, such as `localhost:8000`.
        host: String,
        /// Port.
        port: u16,
        /// Path and query.
        path: String,
    },
    /// A TCP connection.
    Tcp {
        /// Port.
        port: u16,
    },
}

/// Whether the stack can live without a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Its failure brings the stack down.
    Required,
    /// Its failure makes the stack degraded.
    Optional,
}

/// What a service asked for by `stackwarden.health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPolicy {
    /// What is asked.
    pub target: ProbeTarget,
    /// `.health.required`.
    pub importance: Importance,
    /// `.health.interval`.
    pub interval: Duration,
    /// `.health.timeout`.
    pub timeout: Duration,
    /// `.health.failures`: so many in a row make it down.
    pub failures: u32,
}
