//! Removes what retention has condemned, each with its reason.

use std::collections::BTreeSet;

use super::JobContext;
use crate::domain::backup::{Backup, Series};
use crate::domain::failure::chain;
use crate::domain::id::BackupId;
use crate::domain::policy::KeepPolicy;
use crate::domain::retention::{self, Outcome};
use crate::domain::unit::format_age;
use crate::store::StoreError;

/// A backup that was removed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its series.
    pub series: Series,
    /// Its id.
    pub id: BackupId,
    /// Why.
    pub reason: String,
}

/// Applies retention to all series of one service.
///
/// A globals backup stays as long as a database's backup names it.
///
/// # Errors
/// When the folder cannot be listed. One backup that cannot be removed does not stop the others; it is
/// tried again next time.
///
/// # Cancellation
/// Blocking and short; a kill in between leaves a dump without manifest, which the next start sweeps.
pub fn run(
    context: &JobContext,
    series_of: &Series,
    keep: &KeepPolicy,
) -> Result<Vec<Removed>, StoreError> {
    let listing = context.store.list()?;
    let of_service = |series: &Series| series.service == series_of.service;
    let mine: Vec<(&Series, &Vec<Backup>)> = listing
        .series
        .iter()
        .filter(|(series, _)| of_service(series))
        .collect();
    let referred: BTreeSet<BackupId> = mine
        .iter()
        .flat_map(|(_, backups)| backups.iter())
        .filter_map(|backup| backup.manifest.globals.clone())
        .collect();
    let now = context.clock.now();
    let mut removed = Vec::new();
    for (series, backups) in mine {
        for verdict in retention::plan(keep, backups, &referred, now) {
            let Outcome::Removed { age } = verdict.outcome else {
                continue;
            };
            let Some(backup) = backups.iter().find(|it| it.manifest.id == verdict.id) else {
                continue;
            };
            match context.store.remove(&backup.manifest) {
                Ok(()) => removed.push(Removed {
                    series: series.clone(),
                    id: verdict.id,
                    reason: format!("{} old and kept by no rule", format_age(age)),
                }),
                Err(error) => {
                    let why = chain(&error);
                    tracing::warn!(series = %series, backup.id = %verdict.id, error = %why, "backup could not be removed");
                }
            }
        }
    }
    Ok(removed)
}
