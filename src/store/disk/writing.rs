//! What makes a stored file a backup, and its proofs: written on a thread of its own, so that a disk that stands still
//! holds up nobody but the job that waits for it.

use std::path::Path;

use super::DiskStore;
use crate::domain::backup::{Manifest, Proof, Series};
use crate::store::staged::StoredFile;
use crate::store::{StoreError, codec, layout};

impl DiskStore {
    /// Writes the manifest, which is what makes the stored file a backup; the lock goes with it.
    ///
    /// # Errors
    /// When it cannot be written, or one of that id is there already. The stored file is then removed.
    ///
    /// # Cancellation
    /// Dropped, it is written all the same, or not, as a whole.
    pub async fn publish(&self, stored: StoredFile, manifest: &Manifest) -> Result<(), StoreError> {
        let name = layout::manifest_name(&manifest.id);
        let (series, bytes) = (manifest.series.clone(), codec::encode_manifest(manifest));
        let write = move |store: &Self| {
            let written = store.write_once(&series, &name, &bytes);
            // On a full disk the dump that never became a backup would keep the next one from succeeding. Where even a
            // part of the writing may have succeeded it stays: a manifest must never stand without its bytes.
            if written.is_err() && !may_exist(&stored.path.with_file_name(&name)) {
                drop(stored.discard());
            }
            written
        };
        self.on_a_thread(write).await
    }

    /// Adds a proof beside its backup.
    ///
    /// # Errors
    /// When it cannot be written.
    ///
    /// # Cancellation
    /// As [`Self::publish`].
    pub async fn add_proof(&self, series: &Series, proof: &Proof) -> Result<(), StoreError> {
        let name = layout::proof_name(&proof.id, &proof.destination, proof.at);
        let (series, bytes) = (series.clone(), codec::encode_proof(proof));
        self.on_a_thread(move |store| store.write_once(&series, &name, &bytes))
            .await
    }

    async fn on_a_thread(
        &self,
        write: impl FnOnce(&Self) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (store, path) = (self.clone(), self.root.clone());
        let written = tokio::task::spawn_blocking(move || write(&store)).await;
        written.unwrap_or(Err(StoreError::ThreadLost { path }))
    }
}

/// Whether a file is there, or nobody can tell.
fn may_exist(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}
