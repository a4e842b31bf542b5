//! Outgoing HTTP/1.1, with TLS where asked for, and plain TCP connections: probes of services, the command line's
//! calls to the sidecar, and messages to the world outside.
//!
//! Knows sockets and HTTP, nothing of what is asked. May depend on [`crate::domain`] alone.
//!
//! Invariants: one connection per request, everything under one deadline, bodies bounded; paths and header values
//! are never shown, for some hold a token; a certificate is always verified.

mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::domain::unit::ByteCount;
use crate::domain::web::{Scheme, WebAddress};

pub use tls::TlsError;

const AGENT: &str = concat!("stackwarden/", env!("CARGO_PKG_VERSION"));

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// An address and port.
    Tcp(SocketAddr),
    /// A host by name, resolved at each request.
    Web {
        /// Plain or TLS.
        scheme: Scheme,
        /// Its name or address; also what its certificate has to be for.
        host: String,
        /// The port.
        port: u16,
        /// The file with the root certificates that are trusted.
        roots: PathBuf,
    },
}

impl Endpoint {
    /// Where a web address leads.
    pub fn web(address: &WebAddress, roots: &Path) -> Self {
        Self::Web {
            scheme: address.scheme,
            host: address.host.clone(),
            port: address.port,
            roots: roots.to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "{}", path.display()),
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Web { host, port, .. } => write!(formatter, "{host}:{port}"),
        }
    }
}

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks for work.
    Post,
}

impl Method {
    fn as_hyper(self) -> hyper::Method {
        match self {
            Self::Get => hyper::Method::GET,
            Self::Post => hyper::Method::POST,
        }
    }
}

/// A request; `Host` is `localhost` unless a header says otherwise.
#[derive(Clone)]
pub struct HttpRequest {
    /// What is done.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body, empty for none.
    pub body: Bytes,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .headers
            .iter()
            .map(|(name, _value)| name.as_str())
            .collect();
        formatter
            .debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The target of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// Where the service is.
    pub address: SocketAddr,
    /// The `Host` it expects.
    pub host: String,
    /// Path and query.
    pub path: String,
}

/// Bounds of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From connecting to the last byte.
    pub timeout: Duration,
    /// Bytes of the body that are read.
    pub body: ByteCount,
}

/// Whether the whole body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// It is all there.
    Whole,
    /// The limit came first; the rest was left unread.
    Cut,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// The body, up to the limit.
    pub body: Bytes,
    /// Whether that is all of it.
    pub body_end: BodyEnd,
}

/// Why there was no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens, or the way is blocked.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer from {endpoint} within {after:?}")]
    TimedOut {
        /// Where.
        endpoint: Endpoint,
        /// The deadline.
        after: Duration,
    },
    /// The connection broke, or what came was no HTTP.
    #[error("{endpoint} gave no complete HTTP answer")]
    Broken {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The request cannot be written; its path and headers are withheld.
    #[error("the path or a header of the request to {endpoint} cannot be written")]
    RequestInvalid {
        /// Where it was to go.
        endpoint: Endpoint,
    },
    /// No encrypted connection.
    #[error("no trusted connection to {endpoint}")]
    Tls {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: TlsError,
    },
}

/// Asks a service by `GET`; a body beyond the limit is cut, since its status says enough.
///
/// # Errors
/// When there is no answer in time; every status is an answer.
pub async fn http_get(target: HttpTarget, limits: Limits) -> Result<HttpAnswer, ClientError> {
    let request = HttpRequest {
        method: Method::Get,
        path: target.path,
        headers: vec![("host".to_owned(), target.host)],
        body: Bytes::new(),
    };
    request_once(&Endpoint::Tcp(target.address), request, limits).await
}

