//! Backups on a local folder.

mod reading;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::codec::{self, Detail};
use super::layout::{self, FileRole};
use super::staged::{Ownership, StagedFile, create_locked, rename_durably};
use super::sweep::{Swept, entries, folders};
use super::{StoreError, sweep};
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::backup::{Backup, Manifest, Packing, Sealing, Series};
use crate::domain::id::{BackupId, ProjectName, ServiceName};
use crate::domain::retention::{Legibility, Stock, Upstream};
use crate::domain::unit::{ByteCount, hexadecimal};
use reading::{complete, last_segment, newest_ids, read_manifest, read_series};

/// Names of the files by which the folder is tried.
const PROBE: &str = ".stackwarden-probe-";

/// One project's backups in a folder.
#[derive(Debug, Clone)]
pub struct DiskStore {
    root: PathBuf,
    project: ProjectName,
}

/// Everything found in the folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// Backups by series, oldest first.
    pub series: BTreeMap<Series, Vec<Backup>>,
    /// Files that could not be read, one sentence each.
    pub problems: Vec<String>,
    /// The services of which a manifest could not be read.
    pub unreadable: BTreeSet<ServiceName>,
}

impl Listing {
    /// Whether every manifest of a service could be read.
    pub fn legibility(&self, service: &ServiceName) -> Legibility {
        if self.unreadable.contains(service) {
            Legibility::InPart
        } else {
            Legibility::Whole
        }
    }

    /// What is here of one service, as retention judges it.
    pub fn stock(&self, service: &ServiceName) -> Stock<'_> {
        let series = self.series.iter().filter(|(it, _)| it.service == *service);
        Stock {
            series: series
                .map(|(it, backups)| (it, backups.iter().collect()))
                .collect(),
            legibility: self.legibility(service),
            upstream: None,
        }
    }

    /// The same of a destination that is filled from `upstream`.
    pub fn stock_below<'a>(&'a self, upstream: &'a Self, service: &ServiceName) -> Stock<'a> {
        let of_service = upstream
            .series
            .iter()
            .filter(|(it, _)| it.service == *service);
        let backups = of_service.flat_map(|(series, backups)| {
            let ids = backups.iter().map(|it| &it.manifest.id);
            ids.map(move |id| (series, id))
        });
        Stock {
            upstream: Some(Upstream {
                backups: backups.collect(),
                legibility: upstream.legibility(service),
            }),
            ..self.stock(service)
        }
    }
}

impl DiskStore {
    /// A store on this folder; nothing is touched yet.
    pub fn new(root: PathBuf, project: ProjectName) -> Self {
        Self { root, project }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes sure that the folder is there and can be written to; tells the free bytes.
    ///
    /// # Errors
    /// [`StoreError::FolderMissing`], [`StoreError::FolderDenied`] or [`StoreError::Full`].
    pub fn probe(&self) -> Result<ByteCount, StoreError> {
        let ownership = self.ownership()?;
        let mut random = [0_u8; 6];
        getrandom::fill(&mut random).map_err(|error| {
            let source = std::io::Error::other(error.to_string());
            StoreError::from_io("name a file in", &self.root, source)
        })?;
        let path = self.root.join(format!("{PROBE}{}", hexadecimal(&random)));
        // What is wrong is wrong with the folder: its name is the one that tells.
        let failed = |source| StoreError::from_io("write to", &self.root, source);
        let outcome = create_locked(&path, ownership).and_then(|mut file| {
            let written = file
                .write_all(b"stackwarden")
                .and_then(|()| file.sync_all());
            written.map_err(failed)
        });
        drop(std::fs::remove_file(&path));
        outcome.map_err(|error| error.about(&self.root))?;
        self.free()
    }

    /// Free bytes for us on the folder's file system.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn free(&self) -> Result<ByteCount, StoreError> {
        Ok(find_free(&self.root)?.unwrap_or_default())
    }

