//! How a backup stands after a row of proofs.

use super::*;
use crate::domain::comparison::ObjectKind;
use crate::domain::id::{DatabaseName, ServiceName};

fn backup(proofs: Vec<Proof>) -> Backup {
    let at = Timestamp::from_timestamp(0, 0).unwrap();
    let manifest = Manifest {
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
        globals: None,
        level: Level::Archive,
        restore_line: String::new(),
    };
    Backup { manifest, proofs }
}

fn proof(level: Option<Level>) -> Proof {
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
fn a_proof_below_the_asked_level_leaves_one_owed_unless_it_says_why() {
    let by_hand = backup(vec![proof(Some(Level::Rows))]);
    assert!(by_hand.owes_proof(Level::Content) && !by_hand.owes_proof(Level::Rows));
    let mut stepped_down = proof(Some(Level::Archive));
    stepped_down.reason = Some("its image cannot run a scratch server".into());
    assert!(!backup(vec![stepped_down]).owes_proof(Level::Content));
    assert!(backup(Vec::new()).owes_proof(Level::Restore));
}
