//! The manifest's format.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CodecError, Detail, FORMAT, check_format, to_bytes, unknown};
use crate::domain::backup::{
    Census, Content, Counted, DatabaseFacts, Level, Manifest, Origin, Packing, Reason, Series,
    Sha256Hex,
};
use crate::domain::comparison::{Digest, Rows, TableFacts};
use crate::domain::id::{BackupId, DatabaseName, ProjectName, Revision, ServiceName};
use crate::domain::sequence::{Handed, SequenceFact, SequenceValue, Wrapping};
use crate::domain::unit::{ByteCount, Timestamp};

#[derive(Serialize, Deserialize)]
struct ManifestFormat {
    format: u32,
    id: String,
    project: String,
    service: String,
    /// The database; absent for a backup of the roles.
    database: Option<String>,
    reason: String,
    retention_class: String,
    tool: String,
    pg_dump: String,
    server: String,
    server_version_number: u32,
    snapshot_at: Timestamp,
    snapshot_lsn: Option<String>,
    published_at: Timestamp,
    seconds: f64,
    file: String,
    stored_bytes: u64,
    stored_sha256: String,
    compression: String,
    level: String,
    restore: String,
    globals: Option<String>,
    revision: Option<String>,
    schema_fingerprint: Option<String>,
    system_identifier: String,
    database_oid: u32,
    image: String,
    image_id: String,
    facts: Option<FactsFormat>,
    /// Digest algorithm; comparable only within one and one server major.
    digest_algorithm: Option<String>,
    tables: Option<Vec<TableFormat>>,
    #[serde(default)]
    sequences_before: Option<Vec<SequenceFormat>>,
    #[serde(default)]
    sequences_after: Option<Vec<SequenceFormat>>,
    not_counted: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct FactsFormat {
    owner: String,
    encoding: String,
    collate: String,
    ctype: String,
    locale_provider: String,
    acl: Option<String>,
    settings: Vec<String>,
    connection_limit: i32,
    extensions: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct TableFormat {
    name: String,
    rows: Option<u64>,
    digest: Option<String>,
    why: Option<String>,
    extension: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SequenceFormat {
    name: String,
    last: Option<i64>,
    called: Option<bool>,
    why: Option<String>,
    increment: i64,
    cycles: bool,
    extension: Option<String>,
}

const DIGEST_ALGORITHM: &str = "v1";

/// Writes a manifest.
pub fn encode_manifest(manifest: &Manifest) -> Vec<u8> {
    let (census, not_counted) = match &manifest.counted {
        Counted::Exact(census) => (Some(census), None),
        Counted::Absent(why) => (None, Some(why.clone())),
        Counted::Summary { tables } => (None, Some(format!("a summary of {tables} tables"))),
    };
    let tables: Option<Vec<TableFormat>> =
        census.map(|census| census.tables.iter().map(TableFormat::from).collect());
    let sequences = |of: fn(&Census) -> &Vec<SequenceFact>| {
        census.map(|census| of(census).iter().map(SequenceFormat::from).collect())
    };
    to_bytes(&ManifestFormat {
        format: FORMAT,
        id: manifest.id.to_string(),
        project: manifest.series.project.to_string(),
        service: manifest.series.service.to_string(),
        database: manifest.series.content.database().map(ToString::to_string),
        reason: manifest.reason.as_str().to_owned(),
        retention_class: retention_class(manifest.reason).to_owned(),
        tool: format!("stackwarden {}", manifest.writer_version),
        pg_dump: manifest.tool_version.clone(),
        server: manifest.origin.server_version.clone(),
        server_version_number: manifest.origin.server_version_number,
        snapshot_at: manifest.snapshot_at,
        snapshot_lsn: manifest.snapshot_lsn.clone(),
        published_at: manifest.published_at,
        seconds: manifest.took.as_secs_f64(),
        file: manifest.file.clone(),
        stored_bytes: manifest.stored_size.0,
        stored_sha256: manifest.stored_sha256.0.clone(),
        compression: manifest.packing.as_str().to_owned(),
        level: manifest.level.as_str().to_owned(),
        restore: manifest.restore_line.clone(),
        globals: manifest.globals.as_ref().map(ToString::to_string),
        revision: manifest.revision.as_ref().map(ToString::to_string),
        schema_fingerprint: manifest
            .schema_fingerprint
            .as_ref()
            .map(|hash| hash.0.clone()),
        system_identifier: manifest.origin.system_identifier.clone(),
        database_oid: manifest.origin.database_oid,
        image: manifest.origin.image.clone(),
        image_id: manifest.origin.image_id.clone(),
        facts: manifest.facts.as_ref().map(FactsFormat::from),
        digest_algorithm: tables.is_some().then(|| DIGEST_ALGORITHM.to_owned()),
        tables,
        sequences_before: sequences(|census| &census.sequences_before),
        sequences_after: sequences(|census| &census.sequences_after),
        not_counted,
    })
}

fn retention_class(reason: Reason) -> &'static str {
    match reason {
        Reason::PreMigration | Reason::PreRestore => reason.as_str(),
        Reason::Schedule | Reason::First | Reason::Manual | Reason::Event => "regular",
    }
}

/// Reads a manifest.
///
/// # Errors
/// When it is damaged, newer than this version, or holds a word this version does not know.
pub fn decode_manifest(bytes: &[u8], detail: Detail) -> Result<Manifest, CodecError> {
    check_format(bytes)?;
    let read: ManifestFormat = serde_json::from_slice(bytes).map_err(CodecError::Shape)?;
    let counted = counted(&read, detail)?;
    let content = match read.database {
        Some(name) => Content::Database(DatabaseName::new(name)),
        None => Content::Globals,
    };
    Ok(Manifest {
        id: parse_id(&read.id)?,
        series: Series {
            project: ProjectName::new(read.project),
            service: ServiceName::new(read.service),
            content,
        },
        reason: Reason::find(&read.reason).ok_or_else(|| unknown("reason", read.reason))?,
        snapshot_at: read.snapshot_at,
        published_at: read.published_at,
        snapshot_lsn: read.snapshot_lsn,
        took: Duration::try_from_secs_f64(read.seconds).unwrap_or_default(),
        file: plain_file_name(read.file)?,
        stored_size: ByteCount(read.stored_bytes),
        stored_sha256: Sha256Hex(read.stored_sha256),
        packing: Packing::find(&read.compression)
            .ok_or_else(|| unknown("compression", read.compression))?,
        tool_version: read.pg_dump,
        writer_version: read.tool.trim_start_matches("stackwarden ").to_owned(),
        origin: Origin {
            system_identifier: read.system_identifier,
            database_oid: read.database_oid,
            server_version_number: read.server_version_number,
            server_version: read.server,
            image_id: read.image_id,
            image: read.image,
        },
        facts: read.facts.map(DatabaseFacts::from),
        revision: read.revision.map(Revision::new),
        schema_fingerprint: read.schema_fingerprint.map(Sha256Hex),
        counted,
        globals: read.globals.as_deref().map(parse_id).transpose()?,
        level: Level::find(&read.level).ok_or_else(|| unknown("level", read.level))?,
        restore_line: read.restore,
    })
}

fn counted(read: &ManifestFormat, detail: Detail) -> Result<Counted, CodecError> {
    let Some(tables) = &read.tables else {
        return Ok(Counted::Absent(
            read.not_counted.clone().unwrap_or_default(),
        ));
    };
    if detail == Detail::Summary {
        return Ok(Counted::Summary {
            tables: tables.len() as u64,
        });
    }
    match read.digest_algorithm.as_deref() {
        Some(DIGEST_ALGORITHM) => Ok(Counted::Exact(Census {
            tables: tables.iter().map(TableFacts::from).collect(),
            sequences_before: read_sequences(read.sequences_before.as_deref()),
            sequences_after: read_sequences(read.sequences_after.as_deref()),
        })),
        other => Err(unknown("digest_algorithm", other.unwrap_or("nothing"))),
    }
}

fn read_sequences(read: Option<&[SequenceFormat]>) -> Vec<SequenceFact> {
    read.unwrap_or_default()
        .iter()
        .map(SequenceFact::from)
        .collect()
}

fn parse_id(text: &str) -> Result<BackupId, CodecError> {
    BackupId::parse(text).map_err(|error| unknown("id", error.0))
}

/// The manifest may only point at a file beside itself.
fn plain_file_name(name: String) -> Result<String, CodecError> {
    if name.contains('/') || name.starts_with('.') || name.is_empty() {
        return Err(unknown("file", name));
    }
    Ok(name)
}

impl From<&DatabaseFacts> for FactsFormat {
    fn from(facts: &DatabaseFacts) -> Self {
        let facts = facts.clone();
        Self {
            owner: facts.owner,
            encoding: facts.encoding,
            collate: facts.collate,
            ctype: facts.ctype,
            locale_provider: facts.locale_provider,
            acl: facts.acl,
            settings: facts.settings,
            connection_limit: facts.connection_limit,
            extensions: facts.extensions,
        }
    }
}

impl From<FactsFormat> for DatabaseFacts {
    fn from(read: FactsFormat) -> Self {
        Self {
            owner: read.owner,
            encoding: read.encoding,
            collate: read.collate,
            ctype: read.ctype,
            locale_provider: read.locale_provider,
            acl: read.acl,
            settings: read.settings,
            connection_limit: read.connection_limit,
            extensions: read.extensions,
        }
    }
}

impl From<&TableFacts> for TableFormat {
    fn from(table: &TableFacts) -> Self {
        let (rows, why_rows) = match &table.rows {
            Rows::Exact(rows) => (Some(*rows), None),
            Rows::Absent(why) => (None, Some(why)),
        };
        let (digest, why_digest) = match &table.digest {
            Digest::V1(digest) => (Some(digest.clone()), None),
            Digest::Absent(why) => (None, Some(why)),
        };
        let why = why_rows.or(why_digest).cloned();
        Self {
            name: table.name.clone(),
            rows,
            digest,
            why,
            extension: table.extension.clone(),
        }
    }
}

impl From<&TableFormat> for TableFacts {
    fn from(read: &TableFormat) -> Self {
        let why = || {
            read.why
                .clone()
                .unwrap_or_else(|| "the manifest does not say why".to_owned())
        };
        Self {
            name: read.name.clone(),
            rows: read.rows.map_or_else(|| Rows::Absent(why()), Rows::Exact),
            digest: read
                .digest
                .clone()
                .map_or_else(|| Digest::Absent(why()), Digest::V1),
            extension: read.extension.clone(),
        }
    }
}

impl From<&SequenceFact> for SequenceFormat {
    fn from(sequence: &SequenceFact) -> Self {
        let value = sequence.value.as_ref().ok();
        Self {
            name: sequence.name.clone(),
            last: value.map(|value| value.last),
            called: value.map(|value| value.handed == Handed::Out),
            why: sequence.value.as_ref().err().cloned(),
            increment: sequence.increment,
            cycles: sequence.wrapping == Wrapping::Cyclic,
            extension: sequence.extension.clone(),
        }
    }
}

impl From<&SequenceFormat> for SequenceFact {
    fn from(read: &SequenceFormat) -> Self {
        let why = || {
            read.why
                .clone()
                .unwrap_or_else(|| "the manifest does not say why".to_owned())
        };
        let value = read
            .last
            .zip(read.called)
            .map(|(last, called)| SequenceValue {
                last,
                handed: if called { Handed::Out } else { Handed::NotYet },
            });
        Self {
            name: read.name.clone(),
            value: value.ok_or_else(why),
            increment: read.increment,
            wrapping: if read.cycles {
                Wrapping::Cyclic
            } else {
                Wrapping::Bounded
            },
            extension: read.extension.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            globals: Some(BackupId::parse("20260121T015959Z-0000").unwrap()),
            level: Level::Archive,
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
            prop_assert_eq!(read, written);
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
        let error = decode_manifest(newer, Detail::Full).unwrap_err();
        assert!(matches!(error, CodecError::Newer(2)), "{error}");
    }

    #[test]
    fn a_manifest_cannot_point_outside_its_folder() {
        let mut written = manifest("app".into(), Vec::new());
        written.file = "../../etc/passwd".into();
        assert!(decode_manifest(&encode_manifest(&written), Detail::Full).is_err());
    }
}
