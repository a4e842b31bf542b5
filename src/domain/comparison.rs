//! Rows and digests of tables, and what differs between the snapshot and the restored copy.

use std::collections::BTreeMap;
use std::fmt;

/// A table's digest at a snapshot (digest v1), or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// `sum(hashtextextended(hash_record_extended(ROW(…), 0)::text, 0))` as decimal text; empty table: `0`.
    V1(String),
    /// No digest, and why.
    Absent(String),
}

/// Rows of a table, or why they are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// Exact number.
    Exact(u64),
    /// Not counted, and why.
    Absent(String),
}

/// What one leaf table held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// `schema.table`, each part as `quote_ident` writes it.
    pub name: String,
    /// Number of rows.
    pub rows: Rows,
    /// Content digest.
    pub digest: Digest,
    /// The extension that owns the table, when one does.
    pub extension: Option<String>,
}

/// The kind of object a comparison or difference is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// Rows or content of a table.
    Table,
    /// The value of a sequence.
    Sequence,
    /// All large objects.
    LargeObjects,
    /// An entry of the schema text: its `Type:` as pg_dump writes it (`TABLE`, `INDEX`, `ACL`, …).
    Schema(String),
    /// A role, from `pg_dumpall --roles-only`.
    Role,
    /// The stored file itself.
    File,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => formatter.write_str("table"),
            Self::Sequence => formatter.write_str("sequence"),
            Self::LargeObjects => formatter.write_str("large objects"),
            Self::Schema(kind) => write!(formatter, "schema {kind}"),
            Self::Role => formatter.write_str("role"),
            Self::File => formatter.write_str("file"),
        }
    }
}

/// What of an object was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Every value.
    Digest,
    /// The number of rows only.
    Rows,
    /// The definition only.
    Definition,
    /// Nothing.
    Nothing,
}

impl Compared {
    /// The word in proofs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Rows => "rows",
            Self::Definition => "definition",
            Self::Nothing => "none",
        }
    }
}

/// One object's part in a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectComparison {
    /// What kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// What was compared.
    pub compared: Compared,
    /// Why not more, when not everything was.
    pub why: Option<String>,
}

/// One difference between what was dumped and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What kind of object.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// One sentence: expected and found.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.kind, self.name, self.what)
    }
}

/// The result of comparing tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableComparison {
    /// Per table what was compared.
    pub compared: Vec<ObjectComparison>,
    /// What differs, in the order of names.
    pub differences: Vec<Difference>,
}

/// Compares the snapshot's tables with the restored ones.
///
/// A difference in a table that belongs to an extension is a note (`why`), never a difference, because
/// extensions rewrite their own statistics.
pub fn compare_tables(expected: &[TableFacts], found: &[TableFacts]) -> TableComparison {
    let mut restored: BTreeMap<&str, &TableFacts> = found
        .iter()
        .map(|table| (table.name.as_str(), table))
        .collect();
    let mut outcome = TableComparison::default();
    for table in expected {
        let counterpart = restored.remove(table.name.as_str());
        let (compared, difference) = compare_table(table, counterpart);
        outcome.compared.push(compared);
        outcome.differences.extend(difference);
    }
    for (name, table) in restored {
        if table.extension.is_none() {
            outcome.differences.push(difference(
                name,
                "is in the restored copy but was not in the snapshot",
            ));
        }
    }
    outcome.differences.sort_by(|a, b| a.name.cmp(&b.name));
    outcome
}

/// Names the extensions that came back in another version: a restore takes the one its image brings. `name version`, each.
///
/// One that is missing is a difference of the schema.
pub fn compare_extensions(expected: &[String], found: &[String]) -> Vec<ObjectComparison> {
    let parts = |text: &str| {
        let (name, version) = text.split_once(' ').unwrap_or((text, ""));
        (name.to_owned(), version.to_owned())
    };
    let restored: BTreeMap<String, String> = found.iter().map(|it| parts(it)).collect();
    let other = expected.iter().filter_map(|it| {
        let (name, version) = parts(it);
        let found = restored.get(&name).filter(|found| **found != version)?;
        Some(ObjectComparison {
            kind: ObjectKind::Schema("EXTENSION".to_owned()),
            why: Some(format!(
                "the database has {version}, a restore brings its image's {found}"
            )),
            name,
            compared: Compared::Definition,
        })
    });
    other.collect()
}

fn difference(name: &str, what: impl Into<String>) -> Difference {
    Difference {
        kind: ObjectKind::Table,
        name: name.to_owned(),
        what: what.into(),
    }
}

