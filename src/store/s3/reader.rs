//! A bucket for those who only read: our own project's backups, or another's, of which nothing may be changed.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Download, Inner, S3Error, S3Store};
use crate::domain::backup::{Manifest, Series};
use crate::domain::bucket::{BucketAccess, KeyPrefix};
use crate::domain::id::{BackupId, ProjectName};
use crate::store::disk::Listing;

/// One project's backups in a bucket, to be read; cheap to clone. It has no way to write.
#[derive(Debug, Clone)]
pub struct Reader(S3Store);

impl S3Store {
    /// The same backups, to be read.
    pub fn reader(&self) -> Reader {
        Reader(self.clone())
    }

    /// Another project's backups in the same bucket, below our own prefix or another.
    pub fn reader_of(&self, project: ProjectName, prefix: Option<KeyPrefix>) -> Reader {
        let inner = &self.inner;
        let access = inner.access.clone();
        let access = BucketAccess {
            prefix: prefix.unwrap_or_else(|| access.prefix.clone()),
            ..access
        };
        Reader(S3Store {
            inner: Arc::new(Inner {
                client: inner.client.clone(),
                access,
                place: inner.place.clone(),
                project,
                records: inner.records.clone(),
                patience: inner.patience,
                known: Mutex::default(),
            }),
        })
    }
}

impl Reader {
    /// The bucket and its host, for sentences.
    pub fn place(&self) -> &str {
        self.0.place()
    }

    /// The key of a backup's bytes.
    pub fn key_of(&self, manifest: &Manifest) -> String {
        self.0.key_of(manifest)
    }

    /// See [`S3Store::list`].
    ///
    /// # Errors
    /// When the bucket cannot be listed or read.
    pub async fn list(&self) -> Result<Listing, S3Error> {
        self.0.list().await
    }

    /// See [`S3Store::find`].
    ///
    /// # Errors
    /// When its manifest cannot be read.
    pub async fn find(&self, series: &Series, id: &BackupId) -> Result<Option<Manifest>, S3Error> {
        self.0.find(series, id).await
    }

    /// Opens an object.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn open(&self, key: &str) -> Result<Download, S3Error> {
        self.0.open(key).await
    }
}
