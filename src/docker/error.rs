//! What can go wrong between us and the engine, in words that say what to do.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as EngineError;
use thiserror::Error;

use crate::domain::failure::{FailureKind, bounded};
use crate::domain::id::ContainerId;

const SHOWN_CHARACTERS: usize = 2_000;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// A failed operation on the Docker engine.
#[derive(Debug, Error)]
pub enum DockerError {
    /// `DOCKER_HOST` has a scheme this build does not speak.
    #[error(
        "{host:?} is not a docker host stackwarden can use; write unix:///path/to/docker.sock or tcp://host:port"
    )]
    UnsupportedHost {
        /// As configured.
        host: String,
    },
    /// No socket at the path.
    #[error(
        "docker socket {path} is not there; mount it: volumes: [/var/run/docker.sock:/var/run/docker.sock]"
    )]
    SocketMissing {
        /// Where it was looked for.
        path: String,
    },
    /// The socket's permissions keep us out.
    #[error(
        "docker socket {path} may not be opened by this user; run as root or add the socket's group: group_add: [\"<gid of the socket>\"]"
    )]
    SocketDenied {
        /// The socket.
        path: String,
    },
    /// Nobody listens, or the connection broke before an answer.
    #[error("cannot {operation}: no connection to docker at {endpoint}; is the engine running?")]
    Unreachable {
        /// What was tried.
        operation: &'static str,
        /// Where.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The engine gave no answer in time.
    #[error("docker did not {operation} within {after:?}")]
    TimedOut {
        /// What was tried.
        operation: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// A socket proxy or an authorization plugin said no.
    #[error(
        "docker refused to {operation} (403): {message}; allow it in the socket proxy or mount the real socket"
    )]
    Forbidden {
        /// What was tried.
        operation: &'static str,
        /// The refusal.
        message: String,
    },
    /// The object is not there (any more).
    #[error("cannot {operation}: {message}")]
    NotFound {
        /// What was tried.
        operation: &'static str,
        /// What the engine missed.
        message: String,
    },
    /// The container does not run just now.
    #[error("cannot {operation}: it does not run")]
    NotRunning {
        /// What was tried.
        operation: &'static str,
    },
    /// Another container has the name.
    #[error("a container named {name} exists already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Any other refusal.
    #[error("docker could not {operation} ({status}): {message}")]
    Answer {
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// The engine's words, bounded.
        message: String,
    },
    /// The answer was no answer; its text is withheld, for it may hold a container's environment.
    #[error(
        "docker's answer to \"{operation}\" could not be read; is this engine API 1.41 or later?"
    )]
    Unreadable {
        /// What was tried.
        operation: &'static str,
    },
    /// The stream of an exec broke; what the program did is unknown.
    #[error("the output of {program} in {container} was cut off; how it ended is unknown")]
    ExecCut {
        /// First word of the command.
        program: String,
        /// Where it ran.
        container: ContainerId,
    },
    /// The exec did not end in time; it may still run.
    #[error("the program in the container did not end within {after:?}; it may still run")]
    ExecOutcomeUnknown {
        /// How long was waited.
        after: Duration,
    },
    /// The engine knows the exec no more; how the program ended is unknown.
    #[error(
        "how the program in the container ended is unknown: its container was removed or the engine restarted"
    )]
    ExecForgotten,
    /// A program printed more than its reader takes.
    #[error("{program} printed more than {limit} bytes")]
    ExecOutputTooLarge {
        /// First word of the command.
        program: String,
        /// The bound.
        limit: usize,
    },
    /// A container did not exit in time.
    #[error("container {container} still runs after {after:?}")]
    StillRunning {
        /// Which.
        container: ContainerId,
        /// How long was waited.
        after: Duration,
    },
    /// A container disappeared while its end was waited for.
    #[error("container {container} was removed by somebody; how it ended is unknown")]
    Vanished {
        /// Which.
        container: ContainerId,
    },
    /// An entrypoint that ends in `-c` would swallow the command.
    #[error(
        "the entrypoint {entrypoint:?} ends in a shell's -c and would run only the first word of the command; set the label stackwarden.migrate.entrypoint: clear"
    )]
    EntrypointSwallowsCommand {
        /// The source's entrypoint.
        entrypoint: Vec<String>,
    },
    /// A command without words.
    #[error("a container cannot be created without a command")]
    CommandEmpty,
    /// A path that no tar header holds.
    #[error("{path} is no absolute path of at most 255 bytes that can be put into a container")]
    PathUnusable {
        /// The path.
        path: PathBuf,
    },
    /// `/proc` could not be read.
    #[error("cannot read {path} to find the own container")]
    OwnUnreadable {
        /// The file.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DockerError {
    /// Whether the same call may succeed later.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::NameTaken { .. }
            | Self::ExecCut { .. }
            | Self::ExecOutcomeUnknown { .. }
            | Self::ExecForgotten
            | Self::NotRunning { .. }
            | Self::StillRunning { .. }
            | Self::Vanished { .. }
            | Self::Answer {
                status: 502..=504, ..
            } => FailureKind::Transient,
            _ => FailureKind::Permanent,
        }
    }

    /// The connection failed, so that nothing is known of the object asked about.
    pub(super) fn is_about_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::SocketMissing { .. }
                | Self::Answer {
                    status: 502..=504,
                    ..
                }
        )
    }

    /// Translates what the library says.
    pub(super) fn explain(operation: &'static str, endpoint: &str, error: EngineError) -> Self {
        match error {
            EngineError::DockerResponseServerError {
                status_code,
                message,
            } => Self::from_status(operation, status_code, &message),
            EngineError::SocketNotFoundError(path) => Self::SocketMissing { path },
            EngineError::RequestTimeoutError => Self::TimedOut {
                operation,
                after: super::LIBRARY_TIMEOUT,
            },
            EngineError::IOError { .. }
            | EngineError::HyperResponseError { .. }
            | EngineError::HyperLegacyError { .. } => {
                Self::from_connection(operation, endpoint, error)
            }
            _ => Self::Unreadable { operation },
        }
    }

    fn from_status(operation: &'static str, status: u16, message: &str) -> Self {
        let message = bounded(message.trim(), SHOWN_CHARACTERS);
        match status {
            403 | 401 | 405 => Self::Forbidden { operation, message },
            NOT_FOUND => Self::NotFound { operation, message },
            CONFLICT
                if ["is not running", "is restarting", "is paused"]
                    .iter()
                    .any(|it| message.contains(it)) =>
            {
                Self::NotRunning { operation }
            }
            _ => Self::Answer {
                operation,
                status,
                message,
            },
        }
    }

    fn from_connection(operation: &'static str, endpoint: &str, error: EngineError) -> Self {
        let path = endpoint.strip_prefix("unix://");
        match (find_io_kind(&error), path) {
            (Some(io::ErrorKind::NotFound), Some(path)) => Self::SocketMissing {
                path: path.to_owned(),
            },
            (Some(io::ErrorKind::PermissionDenied), Some(path)) => Self::SocketDenied {
                path: path.to_owned(),
            },
            _ => Self::Unreachable {
                operation,
                endpoint: endpoint.to_owned(),
                source: Box::new(error),
            },
        }
    }

    /// Turns a conflict of a create call into its own variant.
    pub(super) fn with_name(self, name: &str) -> Self {
        match self {
            Self::Answer {
                status: CONFLICT, ..
            } => Self::NameTaken {
                name: name.to_owned(),
            },
            other => other,
        }
    }
}

