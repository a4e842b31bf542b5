//! Copies backups into the bucket: along with the dump that takes them, or later from the finished file; and proves
//! what lies there by reading it back.
//!
//! The disk's backup never waits for the bucket and never depends on it. Dropped or killed at any await, a copy leaves
//! parts or bytes without a manifest, which nobody lists; the next start removes them, the next copy writes them again.

pub mod along;

use std::time::Duration;

use futures_util::TryFutureExt as _;
use thiserror::Error;
use tokio::time::Instant;

use super::{JobContext, Run, Stopped};
use crate::domain::backup::copy::{Task, find_company};
use crate::domain::backup::{Destination, Level, Manifest, Proof, Series};
use crate::domain::comparison::{Difference, ObjectKind};
use crate::domain::failure::FailureKind;
use crate::domain::id::BackupId;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::store::StoreError;
use crate::store::read_back::ReadBack;
use crate::store::s3::{Aim, S3Error, S3Store, Source};

/// A line so slow that a part takes longer is none.
const STANDSTILL: Duration = Duration::from_mins(5);

/// Which backup is to be in the bucket, and proven there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPlan {
    /// Its series.
    pub series: Series,
    /// The backup.
    pub id: BackupId,
    /// What is to be done for its copy.
    pub task: Task,
}

/// Why a backup is not in the bucket, or not proven there.
#[derive(Debug, Error)]
pub enum CopyError {
    /// There is no bucket.
    #[error("no bucket is set; set STACKWARDEN_S3_BUCKET and its key")]
    NoBucket,
    /// Neither here nor there.
    #[error("there is no backup {id} of {series} on disk to copy; see `stackwarden backups`")]
    Missing {
        /// The series.
        series: Series,
        /// The backup.
        id: BackupId,
    },
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] S3Error),
    /// The backup folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// We were told to stop.
    #[error("told to stop")]
    Cancelled,
}

impl From<Stopped> for CopyError {
    fn from(_stopped: Stopped) -> Self {
        Self::Cancelled
    }
}

impl CopyError {
    /// Whether somebody asked for this end.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Bucket(error) => error.kind() == FailureKind::Cancelled,
            Self::NoBucket | Self::Missing { .. } | Self::Store(_) => false,
        }
    }
}

/// Does for a copy what is to be done: copies the backup unless it is there, or in place of a copy that is not what was
/// written; reads it back and writes the proof beside it; and puts there what is known of the backup. Gives the proof,
/// where it was read back.
///
/// # Errors
/// When it could not be copied or read; one that reads back as other bytes is a proof, not an error.
///
/// # Cancellation
/// Told to stop by `run`, it aborts its upload first; dropped, see the module.
pub async fn run(
    context: &JobContext,
    run: &Run,
    plan: &CopyPlan,
) -> Result<Option<Proof>, CopyError> {
    let store = context.s3.as_ref().ok_or(CopyError::NoBucket)?;
    let progress = &context.progress;
    progress.begin(JobKind::Copy, &plan.series.to_string(), Step::Copying);
    let proof = match plan.task {
        Task::Accompany => None,
        Task::Prove => match run.or_stopped(find_there(store, plan)).await? {
            Some(manifest) => Some(prove(context, run, store, &manifest).await?),
            None => Some(copy_from_disk(context, run, store, plan).await?),
        },
        Task::Replace => Some(copy_from_disk(context, run, store, plan).await?),
    };
    if proof.as_ref().is_none_or(Proof::is_good) {
        run.or_stopped(accompany(context, store, plan)).await?;
    }
    Ok(proof)
}

/// Reads a copy back and writes down what that found.
async fn prove(
    context: &JobContext,
    run: &Run,
    store: &S3Store,
    manifest: &Manifest,
) -> Result<Proof, CopyError> {
    context.progress.go_on(JobKind::Copy, Step::Reading);
    let begun = Instant::now();
    let found = run.or_stopped(read_back(context, store, manifest)).await?;
    let proof = Proof {
        id: manifest.id.clone(),
        destination: Destination::S3.as_str().to_owned(),
        at: context.clock.now(),
        took: begun.elapsed(),
        restore_took: None,
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        level: found.is_none().then_some(Level::Archive),
        reason: None,
        awaits_room: None,
        awaits_key: None,
        compared: Vec::new(),
        differences: found.into_iter().collect(),
    };
    let adding = store.add_proof(&manifest.series, &proof);
    run.or_stopped(adding.map_err(CopyError::from)).await?;
    Ok(proof)
}

