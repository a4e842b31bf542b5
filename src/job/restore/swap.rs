//! Puts a copy in the live database's place, and back.
//!
//! Both renames, the marks and the outside stand in one transaction. A rename holds the database's lock while it waits for
//! the sessions with it to end, and new ones wait for that lock: so nobody slips in between, connections never have to be
//! forbidden, and a kill at any moment takes all of it back.

use super::copy::{Copy, LOCK_TIMEOUT, Restored};
use super::exchange::Exchanged;
use super::site::{Site, said};
use super::source::Material;
use super::{Done, RestoreError};
use crate::domain::backup::{Content, Level, Manifest, Reason, Series};
use crate::domain::id::DatabaseName;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::restore::name::Side;
use crate::domain::restore::outside::Outside;
use crate::domain::room::database_size;
use crate::job::backup::{
    Locking, RunGlobals, SeriesOutcome, TakeRequest, outcome_of, take_database,
};
use crate::job::server;
use crate::postgres::catalog::{self, DatabaseEntry, is_same_server};
use crate::postgres::mark::comment_sql;
use crate::postgres::restore as sql;

/// What the live database is like from outside after a swap.
struct Kept {
    /// Before the copy has its name.
    statements: Vec<String>,
    /// After it.
    comment: String,
    told: &'static str,
}

