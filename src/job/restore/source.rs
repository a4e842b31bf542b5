//! Where the bytes of a restore come from: a stored file, or an object of the bucket. Read in order, hashed while they
//! flow, and judged by their hash at the end, before anything is published.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::RestoreError;
use super::shelf::Shelf;
use crate::domain::backup::{
    Content, Destination, Manifest, Packing, Sealing, Series, Sha256Hex, Standing,
};
use crate::domain::id::{BackupId, DatabaseRef, ProjectName};
use crate::domain::job::JobKind;
use crate::domain::restore::Source;
use crate::domain::unit::ByteCount;
use crate::job::JobContext;
use crate::job::opened::{Opened, OpenedError, Rest, find_closed, read_all};
use crate::job::progress::Progress;
use crate::job::server::Flow;
use crate::job::verify::file::{find_file, find_own};
use crate::postgres::restore::Unpacking;
use crate::store::StoreError;
use crate::store::codec::{Detail, decode_manifest};
use crate::store::layout::{self, FileRole};
use crate::store::s3::Reader;

/// The folder of the roles beside those of the databases.
const GLOBALS: &str = "globals";

/// What is restored.
#[derive(Debug)]
pub(super) struct Material {
    /// The stored bytes.
    rest: Rest,
    /// What is known of them; nothing of somebody else's dump.
    pub(super) manifest: Option<Box<Manifest>>,
    /// The roles that it stands on.
    roles: Option<Roles>,
}

/// Roles, and what their bytes have to be, where that is known.
#[derive(Debug)]
struct Roles {
    rest: Rest,
    expected: Option<Sha256Hex>,
}

impl Material {
    /// Finds what an order names. What stays closed is told before anything begins.
    pub(super) async fn find(context: &JobContext, source: &Source) -> Result<Self, RestoreError> {
        let found = Self::look(context, source).await?;
        let roles = found.roles.as_ref().map(|roles| &roles.rest);
        for rest in std::iter::once(&found.rest).chain(roles) {
            if let Some(why) = find_closed(context, rest).await? {
                let file = rest.shown();
                return Err(OpenedError::Closed { file, why }.into());
            }
        }
        Ok(found)
    }

    async fn look(context: &JobContext, source: &Source) -> Result<Self, RestoreError> {
        match source {
            Source::Backup { database, id, from } => {
                let series = Series {
                    project: context.project.clone(),
                    service: database.service.clone(),
                    content: Content::Database(database.database.clone()),
                };
                let shelf = Shelf::own(context);
                let found = Self::of_series(&shelf, &series, id, *from).await?;
                found.ok_or_else(|| missing(&series, id))
            }
            Source::Sought(sought) => {
                let shelf = Shelf::of(context, &sought.place);
                let (series, id) = shelf.choose(sought).await?;
                let found = Self::of_series(&shelf, &series, &id, sought.from).await?;
                found.ok_or_else(|| missing(&series, &id))
            }
            Source::File { file } => {
                let path = find_file(context, file).await?;
                if let Some(summary) = find_own(context, &path).await? {
                    // The listing has no tables in it.
                    let backup = context.store.find(&summary.series, &summary.id)?;
                    let manifest = backup.map_or(summary, |it| it.manifest);
                    return Self::on_disk(&Shelf::own(context), manifest).await;
                }
                Self::beside(path).await
            }
        }
    }

