//! Which database an application's migration changes.
//!
//! The label decides; else what the application itself is told; else the only one there is. A wrong
//! guess would lock and back up the wrong database, so whatever is in doubt is an error that says
//! which label to write.

use thiserror::Error;

use super::login::TextSource;
use super::url::{DatabaseUrl, is_postgres, parse_database_url};
use super::{BackupSwitch, Server};
use crate::domain::fleet::{Container, Environment};
use crate::domain::id::{DatabaseName, DatabaseRef, ServiceName};
use crate::domain::policy::MigrationPolicy;

/// Variables that hold a URL, the one that decides first.
const URLS: [&str; 14] = [
    "DATABASE_URL",
    "MIGRATION_DATABASE_URL",
    "DIRECT_DATABASE_URL",
    "DIRECT_URL",
    "SQLALCHEMY_DATABASE_URL",
    "SQLALCHEMY_DATABASE_URI",
    "ASYNC_DATABASE_URL",
    "APP_DATABASE_URL",
    "DATABASE_URI",
    "DB_URL",
    "DB_URI",
    "POSTGRES_URL",
    "POSTGRESQL_URL",
    "PG_URL",
];

/// Variables that hold a host, then those that hold a database, then a role, by family.
const PARTS: [([&str; 2], [&str; 2], &str); 5] = [
    (
        ["POSTGRES_HOST", "POSTGRES_SERVER"],
        ["POSTGRES_DB", "POSTGRES_DATABASE"],
        "POSTGRES_USER",
    ),
    (
        ["PGHOST", "PGHOSTADDR"],
        ["PGDATABASE", "PGDATABASE"],
        "PGUSER",
    ),
    (
        ["DB_HOST", "DB_HOSTNAME"],
        ["DB_NAME", "DB_DATABASE"],
        "DB_USER",
    ),
    (
        ["DATABASE_HOST", "DATABASE_SERVER"],
        ["DATABASE_NAME", "DATABASE_DB"],
        "DATABASE_USER",
    ),
    (
        ["SQL_HOST", "SQL_SERVER"],
        ["SQL_DATABASE", "SQL_DB"],
        "SQL_USER",
    ),
];

/// Why it is not known which database a migration changes.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MigrationDatabaseError {
    /// The label names no server of this stack.
    #[error(
        "stackwarden.migrate.database of {service} names {wanted}, but {} is no Postgres service of this stack ({})",
        wanted.service, list(known)
    )]
    UnknownServer {
        /// The application.
        service: ServiceName,
        /// What the label says.
        wanted: DatabaseRef,
        /// The servers there are.
        known: Vec<ServiceName>,
    },
    /// The application is told of a host that is no server of this stack.
    #[error(
        "{variable} of {service} points at {host}, which is no Postgres service of this stack ({}); write stackwarden.migrate.database: \"service/database\" on {service}",
        list(known)
    )]
    External {
        /// The application.
        service: ServiceName,
        /// The variable.
        variable: &'static str,
        /// Its host.
        host: String,
        /// The servers there are.
        known: Vec<ServiceName>,
    },
    /// The application is told of a database in a way that is not understood.
    #[error(
        "{variable} of {service} cannot be read as postgres://user@host/database; write stackwarden.migrate.database: \"service/database\" on {service}"
    )]
    Unreadable {
        /// The application.
        service: ServiceName,
        /// The variable.
        variable: &'static str,
    },
    /// Its variables disagree.
    #[error(
        "the variables of {service} name {first} and {second}; write stackwarden.migrate.database: \"{first}\" (or the other one) on {service}"
    )]
    Contradiction {
        /// The application.
        service: ServiceName,
        /// One.
        first: DatabaseRef,
        /// Another.
        second: DatabaseRef,
    },
    /// The stack has no server.
    #[error(
        "{service} has a migration, but this stack has no Postgres service; add stackwarden.backup: \"true\" to the service that runs it"
    )]
    NoServer {
        /// The application.
        service: ServiceName,
    },
    /// Nothing tells which one.
    #[error(
        "nothing tells which database {service} migrates ({}); write stackwarden.migrate.database: \"service/database\" on {service}",
        list(known)
    )]
    Undecided {
        /// The application.
        service: ServiceName,
        /// The servers there are.
        known: Vec<ServiceName>,
    },
}

