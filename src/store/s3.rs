//! Backups in a bucket of object storage: the same layout, the same formats, the same invariants as on disk.
//!
//! The only home of the AWS SDK. A file becomes a backup there when its manifest is written, once, after the file is
//! complete; nobody lists anything else. What the SDK would do by itself and some stores break on is off: checksums in
//! trailers, bodies from paths. Every body but that of a very large part is in memory, signed and with its MD5, and
//! what a store says of itself proves nothing: only bytes that were read back do.

mod connection;
mod failure;
#[cfg(test)]
mod fixture;
mod part;
mod probe;
mod reader;
mod reading;
mod record;
mod removal;
mod send;
mod source;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use md5::{Digest as _, Md5};
use tokio::sync::Mutex;

use super::codec;
use super::layout;
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::backup::{Manifest, Proof, Series};
use crate::domain::bucket::BucketAccess;
use crate::domain::id::ProjectName;
pub use failure::S3Error;
use failure::{Scene, classify};
pub use reader::Reader;
pub use reading::Download;
pub use source::Source;
pub use upload::{Aim, Upload};

/// How long a bucket is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the answer to one small request.
    pub answer: Duration,
    /// For one part's way there.
    pub part: Duration,
    /// For the next part of an upload, whatever who asks for the upload would wait.
    pub standstill: Duration,
    /// How often a request is tried in all.
    pub tries: u32,
    /// The first pause between two tries; it doubles.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(20),
            part: Duration::from_mins(5),
            standstill: Duration::from_mins(5),
            tries: 4,
            pause: Duration::from_millis(500),
        }
    }
}

impl Patience {
    /// Never longer than this without an answer, or without a part on its way.
    #[must_use]
    pub fn within(self, silence: Duration) -> Self {
        Self {
            answer: self.answer.min(silence),
            part: self.part.min(silence),
            standstill: self.standstill.min(silence),
            ..self
        }
    }
}

/// One project's backups in a bucket; cheap to clone.
#[derive(Debug, Clone)]
pub struct S3Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    access: BucketAccess,
    place: String,
    project: ProjectName,
    /// Where the ids of our uploads are kept.
    records: PathBuf,
    patience: Patience,
    /// Manifests and proofs by key: they never change, so that each is read once.
    known: Mutex<BTreeMap<String, reading::Known>>,
}

impl S3Store {
    /// A store in this bucket; nothing is asked yet.
    ///
    /// # Errors
    /// When the root certificates cannot be read, where they are needed.
    pub fn new(
        access: BucketAccess,
        project: ProjectName,
        roots: &Path,
        state_folder: &Path,
        patience: Patience,
    ) -> Result<Self, S3Error> {
        let inner = Inner {
            client: connection::client(&access, roots, patience)?,
            place: access.place(),
            access,
            project,
            records: state_folder.join(record::FOLDER),
            patience,
            known: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The bucket and its host, for sentences.
    pub fn place(&self) -> &str {
        &self.inner.place
    }

    fn client(&self) -> &Client {
        &self.inner.client
    }

    fn bucket(&self) -> &str {
        self.inner.access.bucket.as_str()
    }

    /// The key below which everything of this project is.
    fn root(&self) -> String {
        let project = layout::encode(self.inner.project.as_str());
        self.inner.access.prefix.key(&format!("{project}/"))
    }

    fn key(&self, series: &Series, name: &str) -> String {
        let folder = layout::folder(series);
        let segments = folder.iter().map(|it| it.to_string_lossy());
        let segments: Vec<_> = segments.collect();
        let rest = format!("{}/{name}", segments.join("/"));
        self.inner.access.prefix.key(&rest)
    }

    /// The key of a backup's bytes.
    pub fn key_of(&self, manifest: &Manifest) -> String {
        self.key(&manifest.series, &manifest.file)
    }

    /// The key of a file that is no backup yet.
    pub fn key_of_file(&self, series: &Series, file: &str) -> String {
        self.key(series, file)
    }

    /// Writes the manifest, which is what makes the uploaded file a backup.
    ///
    /// # Errors
    /// When it cannot be written, or another one of that id is there already.
    ///
    /// # Cancellation
    /// It is written or it is not; asking again with the same manifest is well.
    pub async fn publish(&self, manifest: &Manifest) -> Result<(), S3Error> {
        let name = layout::manifest_name(&manifest.id);
        let key = self.key(&manifest.series, &name);
        Box::pin(self.put_once(&key, codec::encode_manifest(manifest))).await
    }

    /// Adds a proof beside its backup.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_proof(&self, series: &Series, proof: &Proof) -> Result<(), S3Error> {
        let name = layout::proof_name(&proof.id, &proof.destination, proof.at);
        let key = self.key(series, &name);
        Box::pin(self.put_once(&key, codec::encode_proof(proof))).await
    }

    /// Writes beside a suspect backup that somebody accepts it.
    ///
    /// # Errors
    /// When it cannot be written, or another one is there already.
    pub async fn accept(&self, series: &Series, acceptance: &Acceptance) -> Result<(), S3Error> {
        let name = layout::acceptance_name(&acceptance.id);
        let key = self.key(series, &name);
        Box::pin(self.put_once(&key, codec::encode_acceptance(acceptance))).await
    }

    /// Writes an object that is never overwritten. The same bytes under that key are our own earlier try, whose
    /// answer was lost.
    async fn put_once(&self, key: &str, bytes: Vec<u8>) -> Result<(), S3Error> {
        let scene = self.scene("write", key);
        // Some stores ignore the condition: who is there already is seen before it is too late. To a key that may list
        // below one prefix only, Amazon denies what is not there.
        match self.find_small(key).await {
            Ok(None) | Err(S3Error::Denied { .. }) => {}
            Ok(Some(there)) => return self.expect_same(key, &there, &bytes),
            Err(error) => return Err(error),
        }
        let put = self.put(key, &bytes).if_none_match("*").send().await;
        let error = match put {
            Ok(_) => return Ok(()),
            Err(error) => classify(scene, &error),
        };
        match error {
            S3Error::Exists { .. } => match self.find_small(key).await? {
                Some(there) => self.expect_same(key, &there, &bytes),
                None => Err(error),
            },
            S3Error::NotOffered { .. } => {
                let put = self.put(key, &bytes).send().await;
                put.map(drop).map_err(|error| classify(scene, &error))
            }
            error => Err(error),
        }
    }

    fn expect_same(&self, key: &str, there: &[u8], wanted: &[u8]) -> Result<(), S3Error> {
        if there == wanted {
            return Ok(());
        }
        Err(S3Error::Exists {
            place: self.inner.place.clone(),
            key: key.to_owned(),
        })
    }

    /// A small object in one request, its MD5 beside it.
    fn put(
        &self,
        key: &str,
        bytes: &[u8],
    ) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
        let digest = digest_of(bytes);
        self.client()
            .put_object()
            .bucket(self.bucket())
            .key(key)
            .content_md5(digest)
            .body(ByteStream::from(bytes.to_vec()))
    }

    fn scene<'a>(&'a self, doing: &'static str, key: &'a str) -> Scene<'a> {
        Scene {
            place: &self.inner.place,
            key,
            doing,
        }
    }

    fn failed<E>(
        &self,
        doing: &'static str,
        key: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> S3Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        classify(self.scene(doing, key), error)
    }
}

/// What `Content-MD5` says of some bytes.
fn digest_of(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(Md5::digest(bytes))
}
