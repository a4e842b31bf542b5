//! The failures of `PostgreSQL` that we know by name, from codes and from sentences, and their advice.

use crate::domain::failure::{FailureKind, bounded};

/// The failures we know by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Wrong password, or none where one is asked for, or no entry in `pg_hba.conf`.
    LoginRefused,
    /// The role does not exist.
    UnknownRole,
    /// The database does not exist.
    UnknownDatabase,
    /// The server starts, recovers or shuts down.
    StartingUp,
    /// No connection slot is free.
    TooManyConnections,
    /// No server at the socket or address.
    Unreachable,
    /// The server does not prove who it is, or does not encrypt, as it was asked to.
    Untrusted,
    /// A right is missing; on this object, where it is named.
    PermissionDenied(Option<String>),
    /// Row security hides rows from this role.
    RowSecurity,
    /// `pg_dump` is older than the server.
    VersionMismatch,
    /// The shared lock table is full.
    LockTableFull,
    /// A lock was not to be had in time.
    LockTimeout,
    /// The session was ended by somebody, or the server went down.
    Terminated,
    /// The server's disk is full.
    DiskFull,
    /// Stopped by a cancel or a timeout on the server.
    QueryCancelled,
    /// The bytes are no complete archive.
    DamagedArchive,
    /// A conflict that another try may not meet.
    Conflict,
    /// Anything else.
    Other,
}

impl Condition {
    pub(super) fn of_server(sqlstate: &str, message: &str) -> Self {
        match sqlstate {
            "28000" | "28P01" if message.contains("does not exist") => Self::UnknownRole,
            "28000" | "28P01" => Self::LoginRefused,
            "3D000" => Self::UnknownDatabase,
            "57P03" => Self::StartingUp,
            "53300" => Self::TooManyConnections,
            "42501" if message.contains("row-level security") => Self::RowSecurity,
            "42501" => Self::PermissionDenied(denied_object(message)),
            "53200" if message.contains("shared memory") => Self::LockTableFull,
            "55P03" => Self::LockTimeout,
            "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => Self::Terminated,
            "57014" => Self::QueryCancelled,
            "53100" => Self::DiskFull,
            "40001" | "40P01" => Self::Conflict,
            code if code.starts_with("08") => Self::Terminated,
            _ => Self::Other,
        }
    }

    pub(super) fn of_text(text: &str) -> Self {
        let known = SENTENCES
            .iter()
            .find(|(sentence, _)| text.contains(sentence))
            .map(|(_, condition)| condition.clone());
        match known {
            Some(Self::PermissionDenied(_)) => Self::PermissionDenied(denied_object(text)),
            Some(condition) => condition,
            None if text.contains("database \"") && text.contains("\" does not exist") => {
                Self::UnknownDatabase
            }
            None if text.contains("role \"") && text.contains("\" does not exist") => {
                Self::UnknownRole
            }
            None => Self::Other,
        }
    }

