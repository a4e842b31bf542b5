//! The live server as a restore sees it.

use std::time::Duration;

use super::RestoreError;
use crate::docker::{ExecResult, StdinMode};
use crate::domain::failure::{bounded, chain};
use crate::domain::id::DatabaseName;
use crate::domain::room::{find_shortage, needed_for_restore};
use crate::domain::roster::ServerTarget;
use crate::domain::unit::ByteCount;
use crate::job::server::{self, Connected, ServerError};
use crate::job::{JobContext, Run};
use crate::postgres::catalog::{self, DatabaseEntry, Recovery, ServerFacts};
use crate::postgres::restore as sql;
use crate::postgres::{ApplicationName, CommandSpec, Login};

/// The longest that a short program may take.
const PROGRAM: Duration = Duration::from_mins(10);
/// The longest answer of a program that is repeated.
const LONGEST: usize = 1_000;

/// A server that is restored into.
pub(super) struct Site<'a> {
    pub(super) context: &'a JobContext,
    pub(super) run: &'a Run,
    pub(super) target: &'a ServerTarget,
    pub(super) login: Login,
    pub(super) application: ApplicationName,
    pub(super) facts: ServerFacts,
}

impl<'a> Site<'a> {
    /// Looks at the server, patient with one that is just starting, and removes what killed restores left there; told to
    /// stop, it does not wait for a server that says nothing.
    pub(super) async fn open(
        context: &'a JobContext,
        run: &'a Run,
        target: &'a ServerTarget,
    ) -> Result<Self, RestoreError> {
        run.or_stopped(Box::pin(Self::look_at(context, run, target)))
            .await
    }

    async fn look_at(
        context: &'a JobContext,
        run: &'a Run,
        target: &'a ServerTarget,
    ) -> Result<Self, RestoreError> {
        let connect = || server::connect_maintenance(context, run, target);
        drop(server::patiently(run, connect).await?);
        let mut maintenance = server::connect_maintenance(context, run, target).await?;
        let facts = catalog::server_facts(&mut maintenance.session).await;
        let facts = facts.map_err(|source| maintenance.error(source))?;
        if facts.recovery == Recovery::Standby {
            let service = target.service.clone();
            return Err(RestoreError::Standby { service });
        }
        super::remove_leftovers(context, run, target).await?;
        Ok(Self {
            context,
            run,
            target,
            login: server::login_for_programs(context, run, target).await?,
            application: ApplicationName::build(&context.project, run.id.as_str()),
            facts,
        })
    }

    /// `service/database`, for people.
    pub(super) fn name(&self, database: &DatabaseName) -> String {
        format!("{}/{database}", self.target.service)
    }

    /// A session in which databases can be made and renamed.
    pub(super) async fn maintenance(&self) -> Result<Connected, ServerError> {
        server::connect_maintenance(self.context, self.run, self.target).await
    }

    /// A session with a database.
    pub(super) async fn connect(&self, database: &DatabaseName) -> Result<Connected, ServerError> {
        server::connect(self.context, self.run, self.target, database).await
    }

    /// All databases.
    pub(super) async fn databases(&self) -> Result<Vec<DatabaseEntry>, RestoreError> {
        let mut maintenance = self.maintenance().await?;
        let listed = catalog::databases(&mut maintenance.session).await;
        Ok(listed.map_err(|source| maintenance.error(source))?)
    }

    /// One database.
    pub(super) async fn find(
        &self,
        database: &DatabaseName,
    ) -> Result<Option<DatabaseEntry>, RestoreError> {
        let listed = self.databases().await?;
        Ok(listed.into_iter().find(|it| it.name == *database))
    }

    /// Runs a short program to its end.
    pub(super) async fn exec(&self, spec: CommandSpec) -> Result<ExecResult, ServerError> {
        let asked = server::request(spec, StdinMode::Absent);
        let docker = &self.context.docker;
        let ran = docker.exec_collect(&self.target.container, asked, None, PROGRAM);
        ran.await
            .map_err(|source| server::docker_error(self.target, source))
    }

    /// Refuses what would not fit. A figure that nobody knows stops nothing.
    pub(super) async fn expect_room(&self, database: ByteCount) -> Result<(), RestoreError> {
        if self.target.server.outside.is_some() {
            // Its disk is nobody's to look at from here; it says so itself when it is full.
            return Ok(());
        }
        let mut maintenance = self.maintenance().await?;
        let folder = sql::data_folder(&mut maintenance.session).await;
        let folder = folder.map_err(|source| maintenance.error(source))?;
        let free = match folder {
            None => None,
            Some(folder) => match self.exec(sql::free_command(&folder)).await {
                Ok(said) => sql::parse_free(&said.stdout),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "the free room is not known");
                    None
                }
            },
        };
        match find_shortage(free, needed_for_restore(database)) {
            None => Ok(()),
            Some(shortage) => Err(RestoreError::NoRoom {
                service: self.target.service.clone(),
                shortage,
            }),
        }
    }
}

/// A program's last words, not too many.
pub(super) fn said(stderr: &str) -> String {
    let telling = stderr
        .lines()
        .filter(|line| !line.starts_with("stackwarden-rc=") && !line.trim().is_empty());
    bounded(&telling.collect::<Vec<_>>().join(" "), LONGEST)
}
