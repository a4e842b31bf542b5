//! Drills: the newest backup is proven again now and then, even when it is proven already.
//!
//! What a first proof cannot tell: that the stored bytes still are what they were, that the image is still there, and
//! how long a restore takes today. When the last one was follows from the proof files: a whole proof of a backup that
//! had one before, whoever asked for it.

use super::backup::{Backup, Proof, Standing};
use super::schedule::Schedule;
use super::unit::Timestamp;

/// The backup of a series that is to be proven again from a destination now.
///
/// A slot is served by any drill at or after it, so a missed one is made good once. Before the first drill, and
/// where retention took the traces of the last one, the slots count from the oldest backup. A newest backup that
/// owes its first proof has that one first.
pub fn find_due<'a>(
    schedule: &Schedule,
    backups: impl IntoIterator<Item = &'a Backup>,
    destination: &str,
    now: Timestamp,
) -> Option<&'a Backup> {
    let past: Vec<&Backup> = backups
        .into_iter()
        .filter(|it| it.manifest.published_at <= now && it.manifest.snapshot_at <= now)
        .collect();
    let sound = past.iter().filter(|it| it.standing() != Standing::Refuted);
    let newest = sound.max_by_key(|it| (it.manifest.snapshot_at, &it.manifest.id))?;
    whole_proofs(newest, destination, now).next()?;
    let drilled = past
        .iter()
        .filter_map(|it| whole_proofs(it, destination, now).skip(1).max());
    let first = past.iter().map(|it| it.manifest.published_at).min()?;
    let slot = schedule.next_after(drilled.max().unwrap_or(first))?;
    (slot <= now).then_some(*newest)
}

/// The copy of a series that is to be restored from a bucket now: the newest that was read back there.
///
/// Its slots count like those of the disk. Reading a copy back is its first proof, so no other one is waited for.
pub fn find_due_copy<'a>(
    schedule: &Schedule,
    copies: impl IntoIterator<Item = &'a Backup>,
    destination: &str,
    now: Timestamp,
) -> Option<&'a Backup> {
    let past: Vec<&Backup> = copies
        .into_iter()
        .filter(|it| it.manifest.published_at <= now && it.manifest.snapshot_at <= now)
        .collect();
    let is_read = |it: &&&Backup| matches!(it.standing(), Standing::Proven(_));
    let newest = past.iter().filter(is_read);
    let newest = newest.max_by_key(|it| (it.manifest.snapshot_at, &it.manifest.id))?;
    let drilled = past
        .iter()
        .filter_map(|it| whole_proofs(it, destination, now).max());
    let first = past.iter().map(|it| it.manifest.published_at).min()?;
    let slot = schedule.next_after(drilled.max().unwrap_or(first))?;
    (slot <= now).then_some(*newest)
}

