//! Reading the files of one series' folder: manifests with their proofs and acceptances.

use std::path::Path;

use crate::domain::backup::suspicion::Acceptance;
use crate::domain::backup::{Backup, Manifest, Proof};
use crate::domain::id::BackupId;
use crate::domain::retention::Legibility;
use crate::store::StoreError;
use crate::store::codec::{self, Detail};
use crate::store::layout::{self, FileRole};
use crate::store::sweep::entries;

pub(super) fn last_segment(path: &Path) -> Option<String> {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
}

pub(super) fn read_series(
    folder: &Path,
    detail: Detail,
    problems: &mut Vec<String>,
) -> Result<(Vec<Backup>, Legibility), StoreError> {
    let mut manifests = Vec::new();
    let known = problems.len();
    for path in entries(folder)? {
        let name = last_segment(&path).unwrap_or_default();
        if let FileRole::Manifest(id) = layout::role(&name) {
            match read_manifest(&path, detail) {
                Ok(manifest) if manifest.id == id => manifests.push(manifest),
                Ok(_) => problems.push(format!(
                    "{} names another backup than its file name",
                    path.display()
                )),
                Err(error) => problems.push(crate::domain::failure::chain(&error)),
            }
        }
    }
    let legibility = Legibility::of_unreadable(problems.len() - known);
    manifests.sort_by(|a, b| a.id.cmp(&b.id));
    let complete = |manifest| complete(folder, manifest, detail, problems);
    let backups: Result<Vec<Backup>, StoreError> = manifests.into_iter().map(complete).collect();
    Ok((backups?, legibility))
}

/// Puts proofs and acceptance beside a manifest.
pub(super) fn complete(
    folder: &Path,
    manifest: Manifest,
    detail: Detail,
    problems: &mut Vec<String>,
) -> Result<Backup, StoreError> {
    Ok(Backup {
        proofs: read_proofs(folder, &manifest.id, detail, problems)?,
        elsewhere: Vec::new(),
        acceptance: find_acceptance(folder, &manifest.id, problems)?,
        manifest,
    })
}

/// The ids of a folder's manifests, newest first.
pub(super) fn newest_ids(folder: &Path) -> Result<Vec<BackupId>, StoreError> {
    let paths = entries(folder)?.into_iter();
    let ids = paths.filter_map(|path| match layout::role(&last_segment(&path)?) {
        FileRole::Manifest(id) => Some(id),
        _ => None,
    });
    let mut ids: Vec<BackupId> = ids.collect();
    ids.sort_by(|a, b| b.cmp(a));
    Ok(ids)
}

pub(super) fn read_manifest(path: &Path, detail: Detail) -> Result<Manifest, StoreError> {
    let bytes = std::fs::read(path).map_err(|source| StoreError::from_io("read", path, source))?;
    let decoded = codec::decode_manifest(&bytes, detail);
    decoded.map_err(|source| StoreError::Damaged {
        path: path.to_owned(),
        source,
    })
}

fn read_proofs(
    folder: &Path,
    id: &BackupId,
    detail: Detail,
    problems: &mut Vec<String>,
) -> Result<Vec<Proof>, StoreError> {
    let mut proofs = Vec::new();
    for path in entries(folder)? {
        let name = last_segment(&path).unwrap_or_default();
        if layout::role(&name) != FileRole::Proof(id.clone()) {
            continue;
        }
        let bytes =
            std::fs::read(&path).map_err(|source| StoreError::from_io("read", &path, source))?;
        match codec::decode_proof(&bytes, detail) {
            Ok(proof) if &proof.id == id => proofs.push(proof),
            Ok(_) => problems.push(format!(
                "{} proves another backup than its file name",
                path.display()
            )),
            Err(source) => problems.push(crate::domain::failure::chain(&StoreError::Damaged {
                path,
                source,
            })),
        }
    }
    proofs.sort_by_key(|proof| proof.at);
    Ok(proofs)
}

/// One that cannot be read is named and accepts nothing.
fn find_acceptance(
    folder: &Path,
    id: &BackupId,
    problems: &mut Vec<String>,
) -> Result<Option<Acceptance>, StoreError> {
    let path = folder.join(layout::acceptance_name(id));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::from_io("read", path, source)),
    };
    match codec::decode_acceptance(&bytes) {
        Ok(acceptance) if &acceptance.id == id => return Ok(Some(acceptance)),
        Ok(_) => problems.push(format!(
            "{} accepts another backup than its file name",
            path.display()
        )),
        Err(source) => problems.push(crate::domain::failure::chain(&StoreError::Damaged {
            path,
            source,
        })),
    }
    Ok(None)
}