/// Puts beside a copy that its bytes were restored from disk and equal, and that somebody accepts its backup: what
/// nobody could know who has only the bucket.
async fn accompany(
    context: &JobContext,
    store: &S3Store,
    plan: &CopyPlan,
) -> Result<(), CopyError> {
    // What outlived its file keeps what is there.
    let Some(backup) = context.store.find(&plan.series, &plan.id)? else {
        return Ok(());
    };
    if let Some(proof) = find_company(&backup) {
        store.add_proof(&plan.series, proof).await?;
    }
    if let Some(acceptance) = &backup.acceptance {
        store.accept(&plan.series, acceptance).await?;
    }
    Ok(())
}

async fn find_there(store: &S3Store, plan: &CopyPlan) -> Result<Option<Manifest>, CopyError> {
    Ok(store.find(&plan.series, &plan.id).await?)
}

async fn copy_from_disk(
    context: &JobContext,
    run: &Run,
    store: &S3Store,
    plan: &CopyPlan,
) -> Result<Proof, CopyError> {
    let backup = context.store.find(&plan.series, &plan.id)?;
    let backup = backup.ok_or_else(|| CopyError::Missing {
        series: plan.series.clone(),
        id: plan.id.clone(),
    })?;
    let manifest = backup.manifest;
    // Wrong bytes are not worth a copy, and the bucket would be blamed for them.
    let path = context.store.path_of(&manifest);
    let reading = async { ReadBack::open(&path).await?.finish().await };
    let read = run.or_stopped(reading.map_err(CopyError::from)).await?;
    if read != manifest.stored_sha256 {
        return Err(StoreError::Altered { path }.into());
    }
    if plan.task == Task::Replace {
        // Its manifest first: from now on it is missing, whatever happens, and is made good like any other.
        let removing = store.remove(&manifest);
        run.or_stopped(removing.map_err(CopyError::from)).await?;
    }
    copy_file(context, run, store, &manifest, STANDSTILL).await?;
    prove(context, run, store, &manifest).await
}

/// Uploads a finished backup and its manifest.
pub(super) async fn copy_file(
    context: &JobContext,
    run: &Run,
    store: &S3Store,
    manifest: &Manifest,
    standstill: Duration,
) -> Result<(), CopyError> {
    let source = Source::finished(&context.store.path_of(manifest))?;
    let aim = Aim {
        key: store.key_of(manifest),
        expected: Some(manifest.stored_size),
        standstill,
    };
    let mut upload = store.upload(aim, source);
    let sent = run.or_stopped(async { Ok(upload.send().await?) }).await;
    if let Err(error) = sent {
        upload.abort().await;
        return Err(error);
    }
    run.or_stopped(async {
        upload.complete().await?;
        Ok(store.publish(manifest).await?)
    })
    .await
}

/// What differs between what was written and what comes back; `None` when nothing does.
async fn read_back(
    context: &JobContext,
    store: &S3Store,
    manifest: &Manifest,
) -> Result<Option<Difference>, CopyError> {
    let wrong = |what: &str| Difference {
        kind: ObjectKind::File,
        name: manifest.file.clone(),
        what: what.to_owned(),
    };
    let mut object = match store.open(&store.key_of(manifest)).await {
        Ok(object) => object,
        Err(S3Error::Missing { .. }) => return Ok(Some(wrong("it is missing in the bucket"))),
        Err(error) => return Err(error.into()),
    };
    while let Some(chunk) = object.next().await {
        context.progress.carry(JobKind::Copy, chunk.len());
    }
    let is_same = object.finish().await? == manifest.stored_sha256;
    let what = "the bucket gives back other bytes than were written (SHA-256 differs)";
    Ok((!is_same).then(|| wrong(what)))
}
