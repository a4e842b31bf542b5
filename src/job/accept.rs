//! Writes beside a suspect backup that somebody accepts it: one small file, whole or not there.

use thiserror::Error;

use super::JobContext;
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::backup::{Backup, Content, Series, find_suspect};
use crate::domain::id::{BackupId, DatabaseRef};
use crate::store::StoreError;
use crate::store::disk::DiskStore;

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
/// Dropped, the short write goes on to its end.
pub async fn run(context: &JobContext, plan: &AcceptPlan) -> Result<Acceptance, AcceptError> {
    let series = Series {
        project: context.project.clone(),
        service: plan.database.service.clone(),
        content: Content::Database(plan.database.database.clone()),
    };
    let (store, plan, now) = (context.store.clone(), plan.clone(), context.clock.now());
    let id = plan.id.clone();
    let work = tokio::task::spawn_blocking(move || {
        let AcceptPlan { database, id } = plan;
        let Some(backup) = store.find(&series, &id)? else {
            return Err(AcceptError::Missing { id, database });
        };
        if let Some(before) = backup.acceptance {
            return Ok(before);
        }
        let reasons = match &backup.manifest.suspicion {
            Some(suspicion) => suspicion.reasons.clone(),
            None => past_doubts(&store, &series, &backup)?,
        };
        if reasons.is_empty() {
            return Err(AcceptError::NotSuspect { id, database });
        }
        let acceptance = Acceptance {
            id,
            at: now,
            writer_version: env!("CARGO_PKG_VERSION").to_owned(),
            reasons,
        };
        store.accept(&series, &acceptance)?;
        Ok(acceptance)
    });
    work.await.unwrap_or(Err(AcceptError::Lost { id }))
}

/// What is suspect of the series up to this backup, which looks right itself: accepting it says that the matter is
/// settled.
fn past_doubts(
    store: &DiskStore,
    series: &Series,
    accepted: &Backup,
) -> Result<Vec<String>, StoreError> {
    let listing = store.list()?;
    let backups = listing.series.get(series).into_iter().flatten();
    let older = backups.filter(|it| it.manifest.snapshot_at < accepted.manifest.snapshot_at);
    let doubtful = find_suspect(older);
    let reasons = doubtful.and_then(|it| Some((&it.manifest.id, it.suspicion()?)));
    Ok(reasons.map_or_else(Vec::new, |(id, suspicion)| {
        let told = suspicion.reasons.iter();
        told.map(|reason| format!("{id} before it: {reason}"))
            .collect()
    }))
}
