//! Where stored bytes rest, and the one reader of them: whatever has to be undone to the bytes is undone around it.

use std::path::PathBuf;

use bytes::Bytes;

use crate::domain::backup::{Manifest, Sha256Hex};
use crate::job::restore::RestoreError;
use crate::store::read_back::ReadBack;
use crate::store::s3::{Download, S3Store};

/// Where bytes rest.
#[derive(Debug)]
pub(super) enum Rest {
    Disk(PathBuf),
    Bucket { store: S3Store, key: String },
}

impl Rest {
    pub(super) fn in_bucket(store: &S3Store, manifest: &Manifest) -> Self {
        Self::Bucket {
            key: store.key_of(manifest),
            store: store.clone(),
        }
    }

    /// For sentences.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Disk(path) => path.display().to_string(),
            Self::Bucket { store, key } => format!("{key} in {}", store.place()),
        }
    }

    /// Begins to read.
    pub(super) async fn open(&self) -> Result<Reading, RestoreError> {
        Ok(match self {
            Self::Disk(path) => Reading::File(ReadBack::open(path).await?),
            Self::Bucket { store, key } => Reading::Object(Box::new(store.open(key).await?)),
        })
    }
}

/// Stored bytes as they come back, hashed on the way.
pub(super) enum Reading {
    File(ReadBack),
    Object(Box<Download>),
}

impl Reading {
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::File(file) => file.next().await,
            Self::Object(object) => object.next().await,
        }
    }

    /// Reads what is left; gives the SHA-256 of everything.
    pub(super) async fn finish(self) -> Result<Sha256Hex, RestoreError> {
        Ok(match self {
            Self::File(file) => file.finish().await?,
            Self::Object(object) => object.finish().await?,
        })
    }
}
