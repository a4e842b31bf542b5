use super::*;
use crate::domain::backup::{Content, Level, Reason, example_backup, example_proof};

fn series(database: &str, backups: &[Backup]) -> Series {
    Series {
        content: Content::Database(DatabaseName::new(database)),
        ..backups[0].manifest.series.clone()
    }
}

fn backup(second: i64, reason: Reason) -> Backup {
    let mut backup = example_backup(Vec::new());
    let at = Timestamp::from_timestamp(second, 0).unwrap();
    backup.manifest.snapshot_at = at;
    backup.manifest.id = BackupId::build(at, [0, 0]);
    backup.manifest.reason = reason;
    backup
}

fn proven(mut backup: Backup) -> Backup {
    let mut proof = example_proof(Some(Level::Content));
    proof.id = backup.manifest.id.clone();
    backup.proofs = vec![proof];
    backup
}

#[test]
fn latest_passes_over_what_is_unproven_or_was_taken_before_a_restore() {
    let backups = [
        proven(backup(100, Reason::Schedule)),
        proven(backup(200, Reason::Schedule)),
        proven(backup(300, Reason::PreRestore)),
        backup(400, Reason::Manual),
    ];
    let app = series("app", &backups);
    let of = |which: &Which| choose([(&app, backups.iter().collect())], which, None);
    assert_eq!(of(&Which::Latest).unwrap().1, backups[1].manifest.id);
    let at = |second| Which::At(Timestamp::from_timestamp(second, 0).unwrap());
    assert_eq!(of(&at(199)).unwrap().1, backups[0].manifest.id);
    assert_eq!(of(&at(200)).unwrap().1, backups[1].manifest.id);
    assert!(matches!(of(&at(99)), Err(ChoiceError::NothingYet { .. })));
    let unproven = Which::Id(backups[3].manifest.id.clone());
    assert_eq!(of(&unproven).unwrap().1, backups[3].manifest.id);
}

#[test]
fn with_two_databases_somebody_has_to_say_which() {
    let backups = [proven(backup(100, Reason::Schedule))];
    let (app, other) = (series("app", &backups), series("other", &backups));
    let known = || [&app, &other].map(|it| (it, backups.iter().collect()));
    let error = choose(known(), &Which::Latest, None).unwrap_err();
    let several = "postgres/app and postgres/other have such a backup; say which with --database SERVICE/DATABASE";
    assert_eq!(error.to_string(), several);
    let only = DatabaseRef::new(ServiceName::new("postgres"), DatabaseName::new("other"));
    assert_eq!(
        choose(known(), &Which::Latest, Some(&only)).unwrap().0,
        only
    );
}

#[test]
fn what_was_taken_from_a_volume_is_meant_only_where_it_is_named() {
    let backups = [proven(backup(100, Reason::Schedule))];
    let old = [proven(backup(50, Reason::Manual))];
    let live = series("app", &backups);
    let of_volume = Series {
        service: VolumeName::parse("old_data").unwrap().service(),
        ..live.clone()
    };
    let known = || {
        [
            (&live, backups.iter().collect()),
            (&of_volume, old.iter().collect()),
        ]
    };
    let app = DatabaseRef::new(live.service.clone(), DatabaseName::new("app"));
    let from_volume = DatabaseRef::new(of_volume.service.clone(), DatabaseName::new("app"));
    assert_eq!(choose(known(), &Which::Latest, None).unwrap().0, app);
    assert_eq!(choose(known(), &Which::Latest, Some(&app)).unwrap().0, app);
    let id = Which::Id(old[0].manifest.id.clone());
    for only in [None, Some(&app), Some(&from_volume)] {
        assert_eq!(choose(known(), &id, only).unwrap().0, from_volume);
    }
}

#[test]
fn a_backup_of_both_places_counts_as_it_stands_on_disk_unless_it_went_bad_there() {
    let disk = [proven(backup(100, Reason::Schedule))];
    let copies = [backup(100, Reason::Schedule), backup(200, Reason::Schedule)];
    let ids = |known: Vec<&Backup>| {
        let shown = known
            .iter()
            .map(|it| (it.manifest.snapshot_at.timestamp(), it.is_verified()));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(
        ids(known(None, &disk, &copies)),
        [(100, true), (200, false)]
    );
    assert_eq!(
        ids(known(Some(Destination::Disk), &disk, &copies)),
        [(100, true)]
    );
    assert_eq!(
        ids(known(Some(Destination::S3), &disk, &copies)),
        [(100, false), (200, false)]
    );
    let mut rotten = disk.clone();
    rotten[0].proofs.push(example_proof(None));
    let chosen = known(None, &rotten, &copies);
    assert!(chosen[0].proofs.is_empty());
}

#[test]
fn a_manifest_that_cannot_be_read_explains_why_its_backup_is_not_known() {
    let id = backup(100, Reason::Schedule).manifest.id;
    let unknown = || ChoiceError::Unknown { id: id.clone() };
    let why = format!("shop/{id}.json is damaged");
    assert_eq!(unknown().explained([&"other".to_owned()]), unknown());
    assert_eq!(
        unknown().explained([&why]),
        ChoiceError::Unreadable { why: why.clone() }
    );
}