    fn ownership(&self) -> Result<Ownership, StoreError> {
        let facts = match std::fs::metadata(&self.root) {
            Ok(facts) if facts.is_dir() => facts,
            Ok(_) => {
                return Err(StoreError::FolderMissing {
                    path: self.root.clone(),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::FolderMissing {
                    path: self.root.clone(),
                });
            }
            Err(source) => return Err(StoreError::from_io("look at", &self.root, source)),
        };
        Ok(Ownership {
            user: facts.uid(),
            group: facts.gid(),
        })
    }

    /// Begins a file of a series.
    ///
    /// # Errors
    /// When the folder or the file cannot be created.
    pub fn begin(
        &self,
        series: &Series,
        id: &BackupId,
        packing: Packing,
        sealing: Sealing,
    ) -> Result<StagedFile, StoreError> {
        let ownership = self.ownership()?;
        let folder = self.make_folder(&layout::folder(series), ownership)?;
        StagedFile::create(
            folder.join(layout::stored_name(id, packing, sealing)),
            ownership,
        )
    }

    fn make_folder(&self, below: &Path, ownership: Ownership) -> Result<PathBuf, StoreError> {
        use rustix::fs::{Gid, Uid};
        let mut folder = self.root.clone();
        for segment in below {
            folder.push(segment);
            let failed = |source| StoreError::from_io("create the folder", &folder, source);
            match std::fs::DirBuilder::new().mode(0o750).create(&folder) {
                Ok(()) => {
                    let (user, group) = (
                        Uid::from_raw(ownership.user),
                        Gid::from_raw(ownership.group),
                    );
                    // Without the right to give it away it stays ours, which is as readable as before.
                    let _kept: rustix::io::Result<()> =
                        rustix::fs::chown(&folder, Some(user), Some(group));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(failed(source)),
            }
        }
        Ok(folder)
    }

    /// Where a backup's bytes are.
    pub fn path_of(&self, manifest: &Manifest) -> PathBuf {
        self.root
            .join(layout::folder(&manifest.series))
            .join(&manifest.file)
    }

    /// Writes beside a suspect backup that somebody accepts it.
    ///
    /// # Errors
    /// When it cannot be written, or was accepted before.
    pub fn accept(&self, series: &Series, acceptance: &Acceptance) -> Result<(), StoreError> {
        let name = layout::acceptance_name(&acceptance.id);
        self.write_once(series, &name, &codec::encode_acceptance(acceptance))
    }

    fn write_once(&self, series: &Series, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let ownership = self.ownership()?;
        let path = self.root.join(layout::folder(series)).join(name);
        if path
            .try_exists()
            .map_err(|source| StoreError::from_io("look at", &path, source))?
        {
            return Err(StoreError::Exists { path });
        }
        let partial = path.with_file_name(format!("{name}{}", layout::PARTIAL));
        let mut file = create_locked(&partial, ownership)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let renamed = written
            .map_err(|source| StoreError::from_io("write", &partial, source))
            .and_then(|()| rename_durably(&partial, &path));
        if renamed.is_err() {
            drop(std::fs::remove_file(&partial));
        }
        renamed
    }

    /// Lists the project's backups without their tables (see [`Detail::Summary`]).
    ///
    /// # Errors
    /// When a folder cannot be listed. A file that cannot be read is a problem in the listing.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let project = self.root.join(layout::encode(self.project.as_str()));
        for service in folders(&project)? {
            for folder in folders(&service)? {
                let segments = (last_segment(&service), last_segment(&folder));
                let (Some(service), Some(content)) = segments else {
                    continue;
                };
                let encoded = layout::encode(self.project.as_str());
                let Some(series) = layout::find_series(&encoded, &service, &content) else {
                    continue;
                };
                let (backups, legibility) =
                    read_series(&folder, Detail::Summary, &mut listing.problems)?;
                if legibility == Legibility::InPart {
                    listing.unreadable.insert(series.service.clone());
                }
                listing.series.insert(series, backups);
            }
        }
        Ok(listing)
    }

    /// Reads one backup with everything in it.
    ///
    /// # Errors
    /// When its manifest cannot be read; `Ok(None)` when there is none.
    pub fn find(&self, series: &Series, id: &BackupId) -> Result<Option<Backup>, StoreError> {
        let folder = self.root.join(layout::folder(series));
        let path = folder.join(layout::manifest_name(id));
        if !path
            .try_exists()
            .map_err(|source| StoreError::from_io("look at", &path, source))?
        {
            return Ok(None);
        }
        let manifest = read_manifest(&path, Detail::Full)?;
        complete(&folder, manifest, Detail::Full, &mut Vec::new()).map(Some)
    }

    /// The newest backup of a series that `fits`, without its tables; what cannot be read is passed over,
    /// since the listing names it.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn find_newest(
        &self,
        series: &Series,
        fits: impl Fn(&Backup) -> bool,
    ) -> Result<Option<Backup>, StoreError> {
        let folder = self.root.join(layout::folder(series));
        for id in newest_ids(&folder)? {
            let path = folder.join(layout::manifest_name(&id));
            let Ok(manifest) = read_manifest(&path, Detail::Summary) else {
                continue;
            };
            let backup = complete(&folder, manifest, Detail::Summary, &mut Vec::new())?;
            if fits(&backup) {
                return Ok(Some(backup));
            }
        }
        Ok(None)
    }

