//! Removing what killed processes left in the backup folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::layout::{FileRole, manifest_name, role};

/// Removes partial files and dumps without a manifest that no living process holds, below `root`.
///
/// # Errors
/// The first folder or file that could not be read or removed; what was removed before stays removed.
pub fn sweep(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut removed = Vec::new();
    for service in folders(root)? {
        for series in folders(&service)? {
            sweep_series(&series, &mut removed)?;
        }
    }
    Ok(removed)
}

fn sweep_series(folder: &Path, removed: &mut Vec<PathBuf>) -> Result<(), StoreError> {
    for path in entries(folder)? {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let leftover = match role(name.as_deref().unwrap_or_default()) {
            FileRole::Partial(_) => true,
            FileRole::Stored(id) => !is_there(&folder.join(manifest_name(&id)))?,
            FileRole::Manifest(_) | FileRole::Proof(_) | FileRole::Foreign => false,
        };
        if leftover && is_unlocked(&path)? {
            std::fs::remove_file(&path)
                .map_err(|source| StoreError::from_io("remove", &path, source))?;
            removed.push(path);
        }
    }
    Ok(())
}

/// Removes the files by which a killed process tried the folder.
///
/// # Errors
/// As [`sweep`].
pub fn sweep_probes(root: &Path, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
    let mut removed = Vec::new();
    for path in entries(root)? {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with(prefix)) && is_unlocked(&path)? {
            std::fs::remove_file(&path)
                .map_err(|source| StoreError::from_io("remove", &path, source))?;
            removed.push(path);
        }
    }
    Ok(removed)
}

fn is_there(path: &Path) -> Result<bool, StoreError> {
    path.try_exists()
        .map_err(|source| StoreError::from_io("look at", path, source))
}

/// A living process keeps its file locked from the first byte until the manifest stands.
fn is_unlocked(path: &Path) -> Result<bool, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        // It got its final name, or went away, between the listing and now.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(StoreError::from_io("open", path, source)),
    };
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock | std::fs::TryLockError::Error(_)) => Ok(false),
    }
}

pub(super) fn folders(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    Ok(entries(path)?
        .into_iter()
        .filter(|entry| entry.is_dir())
        .collect())
}

pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::from_io("list", path, source);
    let listing = match std::fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}
