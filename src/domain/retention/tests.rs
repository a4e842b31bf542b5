use proptest::prelude::*;

use super::*;
use crate::domain::backup::{Counted, Level, Manifest, Origin, Packing, Proof, Series, Sha256Hex};
use crate::domain::id::{DatabaseName, ProjectName, ServiceName};
use crate::domain::unit::ByteCount;

const WEEK: KeepPolicy = KeepPolicy {
    within: Some(Duration::from_hours(7 * 24)),
    last: 0,
    daily: 0,
    weekly: 0,
    monthly: 0,
    yearly: 0,
};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A verified nightly backup so many hours old.
fn backup(hours: i64) -> Backup {
    let snapshot_at = now() - TimeDelta::hours(hours);
    let id = BackupId::build(snapshot_at, [0, 0]);
    let mut backup = Backup {
        manifest: Manifest {
            id,
            series: Series {
                project: ProjectName::new("stack"),
                service: ServiceName::new("postgres"),
                content: Content::Database(DatabaseName::new("app")),
            },
            reason: Reason::Schedule,
            snapshot_at,
            published_at: snapshot_at,
            snapshot_lsn: None,
            took: Duration::ZERO,
            file: String::new(),
            stored_size: ByteCount(1),
            stored_sha256: Sha256Hex(String::new()),
            packing: Packing::InnerZstd,
            tool_version: String::new(),
            writer_version: String::new(),
            origin: Origin {
                system_identifier: "1".to_owned(),
                database_oid: 5,
                server_version_number: 170_010,
                server_version: String::new(),
                image_id: String::new(),
                image: String::new(),
            },
            facts: None,
            revision: None,
            schema_fingerprint: None,
            counted: Counted::Absent(String::new()),
            globals: None,
            level: Level::Archive,
            restore_line: String::new(),
        },
        proofs: Vec::new(),
    };
    prove(&mut backup, Some(Level::Content));
    backup
}

fn prove(backup: &mut Backup, level: Option<Level>) {
    backup.proofs.push(Proof {
        id: backup.manifest.id.clone(),
        destination: "disk".to_owned(),
        at: backup.manifest.published_at,
        took: Duration::ZERO,
        restore_took: None,
        writer_version: String::new(),
        level,
        reason: None,
        compared: Vec::new(),
        differences: Vec::new(),
    });
}

fn unproven(hours: i64) -> Backup {
    Backup {
        proofs: Vec::new(),
        ..backup(hours)
    }
}

fn removed(policy: &KeepPolicy, backups: &[Backup]) -> Vec<i64> {
    let verdicts = plan(policy, backups, &BTreeSet::new(), now());
    let gone = verdicts
        .into_iter()
        .filter_map(|verdict| match verdict.outcome {
            Outcome::Removed { age } => Some(i64::try_from(age.as_secs()).unwrap() / 3600),
            Outcome::Kept(reasons) => {
                assert!(!reasons.is_empty());
                None
            }
        });
    gone.collect()
}

#[test]
fn what_is_older_than_within_goes() {
    let backups = [
        backup(1),
        backup(24),
        backup(7 * 24),
        backup(7 * 24 + 1),
        backup(900),
    ];
    assert_eq!(removed(&WEEK, &backups), [7 * 24 + 1, 900]);
}

#[test]
fn the_newest_verified_stays_however_old_it_is() {
    let backups = [unproven(1), unproven(200), backup(300), backup(400)];
    assert_eq!(removed(&WEEK, &backups), [200, 400]);
    assert_eq!(removed(&WEEK, &[backup(900)]), [0_i64; 0]);
}

#[test]
fn nothing_goes_while_none_is_verified() {
    let mut refuted = backup(500);
    prove(&mut refuted, None);
    let backups = [unproven(1), unproven(200), refuted.clone()];
    assert_eq!(removed(&WEEK, &backups), [0_i64; 0]);
    // A later proof that failed takes the verification away.
    assert_eq!(removed(&WEEK, &[backup(2), refuted]), [500]);
}

#[test]
fn a_backup_from_the_future_stays_and_protects_nothing_else_from_staying() {
    let backups = [backup(-50), backup(900), backup(901)];
    assert_eq!(removed(&WEEK, &backups), [901]);
}

#[test]
fn an_empty_server_in_the_old_ones_place_pushes_nothing_out() {
    let mut fresh = backup(1);
    fresh.manifest.origin.system_identifier = "2".to_owned();
    let mut older_fresh = fresh.clone();
    older_fresh.manifest.id = backup(300).manifest.id;
    older_fresh.manifest.snapshot_at = backup(300).manifest.snapshot_at;
    let backups = [fresh, older_fresh, backup(400), backup(900)];
    assert_eq!(removed(&WEEK, &backups), [300]);
}

#[test]
fn the_same_backup_listed_twice_is_judged_the_same_twice() {
    assert_eq!(removed(&WEEK, &[backup(900), backup(900)]), [0_i64; 0]);
}

