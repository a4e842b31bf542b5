//! The ids of uploads that have begun, one file each in the state folder: what a killed process leaves in a bucket is
//! found again there, also in a store that cannot list its unfinished uploads, and paid for no longer than to the next
//! start. The file is locked while the process lives whose upload it is.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::S3Error;
use crate::domain::unit::hexadecimal;
use crate::store::StoreError;
use crate::store::layout::PARTIAL;
use crate::store::staged::{Ownership, create_locked, rename_durably};
use crate::store::sweep::entries;

/// Below the state folder.
pub(super) const FOLDER: &str = "uploads";

/// Which upload: three lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadName {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) id: String,
}

/// One upload that is written down; locked until it is dropped.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    _lock: File,
}

impl Record {
    /// Writes an upload down before its first part is sent.
    pub(super) fn write(folder: &Path, upload: &UploadName) -> Result<Self, S3Error> {
        let failed = |source| S3Error::Record {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let facts = std::fs::metadata(folder).map_err(failed)?;
        let ownership = Ownership {
            user: facts.uid(),
            group: facts.gid(),
        };
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random)
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let path = folder.join(hexadecimal(&random));
        let partial = path.with_extension(PARTIAL.trim_start_matches('.'));
        let kept = |error: StoreError| failed(io::Error::other(error.to_string()));
        let mut file = create_locked(&partial, ownership).map_err(kept)?;
        let UploadName { bucket, key, id } = upload;
        let written = writeln!(file, "{bucket}\n{key}\n{id}").and_then(|()| file.sync_all());
        written.map_err(failed)?;
        rename_durably(&partial, &path).map_err(kept)?;
        Ok(Self { path, _lock: file })
    }

    /// The upload is over: complete, or aborted.
    pub(super) fn strike(self) {
        // One that stays is an upload that nobody knows any more: the next start strikes it.
        drop(std::fs::remove_file(&self.path));
    }
}

/// The uploads whose process is gone.
pub(super) fn orphans(folder: &Path) -> Result<Vec<(Record, UploadName)>, S3Error> {
    let failed = |source| S3Error::Record {
        path: folder.to_owned(),
        source,
    };
    let listed = entries(folder).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let mut found = Vec::new();
    for path in listed {
        // Its name comes with its last byte.
        if path.extension().is_some() {
            continue;
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            // It was struck between the listing and now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(source)),
        };
        if file.try_lock().is_err() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        if let (Some(bucket), Some(key), Some(id)) = (lines.next(), lines.next(), lines.next()) {
            let record = Record { path, _lock: file };
            found.push((record, UploadName { bucket, key, id }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_an_orphan_when_its_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join(FOLDER);
        let upload = UploadName {
            bucket: "b".into(),
            key: "shop/postgres/app/x.dump".into(),
            id: "id~1".into(),
        };
        assert!(orphans(&folder).unwrap().is_empty());
        let record = Record::write(&folder, &upload).unwrap();
        assert!(orphans(&folder).unwrap().is_empty());
        drop(record);
        let (record, found) = orphans(&folder).unwrap().remove(0);
        assert_eq!(found, upload);
        record.strike();
        assert!(orphans(&folder).unwrap().is_empty());
    }
}
