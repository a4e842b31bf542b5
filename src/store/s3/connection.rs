//! The SDK's client: where it connects, whom it trusts, how long it waits and how often it tries.

use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::{Patience, S3Error};
use crate::domain::bucket::{Addressing, BucketAccess};
use crate::domain::web::Scheme;

/// The longest pause between two tries.
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(10);

/// A client for this bucket; it connects when it is first asked.
pub(super) fn client(
    access: &BucketAccess,
    roots: &Path,
    patience: Patience,
) -> Result<Client, S3Error> {
    let key = &access.key;
    let credentials = Credentials::new(
        key.id.reveal(),
        key.secret.reveal(),
        key.session.as_ref().map(|it| it.reveal().clone()),
        None,
        "settings",
    );
    let retry = RetryConfig::standard()
        .with_max_attempts(patience.tries)
        .with_initial_backoff(patience.pause)
        .with_max_backoff(LONGEST_PAUSE);
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(Region::new(access.region.clone()))
        .force_path_style(access.addressing == Addressing::Path)
        // Trailers with checksums make some stores keep other bytes than they were sent, with status 200.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // Its measure takes a part that waits for a slow line for one that stands still; our own time limits hold.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(retry)
        .timeout_config(timeouts(patience))
        .http_client(http_client(access, roots)?);
    if let Some(endpoint) = &access.endpoint {
        config = config.endpoint_url(endpoint.url());
    }
    Ok(Client::from_conf(config.build()))
}

fn timeouts(patience: Patience) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .operation_attempt_timeout(patience.answer)
        .build()
}

/// The same client, with the time that a part may take.
pub(super) fn for_parts(patience: Patience) -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .operation_attempt_timeout(patience.part)
        .build();
    Config::builder().timeout_config(timeouts)
}

fn http_client(access: &BucketAccess, roots: &Path) -> Result<SharedHttpClient, S3Error> {
    let is_plain = access
        .endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.scheme == Scheme::Http);
    if is_plain {
        return Ok(Builder::new().build_http());
    }
    let trusted = TrustStore::empty().with_pem_certificate(read_roots(roots)?);
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.map_err(|error| S3Error::Unmade {
        place: access.place(),
        said: error.to_string(),
    })?;
    Ok(Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

/// The roots that can be read, as PEM again: the library would end the process at one that it cannot read.
fn read_roots(path: &Path) -> Result<Vec<u8>, S3Error> {
    let text = std::fs::read(path).map_err(|source| S3Error::RootsUnreadable {
        path: path.to_owned(),
        source,
    })?;
    let mut usable = RootCertStore::empty();
    let mut pem = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text).filter_map(Result::ok) {
        if usable.add(certificate.clone()).is_ok() {
            let encoded = aws_smithy_types::base64::encode(certificate);
            pem.extend_from_slice(b"-----BEGIN CERTIFICATE-----\n");
            pem.extend_from_slice(encoded.as_bytes());
            pem.extend_from_slice(b"\n-----END CERTIFICATE-----\n");
        }
    }
    if usable.is_empty() {
        return Err(S3Error::NoRoots {
            path: path.to_owned(),
        });
    }
    Ok(pem)
}
