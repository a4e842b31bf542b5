//! What holds a whole series back from retention.

use std::collections::BTreeSet;

use super::{KeepReason, Rules, origin};
use crate::domain::backup::{Backup, Standing, find_suspect};
use crate::domain::schedule::Schedule;
use crate::domain::unit::Timestamp;

/// Why nothing of a series goes, or nothing verified ([`KeepReason::ProofsFail`]), whatever the policy says.
///
/// Backups dated in the future count for suspicion only: nobody knows when they were taken.
pub fn find_holds<'a>(
    rules: &Rules,
    backups: impl IntoIterator<Item = &'a Backup>,
    now: Timestamp,
) -> BTreeSet<KeepReason> {
    let all: Vec<&Backup> = backups.into_iter().collect();
    let past: Vec<&Backup> = all
        .iter()
        .copied()
        .filter(|it| it.manifest.snapshot_at <= now)
        .collect();
    let (current, _other) = origin::split(&past);
    let newest = |fits: &dyn Fn(&Backup) -> bool| {
        let fitting = current.iter().filter(|it| fits(it));
        fitting.map(|it| it.manifest.snapshot_at).max()
    };
    // A refuted backup is none that succeeded.
    let success = newest(&|it| it.standing() != Standing::Refuted);
    let counted = newest(&|it| rules.is_counted(it));
    let mut holds = BTreeSet::new();
    if find_suspect(all.iter().copied()).is_some() {
        holds.insert(KeepReason::Suspect);
    }
    if success.is_none_or(|at| is_behind(&rules.schedule, at, now)) {
        holds.insert(KeepReason::BackupsFail);
    }
    match counted {
        None => drop(holds.insert(KeepReason::NoneVerified)),
        Some(at) if rules.asks_for_restores() && is_behind(&rules.schedule, at, now) => {
            holds.insert(KeepReason::ProofsFail);
        }
        Some(_) => {}
    }
    holds
}

/// Whether an instant is older than two intervals of a schedule.
///
/// Two slots have passed, and twice the distance between them: a first backup a minute before its slot is not
/// late at the next one, and the pause of a weekend is one interval.
pub fn is_behind(schedule: &Schedule, at: Timestamp, now: Timestamp) -> bool {
    let Some(next) = schedule.next_after(at) else {
        return false;
    };
    let Some(second) = schedule.next_after(next) else {
        return false;
    };
    now > second && now - at > (second - next) * 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::Zone;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn two_intervals_are_two_slots_however_they_lie() {
        let behind = |cron, success, now| {
            let schedule = Schedule::parse(cron, Zone::UTC).unwrap();
            is_behind(&schedule, at(success), at(now))
        };
        let nightly = "0 2 * * *";
        let taken = "2026-03-02T02:00:10Z";
        assert!(!behind(nightly, taken, "2026-03-04T02:00:00Z"));
        assert!(behind(nightly, taken, "2026-03-04T02:00:11Z"));
        // By hand, just before its slot: the two intervals begin with it.
        let by_hand = "2026-03-02T01:59:00Z";
        assert!(!behind(nightly, by_hand, "2026-03-03T02:30:00Z"));
        assert!(behind(nightly, by_hand, "2026-03-04T02:00:00Z"));
        // From Friday to Monday is one interval.
        let workdays = "0 2 * * 1-5";
        let friday = "2026-03-06T02:00:10Z";
        assert!(!behind(workdays, friday, "2026-03-09T12:00:00Z"));
        assert!(behind(workdays, friday, "2026-03-10T02:00:01Z"));
        // What lies ahead is not behind.
        assert!(!behind(nightly, "2031-01-01T00:00:00Z", taken));
    }
}
