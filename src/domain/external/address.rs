//! The URL of a server outside the stack, with libpq's parameters.
//!
//! Parameters that libpq does not know belong to other tools and are dropped, unless they could be about safety: to drop
//! `sslmod=verify-full` would weaken what somebody meant. No error shows any part of a URL but the names of parameters.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::database::secret::Secret;
use crate::domain::database::url::{decode, find_rest, parse_database_url};
use crate::domain::id::DatabaseName;

/// How a server outside the stack is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The database of the URL.
    pub database: DatabaseName,
    /// The role's password.
    pub password: AddressPassword,
    /// Parameters of libpq, by their own names.
    pub parameters: Vec<(&'static str, String)>,
}

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPassword {
    /// There is none.
    None,
    /// In the URL.
    Value(Secret<String>),
    /// In this file of our own container.
    File(PathBuf),
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Java's.
    #[error("it is a URL of Java (jdbc:); write postgres://user:password@host:5432/database")]
    Jdbc,
    /// Another kind of database, or none.
    #[error("it is no URL of Postgres; write postgres://user:password@host:5432/database")]
    Scheme,
    /// Its parts cannot be told apart.
    #[error(
        "it cannot be read; write postgres://user:password@host:5432/database, with special letters of the password percent-encoded (@ is %40, # is %23), or the password in password_file"
    )]
    Unreadable,
    /// Several hosts.
    #[error("it names several hosts; write the one that is to be backed up")]
    Hosts,
    /// No user.
    #[error("it names no user; write postgres://user:password@host:5432/database")]
    NoUser,
    /// No database.
    #[error("it names no database; write postgres://user:password@host:5432/database")]
    NoDatabase,
    /// A line break in it could not stand in libpq's own file.
    #[error("its password holds a line break, which no file of passwords can; choose another one")]
    LineBreak,
    /// A parameter that has a better place, or none.
    #[error("its parameter {name} cannot be used: {advice}")]
    Refused {
        /// The parameter.
        name: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// Perhaps about safety, and not known.
    #[error(
        "libpq has no parameter {name}, and dropping it could make the connection less safe{}; write sslmode=verify-full or remove it",
        .hint.map(|hint| format!(", did you mean {hint}?")).unwrap_or_default()
    )]
    Unknown {
        /// The parameter.
        name: String,
        /// The one that was probably meant.
        hint: Option<&'static str>,
    },
    /// No mode of libpq.
    #[error("its sslmode is none of {}", SSL_MODES.join(", "))]
    Mode,
    /// Twice in one URL.
    #[error("its parameter {0} stands there twice; keep one")]
    Twice(&'static str),
    /// Two roots of trust.
    #[error("its sslrootcert and ca are both given; keep one of both")]
    Roots,
    /// Nothing would be compared with it.
    #[error("ca has no effect with sslmode={0}; write sslmode=verify-full, or remove ca")]
    Unused(String),
}

const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];
const SSL_MODE: &str = "sslmode";
const ROOT: &str = "sslrootcert";

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

