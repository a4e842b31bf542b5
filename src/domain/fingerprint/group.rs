//! All entries of one key, and what differs in them.

use super::entry::EntryKey;
use super::{Placed, SchemaText};
use crate::domain::failure::bounded;
use crate::domain::raw_text;

/// Entries that may hold a password, never shown.
const SECRETIVE: &[&str] = &[
    "DATABASE PROPERTIES",
    "SERVER",
    "SUBSCRIPTION",
    "USER MAPPING",
];

/// Longest piece of a definition shown in a difference.
const EXCERPT: usize = 160;

/// The entries of one key; a header may stand more than once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    /// Their key.
    pub(super) key: EntryKey<'a>,
    schema: &'a SchemaText,
    entries: &'a [Placed],
}

impl<'a> Group<'a> {
    /// Nothing of no entries.
    pub(super) fn of(schema: &'a SchemaText, entries: &'a [Placed]) -> Option<Self> {
        let key = schema.key(entries.first()?);
        Some(Self {
            key,
            schema,
            entries,
        })
    }

    /// Their normal texts, in order.
    pub(super) fn normals(self) -> impl Iterator<Item = &'a str> {
        self.entries
            .iter()
            .map(move |it| self.schema.part(&it.normal))
    }

    fn tablespaces(self) -> impl Iterator<Item = Option<&'a str>> {
        let places = self.entries.iter().map(|it| it.tablespace.as_ref());
        places.map(move |place| place.map(|it| self.schema.part(it)))
    }

    /// Whether both mean the same.
    pub(super) fn reads_like(&self, found: &Self) -> bool {
        if self.key.kind == "TEXT SEARCH DICTIONARY" {
            // Its options are kept as text, quoted as the session that wrote them had it (quote_all_identifiers).
            let plain = |it: &Self| {
                it.normals()
                    .map(|text| text.replace('"', ""))
                    .collect::<Vec<_>>()
            };
            return plain(self) == plain(found);
        }
        self.normals().eq(found.normals()) && self.tablespaces().eq(found.tablespaces())
    }

    /// One sentence on the first line that differs.
    pub(super) fn describe_difference(&self, found: &Self) -> String {
        let says = "is defined otherwise in the restored copy";
        if self.normals().eq(found.normals()) {
            let mut both = self.tablespaces().zip(found.tablespaces());
            let other = both.find(|(ours, theirs)| ours != theirs);
            let (ours, theirs) = other.unwrap_or_default();
            let (ours, theirs) = (ours.unwrap_or("-"), theirs.unwrap_or("-"));
            return format!("{says}: expected tablespace {ours}, found {theirs}");
        }
        if SECRETIVE.contains(&self.key.kind) {
            return says.to_owned();
        }
        match (self.first_absent(found), found.first_absent(self)) {
            (Some(expected), Some(found)) => {
                format!("{says}: expected {expected:?}, found {found:?}")
            }
            (Some(expected), None) => format!("{says}: {expected:?} is missing"),
            (None, Some(found)) => format!("{says}: {found:?} is new"),
            (None, None) => format!("{says}: its lines stand in another order"),
        }
    }

    /// The first line that the other one has not.
    fn first_absent(&self, other: &Self) -> Option<String> {
        let theirs: Vec<&str> = other.normals().flat_map(str::lines).collect();
        self.normals()
            .flat_map(str::lines)
            .find(|line| !theirs.contains(line))
            .map(|line| bounded(&raw_text::shown(line), EXCERPT))
    }
}
