//! What can go wrong with object storage, one sentence each, and what the SDK's errors mean.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use thiserror::Error;

use crate::domain::failure::{FailureKind, bounded};
use crate::store::StoreError;
use crate::store::codec::CodecError;

/// More of what a store says is not shown.
const LONGEST_SAYING: usize = 300;

/// What can go wrong with a bucket.
#[derive(Debug, Error)]
pub enum S3Error {
    /// The roots of TLS.
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
    /// No connection, or one that broke.
    #[error(
        "{place} cannot be reached ({said}); check STACKWARDEN_S3_ENDPOINT, the network, and SSL_CERT_FILE for an authority of your own"
    )]
    Unreachable {
        /// The bucket and its host.
        place: String,
        /// What the network said.
        said: String,
    },
    /// No answer in time.
    #[error("{place} did not answer in time while we wanted to {doing}; it is tried again")]
    Slow {
        /// The bucket and its host.
        place: String,
        /// What we wanted.
        doing: &'static str,
    },
    /// Nothing went on for too long.
    #[error(
        "the upload to {place} stood still for {seconds} s and was dropped; it is made good from the finished file"
    )]
    StoodStill {
        /// The bucket and its host.
        place: String,
        /// So long.
        seconds: u64,
    },
    /// The dump was faster, by far.
    #[error(
        "the upload to {place} was not done {seconds} s after the backup stood on disk; it is made good from the finished file"
    )]
    TooSlow {
        /// The bucket and its host.
        place: String,
        /// So long.
        seconds: u64,
    },
    /// We were told to stop.
    #[error("told to stop before the copy was done; it is made good from the finished file")]
    Stopped,
    /// An answer that is none, or one that broke off.
    #[error("the answer of {place} broke off while we wanted to {doing}; it is tried again")]
    Truncated {
        /// The bucket and its host.
        place: String,
        /// What we wanted.
        doing: &'static str,
    },
    /// No such bucket.
    #[error(
        "{place} does not exist; create it, or correct STACKWARDEN_S3_BUCKET or STACKWARDEN_S3_ENDPOINT"
    )]
    NoBucket {
        /// The bucket and its host.
        place: String,
    },
    /// The key is unknown.
    #[error("{place} does not know the access key; correct AWS_ACCESS_KEY_ID")]
    UnknownKey {
        /// The bucket and its host.
        place: String,
    },
    /// The signature is wrong.
    #[error(
        "{place} does not accept the signature; correct AWS_SECRET_ACCESS_KEY, or STACKWARDEN_S3_REGION"
    )]
    WrongSecret {
        /// The bucket and its host.
        place: String,
    },
    /// The session is over.
    #[error("{place} does not accept the session; renew AWS_SESSION_TOKEN and its key")]
    Session {
        /// The bucket and its host.
        place: String,
    },
    /// Another region.
    #[error(
        "{place} is in another region than STACKWARDEN_S3_REGION says ({said}); set it to the bucket's own"
    )]
    Region {
        /// The bucket and its host.
        place: String,
        /// What the store said.
        said: String,
    },
    /// The clocks are apart.
    #[error("{place} refuses our clock: it is more than 15 minutes off; set the host's clock")]
    Skew {
        /// The bucket and its host.
        place: String,
    },
    /// No right to it.
    #[error("{place} does not let this key {doing}; give it that right")]
    Denied {
        /// The bucket and its host.
        place: String,
        /// What we wanted.
        doing: &'static str,
    },
    /// Writing alone makes no copies.
    #[error(
        "{place} lets this key write but not {lacks}: no copy could be found or proven there, so none is made; give the key that right"
    )]
    WriteOnly {
        /// The bucket and its host.
        place: String,
        /// What it may not do, in words.
        lacks: String,
    },
    /// Throttling.
    #[error("{place} asks us to slow down; it is tried again later")]
    Busy {
        /// The bucket and its host.
        place: String,
    },
    /// Its own trouble.
    #[error("{place} has trouble of its own (status {status}, {said}); it is tried again")]
    Failing {
        /// The bucket and its host.
        place: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// No room there.
    #[error(
        "{place} has no room left; free some, raise its quota, or shorten stackwarden.backup.keep"
    )]
    Full {
        /// The bucket and its host.
        place: String,
    },
    /// What arrived was not what we sent.
    #[error("{place} got other bytes than we sent and refused them; it is tried again")]
    Garbled {
        /// The bucket and its host.
        place: String,
    },
    /// It knows no such thing.
    #[error("{place} does not know how to {doing}")]
    NotOffered {
        /// The bucket and its host.
        place: String,
        /// What we wanted.
        doing: &'static str,
    },
    /// Any other refusal.
    #[error("{place} refused to {doing}: {said}")]
    Refused {
        /// The bucket and its host.
        place: String,
        /// What we wanted.
        doing: &'static str,
        /// What it said.
        said: String,
    },
    /// The upload is gone.
    #[error("{place} has forgotten the upload; it is begun again")]
    UploadGone {
        /// The bucket and its host.
        place: String,
    },
    /// The object is gone.
    #[error("{key} is missing in {place}")]
    Missing {
        /// The bucket and its host.
        place: String,
        /// The object.
        key: String,
    },
    /// Something of that name is there.
    #[error("{key} exists already in {place} and is never overwritten")]
    Exists {
        /// The bucket and its host.
        place: String,
        /// The object.
        key: String,
    },
    /// Other bytes than were written.
    #[error(
        "{place} holds other bytes in {key} than were written to it (SHA-256 differs); do not rely on this store"
    )]
    Altered {
        /// The bucket and its host.
        place: String,
        /// The object.
        key: String,
    },
    /// A manifest or proof that cannot be read.
    #[error("{key} in {place} is not a readable manifest or proof")]
    Damaged {
        /// The bucket and its host.
        place: String,
        /// The object.
        key: String,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// The backup outgrew what its parts were made for.
    #[error(
        "the backup grew beyond what was expected, and beyond the number of parts a store takes; it is made good from the finished file"
    )]
    Outgrown,
    /// The dump that was being uploaded came to nothing.
    #[error("the dump was given up, and its upload with it")]
    GivenUp,
    /// Our own file.
    #[error("the stored file cannot be read for its upload")]
    File(#[source] StoreError),
    /// The list of uploads in the state folder.
    #[error("the list of uploads in {} cannot be kept", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A request that could not be made.
    #[error("a request to {place} could not be made: {said}")]
    Unmade {
        /// The bucket and its host.
        place: String,
        /// Why.
        said: String,
    },
}

