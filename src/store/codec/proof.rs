//! The proof's format.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CodecError, Detail, FORMAT, to_bytes, unknown};
use crate::domain::backup::{Level, Proof, Recipient};
use crate::domain::comparison::{Compared, Difference, ObjectComparison, ObjectKind};
use crate::domain::id::BackupId;
use crate::domain::unit::{ByteCount, Timestamp};

/// A listing reads it without what was compared.
#[derive(Serialize, Deserialize)]
struct ProofFormat<Compared = Vec<ComparedFormat>> {
    format: u32,
    id: String,
    destination: String,
    at: Timestamp,
    seconds: f64,
    restore_seconds: Option<f64>,
    tool: String,
    /// Absent when the stored bytes are wrong.
    level: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    awaits_free_bytes: Option<u64>,
    /// The public keys that did not open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_opened_by: Option<Vec<String>>,
    compared: Compared,
    differences: Vec<DifferenceFormat>,
}

type SummaryFormat = ProofFormat<super::Counted<ComparedFormat>>;

#[derive(Serialize, Deserialize)]
struct ComparedFormat {
    kind: String,
    name: String,
    compared: String,
    why: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct DifferenceFormat {
    kind: String,
    name: String,
    what: String,
}

/// Writes a proof.
pub fn encode_proof(proof: &Proof) -> Vec<u8> {
    let format: ProofFormat = ProofFormat {
        format: FORMAT,
        id: proof.id.to_string(),
        destination: proof.destination.clone(),
        at: proof.at,
        seconds: proof.took.as_secs_f64(),
        restore_seconds: proof.restore_took.map(|took| took.as_secs_f64()),
        tool: format!("stackwarden {}", proof.writer_version),
        level: proof.level.map(|level| level.as_str().to_owned()),
        reason: proof.reason.clone(),
        awaits_free_bytes: proof.awaits_room.map(|room| room.0),
        not_opened_by: proof
            .awaits_key
            .as_ref()
            .map(|keys| keys.iter().map(|key| key.0.clone()).collect()),
        compared: proof.compared.iter().map(ComparedFormat::from).collect(),
        differences: proof
            .differences
            .iter()
            .map(DifferenceFormat::from)
            .collect(),
    };
    to_bytes(&format)
}

/// Reads a proof.
///
/// # Errors
/// When it is damaged, newer than this version, or holds a word this version does not know.
pub fn decode_proof(bytes: &[u8], detail: Detail) -> Result<Proof, CodecError> {
    match detail {
        Detail::Full => {
            let read = super::read::<ProofFormat>(bytes, |it| it.format)?;
            let compared = read.compared.iter().map(comparison);
            let compared = compared.collect::<Result<_, _>>()?;
            finish(read, compared)
        }
        Detail::Summary => {
            let read = super::read::<SummaryFormat>(bytes, |it| it.format)?;
            finish(read, Vec::new())
        }
    }
}

fn finish<C>(read: ProofFormat<C>, compared: Vec<ObjectComparison>) -> Result<Proof, CodecError> {
    let seconds = |value| Duration::try_from_secs_f64(value).unwrap_or_default();
    let level = match read.level {
        None => None,
        Some(word) => Some(Level::find(&word).ok_or_else(|| unknown("level", word))?),
    };
    Ok(Proof {
        id: BackupId::parse(&read.id).map_err(|error| unknown("id", error.0))?,
        destination: read.destination,
        at: read.at,
        took: seconds(read.seconds),
        restore_took: read.restore_seconds.map(seconds),
        writer_version: read.tool.trim_start_matches("stackwarden ").to_owned(),
        level,
        reason: read.reason,
        awaits_room: read.awaits_free_bytes.map(ByteCount),
        awaits_key: read
            .not_opened_by
            .map(|keys| keys.into_iter().map(Recipient).collect()),
        compared,
        differences: read.differences.into_iter().map(Difference::from).collect(),
    })
}

const SCHEMA: &str = "schema ";

fn kind_of(word: &str) -> ObjectKind {
    match word {
        "table" => ObjectKind::Table,
        "sequence" => ObjectKind::Sequence,
        "large objects" => ObjectKind::LargeObjects,
        "role" => ObjectKind::Role,
        "file" => ObjectKind::File,
        // A kind that a later version adds is shown as it is named.
        other => ObjectKind::Schema(other.trim_start_matches(SCHEMA).to_owned()),
    }
}

fn comparison(read: &ComparedFormat) -> Result<ObjectComparison, CodecError> {
    let all = [
        Compared::Digest,
        Compared::Rows,
        Compared::Definition,
        Compared::Nothing,
    ];
    let compared = all
        .into_iter()
        .find(|compared| compared.as_str() == read.compared);
    Ok(ObjectComparison {
        kind: kind_of(&read.kind),
        name: read.name.clone(),
        compared: compared.ok_or_else(|| unknown("compared", read.compared.clone()))?,
        why: read.why.clone(),
    })
}

impl From<&ObjectComparison> for ComparedFormat {
    fn from(object: &ObjectComparison) -> Self {
        Self {
            kind: object.kind.to_string(),
            name: object.name.clone(),
            compared: object.compared.as_str().to_owned(),
            why: object.why.clone(),
        }
    }
}

impl From<&Difference> for DifferenceFormat {
    fn from(difference: &Difference) -> Self {
        Self {
            kind: difference.kind.to_string(),
            name: difference.name.clone(),
            what: difference.what.clone(),
        }
    }
}

impl From<DifferenceFormat> for Difference {
    fn from(read: DifferenceFormat) -> Self {
        Self {
            kind: kind_of(&read.kind),
            name: read.name,
            what: read.what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_reads_back_as_written() {
        let kinds = [
            ObjectKind::Table,
            ObjectKind::Sequence,
            ObjectKind::LargeObjects,
            ObjectKind::Schema("INDEX".into()),
            ObjectKind::Role,
            ObjectKind::File,
        ];
        let proof = Proof {
            id: BackupId::parse("20260121T020000Z-3f9c").unwrap(),
            destination: "disk".into(),
            at: "2026-01-21T02:01:00Z".parse().unwrap(),
            took: Duration::from_secs(12),
            restore_took: Some(Duration::from_secs(7)),
            writer_version: "0.1.0".into(),
            level: Some(Level::Content),
            reason: None,
            awaits_room: Some(ByteCount(6_000_000_000)),
            awaits_key: Some([Recipient("age1".into())].into()),
            compared: vec![ObjectComparison {
                kind: ObjectKind::Table,
                name: "public.a".into(),
                compared: Compared::Digest,
                why: None,
            }],
            differences: kinds
                .map(|kind| Difference {
                    kind,
                    name: "n".into(),
                    what: "w".into(),
                })
                .to_vec(),
        };
        assert_eq!(
            decode_proof(&encode_proof(&proof), Detail::Full).unwrap(),
            proof
        );
    }
}
