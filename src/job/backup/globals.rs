//! The roles of a server: pg_dump carries none of them.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::attempt::{Sink, Written};
use super::compose::{Entry, restore_line, sealing};
use super::take::new_id;
use super::{BackupError, Stages, Taken};
use crate::docker::StdinMode;
use crate::domain::backup::{
    Content, Counted, Decoded, Level, Manifest, Origin, Packing, Reason, Sealing, Series,
};
use crate::domain::id::BackupId;
use crate::domain::raw_text;
use crate::domain::roster::ServerTarget;
use crate::domain::unit::Timestamp;
use crate::job::copy::along::Copied;
use crate::job::server;
use crate::job::{JobContext, Run};
use crate::postgres::catalog::{self, ServerFacts};
use crate::postgres::{ApplicationName, CommandSpec, Condition, dump};
use crate::store::StoreError;
use crate::store::layout;
use crate::store::read_back::ReadBack;

/// Roles are few; a server that needs longer, or longer than a dump may be silent, is waiting for something.
const DEADLINE: Duration = Duration::from_mins(5);

/// The roles backed up in one run of a job.
///
/// They are read after each dump, so that every role a dump names is among them: a migration, or anybody,
/// may create one at any time. Unchanged roles are published once a run.
#[derive(Debug, Default)]
pub struct RunGlobals {
    newest: Option<(String, BackupId)>,
    outcomes: Vec<Result<Taken, BackupError>>,
}

impl RunGlobals {
    /// The backup of the roles as they are now; `None` when they cannot be backed up.
    pub(super) async fn ensure(
        &mut self,
        context: &JobContext,
        run: &Run,
        target: &ServerTarget,
        reason: Reason,
    ) -> Option<BackupId> {
        let known = self.newest.take();
        match take(context, run, target, reason, known).await {
            Ok((text, Take::Known(id))) => {
                self.newest = Some((text, id.clone()));
                Some(id)
            }
            Ok((text, Take::New(taken))) => {
                let id = taken.manifest.id.clone();
                self.newest = Some((text, id.clone()));
                self.outcomes.push(Ok(*taken));
                Some(id)
            }
            Err(error) => {
                self.outcomes.push(Err(error));
                None
            }
        }
    }

    /// The text of a backup of this run, for a proof that cannot open it.
    pub(super) fn find_text(&self, id: &BackupId) -> Option<String> {
        let newest = self.newest.as_ref().filter(|(_, newest)| newest == id);
        newest.map(|(text, _)| text.clone())
    }

    /// What was published, or the first failure where nothing was.
    pub fn into_outcomes(self) -> Vec<Result<Taken, BackupError>> {
        let any_good = self.outcomes.iter().any(Result::is_ok);
        let mut told = false;
        let keep = |outcome: &Result<Taken, BackupError>| {
            let first_failure =
                outcome.is_err() && !any_good && !std::mem::replace(&mut told, true);
            outcome.is_ok() || first_failure
        };
        self.outcomes.into_iter().filter(keep).collect()
    }
}

enum Take {
    Known(BackupId),
    New(Box<Taken>),
}

async fn take(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    reason: Reason,
    known: Option<(String, BackupId)>,
) -> Result<(String, Take), BackupError> {
    let work = async {
        let begun = Instant::now();
        let Read { sql, passwords } = read(context, run, target).await?;
        let text = lasting(&sql);
        match known {
            Some((before, id)) if before == text => Ok((text, Take::Known(id))),
            _ => {
                let dump = Dump {
                    sql,
                    passwords,
                    reason,
                    begun,
                };
                let taken = publish(context, run, target, dump).await?;
                Ok((text, Take::New(Box::new(taken))))
            }
        }
    };
    run.or_stopped(work).await
}

/// The text without what changes from one dump to the next: psql's restriction key is random.
fn lasting(sql: &str) -> String {
    let changing =
        |line: &&str| line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
    sql.lines()
        .filter(|line| !changing(line))
        .collect::<Vec<_>>()
        .join("\n")
}

struct Dump {
    sql: String,
    passwords: Passwords,
    reason: Reason,
    begun: Instant,
}

/// Roles as SQL.
struct Read {
    sql: String,
    passwords: Passwords,
}

/// Whether the roles carry their passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passwords {
    Carried,
    /// Who asked may not read them.
    Missing,
}

impl Passwords {
    /// What a proof does with the roles, in words.
    fn told(self) -> &'static str {
        match self {
            Self::Carried => "roles are compared line by line",
            Self::Missing => {
                "roles are compared line by line; without their passwords, which the login may not read"
            }
        }
    }
}

