//! Which backup's copy in the bucket is due: one that is missing there, one that nobody has read back yet, one that is
//! not what was written, or one that lacks what is known of its backup.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backup, Level, Proof, Standing};
use crate::domain::id::BackupId;

/// What is to be done for a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Write it where it is missing, and read it back.
    Prove,
    /// It is not what was written: take it away, write it again from a good file, and read it back.
    Replace,
    /// Put beside it what is known of its backup: that its bytes were restored, that somebody accepts it.
    Accompany,
}

/// The backup whose copy is due next, newest first, missing ones before those to be read back, and both before those that
/// only lack company; both lists are of one series, oldest first.
///
/// What is refuted on disk is not worth a copy: it holds wrong bytes, or does not restore.
pub fn find_due<'a, B>(on_disk: &'a [B], copies: &'a [B]) -> Option<(&'a BackupId, Task)>
where
    B: AsRef<Backup>,
{
    let there: BTreeMap<&BackupId, &Backup> = by_id(copies).collect();
    let newest_first = || on_disk.iter().rev().map(AsRef::as_ref);
    let is_missing = |backup: &&Backup| {
        !there.contains_key(&backup.manifest.id) && backup.standing() != Standing::Refuted
    };
    let missing = newest_first().find(is_missing);
    let is_unread = |backup: &&Backup| backup.standing() == Standing::Unproven;
    let unread = || copies.iter().rev().map(AsRef::as_ref).find(is_unread);
    let is_lonely = |backup: &&Backup| {
        let copy = there.get(&backup.manifest.id);
        copy.is_some_and(|copy| lacks_company(backup, copy))
    };
    let proving = missing.or_else(unread).map(|it| (it, Task::Prove));
    let lonely = || newest_first().find(is_lonely);
    let due = proving.or_else(|| lonely().map(|it| (it, Task::Accompany)));
    due.map(|(backup, task)| (&backup.manifest.id, task))
}

/// The newest copy that is not what was written although the disk's is not known to be wrong.
pub fn find_replaceable<'a, B>(on_disk: &'a [B], copies: &'a [B]) -> Option<&'a BackupId>
where
    B: AsRef<Backup>,
{
    let good = by_id(on_disk).filter(|(_, it)| it.standing() != Standing::Refuted);
    let good: BTreeSet<&BackupId> = good.map(|(id, _)| id).collect();
    let is_replaceable = |(id, copy): &(&BackupId, &Backup)| {
        copy.standing() == Standing::Refuted && good.contains(id)
    };
    let copies: Vec<(&BackupId, &Backup)> = by_id(copies).collect();
    copies
        .into_iter()
        .rev()
        .find(is_replaceable)
        .map(|(id, _)| id)
}

/// The proof on disk that says most of what the bytes hold, where they were restored and equal.
pub fn find_company(backup: &Backup) -> Option<&Proof> {
    let is_whole = |it: &&Proof| it.is_good() && it.level >= Some(Level::Restore);
    let whole = backup.proofs.iter().filter(is_whole);
    whole
        .max_by_key(|it| (it.level, it.at))
        .filter(|_| backup.is_verified())
}

fn lacks_company(backup: &Backup, copy: &Backup) -> bool {
    let is_accepted = |it: &Backup| it.acceptance.is_some();
    let lacks_proof = find_company(backup).is_some_and(|proof| {
        let mut there = copy.elsewhere.iter();
        !there.any(|it| it.is_good() && it.level >= proof.level)
    });
    lacks_proof || (is_accepted(backup) && !is_accepted(copy))
}

/// How many of the backups on disk have no copy.
pub fn count_missing<B: AsRef<Backup>>(on_disk: &[B], copies: &[B]) -> usize {
    let there: BTreeSet<&BackupId> = ids(copies).collect();
    let missing = |backup: &&B| {
        let backup = backup.as_ref();
        !there.contains(&backup.manifest.id) && backup.standing() != Standing::Refuted
    };
    on_disk.iter().filter(missing).count()
}

fn ids<B: AsRef<Backup>>(backups: &[B]) -> impl Iterator<Item = &BackupId> {
    by_id(backups).map(|(id, _)| id)
}

