//! A file on its way: written and hashed on a thread of its own, visible only when complete.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{Gid, Uid};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::StoreError;
use super::layout::PARTIAL;
use crate::domain::backup::Sha256Hex;
use crate::domain::unit::ByteCount;

/// Chunks that may wait for the disk; with Docker's frames of at most 64 KiB this bounds memory to 2 MiB.
const WAITING_CHUNKS: usize = 32;

/// Who owns what we write: the owner and group of the backup folder, so that people can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
}

enum Message {
    Chunk(Bytes),
    Finish,
}

/// How far a file has grown; whoever follows it sees the sender go when it will never be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// So many bytes can be read.
    SoFar(ByteCount),
    /// These are all.
    Complete(ByteCount),
}

/// A file being written under `<name>.partial`.
///
/// # Cancellation
/// Dropped before [`StagedFile::finish`], the thread removes the partial file. Killed, it stays behind
/// unlocked and the next start removes it.
#[derive(Debug)]
pub struct StagedFile {
    path: PathBuf,
    partial: PathBuf,
    growth: watch::Receiver<Growth>,
    sender: mpsc::Sender<Message>,
    worker: JoinHandle<Result<StoredFile, StoreError>>,
}

/// A complete, synced file under its final name, still locked as ours until dropped.
#[derive(Debug)]
pub struct StoredFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub size: ByteCount,
    /// SHA-256 of the bytes as they were handed in.
    pub sha256: Sha256Hex,
    /// Keeps the lock.
    file: File,
}

impl StoredFile {
    /// Gives the file up: removes it. Used when what was written turns out wrong.
    ///
    /// # Errors
    /// When it cannot be removed; the next start's sweep tries again.
    pub fn discard(self) -> Result<(), StoreError> {
        let removed = std::fs::remove_file(&self.path);
        removed.map_err(|source| StoreError::from_io("remove", &self.path, source))?;
        drop(self.file);
        Ok(())
    }
}

impl StagedFile {
    /// Creates `<path>.partial`, locked, with the given ownership.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: PathBuf, ownership: Ownership) -> Result<Self, StoreError> {
        let partial = partial_of(&path);
        let file = create_locked(&partial, ownership)?;
        let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
        let (grows, growth) = watch::channel(Growth::SoFar(ByteCount(0)));
        let way = Way {
            partial: partial.clone(),
            target: path.clone(),
            grows,
        };
        let worker = tokio::task::spawn_blocking(move || write_all(file, way, receiver));
        Ok(Self {
            path,
            partial,
            growth,
            sender,
            worker,
        })
    }

    /// Where it is while it is being written.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// How far it has grown, for those who read along.
    pub fn growth(&self) -> watch::Receiver<Growth> {
        self.growth.clone()
    }

    /// Hands bytes to the disk; waits while the disk is behind.
    ///
    /// # Errors
    /// When the thread has failed; [`StagedFile::finish`] then tells why.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if self.sender.send(Message::Chunk(chunk)).await.is_ok() {
            return Ok(());
        }
        let path = self.path.clone();
        match (&mut self.worker).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(StoreError::ThreadLost { path }),
        }
    }

    /// Syncs, renames to the final name and syncs the folder.
    ///
    /// # Errors
    /// When anything of it fails; the partial file is then removed.
    pub async fn finish(self) -> Result<StoredFile, StoreError> {
        let lost = StoreError::ThreadLost { path: self.path };
        // A failed send means that the thread has ended early: its own error is the better answer.
        let sent = self.sender.send(Message::Finish).await;
        match self.worker.await {
            Ok(Ok(stored)) if sent.is_ok() => Ok(stored),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(lost),
        }
    }
}

fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    PathBuf::from(name)
}

/// Creates a new file of mode 0640 that belongs to the folder's owner and is locked by us.
pub(super) fn create_locked(path: &Path, ownership: Ownership) -> Result<File, StoreError> {
    let failed = |operation| move |source| StoreError::from_io(operation, path, source);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o640);
    let file = options.open(path).map_err(failed("create"))?;
    let (user, group) = (
        Uid::from_raw(ownership.user),
        Gid::from_raw(ownership.group),
    );
    // Not being root is fine: then the file simply belongs to us.
    if let Err(error) = rustix::fs::fchown(&file, Some(user), Some(group))
        && error != rustix::io::Errno::PERM
    {
        return Err(StoreError::from_io(
            "change the owner of",
            path,
            io::Error::from(error),
        ));
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        // A file system without locks (some NAS) is named at start; it does not stop a backup.
        Err(std::fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(file)
        }
        Err(std::fs::TryLockError::Error(source)) => Err(StoreError::from_io("lock", path, source)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Exists {
            path: path.to_owned(),
        }),
    }
}

