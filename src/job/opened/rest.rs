//! Where stored bytes rest, and the one reader of them.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::OpenedError;
use crate::domain::backup::{Manifest, Sealing, Series, Sha256Hex};
use crate::domain::id::BackupId;
use crate::job::JobContext;
use crate::store::disk::DiskStore;
use crate::store::layout;
use crate::store::read_back::ReadBack;
use crate::store::s3::{Download, Reader, S3Store};

/// Where bytes rest.
#[derive(Debug)]
pub enum Rest {
    /// A file.
    Disk(PathBuf),
    /// An object of the bucket.
    Bucket {
        /// The bucket.
        store: Reader,
        /// The object's key.
        key: String,
    },
}

impl Rest {
    /// Where a backup rests whose bytes are the same in both places, as roles' are, and what they have to be: on disk,
    /// else in the bucket.
    ///
    /// # Errors
    /// When the folder or the bucket cannot be asked.
    pub async fn find(
        context: &JobContext,
        series: &Series,
        id: &BackupId,
    ) -> Result<Option<(Self, Sha256Hex)>, OpenedError> {
        let bucket = context.s3.as_ref().map(S3Store::reader);
        Self::find_in(&context.store, bucket.as_ref(), series, id).await
    }

    /// The same in any folder and bucket.
    ///
    /// # Errors
    /// As of [`Rest::find`].
    pub async fn find_in(
        disk: &DiskStore,
        bucket: Option<&Reader>,
        series: &Series,
        id: &BackupId,
    ) -> Result<Option<(Self, Sha256Hex)>, OpenedError> {
        if let Some(backup) = disk.find(series, id)? {
            let path = disk.path_of(&backup.manifest);
            if bucket.is_none() || tokio::fs::try_exists(&path).await.unwrap_or(true) {
                return Ok(Some((Self::Disk(path), backup.manifest.stored_sha256)));
            }
        }
        let Some(store) = bucket else {
            return Ok(None);
        };
        let found = store.find(series, id).await?;
        Ok(found.map(|manifest| (Self::in_bucket(store, &manifest), manifest.stored_sha256)))
    }

    /// The object of a backup.
    pub fn in_bucket(store: &Reader, manifest: &Manifest) -> Self {
        Self::Bucket {
            key: store.key_of(manifest),
            store: store.clone(),
        }
    }

    /// Whether they are sealed.
    pub fn sealing(&self) -> Sealing {
        match self {
            Self::Disk(path) => layout::sealing(path),
            Self::Bucket { key, .. } => layout::sealing(Path::new(key)),
        }
    }

    /// For sentences.
    pub fn shown(&self) -> String {
        match self {
            Self::Disk(path) => path.display().to_string(),
            Self::Bucket { store, key } => format!("{key} in {}", store.place()),
        }
    }

    /// Begins to read.
    ///
    /// # Errors
    /// When the file cannot be opened, or the store does not give the object.
    pub async fn open(&self) -> Result<Reading, OpenedError> {
        Ok(match self {
            Self::Disk(path) => Reading::File(ReadBack::open(path).await?),
            Self::Bucket { store, key } => Reading::Object(Box::new(store.open(key).await?)),
        })
    }
}

/// Stored bytes as they come back, hashed on the way.
#[derive(Debug)]
pub enum Reading {
    /// From the disk.
    File(ReadBack),
    /// From the bucket.
    Object(Box<Download>),
}

impl Reading {
    /// The next bytes; `None` at the end or after a failure.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::File(file) => file.next().await,
            Self::Object(object) => object.next().await,
        }
    }

    /// Reads what is left; gives the SHA-256 of everything.
    ///
    /// # Errors
    /// When not all of it could be read.
    pub async fn finish(self) -> Result<Sha256Hex, OpenedError> {
        Ok(match self {
            Self::File(file) => file.finish().await?,
            Self::Object(object) => object.finish().await?,
        })
    }
}
