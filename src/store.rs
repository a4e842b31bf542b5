//! Where backups rest: the layout of files, the formats of manifest and proof, the disk and object storage.
//!
//! Knows [`crate::domain`] only. Invariants: a backup exists if and only if its manifest does; a manifest
//! is written last, once, and never changed; nothing is visible under its final name before it is complete
//! and synced; a file that a living process works on is locked, so that anything unlocked without a
//! manifest is a leftover.

pub mod codec;
pub mod disk;
pub mod layout;
pub mod read_back;
pub mod s3;
pub mod staged;
pub mod sweep;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::failure::FailureKind;

/// What can go wrong with stored files.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder is not there.
    #[error("backup folder {} does not exist; mount one: volumes: [./backups:/backups]", .path.display())]
    FolderMissing {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be written to.
    #[error("backup folder {} cannot be written to; check that it is not mounted read-only and who owns it", .path.display())]
    FolderDenied {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file system is full.
    #[error("no space left while writing {}; free some space or shorten stackwarden.backup.keep", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("{operation} {}", .path.display())]
    Io {
        /// A verb phrase.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A manifest or proof that cannot be read.
    #[error("{} is not a readable manifest or proof", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: codec::CodecError,
    },
    /// A manifest of that name is there already.
    #[error("{} exists already and is never overwritten", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The stored bytes are not the ones that were written.
    #[error("{} holds other bytes than were written to it (SHA-256 differs)", .path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
    /// The thread that writes or reads ended without an answer.
    #[error("the file thread for {} ended without an answer", .path.display())]
    ThreadLost {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Sorts a failure of the file system.
    pub fn from_io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::FolderDenied { path, source }
            }
            _ => Self::Io {
                operation,
                path,
                source,
            },
        }
    }

    /// The same failure, told of the folder around the file.
    #[must_use]
    pub fn about(self, folder: &Path) -> Self {
        let path = folder.to_owned();
        match self {
            Self::FolderDenied { source, .. } => Self::FolderDenied { path, source },
            Self::Full { source, .. } => Self::Full { path, source },
            Self::Io {
                operation, source, ..
            } => Self::Io {
                operation,
                path,
                source,
            },
            other => other,
        }
    }

    /// Whether trying again can help without anybody doing something.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Io { .. } | Self::ThreadLost { .. } => FailureKind::Transient,
            Self::FolderMissing { .. }
            | Self::FolderDenied { .. }
            | Self::Full { .. }
            | Self::Damaged { .. }
            | Self::Exists { .. }
            | Self::Altered { .. } => FailureKind::Permanent,
        }
    }
}

/// SHA-256 of a text that is handed over in pieces.
pub fn hash_pieces(
    hand_over: impl FnOnce(&mut dyn FnMut(&str)),
) -> crate::domain::backup::Sha256Hex {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hand_over(&mut |piece| hash.update(piece.as_bytes()));
    staged::hex(&hash.finalize())
}
