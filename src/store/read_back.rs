//! Reading a stored file again: what the disk gives back, hashed on the way.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::StoreError;
use super::staged::hex;
use crate::domain::backup::Sha256Hex;

const CHUNK: usize = 256 * 1024;
const WAITING_CHUNKS: usize = 4;

/// The bytes of a stored file, in order.
///
/// # Cancellation
/// Dropped early, the reading thread ends at its next chunk; nothing is left behind.
#[derive(Debug)]
pub struct ReadBack {
    path: PathBuf,
    receiver: mpsc::Receiver<Bytes>,
    worker: JoinHandle<Result<Sha256Hex, StoreError>>,
}

impl ReadBack {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|source| StoreError::from_io("open", path, source))?;
        let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
        let source = path.to_owned();
        let worker = tokio::task::spawn_blocking(move || read_all(file, &source, &sender));
        Ok(Self {
            path: path.to_owned(),
            receiver,
            worker,
        })
    }

    /// The next bytes; `None` at the end or after a failure, which [`ReadBack::finish`] tells.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.receiver.recv().await
    }

    /// Reads what is left and gives the SHA-256 of the whole file.
    ///
    /// # Errors
    /// When the file could not be read to its end.
    pub async fn finish(mut self) -> Result<Sha256Hex, StoreError> {
        while self.receiver.recv().await.is_some() {}
        match self.worker.await {
            Ok(hash) => hash,
            Err(_lost) => Err(StoreError::ThreadLost { path: self.path }),
        }
    }
}

fn read_all(
    mut file: File,
    path: &Path,
    sender: &mpsc::Sender<Bytes>,
) -> Result<Sha256Hex, StoreError> {
    let failed = |source| StoreError::from_io("read", path, source);
    let mut hash = Sha256::new();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = Read::by_ref(&mut file)
            .take(CHUNK as u64)
            .read_to_end(&mut chunk);
        if read.map_err(failed)? == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&chunk);
        if sender.blocking_send(Bytes::from(chunk)).is_err() {
            let source =
                std::io::Error::new(std::io::ErrorKind::Interrupted, "the reader went away");
            return Err(failed(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hash_is_of_what_the_disk_gives_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![7_u8; CHUNK + 5]).unwrap();
        let mut whole = ReadBack::open(&path).unwrap();
        let mut bytes = 0;
        while let Some(chunk) = whole.next().await {
            bytes += chunk.len();
        }
        assert_eq!(bytes, CHUNK + 5);
        let first = whole.finish().await.unwrap();
        std::fs::write(&path, vec![7_u8; CHUNK + 4]).unwrap();
        assert_ne!(
            first,
            ReadBack::open(&path).unwrap().finish().await.unwrap()
        );
    }
}
