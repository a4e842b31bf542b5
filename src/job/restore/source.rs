//! Where the bytes of a restore come from: a stored file today, read once and judged by its hash at the end.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::RestoreError;
use crate::domain::backup::{Content, Manifest, Packing, Sealing, Series, Sha256Hex};
use crate::domain::job::JobKind;
use crate::domain::restore::Source;
use crate::domain::unit::ByteCount;
use crate::job::JobContext;
use crate::job::opened::{Opened, OpenedError, find_closed};
use crate::job::progress::Progress;
use crate::job::server::Flow;
use crate::job::verify::file::{find_file, find_own};
use crate::postgres::restore::Unpacking;
use crate::store::StoreError;
use crate::store::codec::{Detail, decode_manifest};
use crate::store::layout::{self, FileRole};

/// The folder of the roles beside those of the databases.
const GLOBALS: &str = "globals";

/// What is restored.
#[derive(Debug)]
pub(super) struct Material {
    /// The stored bytes.
    pub(super) path: PathBuf,
    /// What is known of them; nothing of somebody else's dump.
    pub(super) manifest: Option<Box<Manifest>>,
    /// The roles that it stands on.
    pub(super) roles: Option<PathBuf>,
}

impl Material {
    /// Finds what an order names. What stays closed is told before anything begins.
    pub(super) async fn find(context: &JobContext, source: &Source) -> Result<Self, RestoreError> {
        let found = Self::look(context, source).await?;
        for path in std::iter::once(&found.path).chain(&found.roles) {
            if let Some(why) = find_closed(context, path).await? {
                let file = path.display().to_string();
                return Err(OpenedError::Closed { file, why }.into());
            }
        }
        Ok(found)
    }

    async fn look(context: &JobContext, source: &Source) -> Result<Self, RestoreError> {
        match source {
            Source::Backup { database, id } => {
                let series = Series {
                    project: context.project.clone(),
                    service: database.service.clone(),
                    content: Content::Database(database.database.clone()),
                };
                let missing = || RestoreError::Missing {
                    id: id.clone(),
                    database: database.clone(),
                };
                let backup = context.store.find(&series, id)?.ok_or_else(missing)?;
                Self::own(context, backup.manifest)
            }
            Source::File { file, .. } => {
                let path = find_file(context, file).await?;
                if let Some(summary) = find_own(context, &path).await? {
                    // The listing has no tables in it.
                    let backup = context.store.find(&summary.series, &summary.id)?;
                    return Self::own(context, backup.map_or(summary, |it| it.manifest));
                }
                Self::beside(path).await
            }
        }
    }

    fn own(context: &JobContext, manifest: Manifest) -> Result<Self, RestoreError> {
        let path = context.store.path_of(&manifest);
        if manifest.series.content == Content::Globals {
            return Err(only_roles(&path));
        }
        let roles = match &manifest.globals {
            None => None,
            Some(id) => {
                let series = Series {
                    content: Content::Globals,
                    ..manifest.series.clone()
                };
                let found = context.store.find(&series, id)?;
                found.map(|it| context.store.path_of(&it.manifest))
            }
        };
        Ok(Self {
            path,
            manifest: Some(Box::new(manifest)),
            roles,
        })
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
                roles = Some(named);
            }
        }
        Ok(Self {
            path: path.with_file_name(&manifest.file),
            manifest: Some(Box::new(manifest)),
            roles,
        })
    }

    fn bare(path: PathBuf) -> Self {
        Self {
            path,
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

    /// How large the stored file is.
    pub(super) async fn size(&self) -> ByteCount {
        let facts = tokio::fs::metadata(&self.path).await;
        ByteCount(facts.map_or(0, |facts| facts.len()))
    }

    /// Begins to read.
    pub(super) async fn open<'a>(
        &self,
        context: &'a JobContext,
    ) -> Result<Stored<'a>, RestoreError> {
        let expected = self.manifest.as_ref().map(|it| it.stored_sha256.clone());
        Ok(Stored {
            opened: Opened::open(context, &self.path).await?,
            expected,
            file: self.path.display().to_string(),
            progress: &context.progress,
        })
    }
}

fn only_roles(path: &Path) -> RestoreError {
    RestoreError::OnlyRoles {
        file: path.display().to_string(),
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
