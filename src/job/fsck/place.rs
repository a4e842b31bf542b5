//! The destinations, as far as they are looked after: the backup folder and the bucket.

use super::{Reading, RereadError, Survey, slow};
use crate::domain::backup::{Backup, Destination, Level, Manifest, Proof, Series};
use crate::domain::id::BackupId;
use crate::domain::unit::Timestamp;
use crate::store::StoreError;
use crate::store::disk::DiskStore;
use crate::store::s3::{S3Error, S3Store};

/// A destination, as far as it is looked after.
pub trait Examined {
    /// What can go wrong with it.
    type Failure: std::error::Error + Into<RereadError> + Send + 'static;

    /// The word for it in proofs.
    fn destination(&self) -> &'static str;

    /// Everything it holds, and files of ours that belong to no manifest.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn survey(&self, now: Timestamp) -> impl Future<Output = Result<Survey, Self::Failure>> + Send;

    /// How far a backup is known to be good here when its bytes are those that were written.
    fn sound_level(&self, manifest: &Manifest) -> Level;

    /// One backup, with its manifest at least.
    ///
    /// # Errors
    /// When it cannot be read.
    fn find(
        &self,
        series: &Series,
        id: &BackupId,
    ) -> impl Future<Output = Result<Option<Backup>, Self::Failure>> + Send;

    /// Reads a backup's bytes again; tells `seen` how many passed by.
    ///
    /// # Errors
    /// When they cannot be read, which says nothing about them.
    fn reread(
        &self,
        backup: &Backup,
        seen: impl Fn(usize) + Send + Sync,
    ) -> impl Future<Output = Result<Reading, Self::Failure>> + Send;

    /// Writes a proof beside a backup.
    ///
    /// # Errors
    /// When it cannot be written.
    fn add_proof(
        &self,
        series: &Series,
        proof: &Proof,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;
}

impl Examined for DiskStore {
    type Failure = StoreError;

    fn destination(&self) -> &'static str {
        Destination::Disk.as_str()
    }

    /// Bytes that nobody has decoded are not decoded by being the same.
    fn sound_level(&self, manifest: &Manifest) -> Level {
        manifest.level.min(Level::Archive)
    }

    async fn survey(&self, _now: Timestamp) -> Result<Survey, StoreError> {
        let (store, root) = (self.clone(), self.root().to_owned());
        let looking = tokio::task::spawn_blocking(move || {
            let orphans = store.leftovers()?;
            let shown = orphans.iter().map(|it| it.display().to_string());
            Ok(Survey {
                orphans: shown.collect(),
                listing: store.list()?,
            })
        });
        let lost = |_panicked| StoreError::ThreadLost { path: root };
        looking.await.map_err(lost)?
    }

    async fn find(&self, series: &Series, id: &BackupId) -> Result<Option<Backup>, StoreError> {
        Self::find(self, series, id)
    }

    async fn reread(
        &self,
        backup: &Backup,
        seen: impl Fn(usize) + Send + Sync,
    ) -> Result<Reading, StoreError> {
        let path = self.path_of(&backup.manifest);
        match slow::hash(&path, seen).await? {
            None => Ok(Reading::Missing),
            Some(hash) if hash == backup.manifest.stored_sha256 => Ok(Reading::Sound),
            Some(_other) => Ok(Reading::Altered),
        }
    }

    async fn add_proof(&self, series: &Series, proof: &Proof) -> Result<(), StoreError> {
        Self::add_proof(self, series, proof).await
    }
}

impl Examined for S3Store {
    type Failure = S3Error;

    fn destination(&self) -> &'static str {
        Destination::S3.as_str()
    }

    /// As of the first reading back.
    fn sound_level(&self, _manifest: &Manifest) -> Level {
        Level::Archive
    }

    async fn survey(&self, now: Timestamp) -> Result<Survey, S3Error> {
        Ok(Survey {
            listing: Box::pin(self.list()).await?,
            orphans: Box::pin(self.orphans(now)).await?,
        })
    }

    async fn find(&self, series: &Series, id: &BackupId) -> Result<Option<Backup>, S3Error> {
        let found = Box::pin(Self::find(self, series, id)).await?;
        Ok(found.map(in_bucket))
    }

    async fn reread(
        &self,
        backup: &Backup,
        seen: impl Fn(usize) + Send + Sync,
    ) -> Result<Reading, S3Error> {
        let opened = Box::pin(self.open(&self.key_of(&backup.manifest))).await;
        let mut object = match opened {
            Ok(object) => object,
            Err(S3Error::Missing { .. }) => return Ok(Reading::Missing),
            Err(error) => return Err(error),
        };
        while let Some(chunk) = object.next().await {
            seen(chunk.len());
        }
        if object.finish().await? == backup.manifest.stored_sha256 {
            Ok(Reading::Sound)
        } else {
            Ok(Reading::Altered)
        }
    }

    async fn add_proof(&self, series: &Series, proof: &Proof) -> Result<(), S3Error> {
        Self::add_proof(self, series, proof).await
    }
}

fn in_bucket(manifest: Manifest) -> Backup {
    Backup {
        manifest,
        proofs: Vec::new(),
        elsewhere: Vec::new(),
        acceptance: None,
    }
}
