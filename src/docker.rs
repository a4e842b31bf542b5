//! The Docker engine: the only module that knows bollard.
//!
//! Knows containers, images, execs, logs and events of one engine over its socket or a TCP proxy. May depend on
//! [`crate::domain`] alone.
//!
//! Invariants: every call has a deadline; requests and answers are never logged (they hold environments); a
//! connection is made per call, so an engine that was absent or restarts is found again by the next call; the end
//! of a stream is never taken as the success of a program.

mod archive;
mod bounded;
mod clone;
mod error;
mod event;
mod exec;
mod fleet;
mod image;
mod lifetime;
mod log;
mod own;
mod scratch;
mod volume;

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error as EngineError;

pub use clone::CloneRequest;
pub use error::DockerError;
pub use exec::line::Carried;
pub use exec::output::{ExecOutput, StderrHandle};
pub use exec::{END_TRAILS_OUTPUT, Exec, ExecRequest, ExecResult, StdinMode};
pub use lifetime::{Exit, Leftover};
pub use own::{MountPoint, OwnContainer};
pub use scratch::{ReadOnlyBind, ReadOnlyVolume, ScratchData, ScratchRequest};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The library's own bound on the headers of an answer; ours are shorter.
const LIBRARY_TIMEOUT: Duration = Duration::from_mins(2);
/// Questions and small commands.
const SHORT: Duration = Duration::from_secs(10);
/// Creating, starting, removing: engines under load take their time.
const LONG: Duration = Duration::from_mins(1);

/// A Docker engine. Cloning is cheap; nothing is connected until a call is made.
#[derive(Clone, Debug)]
pub struct Docker {
    endpoint: String,
}

/// What the engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// Such as `28.5.2`.
    pub version: String,
    /// Such as `1.51`.
    pub api_version: String,
}

impl Docker {
    /// Takes `unix:///path`, `tcp://host:port` or `http://host:port`; `None` or an empty text is the default socket.
    ///
    /// # Errors
    /// When the scheme is another one; an absent engine is an error of the first call.
    pub fn connect(host: Option<&str>) -> Result<Self, DockerError> {
        let host = host
            .map(str::trim)
            .filter(|host| !host.is_empty())
            .unwrap_or(DEFAULT_HOST);
        let known = ["unix://", "tcp://", "http://"]
            .iter()
            .any(|scheme| host.len() > scheme.len() && host.starts_with(scheme));
        if !known {
            return Err(DockerError::UnsupportedHost {
                host: host.to_owned(),
            });
        }
        Ok(Self {
            endpoint: host.trim_end_matches('/').to_owned(),
        })
    }

    /// Asks the engine for its versions.
    ///
    /// # Errors
    /// As every call: [`DockerError::kind`] says whether a retry is useful.
    pub async fn version(&self) -> Result<EngineVersion, DockerError> {
        let client = self.client()?;
        let answer = self
            .bounded("say its version", SHORT, client.version())
            .await?;
        Ok(EngineVersion {
            version: answer.version.unwrap_or_default(),
            api_version: answer.api_version.unwrap_or_default(),
        })
    }

    /// A library client; cheap, since it connects per request.
    fn client(&self) -> Result<bollard::Docker, DockerError> {
        let seconds = LIBRARY_TIMEOUT.as_secs();
        let version = bollard::API_DEFAULT_VERSION;
        let client = if self.endpoint.starts_with("unix://") {
            bollard::Docker::connect_with_unix(&self.endpoint, seconds, version)
        } else {
            bollard::Docker::connect_with_http(&self.endpoint, seconds, version)
        };
        client.map_err(|error| self.explain("connect", error))
    }

    /// One call under a deadline.
    async fn bounded<T>(
        &self,
        operation: &'static str,
        after: Duration,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, DockerError> {
        match tokio::time::timeout(after, call).await {
            Ok(answer) => answer.map_err(|error| self.explain(operation, error)),
            Err(_elapsed) => Err(DockerError::TimedOut { operation, after }),
        }
    }

    fn explain(&self, operation: &'static str, error: EngineError) -> DockerError {
        DockerError::explain(operation, &self.endpoint, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_other_schemes_are_refused_with_a_hint() {
        for host in [
            "ssh://box",
            "https://box:2376",
            "/var/run/docker.sock",
            "unix://",
        ] {
            let error = Docker::connect(Some(host)).unwrap_err();
            assert!(error.to_string().contains("tcp://host:port"), "{error}");
        }
        assert_eq!(Docker::connect(None).unwrap().endpoint, DEFAULT_HOST);
        assert_eq!(Docker::connect(Some(" ")).unwrap().endpoint, DEFAULT_HOST);
    }

    #[tokio::test]
    async fn an_absent_socket_is_named_with_the_cure() {
        let docker = Docker::connect(Some("unix:///nowhere/docker.sock")).unwrap();
        let error = docker.version().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "docker socket /nowhere/docker.sock is not there; mount it: volumes: [/var/run/docker.sock:/var/run/docker.sock]"
        );
    }

    #[tokio::test]
    async fn a_socket_without_an_engine_is_unreachable_and_worth_a_retry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let host = format!("unix://{}", path.display());
        let docker = Docker::connect(Some(&host)).unwrap();
        let error = docker.version().await.unwrap_err();
        assert!(matches!(error, DockerError::Unreachable { .. }), "{error}");
        assert_eq!(error.kind(), crate::domain::failure::FailureKind::Transient);
    }
}
