//! The grammars of values that labels and variables share.
//!
//! Each reader gives one sentence about what is wrong and how to write it.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

use crate::domain::backup::Level;
use crate::domain::failure::bounded;
use crate::domain::id::{DatabaseName, DatabaseRef, ServiceName};
use crate::domain::policy::{CommandLine, DatabaseSelection, KeepPolicy, ProbeTarget};
use crate::domain::unit::parse_duration;

/// What is wrong with a value and how to write it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ValueError(pub String);

/// A value as it may stand in a sentence.
fn shown(text: &str) -> String {
    format!("{:?}", bounded(text, 60))
}

fn wrong(text: &str, rest: &str) -> ValueError {
    ValueError(format!("{} {rest}", shown(text)))
}

/// Reads one of some words.
///
/// # Errors
/// When it is none of them.
pub fn parse_word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, ValueError> {
    let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    words
        .iter()
        .find(|(word, _)| *word == text.trim())
        .map(|(_, value)| *value)
        .ok_or_else(|| wrong(text, &format!("is none of {}", known().join(", "))))
}

/// Reads a duration of at least one second.
///
/// # Errors
/// When it has another shape or is zero.
pub fn parse_span(text: &str) -> Result<Duration, ValueError> {
    let span = parse_duration(text).map_err(|error| ValueError(error.to_string()))?;
    if span.is_zero() {
        return Err(wrong(
            text,
            "is no time at all; write at least 1s, such as 10m",
        ));
    }
    Ok(span)
}

