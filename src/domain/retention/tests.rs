mod copies;
mod histories;
mod properties;

use chrono::TimeDelta;

use super::*;
use crate::domain::backup::suspicion::{Acceptance, Suspicion};
use crate::domain::backup::{Counted, Manifest, Origin, Packing, Proof, Reason, Sha256Hex};
use crate::domain::id::{DatabaseName, ProjectName, ServiceName};
use crate::domain::schedule::Zone;
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
            seal: None,
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
            extent: None,
            suspicion: None,
            globals: None,
            level: Level::Archive,
            decoded: None,
            likeness: None,
            restore_line: String::new(),
        },
        proofs: Vec::new(),
        elsewhere: Vec::new(),
        acceptance: None,
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
        awaits_room: None,
        awaits_key: None,
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

/// Nightly backups, proven as far as can be.
fn rules(keep: &KeepPolicy) -> Rules {
    Rules {
        keep: *keep,
        verify: Level::Content,
        schedule: Schedule::parse("0 2 * * *", Zone::UTC).unwrap(),
    }
}

fn series(content: Content) -> Series {
    Series {
        content,
        ..backup(0).manifest.series
    }
}

/// The verdicts on one series, each backup's age in hours before its reasons; youngest first.
fn judged(rules: &Rules, backups: &[Backup]) -> Vec<(i64, Outcome)> {
    let of_database = series(Content::Database(DatabaseName::new("app")));
    let of_server = series(Content::Globals);
    let is_globals = backups
        .first()
        .is_some_and(|it| it.manifest.series == of_server);
    let series = if is_globals { &of_server } else { &of_database };
    let stock = Stock {
        series: BTreeMap::from([(series, backups.iter().collect())]),
        legibility: Legibility::Whole,
        upstream: None,
    };
    let mut judged: Vec<(i64, Outcome)> = plan(rules, &stock, now())
        .into_iter()
        .map(|it| {
            (
                (now() - it.backup.manifest.snapshot_at).num_hours(),
                it.outcome,
            )
        })
        .collect();
    judged.sort_by_key(|(hours, _)| *hours);
    judged
}

/// The ages of those that go.
fn removed_by(rules: &Rules, backups: &[Backup]) -> Vec<i64> {
    let gone = judged(rules, backups)
        .into_iter()
        .filter_map(|(hours, outcome)| match outcome {
            Outcome::Removed { .. } => Some(hours),
            Outcome::Kept(reasons) => {
                assert!(!reasons.is_empty());
                None
            }
        });
    gone.collect()
}

fn removed(keep: &KeepPolicy, backups: &[Backup]) -> Vec<i64> {
    removed_by(&rules(keep), backups)
}

