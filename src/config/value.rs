//! The grammars of values that only variables have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{DockerEndpoint, LogFilter};
use crate::domain::database::secret::Secret;
use crate::domain::id::ProjectName;
use crate::domain::label::value::ValueError;
use crate::domain::unit::{ByteCount, parse_duration};
use crate::domain::web::WebAddress;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
const SHORTEST_TOKEN: usize = 16;
const SMALLEST_PROOF: u64 = 64 << 20;

fn wrong(text: &str, rest: &str) -> ValueError {
    ValueError(format!("{text:?} {rest}"))
}

pub(super) fn parse_docker(text: &str) -> Result<DockerEndpoint, ValueError> {
    const EXAMPLES: &str = "write unix:///var/run/docker.sock or tcp://socket-proxy:2375";
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') {
            Ok(DockerEndpoint::Unix(PathBuf::from(path)))
        } else {
            Err(wrong(text, &format!("names no absolute path; {EXAMPLES}")))
        };
    }
    let address = ["tcp://", "http://"]
        .into_iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or_else(|| {
            wrong(
                text,
                &format!("is no address of Docker that can be reached from here; {EXAMPLES}"),
            )
        })?;
    let address = address.trim_end_matches('/');
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (address, Some(2375)),
    };
    match port {
        Some(port) if !host.is_empty() && !host.contains(['/', '@']) => Ok(DockerEndpoint::Tcp {
            host: host.to_owned(),
            port,
        }),
        _ => Err(wrong(text, &format!("names no host and port; {EXAMPLES}"))),
    }
}

pub(super) fn parse_project(text: &str) -> Result<ProjectName, ValueError> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins_well = text.bytes().next().is_some_and(is_letter);
    let goes_on_well = text
        .bytes()
        .all(|byte| is_letter(byte) || matches!(byte, b'_' | b'-'));
    if begins_well && goes_on_well {
        Ok(ProjectName::new(text))
    } else {
        Err(wrong(
            text,
            "is no Compose project; write lowercase letters, digits, - and _, such as shop-prod",
        ))
    }
}

pub(super) fn parse_address(text: &str) -> Result<SocketAddr, ValueError> {
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.to_owned(),
    };
    whole.parse().map_err(|_shape| {
        wrong(
            text,
            "is no address to listen on; write ADDRESS:PORT, such as 0.0.0.0:9180",
        )
    })
}

/// Never shows the token.
pub(super) fn parse_token(text: &str) -> Result<Secret<String>, ValueError> {
    if text.len() < SHORTEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ValueError(format!(
            "a token needs at least {SHORTEST_TOKEN} visible ASCII characters; make one with: openssl rand -hex 32"
        )));
    }
    Ok(Secret::new(text.to_owned()))
}

/// Never shows the token.
pub(super) fn parse_bot_token(text: &str) -> Result<Secret<String>, ValueError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_token = text.split_once(':').is_some_and(|(number, letters)| {
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && !letters.is_empty()
            && letters.bytes().all(is_part)
    });
    if is_token {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err(ValueError(
            "it is no token of a bot; write it as @BotFather gave it, such as 123456789:AAF…"
                .to_owned(),
        ))
    }
}

/// Never shows the address: its path may be a secret.
pub(super) fn parse_web(text: &str) -> Result<WebAddress, ValueError> {
    WebAddress::parse(text).map_err(|wrong| ValueError(format!("its value {wrong}")))
}

/// Never shows the key.
pub(super) fn parse_key(text: &str) -> Result<Secret<String>, ValueError> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ValueError(
            "it is no key of a bucket: it holds a blank or a letter that none has; copy it again"
                .to_owned(),
        ));
    }
    Ok(Secret::new(text.to_owned()))
}

pub(super) fn parse_region(text: &str) -> Result<String, ValueError> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if text.chars().all(is_letter) {
        Ok(text.to_owned())
    } else {
        Err(wrong(text, "is no region; write a name such as fr-par"))
    }
}

pub(super) fn parse_folder(text: &str) -> Result<PathBuf, ValueError> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err(wrong(
            text,
            "is no absolute path; write one that begins with /, such as /backups",
        ))
    }
}

pub(super) fn parse_log(text: &str) -> Result<LogFilter, ValueError> {
    let is_module = |module: &str| {
        !module.is_empty()
            && module
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':'))
    };
    let is_directive = |directive: &str| match directive.split_once('=') {
        Some((module, level)) => is_module(module) && LEVELS.contains(&level),
        None => LEVELS.contains(&directive),
    };
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    if directives.iter().all(|directive| is_directive(directive)) {
        Ok(LogFilter(directives.join(",")))
    } else {
        Err(wrong(
            text,
            "is no log filter; write error, warn, info, debug, trace or off, such as info,stackwarden::docker=debug",
        ))
    }
}

/// `0` is never.
pub(super) fn parse_patience(text: &str) -> Result<Option<Duration>, ValueError> {
    if text.trim() == "0" {
        return Ok(None);
    }
    let patience = parse_duration(text)
        .map_err(|error| ValueError(format!("{error}; or 0, so that no dump ever gives way")))?;
    Ok(Some(patience).filter(|it| !it.is_zero()))
}

/// No size is too small for a reserve.
pub(super) fn parse_reserve(text: &str) -> Result<ByteCount, ValueError> {
    read_size(text)
        .ok_or_else(|| wrong(text, "is no size; write a number and MB or GB, such as 5GB"))
}

pub(super) fn parse_size(text: &str) -> Result<ByteCount, ValueError> {
    match read_size(text) {
        Some(bytes) if bytes.0 >= SMALLEST_PROOF => Ok(bytes),
        Some(_) => Err(wrong(
            text,
            "is too little for a server; write at least 64MB, such as 1GB",
        )),
        None => Err(wrong(
            text,
            "is no size; write a number and MB or GB, such as 1GB",
        )),
    }
}

fn read_size(text: &str) -> Option<ByteCount> {
    let lower = text.trim().to_lowercase();
    let digits = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = lower.strip_prefix(digits).unwrap_or_default();
    let factor: u64 = match unit.trim() {
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    let count: u64 = digits.trim().parse().ok()?;
    count.checked_mul(factor).map(ByteCount)
}
