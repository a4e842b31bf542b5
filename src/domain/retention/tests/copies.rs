//! A destination that is filled from the disk: copies, and what counts among them.

use proptest::prelude::*;

use super::properties::{any_rules, any_shelves, stock};
use super::*;

fn proof(backup: &Backup, destination: &str, level: Level) -> Proof {
    Proof {
        id: backup.manifest.id.clone(),
        destination: destination.to_owned(),
        at: backup.manifest.published_at,
        took: Duration::ZERO,
        restore_took: None,
        writer_version: String::new(),
        level: Some(level),
        reason: None,
        awaits_room: None,
        awaits_key: None,
        compared: Vec::new(),
        differences: Vec::new(),
    }
}

/// In the bucket, not read back yet.
fn written(hours: i64) -> Backup {
    let mut copy = unproven(hours);
    copy.manifest.level = Level::Stream;
    copy
}

/// Read back.
fn read(hours: i64) -> Backup {
    let mut copy = written(hours);
    copy.proofs = vec![proof(&copy, "s3", Level::Archive)];
    copy
}

/// Read back, and the same bytes were restored from disk.
fn known(hours: i64) -> Backup {
    let mut copy = read(hours);
    copy.elsewhere = vec![proof(&copy, "disk", Level::Content)];
    copy
}

/// The ages of those that go, while the disk holds these ages.
fn gone(rules: &Rules, copies: &[Backup], on_disk: &[i64]) -> Vec<i64> {
    let series = backup(0).manifest.series;
    let ids: Vec<BackupId> = on_disk.iter().map(|it| backup(*it).manifest.id).collect();
    let stock = Stock {
        series: BTreeMap::from([(&series, copies.iter().collect())]),
        legibility: Legibility::Whole,
        upstream: Some(Upstream {
            backups: ids.iter().map(|id| (&series, id)).collect(),
            legibility: Legibility::Whole,
        }),
    };
    let verdicts = plan(rules, &stock, now()).into_iter();
    let gone = verdicts.filter(Verdict::is_removal);
    let hours = gone.map(|it| (now() - it.backup.manifest.snapshot_at).num_hours());
    let mut hours: Vec<i64> = hours.collect();
    hours.sort_unstable();
    hours
}

#[test]
fn what_stands_on_disk_stays_in_the_bucket_and_the_rest_ages() {
    let copies = [known(1), known(24), known(300), known(400), known(500)];
    let week = rules(&WEEK);
    assert_eq!(gone(&week, &copies, &[1, 24]), [300, 400, 500]);
    assert_eq!(gone(&week, &copies, &[1, 24, 400]), [300, 500]);
    // A lost disk takes nothing along.
    assert_eq!(gone(&week, &copies, &[]), [300, 400, 500]);
}

#[test]
fn a_copy_counts_when_it_was_read_back_and_its_bytes_were_restored_somewhere() {
    let two = rules(&KeepPolicy {
        within: None,
        last: 2,
        ..WEEK
    });
    let copies = [written(1), read(13), known(25), known(49), known(73)];
    // The newest waits to be read back; the second is known to hold its bytes, and nobody knows what is in them.
    assert_eq!(gone(&two, &copies, &[]), [13, 73]);
    let archive = Rules {
        verify: Level::Stream,
        ..two.clone()
    };
    let copies = [written(1), read(25), read(49), read(73)];
    assert_eq!(gone(&archive, &copies, &[]), [73]);
    // Restored from the bucket itself is as good.
    let mut drilled = read(49);
    drilled.proofs.push(proof(&drilled, "s3", Level::Content));
    let copies = [known(1), drilled, known(73)];
    assert_eq!(gone(&two, &copies, &[]), [73]);
}

#[test]
fn nothing_that_counts_goes_while_no_newer_copy_comes_to_count() {
    let one = rules(&KeepPolicy {
        within: None,
        last: 1,
        ..WEEK
    });
    let stale = [read(1), read(25), known(73), known(400), known(900)];
    assert_eq!(gone(&one, &stale, &[]), [25]);
    let failing = [known(73), known(400), known(900)];
    assert_eq!(gone(&one, &failing, &[]), [0_i64; 0]);
    assert_eq!(gone(&one, &[read(1), read(400)], &[]), [0_i64; 0]);
    assert_eq!(gone(&one, &[known(1), known(400)], &[]), [400]);
}

#[test]
fn a_manifest_on_disk_that_cannot_be_read_holds_everything() {
    let copies = [known(1), known(400)];
    let series = copies[0].manifest.series.clone();
    let stock = Stock {
        series: BTreeMap::from([(&series, copies.iter().collect())]),
        legibility: Legibility::Whole,
        upstream: Some(Upstream {
            backups: BTreeSet::new(),
            legibility: Legibility::InPart,
        }),
    };
    let verdicts = plan(&rules(&WEEK), &stock, now());
    assert!(verdicts.iter().all(|it| !it.is_removal()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the disk holds: its copies stay, and what a plan leaves is left by the next one.
    #[test]
    fn pruning_never_takes_what_healing_would_bring_back(
        shelves in any_shelves(), rules in any_rules(), picks in proptest::collection::vec(any::<bool>(), 70),
    ) {
        let all = shelves.iter().flat_map(|(series, backups)| {
            backups.iter().map(move |it| (series, &it.manifest.id))
        });
        let on_disk: BTreeSet<_> = all.zip(&picks).filter(|(_, pick)| **pick).map(|(it, _)| it).collect();
        let with_disk = |stock: Stock<'_>| -> BTreeSet<(Series, BackupId)> {
            let stock = Stock {
                upstream: Some(Upstream { backups: on_disk.clone(), legibility: Legibility::Whole }),
                ..stock
            };
            let kept = plan(&rules, &stock, now()).into_iter().filter(|it| !it.is_removal());
            kept.map(|it| (it.series.clone(), it.backup.manifest.id.clone())).collect()
        };
        let left = with_disk(stock(&shelves, None));
        for (series, id) in &on_disk {
            prop_assert!(left.contains(&((*series).clone(), (*id).clone())));
        }
        prop_assert_eq!(with_disk(stock(&shelves, Some(&left))), left.clone());
    }
}
