//! Proves a backup: reads the stored bytes again, restores them into a throw-away server of the stack's own
//! image, and compares everything with what the dump's own snapshot held.
//!
//! Dropped or killed at any await, it leaves at most the scratch container with its volume; the next start,
//! or the next proof of any stack on this host, removes it. The backup itself is never touched.

mod compare;
mod restore;
mod scratch;

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::server::ServerError;
use super::{JobContext, Run};
use crate::docker::DockerError;
use crate::domain::backup::{Backup, Content, Counted, Level, Packing, Proof, Series};
use crate::domain::comparison::{Difference, ObjectKind};
use crate::domain::id::{BackupId, DatabaseName, DatabaseRef, ProjectName};
use crate::domain::roster::ServerTarget;
use crate::postgres::PostgresError;
use crate::store::StoreError;
use crate::store::disk::DESTINATION;
use crate::store::read_back::ReadBack;
use scratch::{Place, Scratch};

/// What to prove.
#[derive(Debug, Clone)]
pub struct VerifyPlan {
    /// The database.
    pub database: DatabaseRef,
    /// The backup.
    pub id: BackupId,
    /// How far.
    pub level: Level,
    /// Its live server, which tells what a scratch server has to be like.
    pub server: Option<ServerTarget>,
}

impl VerifyPlan {
    /// The series of the backup.
    pub fn series(&self, project: &ProjectName) -> Series {
        Series {
            project: project.clone(),
            service: self.database.service.clone(),
            content: Content::Database(self.database.database.clone()),
        }
    }
}

