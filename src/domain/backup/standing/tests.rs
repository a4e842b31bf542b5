//! How a backup stands after a row of proofs.

use super::*;
use crate::domain::backup::{Content, Counted, Origin, Packing, Reason, Seal, Series, Sha256Hex};
use crate::domain::comparison::ObjectKind;
use crate::domain::id::{DatabaseName, ProjectName, ServiceName};
use crate::domain::unit::ByteCount;

pub(in crate::domain) fn manifest() -> Manifest {
    let at = Timestamp::from_timestamp(0, 0).unwrap();
    Manifest {
        id: BackupId::build(at, [0, 0]),
        series: Series {
            project: ProjectName::new("p"),
            service: ServiceName::new("postgres"),
            content: Content::Database(DatabaseName::new("app")),
        },
        reason: Reason::First,
        snapshot_at: at,
        published_at: at,
        snapshot_lsn: None,
        took: Duration::ZERO,
        file: "f".into(),
        stored_size: ByteCount(1),
        stored_sha256: Sha256Hex(String::new()),
        packing: Packing::InnerZstd,
        seal: None,
        tool_version: String::new(),
        writer_version: String::new(),
        origin: Origin {
            system_identifier: "1".into(),
            database_oid: 1,
            server_version_number: 170_000,
            server_version: "17".into(),
            image_id: String::new(),
            image: String::new(),
        },
        facts: None,
        revision: None,
        schema_fingerprint: None,
        counted: Counted::Summary { tables: 0 },
        extent: None,
        suspicion: None,
        globals: None,
        level: Level::Archive,
        decoded: None,
        likeness: None,
        restore_line: String::new(),
    }
}

/// A backup of `postgres/app` in project `p`, taken in 1970.
pub(crate) fn backup(proofs: Vec<Proof>) -> Backup {
    Backup {
        manifest: manifest(),
        proofs,
        elsewhere: Vec::new(),
        acceptance: None,
    }
}

/// A proof at a level, or one that found a difference.
pub(crate) fn proof(level: Option<Level>) -> Proof {
    let what = Difference {
        kind: ObjectKind::Table,
        name: "t".into(),
        what: "differs".into(),
    };
    Proof {
        id: BackupId::parse("19700101T000000Z-0000").unwrap(),
        destination: "disk".into(),
        at: Timestamp::from_timestamp(0, 0).unwrap(),
        took: Duration::ZERO,
        restore_took: None,
        writer_version: String::new(),
        level,
        reason: None,
        awaits_room: None,
        awaits_key: None,
        compared: Vec::new(),
        differences: if level.is_none() {
            vec![what]
        } else {
            Vec::new()
        },
    }
}

#[test]
fn a_later_proof_at_a_lower_level_takes_nothing_away() {
    let proven = backup(vec![
        proof(Some(Level::Content)),
        proof(Some(Level::Archive)),
    ]);
    assert_eq!(proven.standing(), Standing::Proven(Level::Content));
    assert!(proven.is_verified() && !proven.owes_proof(Level::Content));
}

#[test]
fn a_refutation_stands_until_a_newer_proof_finds_nothing() {
    let refuted = backup(vec![proof(Some(Level::Content)), proof(None)]);
    assert_eq!(refuted.standing(), Standing::Refuted);
    assert_eq!(refuted.level(), None);
    assert!(!refuted.owes_proof(Level::Content));
    let again = backup(vec![proof(None), proof(Some(Level::Rows))]);
    assert_eq!(again.standing(), Standing::Proven(Level::Rows));
}

#[test]
fn reading_the_bytes_again_takes_nothing_away_and_puts_nothing_right() {
    let good = proof(Some(Level::Content));
    let same_bytes = proof(Some(Level::Archive));
    let later = |second: i64, mut proof: Proof| {
        proof.at = Timestamp::from_timestamp(second, 0).unwrap();
        proof
    };
    let proven = backup(vec![good.clone(), same_bytes.clone()]);
    assert_eq!(proven.standing(), Standing::Proven(Level::Content));
    assert_eq!(proven.newest_whole_proof(), Some(&good));
    // Other bytes refute it, and it was good before.
    let mut rotten = backup(vec![good.clone(), later(9, proof(None))]);
    assert_eq!(rotten.standing(), Standing::Refuted);
    assert_eq!(rotten.decay().unwrap().at.timestamp(), 9);
    // Only a restore puts that right, whatever was wrong.
    rotten.proofs.push(later(10, same_bytes.clone()));
    assert_eq!(rotten.standing(), Standing::Refuted);
    assert_eq!(rotten.refutation().unwrap().at.timestamp(), 9);
    rotten.proofs.push(later(11, good));
    assert_eq!(rotten.standing(), Standing::Proven(Level::Content));
    assert_eq!((rotten.refutation(), rotten.decay()), (None, None));
    let never_good = backup(vec![later(9, proof(None))]);
    assert_eq!(never_good.decay(), None);
}

#[test]
fn a_reason_that_a_proof_could_not_go_further_outlives_a_re_read() {
    let mut stepped_down = proof(Some(Level::Archive));
    stepped_down.reason = Some("its image cannot run a scratch server".into());
    stepped_down.awaits_room = Some(ByteCount(5));
    let read_again = backup(vec![stepped_down, proof(Some(Level::Archive))]);
    assert!(!read_again.owes_proof(Level::Content));
    assert_eq!(read_again.awaits_room(), Some(ByteCount(5)));
}

#[test]
fn a_proof_below_the_asked_level_leaves_one_owed_unless_it_says_why() {
    let by_hand = backup(vec![proof(Some(Level::Rows))]);
    assert!(by_hand.owes_proof(Level::Content) && !by_hand.owes_proof(Level::Rows));
    let mut stepped_down = proof(Some(Level::Archive));
    stepped_down.reason = Some("its image cannot run a scratch server".into());
    assert!(!backup(vec![stepped_down]).owes_proof(Level::Content));
    assert!(backup(Vec::new()).owes_proof(Level::Restore));
}

