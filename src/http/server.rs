//! The accept loop: TCP and Unix sockets, bounded in connections and time.
//!
//! Our own, because the router's ready-made server installs no timer (so half-sent headers hold a
//! connection for ever) and its graceful stop has no deadline. Invariants: no peer holds a place longer
//! than [`LONGEST_LIFE`] and [`LINGER`]; a socket file is replaced only when nobody answers behind it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const MOST_CONNECTIONS: usize = 256;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that reads its answer byte by byte is let go after this.
const LONGEST_LIFE: Duration = Duration::from_mins(5);
/// How long a connection may still answer what it was asked after it was told to end.
const LINGER: Duration = Duration::from_secs(5);
const BUFFER: usize = 32 * 1024;
/// After a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const OWNER_ONLY: u32 = 0o600;

/// Why a door could not be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address} ({door}); is another program there?")]
    Address {
        /// Which door.
        door: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot carry a socket, or not here.
    #[error("cannot put a socket at {path}; commands use the control port instead")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another sidecar answers there.
    #[error("another stackwarden answers at {path}; stop it first")]
    Answered {
        /// Where.
        path: PathBuf,
    },
    /// Not ours to replace.
    #[error("{path} is in the way and is no socket; move it away")]
    NoSocket {
        /// What.
        path: PathBuf,
    },
}

impl ListenError {}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        path: PathBuf,
        /// Device and inode, to tell our file from a successor's.
        identity: (u64, u64),
    },
}

/// An open door that nobody stands behind yet.
#[derive(Debug)]
pub struct Listener {
    door: &'static str,
    socket: Socket,
}

/// Opens a TCP door.
///
/// # Errors
/// When the address cannot be bound; retrying is useless while something else holds it.
pub async fn listen_tcp(door: &'static str, address: SocketAddr) -> Result<Listener, ListenError> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| ListenError::Address {
        door,
        address,
        source,
    })?;
    Ok(Listener {
        door,
        socket: Socket::Tcp(listener),
    })
}

/// Opens the Unix door, mode 0600; a socket file that a dead process left is replaced.
///
/// # Errors
/// When the folder carries no sockets (some network shares), when a living process answers there, or
/// when something else has that name.
pub async fn listen_unix(path: PathBuf) -> Result<Listener, ListenError> {
    let at = |source| ListenError::Socket {
        path: path.clone(),
        source,
    };
    remove_stale(&path).await?;
    let listener = UnixListener::bind(&path).map_err(at)?;
    // Before this line strangers are turned away by their user id, see `is_ours`.
    let permissions = std::fs::Permissions::from_mode(OWNER_ONLY);
    tokio::fs::set_permissions(&path, permissions)
        .await
        .map_err(at)?;
    let identity = identity_of(&path).await.map_err(at)?;
    Ok(Listener {
        door: "socket",
        socket: Socket::Unix {
            listener,
            path,
            identity,
        },
    })
}

async fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = tokio::fs::symlink_metadata(path).await?;
    Ok((metadata.dev(), metadata.ino()))
}

async fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let at = |source| ListenError::Socket {
        path: path.to_owned(),
        source,
    };
    match tokio::fs::symlink_metadata(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let path = path.to_owned();
            return Err(ListenError::NoSocket { path });
        }
        Ok(_) => {}
    }
    // Connecting to a socket without a listener fails at once; a full backlog means somebody lives.
    match tokio::time::timeout(HEADER_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tokio::fs::remove_file(path).await.map_err(at)
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(at(error)),
        Ok(Ok(_) | Err(_)) | Err(_) => {
            let path = path.to_owned();
            Err(ListenError::Answered { path })
        }
    }
}

impl Listener {
    /// The bound address of a TCP door, with the port the system chose for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } => None,
        }
    }

    /// Serves until `stop`; then answers what was asked, within a few seconds, and ends.
    ///
    /// # Cancellation
    /// Dropping it cuts every connection; a Unix socket's file stays and is replaced by the next start.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        match self.socket {
            Socket::Tcp(listener) => {
                let accept = || async { listener.accept().await.map(|(stream, _)| Some(stream)) };
                accept_all(self.door, accept, router, &stop).await;
            }
            Socket::Unix {
                listener,
                path,
                identity,
            } => {
                let accept = || async {
                    let (stream, _) = listener.accept().await?;
                    Ok(is_ours(&stream)?.then_some(stream))
                };
                accept_all(self.door, accept, router, &stop).await;
                drop(listener);
                if identity_of(&path).await.is_ok_and(|it| it == identity)
                    && let Err(error) = tokio::fs::remove_file(&path).await
                {
                    tracing::debug!(path = %path.display(), %error, "socket file stays");
                }
            }
        }
    }
}

/// Only root and our own user are trusted without a token.
fn is_ours(stream: &UnixStream) -> io::Result<bool> {
    let peer = stream.peer_cred()?.uid();
    Ok(peer == 0 || peer == rustix::process::geteuid().as_raw())
}

/// `accept` gives no stream for a peer that is turned away.
async fn accept_all<S, A, F>(
    door: &'static str,
    accept: A,
    router: Router,
    stop: &CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn() -> F,
    F: Future<Output = io::Result<Option<S>>>,
{
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let arrival = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, accept().await)
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(door, ended),
            (place, arrived) = arrival => match arrived {
                Ok(Some(stream)) => {
                    let connection = serve_one(stream, router.clone(), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Ok(None) => tracing::warn!(door, "a stranger was turned away"),
                Err(error) => {
                    tracing::warn!(door, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    while let Some(ended) = connections.join_next().await {
        report(door, ended);
    }
}

fn report(door: &'static str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(door, %error, "a request handler panicked");
    }
}

async fn serve_one<S>(stream: S, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(LONGEST_LIFE) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        match tokio::time::timeout(LINGER, connection).await {
            Ok(ended) => ended,
            Err(_elapsed) => return,
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}
