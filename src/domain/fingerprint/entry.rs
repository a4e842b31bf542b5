//! One entry of a schema text: reading it and bringing it into its normal form.

use super::lexer::{is_on, lines, statements};
use super::normal::normal_form;
use crate::domain::failure::bounded;
use crate::domain::raw_text;

/// Beginnings of statements that fill what is defined elsewhere; large objects have a digest of their own.
const FILLING: &[&str] = &[
    "ALTER LARGE OBJECT ",
    "COMMENT ON LARGE OBJECT ",
    "COPY ",
    "INSERT INTO ",
    "REFRESH MATERIALIZED VIEW ",
    "SELECT * FROM pg_catalog.pg_restore_attribute_stats(",
    "SELECT * FROM pg_catalog.pg_restore_relation_stats(",
    "SELECT pg_catalog.lo_",
    "SELECT pg_catalog.setval(",
];

/// Entries that may stand without any statement where rows are left out.
const FILLED_ELSEWHERE: &[&str] = &[
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
    /// Whether it is about the database as a whole, but for the statement that makes it.
    pub(super) fn is_outside(&self) -> bool {
        self.kind == "DATABASE PROPERTIES"
            || (matches!(self.kind.as_str(), "ACL" | "COMMENT" | "SECURITY LABEL")
                && self.name.starts_with("DATABASE "))
    }

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
    /// Where it stands, unless in the default one. No part of the fingerprint: a restore elsewhere may have to do without.
    pub(super) tablespace: Option<String>,
}

impl Entry {
    pub(super) fn absorb(&mut self, other: &Self) {
        // Two entries of one key have no order of their own: they are told apart as wholes.
        self.normal.push(other.normal.join("\n"));
        self.tablespace.clone_from(&other.tablespace);
    }

    /// Keeps the lines that begin with this word.
    pub(super) fn forget_all_but(&mut self, head: &str) {
        for text in &mut self.normal {
            let kept = text.lines().filter(|line| line.starts_with(head));
            *text = kept.collect::<Vec<_>>().join("\n");
        }
    }

    pub(super) fn settle(&mut self) {
        self.normal.sort();
    }

    /// Whether both mean the same.
    pub(super) fn reads_like(&self, found: &Self, key: &EntryKey) -> bool {
        if key.kind == "TEXT SEARCH DICTIONARY" {
            // Its options are kept as text, quoted as the session that wrote them had it (quote_all_identifiers).
            let plain = |entry: &Self| entry.normal.join("\n").replace('"', "");
            return plain(self) == plain(found);
        }
        self == found
    }

