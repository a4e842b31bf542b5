//! What went wrong in a session or a program, and what to do about it.
//!
//! Knows SQLSTATE codes and the sentences of psql, pg_dump and pg_restore.

use std::time::Duration;

use thiserror::Error;

use crate::domain::failure::{FailureKind, bounded};

/// Longest message that is kept; a failed LOCK statement can hold hundreds of KB.
const MESSAGE_LIMIT: usize = 600;

/// Why a session or a program failed.
#[derive(Debug, Error)]
pub enum PostgresError {
    /// The server answered with an error.
    #[error("the server said {message:?} ({sqlstate}){}", .condition.advice())]
    Server {
        /// Five characters, such as 42P01.
        sqlstate: String,
        /// Primary message, bounded.
        message: String,
        /// What kind of failure it is.
        condition: Condition,
    },
    /// A program ended badly.
    #[error("{program} said {message:?}{}", .condition.advice())]
    Program {
        /// Such as `pg_dump`.
        program: String,
        /// Its last words, bounded.
        message: String,
        /// What kind of failure it is.
        condition: Condition,
    },
    /// No connection over the network came about.
    #[error("could not connect to {address}; is the server running and on a shared network?")]
    Connect {
        /// Host and port.
        address: String,
        /// The library's own reason.
        #[source]
        source: Option<tokio_postgres::Error>,
    },
    /// The connection ended in the middle.
    #[error("lost the session with the server while {doing}")]
    Lost {
        /// What was going on.
        doing: &'static str,
        /// The transport's reason, where there is one.
        #[source]
        source: Option<std::io::Error>,
    },
    /// No answer in time; the statement may still run on the server.
    #[error("no answer from the server within {} s; look at pg_stat_activity for what it waits for", .after.as_secs())]
    Deadline {
        /// The time allowed.
        after: Duration,
    },
    /// The session was given up by an earlier failure or a dropped call.
    #[error("the session cannot be used any more; open a new one")]
    Closed,
    /// An answer of a shape we do not know.
    #[error("could not read the server's answer: {what}")]
    Answer {
        /// What was found.
        what: String,
    },
    /// A random marker could not be made.
    #[error("the system gives no random bytes: {reason}")]
    Random {
        /// The system's reason.
        reason: String,
    },
}

impl PostgresError {
    /// An error the server reported with its code.
    pub fn server(sqlstate: &str, message: &str) -> Self {
        Self::Server {
            sqlstate: sqlstate.to_owned(),
            message: bounded(message.trim(), MESSAGE_LIMIT),
            condition: Condition::of_server(sqlstate, message),
        }
    }

    pub(super) fn answer(what: impl AsRef<str>) -> Self {
        Self::Answer {
            what: bounded(what.as_ref(), MESSAGE_LIMIT),
        }
    }

