//! The rules of a policy: age, the newest so many, and one for each day, week, month and year.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Datelike;

use super::shelf::{Kept, age};
use super::{KeepReason, Rules};
use crate::domain::backup::{Backup, Reason};
use crate::domain::policy::KeepPolicy;
use crate::domain::unit::Timestamp;

/// How long a backup taken before a migration or a restore stays where the policy names no `within`.
const UNDO_WITHIN: Duration = Duration::from_hours(7 * 24);

/// A period of the calendar; equal for all instants within it, greater for later ones.
type Period = fn(Timestamp) -> (i32, u32);

/// Keeps what is young: anything within `within`; what was taken before a migration or a restore in any case for
/// a while, since that is a class of its own.
pub(super) fn keep_young<'a>(
    keep: &KeepPolicy,
    current: &[&'a Backup],
    now: Timestamp,
    kept: &mut Kept<'a>,
) {
    for backup in current {
        let age = age(backup, now);
        if keep.within.is_some_and(|within| age <= within) {
            kept.keep(backup, KeepReason::Within);
        }
        if is_undo(backup) && keep.within.is_none() && age <= UNDO_WITHIN {
            kept.keep(backup, KeepReason::Undo);
        }
    }
}

/// Keeps what is counted, newest first. Unverified, refuted and suspect backups stand for no day, so that weeks in
/// which nothing could be proven push nothing verified out; nor do the many backups of a day of migrations.
pub(super) fn keep_counted<'a>(rules: &Rules, current: &[&'a Backup], kept: &mut Kept<'a>) {
    let keep = &rules.keep;
    let ordinary = |backup: &&&Backup| !is_undo(backup) && rules.is_counted(backup);
    let candidates: Vec<&Backup> = current.iter().filter(ordinary).copied().collect();
    for backup in candidates.iter().take(as_count(keep.last)) {
        kept.keep(backup, KeepReason::Last);
    }
    let generations: [(u32, KeepReason, Period); 4] = [
        (keep.daily, KeepReason::Daily, |at| {
            (at.year(), at.ordinal())
        }),
        (keep.weekly, KeepReason::Weekly, |at| {
            (at.iso_week().year(), at.iso_week().week())
        }),
        (keep.monthly, KeepReason::Monthly, |at| {
            (at.year(), at.month())
        }),
        (keep.yearly, KeepReason::Yearly, |at| (at.year(), 0)),
    ];
    for (count, reason, period) in generations {
        for backup in representatives(&candidates, period).take(as_count(count)) {
            kept.keep(backup, reason);
        }
    }
}

/// Whether a policy names no rule at all.
pub(super) fn says_nothing(keep: &KeepPolicy) -> bool {
    let counts = [
        keep.last,
        keep.daily,
        keep.weekly,
        keep.monthly,
        keep.yearly,
    ];
    keep.within.is_none() && counts.iter().all(|count| *count == 0)
}

/// The newest of each period, newest period first.
fn representatives<'a>(
    candidates: &[&'a Backup],
    period: Period,
) -> impl Iterator<Item = &'a Backup> {
    let mut chosen: BTreeMap<(i32, u32), &'a Backup> = BTreeMap::new();
    for backup in candidates {
        let _first: &mut &Backup = chosen
            .entry(period(backup.manifest.snapshot_at))
            .or_insert(backup);
    }
    chosen.into_values().rev()
}

fn is_undo(backup: &Backup) -> bool {
    matches!(
        backup.manifest.reason,
        Reason::PreMigration | Reason::PreRestore
    )
}

fn as_count(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