/// Connects and hangs up.
///
/// # Errors
/// When nobody listens or the connection takes too long.
pub async fn tcp_connect(address: SocketAddr, within: Duration) -> Result<(), ClientError> {
    let endpoint = Endpoint::Tcp(address);
    match timeout(within, TcpStream::connect(address)).await {
        Ok(Ok(_connected)) => Ok(()),
        Ok(Err(source)) => Err(ClientError::Connect { endpoint, source }),
        Err(_elapsed) => Err(ClientError::TimedOut {
            endpoint,
            after: within,
        }),
    }
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// When the request is invalid or there is no answer in time; every status is an answer.
///
/// # Cancellation
/// The connection is closed; what the other side does with a request it has read is unknown.
pub async fn request_once(
    endpoint: &Endpoint,
    request: HttpRequest,
    limits: Limits,
) -> Result<HttpAnswer, ClientError> {
    let request = build(request).ok_or_else(|| ClientError::RequestInvalid {
        endpoint: endpoint.clone(),
    })?;
    let work = async {
        match endpoint {
            Endpoint::Unix(path) => {
                let connected = UnixStream::connect(path).await;
                exchange(connected, endpoint, request, limits.body).await
            }
            Endpoint::Tcp(address) => {
                let connected = TcpStream::connect(address).await;
                exchange(connected, endpoint, request, limits.body).await
            }
            Endpoint::Web {
                scheme, host, port, ..
            } => {
                let connected = TcpStream::connect((host.as_str(), *port)).await;
                match scheme {
                    Scheme::Http => exchange(connected, endpoint, request, limits.body).await,
                    Scheme::Https => {
                        let encrypted = encrypt(connected, endpoint).await?;
                        exchange(Ok(encrypted), endpoint, request, limits.body).await
                    }
                }
            }
        }
    };
    let late = ClientError::TimedOut {
        endpoint: endpoint.clone(),
        after: limits.timeout,
    };
    timeout(limits.timeout, work).await.unwrap_or(Err(late))
}

async fn encrypt(
    connected: io::Result<TcpStream>,
    endpoint: &Endpoint,
) -> Result<TlsStream<TcpStream>, ClientError> {
    let stream = connected.map_err(|source| ClientError::Connect {
        endpoint: endpoint.clone(),
        source,
    })?;
    let Endpoint::Web { host, roots, .. } = endpoint else {
        return Err(ClientError::RequestInvalid {
            endpoint: endpoint.clone(),
        });
    };
    let encrypted = tls::encrypt(stream, host, roots).await;
    encrypted.map_err(|source| ClientError::Tls {
        endpoint: endpoint.clone(),
        source,
    })
}

fn build(request: HttpRequest) -> Option<Request<Full<Bytes>>> {
    let mut builder = Request::builder()
        .method(request.method.as_hyper())
        .uri(request.path)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close");
    let headers = builder.headers_mut()?;
    for (name, value) in request.headers {
        headers.insert(HeaderName::try_from(name).ok()?, value.try_into().ok()?);
    }
    if !headers.contains_key(HOST) {
        headers.insert(HOST, "localhost".try_into().ok()?);
    }
    builder.body(Full::new(request.body)).ok()
}

async fn exchange<S>(
    connected: io::Result<S>,
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
    limit: ByteCount,
) -> Result<HttpAnswer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let stream = connected.map_err(|source| ClientError::Connect {
        endpoint: endpoint.clone(),
        source,
    })?;
    let answer = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let asking = async {
            let response = sender.send_request(request).await?;
            read_answer(response, limit).await
        };
        // The connection must be driven while its answer is awaited; its own end is no answer yet, since bytes
        // that were read may still wait.
        tokio::pin!(asking, connection);
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                answer = &mut asking => break answer,
                _ended = &mut connection, if open => open = false,
            }
        }
    };
    answer
        .await
        .map_err(|source: hyper::Error| ClientError::Broken {
            endpoint: endpoint.clone(),
            source,
        })
}

async fn read_answer(
    response: Response<Incoming>,
    limit: ByteCount,
) -> Result<HttpAnswer, hyper::Error> {
    let (head, mut incoming) = response.into_parts();
    let limit = usize::try_from(limit.0).unwrap_or(usize::MAX);
    let mut body = BytesMut::new();
    let mut body_end = BodyEnd::Whole;
    while let Some(frame) = incoming.frame().await {
        let Ok(mut chunk) = frame?.into_data() else {
            continue;
        };
        let room = limit.saturating_sub(body.len());
        if chunk.len() > room {
            chunk.truncate(room);
            body_end = BodyEnd::Cut;
        }
        body.extend_from_slice(&chunk);
        if body_end == BodyEnd::Cut {
            break;
        }
    }
    Ok(HttpAnswer {
        status: head.status.as_u16(),
        content_type: text_of(&head.headers, CONTENT_TYPE),
        location: text_of(&head.headers, LOCATION),
        body: body.freeze(),
        body_end,
    })
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