    /// Whether the same call may succeed later.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::StartingUp
            | Self::TooManyConnections
            | Self::Unreachable
            | Self::LockTimeout
            | Self::Terminated
            | Self::QueryCancelled
            | Self::Conflict => FailureKind::Transient,
            Self::LoginRefused
            | Self::UnknownRole
            | Self::UnknownDatabase
            | Self::Untrusted
            | Self::PermissionDenied(_)
            | Self::RowSecurity
            | Self::VersionMismatch
            | Self::LockTableFull
            | Self::DiskFull
            | Self::DamagedArchive
            | Self::Other => FailureKind::Permanent,
        }
    }

    /// What to do, as the tail of a sentence; empty where nobody knows.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::LoginRefused => {
                "; the password in the container's settings counts at its first start only: correct it, or give the role this password"
            }
            Self::UnknownRole => "; name an existing role in POSTGRES_USER",
            Self::UnknownDatabase => {
                "; name an existing one in stackwarden.backup.databases or POSTGRES_DB"
            }
            Self::StartingUp | Self::Conflict => "; it will be tried again",
            Self::TooManyConnections => "; raise max_connections or close idle sessions",
            Self::Unreachable => "; is the server running?",
            Self::Untrusted => "; it is not encrypted as it was asked for",
            Self::PermissionDenied(_) => {
                "; a backup needs a superuser, or a role with pg_read_all_data and BYPASSRLS"
            }
            Self::RowSecurity => {
                "; row security hides rows from this role: back up as a superuser or give it BYPASSRLS"
            }
            Self::VersionMismatch => "; use the programs of the server's own major version",
            Self::LockTableFull => {
                "; raise max_locks_per_transaction in postgresql.conf and restart the server"
            }
            Self::LockTimeout => {
                "; another session holds the table, such as a migration: it will be tried again"
            }
            Self::Terminated => "; the session was ended from outside: it will be tried again",
            Self::DiskFull => "; make room on the server's disk",
            Self::QueryCancelled => "; it was cancelled on the server",
            Self::DamagedArchive => "; the bytes are damaged or cut short",
            Self::Other => "",
        }
    }

    /// The same for a server outside the stack.
    pub fn advice_outside(&self) -> &'static str {
        match self {
            Self::LoginRefused | Self::UnknownRole => {
                "; correct user and password in STACKWARDEN_EXTERNAL, or what the server's pg_hba.conf asks for"
            }
            Self::UnknownDatabase => "; correct url or databases in STACKWARDEN_EXTERNAL",
            Self::Unreachable => {
                "; is it running, and does it listen where stackwarden's container can reach it? A server on the same machine is host.docker.internal with extra_hosts: [\"host.docker.internal:host-gateway\"]"
            }
            Self::Untrusted => {
                "; nothing was sent to it: correct sslmode, ca or the host's name in STACKWARDEN_EXTERNAL, or the server's certificate"
            }
            other => other.advice(),
        }
    }
}

/// Sentences of the programs, the more telling ones first.
const SENTENCES: &[(&str, Condition)] = &[
    ("row-level security", Condition::RowSecurity),
    ("row security policy", Condition::RowSecurity),
    ("server version mismatch", Condition::VersionMismatch),
    ("out of shared memory", Condition::LockTableFull),
    ("password authentication failed", Condition::LoginRefused),
    ("no password supplied", Condition::LoginRefused),
    ("authentication failed", Condition::LoginRefused),
    ("no pg_hba.conf entry", Condition::LoginRefused),
    ("due to lock timeout", Condition::LockTimeout),
    ("could not obtain lock", Condition::LockTimeout),
    ("the database system is", Condition::StartingUp),
    ("too many clients", Condition::TooManyConnections),
    ("remaining connection slots", Condition::TooManyConnections),
    ("too many connections", Condition::TooManyConnections),
    ("due to administrator command", Condition::Terminated),
    ("server closed the connection", Condition::Terminated),
    ("connection to server was lost", Condition::Terminated),
    ("SSL SYSCALL error", Condition::Terminated),
    ("SSL error: unexpected eof", Condition::Terminated),
    ("certificate verify failed", Condition::Untrusted),
    ("does not match host name", Condition::Untrusted),
    ("root certificate file", Condition::Untrusted),
    ("does not support SSL", Condition::Untrusted),
    ("channel binding", Condition::Untrusted),
    ("permission denied", Condition::PermissionDenied(None)),
    ("No space left on device", Condition::DiskFull),
    ("unexpected end of file", Condition::DamagedArchive),
    (
        "not appear to be a valid archive",
        Condition::DamagedArchive,
    ),
    ("could not uncompress", Condition::DamagedArchive),
    ("could not decompress", Condition::DamagedArchive),
    ("could not read from input file", Condition::DamagedArchive),
    ("corrupt", Condition::DamagedArchive),
    ("premature end", Condition::DamagedArchive),
    ("Decoding error", Condition::DamagedArchive),
    ("unsupported format", Condition::DamagedArchive),
    ("Connection refused", Condition::Unreachable),
    ("Is the server running", Condition::Unreachable),
    ("could not translate host name", Condition::Unreachable),
    ("timeout expired", Condition::Unreachable),
];

/// What `permission denied for table x` is about.
fn denied_object(text: &str) -> Option<String> {
    let (_, tail) = text.split_once("permission denied for ")?;
    let object = tail.lines().next()?.trim().trim_end_matches('.');
    (!object.is_empty()).then(|| bounded(object, 200))
}
