//! User, password and database of a server, from its environment.
//!
//! The environment counts at initdb only: a password may have been changed since, so an adapter that
//! can avoid it (a session inside the container) does.

use std::collections::BTreeMap;

use thiserror::Error;

use super::image::Flavour;
use super::secret::Secret;
use crate::domain::fleet::Environment;
use crate::domain::id::DatabaseName;

/// A setting that may stand in a file inside the server's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextSource {
    /// Known.
    Value(String),
    /// In this file.
    File(String),
}

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// There is none: `trust`, or somebody else's way.
    None,
    /// Known.
    Value(Secret<String>),
    /// In this file inside the server's container.
    File(String),
}

/// How to log in, as far as the environment tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLogin {
    /// The role, the most powerful one that is known.
    pub user: TextSource,
    /// Its password.
    pub password: PasswordSource,
    /// The database that applications use when they say nothing else.
    pub default_database: TextSource,
}

/// How to log in, all files read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<Secret<String>>,
    /// The default database.
    pub default_database: DatabaseName,
}

/// Why a login is not complete.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LoginError {
    /// A file was not read.
    #[error("the file {0} in the container of the server could not be read")]
    FileMissing(String),
    /// A file is empty.
    #[error("the file {0} in the container of the server is empty")]
    FileEmpty(String),
}

impl ServerLogin {
    /// The files inside the server's container that [`Self::resolve`] needs.
    pub fn files(&self) -> Vec<&str> {
        let password = match &self.password {
            PasswordSource::File(path) => Some(path.as_str()),
            PasswordSource::None | PasswordSource::Value(_) => None,
        };
        let texts = [&self.user, &self.default_database];
        let texts = texts.into_iter().filter_map(|source| match source {
            TextSource::File(path) => Some(path.as_str()),
            TextSource::Value(_) => None,
        });
        let mut files: Vec<&str> = texts.chain(password).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// Completes the login with the contents of its files, by path; trailing newlines are cut.
    ///
    /// # Errors
    /// When a file is missing or empty; retrying may help once the container runs.
    pub fn resolve(
        &self,
        contents: &BTreeMap<String, Secret<String>>,
    ) -> Result<Login, LoginError> {
        let read = |path: &String| {
            let text = contents
                .get(path)
                .ok_or_else(|| LoginError::FileMissing(path.clone()))?;
            let trimmed = text.reveal().trim_end_matches(['\n', '\r']);
            if trimmed.is_empty() {
                return Err(LoginError::FileEmpty(path.clone()));
            }
            Ok(trimmed.to_owned())
        };
        let text = |source: &TextSource| match source {
            TextSource::Value(value) => Ok(value.clone()),
            TextSource::File(path) => read(path),
        };
        Ok(Login {
            user: text(&self.user)?,
            password: match &self.password {
                PasswordSource::None => None,
                PasswordSource::Value(value) => Some(value.clone()),
                PasswordSource::File(path) => Some(Secret::new(read(path)?)),
            },
            default_database: DatabaseName::new(text(&self.default_database)?),
        })
    }
}

/// Reads the login that an image's contract describes.
pub(super) fn read_login(flavour: Flavour, environment: &Environment) -> ServerLogin {
    let text = |names: &[&str]| find_text(environment, names);
    match flavour {
        Flavour::Official => {
            let user = text(&["POSTGRES_USER"]).unwrap_or_else(|| value("postgres"));
            ServerLogin {
                password: find_password(environment, &["POSTGRES_PASSWORD"]),
                default_database: text(&["POSTGRES_DB"]).unwrap_or_else(|| user.clone()),
                user,
            }
        }
        Flavour::Supabase => ServerLogin {
            user: text(&["POSTGRES_USER"]).unwrap_or_else(|| value("supabase_admin")),
            password: find_password(environment, &["POSTGRES_PASSWORD"]),
            default_database: text(&["POSTGRES_DB"]).unwrap_or_else(|| value("postgres")),
        },
        Flavour::Bitnami => read_bitnami(environment),
    }
}

/// Bitnami's own user is no superuser once it is named; `postgres` then has a password of its own.
fn read_bitnami(environment: &Environment) -> ServerLogin {
    let superuser = find_password(
        environment,
        &["POSTGRESQL_POSTGRES_PASSWORD", "POSTGRES_POSTGRES_PASSWORD"],
    );
    let named = find_text(
        environment,
        &[
            "POSTGRESQL_USERNAME",
            "POSTGRESQL_USER",
            "POSTGRES_USERNAME",
            "POSTGRES_USER",
        ],
    );
    let (user, password) = match superuser {
        PasswordSource::None => (
            named.unwrap_or_else(|| value("postgres")),
            find_password(environment, &["POSTGRESQL_PASSWORD", "POSTGRES_PASSWORD"]),
        ),
        password => (value("postgres"), password),
    };
    ServerLogin {
        user,
        password,
        default_database: find_text(
            environment,
            &[
                "POSTGRESQL_DATABASE",
                "POSTGRESQL_DB",
                "POSTGRES_DATABASE",
                "POSTGRES_DB",
            ],
        )
        .unwrap_or_else(|| value("postgres")),
    }
}

fn value(text: &str) -> TextSource {
    TextSource::Value(text.to_owned())
}

fn find_text(environment: &Environment, names: &[&str]) -> Option<TextSource> {
    names.iter().find_map(|name| {
        let direct = environment.find(name).map(value);
        direct.or_else(|| {
            let path = environment.find(&format!("{name}_FILE"))?;
            Some(TextSource::File(path.to_owned()))
        })
    })
}

fn find_password(environment: &Environment, names: &[&str]) -> PasswordSource {
    match find_text(environment, names) {
        None => PasswordSource::None,
        Some(TextSource::Value(text)) => PasswordSource::Value(Secret::new(text)),
        Some(TextSource::File(path)) => PasswordSource::File(path),
    }
}