    /// From the place that is named; else from disk, and from the bucket where the disk lacks the manifest or the file, or
    /// the file is known to be wrong.
    async fn of_series(
        shelf: &Shelf,
        series: &Series,
        id: &BackupId,
        from: Option<Destination>,
    ) -> Result<Option<Self>, RestoreError> {
        let on_disk = match from {
            Some(Destination::S3) => None,
            Some(Destination::Disk) | None => shelf.disk.find(series, id)?,
        };
        let is_good = match &on_disk {
            None => false,
            Some(backup) => {
                let path = shelf.disk.path_of(&backup.manifest);
                let is_there = tokio::fs::try_exists(&path).await.unwrap_or(true);
                is_there && backup.standing() != Standing::Refuted
            }
        };
        let in_bucket = match (&shelf.bucket, from) {
            (_, Some(Destination::Disk)) | (None, None) => None,
            (None, Some(Destination::S3)) => return Err(RestoreError::NoBucket),
            (Some(_), None) if is_good => None,
            (Some(bucket), _) => Self::in_bucket(shelf, bucket, series, id).await?,
        };
        match (in_bucket, on_disk) {
            (Some(found), _) => Ok(Some(found)),
            (None, Some(backup)) => Self::on_disk(shelf, backup.manifest).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    async fn on_disk(shelf: &Shelf, manifest: Manifest) -> Result<Self, RestoreError> {
        let path = shelf.disk.path_of(&manifest);
        if manifest.series.content == Content::Globals {
            return Err(only_roles(&path));
        }
        Ok(Self {
            rest: Rest::Disk(path),
            roles: Roles::find(shelf, &manifest).await?,
            manifest: Some(Box::new(manifest)),
        })
    }

    async fn in_bucket(
        shelf: &Shelf,
        bucket: &Reader,
        series: &Series,
        id: &BackupId,
    ) -> Result<Option<Self>, RestoreError> {
        let Some(manifest) = bucket.find(series, id).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            rest: Rest::in_bucket(bucket, &manifest),
            roles: Roles::find(shelf, &manifest).await?,
            manifest: Some(Box::new(manifest)),
        }))
    }

    /// A file of another folder: with the manifest beside it, when there is one.
    async fn beside(path: PathBuf) -> Result<Self, RestoreError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (FileRole::Manifest(id) | FileRole::Stored(id)) = layout::role(&name) else {
            return Ok(Self::bare(path));
        };
        let beside = path.with_file_name(layout::manifest_name(&id));
        let bytes = match tokio::fs::read(&beside).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::bare(path));
            }
            Err(source) => return Err(StoreError::from_io("read", &beside, source).into()),
        };
        let manifest = decode_manifest(&bytes, Detail::Full);
        let manifest = manifest.map_err(|source| RestoreError::Manifest {
            file: beside.display().to_string(),
            source,
        })?;
        if manifest.series.content == Content::Globals {
            return Err(only_roles(&path));
        }
        let folder = beside.parent().and_then(Path::parent);
        let mut roles = None;
        for sealing in [Sealing::Age, Sealing::Plain] {
            let named = folder.zip(manifest.globals.as_ref()).map(|(folder, id)| {
                let file = layout::stored_name(id, Packing::PlainSql, sealing);
                folder.join(GLOBALS).join(file)
            });
            if let Some(named) = named
                && tokio::fs::try_exists(&named).await.unwrap_or(false)
            {
                roles = Some(Roles {
                    rest: Rest::Disk(named),
                    expected: None,
                });
            }
        }
        Ok(Self {
            rest: Rest::Disk(path.with_file_name(&manifest.file)),
            manifest: Some(Box::new(manifest)),
            roles,
        })
    }

    fn bare(path: PathBuf) -> Self {
        Self {
            rest: Rest::Disk(path),
            manifest: None,
            roles: None,
        }
    }

    /// What stands around the archive of a backup of ours.
    pub(super) fn unpacking(manifest: &Manifest) -> Unpacking {
        match manifest.packing {
            Packing::OuterZstd => Unpacking::Zstd,
            Packing::InnerZstd | Packing::InnerGzip | Packing::PlainSql => Unpacking::Nothing,
        }
    }

    /// Whose backup it is, where it is not one of this very database.
    pub(super) fn told_owner(&self, project: &ProjectName, of: &DatabaseRef) -> Option<String> {
        let series = &self.manifest.as_ref()?.series;
        if series.project != *project {
            return Some(format!(
                "; it is a backup of {series} in {}",
                series.project
            ));
        }
        let is_own = series.service == of.service;
        (!is_own).then(|| format!("; it is a backup of {series}"))
    }

    /// Where it rests, for sentences.
    pub(super) fn shown(&self) -> String {
        self.rest.shown()
    }

    /// Whether it comes over a network, and may come otherwise the next time.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.rest, Rest::Bucket { .. })
    }

    /// How large the stored file is.
    pub(super) async fn size(&self) -> ByteCount {
        match (&self.manifest, &self.rest) {
            (Some(manifest), Rest::Bucket { .. }) => manifest.stored_size,
            (_, Rest::Disk(path)) => {
                let facts = tokio::fs::metadata(path).await;
                ByteCount(facts.map_or(0, |facts| facts.len()))
            }
            (None, Rest::Bucket { .. }) => ByteCount(0),
        }
    }

    /// Begins to read. Whatever has to be undone to the stored bytes is undone around this reader and nowhere else.
    pub(super) async fn open<'a>(
        &self,
        context: &'a JobContext,
    ) -> Result<Stored<'a>, RestoreError> {
        let expected = self.manifest.as_ref().map(|it| it.stored_sha256.clone());
        Ok(Stored {
            opened: Opened::open(context, &self.rest).await?,
            expected,
            file: self.shown(),
            progress: &context.progress,
        })
    }

    /// The text of the roles that it stands on, in whatever encoding.
    pub(super) async fn read_roles(
        &self,
        context: &JobContext,
    ) -> Result<Option<Vec<u8>>, RestoreError> {
        let Some(roles) = &self.roles else {
            return Ok(None);
        };
        let (text, found) = read_all(context, &roles.rest).await?;
        if roles.expected.as_ref().is_some_and(|it| *it != found) {
            let file = roles.rest.shown();
            return Err(RestoreError::AlteredRoles { file });
        }
        Ok(Some(text))
    }
}

