//! Schema fingerprint v1: the schema text of an archive against that of its restored copy.
//!
//! Knows the layout of `pg_dump`'s text: entries under `-- Name: …; Type: …; Schema: …; Owner: …`. The order of
//! entries is no matter. A difference is named by type and object.

mod entry;
mod group;
pub mod lexer;
mod normal;
mod roles;

use std::cmp::Ordering;
use std::ops::Range;

use super::comparison::{Difference, ObjectKind};
use super::raw_text;
use entry::{Entry, EntryKey};
use group::Group;
pub use roles::compare_roles;

/// A schema text, read and brought into its normal form.
///
/// All of it lies in one piece: 10 000 tables are 50 000 entries, which as strings of their own take several times the room
/// and leave the memory in crumbs that no allocator gives back.
#[derive(Debug, Clone, Default)]
pub struct SchemaText {
    text: String,
    entries: Vec<Placed>,
}

/// Where an entry's parts lie in the text.
#[derive(Debug, Clone)]
struct Placed {
    schema: Range<usize>,
    name: Range<usize>,
    kind: Range<usize>,
    normal: Range<usize>,
    tablespace: Option<Range<usize>>,
}

impl SchemaText {
    /// Reads what `pg_dump -C -s` or `pg_restore -C -s -f -` wrote.
    ///
    /// Anything is accepted: what is no schema text has no entries, see [`SchemaText::is_empty`].
    pub fn parse(text: &str) -> Self {
        let mut schema = Self::default();
        for entry in entry::read(text) {
            schema.put(&entry);
        }
        let mut entries = std::mem::take(&mut schema.entries);
        // Two entries of one key have no order of their own: they are told apart as wholes.
        entries.sort_unstable_by(|a, b| schema.order(a).cmp(&schema.order(b)));
        schema.entries = entries;
        schema
    }

    fn put(&mut self, entry: &Entry<'_>) {
        let placed = Placed {
            schema: self.add(entry.key.schema),
            name: self.add(entry.key.name),
            kind: self.add(entry.key.kind),
            normal: self.add(&entry.normal),
            tablespace: entry.tablespace.map(|name| self.add(name)),
        };
        self.entries.push(placed);
    }

    fn add(&mut self, part: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(part);
        start..self.text.len()
    }

    /// Nothing is ever taken out of the text, so every part is there.
    fn part(&self, place: &Range<usize>) -> &str {
        self.text.get(place.clone()).unwrap_or_default()
    }

    fn key(&self, placed: &Placed) -> EntryKey<'_> {
        EntryKey {
            schema: self.part(&placed.schema),
            name: self.part(&placed.name),
            kind: self.part(&placed.kind),
        }
    }

    fn order(&self, placed: &Placed) -> (EntryKey<'_>, &str, Option<&str>) {
        let tablespace = placed.tablespace.as_ref().map(|it| self.part(it));
        (self.key(placed), self.part(&placed.normal), tablespace)
    }

    /// The entries of each key.
    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let same = |a: &Placed, b: &Placed| self.key(a) == self.key(b);
        let groups = self.entries.chunk_by(same);
        groups.filter_map(|entries| Group::of(self, entries))
    }

    /// Forgets the tablespaces, for a copy that was restored without them.
    pub fn forget_tablespaces(&mut self) {
        for entry in &mut self.entries {
            entry.tablespace = None;
        }
    }

    /// Forgets what a database is from outside, for a copy that has it from elsewhere, or not yet: owner, settings,
    /// grants and comment. Encoding and locale stay.
    pub fn forget_outside(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| !self.key(entry).is_outside());
        for entry in &mut entries {
            if self.key(entry).kind == "DATABASE" {
                let lines = self.part(&entry.normal).lines();
                let kept: Vec<&str> = lines.filter(|line| line.starts_with("CREATE")).collect();
                let kept = kept.join("\n");
                entry.normal = self.add(&kept);
            }
        }
        self.entries = entries;
    }

    /// Forgets the subscriptions, for a copy beside the database that has them.
    pub fn forget_subscriptions(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| {
            let key = self.key(entry);
            key.kind != "SUBSCRIPTION" && !key.name.starts_with("SUBSCRIPTION ")
        });
        self.entries = entries;
    }

    /// Whether no entry was found, so that there is nothing to compare: not even a database.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Hands out the normal form in pieces, one entry after the other in the order of their keys; its SHA-256 is the
    /// fingerprint, and two of them diffed are a change of schema.
    pub fn normalised(&self, mut take: impl FnMut(&str)) {
        take("schema fingerprint v1\n");
        for group in self.groups() {
            let key = group.key;
            take(&format!(
                "== {} {:?} {:?}\n",
                key.kind, key.schema, key.name
            ));
            for normal in group.normals() {
                take(normal);
                take("\n");
            }
        }
    }
}

/// Compares the schema that was dumped with the one that came back.
pub fn compare(expected: &SchemaText, found: &SchemaText) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (mut ours, mut theirs) = (expected.groups().peekable(), found.groups().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (Some(ours), Some(theirs)) => ours.key.cmp(&theirs.key),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let ours = (order != Ordering::Greater).then(|| ours.next()).flatten();
        let theirs = (order != Ordering::Less).then(|| theirs.next()).flatten();
        differences.extend(difference(ours.as_ref(), theirs.as_ref()));
    }
    differences.sort_by(|a, b| (&a.name, &a.kind).cmp(&(&b.name, &b.kind)));
    differences
}

/// What differs in the entries of one key.
fn difference(expected: Option<&Group<'_>>, found: Option<&Group<'_>>) -> Option<Difference> {
    let (key, what) = match (expected, found) {
        (Some(expected), None) => (expected.key, "is missing in the restored copy".to_owned()),
        (None, Some(found)) => {
            let what = "is in the restored copy but was not in the dump";
            (found.key, what.to_owned())
        }
        (Some(expected), Some(found)) if !expected.reads_like(found) => {
            (expected.key, expected.describe_difference(found))
        }
        _ => return None,
    };
    Some(Difference {
        kind: ObjectKind::Schema(key.kind.to_owned()),
        name: raw_text::shown(&key.full_name()),
        what,
    })
}

#[cfg(test)]
mod tests;
