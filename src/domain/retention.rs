//! Which backups of one series may go, and why each other one stays.
//!
//! Pure: takes `now`, removes nothing itself. Invariants, whatever the policy says: the newest backup
//! stays, the newest verified one stays, nothing goes while none is verified, nothing goes that is
//! dated in the future or was taken from another server than the newest one (an empty server that
//! took the old one's place must not push the old one's backups out).
//! Days, weeks and months are those of UTC.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{Datelike, TimeDelta};

use super::backup::{Backup, Content, Reason, Standing};
use super::id::BackupId;
use super::policy::KeepPolicy;
use super::unit::Timestamp;

/// How long a backup taken before a migration or a restore stays where the policy names no `within`.
const UNDO_WITHIN: Duration = Duration::from_hours(7 * 24);

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepReason {
    /// It is the newest of its series.
    Newest,
    /// It is the newest verified one.
    NewestVerified,
    /// None of the series is verified, so nothing is removed.
    NoneVerified,
    /// Its date lies ahead of the clock, so its age is not known.
    Future,
    /// It was taken from another server or database than the newest one.
    OtherOrigin,
    /// A database backup restores on top of it.
    ReferredTo,
    /// The policy keeps nothing at all, which nobody means.
    NoRule,
    /// Younger than `within`.
    Within,
    /// Among the newest so many.
    Last,
    /// One of a day.
    Daily,
    /// One of a week.
    Weekly,
    /// One of a month.
    Monthly,
    /// One of a year.
    Yearly,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Newest => "the newest",
            Self::NewestVerified => "the newest verified",
            Self::NoneVerified => "none of the series is verified",
            Self::Future => "dated in the future",
            Self::OtherOrigin => "taken from another server or database than the newest",
            Self::ReferredTo => "a database backup restores on top of it",
            Self::NoRule => "the policy keeps nothing",
            Self::Within => "within",
            Self::Last => "last",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
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
pub struct Verdict {
    /// Which backup.
    pub id: BackupId,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// Decides on every backup of one series, newest first.
///
/// `referred` holds the ids of globals that any stored database backup names; for a series of a
/// database it is not looked at. Globals have no proof of their own: theirs is that of the database
/// backups which refer to them.
pub fn plan(
    policy: &KeepPolicy,
    backups: &[Backup],
    referred: &BTreeSet<BackupId>,
    now: Timestamp,
) -> Vec<Verdict> {
    let mut ordered: Vec<&Backup> = backups.iter().collect();
    ordered.sort_by(|left, right| {
        let key = |backup: &Backup| (backup.manifest.snapshot_at, backup.manifest.id.clone());
        key(right).cmp(&key(left))
    });
    let mut kept = Kept::default();
    let current = protect_strangers(&ordered, now, &mut kept);
    protect_newest(&current, referred, &mut kept);
    apply(policy, &current, now, &mut kept);
    let verdict = |backup: &Backup| Verdict {
        id: backup.manifest.id.clone(),
        outcome: kept.outcome(backup, now),
    };
    ordered.into_iter().map(verdict).collect()
}

#[derive(Default)]
struct Kept<'a>(BTreeMap<&'a BackupId, BTreeSet<KeepReason>>);

impl<'a> Kept<'a> {
    fn keep(&mut self, backup: &'a Backup, reason: KeepReason) {
        self.0
            .entry(&backup.manifest.id)
            .or_default()
            .insert(reason);
    }

    fn outcome(&self, backup: &Backup, now: Timestamp) -> Outcome {
        match self.0.get(&backup.manifest.id) {
            Some(reasons) => Outcome::Kept(reasons.clone()),
            None => Outcome::Removed {
                age: age(backup, now),
            },
        }
    }
}

/// Keeps what no rule may judge and returns the rest: dated in the past, from the newest one's server.
fn protect_strangers<'a>(
    ordered: &[&'a Backup],
    now: Timestamp,
    kept: &mut Kept<'a>,
) -> Vec<&'a Backup> {
    let (future, past): (Vec<&Backup>, Vec<&Backup>) = ordered
        .iter()
        .partition(|backup| backup.manifest.snapshot_at > now);
    for backup in future {
        kept.keep(backup, KeepReason::Future);
    }
    let Some(newest) = past.first().copied() else {
        return past;
    };
    let (current, other): (Vec<&Backup>, Vec<&Backup>) = past
        .into_iter()
        .partition(|backup| is_same_origin(backup, newest));
    for backup in other {
        kept.keep(backup, KeepReason::OtherOrigin);
    }
    current
}

