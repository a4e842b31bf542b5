//! TLS for connections to the outside: rustls with ring, one file of root certificates, nothing unverified.
//!
//! The roots are read at each connection: a message goes out now and then, and a megabyte of certificates need not
//! lie in memory all day, nor an old set until the next restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Why a connection is not encrypted.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The roots.
    #[error("cannot read the root certificates in {}; set SSL_CERT_FILE to the file that holds them", .path.display())]
    RootsUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not one root.
    #[error("{} holds no root certificate; set SSL_CERT_FILE to a file of PEM certificates", .path.display())]
    NoRoots {
        /// The file.
        path: PathBuf,
    },
    /// A name no certificate can be for.
    #[error("{host:?} is no name that a certificate can be for")]
    Name {
        /// The host.
        host: String,
    },
    /// The library refuses its own defaults.
    #[error("set up TLS")]
    Setup(#[source] rustls::Error),
    /// The other side, or its certificate.
    #[error("the other side or its certificate is not trusted, or speaks no TLS")]
    Handshake(#[source] io::Error),
}

/// Encrypts a connection, the other side proven to be `host`.
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &str,
    roots: &Path,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_shape| TlsError::Name {
        host: host.to_owned(),
    })?;
    let connector = TlsConnector::from(Arc::new(configuration(roots).await?));
    connector
        .connect(name, stream)
        .await
        .map_err(TlsError::Handshake)
}

async fn configuration(path: &Path) -> Result<ClientConfig, TlsError> {
    let text = tokio::fs::read(path).await;
    let text = text.map_err(|source| TlsError::RootsUnreadable {
        path: path.to_owned(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    // A root that this library cannot read is skipped: the others still hold.
    let readable = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
    let (added, _unusable) = roots.add_parsable_certificates(readable);
    if added == 0 {
        return Err(TlsError::NoRoots {
            path: path.to_owned(),
        });
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
