//! Reading everything that is stored again, within the month: which backup is next.
//!
//! Decided from the proof files alone, so that a restart forgets nothing. A backup rests for two weeks after its bytes
//! were last read, by a proof or by a re-read; what has rested is read a share a day, so that all of it is through
//! within two more weeks, the longest unread first. However many there are, the disk is never read all at once.

use chrono::TimeDelta;

use super::backup::{Backup, Proof, Standing};
use super::unit::Timestamp;

/// Nothing is read again before it has rested for so long.
const REST: TimeDelta = TimeDelta::days(14);

/// What has rested is through after so many days.
const SHARES: usize = 14;

/// The share of a day is what was read again within the last day.
const DAY: TimeDelta = TimeDelta::days(1);

/// When the bytes of a backup were last read from a destination, as far as the clock believes it.
pub fn last_read(backup: &Backup, destination: &str, now: Timestamp) -> Option<Timestamp> {
    let of_it = backup.proofs.iter();
    let of_it = of_it.filter(|it| it.destination == destination);
    let times = of_it.map(|it| it.at).chain([backup.manifest.published_at]);
    times.filter(|at| *at <= now).max()
}

/// Whether a backup has rested for long enough. One that is known to be wrong is not read again: only a whole
/// proof can put that right.
pub fn is_rested(backup: &Backup, destination: &str, now: Timestamp) -> bool {
    let last = last_read(backup, destination, now);
    backup.standing() != Standing::Refuted && last.is_none_or(|at| now - at >= REST)
}

/// The backup whose bytes are to be read again now, of all that a destination holds; `None` when today's share is
/// done.
pub fn find_next<'a>(
    backups: impl IntoIterator<Item = &'a Backup>,
    destination: &str,
    now: Timestamp,
) -> Option<&'a Backup> {
    let all: Vec<&Backup> = backups.into_iter().collect();
    let share = all.len().div_ceil(SHARES);
    let today = all.iter().flat_map(|it| {
        let published_at = it.manifest.published_at;
        // What reads a new copy back is no part of the share: it comes as often as backups do.
        let is_again = move |proof: &&Proof| proof.at - published_at >= REST;
        it.proofs.iter().filter(is_again)
    });
    let today = today.filter(|it| {
        it.destination == destination && it.is_reread() && it.at <= now && now - it.at < DAY
    });
    if today.count() >= share {
        return None;
    }
    let rested = all.into_iter().filter(|it| is_rested(it, destination, now));
    rested.min_by_key(|it| (last_read(it, destination, now), it.manifest.id.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::backup::{Level, example_backup, example_proof};
    use crate::domain::id::BackupId;

    fn start() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    fn published(days: i64, number: u16) -> Backup {
        let mut backup = example_backup(Vec::new());
        let at = start() + TimeDelta::days(days);
        backup.manifest.published_at = at;
        backup.manifest.snapshot_at = at;
        backup.manifest.id = BackupId::build(at, number.to_be_bytes());
        backup
    }

    fn read(backup: &mut Backup, at: Timestamp) {
        let mut proof = example_proof(Some(Level::Archive));
        proof.at = at;
        backup.proofs.push(proof);
    }

    #[test]
    fn the_longest_unread_comes_first_and_one_that_is_wrong_not_at_all() {
        let now = start() + TimeDelta::days(20);
        let mut backups = vec![
            published(2, 2),
            published(0, 0),
            published(1, 1),
            published(19, 3),
        ];
        let next =
            |backups: &[Backup]| find_next(backups, "disk", now).map(|it| it.manifest.id.clone());
        assert_eq!(next(&backups), Some(backups[1].manifest.id.clone()));
        backups[1].proofs.push(example_proof(None));
        assert_eq!(next(&backups), Some(backups[2].manifest.id.clone()));
        // Another destination's reading says nothing about this one; a reading of tomorrow nothing at all.
        read(&mut backups[2], now - TimeDelta::days(3));
        backups[2].proofs[0].destination = "s3".into();
        assert_eq!(next(&backups), Some(backups[2].manifest.id.clone()));
        read(&mut backups[2], now + TimeDelta::days(400));
        assert_eq!(next(&backups), Some(backups[2].manifest.id.clone()));
        // Today's share of four is one.
        read(&mut backups[2], now - TimeDelta::hours(1));
        assert_eq!(next(&backups), None);
        assert_eq!(find_next(&[], "disk", now), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Asked every hour: nothing stays unread for longer than a month, and no day reads more than its share.
        #[test]
        fn everything_is_read_again_within_the_month(count in 1_u16..80, spread in 0_i64..40) {
            let publish = |number: u16| published(-(i64::from(number) * spread) / i64::from(count), number);
            let mut backups: Vec<Backup> = (0..count).map(publish).collect();
            let mut a_day: BTreeMap<i64, usize> = BTreeMap::new();
            // What was already old at the start has its turn within the first two weeks.
            for hour in 0..24 * 90_i64 {
                let now = start() + TimeDelta::hours(hour);
                while let Some(next) = find_next(&backups, "disk", now).map(|it| it.manifest.id.clone()) {
                    let found = backups.iter_mut().find(|it| it.manifest.id == next).unwrap();
                    read(found, now);
                    *a_day.entry(hour / 24).or_default() += 1;
                }
                for backup in backups.iter().filter(|_| hour > 24 * 16) {
                    let unread = now - last_read(backup, "disk", now).unwrap();
                    prop_assert!(unread <= TimeDelta::days(30), "{unread}");
                }
            }
            let share = usize::from(count).div_ceil(SHARES);
            prop_assert!(a_day.values().all(|read| *read <= share));
        }
    }
}