#[test]
fn calendar_rules_keep_one_verified_backup_of_each_period() {
    let policy = KeepPolicy {
        within: None,
        daily: 2,
        ..WEEK
    };
    // 12:00, so 13 hours ago is yesterday.
    let backups = [
        unproven(1),
        backup(2),
        backup(13),
        backup(20),
        backup(40),
        backup(60),
    ];
    assert_eq!(removed(&policy, &backups), [20, 40, 60]);
    let weekly = KeepPolicy {
        within: None,
        weekly: 3,
        ..WEEK
    };
    let nights: Vec<Backup> = (0..30).map(|day| backup(day * 24)).collect();
    assert_eq!(removed(&weekly, &nights).len(), 27);
    let last = KeepPolicy {
        within: None,
        last: 4,
        ..WEEK
    };
    assert_eq!(removed(&last, &nights).len(), 26);
    let nothing = KeepPolicy {
        within: None,
        ..WEEK
    };
    assert_eq!(removed(&nothing, &nights), [0_i64; 0]);
}

#[test]
fn migrations_neither_push_nightly_backups_out_nor_lose_their_own() {
    let mut before: Vec<Backup> = (1..=3).map(backup).collect();
    for each in &mut before {
        each.manifest.reason = Reason::PreMigration;
    }
    let policy = KeepPolicy {
        within: None,
        last: 1,
        ..WEEK
    };
    before.extend([backup(10), backup(20)]);
    assert_eq!(removed(&policy, &before), [20]);
    before[2].manifest.snapshot_at = now() - TimeDelta::days(8);
    assert_eq!(removed(&policy, &before), [20, 8 * 24]);
}

#[test]
fn globals_stay_while_a_database_backup_refers_to_them() {
    let globals: Vec<Backup> = [1, 300, 400]
        .map(|hours| {
            let mut globals = unproven(hours);
            globals.manifest.series.content = Content::Globals;
            globals
        })
        .into();
    let referred = BTreeSet::from([globals[1].manifest.id.clone()]);
    let verdicts = plan(&WEEK, &globals, &referred, now());
    let outcomes: Vec<bool> = verdicts
        .iter()
        .map(|verdict| matches!(verdict.outcome, Outcome::Kept(_)))
        .collect();
    assert_eq!(outcomes, [true, true, false]);
}

fn any_backup() -> impl Strategy<Value = Backup> {
    (-100_i64..20_000, 0..4_u8, 0..3_u8, 0..2_u8).prop_map(|(hours, proof, reason, origin)| {
        let mut backup = unproven(hours);
        match proof {
            0 => {}
            1 => prove(&mut backup, None),
            2 => prove(&mut backup, Some(Level::Archive)),
            _ => prove(&mut backup, Some(Level::Rows)),
        }
        if reason == 0 {
            backup.manifest.reason = Reason::PreMigration;
        }
        backup.manifest.origin.database_oid = u32::from(origin);
        backup
    })
}

proptest! {
    #[test]
    fn the_newest_and_the_newest_verified_always_stay(
        backups in proptest::collection::vec(any_backup(), 1..40),
        within in proptest::option::of(0_u64..10_000_000),
        counts in [0_u32..4, 0..4, 0..4, 0..4, 0..4],
    ) {
        let [last, daily, weekly, monthly, yearly] = counts;
        let within = within.map(Duration::from_secs);
        let policy = KeepPolicy { within, last, daily, weekly, monthly, yearly };
        let verdicts = plan(&policy, &backups, &BTreeSet::new(), now());
        prop_assert_eq!(verdicts.len(), backups.len());
        let gone: BTreeSet<&BackupId> = verdicts
            .iter()
            .filter(|verdict| matches!(verdict.outcome, Outcome::Removed { .. }))
            .map(|verdict| &verdict.id)
            .collect();
        let newest_of = |wanted: &dyn Fn(&&Backup) -> bool| {
            let matching = backups.iter().filter(wanted);
            matching.max_by_key(|backup| (backup.manifest.snapshot_at, backup.manifest.id.clone()))
        };
        let past = |backup: &&Backup| backup.manifest.snapshot_at <= now();
        let must_stay = [
            newest_of(&|_| true),
            newest_of(&past),
            newest_of(&|backup| backup.is_verified()),
            newest_of(&|backup| past(backup) && backup.is_verified()),
        ];
        for backup in must_stay.into_iter().flatten() {
            prop_assert!(!gone.contains(&backup.manifest.id));
        }
        if !backups.iter().any(Backup::is_verified) {
            prop_assert!(gone.is_empty());
        }
        for backup in backups.iter().filter(|backup| gone.contains(&backup.manifest.id)) {
            let age = (now() - backup.manifest.snapshot_at).to_std().unwrap();
            prop_assert!(within.is_none_or(|within| age > within));
        }
    }
}