    /// The newest id of a series, whatever its manifest says.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn find_newest_id(&self, series: &Series) -> Result<Option<BackupId>, StoreError> {
        let ids = newest_ids(&self.root.join(layout::folder(series)))?;
        Ok(ids.into_iter().next())
    }

    /// Removes a backup: manifest first, so that nobody reads a backup without its bytes; then the rest.
    ///
    /// # Errors
    /// The first file that could not be removed; the rest is swept at the next start.
    pub fn remove(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let folder = self.root.join(layout::folder(&manifest.series));
        let removed = |path: &Path| {
            std::fs::remove_file(path).map_err(|source| StoreError::from_io("remove", path, source))
        };
        removed(&folder.join(layout::manifest_name(&manifest.id)))?;
        super::staged::sync_folder_of(&folder.join(&manifest.file))?;
        removed(&folder.join(&manifest.file))?;
        for path in entries(&folder)? {
            let role = last_segment(&path).map(|name| layout::role(&name));
            let beside = [
                FileRole::Proof(manifest.id.clone()),
                FileRole::Acceptance(manifest.id.clone()),
            ];
            if role.is_some_and(|role| beside.contains(&role)) {
                removed(&path)?;
            }
        }
        Ok(())
    }

    /// What killed processes left of this project.
    ///
    /// # Errors
    /// See [`sweep::leftovers`].
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        sweep::leftovers(&self.root.join(layout::encode(self.project.as_str())))
    }

    /// Removes what killed processes left of this project.
    ///
    /// # Errors
    /// See [`sweep::sweep`].
    pub fn sweep(&self) -> Result<Swept, StoreError> {
        let mut swept = sweep::sweep(&self.root.join(layout::encode(self.project.as_str())))?;
        sweep::sweep_probes(&self.root, PROBE, &mut swept)?;
        Ok(swept)
    }
}

/// Free bytes for us on the file system of a path; `None` where it does not tell (some network file systems
/// say that they have no blocks at all).
///
/// # Errors
/// When the file system cannot be asked.
pub fn find_free(path: &Path) -> Result<Option<ByteCount>, StoreError> {
    let failed = |error| {
        let source = std::io::Error::from(error);
        StoreError::from_io("ask the free space of", path, source)
    };
    let facts = rustix::fs::statvfs(path).map_err(failed)?;
    let free = ByteCount(facts.f_bavail.saturating_mul(facts.f_frsize));
    Ok((facts.f_blocks > 0).then_some(free))
}
