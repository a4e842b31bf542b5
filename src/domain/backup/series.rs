//! What belongs together: the backups of one database, or of one server's roles.

use std::fmt;

use crate::domain::id::{DatabaseName, ProjectName, ServiceName};

/// What series a backup belongs to: one database, or the roles of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// One database.
    Database(DatabaseName),
    /// Roles, their settings and tablespaces of the whole server.
    Globals,
}

impl Content {
    /// The database, when it is one.
    pub fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Database(name) => Some(name),
            Self::Globals => None,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => name.fmt(formatter),
            Self::Globals => formatter.write_str("globals"),
        }
    }
}

/// A series of backups: project, service, database or globals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The Compose project.
    pub project: ProjectName,
    /// The service of the server.
    pub service: ServiceName,
    /// What of it.
    pub content: Content,
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.service, self.content)
    }
}
