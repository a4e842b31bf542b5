//! One entry of a schema text: reading it and bringing it into its normal form.

use super::lexer::{lines, statements};
use super::normal::normal_form;
use crate::domain::failure::bounded;

/// Entries that hold rows or statistics, not a definition; large objects have a digest of their own.
const NO_DEFINITION: &[&str] = &[
    "BLOB",
    "BLOB METADATA",
    "BLOBS",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE SET",
    "STATISTICS DATA",
    "TABLE DATA",
];

/// Entries whose statements come in no particular order.
const UNORDERED: &[&str] = &["ACL", "DATABASE PROPERTIES", "DEFAULT ACL"];

/// Entries that may hold a password, never shown.
const SECRETIVE: &[&str] = &[
    "DATABASE PROPERTIES",
    "SERVER",
    "SUBSCRIPTION",
    "USER MAPPING",
];

/// Longest piece of a definition shown in a difference.
const EXCERPT: usize = 160;

/// By what an entry is found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey {
    /// Schema, or `-`.
    pub(super) schema: String,
    /// Name as in the header: `t`, `t t_pkey`, `f(integer)`, `COLUMN t.c`.
    pub(super) name: String,
    /// Type as in the header.
    pub(super) kind: String,
}

impl EntryKey {
    /// `schema.name`, or the name alone where there is no schema.
    pub(super) fn full_name(&self) -> String {
        match self.schema.as_str() {
            "-" | "" => self.name.clone(),
            schema => format!("{schema}.{}", self.name),
        }
    }
}

/// What stands under one header, or under all headers of one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entry {
    /// Normal lines that are compared.
    pub(super) normal: Vec<String>,
}

impl Entry {
    pub(super) fn absorb(&mut self, other: &Self) {
        // Two entries of one key have no order of their own: they are told apart as wholes.
        self.normal.push(other.normal.join("\n"));
    }

    pub(super) fn settle(&mut self) {
        self.normal.sort();
    }

    /// One sentence on the first line that differs.
    pub(super) fn describe_difference(&self, found: &Self, key: &EntryKey) -> String {
        let says = "is defined otherwise in the restored copy";
        if SECRETIVE.contains(&key.kind.as_str()) {
            return says.to_owned();
        }
        let expected = first_absent(&self.normal, &found.normal);
        let found = first_absent(&found.normal, &self.normal);
        match (expected, found) {
            (Some(expected), Some(found)) => {
                format!("{says}: expected {expected:?}, found {found:?}")
            }
            (Some(expected), None) => format!("{says}: {expected:?} is missing"),
            (None, Some(found)) => format!("{says}: {found:?} is new"),
            (None, None) => format!("{says}: its lines stand in another order"),
        }
    }
}

fn first_absent(ours: &[String], theirs: &[String]) -> Option<String> {
    let theirs: Vec<&str> = theirs.iter().flat_map(|text| text.lines()).collect();
    ours.iter()
        .flat_map(|text| text.lines())
        .find(|line| !theirs.contains(line))
        .map(|line| bounded(line, EXCERPT))
}

/// Reads all entries with a definition, in their order.
pub(super) fn read(text: &str) -> Vec<(EntryKey, Entry)> {
    let mut found = Vec::new();
    let mut open: Option<(EntryKey, String, String)> = None;
    let mut access_method = String::new();
    let all: Vec<&str> = text.split('\n').collect();
    let mut index = 0;
    while let Some(line) = all.get(index) {
        let header = header_at(&all, index);
        index += 1;
        if let Some((key, owner)) = header {
            found.extend(open.take().and_then(|open| close(open, &mut access_method)));
            open = Some((key, owner, String::new()));
            // The header's third line.
            index += 2;
        } else if let Some((_, _, body)) = open.as_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    found.extend(open.and_then(|open| close(open, &mut access_method)));
    found
}

/// A header is three lines, the outer ones bare.
fn header_at(all: &[&str], index: usize) -> Option<(EntryKey, String)> {
    let around = (all.get(index)?, all.get(index + 2)?);
    if around != (&"--", &"--") {
        return None;
    }
    parse_header(all.get(index + 1)?)
}

fn parse_header(line: &str) -> Option<(EntryKey, String)> {
    let text = line
        .strip_prefix("-- Name: ")
        .or_else(|| line.strip_prefix("-- Data for Name: "))?;
    // A name may hold anything, so the fields are looked for from the end.
    let (name, tail) = text.rsplit_once("; Type: ")?;
    let (kind, tail) = tail.split_once("; Schema: ")?;
    let (schema, tail) = tail.split_once("; Owner: ")?;
    let owner = tail.split("; Tablespace: ").next().unwrap_or_default();
    let key = EntryKey {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    Some((key, owner.to_owned()))
}

/// Ends an entry. `SET default_…` lines stand before the next entry's header, and only where something
/// changed since the one before: the state they leave is carried on, and noted where it matters. What
/// follows `\connect` is the preamble of the new connection.
fn close(
    (key, owner, body): (EntryKey, String, String),
    access_method: &mut String,
) -> Option<(EntryKey, Entry)> {
    let own_method = access_method.clone();
    let mut kept = String::new();
    let mut connected = false;
    for line in lines(&body) {
        connected |= line.starts_with("\\connect");
        if let Some(method) = line.strip_prefix("SET default_table_access_method = ") {
            method.trim_end_matches(';').clone_into(access_method);
        } else if !connected && !line.starts_with("SET default_tablespace = ") {
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    if !is_definition(&key) {
        return None;
    }
    let mut normal = vec![format!("owner {owner}")];
    if matches!(key.kind.as_str(), "TABLE" | "MATERIALIZED VIEW") {
        normal.push(format!("access method {own_method}"));
    }
    normal.extend(normal_lines(&key, &kept));
    Some((key, Entry { normal }))
}

fn is_definition(key: &EntryKey) -> bool {
    !NO_DEFINITION.contains(&key.kind.as_str())
        && !key.name.starts_with("LARGE OBJECT ")
        && !key.name.starts_with("LARGE OBJECTS ")
}

fn normal_lines(key: &EntryKey, body: &str) -> Vec<String> {
    let statements = statements(body);
    if UNORDERED.contains(&key.kind.as_str()) {
        return granted(&statements);
    }
    let mut found = Vec::new();
    for statement in statements {
        if statement.starts_with("CREATE DATABASE ") {
            found.push(normal_form(without_tablespace(&statement)));
            continue;
        }
        let parts = lines(&statement);
        let parts = parts.iter().map(|line| normal_form(line));
        found.extend(
            parts
                .map(|line| line.trim_end_matches(',').to_owned())
                .filter(|line| !line.is_empty()),
        );
    }
    // A child's own columns may stand in another order after a restore.
    if key.kind == "TABLE" && found.iter().any(|line| line.starts_with("INHERITS")) {
        found.sort();
    }
    found
}

/// Statements with the role that grants them, sorted.
fn granted(statements: &[String]) -> Vec<String> {
    let mut grantor = String::new();
    let mut found = Vec::new();
    for statement in statements {
        if let Some(role) = statement.strip_prefix("SET SESSION AUTHORIZATION ") {
            role.clone_into(&mut grantor);
        } else if statement == "RESET SESSION AUTHORIZATION" {
            grantor.clear();
        } else {
            found.push(format!("{grantor}:{}", normal_form(statement)));
        }
    }
    found.sort();
    found
}

/// A proof restores without tablespaces; the manifest names them.
fn without_tablespace(statement: &str) -> &str {
    statement
        .rsplit_once(" TABLESPACE = ")
        .map_or(statement, |(head, _)| head)
}