/// Reads a URL.
///
/// # Errors
/// Everything that is wrong with it; trying again is useless.
pub fn parse_address(text: &str) -> Result<Address, Vec<AddressError>> {
    let text = text.trim();
    let rest = find_rest(text).ok_or_else(|| vec![foreign(text)])?;
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    let (_, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut errors = Vec::new();
    if hosts.contains(',') {
        errors.push(AddressError::Hosts);
    }
    if path.trim_matches('/').is_empty() {
        errors.push(AddressError::NoDatabase);
    }
    let parameters = parse_parameters(query, &mut errors);
    let read = parse_database_url(text);
    match &read {
        None if errors.is_empty() => errors.push(AddressError::Unreadable),
        Some(url) if url.user.is_none() => errors.push(AddressError::NoUser),
        _ => {}
    }
    let (Some(url), true) = (read, errors.is_empty()) else {
        return Err(errors);
    };
    let password = match url.password {
        None => AddressPassword::None,
        Some(secret) if secret.reveal().contains(['\n', '\r']) => {
            return Err(vec![AddressError::LineBreak]);
        }
        Some(secret) => AddressPassword::Value(secret),
    };
    Ok(Address {
        host: url.host,
        port: url.port,
        user: url.user.unwrap_or_default(),
        database: url.database,
        password,
        parameters,
    })
}

fn foreign(text: &str) -> AddressError {
    let is_java = text
        .get(..5)
        .is_some_and(|it| it.eq_ignore_ascii_case("jdbc:"));
    if is_java {
        AddressError::Jdbc
    } else {
        AddressError::Scheme
    }
}

fn parse_parameters(query: &str, errors: &mut Vec<AddressError>) -> Vec<(&'static str, String)> {
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

impl Address {
    /// Trusts the certificates of `ca`, and verifies where the URL says nothing of TLS; where it asks for verification
    /// without them, those of `usual`.
    ///
    /// # Errors
    /// When `ca` would have no effect.
    pub fn trust(&mut self, ca: Option<&Path>, usual: &Path) -> Result<(), AddressError> {
        let has_root = self.find(ROOT).is_some();
        let path = |path: &Path| path.display().to_string();
        match (ca, self.find(SSL_MODE)) {
            (Some(_), _) if has_root => return Err(AddressError::Roots),
            (Some(ca), None) => {
                self.parameters.push((SSL_MODE, "verify-full".to_owned()));
                self.parameters.push((ROOT, path(ca)));
            }
            (Some(_), Some(mode @ ("disable" | "allow" | "prefer"))) => {
                return Err(AddressError::Unused(mode.to_owned()));
            }
            (Some(ca), Some(_)) => self.parameters.push((ROOT, path(ca))),
            (None, Some("verify-ca" | "verify-full")) if !has_root => {
                self.parameters.push((ROOT, path(usual)));
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// The value of a parameter.
    pub fn find(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let errors = parse_address(text).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn parameters_of_libpq_stay_and_those_of_other_tools_go() {
        let address = parse_address(
            "postgresql://app:p%40ss@db.example:6000/shop?schema=public&connection_limit=5&sslmode=verify-full&application_name=x&keepalives_idle=30&pgbouncer=false#x",
        )
        .unwrap();
        assert_eq!((address.host.as_str(), address.port), ("db.example", 6000));
        assert_eq!(
            (address.user.as_str(), address.database.as_str()),
            ("app", "shop")
        );
        assert_eq!(
            address.parameters,
            [
                ("sslmode", "verify-full".to_owned()),
                ("keepalives_idle", "30".to_owned())
            ]
        );
        assert_eq!(
            address.password,
            AddressPassword::Value(Secret::new("p@ss".to_owned()))
        );
    }

    #[test]
    fn what_could_make_a_connection_less_safe_is_refused_instead_of_dropped() {
        for (parameters, said) in [
            ("sslmod=verify-full", "did you mean sslmode?"),
            ("sslaccept=strict", "libpq has no parameter sslaccept"),
            ("tls=true", "libpq has no parameter tls"),
            ("chanel_binding=require", "did you mean channel_binding?"),
            ("sslmode=no-verify", "is none of disable, allow"),
            ("sslmode=disable&sslmode=verify-full", "twice"),
            ("sslpassword=x", "needs no passphrase"),
            ("pgbouncer=true", "instead of the pooler's"),
            ("password=x", "before the @"),
        ] {
            let said_of = errors(&format!("postgres://app:secret@db/shop?{parameters}"));
            assert_eq!(said_of.len(), 1, "{parameters}: {said_of:?}");
            assert!(said_of[0].contains(said), "{parameters}: {said_of:?}");
            assert!(!said_of[0].contains("secret"), "{said_of:?}");
        }
        for (parameters, mode) in [("ssl=true", "require"), ("ssl=verify-full", "verify-full")] {
            let address = parse_address(&format!("postgres://app@db/shop?{parameters}")).unwrap();
            assert_eq!(address.find("sslmode"), Some(mode));
        }
    }

    #[test]
    fn every_mistake_of_a_url_is_told() {
        for (text, said) in [
            ("jdbc:postgresql://db/shop", "Java"),
            ("JDBC:postgresql://db/shop", "Java"),
            ("sqlite:///./app.db", "no URL of Postgres"),
            ("mysql://app@db/shop", "no URL of Postgres"),
            ("", "no URL of Postgres"),
            ("postgres://db/shop", "names no user"),
            ("postgres://app@db", "names no database"),
            ("postgres://app@a,b/shop", "several hosts"),
            ("postgres://app:p#ss@db/shop", "percent-encoded"),
            ("postgres://app:p%zz@db/shop", "percent-encoded"),
            ("postgres://app:a%0ab@db/shop", "line break"),
        ] {
            assert!(errors(text)[0].contains(said), "{text}: {:?}", errors(text));
        }
        let both = errors("postgres://app@a,b?sslmod=x");
        assert_eq!(both.len(), 3, "{both:?}");
    }

    #[test]
    fn a_root_of_trust_means_verification() {
        let usual = Path::new("/etc/ssl/roots.pem");
        let trusting = |parameters: &str, ca: Option<&str>| {
            let mut address =
                parse_address(&format!("postgres://app@db/shop?{parameters}")).unwrap();
            address.trust(ca.map(Path::new), usual).map(|()| {
                let find = |name| address.find(name).map(str::to_owned);
                (find("sslmode"), find("sslrootcert"))
            })
        };
        let pair = |mode: &str, root: &str| Ok((Some(mode.to_owned()), Some(root.to_owned())));
        assert_eq!(trusting("", Some("/ca")), pair("verify-full", "/ca"));
        assert_eq!(
            trusting("sslmode=verify-ca", Some("/ca")),
            pair("verify-ca", "/ca")
        );
        assert_eq!(
            trusting("sslmode=require", Some("/ca")),
            pair("require", "/ca")
        );
        assert_eq!(
            trusting("sslmode=verify-full", None),
            pair("verify-full", "/etc/ssl/roots.pem")
        );
        assert_eq!(
            trusting("sslmode=verify-full&sslrootcert=system", None),
            pair("verify-full", "system")
        );
        assert_eq!(trusting("", None), Ok((None, None)));
        assert_eq!(
            trusting("sslmode=require", None),
            Ok((Some("require".to_owned()), None))
        );
        assert_eq!(
            trusting("sslmode=prefer", Some("/ca")),
            Err(AddressError::Unused("prefer".to_owned()))
        );
        assert_eq!(
            trusting("sslrootcert=/a", Some("/ca")),
            Err(AddressError::Roots)
        );
    }

    proptest! {
        #[test]
        fn no_url_panics_and_no_error_shows_a_password(text in "\\PC{0,60}", query in "\\PC{0,40}") {
            drop(parse_address(&text));
            let url = format!("postgres://app:hunter2hunter2@db/shop?{query}");
            match parse_address(&url) {
                Ok(address) => {
                    let shown = format!("{address:?}");
                    prop_assert!(!shown.contains("hunter2hunter2"));
                }
                Err(errors) => {
                    let shown = format!("{errors:?} {}", errors.iter().map(ToString::to_string).collect::<String>());
                    prop_assert!(!shown.contains("hunter2hunter2"));
                }
            }
        }
    }
}
