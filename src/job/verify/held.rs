//! The backup that is proven, in the destination that it is proven from: a file of the folder, or an object of the
//! bucket, which is fetched beside it for as long as the proof takes.
//!
//! What is fetched never has a backup's name: it is a partial file, locked, gone with the proof, and swept after a kill.

use std::path::{Path, PathBuf};

use super::findings::Findings;
use super::{VerifyError, VerifyPlan};
use crate::domain::backup::{Backup, Destination, Level, Manifest, Proof, Series, Sha256Hex};
use crate::domain::id::BackupId;
use crate::domain::job::JobKind;
use crate::job::JobContext;
use crate::job::opened::{OpenedError, Rest, read_all};
use crate::store::read_back::ReadBack;
use crate::store::s3::{S3Error, S3Store};
use crate::store::staged::{Growth, StagedFile};

/// A backup and where it is.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) backup: Backup,
    /// The bucket; without one it is on disk.
    bucket: Option<S3Store>,
}

/// The bytes of a backup as they were found.
#[derive(Debug)]
pub(super) enum Found {
    /// Those that were written, in a file that a scratch server can read.
    Sound(Archive),
    /// They are not, or they are not all there is to say.
    Judged(Box<Findings>),
}

/// A file with the stored bytes.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    /// Removed when dropped.
    _fetched: Option<StagedFile>,
}

impl Archive {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Held {
    /// Finds the backup of a plan: in the place that is named, else on disk, else in the bucket.
    pub(super) async fn find(
        context: &JobContext,
        plan: &VerifyPlan,
        series: &Series,
    ) -> Result<Option<Self>, VerifyError> {
        let on_disk = match plan.from {
            Some(Destination::S3) => None,
            Some(Destination::Disk) | None => context.store.find(series, &plan.id)?,
        };
        if on_disk.is_some() || plan.from == Some(Destination::Disk) {
            return Ok(on_disk.map(|backup| Self {
                backup,
                bucket: None,
            }));
        }
        match &context.s3 {
            Some(store) => {
                let manifest = store.find(series, &plan.id).await?;
                Ok(manifest.map(|manifest| Self {
                    backup: bare(manifest),
                    bucket: Some(store.clone()),
                }))
            }
            None if plan.from.is_none() => Ok(None),
            None => Err(VerifyError::NoBucket),
        }
    }

    pub(super) fn destination(&self) -> Destination {
        match self.bucket {
            None => Destination::Disk,
            Some(_) => Destination::S3,
        }
    }

    /// Writes a proof where the backup is.
    pub(super) async fn add_proof(
        &self,
        context: &JobContext,
        proof: &Proof,
    ) -> Result<(), VerifyError> {
        let series = &self.backup.manifest.series;
        match &self.bucket {
            None => Ok(context.store.add_proof(series, proof).await?),
            Some(store) => Ok(store.add_proof(series, proof).await?),
        }
    }

    /// Reads the stored bytes and compares their hash; what is asked for beyond that needs them in a file.
    pub(super) async fn read(
        &self,
        context: &JobContext,
        asked: Level,
    ) -> Result<Found, VerifyError> {
        match &self.bucket {
            None => self.read_file(context).await,
            Some(store) => self.fetch(context, store, asked).await,
        }
    }

    async fn read_file(&self, context: &JobContext) -> Result<Found, VerifyError> {
        let path = context.store.path_of(&self.backup.manifest);
        if !path.try_exists().unwrap_or(true) {
            return Ok(self.wrong("it is missing"));
        }
        let found = ReadBack::open(&path).await?.finish().await?;
        Ok(self.judge(
            &found,
            Archive {
                path,
                _fetched: None,
            },
        ))
    }

