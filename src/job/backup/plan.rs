//! What a backup job is to do.

use crate::domain::backup::{Content, Series};
use crate::domain::id::{DatabaseName, ProjectName};
use crate::domain::job::BackupScope;
use crate::domain::policy::{BackupPolicy, DatabaseSelection};
use crate::domain::retention::Rules;
use crate::domain::roster::ServerTarget;

/// What a backup job does.
#[derive(Debug, Clone)]
pub struct BackupPlan {
    /// Server by server.
    pub servers: Vec<ServerPlan>,
}

/// One server's part.
#[derive(Debug, Clone)]
pub struct ServerPlan {
    /// The server.
    pub target: ServerTarget,
    /// Which of its databases.
    pub databases: DatabaseSelection,
    /// Retention afterwards, and how far its backups are to be proven.
    pub rules: Rules,
    /// Databases known from the last look: what has failed when the server does not answer now.
    pub known: Vec<DatabaseName>,
}

impl ServerPlan {
    /// Narrows what the policy selects to what was asked for.
    pub fn new(
        target: ServerTarget,
        policy: &BackupPolicy,
        known: Vec<DatabaseName>,
        scope: &BackupScope,
    ) -> Self {
        let databases = match scope {
            BackupScope::Stack => policy.databases.clone(),
            BackupScope::Databases(wanted) => DatabaseSelection::Named(
                wanted
                    .iter()
                    .filter(|wanted| wanted.service == target.service)
                    .map(|wanted| wanted.database.clone())
                    .collect(),
            ),
        };
        Self {
            target,
            databases,
            rules: Rules::from(policy),
            known,
        }
    }

    pub(super) fn expected(&self) -> Vec<DatabaseName> {
        match &self.databases {
            DatabaseSelection::Named(named) => named.iter().cloned().collect(),
            DatabaseSelection::All => self.known.clone(),
        }
    }

    pub(super) fn series(&self, project: &ProjectName, content: Content) -> Series {
        Series {
            project: project.clone(),
            service: self.target.service.clone(),
            content,
        }
    }
}

impl BackupPlan {
    /// The series that this plan is sure to try.
    pub fn known_series(&self, project: &ProjectName) -> Vec<Series> {
        let of_server = |server: &ServerPlan| {
            let contents = server.expected().into_iter().map(Content::Database);
            let series = contents
                .chain([Content::Globals])
                .map(|it| server.series(project, it));
            series.collect::<Vec<_>>()
        };
        self.servers.iter().flat_map(of_server).collect()
    }
}
