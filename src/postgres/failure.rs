//! What went wrong in a session or a program, and what to do about it.
//!
//! Knows SQLSTATE codes and the sentences of psql, `pg_dump` and `pg_restore`.

mod condition;

use std::time::Duration;

use thiserror::Error;

use crate::domain::failure::{FailureKind, bounded};
pub use condition::Condition;

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
    /// A program that reached for a server outside the stack ended badly.
    #[error("{program} said {message:?}{}", .condition.advice_outside())]
    Outside {
        /// Such as psql.
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

    /// The same failure with the advice for a server outside the stack: no container's settings are about it.
    #[must_use]
    pub fn outside(self) -> Self {
        match self {
            Self::Program {
                program,
                message,
                condition,
            } => Self::Outside {
                program,
                message,
                condition,
            },
            other => other,
        }
    }

    /// Whether it is this database that may not be entered, rather than the server.
    pub fn is_about_database(&self) -> bool {
        match self.condition() {
            Some(Condition::UnknownDatabase) => true,
            Some(Condition::PermissionDenied(object)) => object
                .as_ref()
                .is_some_and(|object| object.starts_with("database ")),
            Some(Condition::LoginRefused) => self.to_string().contains("pg_hba.conf"),
            _ => false,
        }
    }

    pub(super) fn answer(what: impl AsRef<str>) -> Self {
        Self::Answer {
            what: bounded(what.as_ref(), MESSAGE_LIMIT),
        }
    }

    /// The known condition behind it, when there is one.
    pub fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Server { condition, .. }
            | Self::Program { condition, .. }
            | Self::Outside { condition, .. } => Some(condition),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Server { condition, .. }
            | Self::Program { condition, .. }
            | Self::Outside { condition, .. } => condition.kind(),
            Self::Connect { .. } | Self::Lost { .. } | Self::Deadline { .. } | Self::Closed => {
                FailureKind::Transient
            }
            Self::Answer { .. } | Self::Random { .. } => FailureKind::Permanent,
        }
    }
}

/// Reads the standard error of psql, `pg_dump`, `pg_dumpall` or `pg_restore` after a failure.
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
                "psql: error: connection to server at \"db\" (10.0.0.2), port 5432 failed: SSL error: certificate verify failed",
                Condition::Untrusted,
            ),
            (
                "psql: error: connection to server at \"db\" (10.0.0.2), port 5432 failed: server certificate for \"other\" does not match host name \"db\"",
                Condition::Untrusted,
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