fn missing(series: &Series, id: &BackupId) -> RestoreError {
    RestoreError::Missing {
        id: id.clone(),
        series: series.clone(),
    }
}

fn only_roles(path: &Path) -> RestoreError {
    RestoreError::OnlyRoles {
        file: path.display().to_string(),
    }
}

impl Roles {
    /// The roles of a backup, from disk or from the bucket: they are the same bytes in both.
    async fn find(shelf: &Shelf, manifest: &Manifest) -> Result<Option<Self>, RestoreError> {
        let Some(id) = &manifest.globals else {
            return Ok(None);
        };
        let series = Series {
            content: Content::Globals,
            ..manifest.series.clone()
        };
        let found = Rest::find_in(&shelf.disk, shelf.bucket.as_ref(), &series, id).await?;
        Ok(found.map(|(rest, sha256)| Self {
            rest,
            expected: Some(sha256),
        }))
    }
}

/// Stored bytes on their way. The one place that knows where they rest.
pub(super) struct Stored<'a> {
    opened: Opened,
    expected: Option<Sha256Hex>,
    file: String,
    progress: &'a Progress,
}

impl Flow for Stored<'_> {
    async fn next(&mut self) -> Option<Bytes> {
        let chunk = self.opened.next().await?;
        self.progress.carry(JobKind::Restore, chunk.len());
        Some(chunk)
    }
}

impl Stored<'_> {
    /// Reads what is left; says whether all of it is what was written.
    pub(super) async fn finish(self) -> Result<Sha256Hex, RestoreError> {
        let Self { expected, file, .. } = self;
        let found = self.opened.finish().await?;
        match (expected, found.broken) {
            (Some(expected), _) if expected != found.sha256 => Err(RestoreError::Altered { file }),
            (_, Some(source)) => Err(OpenedError::Broken { file, source }.into()),
            (_, None) => Ok(found.sha256),
        }
    }
}