    async fn fetch(
        &self,
        context: &JobContext,
        store: &S3Store,
        asked: Level,
    ) -> Result<Found, VerifyError> {
        let manifest = &self.backup.manifest;
        let mut object = match store.open(&store.key_of(manifest)).await {
            Ok(object) => object,
            Err(S3Error::Missing { .. }) => return Ok(self.wrong("it is missing in the bucket")),
            Err(error) => return Err(error.into()),
        };
        let has_room = asked > Level::Archive && self.fits(context)?;
        let mut staged = if has_room {
            let (id, packing, sealing) = (&manifest.id, manifest.packing, manifest.sealing());
            Some(
                context
                    .store
                    .begin(&manifest.series, id, packing, sealing)?,
            )
        } else {
            None
        };
        context
            .progress
            .expect(JobKind::Verify, manifest.stored_size);
        let mut size = 0;
        while let Some(chunk) = object.next().await {
            context.progress.carry(JobKind::Verify, chunk.len());
            size += chunk.len() as u64;
            if let Some(staged) = &mut staged {
                staged.write(chunk).await?;
            }
        }
        let found = object.finish().await?;
        let Some(staged) = staged else {
            return Ok(self.judge_alone(&found, asked));
        };
        let path = staged.partial().to_owned();
        let is_written =
            |growth: &Growth| matches!(growth, Growth::SoFar(bytes) if bytes.0 >= size);
        // Whose writing failed says why when it is asked for more.
        if staged.growth().wait_for(is_written).await.is_err() {
            staged.finish().await?;
            return Err(VerifyError::Cancelled);
        }
        Ok(self.judge(
            &found,
            Archive {
                path,
                _fetched: Some(staged),
            },
        ))
    }

    /// Whether the backup folder takes the fetched file and keeps what a proof leaves free.
    fn fits(&self, context: &JobContext) -> Result<bool, VerifyError> {
        let free = context.store.free()?.0;
        let needed = self.backup.manifest.stored_size.0;
        Ok(free >= needed.saturating_add(context.limits.proof_reserve.0))
    }

    fn judge(&self, found: &Sha256Hex, archive: Archive) -> Found {
        if *found == self.backup.manifest.stored_sha256 {
            Found::Sound(archive)
        } else {
            self.wrong("its bytes are not those that were written (SHA-256 differs)")
        }
    }

    /// Of bytes that were read and not kept.
    fn judge_alone(&self, found: &Sha256Hex, asked: Level) -> Found {
        if *found != self.backup.manifest.stored_sha256 {
            return self.wrong("its bytes are not those that were written (SHA-256 differs)");
        }
        let level = self.backup.manifest.level.min(Level::Archive);
        let why = "the backup folder has too little room to fetch the copy for a restore";
        Found::Judged(Box::new(Findings {
            level: Some(level),
            reason: (asked > Level::Archive).then(|| why.to_owned()),
            ..Findings::default()
        }))
    }

    fn wrong(&self, what: &str) -> Found {
        let file = &self.backup.manifest.file;
        Found::Judged(Box::new(Findings::wrong_bytes(what, file)))
    }
}

fn bare(manifest: Manifest) -> Backup {
    Backup {
        manifest,
        proofs: Vec::new(),
        elsewhere: Vec::new(),
        acceptance: None,
    }
}

/// Roles as they were found.
#[derive(Debug)]
pub(super) enum FoundRoles {
    /// Those that were written.
    Sound(Vec<u8>),
    /// Others, wherever they are: where.
    Altered(String),
}

/// The bytes of roles, from disk or from the bucket, as a restore takes them, and judged by their hash as a restore does.
pub(super) async fn read_roles(
    context: &JobContext,
    series: &Series,
    id: &BackupId,
) -> Result<Option<FoundRoles>, VerifyError> {
    let Some((rest, expected)) = Rest::find(context, series, id).await? else {
        return Ok(None);
    };
    let (text, found) = match read_all(context, &rest).await {
        Ok(read) => read,
        // It does not even open as what was sealed in it.
        Err(OpenedError::Broken { file, .. }) => return Ok(Some(FoundRoles::Altered(file))),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(if found == expected {
        FoundRoles::Sound(text)
    } else {
        FoundRoles::Altered(rest.shown())
    }))
}
