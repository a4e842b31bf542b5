//! The format of an acceptance: that somebody looked at a suspect backup and let it stand.

use serde::{Deserialize, Serialize};

use super::{CodecError, FORMAT, to_bytes, unknown};
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::id::BackupId;
use crate::domain::unit::Timestamp;

#[derive(Serialize, Deserialize)]
struct AcceptanceFormat {
    format: u32,
    id: String,
    at: Timestamp,
    tool: String,
    reasons: Vec<String>,
}

/// Writes an acceptance.
pub fn encode_acceptance(acceptance: &Acceptance) -> Vec<u8> {
    to_bytes(&AcceptanceFormat {
        format: FORMAT,
        id: acceptance.id.to_string(),
        at: acceptance.at,
        tool: format!("stackwarden {}", acceptance.writer_version),
        reasons: acceptance.reasons.clone(),
    })
}

/// Reads an acceptance.
///
/// # Errors
/// When it is damaged or newer than this version; the backup stays suspect then.
pub fn decode_acceptance(bytes: &[u8]) -> Result<Acceptance, CodecError> {
    let read: AcceptanceFormat = super::read(bytes, |it: &AcceptanceFormat| it.format)?;
    Ok(Acceptance {
        id: BackupId::parse(&read.id).map_err(|error| unknown("id", error.0))?,
        at: read.at,
        writer_version: read.tool.trim_start_matches("stackwarden ").to_owned(),
        reasons: read.reasons,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_reads_back_as_written() {
        let acceptance = Acceptance {
            id: BackupId::parse("20260121T020000Z-3f9c").unwrap(),
            at: "2026-01-21T09:01:00Z".parse().unwrap(),
            writer_version: "0.1.0".into(),
            reasons: vec!["it holds no table, 3 before".into()],
        };
        let bytes = encode_acceptance(&acceptance);
        assert_eq!(decode_acceptance(&bytes).unwrap(), acceptance);
        assert!(decode_acceptance(br#"{"format": 2}"#).is_err());
    }
}
