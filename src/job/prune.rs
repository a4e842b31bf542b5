//! Removes from one destination what retention has condemned, each with its reason.
//!
//! The decision is [`retention::plan`]'s, the same that `backups --plan` shows. What is done here only ever leaves
//! more: nothing goes of a series that was not just backed up, nor roles that anything left behind needs.

use std::collections::BTreeSet;

use crate::domain::backup::{Backup, Content, Manifest, Series};
use crate::domain::failure::{FailureKind, chain};
use crate::domain::id::BackupId;
use crate::domain::retention::{self, Outcome, Rules, Stock, Verdict};
use crate::domain::unit::{Timestamp, format_age};
use crate::store::StoreError;
use crate::store::disk::DiskStore;
use crate::store::s3::{S3Error, S3Store};

/// A destination, as far as backups are removed from it.
pub trait Remover {
    /// Removes one backup, its manifest first.
    ///
    /// # Errors
    /// When it is not gone: a locked object, a key that may only write, a folder that may not be written to.
    fn remove(&self, manifest: &Manifest) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// Why a backup is not gone, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Of this one.
    One(String),
    /// Of every one: nothing else is tried, so that a key without the right asks once and not once for each backup.
    Every(String),
}

impl Remover for DiskStore {
    async fn remove(&self, manifest: &Manifest) -> Result<(), Refusal> {
        let (store, manifest) = (self.clone(), manifest.clone());
        let path = store.path_of(&manifest);
        let removing = tokio::task::spawn_blocking(move || Self::remove(&store, &manifest));
        let lost = |_panicked| StoreError::ThreadLost { path };
        let removed = removing.await.map_err(lost).and_then(|removed| removed);
        removed.map_err(|error| Refusal::One(chain(&error)))
    }
}

impl Remover for S3Store {
    async fn remove(&self, manifest: &Manifest) -> Result<(), Refusal> {
        let removed = Box::pin(Self::remove(self, manifest)).await;
        removed.map_err(|error| {
            let is_general =
                matches!(error, S3Error::Denied { .. }) || error.kind() == FailureKind::Transient;
            let why = chain(&error);
            if is_general {
                Refusal::Every(why)
            } else {
                Refusal::One(why)
            }
        })
    }
}

/// What is pruned.
#[derive(Debug)]
pub struct PrunePlan<'a> {
    /// The destination's word.
    pub destination: &'a str,
    /// What it holds of one service.
    pub stock: Stock<'a>,
    /// By what its backups are judged.
    pub rules: &'a Rules,
    /// The series of which a backup has just succeeded; of no other one is anything removed.
    pub behind: &'a BTreeSet<Series>,
}

/// A backup that is gone, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// From where.
    pub destination: String,
    /// Its series.
    pub series: Series,
    /// Its id.
    pub id: BackupId,
    /// Why, or what kept it from going.
    pub reason: String,
}

/// What became of the condemned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Gone.
    pub removed: Vec<Removed>,
    /// Still there although they should not be.
    pub refused: Vec<Removed>,
}

impl Pruned {
    /// Adds what another server's or destination's run did.
    pub fn absorb(&mut self, other: Self) {
        self.removed.extend(other.removed);
        self.refused.extend(other.refused);
    }
}

/// Applies retention to one service in one destination. A backup that cannot be removed does not stop the others;
/// it is tried again next time, and until then its roles stay.
///
/// A backup's manifest goes first, then its bytes: whatever happens in between, no manifest is left without them.
///
/// # Cancellation
/// Dropped or killed in between, it leaves at most bytes and proofs without manifest, which the next start sweeps (in a
/// bucket once they are a day old, since somebody's upload looks the same).
pub async fn run<R: Remover + Sync>(plan: &PrunePlan<'_>, remover: &R, now: Timestamp) -> Pruned {
    let verdicts = retention::plan(plan.rules, &plan.stock, now);
    let mut gone: BTreeSet<(&Series, &BackupId)> = BTreeSet::new();
    let mut pruned = Pruned::default();
    for verdict in &verdicts {
        let Outcome::Removed { age } = verdict.outcome else {
            continue;
        };
        let Verdict { series, backup, .. } = verdict;
        let is_needed = series.content == Content::Globals && {
            let left = verdicts.iter().map(|it| (it.series, it.backup));
            needs(
                left.filter(|it| !gone.contains(&(it.0, &it.1.manifest.id))),
                backup,
            )
        };
        if is_needed || !plan.behind.contains(series) {
            continue;
        }
        let told = |reason| Removed {
            destination: plan.destination.to_owned(),
            series: (*series).clone(),
            id: backup.manifest.id.clone(),
            reason,
        };
        match remover.remove(&backup.manifest).await {
            Ok(()) => {
                gone.insert((series, &backup.manifest.id));
                let reason = format!("{} old and kept by no rule", format_age(age));
                pruned.removed.push(told(reason));
            }
            Err(Refusal::One(why)) => pruned.refused.push(told(format!("cannot remove: {why}"))),
            Err(Refusal::Every(why)) => {
                pruned.refused.push(told(format!("cannot remove: {why}")));
                return pruned;
            }
        }
    }
    pruned
}

/// Whether any of these restores on top of these roles.
fn needs<'a>(left: impl Iterator<Item = (&'a Series, &'a Backup)>, roles: &Backup) -> bool {
    let mut named = left.filter_map(|(_, backup)| backup.manifest.globals.as_ref());
    named.any(|id| *id == roles.manifest.id)
}

#[cfg(test)]
mod tests;