impl Site<'_> {
    /// Takes a backup of what is there, restores beside it, and exchanges both.
    pub(super) async fn swap_in(
        &self,
        material: &Material,
        database: &DatabaseName,
        level: Level,
        backups: &mut Vec<SeriesOutcome>,
    ) -> Result<Done, RestoreError> {
        let Some(manifest) = &material.manifest else {
            return Err(RestoreError::NoDump {
                file: material.shown(),
                why: "it has no manifest; restore it with --into NAME".to_owned(),
            });
        };
        if database.as_str() == "postgres" {
            return Err(RestoreError::Maintenance);
        }
        let subject = self.name(database);
        let progress = &self.context.progress;
        progress.begin(JobKind::Restore, &subject, Step::Securing);
        let mut maintenance = self.maintenance().await?;
        let within = catalog::is_within(&mut maintenance.session, database).await;
        if within.map_err(|source| maintenance.error(source))? {
            let database = database.clone();
            return Err(RestoreError::Within { database });
        }
        self.expect_no_obstacle(&mut maintenance, database).await?;
        drop(maintenance);
        self.expect_room(database_size(manifest)).await?;
        if self.find(database).await?.is_some() {
            Box::pin(self.secure(database, level, backups)).await?;
        }
        progress.begin(JobKind::Restore, &subject, Step::Reading);
        let restored = self.restore_beside(material, manifest, database).await?;
        progress.go_on(JobKind::Restore, Step::Swapping);
        let mut done = self.exchange(restored, database, manifest).await?;
        done.parts = self.restart_dependents().await;
        Ok(done)
    }

    /// The backup without which nothing is touched.
    async fn secure(
        &self,
        database: &DatabaseName,
        level: Level,
        backups: &mut Vec<SeriesOutcome>,
    ) -> Result<(), RestoreError> {
        let request = TakeRequest {
            target: self.target.clone(),
            database: database.clone(),
            reason: Reason::PreRestore,
            level: level.max(Level::Archive),
            stage: None,
        };
        let series = |content| Series {
            project: self.context.project.clone(),
            service: self.target.service.clone(),
            content,
        };
        let mut globals = RunGlobals::default();
        let (context, run) = (self.context, self.run);
        let taken = take_database(context, run, &request, Locking::Take, &mut globals).await;
        let own = Content::Database(database.clone());
        let taken = match taken {
            Ok(taken) => taken,
            Err(source) => {
                return Err(RestoreError::Unsafe {
                    database: database.clone(),
                    source: Box::new(source),
                });
            }
        };
        backups.push(outcome_of(series(own), Ok(taken)));
        let globals = globals.into_outcomes().into_iter();
        backups.extend(globals.map(|it| outcome_of(series(Content::Globals), it)));
        Ok(())
    }

    async fn exchange(
        &self,
        restored: Restored,
        database: &DatabaseName,
        manifest: &Manifest,
    ) -> Result<Done, RestoreError> {
        let told = restored.told();
        let Restored {
            mut copy, outside, ..
        } = restored;
        let exchanged = self
            .exchange_with(&mut copy, &outside, database, manifest)
            .await;
        match exchanged {
            Ok((exchanged, kept, how)) => Ok(Done {
                subject: self.name(database),
                backup: Some(manifest.id.clone()),
                detail: match kept {
                    Some(kept) => format!(
                        "swapped in, {told}; {}; {how}; what was there is kept as {kept} (`restore --undo` puts it back, `restore --drop` removes it)",
                        exchanged.told()
                    ),
                    None => format!("restored under its name, which was free, {told}; {how}"),
                },
                downtime: Some(exchanged.downtime),
                parts: Vec::new(),
            }),
            Err(error) => {
                copy.remove().await;
                Err(error)
            }
        }
    }

    /// Under the database's lock: nothing backs it up or migrates it meanwhile.
    async fn exchange_with(
        &self,
        copy: &mut Copy,
        outside: &Outside,
        database: &DatabaseName,
        manifest: &Manifest,
    ) -> Result<(Exchanged, Option<DatabaseName>, &'static str), RestoreError> {
        let lock = server::lock(self.context, self.run, self.target, database).await?;
        self.expect_no_obstacle(&mut copy.maintenance, database)
            .await?;
        let all = self.databases().await?;
        let live = all.iter().find(|it| it.name == *database);
        let name = copy.name.clone();
        let kept = self.kept_outside(&name, outside, live, manifest).await?;
        let mut statements = vec![LOCK_TIMEOUT.to_owned()];
        let put_aside = live.map(|live| self.put_aside(live, Side::Before, &manifest.id, &all));
        let name = put_aside.as_ref().map(|(name, _)| name.clone());
        statements.extend(put_aside.into_iter().flat_map(|(_, statements)| statements));
        statements.extend(kept.statements);
        statements.push(sql::rename_sql(&copy.name, database));
        statements.push(kept.comment);
        let copy_entry = all.iter().find(|it| it.name == copy.name);
        let oids: Vec<u32> = live
            .into_iter()
            .chain(copy_entry)
            .map(|it| it.oid)
            .collect();
        let exchanged = self.transact(database, &statements, &oids).await?;
        drop(lock);
        Ok((exchanged, name, kept.told))
    }

    /// What a swap keeps of the live database is what it is from outside today: an empty one, or one of another server than
    /// the backup's, has nothing to keep, and then it is as in the backup.
    async fn kept_outside(
        &self,
        copy: &DatabaseName,
        archived: &Outside,
        live: Option<&DatabaseEntry>,
        manifest: &Manifest,
    ) -> Result<Kept, RestoreError> {
        let name = copy.as_str();
        let database = manifest.series.content.database();
        let own_name = live.map(|it| &it.name).or(database);
        let own_name = own_name.cloned().unwrap_or_else(|| copy.clone());
        let is_own = is_same_server(
            &manifest.origin.system_identifier,
            &self.facts.system_identifier,
        );
        if let Some(live) = live.filter(|_| is_own)
            && self.holds_tables(&live.name).await?
        {
            let command = sql::outside_command(&self.login, &live.name, &self.application);
            let read = self.exec(command).await?;
            let outside = Outside::find(&read.stdout).filter(|_| read.end().is_success());
            let outside = outside.ok_or_else(|| RestoreError::Refused {
                said: format!(
                    "owner, settings and grants of {} could not be read: {}",
                    live.name,
                    said(&read.stderr)
                ),
            })?;
            return Ok(Kept {
                statements: outside.statements(name),
                comment: comment_sql(&live.name, live.comment.as_deref()),
                told: "owner, settings and grants are those of today",
            });
        }
        let quoted = crate::postgres::quote::identifier(own_name.as_str());
        Ok(Kept {
            statements: archived.statements(name),
            comment: archived
                .comment(&quoted)
                .unwrap_or_else(|| comment_sql(&own_name, None)),
            told: "owner, settings and grants are those of the backup",
        })
    }

    async fn holds_tables(&self, database: &DatabaseName) -> Result<bool, RestoreError> {
        let mut inside = self.connect(database).await?;
        let holds = catalog::has_user_tables(&mut inside.session).await;
        Ok(holds.map_err(|source| inside.error(source))?)
    }

    /// Puts back what the newest swap put aside.
    pub(super) async fn undo(&self, database: &DatabaseName) -> Result<Done, RestoreError> {
        let subject = self.name(database);
        let progress = &self.context.progress;
        progress.begin(JobKind::Restore, &subject, Step::Swapping);
        let lock = server::lock(self.context, self.run, self.target, database).await?;
        let mut maintenance = self.maintenance().await?;
        self.expect_no_obstacle(&mut maintenance, database).await?;
        let all = self.databases().await?;
        let kept = all.iter().filter_map(|it| Some((it, it.mark()?)));
        let kept = kept.filter(|(_, mark)| mark.is_before(database));
        let newest = kept.max_by_key(|(_, mark)| mark.at);
        let (before, mark, id) = newest
            .and_then(|(entry, mark)| {
                let id = mark.backup.clone()?;
                Some((entry, mark, id))
            })
            .ok_or_else(|| RestoreError::NothingKept {
                database: database.clone(),
            })?;
        self.expect_no_obstacle(&mut maintenance, &before.name)
            .await?;
        drop(maintenance);
        let live = all.iter().find(|it| it.name == *database);
        let put_aside = live.map(|live| self.put_aside(live, Side::After, &id, &all));
        let name = put_aside.as_ref().map(|(name, _)| name.clone());
        let mut statements = vec![LOCK_TIMEOUT.to_owned()];
        statements.extend(put_aside.into_iter().flat_map(|(_, statements)| statements));
        statements.push(sql::rename_sql(&before.name, database));
        statements.push(comment_sql(database, mark.comment.as_deref()));
        let oids: Vec<u32> = live.into_iter().chain([before]).map(|it| it.oid).collect();
        let exchanged = self.transact(database, &statements, &oids).await?;
        drop(lock);
        let kept = name.map_or_else(String::new, |name| {
            format!("; what was swapped in is kept as {name} (`restore --drop` removes it)")
        });
        Ok(Done {
            subject,
            backup: None,
            detail: format!(
                "as it was before the restore of {id}, from {}; {}{kept}",
                before.name,
                exchanged.told()
            ),
            downtime: Some(exchanged.downtime),
            parts: self.restart_dependents().await,
        })
    }
}
