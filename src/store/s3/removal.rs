//! Removing from a bucket: a backup, manifest first, and what killed uploads left.

use chrono::TimeDelta;

use super::{S3Error, S3Store};
use crate::domain::backup::Manifest;
use crate::domain::unit::Timestamp;
use crate::store::layout;

/// Bytes without a manifest may be those of a backup that is being published, by whatever process.
const LEFTOVER_AGE: TimeDelta = TimeDelta::days(1);

impl S3Store {
    /// Removes a backup: manifest first, so that nobody reads a backup without its bytes; then the rest.
    ///
    /// # Errors
    /// The first object that could not be removed; without its manifest the rest is a leftover.
    pub async fn remove(&self, manifest: &Manifest) -> Result<(), S3Error> {
        let name = layout::manifest_name(&manifest.id);
        self.delete(&self.key(&manifest.series, &name)).await?;
        self.delete(&self.key_of(manifest)).await?;
        // The id and a dot: proofs and acceptance, and no other backup.
        let beside = self.key(&manifest.series, &format!("{}.", manifest.id));
        for entry in self.entries(&beside).await? {
            self.delete(&entry.key).await?;
        }
        Ok(())
    }

    /// Removes bytes and proofs of this project that have had no manifest for a day; gives their keys.
    ///
    /// # Errors
    /// The first that could not be removed; the next start tries again.
    pub async fn sweep(&self, now: Timestamp) -> Result<Vec<String>, S3Error> {
        let mut removed = Vec::new();
        for key in self.orphans(now).await? {
            self.delete(&key).await?;
            removed.push(key);
        }
        Ok(removed)
    }

    /// Keys of bytes and proofs that have had no manifest for long enough to be nobody's upload.
    ///
    /// # Errors
    /// When the bucket cannot be listed.
    pub async fn orphans(&self, now: Timestamp) -> Result<Vec<String>, S3Error> {
        let left = Box::pin(self.leftovers()).await?.into_iter();
        let is_old = |at: Timestamp| at + LEFTOVER_AGE < now;
        let old = left.filter(|entry| entry.written_at.is_some_and(is_old));
        Ok(old.map(|entry| entry.key).collect())
    }

    /// One object in one request: removing many at once needs a checksum that some stores do not know.
    pub(super) async fn delete(&self, key: &str) -> Result<(), S3Error> {
        let delete = self.client().delete_object().bucket(self.bucket()).key(key);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.failed("remove", key, &error) {
                S3Error::Missing { .. } => Ok(()),
                error => Err(error),
            },
        }
    }
}