    /// The server's code, when it was the server that said no.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server { sqlstate, .. } => Some(sqlstate),
            _ => None,
        }
    }

    /// The known condition behind it, when there is one.
    pub fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Server { condition, .. } | Self::Program { condition, .. } => Some(condition),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Server { condition, .. } | Self::Program { condition, .. } => condition.kind(),
            Self::Connect { .. } | Self::Lost { .. } | Self::Deadline { .. } | Self::Closed => {
                FailureKind::Transient
            }
            Self::Answer { .. } | Self::Random { .. } => FailureKind::Permanent,
        }
    }
}

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
    /// A right is missing; on this object, where it is named.
    PermissionDenied(Option<String>),
    /// Row security hides rows from this role.
    RowSecurity,
    /// pg_dump is older than the server.
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
    fn of_server(sqlstate: &str, message: &str) -> Self {
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

    fn of_text(text: &str) -> Self {
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
            Self::StartingUp => "; it will be tried again",
            Self::TooManyConnections => "; raise max_connections or close idle sessions",
            Self::Unreachable => "; is the server running?",
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
            Self::Conflict => "; it will be tried again",
            Self::Other => "",
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
    ("Connection refused", Condition::Unreachable),
    ("No such file or directory", Condition::Unreachable),
    ("could not translate host name", Condition::Unreachable),
    ("timeout expired", Condition::Unreachable),
];

/// What `permission denied for table x` is about.
fn denied_object(text: &str) -> Option<String> {
    let (_, tail) = text.split_once("permission denied for ")?;
    let object = tail.lines().next()?.trim().trim_end_matches('.');
    (!object.is_empty()).then(|| bounded(object, 200))
}

/// Reads the standard error of psql, pg_dump, pg_dumpall or pg_restore after a failure.
pub fn classify_stderr(program: &str, stderr: &str) -> PostgresError {
    let telling: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("stackwarden-rc="))
        .filter(|line| !line.starts_with("NOTICE:") && !line.contains(": warning:"))
        .collect();
    let condition = Condition::of_text(&telling.join("\n"));
    let errors: Vec<&str> = telling
        .iter()
        .copied()
        .filter(|line| is_error_line(line))
        .collect();
    let message = if errors.is_empty() {
        telling.join(" ")
    } else {
        errors.join(" ")
    };
    PostgresError::Program {
        program: program.to_owned(),
        message: bounded(&message, MESSAGE_LIMIT),
        condition,
    }
}

fn is_error_line(line: &str) -> bool {
    [
        "error:",
        "ERROR:",
        "FATAL:",
        "PANIC:",
        "detail: Error message",
    ]
    .iter()
    .any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(stderr: &str) -> Condition {
        classify_stderr("pg_dump", stderr)
            .condition()
            .unwrap()
            .clone()
    }

    #[test]
    fn sentences_of_programs_are_known() {
        let cases = [
            (
                "pg_dump: error: connection to server on socket \"/run/s.5432\" failed: FATAL:  password authentication failed for user \"app\"",
                Condition::LoginRefused,
            ),
            (
                "psql: error: connection to server on socket \"/x/.s.PGSQL.5432\" failed: FATAL:  database \"shop\" does not exist",
                Condition::UnknownDatabase,
            ),
            (
                "psql: error: connection to server on socket \"/x/.s.PGSQL.5432\" failed: No such file or directory\n\tIs the server running locally and accepting connections on that socket?",
                Condition::Unreachable,
            ),
            (
                "pg_dump: error: query failed: ERROR:  permission denied for table secrets\npg_dump: detail: Query was: LOCK TABLE public.secrets IN ACCESS SHARE MODE",
                Condition::PermissionDenied(Some("table secrets".to_owned())),
            ),
            (
                "pg_dump: error: query failed: ERROR:  out of shared memory\nHINT:  You might need to increase max_locks_per_transaction.",
                Condition::LockTableFull,
            ),
            (
                "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 17.2; pg_dump version: 15.18",
                Condition::VersionMismatch,
            ),
            (
                "pg_restore: error: could not read from input file: end of file",
                Condition::DamagedArchive,
            ),
        ];
        for (stderr, expected) in cases {
            assert_eq!(condition(stderr), expected, "{stderr}");
        }
    }

    #[test]
    fn a_message_of_hundreds_of_kilobytes_is_bounded_and_keeps_its_advice() {
        let stderr = format!(
            "pg_dump: error: query failed: ERROR:  out of shared memory\npg_dump: detail: Query was: LOCK TABLE {}",
            "public.t, ".repeat(40_000)
        );
        let text = classify_stderr("pg_dump", &stderr).to_string();
        assert!(text.contains("max_locks_per_transaction") && text.len() < 2000);
    }

    #[test]
    fn a_server_that_starts_is_tried_again_and_a_wrong_password_is_not() {
        let starting = PostgresError::server("57P03", "the database system is starting up");
        let refused = PostgresError::server("28P01", "password authentication failed");
        assert_eq!(starting.kind(), FailureKind::Transient);
        assert_eq!(refused.kind(), FailureKind::Permanent);
    }
}
