//! Writes beside a suspect backup that somebody accepts it: one small file, whole or not there. On disk, from where it goes
//! into the bucket by itself; in the bucket, where the backup stands only there.

use thiserror::Error;

use super::JobContext;
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::backup::{Backup, Content, Series, find_suspect};
use crate::domain::id::{BackupId, DatabaseRef};
use crate::domain::unit::Timestamp;
use crate::store::StoreError;
use crate::store::s3::{S3Error, S3Store};

/// Which backup is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptPlan {
    /// Its database.
    pub database: DatabaseRef,
    /// Its id.
    pub id: BackupId,
}

/// Why nothing was accepted.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// There is no such backup.
    #[error("there is no backup {id} of {database}; see `stackwarden backups`")]
    Missing {
        /// The id.
        id: BackupId,
        /// The database.
        database: DatabaseRef,
    },
    /// Neither it nor any before it needs to be accepted.
    #[error(
        "backup {id} of {database} is not suspect, nor any older one of it; there is nothing to accept"
    )]
    NotSuspect {
        /// The id.
        id: BackupId,
        /// The database.
        database: DatabaseRef,
    },
    /// The folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket.
    #[error("the acceptance could not be written into the bucket")]
    Bucket(#[from] S3Error),
    /// The thread that writes ended without an answer.
    #[error("the acceptance of {id} ended without an answer; look with `stackwarden backups`")]
    Lost {
        /// The id.
        id: BackupId,
    },
}

/// Accepts a backup: it is as it should be, whatever became of suspect ones before it, which stay marked. One that
/// is accepted already stays as it is.
///
/// # Errors
/// When there is nothing to accept, or the file cannot be written.
///
/// # Cancellation
/// Dropped, the short write goes on to its end, or is not there in the bucket.
pub async fn run(context: &JobContext, plan: &AcceptPlan) -> Result<Acceptance, AcceptError> {
    let series = Series {
        project: context.project.clone(),
        service: plan.database.service.clone(),
        content: Content::Database(plan.database.database.clone()),
    };
    let now = context.clock.now();
    let on_disk = accept_on_disk(context, plan, &series, now).await?;
    if let Some(accepted) = on_disk {
        return Ok(accepted);
    }
    let in_bucket = match &context.s3 {
        Some(store) => Box::pin(accept_in_bucket(store, plan, &series, now)).await?,
        None => None,
    };
    in_bucket.ok_or_else(|| AcceptError::Missing {
        id: plan.id.clone(),
        database: plan.database.clone(),
    })
}

/// `None` when it is not there.
async fn accept_on_disk(
    context: &JobContext,
    plan: &AcceptPlan,
    series: &Series,
    now: Timestamp,
) -> Result<Option<Acceptance>, AcceptError> {
    let (store, plan, series) = (context.store.clone(), plan.clone(), series.clone());
    let id = plan.id.clone();
    let work = tokio::task::spawn_blocking(move || {
        let Some(backup) = store.find(&series, &plan.id)? else {
            return Ok(None);
        };
        let listing = store.list()?;
        let beside = listing.series.get(&series).into_iter().flatten();
        let acceptance = match judge(&plan, &backup, beside, now)? {
            Judged::Before(before) => return Ok(Some(before)),
            Judged::Now(acceptance) => acceptance,
        };
        store.accept(&series, &acceptance)?;
        Ok(Some(acceptance))
    });
    work.await.unwrap_or(Err(AcceptError::Lost { id }))
}

/// The same for one that stands only in the bucket.
async fn accept_in_bucket(
    store: &S3Store,
    plan: &AcceptPlan,
    series: &Series,
    now: Timestamp,
) -> Result<Option<Acceptance>, AcceptError> {
    let listing = store.list().await?;
    let copies = listing.series.get(series).map_or(&[][..], Vec::as_slice);
    let Some(copy) = copies.iter().find(|it| it.manifest.id == plan.id) else {
        return Ok(None);
    };
    let acceptance = match judge(plan, copy, copies, now)? {
        Judged::Before(before) => return Ok(Some(before)),
        Judged::Now(acceptance) => acceptance,
    };
    store.accept(series, &acceptance).await?;
    Ok(Some(acceptance))
}

/// What accepting a backup comes to.
enum Judged {
    /// Somebody did before.
    Before(Acceptance),
    /// It is to be written.
    Now(Acceptance),
}

/// Whether there is anything to accept, of a backup among those of its series.
fn judge<'a>(
    plan: &AcceptPlan,
    backup: &Backup,
    beside: impl IntoIterator<Item = &'a Backup>,
    now: Timestamp,
) -> Result<Judged, AcceptError> {
    if let Some(before) = &backup.acceptance {
        return Ok(Judged::Before(before.clone()));
    }
    let reasons = match &backup.manifest.suspicion {
        Some(suspicion) => suspicion.reasons.clone(),
        None => past_doubts(beside, backup),
    };
    if reasons.is_empty() {
        return Err(AcceptError::NotSuspect {
            id: plan.id.clone(),
            database: plan.database.clone(),
        });
    }
    Ok(Judged::Now(Acceptance {
        id: plan.id.clone(),
        at: now,
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        reasons,
    }))
}

/// What is suspect of the series up to this backup, which looks right itself: accepting it says that the matter is
/// settled.
fn past_doubts<'a>(beside: impl IntoIterator<Item = &'a Backup>, accepted: &Backup) -> Vec<String> {
    let older = beside
        .into_iter()
        .filter(|it| it.manifest.snapshot_at < accepted.manifest.snapshot_at);
    let doubtful = find_suspect(older);
    let reasons = doubtful.and_then(|it| Some((&it.manifest.id, it.suspicion()?)));
    reasons.map_or_else(Vec::new, |(id, suspicion)| {
        let told = suspicion.reasons.iter();
        told.map(|reason| format!("{id} before it: {reason}"))
            .collect()
    })
}