fn is_same_origin(left: &Backup, right: &Backup) -> bool {
    let (left, right) = (&left.manifest.origin, &right.manifest.origin);
    left.system_identifier == right.system_identifier && left.database_oid == right.database_oid
}

fn protect_newest<'a>(current: &[&'a Backup], referred: &BTreeSet<BackupId>, kept: &mut Kept<'a>) {
    let Some(newest) = current.first() else {
        return;
    };
    kept.keep(newest, KeepReason::Newest);
    let is_globals = newest.manifest.series.content == Content::Globals;
    let verified = current.iter().find(|backup| backup.is_verified());
    match verified {
        Some(backup) => kept.keep(backup, KeepReason::NewestVerified),
        None if is_globals => {}
        None => {
            for backup in current {
                kept.keep(backup, KeepReason::NoneVerified);
            }
        }
    }
    for backup in current {
        if is_globals && referred.contains(&backup.manifest.id) {
            kept.keep(backup, KeepReason::ReferredTo);
        }
    }
}

/// A period of the calendar; equal for all instants within it, greater for later ones.
type Period = fn(Timestamp) -> (i32, u32);

fn apply<'a>(policy: &KeepPolicy, current: &[&'a Backup], now: Timestamp, kept: &mut Kept<'a>) {
    let counts = [
        policy.last,
        policy.daily,
        policy.weekly,
        policy.monthly,
        policy.yearly,
    ];
    let says_nothing = policy.within.is_none() && counts.iter().all(|count| *count == 0);
    for backup in current {
        if says_nothing {
            kept.keep(backup, KeepReason::NoRule);
        }
        let within = match (policy.within, is_undo(backup)) {
            (None, true) => Some(UNDO_WITHIN),
            (within, _) => within,
        };
        if within.is_some_and(|within| age(backup, now) <= within) {
            kept.keep(backup, KeepReason::Within);
        }
    }
    // A refuted backup must not stand for its day, and the many backups of a busy day of
    // migrations must not push the nightly ones out of `last`.
    let ordinary = |backup: &&&Backup| !is_undo(backup) && backup.standing() != Standing::Refuted;
    let candidates: Vec<&Backup> = current.iter().filter(ordinary).copied().collect();
    for backup in candidates.iter().take(as_count(policy.last)) {
        kept.keep(backup, KeepReason::Last);
    }
    let rules: [(u32, KeepReason, Period); 4] = [
        (policy.daily, KeepReason::Daily, |at| {
            (at.year(), at.ordinal())
        }),
        (policy.weekly, KeepReason::Weekly, |at| {
            (at.iso_week().year(), at.iso_week().week())
        }),
        (policy.monthly, KeepReason::Monthly, |at| {
            (at.year(), at.month())
        }),
        (policy.yearly, KeepReason::Yearly, |at| (at.year(), 0)),
    ];
    for (count, reason, period) in rules {
        for backup in representatives(&candidates, period).take(as_count(count)) {
            kept.keep(backup, reason);
        }
    }
}

/// One backup of each period, newest period first: its newest verified one, else its newest.
fn representatives<'a>(
    candidates: &[&'a Backup],
    period: Period,
) -> impl Iterator<Item = &'a Backup> {
    let mut chosen: BTreeMap<(i32, u32), &'a Backup> = BTreeMap::new();
    for backup in candidates {
        let place = chosen
            .entry(period(backup.manifest.snapshot_at))
            .or_insert(backup);
        if !place.is_verified() && backup.is_verified() {
            *place = backup;
        }
    }
    chosen.into_values().rev()
}

fn is_undo(backup: &Backup) -> bool {
    matches!(
        backup.manifest.reason,
        Reason::PreMigration | Reason::PreRestore
    )
}

fn age(backup: &Backup, now: Timestamp) -> Duration {
    let age: TimeDelta = now.signed_duration_since(backup.manifest.snapshot_at);
    age.to_std().unwrap_or_default()
}

fn as_count(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
