//! The parameters of a URL: what libpq is told, what is refused, and what belongs to other tools.

use super::AddressError;
use crate::domain::database::url::decode;

/// The modes of libpq.
pub(super) const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];
/// How much of TLS is asked for.
pub(super) const SSL_MODE: &str = "sslmode";
/// What is trusted.
pub(super) const ROOT: &str = "sslrootcert";

/// What is passed on as it is; libpq refuses what its version does not know.
const PASSED: [&str; 25] = [
    SSL_MODE,
    ROOT,
    "sslcert",
    "sslkey",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "sslnegotiation",
    "sslcertmode",
    "sslcompression",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "channel_binding",
    "require_auth",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "target_session_attrs",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "options",
];
/// What we decide ourselves.
const OURS: [&str; 4] = [
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "connect_timeout",
];
const REFUSED: [(&str, &str); 10] = [
    ("user", "write it before the @"),
    ("password", "write it before the @, or use password_file"),
    ("host", "write it behind the @"),
    ("port", "write it behind the host"),
    ("dbname", "write it behind the /"),
    ("passfile", "use password_file"),
    (
        "sslpassword",
        "name a key in sslkey that needs no passphrase",
    ),
    ("service", "write the service's host and parameters here"),
    ("requiressl", "write sslmode=require"),
    (
        "pgbouncer",
        "a dump needs sessions of its own; give the server's own address instead of the pooler's",
    ),
];
/// With what the name of a parameter begins that may be about safety.
const SAFETY: [&str; 5] = ["ssl", "tls", "gss", "require", "channel"];

/// What libpq is told, from the text behind the question mark; what is wrong with it goes to `errors`.
pub(super) fn parse_parameters(
    query: &str,
    errors: &mut Vec<AddressError>,
) -> Vec<(&'static str, String)> {
    let query = query.split('#').next().unwrap_or_default();
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            errors.push(AddressError::Unreadable);
            continue;
        };
        match read_parameter(&name, value) {
            Ok(None) => {}
            Ok(Some((name, _))) if found.iter().any(|(known, _)| *known == name) => {
                errors.push(AddressError::Twice(name));
            }
            Ok(Some(parameter)) => found.push(parameter),
            Err(error) => errors.push(error),
        }
    }
    found
}

/// `None` for what belongs to another tool.
fn read_parameter(
    name: &str,
    value: String,
) -> Result<Option<(&'static str, String)>, AddressError> {
    if name == "ssl" {
        // As libpq and drivers write it.
        let mode = if value == "true" {
            "require"
        } else {
            value.as_str()
        };
        return read_parameter(SSL_MODE, mode.to_owned());
    }
    if let Some(known) = PASSED.into_iter().find(|known| *known == name) {
        if known == SSL_MODE && !SSL_MODES.contains(&value.as_str()) {
            return Err(AddressError::Mode);
        }
        return Ok(Some((known, value)));
    }
    if let Some((_, advice)) = REFUSED.into_iter().find(|(known, _)| *known == name) {
        let is_switched_off = name == "pgbouncer" && value == "false";
        let name = name.to_owned();
        return if is_switched_off {
            Ok(None)
        } else {
            Err(AddressError::Refused { name, advice })
        };
    }
    if OURS.contains(&name) {
        return Ok(None);
    }
    let hint = closest(name);
    let may_be_safety = SAFETY
        .iter()
        .any(|word| name.to_lowercase().starts_with(word));
    if may_be_safety || hint.is_some() {
        let name = name.to_owned();
        return Err(AddressError::Unknown { name, hint });
    }
    Ok(None)
}

fn closest(name: &str) -> Option<&'static str> {
    PASSED
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
