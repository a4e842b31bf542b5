//! Whether a new backup looks like its predecessor, so that an emptied or another database never becomes
//! `latest` unseen.
//!
//! Judged once, when the manifest is written: rules that change later, or a predecessor that is removed,
//! change nothing about it. The predecessor is the newest backup of the series that is not suspect itself,
//! so that a second empty backup is measured by the last full one.

use super::manifest::Manifest;
use crate::domain::id::BackupId;
use crate::domain::unit::{ByteCount, Timestamp};

/// Fewer rows than this before alarm nobody when they go: sessions, queues and seeds come and go.
const ROWS_FLOOR: u64 = 100;

/// Below this the catalogue's own text is most of a stored file, and its size says nothing about rows.
const SIZE_FLOOR: ByteCount = ByteCount(1_000_000);

/// How much a database held at the snapshot; tables of extensions do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Ordinary tables.
    pub tables: u64,
    /// Rows of all of them; `None` when any was not counted.
    pub rows: Option<u64>,
    /// `pg_database_size`: what a restored copy needs at most.
    pub size: ByteCount,
}

/// Why a backup is not trusted to stand for its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// What it was compared with.
    pub predecessor: BackupId,
    /// One fragment each; never empty.
    pub reasons: Vec<String>,
}

/// Somebody looked at a suspect backup and said that it is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// Which backup.
    pub id: BackupId,
    /// When.
    pub at: Timestamp,
    /// The writer's version.
    pub writer_version: String,
    /// What was accepted.
    pub reasons: Vec<String>,
}

/// Compares a new backup of a database with its predecessor.
///
/// Roles are not judged: they are few, and they belong to the databases that name them.
pub fn judge(predecessor: &Manifest, new: &Manifest) -> Option<Suspicion> {
    new.series.content.database()?;
    let reasons: Vec<String> = [
        other_origin(predecessor, new),
        emptied(predecessor, new),
        fewer_rows(predecessor, new),
        smaller(predecessor, new),
    ]
    .into_iter()
    .flatten()
    .collect();
    let predecessor = predecessor.id.clone();
    (!reasons.is_empty()).then_some(Suspicion {
        predecessor,
        reasons,
    })
}

fn other_origin(predecessor: &Manifest, new: &Manifest) -> Option<String> {
    let (before, now) = (&predecessor.origin, &new.origin);
    if before.system_identifier != now.system_identifier {
        Some("it comes from another server (its system identifier changed)".to_owned())
    } else if before.database_oid != now.database_oid {
        Some("the database was dropped and made anew (its OID changed)".to_owned())
    } else {
        None
    }
}

fn emptied(predecessor: &Manifest, new: &Manifest) -> Option<String> {
    let (before, now) = (predecessor.extent?.tables, new.extent?.tables);
    (before > 0 && now == 0).then(|| format!("it holds no table, {before} before"))
}

fn fewer_rows(predecessor: &Manifest, new: &Manifest) -> Option<String> {
    let (before, now) = (predecessor.extent?.rows?, new.extent?.rows?);
    (before >= ROWS_FLOOR && has_halved(before, now))
        .then(|| format!("it holds {now} rows, {before} before"))
}

/// Only files packed alike tell anything by their size.
fn smaller(predecessor: &Manifest, new: &Manifest) -> Option<String> {
    let (before, now) = (predecessor.stored_size, new.stored_size);
    let is_alarming =
        predecessor.packing == new.packing && before >= SIZE_FLOOR && has_halved(before.0, now.0);
    is_alarming.then(|| format!("its file has {now}, {before} before"))
}

fn has_halved(before: u64, now: u64) -> bool {
    now <= before / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backup::{Content, Packing, example};

    fn holding(tables: u64, rows: Option<u64>, stored: u64) -> Manifest {
        let size = ByteCount(8_000_000);
        Manifest {
            extent: Some(Extent { tables, rows, size }),
            stored_size: ByteCount(stored),
            ..example()
        }
    }

    fn reasons(before: &Manifest, now: &Manifest) -> Vec<String> {
        judge(before, now).map_or_else(Vec::new, |it| it.reasons)
    }

    #[test]
    fn a_database_that_lost_its_tables_is_suspect_however_small_it_was() {
        let said = reasons(&holding(1, Some(3), 900), &holding(0, Some(0), 700));
        assert_eq!(said, ["it holds no table, 1 before"]);
        let never_had_any = holding(0, Some(0), 700);
        assert_eq!(judge(&never_had_any, &never_had_any), None);
    }

    #[test]
    fn half_the_rows_or_bytes_are_suspect_from_a_floor_on() {
        let rows =
            |before, now| reasons(&holding(2, Some(before), 900), &holding(2, Some(now), 900));
        assert_eq!(rows(3, 1), [""; 0]);
        assert_eq!(rows(99, 0), [""; 0]);
        assert_eq!(rows(100, 51), [""; 0]);
        assert_eq!(rows(100, 50), ["it holds 50 rows, 100 before"]);
        let bytes = |before, now| reasons(&holding(2, None, before), &holding(2, None, now));
        assert_eq!(bytes(999_999, 1), [""; 0]);
        assert_eq!(bytes(4_000_000, 2_000_001), [""; 0]);
        assert_eq!(
            bytes(4_000_000, 2_000_000),
            ["its file has 2.0 MB, 4.0 MB before"]
        );
    }

    #[test]
    fn what_was_not_counted_or_packed_otherwise_is_not_compared() {
        let before = holding(2, Some(1_000), 4_000_000);
        assert_eq!(judge(&before, &holding(2, None, 3_900_000)), None);
        let other = Manifest {
            packing: Packing::OuterZstd,
            ..holding(2, Some(1_000), 1_000_000)
        };
        assert_eq!(judge(&before, &other), None);
        let unmeasured = Manifest {
            extent: None,
            ..before.clone()
        };
        assert_eq!(judge(&unmeasured, &holding(0, Some(0), 3_900_000)), None);
    }

    #[test]
    fn another_server_or_a_database_made_anew_is_suspect() {
        let before = holding(2, Some(1_000), 900);
        let mut elsewhere = before.clone();
        elsewhere.origin.system_identifier = "2".into();
        let mut anew = before.clone();
        anew.origin.database_oid = 7;
        assert!(reasons(&before, &elsewhere)[0].contains("another server"));
        assert!(reasons(&before, &anew)[0].contains("made anew"));
        elsewhere.series.content = Content::Globals;
        assert_eq!(judge(&before, &elsewhere), None);
    }
}
