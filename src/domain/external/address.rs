//! The URL of a server outside the stack, with libpq's parameters.
//!
//! Parameters that libpq does not know belong to other tools and are dropped, unless they could be about safety: to drop
//! `sslmod=verify-full` would weaken what somebody meant. No error shows any part of a URL but the names of parameters.

mod parameter;

use std::path::{Path, PathBuf};

use thiserror::Error;

use self::parameter::{ROOT, SSL_MODE, SSL_MODES, parse_parameters};
use crate::domain::database::secret::Secret;
use crate::domain::database::url::{find_rest, parse_database_url};
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
mod tests;
