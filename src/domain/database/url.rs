//! Database URLs of applications: `postgres://user:password@host:5432/name?schema=public`.
//!
//! Parameters are dropped (libpq refuses those of other tools). What is not plainly a URL of
//! Postgres (sqlite, jdbc, mysql, a socket) is not ours to read.

use super::secret::Secret;
use crate::domain::id::DatabaseName;

const DEFAULT_PORT: u16 = 5432;

/// Where an application finds its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// The host as written, percent signs decoded, brackets of an IPv6 address removed.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: Option<String>,
    /// The database, or the role's name as libpq takes it.
    pub database: DatabaseName,
    /// The password.
    pub password: Option<Secret<String>>,
}

/// Reads a URL of Postgres.
pub fn parse_database_url(text: &str) -> Option<DatabaseUrl> {
    let rest = find_rest(text)?;
    let without_parameters = rest.split(['?', '#']).next()?;
    let (authority, path) = without_parameters
        .split_once('/')
        .unwrap_or((without_parameters, ""));
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, authority),
    };
    let (user, password) = credentials
        .map(|pair| pair.split_once(':').unwrap_or((pair, "")))
        .unwrap_or_default();
    let user = find_text(decode(user)?);
    let password = find_text(decode(password)?);
    let (host, port) = split_address(address)?;
    let database = find_text(decode(path.trim_end_matches('/'))?).or_else(|| user.clone())?;
    Some(DatabaseUrl {
        host,
        port,
        user,
        database: DatabaseName::new(database),
        password: password.map(Secret::new),
    })
}

/// Whether a text means a URL of Postgres, readable or not.
pub(super) fn is_postgres(text: &str) -> bool {
    find_rest(text).is_some()
}

/// What stands behind the scheme; `postgresql+psycopg2` and the like name a driver.
pub(in crate::domain) fn find_rest(text: &str) -> Option<&str> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let lower = scheme.to_lowercase();
    let base = lower.split('+').next()?;
    matches!(base, "postgres" | "postgresql" | "postgis" | "pgsql").then_some(rest)
}

fn split_address(address: &str) -> Option<(String, u16)> {
    // Of several hosts the first one is the one that is tried first.
    let first = address.split(',').next()?;
    let (host, port) = match first.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':').unwrap_or(port))
        }
        None => first.split_once(':').unwrap_or((first, "")),
    };
    let host = decode(host)?;
    if host.is_empty() || host.starts_with('/') {
        return None;
    }
    let port = match port {
        "" => DEFAULT_PORT,
        text => text.parse().ok()?,
    };
    Some((host, port))
}

fn find_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// `None` where a percent sign stands alone or the bytes are no text.
pub(in crate::domain) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(rest.next())? * 16 + digit(rest.next())?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|decoded| !decoded.contains('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_of_postgres_are_read() {
        for (text, host, port, user, database, password) in [
            (
                "postgres://app:pw@db:5433/shop?schema=public",
                "db",
                5433,
                "app",
                "shop",
                "pw",
            ),
            ("postgresql://app@db", "db", 5432, "app", "app", ""),
            (
                "postgresql+psycopg2://app:p%40s%2Fs@db/shop",
                "db",
                5432,
                "app",
                "shop",
                "p@s/s",
            ),
            (
                "postgresql+asyncpg://app:p@ss@db/my%20shop#x",
                "db",
                5432,
                "app",
                "my shop",
                "p@ss",
            ),
            ("postgres://db/shop", "db", 5432, "", "shop", ""),
            (
                "postgres://app:pw@[::1]:6000/shop",
                "::1",
                6000,
                "app",
                "shop",
                "pw",
            ),
            ("POSTGRES://app@a:1,b:2/shop", "a", 1, "app", "shop", ""),
            ("postgis://app:@db/shop/", "db", 5432, "app", "shop", ""),
        ] {
            let url = parse_database_url(text).unwrap();
            assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
            assert_eq!(url.user.unwrap_or_default(), user, "{text}");
            assert_eq!(url.database.as_str(), database, "{text}");
            let found = url.password.map(|secret| secret.reveal().clone());
            assert_eq!(found.unwrap_or_default(), password, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_postgres_is_left_alone() {
        for text in [
            "",
            "sqlite:///./app.db",
            "jdbc:postgresql://db/keycloak",
            "mysql://app@db/shop",
            "postgres://",
            "postgres:///shop",
            "postgres://app@%2Frun%2Fpostgresql/shop",
            "postgres://db",
            "db/shop",
            "postgres://app@db:port/shop",
            "postgres://app@db/%ff",
            "postgres://app@db/%4",
            "postgres://app@[::1/x",
            "prisma+postgres://x@y/z",
        ] {
            assert_eq!(parse_database_url(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_url_panics_and_every_part_comes_back(
            text in "\\PC{0,40}",
            user in "[a-z]{1,8}",
            password in "\\PC{1,12}",
            database in "\\PC{1,12}",
        ) {
            parse_database_url(&text);
            parse_database_url(&format!("postgres://{text}"));
            let encode = |part: &str| part.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
            let url = format!("postgres://{user}:{}@db/{}?x=1", encode(&password), encode(&database));
            let found = parse_database_url(&url).unwrap();
            let hidden = found.password.unwrap();
            prop_assert_eq!(hidden.reveal(), &password);
            // A name is all that stands behind the slash, however odd.
            prop_assert_eq!(found.database.as_str(), database);
            prop_assert_eq!(found.user, Some(user));
        }
    }
}