/// Whether all stay, each for this reason among others.
#[track_caller]
fn all_stay_for(reason: KeepReason, rules: &Rules, backups: &[Backup]) {
    for (hours, outcome) in judged(rules, backups) {
        let Outcome::Kept(reasons) = outcome else {
            panic!("the one {hours} hours old goes");
        };
        assert!(reasons.contains(&reason), "{hours}: {reasons:?}");
    }
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

fn suspect(hours: i64) -> Backup {
    let mut backup = backup(hours);
    backup.manifest.suspicion = Some(Suspicion {
        predecessor: BackupId::build(now(), [0, 9]),
        reasons: vec!["it holds no table, 1 before".into()],
    });
    backup
}

fn accepted(mut backup: Backup) -> Backup {
    backup.acceptance = Some(Acceptance {
        id: backup.manifest.id.clone(),
        at: now(),
        writer_version: String::new(),
        reasons: Vec::new(),
    });
    backup
}

#[test]
fn a_suspect_series_loses_nothing_until_somebody_decides() {
    let older = || [backup(300), backup(400)];
    let with = |newest: Backup| [vec![newest], older().to_vec()].concat();
    assert_eq!(removed(&WEEK, &with(suspect(1))), [0_i64; 0]);
    assert_eq!(removed(&WEEK, &with(accepted(suspect(1)))), [300, 400]);
    // The next backup looks like the trusted one again: that decides nothing.
    let again = |newest: Backup| [vec![newest, suspect(200)], older().to_vec()].concat();
    all_stay_for(KeepReason::Suspect, &rules(&WEEK), &again(backup(1)));
    // Either may be accepted; the suspect one is no generation all the same.
    let later = again(accepted(backup(1)));
    assert_eq!(removed(&WEEK, &later), [200, 300, 400]);
}

#[test]
fn a_suspect_backup_never_stands_for_the_verified_ones() {
    let daily = KeepPolicy {
        within: None,
        daily: 2,
        ..WEEK
    };
    // Two of one day: the trusted one represents it.
    let day = [accepted(backup(1)), suspect(30), backup(31), backup(32)];
    assert_eq!(removed(&daily, &day), [30, 32]);
}

#[test]
fn who_accepts_another_server_lets_the_old_ones_backups_age() {
    let moved = |mut backup: Backup| {
        backup.manifest.origin.system_identifier = "2".to_owned();
        backup
    };
    let series = |newest: Backup| [moved(newest), backup(24), backup(300)];
    assert_eq!(removed(&WEEK, &series(backup(1))), [0_i64; 0]);
    assert_eq!(removed(&WEEK, &series(suspect(1))), [0_i64; 0]);
    assert_eq!(removed(&WEEK, &series(accepted(suspect(1)))), [300]);
}

#[test]
fn the_newest_verified_stays_however_old_it_is() {
    let verified_without_restores = Rules {
        verify: Level::Archive,
        ..rules(&WEEK)
    };
    let backups = [unproven(1), unproven(200), backup(300), backup(400)];
    assert_eq!(removed_by(&verified_without_restores, &backups), [200, 400]);
    let single = [unproven(1), backup(900)];
    assert_eq!(removed_by(&verified_without_restores, &single), [0_i64; 0]);
}

#[test]
fn nothing_goes_while_none_is_verified() {
    let mut refuted = backup(500);
    prove(&mut refuted, None);
    let backups = [unproven(1), unproven(200), refuted.clone()];
    all_stay_for(KeepReason::NoneVerified, &rules(&WEEK), &backups);
    // A later proof that failed takes the verification away.
    assert_eq!(removed(&WEEK, &[backup(2), refuted]), [500]);
}

/// A proof that could not restore, and says why.
fn stepped_down(hours: i64) -> Backup {
    let mut backup = unproven(hours);
    prove(&mut backup, Some(Level::Archive));
    backup.proofs[0].reason = Some("no room".into());
    backup
}

#[test]
fn while_proofs_fail_nothing_verified_goes_and_what_is_unverified_ages() {
    let daily = KeepPolicy { last: 2, ..WEEK };
    let mut backups: Vec<Backup> = (0..20).map(|night| stepped_down(1 + 24 * night)).collect();
    backups.extend([backup(500), backup(600), backup(700)]);
    // Seven days of unverified ones: the disk is bounded. They are not counted by `last`, and all that was
    // verified stays, the third one too.
    let gone: Vec<i64> = (7..20).map(|night| 1 + 24 * night).collect();
    assert_eq!(removed(&daily, &backups), gone);
    // The first proof of a newer one ends it.
    backups[0] = backup(1);
    assert_eq!(removed(&daily, &backups), [gone, vec![600, 700]].concat());
}

#[test]
fn what_nobody_tried_to_prove_waits_while_proofs_are_made() {
    let archived = [backup(1), unproven(300), unproven(700)];
    assert_eq!(removed(&WEEK, &archived), [0_i64; 0]);
    let tried = [backup(1), stepped_down(300), unproven(700)];
    assert_eq!(removed(&WEEK, &tried), [300]);
    // Nobody proves at all: then nothing of it is waited for.
    let stopped = [unproven(1), unproven(300), backup(600)];
    assert_eq!(removed(&WEEK, &stopped), [300]);
}

#[test]
fn where_no_restore_is_asked_for_complete_backups_are_generations() {
    let archive = Rules {
        verify: Level::Archive,
        ..rules(&KeepPolicy {
            within: None,
            last: 2,
            ..WEEK
        })
    };
    let nights: Vec<Backup> = (0..5).map(|night| unproven(1 + 24 * night)).collect();
    assert_eq!(removed_by(&archive, &nights), [49, 73, 97]);
}

#[test]
fn nothing_goes_while_the_newest_success_is_older_than_two_intervals() {
    let failing = [backup(72), backup(400), backup(900)];
    all_stay_for(KeepReason::BackupsFail, &rules(&WEEK), &failing);
    // One that turned out wrong is no success.
    let mut wrong = backup(1);
    prove(&mut wrong, None);
    let refuted = [vec![wrong], failing.to_vec()].concat();
    all_stay_for(KeepReason::BackupsFail, &rules(&WEEK), &refuted);
    let well = [vec![backup(1)], failing.to_vec()].concat();
    assert_eq!(removed(&WEEK, &well), [400, 900]);
    let monthly = Rules {
        schedule: Schedule::parse("0 2 1 * *", Zone::UTC).unwrap(),
        ..rules(&WEEK)
    };
    assert_eq!(removed_by(&monthly, &failing), [400, 900]);
}

#[test]
fn a_backup_from_the_future_stays_and_counts_for_nothing() {
    let backups = [backup(-50), backup(1), backup(900), backup(901)];
    assert_eq!(removed(&WEEK, &backups), [900, 901]);
    // It is no success either: everything else was taken long ago.
    let old = [backup(-50), backup(900), backup(901)];
    all_stay_for(KeepReason::BackupsFail, &rules(&WEEK), &old);
}

#[test]
fn a_manifest_of_another_database_is_nobodys_to_judge() {
    let strangers = [
        Content::Database(DatabaseName::new("app-test")),
        Content::Globals,
    ];
    for content in strangers {
        let mut stranger = backup(900);
        stranger.manifest.series.content = content;
        let mut backups = vec![backup(1), backup(800), stranger];
        assert_eq!(removed(&WEEK, &backups), [800]);
        // Nor does it vouch for anything: with it alone none is verified.
        backups[0] = unproven(1);
        backups[1] = unproven(800);
        assert_eq!(removed(&WEEK, &backups), [0_i64; 0]);
    }
    for (project, service) in [("other", "postgres"), ("stack", "postgres2")] {
        let mut stranger = backup(900);
        stranger.manifest.series.project = ProjectName::new(project);
        stranger.manifest.series.service = ServiceName::new(service);
        assert_eq!(removed(&WEEK, &[backup(1), stranger]), [0_i64; 0]);
    }
}

#[test]
fn an_acceptance_stays_while_older_ones_need_it() {
    let moved = |mut backup: Backup| {
        backup.manifest.origin.system_identifier = "2".to_owned();
        backup
    };
    let monthly = KeepPolicy {
        monthly: 12,
        ..WEEK
    };
    // The old server's month stays; without the acceptance it would stay for ever.
    let backups = [
        moved(backup(1)),
        moved(backup(250)),
        moved(accepted(suspect(300))),
        backup(1_000),
        backup(1_001),
    ];
    assert_eq!(removed(&monthly, &backups), [1_001]);
    let told = judged(&rules(&monthly), &backups);
    let speaks = Outcome::Kept(BTreeSet::from([KeepReason::Speaks]));
    assert_eq!(told[2].1, speaks);
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
fn roles_stay_while_a_database_backup_that_stays_restores_on_top_of_them() {
    let globals: Vec<Backup> = [1, 300, 400, 500]
        .map(|hours| {
            let mut globals = unproven(hours);
            globals.manifest.series.content = Content::Globals;
            globals
        })
        .into();
    let naming = |hours, roles: usize| {
        let mut backup = backup(hours);
        backup.manifest.globals = Some(globals[roles].manifest.id.clone());
        backup
    };
    let (app, roles) = (backup(0).manifest.series, series(Content::Globals));
    // The first one stays, the second goes and with it what it alone needs.
    let databases = [naming(2, 1), naming(600, 2)];
    let gone = |legibility| {
        let stock = Stock {
            series: BTreeMap::from([
                (&app, databases.iter().collect()),
                (&roles, globals.iter().collect()),
            ]),
            legibility,
            upstream: None,
        };
        let verdicts = plan(&rules(&WEEK), &stock, now());
        let gone = verdicts.into_iter().filter(Verdict::is_removal);
        gone.map(|it| {
            (
                it.series.content.clone(),
                (now() - it.backup.manifest.snapshot_at).num_hours(),
            )
        })
        .collect::<Vec<_>>()
    };
    let database = || (app.content.clone(), 600);
    // Databases first, the oldest first: in this order a kill leaves nothing without its roles.
    let all = [database(), (Content::Globals, 500), (Content::Globals, 400)];
    assert_eq!(gone(Legibility::Whole), all);
    assert_eq!(gone(Legibility::InPart), [database()]);
}
