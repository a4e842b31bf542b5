//! The file that is uploaded: finished, or still being written by the pass that takes the backup.
//!
//! An upload follows the file on disk instead of having a queue of its own. So the disk stays the only one that may
//! push back, a slow bucket costs neither memory nor the parts it already has, and the file that is made good later
//! goes the same way as the one that is followed. What was written a moment ago comes from the page cache.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::S3Error;
use crate::domain::unit::ByteCount;
use crate::store::StoreError;
use crate::store::staged::{Growth, StagedFile};

/// Bytes to upload.
#[derive(Debug)]
pub struct Source {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    growth: watch::Receiver<Growth>,
}

/// The next piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it begins.
    pub(super) offset: u64,
    /// How long it is.
    pub(super) length: u64,
}

impl Source {
    /// A file that is being written.
    ///
    /// # Errors
    /// When it cannot be opened a second time.
    pub fn follow(staged: &StagedFile) -> Result<Self, S3Error> {
        Self::open(staged.partial(), staged.growth())
    }

    /// A finished file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn finished(path: &Path) -> Result<Self, S3Error> {
        let failed = |source| S3Error::File(StoreError::from_io("open", path, source));
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        let (_done, growth) = watch::channel(Growth::Complete(ByteCount(bytes)));
        Self::open(path, growth)
    }

    fn open(path: &Path, growth: watch::Receiver<Growth>) -> Result<Self, S3Error> {
        let failed = |source| S3Error::File(StoreError::from_io("open", path, source));
        Ok(Self {
            file: Arc::new(File::open(path).map_err(failed)?),
            path: path.to_owned(),
            growth,
        })
    }

    /// How far the file has grown.
    pub(super) fn growth(&self) -> Growth {
        *self.growth.borrow()
    }

    /// Waits for the piece at `offset`: a whole one of `size`, or what is left when the file is complete. `None`
    /// when nothing is left.
    ///
    /// # Errors
    /// [`S3Error::GivenUp`] when the file will never be complete.
    pub(super) async fn piece(&mut self, offset: u64, size: u64) -> Result<Option<Piece>, S3Error> {
        let is_there = |growth: &Growth| match growth {
            Growth::SoFar(written) => written.0 >= offset.saturating_add(size),
            Growth::Complete(_) => true,
        };
        let growth = self.growth.wait_for(is_there).await;
        let growth = *growth.map_err(|_writer_gone| S3Error::GivenUp)?;
        let length = match growth {
            Growth::SoFar(_) => size,
            Growth::Complete(all) => all.0.saturating_sub(offset).min(size),
        };
        Ok((length > 0).then_some(Piece { offset, length }))
    }

    /// Waits until the file is complete, and gives its size.
    ///
    /// # Errors
    /// [`S3Error::GivenUp`] when it will never be.
    pub(super) async fn complete(&mut self) -> Result<ByteCount, S3Error> {
        let is_complete = |growth: &Growth| matches!(growth, Growth::Complete(_));
        let growth = self.growth.wait_for(is_complete).await;
        match *growth.map_err(|_writer_gone| S3Error::GivenUp)? {
            Growth::Complete(size) | Growth::SoFar(size) => Ok(size),
        }
    }

    /// Reads a piece into memory.
    pub(super) async fn read(&self, piece: Piece) -> Result<Bytes, S3Error> {
        let failed = |source| S3Error::File(StoreError::from_io("read", &self.path, source));
        read_piece(Arc::clone(&self.file), piece)
            .await
            .map_err(failed)
    }
}

/// Reads a piece on a thread of its own.
pub(super) async fn read_piece(file: Arc<File>, piece: Piece) -> io::Result<Bytes> {
    let read = tokio::task::spawn_blocking(move || {
        let length = usize::try_from(piece.length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, piece.offset)?;
        Ok(Bytes::from(bytes))
    });
    read.await.map_err(io::Error::other)?
}
