//! Reading a stored file again, or along while it is being written: what the disk gives back, hashed on the way.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::StoreError;
use super::staged::{Growth, StagedFile, hex};
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
    /// Opens the file, on a thread of its own: a network folder that is gone holds whoever opens it.
    ///
    /// # Errors
    /// When it cannot be opened.
    ///
    /// # Cancellation
    /// The thread stays until the file opens; the process does not wait for it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let source = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || File::open(source)).await;
        let lost = |_panicked| StoreError::ThreadLost {
            path: path.to_owned(),
        };
        let file = opened
            .map_err(lost)?
            .map_err(|source| StoreError::from_io("open", path, source))?;
        Ok(Self::read(file, path, None))
    }

    /// Reads along while the file is being written; its end is that of the finished file.
    ///
    /// # Errors
    /// When it cannot be opened a second time.
    ///
    /// # Cancellation
    /// When the file is given up, [`ReadBack::next`] ends and [`ReadBack::finish`] fails.
    pub fn follow(staged: &StagedFile) -> Result<Self, StoreError> {
        let path = staged.partial();
        let file = File::open(path).map_err(|source| StoreError::from_io("open", path, source))?;
        let along = Along {
            growth: staged.growth(),
            runtime: Handle::current(),
        };
        Ok(Self::read(file, path, Some(along)))
    }

    fn read(file: File, path: &Path, along: Option<Along>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
        let source = path.to_owned();
        let worker = tokio::task::spawn_blocking(move || read_all(file, &source, along, &sender));
        Self {
            path: path.to_owned(),
            receiver,
            worker,
        }
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

/// Where a file that is still being written ends for now.
struct Along {
    growth: watch::Receiver<Growth>,
    runtime: Handle,
}

impl Along {
    /// Waits until there is a chunk behind `offset`, or the file is complete.
    fn wait_beyond(&mut self, offset: u64) -> io::Result<()> {
        let is_there = |growth: &Growth| match growth {
            Growth::SoFar(written) => written.0 >= offset.saturating_add(CHUNK as u64),
            Growth::Complete(_) => true,
        };
        let waited = self.runtime.block_on(self.growth.wait_for(is_there));
        let given_up = || {
            io::Error::new(
                io::ErrorKind::Interrupted,
                "given up before it was complete",
            )
        };
        waited.map(drop).map_err(|_writer_gone| given_up())
    }
}

fn read_all(
    mut file: File,
    path: &Path,
    mut along: Option<Along>,
    sender: &mpsc::Sender<Bytes>,
) -> Result<Sha256Hex, StoreError> {
    let failed = |source| StoreError::from_io("read", path, source);
    let mut hash = Sha256::new();
    let mut offset = 0;
    loop {
        if let Some(along) = &mut along {
            along.wait_beyond(offset).map_err(failed)?;
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = Read::by_ref(&mut file)
            .take(CHUNK as u64)
            .read_to_end(&mut chunk);
        let read = read.map_err(failed)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        offset += read as u64;
        hash.update(&chunk);
        if sender.blocking_send(Bytes::from(chunk)).is_err() {
            let source = io::Error::new(io::ErrorKind::Interrupted, "the reader went away");
            return Err(failed(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::unit::ByteCount;
    use crate::store::staged::Ownership;

    fn staged(folder: &Path) -> StagedFile {
        let ownership = Ownership {
            user: rustix::process::getuid().as_raw(),
            group: rustix::process::getgid().as_raw(),
        };
        StagedFile::create(folder.join("a.dump"), ownership).unwrap()
    }

    #[tokio::test]
    async fn who_reads_along_gets_all_of_the_finished_file_and_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let mut staged = staged(folder.path());
        let mut along = ReadBack::follow(&staged).unwrap();
        staged.write(Bytes::from(vec![7; CHUNK])).await.unwrap();
        assert_eq!(along.next().await.unwrap().len(), CHUNK);
        staged.write(Bytes::from(vec![8; 5])).await.unwrap();
        let stored = staged.finish().await.unwrap();
        assert_eq!(along.next().await.unwrap(), vec![8; 5]);
        assert_eq!(along.next().await, None);
        assert_eq!(along.finish().await.unwrap(), stored.sha256);
        assert_eq!(stored.size, ByteCount(CHUNK as u64 + 5));
    }

    #[tokio::test]
    async fn who_reads_along_a_file_that_is_given_up_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let staged = staged(folder.path());
        let mut along = ReadBack::follow(&staged).unwrap();
        drop(staged);
        assert_eq!(along.next().await, None);
        assert!(along.finish().await.is_err());
    }

    #[tokio::test]
    async fn the_hash_is_of_what_the_disk_gives_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![7_u8; CHUNK + 5]).unwrap();
        let mut whole = ReadBack::open(&path).await.unwrap();
        let mut bytes = 0;
        while let Some(chunk) = whole.next().await {
            bytes += chunk.len();
        }
        assert_eq!(bytes, CHUNK + 5);
        let first = whole.finish().await.unwrap();
        std::fs::write(&path, vec![7_u8; CHUNK + 4]).unwrap();
        assert_ne!(
            first,
            ReadBack::open(&path).await.unwrap().finish().await.unwrap()
        );
    }
}