/// Why no proof could be made; says nothing about the backup.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no such backup.
    #[error("there is no backup {id} of {database}; see `stackwarden backups`")]
    Missing {
        /// The id.
        id: BackupId,
        /// The database.
        database: DatabaseRef,
    },
    /// Its server is not part of the stack now.
    #[error(
        "service {database} is not running, so nobody knows what a scratch server has to be like"
    )]
    NoServer {
        /// The database.
        database: DatabaseRef,
    },
    /// Our files cannot be mounted elsewhere.
    #[error(
        "the backup folder is not on this docker host, so the scratch server cannot read {file}"
    )]
    NotMountable {
        /// The file.
        file: String,
    },
    /// The folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The live server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Docker.
    #[error("use the scratch server")]
    Docker(#[source] DockerError),
    /// The scratch server.
    #[error("the scratch server {operation}: {said}")]
    Scratch {
        /// A verb phrase.
        operation: &'static str,
        /// What it said.
        said: String,
    },
    /// The copy does not fit.
    #[error("the scratch server ran out of space: {said}")]
    Full {
        /// Where it stood.
        place: Place,
        /// What was said.
        said: String,
    },
    /// A session with it.
    #[error("ask the scratch server")]
    Session(#[source] PostgresError),
    /// Another proof is running on this host.
    #[error("another proof has been running on this host for {waited:?}")]
    HostBusy {
        /// How long we waited.
        waited: Duration,
    },
    /// We were told to stop.
    #[error("told to stop")]
    Cancelled,
}

/// Proves a backup and writes the proof beside it.
///
/// # Errors
/// When nothing could be found out; a backup that turned out wrong is a proof, not an error.
///
/// # Cancellation
/// See the module.
pub async fn run(context: &JobContext, run: &Run, plan: &VerifyPlan) -> Result<Proof, VerifyError> {
    let series = plan.series(&context.project);
    let missing = || VerifyError::Missing {
        id: plan.id.clone(),
        database: plan.database.clone(),
    };
    let backup = context.store.find(&series, &plan.id)?.ok_or_else(missing)?;
    let begun = Instant::now();
    let findings = tokio::select! {
        findings = find_out(context, run, plan, &backup) => findings?,
        () = run.stop.cancelled() => return Err(VerifyError::Cancelled),
    };
    let proof = Proof {
        id: plan.id.clone(),
        destination: DESTINATION.to_owned(),
        at: context.clock.now(),
        took: begun.elapsed(),
        restore_took: findings.restore_took,
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        level: findings.level.filter(|_| findings.differences.is_empty()),
        reason: findings.reason,
        compared: findings.compared,
        differences: findings.differences,
    };
    context.store.add_proof(&series, &proof)?;
    Ok(proof)
}

/// What a proof found out.
#[derive(Debug, Default)]
struct Findings {
    level: Option<Level>,
    reason: Option<String>,
    restore_took: Option<Duration>,
    compared: Vec<crate::domain::comparison::ObjectComparison>,
    differences: Vec<Difference>,
    /// That the archive's schema is not the recorded one.
    other_schema: Option<Difference>,
}

impl Findings {
    fn wrong_bytes(what: &str, file: &str) -> Self {
        let difference = Difference {
            kind: ObjectKind::File,
            name: file.to_owned(),
            what: what.to_owned(),
        };
        Self {
            differences: vec![difference],
            ..Self::default()
        }
    }

    fn stepped_down(level: Level, reason: String) -> Self {
        Self {
            level: Some(level),
            reason: Some(reason),
            ..Self::default()
        }
    }
}

async fn find_out(
    context: &JobContext,
    run: &Run,
    plan: &VerifyPlan,
    backup: &Backup,
) -> Result<Findings, VerifyError> {
    let manifest = &backup.manifest;
    let path = context.store.path_of(manifest);
    if !path.try_exists().unwrap_or(true) {
        return Ok(Findings::wrong_bytes("it is missing", &manifest.file));
    }
    if ReadBack::open(&path)?.finish().await? != manifest.stored_sha256 {
        let what = "its bytes are not those that were written (SHA-256 differs)";
        return Ok(Findings::wrong_bytes(what, &manifest.file));
    }
    if plan.level <= Level::Archive {
        return Ok(Findings {
            level: Some(plan.level),
            ..Findings::default()
        });
    }
    let place = scratch::guess_place(manifest, context.limits.proof_memory);
    match restore_in(context, run, plan, backup, place).await {
        Err(VerifyError::Full {
            place: Place::Memory,
            ..
        }) => {
            tracing::info!(backup = %plan.id, "the copy does not fit into memory; it is restored again on disk");
            restore_in(context, run, plan, backup, Place::Disk).await
        }
        findings => findings,
    }
}

async fn restore_in(
    context: &JobContext,
    run: &Run,
    plan: &VerifyPlan,
    backup: &Backup,
    place: Place,
) -> Result<Findings, VerifyError> {
    let server = plan.server.as_ref();
    let server = server.ok_or_else(|| VerifyError::NoServer {
        database: plan.database.clone(),
    })?;
    let scratch = match Scratch::start(context, run, server, &backup.manifest, place).await {
        Ok(scratch) => scratch,
        Err(scratch::StartError::Unserved(said)) => {
            let reason = format!("its image cannot run a scratch server: {said}");
            return Ok(Findings::stepped_down(Level::Archive, reason));
        }
        Err(scratch::StartError::Verify(error)) => return Err(error),
    };
    let findings = prove(context, plan, backup, &scratch).await;
    scratch.remove(context).await;
    findings
}

async fn prove(
    context: &JobContext,
    plan: &VerifyPlan,
    backup: &Backup,
    scratch: &Scratch,
) -> Result<Findings, VerifyError> {
    let globals = read_globals(context, plan, backup).await?;
    let restored = match restore::run(context, backup, scratch, globals.as_deref()).await? {
        restore::Restored::Done(restored) => restored,
        restore::Restored::Refused(said) => {
            let what = format!("pg_restore could not restore it: {said}");
            return Ok(Findings::wrong_bytes(&what, &backup.manifest.file));
        }
    };
    let mut findings = Findings {
        restore_took: Some(restored.took),
        ..Findings::default()
    };
    compare::schema(context, backup, scratch, &restored, &mut findings).await?;
    match &globals {
        Some(globals) => compare::roles(context, scratch, globals, &mut findings).await?,
        None => findings.reason = Some("no backup of the roles stands beside it".to_owned()),
    }
    findings.level = Some(Level::Restore);
    if plan.level > Level::Restore {
        match &backup.manifest.counted {
            Counted::Exact(census) => {
                compare::census(context, backup, scratch, census, &mut findings).await?;
            }
            Counted::Absent(why) => findings.reason = Some(format!("rows were not counted: {why}")),
            Counted::Summary { .. } => findings.reason = Some("rows were not read".to_owned()),
        }
    }
    findings.level = findings.level.map(|level| level.min(plan.level));
    let other_schema = findings.other_schema.take();
    findings.differences.extend(other_schema);
    Ok(findings)
}

/// The roles that the dump restores on top of.
async fn read_globals(
    context: &JobContext,
    plan: &VerifyPlan,
    backup: &Backup,
) -> Result<Option<String>, VerifyError> {
    let Some(id) = &backup.manifest.globals else {
        return Ok(None);
    };
    let series = Series {
        content: Content::Globals,
        ..plan.series(&context.project)
    };
    let Some(globals) = context.store.find(&series, id)? else {
        return Ok(None);
    };
    let path = context.store.path_of(&globals.manifest);
    let bytes = tokio::fs::read(&path)
        .await
        .map_err(|source| StoreError::from_io("read", &path, source))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether the stored file has to be unpacked before pg_restore can read it with several jobs.
fn is_outer(packing: Packing) -> bool {
    packing == Packing::OuterZstd
}

/// The database of a backup; globals have none and are never proven alone.
fn database_of(backup: &Backup) -> DatabaseName {
    backup
        .manifest
        .series
        .content
        .database()
        .cloned()
        .unwrap_or_else(|| DatabaseName::new("postgres"))
}
