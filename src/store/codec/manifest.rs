//! The manifest's format.

mod part;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::part::{
    ExtentFormat, FactsFormat, LikenessFormat, SequenceFormat, SuspicionFormat, TableFormat,
};
use super::{CodecError, Detail, FORMAT, to_bytes, unknown};
use crate::domain::backup::suspicion::Extent;
use crate::domain::backup::{
    Census, Content, Counted, DatabaseFacts, Decoded, Level, Likeness, Manifest, Origin, Packing,
    Reason, Recipient, Seal, Series, Sha256Hex,
};
use crate::domain::comparison::TableFacts;
use crate::domain::id::{BackupId, DatabaseName, ProjectName, Revision, ServiceName};
use crate::domain::sequence::SequenceFact;
use crate::domain::unit::{ByteCount, Timestamp};

/// A listing reads it without what it lists: with 10 000 tables that is nearly all of it.
#[derive(Serialize, Deserialize)]
struct ManifestFormat<Tables = Vec<TableFormat>, Sequences = Vec<SequenceFormat>> {
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
    /// Absent for a file that is not sealed.
    #[serde(default)]
    recipients: Option<Vec<String>>,
    #[serde(default)]
    plain_bytes: Option<u64>,
    level: String,
    /// What was decoded to reach that level.
    #[serde(default)]
    decoded: Option<String>,
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
    tables: Option<Tables>,
    #[serde(default)]
    sequences_before: Option<Sequences>,
    #[serde(default)]
    sequences_after: Option<Sequences>,
    not_counted: Option<String>,
    #[serde(default)]
    extent: Option<ExtentFormat>,
    #[serde(default)]
    suspect: Option<SuspicionFormat>,
    /// Only where no live server tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    likeness: Option<LikenessFormat>,
}

type SummaryFormat = ManifestFormat<super::Counted<TableFormat>, super::Counted<SequenceFormat>>;

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
    let format: ManifestFormat = ManifestFormat {
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
        recipients: manifest.seal.as_ref().map(names),
        plain_bytes: manifest.seal.as_ref().map(|seal| seal.plain_size.0),
        level: manifest.level.as_str().to_owned(),
        decoded: manifest.decoded.map(|it| it.as_str().to_owned()),
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
        extent: manifest.extent.map(ExtentFormat::from),
        suspect: manifest.suspicion.as_ref().map(SuspicionFormat::from),
        likeness: manifest.likeness.as_ref().map(LikenessFormat::from),
    };
    to_bytes(&format)
}

fn names(seal: &Seal) -> Vec<String> {
    seal.recipients.iter().map(|it| it.0.clone()).collect()
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
    match detail {
        Detail::Full => {
            let read = super::read::<ManifestFormat>(bytes, |it| it.format)?;
            let counted = counted(&read)?;
            manifest(read, counted)
        }
        Detail::Summary => {
            let read = super::read::<SummaryFormat>(bytes, |it| it.format)?;
            let counted = match &read.tables {
                Some(tables) => Counted::Summary {
                    tables: tables.count,
                },
                None => not_counted(&read),
            };
            manifest(read, counted)
        }
    }
}

fn manifest<T, S>(read: ManifestFormat<T, S>, counted: Counted) -> Result<Manifest, CodecError> {
    let seal = seal(&read);
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
        seal,
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
        extent: read.extent.map(Extent::from),
        suspicion: read.suspect.map(SuspicionFormat::read).transpose()?,
        globals: read.globals.as_deref().map(parse_id).transpose()?,
        decoded: read.decoded.as_deref().map(decoded).transpose()?,
        level: Level::find(&read.level).ok_or_else(|| unknown("level", read.level))?,
        likeness: read.likeness.map(Likeness::from),
        restore_line: read.restore,
    })
}

fn decoded(word: &str) -> Result<Decoded, CodecError> {
    Decoded::find(word).ok_or_else(|| unknown("decoded", word))
}

fn seal<T, S>(read: &ManifestFormat<T, S>) -> Option<Seal> {
    let recipients = read.recipients.as_ref()?.iter().cloned();
    Some(Seal {
        recipients: recipients.map(Recipient).collect(),
        plain_size: ByteCount(read.plain_bytes.unwrap_or(read.stored_bytes)),
    })
}

fn not_counted<T, S>(read: &ManifestFormat<T, S>) -> Counted {
    Counted::Absent(read.not_counted.clone().unwrap_or_default())
}

fn counted(read: &ManifestFormat) -> Result<Counted, CodecError> {
    let Some(tables) = &read.tables else {
        return Ok(not_counted(read));
    };
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

#[cfg(test)]
mod tests;
