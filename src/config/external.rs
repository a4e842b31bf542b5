//! The servers outside the stack: a list of objects in JSON, of which every mistake is told at once.
//!
//! Invariant: no sentence holds a part of a URL or of a value that could be a password.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::domain::database::secret::Secret;
use crate::domain::external::address::{Address, AddressPassword, parse_address};
use crate::domain::external::{ExternalServer, Wishes};
use crate::domain::id::ServiceName;
use crate::domain::label::value::{ValueError, parse_keep, parse_level, parse_selection};
use crate::domain::policy::DatabaseSelection;
use crate::domain::schedule::{Schedule, Zone};

const EXAMPLE: &str = r#"[{"name": "shop-db", "url": "postgres://user:password@host:5432/database?sslmode=verify-full"}]"#;

/// What an object may hold.
const KEYS: [&str; 9] = [
    "name",
    "url",
    "password_file",
    "schedule",
    "keep",
    "verify",
    "databases",
    "ca",
    "image",
];

/// The list as it stands, not yet understood.
pub(super) struct Entries(Vec<Value>);

/// Reads the JSON alone. What the parser says names lines and columns, never a text.
pub(super) fn parse_entries(text: &str) -> Result<Entries, ValueError> {
    let wrong = |why: String| {
        ValueError(format!(
            "it is no list of objects in JSON ({why}); write {EXAMPLE}"
        ))
    };
    match serde_json::from_str(text) {
        Ok(Value::Array(entries)) if !entries.is_empty() => Ok(Entries(entries)),
        Ok(Value::Array(_)) => Err(wrong("it is empty".to_owned())),
        Ok(_) => Err(wrong("it begins with no [".to_owned())),
        Err(error) => Err(wrong(format!(
            "line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

/// What reading needs beside the text.
pub(super) struct Surroundings<'a> {
    pub(super) zone: Zone,
    /// The certificates that are trusted where nobody names others.
    pub(super) roots: &'a Path,
    pub(super) read_file: &'a dyn Fn(&Path) -> Result<String, String>,
}

impl Entries {
    /// The servers, or everything that is wrong.
    pub(super) fn read(
        self,
        surroundings: &Surroundings<'_>,
    ) -> Result<Vec<ExternalServer>, Vec<String>> {
        let mut problems = Vec::new();
        let mut servers: Vec<ExternalServer> = Vec::new();
        for (index, value) in self.0.iter().enumerate() {
            let mut entry = Entry {
                place: format!("entry {}", index + 1),
                surroundings,
                problems: Vec::new(),
            };
            let server = entry.read(value);
            if let Some(server) = server {
                if servers.iter().any(|known| known.name == server.name) {
                    entry.complain("its name stands there twice; give each server its own");
                }
                servers.push(server);
            }
            problems.extend(entry.problems);
        }
        if problems.is_empty() {
            Ok(servers)
        } else {
            Err(problems)
        }
    }
}

struct Entry<'a> {
    place: String,
    surroundings: &'a Surroundings<'a>,
    problems: Vec<String>,
}

impl Entry<'_> {
    fn complain(&mut self, what: impl AsRef<str>) {
        self.problems
            .push(format!("{}: {}", self.place, what.as_ref()));
    }

    fn read(&mut self, value: &Value) -> Option<ExternalServer> {
        let Value::Object(object) = value else {
            self.complain(format!("it is no object; write {EXAMPLE}"));
            return None;
        };
        let name = self.name(object);
        for key in object.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let hint = match closest(key) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("there are {}", KEYS.join(", ")),
            };
            self.complain(format!("no such key {key:?}, {hint}"));
        }
        let address = self.address(object);
        let wishes = self.wishes(object);
        let image = self.text(object, "image").map(|it| it.trim().to_owned());
        Some(ExternalServer {
            name: name?,
            address: address?,
            image,
            wishes,
        })
    }

    /// A text that is there and not empty.
    fn text(&mut self, object: &Map<String, Value>, key: &str) -> Option<String> {
        match object.get(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            Value::String(_) => {
                self.complain(format!("{key} is empty; write its value or remove it"));
                None
            }
            _ => {
                self.complain(format!(
                    "{key} is no text; write it between quotation marks"
                ));
                None
            }
        }
    }

    fn name(&mut self, object: &Map<String, Value>) -> Option<ServiceName> {
        if !object.contains_key("name") {
            self.complain(
                "it has no name; it stands for a service's in paths, metrics and commands",
            );
            return None;
        }
        let name = self.text(object, "name")?;
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric();
        let begins_well = name.bytes().next().is_some_and(is_letter);
        let goes_on_well = name
            .bytes()
            .all(|byte| is_letter(byte) || matches!(byte, b'_' | b'-' | b'.'));
        if !begins_well || !goes_on_well || name.len() > 63 {
            self.complain("its name is none of a service; write up to 63 letters, digits, -, _ and ., such as shop-db");
            return None;
        }
        self.place = format!("{} ({name})", self.place);
        Some(ServiceName::new(name))
    }

    fn address(&mut self, object: &Map<String, Value>) -> Option<Address> {
        if !object.contains_key("url") {
            self.complain("it has no url; write postgres://user:password@host:5432/database");
            return None;
        }
        let url = Secret::new(self.text(object, "url")?);
        let parsed = parse_address(url.reveal());
        let ca = self.file(object, "ca");
        let password_file = self.file(object, "password_file");
        if let Some((_, text)) = &ca
            && !text.contains("-----BEGIN CERTIFICATE-----")
        {
            self.complain("the file of ca holds no certificate in PEM");
        }
        let mut address = match parsed {
            Ok(address) => address,
            Err(errors) => {
                for error in errors {
                    self.complain(format!("url: {error}"));
                }
                return None;
            }
        };
        let ca = ca.as_ref().map(|(path, _)| path.as_path());
        if let Err(error) = address.trust(ca, self.surroundings.roots) {
            self.complain(error.to_string());
        }
        if let Some((path, _)) = password_file {
            if address.password != AddressPassword::None {
                self.complain(
                    "a password stands in its url and in password_file; keep one of both",
                );
            }
            address.password = AddressPassword::File(path);
        }
        Some(address)
    }

    /// A file that can be read now, and its text.
    fn file(&mut self, object: &Map<String, Value>, key: &str) -> Option<(PathBuf, String)> {
        let path = PathBuf::from(self.text(object, key)?);
        if !path.is_absolute() {
            self.complain(format!(
                "{key} is no absolute path; write one that begins with /"
            ));
            return None;
        }
        match (self.surroundings.read_file)(&path) {
            Ok(text) if !text.trim().is_empty() => Some((path, text)),
            Ok(_) => {
                self.complain(format!("{key} names {}, which is empty", path.display()));
                None
            }
            Err(reason) => {
                self.complain(format!(
                    "{key}: cannot read {} ({reason}); mount the file and let the container's user read it",
                    path.display()
                ));
                None
            }
        }
    }

    fn wishes(&mut self, object: &Map<String, Value>) -> Wishes {
        let zone = self.surroundings.zone;
        Wishes {
            schedule: self.wish(object, "schedule", |text| {
                Schedule::parse(text, zone).map_err(|error| ValueError(error.to_string()))
            }),
            keep: self.wish(object, "keep", parse_keep),
            verify: self.wish(object, "verify", parse_level),
            databases: self.databases(object),
        }
    }

    fn wish<T>(
        &mut self,
        object: &Map<String, Value>,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let text = self.text(object, key)?;
        match parse(&text) {
            Ok(wish) => Some(wish),
            Err(ValueError(reason)) => {
                self.complain(format!("{key}: {reason}"));
                None
            }
        }
    }

    /// As a label has it, or a list of names.
    fn databases(&mut self, object: &Map<String, Value>) -> Option<DatabaseSelection> {
        const KEY: &str = "databases";
        let Value::Array(list) = object.get(KEY)? else {
            return self.wish(object, KEY, parse_selection);
        };
        let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
        match names {
            Some(names) if !names.is_empty() => {
                let joined = Value::String(names.join(","));
                let alone = Map::from_iter([(KEY.to_owned(), joined)]);
                self.wish(&alone, KEY, parse_selection)
            }
            _ => {
                self.complain(
                    "databases is no list of names; write [\"app\", \"billing\"] or \"*\"",
                );
                None
            }
        }
    }
}

fn closest(key: &str) -> Option<&'static str> {
    let lower = key.to_lowercase();
    // A key of two words is often known by its first.
    let distance = |known: &str| {
        let first = known.split('_').next().unwrap_or(known);
        let to = |word| strsim::damerau_levenshtein(&lower, word);
        to(known).min(to(first))
    };
    KEYS.into_iter()
        .map(|known| (distance(known), known))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