/// Reads the roles. Managed servers outside the stack keep the passwords to themselves; then the roles come without.
async fn read(context: &JobContext, run: &Run, target: &ServerTarget) -> Result<Read, BackupError> {
    let login = server::login_for_programs(context, run, target).await?;
    let application = ApplicationName::build(&context.project, run.id.as_str());
    let whole = dump::globals_command(&login, &application);
    let refused = match run_dumpall(context, target, whole).await {
        Ok(sql) => {
            let passwords = Passwords::Carried;
            return Ok(Read { sql, passwords });
        }
        Err(error) => error,
    };
    let is_denied = matches!(
        &refused,
        BackupError::Program { source, .. } if matches!(source.condition(), Some(Condition::PermissionDenied(_)))
    );
    if !is_denied || target.server.outside.is_none() {
        return Err(refused);
    }
    let without = dump::globals_without_passwords_command(&login, &application);
    let sql = run_dumpall(context, target, without).await?;
    let said =
        "-- The roles come without their passwords: the login that read them may not see them.\n";
    Ok(Read {
        sql: format!("{said}{sql}"),
        passwords: Passwords::Missing,
    })
}

async fn run_dumpall(
    context: &JobContext,
    target: &ServerTarget,
    command: CommandSpec,
) -> Result<String, BackupError> {
    let asked = server::request(command, StdinMode::Absent);
    let deadline = DEADLINE.min(context.limits.silence);
    let ran = context
        .docker
        .exec_collect(&target.container, asked, None, deadline)
        .await;
    let ran = ran.map_err(|source| server::docker_error(target, source))?;
    if !ran.end().is_success() || !ran.stdout.contains("ROLE") {
        let source = crate::postgres::classify_stderr("pg_dumpall", &ran.stderr);
        return Err(BackupError::Program {
            program: "pg_dumpall",
            code: ran.code,
            source,
        });
    }
    Ok(ran.stdout)
}

async fn publish(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    dump: Dump,
) -> Result<Taken, BackupError> {
    let Dump {
        sql,
        passwords,
        reason,
        begun,
    } = dump;
    let began_at = context.clock.now();
    let mut connected = server::connect_maintenance(context, run, target).await?;
    let facts = catalog::server_facts(&mut connected.session).await;
    let facts = facts.map_err(|source| connected.error(source))?;
    let dumped_at = Instant::now();
    let series = Series {
        project: context.project.clone(),
        service: target.service.clone(),
        content: Content::Globals,
    };
    let id = new_id(context, &series, began_at)?;
    let written = store(context, &series, &id, sql).await?;
    let archived_at = Instant::now();
    let head = Head {
        id,
        series,
        reason,
        began_at,
        took: begun.elapsed(),
        passwords,
    };
    let manifest = manifest(context, target, facts, &written, head);
    Box::pin(context.store.publish(written.stored, &manifest)).await?;
    let stages = Stages {
        dump: dumped_at - begun,
        digest: Duration::ZERO,
        archive: archived_at - dumped_at,
        publish: archived_at.elapsed(),
    };
    Ok(Taken {
        manifest,
        stages,
        copied: Copied::NotAsked,
    })
}

/// Writes the text, sealed where that is asked for, and reads it back.
async fn store(
    context: &JobContext,
    series: &Series,
    id: &BackupId,
    sql: String,
) -> Result<Written, BackupError> {
    let keys = &context.keys;
    let staged = context
        .store
        .begin(series, id, Packing::PlainSql, keys.sealing())?;
    let mut sink = Sink::new(staged, keys.recipients.as_ref())?;
    sink.write(Bytes::from(raw_text::bytes(&sql))).await?;
    let written = sink.finish().await?;
    let stored = &written.stored;
    let file = ReadBack::open(&stored.path).await?;
    if file.finish().await? == stored.sha256 {
        return Ok(written);
    }
    let Written { stored, .. } = written;
    let path = stored.path.clone();
    // The wrong bytes are the news; a file that cannot be removed is swept at the next start.
    drop(stored.discard());
    Err(StoreError::Altered { path }.into())
}

/// What a manifest begins with.
struct Head {
    id: BackupId,
    series: Series,
    reason: Reason,
    began_at: Timestamp,
    took: Duration,
    passwords: Passwords,
}

fn manifest(
    context: &JobContext,
    target: &ServerTarget,
    facts: ServerFacts,
    written: &Written,
    head: Head,
) -> Manifest {
    let Written { stored, seal } = written;
    let sealing = sealing(seal.as_ref());
    let file = layout::stored_name(&head.id, Packing::PlainSql, sealing);
    Manifest {
        id: head.id,
        series: head.series,
        reason: head.reason,
        snapshot_at: head.began_at,
        published_at: context.clock.now(),
        snapshot_lsn: None,
        took: head.took,
        likeness: None,
        restore_line: restore_line(&file, Packing::PlainSql, sealing, Entry::Usual),
        file,
        stored_size: stored.size,
        stored_sha256: stored.sha256.clone(),
        packing: Packing::PlainSql,
        seal: seal.clone(),
        tool_version: facts.version.clone(),
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        origin: Origin {
            system_identifier: facts.system_identifier,
            database_oid: 0,
            server_version_number: facts.version_number,
            server_version: facts.version,
            image_id: target.image_id.to_string(),
            image: target.image.clone(),
        },
        facts: None,
        revision: None,
        schema_fingerprint: None,
        counted: Counted::Absent(head.passwords.told().to_owned()),
        extent: None,
        suspicion: None,
        globals: None,
        level: Level::Archive,
        decoded: Some(match sealing {
            Sealing::Plain => Decoded::Stored,
            Sealing::Age => Decoded::Stream,
        }),
    }
}
