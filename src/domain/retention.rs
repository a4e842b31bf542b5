//! Which backups of one service may leave one destination, and why each other one stays.
//!
//! Pure: takes `now`, removes nothing itself. Pruning and `backups --plan` ask this very function. Invariants,
//! whatever the policy says: the newest backup stays, so the rest is never empty; the newest verified one stays
//! (and the newest verified one that was not taken before a restore, which is what `latest` means); a manifest
//! that names another database than its folder is nobody's to judge; what is dated in the future is ignored and
//! stays; what was taken from another server than the newest one stays (an empty server that took the old one's
//! place must not push the old one's backups out). Nothing at all goes of a series while a backup of it is
//! suspect and nobody has decided, while backups fail, or while none is verified; nothing verified goes while
//! proofs fail. Only verified backups stand for a day, week, month or year. No series looks at another one, but
//! roles stay while a database backup that stays restores on top of them. Planned again on what is left at the
//! same `now`, nothing more goes. Days, weeks and months are those of UTC.
//!
//! A destination that is filled from another one (the bucket, from disk) keeps besides whatever stands there, since it
//! would be copied again; so what heals copies and what removes them never work against each other. In it a copy counts
//! when its bytes were read back, and the same bytes were restored from anywhere.

mod generation;
mod hold;
mod origin;
mod reason;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backup::{Backup, Content, Level, Series};
use super::id::BackupId;
use super::policy::{BackupPolicy, KeepPolicy};
use super::schedule::Schedule;
use super::unit::Timestamp;

pub use hold::{find_holds, is_behind};
pub use reason::KeepReason;
use shelf::Shelf;

/// What a service asks for, as far as retention looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long backups stay.
    pub keep: KeepPolicy,
    /// How far each is to be proven. Where no restore is asked for, nothing is ever verified, and a complete
    /// backup is as good as one that is.
    pub verify: Level,
    /// When they are taken: two intervals without a success mean that they fail.
    pub schedule: Schedule,
}

impl Rules {
    /// Whether a backup is as far as rules count it.
    fn is_counted(&self, backup: &Backup) -> bool {
        let is_good_enough = if self.asks_for_restores() {
            backup.is_restorable()
        } else {
            backup.level().is_some_and(|level| level >= self.verify)
        };
        backup.is_trusted() && is_good_enough
    }

    fn asks_for_restores(&self) -> bool {
        self.verify >= Level::Restore
    }

    /// The same for copies: whatever is asked for, one that nobody has read back stands for nothing.
    fn for_copies(&self) -> Self {
        Self {
            verify: self.verify.max(Level::Archive),
            ..self.clone()
        }
    }
}

impl From<&BackupPolicy> for Rules {
    fn from(policy: &BackupPolicy) -> Self {
        Self {
            keep: policy.keep,
            verify: policy.verify,
            schedule: policy.schedule.clone(),
        }
    }
}

/// Whether every manifest of a service could be read in a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legibility {
    /// Every one.
    Whole,
    /// Not every one: nobody knows which roles the others need.
    InPart,
}

impl Legibility {
    /// After reading a folder in which so many manifests could not be read.
    pub fn of_unreadable(manifests: usize) -> Self {
        if manifests == 0 {
            Self::Whole
        } else {
            Self::InPart
        }
    }
}

/// What one destination holds of one service.
#[derive(Debug)]
pub struct Stock<'a> {
    /// Its backups, by the series whose folder they are in.
    pub series: BTreeMap<&'a Series, Vec<&'a Backup>>,
    /// Whether that is all of them.
    pub legibility: Legibility,
    /// Where it is filled from; nothing for the first destination, the disk.
    pub upstream: Option<Upstream<'a>>,
}

/// What the destination holds from which another one is filled.
#[derive(Debug)]
pub struct Upstream<'a> {
    /// Its backups.
    pub backups: BTreeSet<(&'a Series, &'a BackupId)>,
    /// Whether that is all of them.
    pub legibility: Legibility,
}

/// What becomes of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stays; never without a reason.
    Kept(BTreeSet<KeepReason>),
    /// No rule holds it; it has this age.
    Removed {
        /// How old it is.
        age: Duration,
    },
}

/// The decision on one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The series whose folder it is in.
    pub series: &'a Series,
    /// Which backup.
    pub backup: &'a Backup,
    /// What becomes of it.
    pub outcome: Outcome,
}

impl Verdict<'_> {
    /// Whether it may go.
    pub fn is_removal(&self) -> bool {
        matches!(self.outcome, Outcome::Removed { .. })
    }
}

/// Decides on every backup of one service in one destination.
///
/// Databases first and roles last, the oldest of each first: in this order they may be removed one by one, and a
/// kill in between leaves no database backup without its roles.
pub fn plan<'a>(rules: &Rules, stock: &Stock<'a>, now: Timestamp) -> Vec<Verdict<'a>> {
    let upstream = stock.upstream.as_ref();
    let for_copies = upstream.map(|_| rules.for_copies());
    let rules = for_copies.as_ref().unwrap_or(rules);
    let shelf = |series: &'a Series, backups: &[&'a Backup]| {
        Shelf::new(series, backups, now).below(upstream)
    };
    let of_roles = |series: &Series| series.content == Content::Globals;
    let mut verdicts = Vec::new();
    for (series, backups) in &stock.series {
        if !of_roles(series) {
            verdicts.extend(shelf(series, backups).judge(rules));
        }
    }
    let staying = verdicts.iter().filter(|it| !it.is_removal());
    let referred: BTreeSet<&BackupId> = staying
        .filter_map(|it| it.backup.manifest.globals.as_ref())
        .collect();
    for (series, backups) in &stock.series {
        if of_roles(series) {
            let globals = shelf(series, backups);
            verdicts.extend(globals.judge_roles(rules, &referred, stock.legibility));
        }
    }
    verdicts
}

#[cfg(test)]
mod tests;
