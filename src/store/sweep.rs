//! Removing what killed processes left in the backup folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::layout::{FileRole, manifest_name, role};

/// What became of the leftovers.
#[derive(Debug, Default)]
pub struct Swept {
    /// Gone.
    pub removed: Vec<PathBuf>,
    /// Why some are still there: one file that nobody may remove must not keep the others, or the sidecar, from anything.
    pub problems: Vec<StoreError>,
}

impl Swept {
    fn note(&mut self, path: PathBuf, removed: std::io::Result<()>) {
        match removed {
            Ok(()) => self.removed.push(path),
            Err(source) => self
                .problems
                .push(StoreError::from_io("remove", &path, source)),
        }
    }
}

/// Removes partial files, and dumps and proofs without a manifest, that no living process holds, below `root`.
///
/// # Errors
/// The first folder or file that could not be read; what was removed before stays removed.
pub fn sweep(root: &Path) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    for path in leftovers(root)? {
        let removed = std::fs::remove_file(&path);
        swept.note(path, removed);
    }
    Ok(swept)
}

/// Partial files, and dumps and proofs without a manifest, that no living process holds, below `root`.
///
/// # Errors
/// The first folder or file that could not be read.
pub fn leftovers(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for service in folders(root)? {
        for series in folders(&service)? {
            for path in entries(&series)? {
                if is_leftover(&series, &path)? {
                    found.push(path);
                }
            }
        }
    }
    Ok(found)
}

fn is_leftover(folder: &Path, path: &Path) -> Result<bool, StoreError> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let manifest = match role(name.as_deref().unwrap_or_default()) {
        FileRole::Partial(_) => return is_unlocked(path),
        FileRole::Stored(id) | FileRole::Proof(id) | FileRole::Acceptance(id) => {
            folder.join(manifest_name(&id))
        }
        FileRole::Manifest(_) | FileRole::Foreign => return Ok(false),
    };
    // Looked for once more behind the lock, which its writer holds until the manifest stands: another process may have
    // written it between the two looks, and what belongs to it would be lost.
    Ok(!is_there(&manifest)? && is_unlocked(path)? && !is_there(&manifest)?)
}

/// Removes the files by which a killed process tried the folder.
///
/// # Errors
/// As [`sweep`].
pub fn sweep_probes(root: &Path, prefix: &str, swept: &mut Swept) -> Result<(), StoreError> {
    for path in entries(root)? {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with(prefix)) && is_unlocked(&path)? {
            let removed = std::fs::remove_file(&path);
            swept.note(path, removed);
        }
    }
    Ok(())
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
