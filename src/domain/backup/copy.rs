//! Which backup's copy in the bucket is due: one that is missing there, or one that nobody has read back yet.

use std::collections::BTreeSet;

use super::{Backup, Standing};
use crate::domain::id::BackupId;

/// The backup whose copy is due next, newest first, missing ones before those to be read back; both lists are of one
/// series, oldest first.
///
/// What is refuted on disk is not worth a copy: it holds wrong bytes, or does not restore.
pub fn find_due<'a, B>(on_disk: &'a [B], copies: &'a [B]) -> Option<&'a BackupId>
where
    B: AsRef<Backup>,
{
    let there: BTreeSet<&BackupId> = ids(copies).collect();
    let is_missing = |backup: &&Backup| {
        !there.contains(&backup.manifest.id) && backup.standing() != Standing::Refuted
    };
    let missing = on_disk.iter().rev().map(AsRef::as_ref).find(is_missing);
    let is_unread = |backup: &&Backup| backup.standing() == Standing::Unproven;
    let unread = || copies.iter().rev().map(AsRef::as_ref).find(is_unread);
    missing.or_else(unread).map(|backup| &backup.manifest.id)
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
    backups.iter().map(|it| &it.as_ref().manifest.id)
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
        find_due(on_disk, copies).cloned()
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
}
