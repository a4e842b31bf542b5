use proptest::prelude::*;

use super::*;
use crate::domain::backup::suspicion::Suspicion;
use crate::domain::comparison::{Digest, Rows};
use crate::domain::sequence::{Handed, SequenceValue, Wrapping};

fn table() -> impl Strategy<Value = TableFacts> {
    let rows = prop_oneof![
        any::<u64>().prop_map(|rows| (Rows::Exact(rows), Digest::V1("-12".into()))),
        any::<u64>().prop_map(|rows| (Rows::Exact(rows), Digest::Absent("changed".into()))),
        Just((
            Rows::Absent("denied".into()),
            Digest::Absent("denied".into())
        )),
    ];
    (".*", rows, proptest::option::of(".*")).prop_map(|(name, (rows, digest), extension)| {
        TableFacts {
            name,
            rows,
            digest,
            extension,
        }
    })
}

fn sequence(last: i64, handed: Handed) -> SequenceFact {
    SequenceFact {
        name: "public.s".into(),
        value: Ok(SequenceValue { last, handed }),
        increment: 1,
        wrapping: Wrapping::Bounded,
        extension: None,
    }
}

fn manifest(name: String, tables: Vec<TableFacts>) -> Manifest {
    Manifest {
        id: BackupId::parse("20260121T020000Z-3f9c").unwrap(),
        series: Series {
            project: ProjectName::new("p"),
            service: ServiceName::new("postgres"),
            content: Content::Database(DatabaseName::new(name)),
        },
        reason: Reason::PreMigration,
        snapshot_at: "2026-01-21T02:00:00Z".parse().unwrap(),
        published_at: "2026-01-21T02:00:09Z".parse().unwrap(),
        snapshot_lsn: Some("0/16B3748".into()),
        took: Duration::from_millis(9500),
        file: "20260121T020000Z-3f9c.dump".into(),
        stored_size: ByteCount(12),
        stored_sha256: Sha256Hex("ab".into()),
        packing: Packing::InnerZstd,
        seal: Some(Seal {
            recipients: vec![Recipient("age1a".into()), Recipient("age1b".into())],
            plain_size: ByteCount(40),
        }),
        tool_version: "17.10".into(),
        writer_version: "0.1.0".into(),
        origin: Origin {
            system_identifier: "7".into(),
            database_oid: 16384,
            server_version_number: 170_010,
            server_version: "17.10".into(),
            image_id: "sha256:1".into(),
            image: "postgres:17".into(),
        },
        facts: Some(DatabaseFacts {
            owner: "app".into(),
            ..DatabaseFacts::default()
        }),
        revision: Some(Revision::new("0002")),
        schema_fingerprint: Some(Sha256Hex("cd".into())),
        counted: Counted::Exact(Census {
            tables,
            sequences_before: vec![sequence(1, Handed::NotYet)],
            sequences_after: vec![sequence(9, Handed::Out)],
        }),
        extent: Some(Extent {
            tables: 3,
            rows: Some(9),
            size: ByteCount(8_000_000),
        }),
        suspicion: Some(Suspicion {
            predecessor: BackupId::parse("20260120T020000Z-0001").unwrap(),
            reasons: vec!["it holds no table, 3 before".into()],
        }),
        globals: Some(BackupId::parse("20260121T015959Z-0000").unwrap()),
        level: Level::Archive,
        decoded: Some(Decoded::Stream),
        likeness: None,
        restore_line: "pg_restore".into(),
    }
}

proptest! {
    #[test]
    fn a_manifest_reads_back_as_written(
        name in ".*",
        tables in proptest::collection::vec(table(), 0..5),
    ) {
        let written = manifest(name, tables);
        let read = decode_manifest(&encode_manifest(&written), Detail::Full).unwrap();
        prop_assert_eq!(&read, &written);
        let summary = decode_manifest(&encode_manifest(&written), Detail::Summary).unwrap();
        let tables = match &written.counted {
            Counted::Exact(census) => census.tables.len() as u64,
            _ => 0,
        };
        let counted = Counted::Summary { tables };
        prop_assert_eq!(summary, Manifest { counted, ..written });
    }
}

#[test]
fn unknown_fields_are_ignored_and_a_newer_format_is_refused() {
    let bytes = encode_manifest(&manifest("app".into(), Vec::new()));
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    value["a_later_field"] = serde_json::json!({"x": 1});
    let extended = serde_json::to_vec(&value).unwrap();
    assert!(decode_manifest(&extended, Detail::Full).is_ok());
    let newer = br#"{"format": 2, "id": {"new": "shape"}}"#;
    for detail in [Detail::Full, Detail::Summary] {
        let error = decode_manifest(newer, detail).unwrap_err();
        assert!(matches!(error, CodecError::Newer(2)), "{error}");
    }
}

#[test]
fn a_summary_refuses_what_all_of_it_would_refuse() {
    let bytes = encode_manifest(&manifest("app".into(), Vec::new()));
    let sound: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    for list in ["tables", "sequences_before", "sequences_after"] {
        for damage in [serde_json::json!([{"rows": 1}]), serde_json::json!({})] {
            let mut value = sound.clone();
            value[list] = damage;
            let damaged = serde_json::to_vec(&value).unwrap();
            for detail in [Detail::Full, Detail::Summary] {
                let error = decode_manifest(&damaged, detail).unwrap_err();
                assert!(matches!(error, CodecError::Shape(_)), "{list}: {error}");
            }
        }
    }
}

#[test]
fn a_manifest_cannot_point_outside_its_folder() {
    let mut written = manifest("app".into(), Vec::new());
    written.file = "../../etc/passwd".into();
    assert!(decode_manifest(&encode_manifest(&written), Detail::Full).is_err());
}