/// From one name to the other, and who looks on.
struct Way {
    partial: PathBuf,
    target: PathBuf,
    grows: watch::Sender<Growth>,
}

fn write_all(
    mut file: File,
    way: Way,
    mut receiver: mpsc::Receiver<Message>,
) -> Result<StoredFile, StoreError> {
    let Way {
        partial,
        target,
        grows,
    } = way;
    let partial = partial.as_path();
    let written = write_chunks(&mut file, partial, &mut receiver, &grows);
    let published = written.and_then(|(size, hash)| {
        let failed = |operation| move |source| StoreError::from_io(operation, partial, source);
        file.sync_all().map_err(failed("sync"))?;
        rename_durably(partial, &target)?;
        grows.send_replace(Growth::Complete(size));
        Ok(StoredFile {
            path: target,
            size,
            sha256: hash,
            file,
        })
    });
    if published.is_err() {
        // The first error is the one to tell; what cannot be removed now is swept at the next start.
        drop(std::fs::remove_file(partial));
    }
    published
}

fn write_chunks(
    file: &mut File,
    partial: &Path,
    receiver: &mut mpsc::Receiver<Message>,
    grows: &watch::Sender<Growth>,
) -> Result<(ByteCount, Sha256Hex), StoreError> {
    let failed = |source| StoreError::from_io("write", partial, source);
    let mut hash = Sha256::new();
    let mut size = 0_u64;
    loop {
        match receiver.blocking_recv() {
            Some(Message::Chunk(chunk)) => {
                file.write_all(&chunk).map_err(failed)?;
                hash.update(&chunk);
                size += chunk.len() as u64;
                grows.send_replace(Growth::SoFar(ByteCount(size)));
            }
            Some(Message::Finish) => return Ok((ByteCount(size), hex(&hash.finalize()))),
            None => {
                let source = io::Error::new(
                    io::ErrorKind::Interrupted,
                    "given up before it was complete",
                );
                return Err(failed(source));
            }
        }
    }
}

/// Renames and makes the new name survive a power cut.
#[expect(clippy::disallowed_methods, reason = "this is the one home of renames")]
pub(super) fn rename_durably(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|source| StoreError::from_io("rename", from, source))?;
    sync_folder_of(to)
}

/// Syncs the folder that holds `path`.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::from_io("sync the folder", folder, source))
}

/// A finished hash as manifests write it.
pub(super) fn hex(bytes: &[u8]) -> Sha256Hex {
    Sha256Hex(crate::domain::unit::hexadecimal(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership() -> Ownership {
        Ownership {
            user: rustix::process::getuid().as_raw(),
            group: rustix::process::getgid().as_raw(),
        }
    }

    #[tokio::test]
    async fn a_finished_file_has_its_name_hash_and_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dump");
        let mut staged = StagedFile::create(path.clone(), ownership()).unwrap();
        staged.write(Bytes::from_static(b"ab")).await.unwrap();
        staged.write(Bytes::from_static(b"c")).await.unwrap();
        assert!(!path.exists());
        let stored = staged.finish().await.unwrap();
        assert_eq!(stored.size, ByteCount(3));
        // SHA-256 of "abc" as FIPS 180-4 gives it.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(stored.sha256.0, known);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let other = File::open(&path).unwrap();
        assert!(matches!(
            other.try_lock(),
            Err(std::fs::TryLockError::WouldBlock)
        ));
    }

    #[tokio::test]
    async fn a_file_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut staged = StagedFile::create(folder.path().join("a.dump"), ownership()).unwrap();
        staged.write(Bytes::from_static(b"ab")).await.unwrap();
        let StagedFile { sender, worker, .. } = staged;
        drop(sender);
        assert!(worker.await.unwrap().is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