/// Absence as `None`.
pub(super) fn found<T>(answer: Result<T, DockerError>) -> Result<Option<T>, DockerError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(DockerError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn find_io_kind(error: &EngineError) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<io::Error>() {
            return Some(found.kind());
        }
        cause = current.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status_code: u16) -> EngineError {
        EngineError::DockerResponseServerError {
            status_code,
            message: "because".to_owned(),
        }
    }

    #[test]
    fn a_proxy_refusal_says_where_to_allow_it() {
        let error = DockerError::explain("list containers", "tcp://proxy:2375", server(403));
        assert!(error.to_string().contains("socket proxy"), "{error}");
        assert_eq!(error.kind(), FailureKind::Permanent);
    }

    #[test]
    fn absence_is_none_and_other_refusals_stay_errors() {
        let gone: Result<(), _> = Err(DockerError::explain("inspect", "x", server(404)));
        assert!(matches!(found(gone), Ok(None)));
        let broken: Result<(), _> = Err(DockerError::explain("inspect", "x", server(500)));
        assert!(found(broken).is_err());
    }

    #[test]
    fn only_a_conflict_means_that_the_name_is_taken() {
        let taken = DockerError::explain("create", "x", server(409)).with_name("proof");
        assert!(matches!(taken, DockerError::NameTaken { name } if name == "proof"));
        let other = DockerError::explain("create", "x", server(400)).with_name("proof");
        assert!(matches!(other, DockerError::Answer { status: 400, .. }));
    }

    #[test]
    fn an_unreadable_answer_never_shows_its_text() {
        let secret = EngineError::JsonDataError {
            message: "invalid type: string \"hunter2\"".to_owned(),
            column: 3,
        };
        let error = DockerError::explain("inspect", "x", secret);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
