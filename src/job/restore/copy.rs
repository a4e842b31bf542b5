//! A copy beside the live databases: made under a name and a mark of ours, filled, compared, and published or removed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::rows::Verdict;
use super::site::{Site, said};
use super::source::Material;
use super::{Done, RestoreError};
use crate::domain::backup::Manifest;
use crate::domain::failure::chain;
use crate::domain::foreign::find_missing_role;
use crate::domain::id::{BackupId, DatabaseName};
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::raw_text;
use crate::domain::restore::mark::{Mark, Stage};
use crate::domain::restore::name;
use crate::domain::restore::outside::{Outside, Placement};
use crate::domain::room::database_size;
use crate::job::server::{self, Connected, DatabaseLock, FeedRequest, Patience, feed};
use crate::postgres::CommandSpec;
use crate::postgres::catalog::is_same_server;
use crate::postgres::mark::{comment_sql, mark_sql};
use crate::postgres::restore::{self as sql, IntoRequest};

/// Making, renaming or dropping a database on a busy disk.
const STATEMENT: Duration = Duration::from_mins(10);
/// The longest wait for a lock in a transaction that exchanges names: whoever connects waits behind it.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";
/// Gathering statistics of a large copy.
const ANALYZE: Duration = Duration::from_hours(6);
/// A schema text larger than this is not kept (12 000 tables have about 10 MB).
const SCHEMA_LIMIT: usize = 256 * 1024 * 1024;

/// A database that nobody uses yet. Its lock tells others that it is worked on.
pub(super) struct Copy {
    pub(super) name: DatabaseName,
    pub(super) maintenance: Connected,
    _lock: DatabaseLock,
}

/// Everything that a copy is compared with.
pub(super) struct Copied<'a> {
    pub(super) name: &'a DatabaseName,
    pub(super) schema: &'a str,
    pub(super) outside: &'a Outside,
    pub(super) placement: Placement,
}

/// A copy that is whole and equal.
pub(super) struct Restored {
    pub(super) copy: Copy,
    pub(super) outside: Outside,
    pub(super) verdict: Verdict,
    pub(super) roles: BTreeSet<String>,
}

impl Restored {
    /// How good it is and what was made for it, in words.
    pub(super) fn told(&self) -> String {
        let told = self.verdict.told();
        if self.roles.is_empty() {
            return told;
        }
        let roles: Vec<&str> = self.roles.iter().map(String::as_str).collect();
        format!("{told}; roles that were missing: {}", roles.join(", "))
    }
}

impl Copy {
    /// Makes an empty one; `create` is given its name, which needs no quotes.
    pub(super) async fn make(
        site: &Site<'_>,
        of: &DatabaseName,
        backup: Option<&BackupId>,
        create: impl FnOnce(&str) -> String,
    ) -> Result<Self, RestoreError> {
        let mut random = [0_u8; 6];
        getrandom::fill(&mut random)
            .map_err(|error| RestoreError::Random(std::io::Error::other(error.to_string())))?;
        let name = name::copy(random);
        let lock = server::lock(site.context, site.run, site.target, &name).await?;
        let mark = Mark {
            stage: Stage::Copy,
            project: site.context.project.clone(),
            of: of.clone(),
            backup: backup.cloned(),
            at: site.context.clock.now(),
            comment: None,
        };
        let mut copy = Self {
            maintenance: site.maintenance().await?,
            name,
            _lock: lock,
        };
        let create = create(copy.name.as_str());
        copy.maintenance.run(&create, STATEMENT).await?;
        let mark = mark_sql(&copy.name, &mark);
        if let Err(error) = copy.maintenance.run(&mark, STATEMENT).await {
            copy.remove().await;
            return Err(error.into());
        }
        Ok(copy)
    }

    /// Removes it; what cannot be removed now is removed by the next start.
    pub(super) async fn remove(mut self) {
        let remove = sql::remove_sql(&self.name);
        if let Err(error) = self.maintenance.run(&remove, STATEMENT).await {
            tracing::warn!(database = %self.name, error = %chain(&error), "a copy could not be removed; the next start tries again");
        }
    }

    /// Gives it its name and its outside, in one transaction; on failure it is removed.
    pub(super) async fn publish(
        mut self,
        name: &DatabaseName,
        outside: Option<&Outside>,
    ) -> Result<(), RestoreError> {
        let statements = self.publication(name, outside);
        let session = &mut self.maintenance.session;
        let changed = sql::transact(session, &statements, STATEMENT).await;
        if let Err(error) = changed {
            let error = self.maintenance.error(error);
            self.remove().await;
            return Err(error.into());
        }
        Ok(())
    }

    fn publication(&self, name: &DatabaseName, outside: Option<&Outside>) -> Vec<String> {
        let copy = self.name.as_str();
        let mut statements = vec![LOCK_TIMEOUT.to_owned()];
        statements.extend(outside.iter().flat_map(|it| it.statements(copy)));
        let comment = outside.and_then(|it| it.comment(copy));
        statements.push(comment.unwrap_or_else(|| comment_sql(&self.name, None)));
        statements.push(sql::rename_sql(&self.name, name));
        statements
    }
}

