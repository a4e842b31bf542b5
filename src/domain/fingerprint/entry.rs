//! One entry of a schema text: reading it and bringing it into its normal form.

use super::lexer::{Lines, is_on, lines, statements};
use super::normal::normal_form;

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

/// By what an entry is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey<'a> {
    /// Schema, or `-`.
    pub(super) schema: &'a str,
    /// Name as in the header: `t`, `t t_pkey`, `f(integer)`, `COLUMN t.c`.
    pub(super) name: &'a str,
    /// Type as in the header.
    pub(super) kind: &'a str,
}

impl EntryKey<'_> {
    /// Whether it is about the database as a whole, but for the statement that makes it.
    pub(super) fn is_outside(self) -> bool {
        self.kind == "DATABASE PROPERTIES"
            || (matches!(self.kind, "ACL" | "COMMENT" | "SECURITY LABEL")
                && self.name.starts_with("DATABASE "))
    }

    /// `schema.name`, or the name alone where there is no schema.
    pub(super) fn full_name(self) -> String {
        match self.schema {
            "-" | "" => self.name.to_owned(),
            schema => format!("{schema}.{}", self.name),
        }
    }
}

/// What stands under one header.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Its key.
    pub(super) key: EntryKey<'a>,
    /// Normal lines that are compared.
    pub(super) normal: String,
    /// Where it stands, unless in the default one. No part of the fingerprint: a restore elsewhere may have to do without.
    pub(super) tablespace: Option<&'a str>,
}

/// What a header says of the entry below it.
#[derive(Clone, Copy)]
struct Header<'a> {
    key: EntryKey<'a>,
    owner: &'a str,
    tablespace: Option<&'a str>,
}

/// Reads all entries with a definition, in their order. What reads like a header inside of quotes is text: a function's body
/// may hold anything.
pub(super) fn read(text: &str) -> Entries<'_> {
    Entries {
        lines: lines(text),
        open: None,
        access_method: "",
    }
}

/// The entries of a text, read while they are asked for.
pub(super) struct Entries<'a> {
    lines: Lines<'a>,
    open: Option<Header<'a>>,
    access_method: &'a str,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let (body, next) = self.body();
            let open = std::mem::replace(&mut self.open, next);
            let entry = open.and_then(|open| close(open, &body, &mut self.access_method));
            if entry.is_some() {
                return entry;
            }
            self.open.as_ref()?;
        }
    }
}

impl<'a> Entries<'a> {
    /// The lines to the next header, and that one.
    fn body(&mut self) -> (Vec<&'a str>, Option<Header<'a>>) {
        let mut body = Vec::new();
        while let Some(line) = self.lines.next() {
            if let Some((header, behind)) = header_at(line, &self.lines) {
                self.lines = behind;
                return (body, Some(header));
            }
            body.push(line);
        }
        (body, None)
    }
}

/// A header is three lines, the outer ones bare.
fn header_at<'a>(line: &str, behind: &Lines<'a>) -> Option<(Header<'a>, Lines<'a>)> {
    if line != "--" {
        return None;
    }
    let mut behind = behind.clone();
    let header = parse_header(behind.next()?)?;
    (behind.next()? == "--").then_some((header, behind))
}

fn parse_header(line: &str) -> Option<Header<'_>> {
    let text = line
        .strip_prefix("-- Name: ")
        .or_else(|| line.strip_prefix("-- Data for Name: "))?;
    // A name may hold anything, so the fields are looked for from the end.
    let (name, tail) = text.rsplit_once("; Type: ")?;
    let (kind, tail) = tail.split_once("; Schema: ")?;
    let (schema, tail) = tail.split_once("; Owner: ")?;
    let (owner, tablespace) = match tail.split_once("; Tablespace: ") {
        Some((owner, tablespace)) => (owner, Some(tablespace)),
        None => (tail, None),
    };
    Some(Header {
        key: EntryKey { schema, name, kind },
        owner,
        tablespace,
    })
}

/// Ends an entry. `SET default_…` lines stand before the next entry's header, and only where something
/// changed since the one before: the state they leave is carried on, and noted where it matters. What
/// follows `\connect` is the preamble of the new connection.
fn close<'a>(
    header: Header<'a>,
    body: &[&'a str],
    access_method: &mut &'a str,
) -> Option<Entry<'a>> {
    let Header {
        key,
        owner,
        mut tablespace,
    } = header;
    let own_method = *access_method;
    let mut kept = String::new();
    let mut connected = false;
    for line in body {
        connected |= line.starts_with("\\connect");
        if let Some(method) = line.strip_prefix("SET default_table_access_method = ") {
            *access_method = method.trim_end_matches(';');
        } else if !connected && !line.starts_with("SET default_tablespace = ") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let statements = statements(&kept);
    if !is_definition(key, &statements) {
        return None;
    }
    let mut normal = vec![format!("owner {owner}")];
    if matches!(key.kind, "TABLE" | "MATERIALIZED VIEW") {
        normal.push(format!("access method {own_method}"));
    }
    if key.kind == "DATABASE" {
        tablespace = body.iter().find_map(|line| tablespace_of_database(line));
    }
    normal.extend(normal_lines(key, statements));
    Some(Entry {
        key,
        normal: normal.join("\n"),
        tablespace,
    })
}

/// Judged by the statements, never by the header: names in it may be made to look like another header.
fn is_definition(key: EntryKey<'_>, statements: &[String]) -> bool {
    let mut telling = statements.iter().filter(|it| !is_grantor(it)).peekable();
    if telling.peek().is_none() {
        return !FILLED_ELSEWHERE.contains(&key.kind);
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

fn normal_lines(key: EntryKey<'_>, statements: Vec<String>) -> Vec<String> {
    if UNORDERED.contains(&key.kind) {
        return granted(&statements);
    }
    let mut found = Vec::new();
    for statement in statements {
        if statement.starts_with("CREATE DATABASE ") {
            found.push(normal_form(without_tablespace(&statement)));
            continue;
        }
        let parts = lines(&statement).map(normal_form);
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

fn tablespace_of_database(line: &str) -> Option<&str> {
    let statement = line.strip_prefix("CREATE DATABASE ")?;
    let (_, name) = statement.rsplit_once(" TABLESPACE = ")?;
    Some(name.trim_end_matches(';'))
}