/// When a backup was proven or refuted by more than reading it, oldest first.
fn whole_proofs(
    backup: &Backup,
    destination: &str,
    now: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let is_whole = move |it: &&Proof| it.destination == destination && !it.is_reread();
    let whole = backup.proofs.iter().filter(is_whole).map(|it| it.at);
    whole.filter(move |at| *at <= now)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::backup::{Level, example_backup, example_proof};
    use crate::domain::id::BackupId;
    use crate::domain::schedule::Zone;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn backup(taken: &str, proofs: &[(&str, Option<Level>)]) -> Backup {
        let proofs = proofs.iter().map(|(moment, level)| Proof {
            at: at(moment),
            ..example_proof(*level)
        });
        let mut backup = example_backup(proofs.collect());
        backup.manifest.snapshot_at = at(taken);
        backup.manifest.published_at = at(taken) + TimeDelta::minutes(1);
        backup.manifest.id = BackupId::build(at(taken), [0, 0]);
        backup
    }

    fn due(backups: &[Backup], now: &str) -> Option<Timestamp> {
        let sundays = Schedule::parse("0 4 * * 0", Zone::UTC).unwrap();
        let found = find_due(&sundays, backups, "disk", at(now));
        found.map(|it| it.manifest.snapshot_at)
    }

    // The first of March 2026 is a Sunday.
    const SATURDAY: &str = "2026-02-28T02:00:00Z";
    const SUNDAY: &str = "2026-03-01T02:00:00Z";

    fn proven(taken: &str) -> Backup {
        let proof = at(taken) + TimeDelta::minutes(5);
        backup(taken, &[(&proof.to_rfc3339(), Some(Level::Content))])
    }

    #[test]
    fn the_newest_is_proven_again_at_its_slot_once() {
        let mut backups = vec![proven(SATURDAY), proven(SUNDAY)];
        assert_eq!(due(&backups, "2026-03-01T03:59:59Z"), None);
        assert_eq!(due(&backups, "2026-03-01T04:00:00Z"), Some(at(SUNDAY)));
        // Reading the bytes again is no drill, a proof that failed is one.
        for (level, still_due) in [(Some(Level::Archive), true), (None, false)] {
            let again = Proof {
                at: at("2026-03-01T04:00:09Z"),
                ..example_proof(level)
            };
            backups[1].proofs.push(again);
            assert_eq!(due(&backups, "2026-03-01T05:00:00Z").is_some(), still_due);
        }
        // A week later, or whenever the machine is on again.
        let (next, late) = ("2026-03-08T04:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(due(&backups, "2026-03-08T03:59:59Z"), None);
        // The one that was refuted is not tried for ever.
        assert_eq!(due(&backups, next), Some(at(SATURDAY)));
        assert_eq!(due(&backups, late), Some(at(SATURDAY)));
    }

    #[test]
    fn a_first_proof_comes_first_and_other_destinations_count_for_themselves() {
        let now = "2026-03-01T04:00:00Z";
        assert_eq!(due(&[proven(SATURDAY), backup(SUNDAY, &[])], now), None);
        assert_eq!(due(&[], now), None);
        let mut elsewhere = proven(SATURDAY);
        elsewhere.proofs[0].destination = "s3".into();
        assert_eq!(due(&[elsewhere], now), None);
        // Taken after the slot: the next one is its own.
        assert_eq!(
            due(&[proven("2026-03-01T05:00:00Z")], "2026-03-07T00:00:00Z"),
            None
        );
    }

    #[test]
    fn a_copy_is_restored_from_the_bucket_once_a_slot_however_it_ends() {
        let sundays = Schedule::parse("0 4 * * 0", Zone::UTC).unwrap();
        let mut copies = vec![backup(SATURDAY, &[]), backup(SUNDAY, &[])];
        let prove = |copies: &mut [Backup], moment: &str, level| {
            let destination = "s3".to_owned();
            let at = at(moment);
            copies[1].proofs.push(Proof {
                destination,
                at,
                ..example_proof(level)
            });
        };
        let due = |copies: &[Backup], now| {
            let found = find_due_copy(&sundays, copies, "s3", at(now));
            found.map(|it| it.manifest.snapshot_at)
        };
        let slot = "2026-03-01T04:00:00Z";
        assert_eq!(due(&copies, slot), None, "nothing was read back");
        prove(&mut copies, "2026-03-01T02:02:00Z", Some(Level::Archive));
        assert_eq!(due(&copies, "2026-03-01T03:59:59Z"), None);
        assert_eq!(due(&copies, slot), Some(at(SUNDAY)));
        prove(&mut copies, "2026-03-01T04:01:00Z", Some(Level::Content));
        assert_eq!(due(&copies, "2026-03-01T05:00:00Z"), None);
        assert_eq!(due(&copies, "2026-03-08T04:00:00Z"), Some(at(SUNDAY)));
        prove(&mut copies, "2026-03-08T04:01:00Z", None);
        assert_eq!(due(&copies, "2026-03-08T05:00:00Z"), None);
    }
}