impl Site<'_> {
    /// Restores into a new database.
    pub(super) async fn restore_into(
        &self,
        material: &Material,
        name: &DatabaseName,
    ) -> Result<Done, RestoreError> {
        if self.find(name).await?.is_some() {
            return Err(RestoreError::Taken { name: name.clone() });
        }
        let subject = self.name(name);
        self.context
            .progress
            .begin(JobKind::Restore, &subject, Step::Reading);
        let Some(manifest) = &material.manifest else {
            return self.restore_foreign(material, name).await;
        };
        let restored = self.restore_beside(material, manifest, name).await?;
        let detail = format!("restored into the new database {name}, {}", restored.told());
        let Restored { copy, outside, .. } = restored;
        copy.publish(name, Some(&outside)).await?;
        Ok(Done {
            subject,
            backup: Some(manifest.id.clone()),
            detail,
            downtime: None,
            parts: Vec::new(),
        })
    }

    /// Restores a backup of ours into a copy and compares it; a copy that is not equal is removed.
    pub(super) async fn restore_beside(
        &self,
        material: &Material,
        manifest: &Manifest,
        of: &DatabaseName,
    ) -> Result<Restored, RestoreError> {
        self.expect_room(database_size(manifest)).await?;
        let reading = Box::pin(self.read_schema(material, manifest));
        let schema = self.run.or_stopped(reading).await?;
        let no_dump = || RestoreError::NoDump {
            file: material.shown(),
            why: "there is no database in it".to_owned(),
        };
        let outside = Outside::find(&schema).ok_or_else(no_dump)?;
        let roles = self.make_roles(material, manifest, &schema).await?;
        let is_own = is_same_server(
            &manifest.origin.system_identifier,
            &self.facts.system_identifier,
        );
        // Another server need not have the tablespaces.
        let placement = if is_own {
            Placement::AsWritten
        } else {
            Placement::Default
        };
        let create = |name: &str| outside.create(name, placement);
        let copy = Copy::make(self, of, Some(&manifest.id), create).await?;
        let name = copy.name.clone();
        let copied = Copied {
            name: &name,
            schema: &schema,
            outside: &outside,
            placement,
        };
        // On the heap: the comparisons that run at once are big.
        let filling = Box::pin(self.fill(material, manifest, &copied));
        match self.run.or_stopped(filling).await {
            Ok(verdict) => Ok(Restored {
                copy,
                outside,
                verdict,
                roles,
            }),
            Err(error) => {
                copy.remove().await;
                Err(error)
            }
        }
    }

    async fn read_schema(
        &self,
        material: &Material,
        manifest: &Manifest,
    ) -> Result<String, RestoreError> {
        let unpacking = Material::unpacking(manifest);
        let command = sql::archive_schema_command(&self.login, unpacking);
        let mut stored = material.open(self.context).await?;
        let mut text = Vec::new();
        let keep = |chunk: &[u8]| {
            if text.len() < SCHEMA_LIMIT {
                text.extend_from_slice(chunk);
            }
        };
        let asked = FeedRequest {
            spec: command,
            patience: Patience::Silence,
        };
        let fed = feed(self.context, self.target, asked, &mut stored, keep).await?;
        if fed.code != 0 {
            // What is wrong with the bytes says more than what a program says of them.
            stored.finish().await?;
            return Err(RestoreError::Refused {
                said: said(&fed.stderr),
            });
        }
        if material.is_remote() {
            // Roles and a database are made by this text: a line that lies must not be the one who says which.
            stored.finish().await?;
        }
        Ok(raw_text::read(text))
    }

    async fn fill(
        &self,
        material: &Material,
        manifest: &Manifest,
        copied: &Copied<'_>,
    ) -> Result<Verdict, RestoreError> {
        let request = IntoRequest {
            login: &self.login,
            database: copied.name,
            unpacking: Material::unpacking(manifest),
            application: &self.application,
        };
        let command = request.archive(copied.schema, copied.placement);
        // All data stands before what takes long without any, such as indexes.
        self.pour(material, &request, command, Patience::Silence)
            .await?;
        self.context
            .progress
            .go_on(JobKind::Restore, Step::Comparing);
        self.analyze(copied.name).await?;
        self.judge(manifest, copied).await
    }

    /// Gives the stored bytes to a program that restores them, and judges both.
    pub(super) async fn pour(
        &self,
        material: &Material,
        request: &IntoRequest<'_>,
        command: CommandSpec,
        patience: Patience,
    ) -> Result<(), RestoreError> {
        self.context
            .progress
            .go_on(JobKind::Restore, Step::Restoring);
        let mut stored = material.open(self.context).await?;
        let asked = FeedRequest {
            spec: command,
            patience,
        };
        let ignore = |_printed: &[u8]| {};
        let fed = feed(self.context, self.target, asked, &mut stored, ignore).await?;
        stored.finish().await?;
        if fed.code == 0 && request.unpacking.is_well(&fed.stderr) {
            return Ok(());
        }
        let mut said = said(&fed.stderr);
        if said.is_empty() {
            said = format!("the program that restores ended with code {}", fed.code);
        }
        if let Some(role) = find_missing_role(&fed.stderr) {
            said = format!(
                "role {role} is missing, and no backup of the roles that has it stands beside the dump; create it and ask again: {said}"
            );
        }
        Err(RestoreError::Refused { said })
    }

    /// Without statistics the first queries on a fresh copy would take whatever plan comes.
    pub(super) async fn analyze(&self, copy: &DatabaseName) -> Result<(), RestoreError> {
        let mut session = self.connect(copy).await?;
        Ok(session.run("ANALYZE", ANALYZE).await?)
    }
}