impl S3Error {
    /// Whether trying again can help without anybody doing something.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. }
            | Self::Slow { .. }
            | Self::StoodStill { .. }
            | Self::TooSlow { .. }
            | Self::Truncated { .. }
            | Self::Busy { .. }
            | Self::Failing { .. }
            | Self::Garbled { .. }
            | Self::UploadGone { .. }
            | Self::Outgrown => FailureKind::Transient,
            Self::GivenUp | Self::Stopped => FailureKind::Cancelled,
            Self::File(error) => error.kind(),
            Self::Record { .. }
            | Self::RootsUnreadable { .. }
            | Self::NoRoots { .. }
            | Self::NoBucket { .. }
            | Self::UnknownKey { .. }
            | Self::WrongSecret { .. }
            | Self::Session { .. }
            | Self::Region { .. }
            | Self::Skew { .. }
            | Self::Denied { .. }
            | Self::WriteOnly { .. }
            | Self::Full { .. }
            | Self::NotOffered { .. }
            | Self::Refused { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Altered { .. }
            | Self::Damaged { .. }
            | Self::Unmade { .. } => FailureKind::Permanent,
        }
    }
}

/// Where something happened: what an error has to tell besides its cause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    /// The bucket and its host.
    pub(super) place: &'a str,
    /// The object; empty where it is about none.
    pub(super) key: &'a str,
    /// What we wanted.
    pub(super) doing: &'static str,
}

/// Tells what an error of the SDK means. What it holds of the request is never shown: headers carry signatures.
pub(super) fn classify<E>(scene: Scene<'_>, error: &SdkError<E, HttpResponse>) -> S3Error
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (place, doing) = (scene.place.to_owned(), scene.doing);
    match error {
        SdkError::TimeoutError(_) => S3Error::Slow { place, doing },
        SdkError::DispatchFailure(failure) => {
            let connector = failure.as_connector_error();
            if connector.is_some_and(aws_sdk_s3::error::ConnectorError::is_timeout) {
                return S3Error::Slow { place, doing };
            }
            let said = connector.map_or_else(String::new, |it| innermost(it));
            S3Error::Unreachable { place, said }
        }
        SdkError::ResponseError(_) => S3Error::Truncated { place, doing },
        SdkError::ServiceError(answer) => {
            let raw = answer.raw();
            let region = raw.headers().get("x-amz-bucket-region");
            let answer = Answer {
                status: raw.status().as_u16(),
                code: answer.err().code().unwrap_or_default(),
                message: answer.err().message().unwrap_or_default(),
                region: region.unwrap_or_default(),
            };
            judge(scene, &answer)
        }
        other => S3Error::Unmade {
            place,
            said: innermost(other),
        },
    }
}

