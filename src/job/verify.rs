//! Proves a backup: reads the stored bytes again, restores them into a throw-away server of the stack's own
//! image, and compares everything with what the dump's own snapshot held.
//!
//! Dropped or killed at any await, it leaves at most the scratch container with its volume; the next start,
//! or the next proof of any stack on this host, removes it. The backup itself is never touched.

mod begin;
mod bounds;
pub(super) mod compare;
mod failure;
pub(super) mod file;
pub(super) mod findings;
pub(super) mod foreign;
mod held;
mod restore;
mod scratch;
mod stage;
mod turn;

use tokio::time::Instant;

use super::opened::{Rest, find_closed};
use super::{JobContext, Run};
use crate::domain::backup::{Backup, Content, Counted, Destination, Level, Packing, Proof, Series};
use crate::domain::id::{BackupId, DatabaseName, DatabaseRef, ProjectName};
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::raw_text;
use crate::domain::roster::ServerTarget;
use begin::{Begun, Proving};
use findings::Findings;
use held::{Found, FoundRoles, Held};
use scratch::{Place, Scratch};

pub use failure::VerifyError;
pub use file::{FilePlan, FileVerdict, run_file};
pub use foreign::Judgement;
pub use stage::Stage;
pub use turn::Turns;

/// What to prove.
#[derive(Debug, Clone)]
pub struct VerifyPlan {
    /// The database.
    pub database: DatabaseRef,
    /// The backup.
    pub id: BackupId,
    /// How far.
    pub level: Level,
    /// From where; otherwise from disk, and from the bucket where the disk does not have it.
    pub from: Option<Destination>,
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

/// Proves a backup and writes the proof beside it.
///
/// # Errors
/// When nothing could be found out; a backup that turned out wrong is a proof, not an error.
///
/// # Cancellation
/// Told to stop by `run`, it removes the scratch server first; dropped, see the module.
pub async fn run(context: &JobContext, run: &Run, plan: &VerifyPlan) -> Result<Proof, VerifyError> {
    let _turn = run.or_stopped(context.turns.take()).await?;
    let held = run.or_stopped(find_backup(context, plan)).await?;
    let begun = Instant::now();
    let findings = Box::pin(find_out(context, run, plan, &held));
    let findings = bounds::in_time(context, findings).await?;
    let proof = proof_of(context, plan, held.destination(), begun, findings);
    held.add_proof(context, &proof).await?;
    Ok(proof)
}

async fn find_backup(context: &JobContext, plan: &VerifyPlan) -> Result<Held, VerifyError> {
    let series = plan.series(&context.project);
    let held = Held::find(context, plan, &series).await?;
    held.ok_or_else(|| VerifyError::Missing {
        id: plan.id.clone(),
        database: plan.database.clone(),
    })
}

fn proof_of(
    context: &JobContext,
    plan: &VerifyPlan,
    destination: Destination,
    begun: Instant,
    findings: Findings,
) -> Proof {
    Proof {
        id: plan.id.clone(),
        destination: destination.as_str().to_owned(),
        at: context.clock.now(),
        took: begun.elapsed(),
        restore_took: findings.restore_took,
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        level: findings.level.filter(|_| findings.differences.is_empty()),
        reason: findings.reason,
        awaits_room: findings.awaits_room,
        awaits_key: findings.awaits_key,
        compared: findings.compared,
        differences: findings.differences,
    }
}

async fn find_out(
    context: &JobContext,
    run: &Run,
    plan: &VerifyPlan,
    held: &Held,
) -> Result<Findings, VerifyError> {
    let backup = &held.backup;
    let manifest = &backup.manifest;
    let (progress, subject) = (&context.progress, plan.database.to_string());
    progress.begin(JobKind::Verify, &subject, Step::Reading);
    let archive = match run.or_stopped(held.read(context, plan.level)).await? {
        Found::Sound(archive) => archive,
        Found::Judged(findings) => return Ok(*findings),
    };
    if plan.level <= Level::Archive {
        // Bytes that nobody has decoded are not decoded by being the same.
        let level = plan.level.min(manifest.level);
        let why =
            "the bytes are those that were written, and nobody has decoded them; ask for restore";
        return Ok(Findings {
            level: Some(level),
            reason: (level < plan.level).then(|| why.to_owned()),
            ..Findings::default()
        });
    }
    if let Some(closed) = find_closed(context, &Rest::Disk(archive.path().to_owned())).await? {
        // What was decoded when it was taken stays true of bytes that are the same.
        let level = Level::Archive.min(manifest.level);
        let tried = context.keys.openers();
        return Ok(Findings::without_key(level, closed.to_string(), tried));
    }
    let place = Place::guess(manifest, context.limits.proof_memory);
    let proving = Proving {
        plan,
        backup,
        archive: archive.path(),
    };
    match restore_in(context, run, &proving, place).await {
        Err(VerifyError::Full {
            place: Place::Memory,
            ..
        }) => {
            tracing::info!(backup = %plan.id, "the copy does not fit into memory; it is restored again on disk");
            restore_in(context, run, &proving, Place::Disk).await
        }
        findings => findings,
    }
}

async fn restore_in(
    context: &JobContext,
    run: &Run,
    proving: &Proving<'_>,
    place: Place,
) -> Result<Findings, VerifyError> {
    let Proving { plan, backup, .. } = proving;
    context.progress.go_on(JobKind::Verify, Step::Starting);
    let scratch = match begin::begin(context, run, proving, place).await? {
        Begun::Scratch(scratch) => scratch,
        Begun::Settled(findings) => return Ok(*findings),
    };
    // Told to stop, we still take the scratch away: after a `down` nobody comes who would. On the heap: the comparisons
    // that run at once are big.
    let proof = Box::pin(async {
        match read_globals(context, plan, backup).await? {
            Globals::Known(text) => Box::pin(prove(context, plan, backup, &scratch, text)).await,
            Globals::Altered(findings) => Ok(*findings),
        }
    });
    let findings = run.or_stopped(proof).await;
    scratch.remove(context).await;
    findings
}

/// Restores and compares.
async fn prove(
    context: &JobContext,
    plan: &VerifyPlan,
    backup: &Backup,
    scratch: &Scratch,
    globals: Option<String>,
) -> Result<Findings, VerifyError> {
    let dumped_from = backup.manifest.origin.server_version_number / 10_000;
    let compared = Box::pin(compare_copy(context, plan, backup, scratch, globals)).await;
    compared.map(|findings| findings.across(dumped_from, scratch.plan.major))
}

async fn compare_copy(
    context: &JobContext,
    plan: &VerifyPlan,
    backup: &Backup,
    scratch: &Scratch,
    globals: Option<String>,
) -> Result<Findings, VerifyError> {
    context.progress.go_on(JobKind::Verify, Step::Restoring);
    // The archive's own schema needs no server: it is read while another program restores.
    let (restored, expected) = tokio::try_join!(
        restore::run(context, backup, scratch, globals.as_deref()),
        compare::archive_schema(context, scratch),
    )?;
    let restored = match restored {
        restore::Restored::Done(restored) => restored,
        restore::Restored::Unserved(said) => {
            let reason = format!(
                "its image lacks what the database needs, so no restore into it can work: {said}"
            );
            return Ok(Findings::stepped_down(Level::Archive, reason));
        }
        restore::Restored::Refused(said) => {
            let what = format!("pg_restore could not restore it: {said}");
            return Ok(Findings::wrong_bytes(&what, &backup.manifest.file));
        }
    };
    context.progress.go_on(JobKind::Verify, Step::Comparing);
    let expected = compare::expect_schema(expected)?;
    // Most of a small proof is waiting for programs to start, so they start together.
    let (schema, roles, rows) = tokio::try_join!(
        compare::schema(context, backup, scratch, expected),
        compare::roles(context, scratch, globals.as_deref()),
        rows(context, plan, backup, scratch),
    )?;
    let mut findings = Findings {
        level: Some(Level::Restore),
        restore_took: Some(restored.took),
        compared: compare::tablespaces(scratch, &restored.tablespaces),
        ..Findings::default()
    };
    for part in [schema, roles, rows] {
        findings.absorb(part);
    }
    findings.level = findings.level.map(|level| level.min(plan.level));
    let other_schema = findings.other_schema.take();
    findings.differences.extend(other_schema);
    Ok(findings)
}

async fn rows(
    context: &JobContext,
    plan: &VerifyPlan,
    backup: &Backup,
    scratch: &Scratch,
) -> Result<Findings, VerifyError> {
    if plan.level <= Level::Restore {
        return Ok(Findings::default());
    }
    match &backup.manifest.counted {
        Counted::Exact(census) => compare::census(context, backup, scratch, census).await,
        Counted::Absent(why) => Ok(Findings::without(&format!("rows were not counted: {why}"))),
        Counted::Summary { .. } => Ok(Findings::without("rows were not read")),
    }
}

/// The roles that the dump restores on top of.
enum Globals {
    /// Their text, where there is one.
    Known(Option<String>),
    /// They are not what was written: no restore would take them.
    Altered(Box<Findings>),
}

async fn read_globals(
    context: &JobContext,
    plan: &VerifyPlan,
    backup: &Backup,
) -> Result<Globals, VerifyError> {
    let Some(id) = &backup.manifest.globals else {
        return Ok(Globals::Known(None));
    };
    let series = Series {
        content: Content::Globals,
        ..plan.series(&context.project)
    };
    Ok(match held::read_roles(context, &series, id).await? {
        None => Globals::Known(None),
        Some(FoundRoles::Sound(text)) => Globals::Known(Some(raw_text::read(text))),
        Some(FoundRoles::Altered(file)) => {
            let what =
                "the roles that it stands on are not those that were written (SHA-256 differs)";
            Globals::Altered(Box::new(Findings::wrong_bytes(what, &file)))
        }
    })
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