fn suspect(mut backup: Backup) -> Backup {
    backup.manifest.suspicion = Some(Suspicion {
        predecessor: BackupId::parse("19700101T000000Z-0000").unwrap(),
        reasons: vec!["it holds no table, 1 before".into()],
    });
    backup
}

fn accepted(mut backup: Backup) -> Backup {
    let id = backup.manifest.id.clone();
    backup.acceptance = Some(Acceptance {
        id,
        at: Timestamp::from_timestamp(9, 0).unwrap(),
        writer_version: String::new(),
        reasons: Vec::new(),
    });
    backup
}

#[test]
fn latest_is_the_newest_verified_trusted_backup_that_no_restore_took() {
    let good = || backup(vec![proof(Some(Level::Content))]);
    let mut old = good();
    old.manifest.file = "old".into();
    let mut before_restore = good();
    before_restore.manifest.reason = Reason::PreRestore;
    let unproven = backup(Vec::new());
    let untrusted = suspect(good());
    let mut series = vec![old, before_restore, unproven, untrusted];
    assert_eq!(latest(&series).unwrap().manifest.file, "old");
    let seen = accepted(series.pop().unwrap());
    series.push(seen);
    assert_eq!(latest(&series).unwrap().manifest.file, "f");
    assert_eq!(latest(&[]), None);
}

#[test]
fn a_suspect_backup_stays_open_until_somebody_accepts_it_or_a_later_one() {
    let at = |second: i64, mut backup: Backup| {
        backup.manifest.snapshot_at = Timestamp::from_timestamp(second, 0).unwrap();
        backup.manifest.file = second.to_string();
        backup
    };
    let good = |second| at(second, backup(Vec::new()));
    let bad = |second| at(second, suspect(backup(Vec::new())));
    let open = |series: &[Backup]| find_suspect(series).map(|it| it.manifest.file.clone());
    assert_eq!(open(&[good(1), bad(2)]).as_deref(), Some("2"));
    assert_eq!(open(&[good(1), accepted(bad(2))]), None);
    // A later backup that looks right again decides nothing by itself; a person does, by accepting either.
    assert_eq!(open(&[good(1), bad(2), good(3)]).as_deref(), Some("2"));
    assert_eq!(open(&[good(1), bad(2), accepted(good(3))]), None);
    assert_eq!(
        open(&[good(1), accepted(bad(2)), bad(3)]).as_deref(),
        Some("3")
    );
    assert_eq!(
        open(&[good(1), bad(2), bad(3), good(4)]).as_deref(),
        Some("3")
    );
    assert_eq!(open(&[]), None);
}

#[test]
fn a_proof_that_lacked_room_is_owed_once_there_is_room_for_longer_than_a_moment() {
    let lacking = Proof {
        reason: Some("no room".into()),
        awaits_room: Some(ByteCount(1_000)),
        ..proof(Some(Level::Archive))
    };
    let waiting = backup(vec![lacking.clone()]);
    let needed = crate::domain::room::needed_for_proof(&waiting.manifest, ByteCount(1_000)).0;
    let due = |free, second| {
        let now = Timestamp::from_timestamp(second, 0).unwrap();
        let room = ProofRoom {
            free: ByteCount(free),
            reserve: ByteCount(1_000),
        };
        let means = Means {
            room: Some(room),
            keys: &BTreeSet::new(),
        };
        waiting.is_due_for_proof(Level::Content, &means, now)
    };
    assert!(!waiting.owes_proof(Level::Content));
    assert_eq!(waiting.awaits_room(), Some(ByteCount(1_000)));
    let ample = needed + needed / 20;
    assert!(due(ample, 60));
    assert!(!due(ample, 59) && !due(ample - 1, 60));
    // Asked for again by hand, while it stands as proven.
    let proven = backup(vec![proof(Some(Level::Content)), lacking]);
    assert_eq!(proven.awaits_room(), None);
}

#[test]
fn a_proof_that_lacked_a_key_is_owed_once_there_is_one_that_opens_it() {
    let key = |name: &str| Recipient(name.to_owned());
    let keys = |names: &[&str]| -> BTreeSet<Recipient> { names.iter().map(|it| key(it)).collect() };
    let closed_to = |names: &[&str]| Proof {
        reason: Some("it is sealed".into()),
        awaits_key: Some(keys(names)),
        ..proof(Some(Level::Archive))
    };
    let sealed = |proofs: Vec<Proof>| {
        let mut sealed = backup(proofs);
        sealed.manifest.seal = Some(Seal {
            recipients: vec![key("owner"), key("deputy")],
            plain_size: ByteCount(1),
        });
        sealed
    };
    let due = |backup: &Backup, names: &[&str]| {
        let now = Timestamp::from_timestamp(0, 0).unwrap();
        let means = Means {
            room: None,
            keys: &keys(names),
        };
        backup.is_due_for_proof(Level::Content, &means, now)
    };
    let closed = sealed(vec![closed_to(&[])]);
    assert!(!due(&closed, &[]) && !due(&closed, &["stranger"]));
    assert!(due(&closed, &["stranger", "deputy"]));
    // A key that was there and did not open it will not open it now.
    let manifest_lies = sealed(vec![closed_to(&["owner"])]);
    assert!(!due(&manifest_lies, &["owner"]) && due(&manifest_lies, &["owner", "deputy"]));
    // What the pass that took it proved stays, whoever cannot open it later.
    let proven = sealed(vec![proof(Some(Level::Content)), closed_to(&[])]);
    assert!(!due(&proven, &["owner"]));
}