fn by_id<B: AsRef<Backup>>(backups: &[B]) -> impl Iterator<Item = (&BackupId, &Backup)> {
    let backups = backups.iter().map(AsRef::as_ref);
    backups.map(|it| (&it.manifest.id, it))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::backup::{Level, Manifest, Proof, example_backup, example_proof};
    use crate::domain::unit::Timestamp;

    fn backup(day: i64, proofs: Vec<Proof>) -> Arc<Backup> {
        let backup = example_backup(proofs);
        let at = Timestamp::from_timestamp(day * 86_400, 0).unwrap();
        let id = BackupId::build(at, [0, 0]);
        Arc::new(Backup {
            manifest: Manifest {
                id,
                ..backup.manifest
            },
            ..backup
        })
    }

    fn due(on_disk: &[Arc<Backup>], copies: &[Arc<Backup>]) -> Option<BackupId> {
        let due = find_due(on_disk, copies)?;
        assert_eq!(due.1, Task::Prove);
        Some(due.0.clone())
    }

    #[test]
    fn what_is_missing_comes_before_what_was_not_read_back_and_the_newest_first() {
        let disk = [backup(1, vec![]), backup(2, vec![]), backup(3, vec![])];
        let id = |day: usize| Some(disk[day - 1].manifest.id.clone());
        assert_eq!(due(&disk, &[]), id(3));
        assert_eq!(due(&disk, &[backup(3, vec![])]), id(2));
        let all = [backup(1, vec![]), backup(2, vec![]), backup(3, vec![])];
        assert_eq!(due(&disk, &all), id(3));
        assert_eq!(count_missing(&disk, &[backup(3, vec![])]), 2);
    }

    #[test]
    fn nothing_is_due_when_all_were_read_back_whatever_was_found() {
        let good = || vec![example_proof(Some(Level::Archive))];
        let bad = || vec![example_proof(None)];
        let copies = [backup(1, good()), backup(2, bad())];
        assert_eq!(due(&[backup(1, vec![]), backup(2, vec![])], &copies), None);
        assert_eq!(due(&[], &copies), None);
    }

    #[test]
    fn a_copy_that_outlived_its_file_is_read_back_too_and_wrong_bytes_are_not_copied() {
        let lone = [backup(1, vec![])];
        assert_eq!(due(&[], &lone), Some(lone[0].manifest.id.clone()));
        let refuted = [backup(1, vec![example_proof(None)])];
        assert_eq!(due(&refuted, &[]), None);
        assert_eq!(count_missing(&refuted, &[]), 0);
    }

    #[test]
    fn a_copy_that_is_not_what_was_written_is_replaced_from_a_good_file_only() {
        let bad = || vec![example_proof(None)];
        let copies = [backup(1, bad()), backup(2, bad())];
        let all = [backup(1, vec![]), backup(2, vec![])];
        assert_eq!(
            find_replaceable(&all, &copies),
            Some(&copies[1].manifest.id)
        );
        let rotten = [backup(1, vec![]), backup(2, bad())];
        assert_eq!(
            find_replaceable(&rotten, &copies),
            Some(&copies[0].manifest.id)
        );
        assert_eq!(find_replaceable(&[], &copies), None);
    }

    #[test]
    fn what_is_known_of_a_backup_goes_with_its_copy_once() {
        let read = || vec![example_proof(Some(Level::Archive))];
        let disk = [backup(1, vec![example_proof(Some(Level::Content))])];
        let mut copies = [backup(1, read())];
        let lonely = Some((&disk[0].manifest.id, Task::Accompany));
        assert_eq!(find_due(&disk, &copies), lonely);
        let copy = Arc::make_mut(&mut copies[0]);
        copy.elsewhere.push(example_proof(Some(Level::Restore)));
        // It says less than what is known by now.
        assert_eq!(find_due(&disk, &copies), lonely);
        let copy = Arc::make_mut(&mut copies[0]);
        copy.elsewhere.push(example_proof(Some(Level::Content)));
        assert_eq!(find_due(&disk, &copies), None);
        let accepted = crate::domain::backup::suspicion::Acceptance {
            id: disk[0].manifest.id.clone(),
            at: Timestamp::from_timestamp(0, 0).unwrap(),
            writer_version: String::new(),
            reasons: Vec::new(),
        };
        let mut disk = disk;
        Arc::make_mut(&mut disk[0]).acceptance = Some(accepted);
        assert!(find_due(&disk, &copies).is_some());
    }
}