/// Reads a number within a range.
///
/// # Errors
/// When it is no number or lies outside.
pub fn parse_count(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, ValueError> {
    let found: Option<u32> = text.trim().parse().ok();
    found.filter(|count| range.contains(count)).ok_or_else(|| {
        wrong(
            text,
            &format!("is no number from {} to {}", range.start(), range.end()),
        )
    })
}

/// Reads `stream`, `archive`, `restore`, `rows` or `content`.
///
/// # Errors
/// When it is another word.
pub fn parse_level(text: &str) -> Result<Level, ValueError> {
    parse_word(text, &Level::ALL.map(|level| (level.as_str(), level)))
}

/// Reads `*` or names with commas.
///
/// # Errors
/// When a name is empty or stands beside `*`.
pub fn parse_selection(text: &str) -> Result<DatabaseSelection, ValueError> {
    if text.trim() == "*" {
        return Ok(DatabaseSelection::All);
    }
    let names = split_list(text)
        .filter(|names| !names.contains(&"*") && !text.chars().any(char::is_control))
        .ok_or_else(|| {
            wrong(
                text,
                "is no list of databases; write names with commas, such as app,billing, or *",
            )
        })?;
    Ok(DatabaseSelection::Named(
        names.into_iter().map(DatabaseName::new).collect(),
    ))
}

/// Reads services with commas.
///
/// # Errors
/// When a name is empty or could not be a service's.
pub fn parse_services(text: &str) -> Result<BTreeSet<ServiceName>, ValueError> {
    let is_name = |name: &&str| {
        name.chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-'))
    };
    let names = split_list(text)
        .filter(|names| names.iter().all(is_name))
        .ok_or_else(|| {
            wrong(
                text,
                "is no list of services; write names with commas, such as api,worker",
            )
        })?;
    Ok(names.into_iter().map(ServiceName::new).collect())
}

/// The items of a list; `None` when one is empty.
fn split_list(text: &str) -> Option<Vec<&str>> {
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    items.iter().all(|item| !item.is_empty()).then_some(items)
}

/// Reads `within=7d,last=3,daily=7,weekly=4,monthly=12,yearly=0`, any subset in any order.
///
/// # Errors
/// When a rule is unknown, doubled or unreadable, or nothing at all would be kept.
pub fn parse_keep(text: &str) -> Result<KeepPolicy, ValueError> {
    const EXAMPLE: &str = "within=7d,weekly=4,monthly=12";
    let mut policy = KeepPolicy {
        within: None,
        last: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
    };
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for rule in text.split(',').map(str::trim) {
        let (name, value) = rule.split_once('=').ok_or_else(|| {
            wrong(
                rule,
                &format!("is no rule; write NAME=NUMBER, such as {EXAMPLE}"),
            )
        })?;
        let count = match name {
            "within" => {
                policy.within = Some(parse_span(value)?);
                &mut 0
            }
            "last" => &mut policy.last,
            "daily" => &mut policy.daily,
            "weekly" => &mut policy.weekly,
            "monthly" => &mut policy.monthly,
            "yearly" => &mut policy.yearly,
            _ => {
                return Err(wrong(
                    name,
                    "is none of within, last, daily, weekly, monthly, yearly",
                ));
            }
        };
        if name != "within" {
            *count = parse_count(value, 0..=100_000)?;
        }
        if !seen.insert(name) {
            return Err(wrong(
                name,
                &format!("is written twice; write each rule once, such as {EXAMPLE}"),
            ));
        }
    }
    let counts = [
        policy.last,
        policy.daily,
        policy.weekly,
        policy.monthly,
        policy.yearly,
    ];
    if policy.within.is_none() && counts.iter().all(|count| *count == 0) {
        return Err(wrong(
            text,
            &format!("keeps nothing; write what stays, such as {EXAMPLE}"),
        ));
    }
    Ok(policy)
}

/// Reads a command: a JSON array of strings, or words as a shell splits them (no shell runs it).
///
/// The text is never shown: commands may carry secrets.
///
/// # Errors
/// When it is empty or its quotes do not match.
pub fn parse_command(text: &str) -> Result<CommandLine, ValueError> {
    let reason = |sentence: &str| ValueError(sentence.to_owned());
    let words = if text.trim_start().starts_with('[') {
        serde_json::from_str::<Vec<String>>(text).map_err(|_shape| {
            reason("the command begins like a JSON array and is none; write [\"alembic\", \"upgrade\", \"head\"]")
        })?
    } else {
        shell_words::split(text).map_err(|_quote| {
            reason("the command has a quotation mark without its partner; write it as in alembic upgrade head")
        })?
    };
    match words.first() {
        Some(program) if !program.is_empty() => Ok(CommandLine(words)),
        _ => Err(reason(
            "the command is empty; write it as in alembic upgrade head",
        )),
    }
}

/// Reads `service/database`.
///
/// # Errors
/// When one of both is missing.
pub fn parse_database(text: &str) -> Result<DatabaseRef, ValueError> {
    text.trim()
        .split_once('/')
        .filter(|(service, database)| !service.is_empty() && !database.is_empty())
        .map(|(service, database)| {
            DatabaseRef::new(ServiceName::new(service), DatabaseName::new(database))
        })
        .ok_or_else(|| {
            wrong(
                text,
                "names no database; write service/database, such as postgres/app",
            )
        })
}

/// Reads `docker`, `http://localhost:8000/health` or `tcp://localhost:6379`.
///
/// # Errors
/// When scheme, host or port are missing or others.
pub fn parse_probe(text: &str) -> Result<ProbeTarget, ValueError> {
    const EXAMPLES: &str = "write http://localhost:8000/health, tcp://localhost:6379 or docker";
    let trimmed = text.trim();
    if trimmed == "docker" {
        return Ok(ProbeTarget::Docker);
    }
    let no_probe = || wrong(text, &format!("is no probe; {EXAMPLES}"));
    if trimmed
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        return Err(no_probe());
    }
    if let Some(authority) = trimmed.strip_prefix("tcp://") {
        let (_, port) = split_authority(authority.trim_end_matches('/')).ok_or_else(no_probe)?;
        let port =
            port.ok_or_else(|| wrong(text, "names no port; write it as in tcp://localhost:6379"))?;
        return Ok(ProbeTarget::Tcp { port });
    }
    let Some(rest) = trimmed.strip_prefix("http://") else {
        let hint = if trimmed.starts_with("https://") {
            "asks for TLS, which a probe inside the stack does not speak"
        } else {
            "is no probe"
        };
        return Err(wrong(text, &format!("{hint}; {EXAMPLES}")));
    };
    let without_fragment = rest.split('#').next().unwrap_or(rest);
    let cut = without_fragment
        .find(['/', '?'])
        .unwrap_or(without_fragment.len());
    let (authority, path) = without_fragment
        .split_at_checked(cut)
        .ok_or_else(no_probe)?;
    let (host, port) = split_authority(authority).ok_or_else(no_probe)?;
    Ok(ProbeTarget::Http {
        host,
        port: port.unwrap_or(80),
        path: if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
    })
}

/// Host as written (port included) and the port; `None` for anything else.
fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = match authority.rsplit_once(':') {
        // The colon belongs to an IPv6 address.
        Some((_, after)) if after.ends_with(']') => (authority, None),
        Some((name, port)) => (
            name,
            Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        ),
        None => (authority, None),
    };
    let is_bracketed = name.starts_with('[') && name.ends_with(']');
    let is_host =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let is_address =
        |letter: char| letter.is_ascii_hexdigit() || matches!(letter, ':' | '.' | '[' | ']');
    let is_valid = !name.is_empty()
        && if is_bracketed {
            name.chars().all(is_address)
        } else {
            name.chars().all(is_host)
        };
    is_valid.then(|| (authority.to_owned(), port))
}