/// What a store answered instead of doing what we wanted.
struct Answer<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    region: &'a str,
}

impl Answer<'_> {
    fn said(&self) -> String {
        let whole = match (self.code, self.message) {
            ("", "") => format!("status {}", self.status),
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}, {message}"),
        };
        bounded(&whole, LONGEST_SAYING)
    }
}

fn judge(scene: Scene<'_>, answer: &Answer<'_>) -> S3Error {
    let (place, doing, key) = (scene.place.to_owned(), scene.doing, scene.key.to_owned());
    match (answer.code, answer.status) {
        ("NoSuchBucket", _) => S3Error::NoBucket { place },
        ("InvalidAccessKeyId" | "NotSignedUp" | "InvalidClientTokenId", _) => {
            S3Error::UnknownKey { place }
        }
        ("SignatureDoesNotMatch", _) => S3Error::WrongSecret { place },
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) => S3Error::Session { place },
        ("RequestTimeTooSkewed" | "RequestExpired", _) => S3Error::Skew { place },
        (
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307) => {
            let said = match answer.region {
                "" => answer.said(),
                region => format!("it is {region}"),
            };
            S3Error::Region { place, said }
        }
        ("NoSuchUpload", _) => S3Error::UploadGone { place },
        ("NoSuchKey" | "NotFound", _) => S3Error::Missing { place, key },
        ("PreconditionFailed", _) | (_, 412) => S3Error::Exists { place, key },
        (
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody"
            | "RequestTimeout",
            _,
        ) => S3Error::Garbled { place },
        ("SlowDown" | "Throttling" | "ThrottlingException" | "ServiceUnavailable", _)
        | ("ConditionalRequestConflict" | "OperationAborted", 409)
        | (_, 429 | 503) => S3Error::Busy { place },
        ("QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage", _) | (_, 507) => {
            S3Error::Full { place }
        }
        ("NotImplemented", _) | (_, 501) => S3Error::NotOffered { place, doing },
        ("AccessDenied", _) | (_, 401 | 403) => S3Error::Denied { place, doing },
        (_, 500..) => S3Error::Failing {
            place,
            status: answer.status,
            said: answer.said(),
        },
        _ => S3Error::Refused {
            place,
            doing,
            said: answer.said(),
        },
    }
}

/// The last cause of a chain, which says the most: `Connection refused`.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    bounded(&cause.to_string(), LONGEST_SAYING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: &str, status: u16) -> S3Error {
        let scene = Scene {
            place: "bucket b at s3:9000",
            key: "k",
            doing: "write",
        };
        let answer = Answer {
            status,
            code,
            message: "",
            region: "",
        };
        judge(scene, &answer)
    }

    #[test]
    fn what_somebody_has_to_change_is_not_tried_again() {
        use FailureKind::{Permanent, Transient};
        for (code, status, kind) in [
            ("NoSuchBucket", 404, Permanent),
            ("InvalidAccessKeyId", 403, Permanent),
            ("SignatureDoesNotMatch", 403, Permanent),
            ("RequestTimeTooSkewed", 403, Permanent),
            ("AccessDenied", 403, Permanent),
            ("", 403, Permanent),
            ("", 301, Permanent),
            ("PreconditionFailed", 412, Permanent),
            ("NotImplemented", 501, Permanent),
            ("QuotaExceeded", 403, Permanent),
            ("InvalidPart", 400, Permanent),
            ("SlowDown", 503, Transient),
            ("", 429, Transient),
            ("InternalError", 500, Transient),
            ("", 502, Transient),
            ("BadDigest", 400, Transient),
            ("NoSuchUpload", 404, Transient),
        ] {
            assert_eq!(judged(code, status).kind(), kind, "{code} {status}");
        }
    }

    #[test]
    fn each_refusal_says_what_to_do_in_one_sentence() {
        let said = |code, status| judged(code, status).to_string();
        assert!(said("InvalidAccessKeyId", 403).contains("AWS_ACCESS_KEY_ID"));
        assert!(said("SignatureDoesNotMatch", 403).contains("AWS_SECRET_ACCESS_KEY"));
        assert!(said("NoSuchBucket", 404).contains("STACKWARDEN_S3_BUCKET"));
        assert!(said("PermanentRedirect", 301).contains("STACKWARDEN_S3_REGION"));
        assert!(said("RequestTimeTooSkewed", 403).contains("clock"));
        assert!(said("AccessDenied", 403).contains("does not let this key write"));
    }
}