fn compare_table(
    expected: &TableFacts,
    found: Option<&TableFacts>,
) -> (ObjectComparison, Option<Difference>) {
    let (compared, why, what) = match found {
        None => (
            Compared::Nothing,
            None,
            Some("is missing in the restored copy".to_owned()),
        ),
        Some(found) => compare_facts(expected, found),
    };
    let is_extension = expected.extension.is_some();
    let (why, what) = match (is_extension, what) {
        (true, Some(what)) => (
            Some(format!(
                "belongs to extension {}: {what}",
                expected.extension.as_deref().unwrap_or_default()
            )),
            None,
        ),
        (_, what) => (why, what),
    };
    let comparison = ObjectComparison {
        kind: ObjectKind::Table,
        name: expected.name.clone(),
        compared,
        why,
    };
    (
        comparison,
        what.map(|what| difference(&expected.name, what)),
    )
}

fn compare_facts(
    expected: &TableFacts,
    found: &TableFacts,
) -> (Compared, Option<String>, Option<String>) {
    let rows = match (&expected.rows, &found.rows) {
        (Rows::Exact(expected), Rows::Exact(found)) if expected != found => {
            let what = format!("has {found} rows, the snapshot had {expected}");
            return (Compared::Rows, None, Some(what));
        }
        (Rows::Exact(_), Rows::Exact(_)) => Ok(()),
        (Rows::Absent(why), _) | (_, Rows::Absent(why)) => Err(why.clone()),
    };
    match (rows, &expected.digest, &found.digest) {
        (Ok(()), Digest::V1(expected), Digest::V1(found)) if expected != found => {
            let what = "holds other values than the snapshot (same number of rows)".to_owned();
            (Compared::Digest, None, Some(what))
        }
        (Ok(()), Digest::V1(_), Digest::V1(_)) => (Compared::Digest, None, None),
        (Ok(()), Digest::Absent(why), _) | (Ok(()), _, Digest::Absent(why)) => {
            (Compared::Rows, Some(why.clone()), None)
        }
        (Err(why), _, _) => (Compared::Definition, Some(why), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, digest: &str) -> TableFacts {
        TableFacts {
            name: name.to_owned(),
            rows: Rows::Exact(rows),
            digest: Digest::V1(digest.to_owned()),
            extension: None,
        }
    }

    #[test]
    fn equal_tables_are_compared_by_digest() {
        let outcome = compare_tables(&[table("a", 1, "7")], &[table("a", 1, "7")]);
        assert!(outcome.differences.is_empty());
        assert_eq!(outcome.compared[0].compared, Compared::Digest);
    }

    #[test]
    fn each_kind_of_difference_is_named_by_table() {
        let expected = [table("a", 1, "7"), table("b", 2, "8"), table("c", 3, "9")];
        let found = [table("a", 1, "0"), table("b", 1, "8"), table("d", 0, "0")];
        let outcome = compare_tables(&expected, &found);
        let lines: Vec<_> = outcome
            .differences
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "table a: holds other values than the snapshot (same number of rows)",
                "table b: has 1 rows, the snapshot had 2",
                "table c: is missing in the restored copy",
                "table d: is in the restored copy but was not in the snapshot",
            ]
        );
    }

    #[test]
    fn an_extension_table_may_differ_but_is_named() {
        let mut expected = table("a", 1, "7");
        expected.extension = Some("timescaledb".to_owned());
        let outcome = compare_tables(&[expected], &[table("a", 2, "7")]);
        assert!(outcome.differences.is_empty());
        assert!(
            outcome.compared[0]
                .why
                .as_deref()
                .unwrap()
                .contains("timescaledb")
        );
    }

    #[test]
    fn an_extension_of_another_version_is_named() {
        let all = |versions: [&str; 2]| versions.map(str::to_owned);
        let expected = all(["plpgsql 1.0", "postgis 3.4.2"]);
        let named = compare_extensions(&expected, &all(["plpgsql 1.0", "postgis 3.5.0"]));
        assert_eq!(named.len(), 1);
        assert_eq!(named[0].name, "postgis");
        assert!(named[0].why.as_deref().unwrap().contains("3.5.0"));
    }

    #[test]
    fn a_table_without_digest_is_never_compared_by_digest() {
        let mut expected = table("a", 1, "7");
        expected.digest = Digest::Absent("changed during the dump".to_owned());
        let outcome = compare_tables(&[expected], &[table("a", 1, "7")]);
        assert_eq!(outcome.compared[0].compared, Compared::Rows);
        assert!(outcome.compared[0].why.is_some());
    }
}
