//! The names of files: `<project>/<service>/<database>/<id>.dump[.zst][.age]`, beside it `<id>.json` and
//! `<id>.proof-<destination>-<time>.json`; `<project>/<service>/globals/` alike.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::domain::backup::{Content, Packing, Sealing, Series};
use crate::domain::id::{BackupId, DatabaseName, ProjectName, ServiceName};
use crate::domain::unit::Timestamp;

/// The folder of a server's roles.
const GLOBALS: &str = "globals";

/// The ending of an acceptance.
const ACCEPTED: &str = ".accepted.json";

/// The ending of a file that is still being written.
pub const PARTIAL: &str = ".partial";

/// Percent-encodes a name into one path segment that every file system and bucket takes.
///
/// Letters, digits, `-`, `_` and inner dots stay; the result is never empty, hidden, or `globals`.
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (position, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_')
            || (byte == b'.' && position > 0);
        if plain && !(name == GLOBALS && position == 0) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written: Result<(), std::fmt::Error> = write!(encoded, "%{byte:02X}");
        }
    }
    if encoded.is_empty() {
        "%".to_owned()
    } else {
        encoded
    }
}

/// Reads an encoded segment back.
pub fn decode(segment: &str) -> Option<String> {
    if segment == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let digits = [*rest.next()?, *rest.next()?];
            let text = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(text, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The folder of a series below the backup folder.
pub fn folder(series: &Series) -> PathBuf {
    let content = match &series.content {
        Content::Database(name) => encode(name.as_str()),
        Content::Globals => GLOBALS.to_owned(),
    };
    Path::new(&encode(series.project.as_str()))
        .join(encode(series.service.as_str()))
        .join(content)
}

/// Reads a series back from its folder's three segments.
pub fn find_series(project: &str, service: &str, content: &str) -> Option<Series> {
    let content = if content == GLOBALS {
        Content::Globals
    } else {
        Content::Database(DatabaseName::new(decode(content)?))
    };
    Some(Series {
        project: ProjectName::new(decode(project)?),
        service: ServiceName::new(decode(service)?),
        content,
    })
}

/// The stored file's name.
pub fn stored_name(id: &BackupId, packing: Packing, sealing: Sealing) -> String {
    format!("{id}{}{}", packing.extension(), sealing.extension())
}

/// Whether a stored file or object is sealed: its name says so, also while it is only partly there.
pub fn sealing(path: &Path) -> Sealing {
    let name = path.to_string_lossy();
    let name = name.strip_suffix(PARTIAL).unwrap_or(&name);
    if name.ends_with(Sealing::Age.extension()) {
        Sealing::Age
    } else {
        Sealing::Plain
    }
}

/// The manifest's name.
pub fn manifest_name(id: &BackupId) -> String {
    format!("{id}.json")
}

/// A proof's name; its time has milliseconds, so that two proofs of one second both stay.
pub fn proof_name(id: &BackupId, destination: &str, at: Timestamp) -> String {
    format!(
        "{id}.proof-{}-{}.json",
        encode(destination),
        at.format("%Y%m%dT%H%M%S%3fZ")
    )
}

/// The name of an acceptance.
pub fn acceptance_name(id: &BackupId) -> String {
    format!("{id}{ACCEPTED}")
}

/// What a file in a series' folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRole {
    /// `<id>.json`
    Manifest(BackupId),
    /// `<id>.proof-….json`
    Proof(BackupId),
    /// `<id>.accepted.json`
    Acceptance(BackupId),
    /// `<id>.dump`, `<id>.dump.zst`, `<id>.sql`, each with `.age` behind it when it is sealed
    Stored(BackupId),
    /// Anything of ours that ends in `.partial`
    Partial(BackupId),
    /// Not ours.
    Foreign,
}

/// Tells what a file is by its name.
pub fn role(name: &str) -> FileRole {
    let Some((stem, ending)) = name.split_once('.') else {
        return FileRole::Foreign;
    };
    let Ok(id) = BackupId::parse(stem) else {
        return FileRole::Foreign;
    };
    match ending {
        "json" => FileRole::Manifest(id),
        "accepted.json" => FileRole::Acceptance(id),
        _ if is_stored(ending) => FileRole::Stored(id),
        _ if name.ends_with(PARTIAL) => FileRole::Partial(id),
        _ if ending
            .strip_suffix(".json")
            .is_some_and(|it| it.starts_with("proof-")) =>
        {
            FileRole::Proof(id)
        }
        _ => FileRole::Foreign,
    }
}

fn is_stored(ending: &str) -> bool {
    let sealed = ending.strip_suffix(Sealing::Age.extension());
    matches!(sealed.unwrap_or(ending), "dump" | "dump.zst" | "sql")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn awkward_names_become_plain_segments() {
        assert_eq!(encode("My-App"), "My-App");
        assert_eq!(encode("o'brien"), "o%27brien");
        assert_eq!(encode("naïve"), "na%C3%AFve");
        assert_eq!(encode(".."), "%2E.");
        assert_eq!(encode("globals"), "%67lobals");
    }

    #[test]
    fn files_are_told_apart_by_name() {
        let id = BackupId::parse("20260121T020000Z-3f9c").unwrap();
        let at = "2026-01-21T02:00:00Z".parse().unwrap();
        assert_eq!(role(&manifest_name(&id)), FileRole::Manifest(id.clone()));
        assert_eq!(
            role(&proof_name(&id, "disk", at)),
            FileRole::Proof(id.clone())
        );
        assert_eq!(
            role(&acceptance_name(&id)),
            FileRole::Acceptance(id.clone())
        );
        assert_eq!(
            role(&stored_name(&id, Packing::OuterZstd, Sealing::Plain)),
            FileRole::Stored(id.clone())
        );
        for packing in Packing::ALL {
            let name = stored_name(&id, packing, Sealing::Age);
            assert_eq!(role(&name), FileRole::Stored(id.clone()), "{name}");
            assert_eq!(sealing(Path::new(&name)), Sealing::Age);
        }
        assert_eq!(role(&format!("{id}.json.age")), FileRole::Foreign);
        assert_eq!(
            role(&format!("{id}.dump.age.partial")),
            FileRole::Partial(id.clone())
        );
        assert_eq!(
            role("20260121T020000Z-3f9c.dump.partial"),
            FileRole::Partial(id.clone())
        );
        assert_eq!(
            role("20260121T020000Z-3f9c.json.partial"),
            FileRole::Partial(id)
        );
        assert_eq!(role("notes.json"), FileRole::Foreign);
        assert_eq!(role("20260121T020000Z-3f9c"), FileRole::Foreign);
    }

    proptest! {
        #[test]
        fn every_name_reads_back(name in ".*") {
            let segment = encode(&name);
            prop_assert!(!segment.contains('/') && !segment.starts_with('.') && segment != GLOBALS);
            prop_assert_eq!(decode(&segment), Some(name));
        }
    }
}