    /// One sentence on the first line that differs.
    pub(super) fn describe_difference(&self, found: &Self, key: &EntryKey) -> String {
        let says = "is defined otherwise in the restored copy";
        if self.normal == found.normal {
            let name = |entry: &Self| entry.tablespace.clone().unwrap_or_else(|| "-".to_owned());
            return format!(
                "{says}: expected tablespace {}, found {}",
                name(self),
                name(found)
            );
        }
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
        .map(|line| bounded(&raw_text::shown(line), EXCERPT))
}

/// What a header says of the entry below it.
struct Header {
    key: EntryKey,
    owner: String,
    tablespace: Option<String>,
}

/// Reads all entries with a definition, in their order. What reads like a header inside of quotes is text: a function's body
/// may hold anything.
pub(super) fn read(text: &str) -> Vec<(EntryKey, Entry)> {
    let mut found = Vec::new();
    let mut open: Option<(Header, Vec<&str>)> = None;
    let mut access_method = String::new();
    let all = lines(text);
    let mut index = 0;
    while let Some(line) = all.get(index) {
        let header = header_at(&all, index);
        index += 1;
        if let Some(header) = header {
            found.extend(open.take().and_then(|open| close(open, &mut access_method)));
            open = Some((header, Vec::new()));
            // The header's third line.
            index += 2;
        } else if let Some((_, body)) = open.as_mut() {
            body.push(line);
        }
    }
    found.extend(open.and_then(|open| close(open, &mut access_method)));
    found
}

/// A header is three lines, the outer ones bare.
fn header_at(all: &[&str], index: usize) -> Option<Header> {
    let around = (all.get(index)?, all.get(index + 2)?);
    if around != (&"--", &"--") {
        return None;
    }
    parse_header(all.get(index + 1)?)
}

fn parse_header(line: &str) -> Option<Header> {
    let text = line
        .strip_prefix("-- Name: ")
        .or_else(|| line.strip_prefix("-- Data for Name: "))?;
    // A name may hold anything, so the fields are looked for from the end.
    let (name, tail) = text.rsplit_once("; Type: ")?;
    let (kind, tail) = tail.split_once("; Schema: ")?;
    let (schema, tail) = tail.split_once("; Owner: ")?;
    let (owner, tablespace) = match tail.split_once("; Tablespace: ") {
        Some((owner, tablespace)) => (owner, Some(tablespace.to_owned())),
        None => (tail, None),
    };
    let key = EntryKey {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    Some(Header {
        key,
        owner: owner.to_owned(),
        tablespace,
    })
}

/// Ends an entry. `SET default_…` lines stand before the next entry's header, and only where something
/// changed since the one before: the state they leave is carried on, and noted where it matters. What
/// follows `\connect` is the preamble of the new connection.
fn close(
    (header, body): (Header, Vec<&str>),
    access_method: &mut String,
) -> Option<(EntryKey, Entry)> {
    let Header {
        key,
        owner,
        mut tablespace,
    } = header;
    let own_method = access_method.clone();
    let mut kept = String::new();
    let mut connected = false;
    for line in body {
        connected |= line.starts_with("\\connect");
        if let Some(method) = line.strip_prefix("SET default_table_access_method = ") {
            method.trim_end_matches(';').clone_into(access_method);
        } else if !connected && !line.starts_with("SET default_tablespace = ") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let statements = statements(&kept);
    if !is_definition(&key, &statements) {
        return None;
    }
    let mut normal = vec![format!("owner {owner}")];
    if matches!(key.kind.as_str(), "TABLE" | "MATERIALIZED VIEW") {
        normal.push(format!("access method {own_method}"));
    }
    if key.kind == "DATABASE" {
        tablespace = kept.lines().find_map(tablespace_of_database);
    }
    normal.extend(normal_lines(&key, statements));
    Some((key, Entry { normal, tablespace }))
}

/// Judged by the statements, never by the header: names in it may be made to look like another header.
fn is_definition(key: &EntryKey, statements: &[String]) -> bool {
    let mut telling = statements.iter().filter(|it| !is_grantor(it)).peekable();
    if telling.peek().is_none() {
        return !FILLED_ELSEWHERE.contains(&key.kind.as_str());
    }
    !telling.all(|statement| is_filling(statement))
}

fn is_filling(statement: &str) -> bool {
    FILLING.iter().any(|start| statement.starts_with(start))
        || ["GRANT ", "REVOKE ", "SECURITY LABEL "]
            .iter()
            .any(|start| statement.starts_with(start))
            && is_on(statement, &["LARGE", "OBJECT"])
}

fn is_grantor(statement: &str) -> bool {
    statement.starts_with("SET SESSION AUTHORIZATION ")
        || statement == "RESET SESSION AUTHORIZATION"
}

fn normal_lines(key: &EntryKey, statements: Vec<String>) -> Vec<String> {
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

/// The tablespace is compared by itself.
fn without_tablespace(statement: &str) -> &str {
    statement
        .rsplit_once(" TABLESPACE = ")
        .map_or(statement, |(head, _)| head)
}

fn tablespace_of_database(line: &str) -> Option<String> {
    let statement = line.strip_prefix("CREATE DATABASE ")?;
    let (_, name) = statement.rsplit_once(" TABLESPACE = ")?;
    Some(name.trim_end_matches(';').to_owned())
}
