//! Schema fingerprint v1: the schema text of an archive against that of its restored copy.
//!
//! Knows the layout of `pg_dump`'s text: entries under `-- Name: …; Type: …; Schema: …; Owner: …`. The order of
//! entries is no matter. A difference is named by type and object.

mod entry;
pub mod lexer;
mod normal;
mod roles;

use std::collections::BTreeMap;

use super::comparison::{Difference, ObjectKind};
use super::raw_text;
use entry::{Entry, EntryKey};
pub use roles::compare_roles;

/// A schema text, read and brought into its normal form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaText {
    entries: BTreeMap<EntryKey, Entry>,
}

impl SchemaText {
    /// Reads what `pg_dump -C -s` or `pg_restore -C -s -f -` wrote.
    ///
    /// Anything is accepted: what is no schema text has no entries, see [`SchemaText::is_empty`].
    pub fn parse(text: &str) -> Self {
        let mut entries: BTreeMap<EntryKey, Entry> = BTreeMap::new();
        for (key, entry) in entry::read(text) {
            entries.entry(key).or_default().absorb(&entry);
        }
        for entry in entries.values_mut() {
            entry.settle();
        }
        Self { entries }
    }

    /// Forgets the tablespaces, for a copy that was restored without them.
    pub fn forget_tablespaces(&mut self) {
        for entry in self.entries.values_mut() {
            entry.tablespace = None;
        }
    }

    /// Forgets what a database is from outside, for a copy that has it from elsewhere, or not yet: owner, settings,
    /// grants and comment. Encoding and locale stay.
    pub fn forget_outside(&mut self) {
        self.entries.retain(|key, _| !key.is_outside());
        let databases = self.entries.iter_mut();
        for (_, entry) in databases.filter(|(key, _)| key.kind == "DATABASE") {
            entry.forget_all_but("CREATE");
        }
    }

    /// Forgets the subscriptions, for a copy beside the database that has them.
    pub fn forget_subscriptions(&mut self) {
        self.entries
            .retain(|key, _| key.kind != "SUBSCRIPTION" && !key.name.starts_with("SUBSCRIPTION "));
    }

    /// Whether no entry was found, so that there is nothing to compare: not even a database.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The normal form, one entry after the other in the order of their keys; its SHA-256 is the
    /// fingerprint, and two of them diffed are a change of schema.
    pub fn normalised_text(&self) -> String {
        let mut text = String::from("schema fingerprint v1\n");
        for (key, entry) in &self.entries {
            let heading = format!("== {} {:?} {:?}\n", key.kind, key.schema, key.name);
            text.push_str(&heading);
            for line in &entry.normal {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// Compares the schema that was dumped with the one that came back.
pub fn compare(expected: &SchemaText, found: &SchemaText) -> Vec<Difference> {
    let missing = expected
        .entries
        .keys()
        .filter(|key| !found.entries.contains_key(key))
        .map(|key| difference(key, "is missing in the restored copy".to_owned()));
    let extra = found
        .entries
        .keys()
        .filter(|key| !expected.entries.contains_key(key))
        .map(|key| {
            let what = "is in the restored copy but was not in the dump";
            difference(key, what.to_owned())
        });
    let other = expected.entries.iter().filter_map(|(key, entry)| {
        let counterpart = found.entries.get(key)?;
        (!entry.reads_like(counterpart, key))
            .then(|| difference(key, entry.describe_difference(counterpart, key)))
    });
    let mut differences: Vec<Difference> = missing.chain(extra).chain(other).collect();
    differences.sort_by(|a, b| (&a.name, &a.kind).cmp(&(&b.name, &b.kind)));
    differences
}

fn difference(key: &EntryKey, what: String) -> Difference {
    Difference {
        kind: ObjectKind::Schema(key.kind.clone()),
        name: raw_text::shown(&key.full_name()),
        what,
    }
}

#[cfg(test)]
mod tests;