fn list(known: &[ServiceName]) -> String {
    match known {
        [] => "it has none".to_owned(),
        names => format!(
            "it has {}",
            names
                .iter()
                .map(ServiceName::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// Finds the database that a migration of `app` changes.
///
/// # Errors
/// When it cannot be told for certain; retrying is useless until a label or the stack changes.
pub fn find_migration_database(
    app: &Container,
    policy: &MigrationPolicy,
    servers: &[Server],
) -> Result<DatabaseRef, MigrationDatabaseError> {
    let search = Search { app, servers };
    if let Some(wanted) = &policy.database {
        return search.by_label(wanted);
    }
    match search.by_variables()? {
        Some(found) => Ok(found),
        None => search.the_only_one(),
    }
}

struct Search<'a> {
    app: &'a Container,
    servers: &'a [Server],
}

/// What a variable says.
struct Mention {
    variable: &'static str,
    host: String,
    database: Option<DatabaseName>,
}

impl Search<'_> {
    fn service(&self) -> ServiceName {
        self.app.service.clone()
    }

    fn known(&self) -> Vec<ServiceName> {
        self.servers
            .iter()
            .map(|server| server.service.clone())
            .collect()
    }

    fn find_host(&self, host: &str) -> Option<&Server> {
        self.servers.iter().find(|server| {
            server
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
        })
    }

    fn by_label(&self, wanted: &DatabaseRef) -> Result<DatabaseRef, MigrationDatabaseError> {
        match self.find_host(wanted.service.as_str()) {
            Some(server) => Ok(DatabaseRef::new(
                server.service.clone(),
                wanted.database.clone(),
            )),
            None => Err(MigrationDatabaseError::UnknownServer {
                service: self.service(),
                wanted: wanted.clone(),
                known: self.known(),
            }),
        }
    }

    /// What the application is told. `DATABASE_URL` decides alone; the others must agree.
    fn by_variables(&self) -> Result<Option<DatabaseRef>, MigrationDatabaseError> {
        let environment = &self.app.environment;
        let unreadable = |text: &str| is_postgres(text) && parse_database_url(text).is_none();
        if environment.find("DATABASE_URL").is_some_and(unreadable) {
            return Err(MigrationDatabaseError::Unreadable {
                service: self.service(),
                variable: "DATABASE_URL",
            });
        }
        let mentions = find_mentions(environment);
        let mut found: Option<DatabaseRef> = None;
        let mut stranger: Option<&Mention> = None;
        for mention in &mentions {
            let Some(server) = self.find_host(&mention.host) else {
                if mention.variable == "DATABASE_URL" {
                    return Err(self.external(mention));
                }
                stranger.get_or_insert(mention);
                continue;
            };
            let Some(database) = mention.database.clone().or_else(|| default_of(server)) else {
                continue;
            };
            let this = DatabaseRef::new(server.service.clone(), database);
            if mention.variable == "DATABASE_URL" {
                return Ok(Some(this));
            }
            match &found {
                Some(first) if *first != this => {
                    return Err(MigrationDatabaseError::Contradiction {
                        service: self.service(),
                        first: first.clone(),
                        second: this,
                    });
                }
                _ => found = Some(this),
            }
        }
        match (found, stranger) {
            (None, Some(mention)) => Err(self.external(mention)),
            (found, _) => Ok(found),
        }
    }

    fn external(&self, mention: &Mention) -> MigrationDatabaseError {
        MigrationDatabaseError::External {
            service: self.service(),
            variable: mention.variable,
            host: mention.host.clone(),
            known: self.known(),
        }
    }

    fn the_only_one(&self) -> Result<DatabaseRef, MigrationDatabaseError> {
        if self.servers.is_empty() {
            return Err(MigrationDatabaseError::NoServer {
                service: self.service(),
            });
        }
        // Who says nothing means the stack's own server, where it has one.
        let own = |server: &&Server| server.outside.is_none();
        let mut meant: Vec<&Server> = self.servers.iter().filter(own).collect();
        if meant.is_empty() {
            meant.extend(self.servers);
        }
        let backed_up = meant.iter().copied();
        let backed_up: Vec<&Server> = backed_up
            .filter(|server| server.switch == BackupSwitch::On)
            .collect();
        let only = match (backed_up.as_slice(), meant.as_slice()) {
            ([only], _) | ([], [only]) => Some(*only),
            _ => None,
        };
        only.and_then(|server| {
            Some(DatabaseRef::new(
                server.service.clone(),
                default_of(server)?,
            ))
        })
        .ok_or_else(|| MigrationDatabaseError::Undecided {
            service: self.service(),
            known: self.known(),
        })
    }
}

fn default_of(server: &Server) -> Option<DatabaseName> {
    match &server.login.default_database {
        TextSource::Value(name) => Some(DatabaseName::new(name.as_str())),
        TextSource::File(_) => None,
    }
}

fn find_mentions(environment: &Environment) -> Vec<Mention> {
    let urls = URLS.into_iter().filter_map(|variable| {
        let DatabaseUrl { host, database, .. } = parse_database_url(environment.find(variable)?)?;
        Some(Mention {
            variable,
            host,
            database: Some(database),
        })
    });
    let parts = PARTS.into_iter().filter_map(|(hosts, databases, user)| {
        let (variable, host) = hosts
            .into_iter()
            .find_map(|name| Some((name, environment.find(name)?)))?;
        let named = databases
            .into_iter()
            .find_map(|name| environment.find(name));
        // libpq's own variables fall back to the role; others mean the server's default.
        let role = (variable == "PGHOST")
            .then(|| environment.find(user))
            .flatten();
        Some(Mention {
            variable,
            host: host.split(':').next().unwrap_or(host).to_owned(),
            database: named.or(role).map(DatabaseName::new),
        })
    });
    urls.chain(parts).collect()
}
