//! Roles first, then the database, into the scratch server.

use std::time::Duration;

use tokio::time::Instant;

use super::scratch::{JOBS, Scratch, StartError};
use super::{VerifyError, database_of};
use crate::docker::ExecResult;
use crate::domain::backup::Backup;
use crate::domain::failure::bounded;
use crate::domain::id::DatabaseName;
use crate::job::JobContext;
use crate::postgres::scratch::{
    RestoreEntry, RestoreRequest, filter_globals, find_lack, is_failure_of_psql,
    is_failure_of_restore, restore_command,
};

/// How long a statement of ours may take in an idle server.
const STATEMENT: Duration = Duration::from_mins(2);

/// How a restore ended.
pub(super) enum Restored {
    /// Everything came back.
    Done(RestoredCopy),
    /// pg_restore found it impossible.
    Refused(String),
    /// The image lacks what the database was made with.
    Unserved(String),
}

/// The restored copy.
pub(super) struct RestoredCopy {
    /// How long pg_restore took.
    pub(super) took: Duration,
    /// The server's tablespaces.
    pub(super) tablespaces: Vec<String>,
}

/// Restores the archive.
///
/// # Errors
/// When the scratch server itself fails; a refusal of pg_restore is an answer about the backup.
pub(super) async fn run(
    context: &JobContext,
    backup: &Backup,
    scratch: &Scratch,
    globals: Option<&str>,
) -> Result<Restored, VerifyError> {
    let mut tablespaces = Vec::new();
    if let Some(globals) = globals {
        let plan = &scratch.plan;
        let filtered = filter_globals(globals, &plan.bootstrap_user, plan.tablespaces());
        let command = scratch.plan.globals_command(&scratch.application);
        let ran = scratch.run(context, command, Some(filtered.sql)).await?;
        if !ran.end().is_success() {
            scratch.check_alive(context).await.map_err(into_verify)?;
            scratch.expect_room(&ran)?;
            if is_failure_of_psql(ran.code, &ran.stderr) {
                return Err(lost("could not restore the roles", &ran));
            }
            let said = told(&ran.stderr);
            return Ok(Restored::Refused(format!(
                "its roles cannot be created: {said}"
            )));
        }
        tablespaces = filtered.tablespaces;
    }
    let database = database_of(backup);
    let facts = backup.manifest.facts.as_ref();
    let encoding = facts.map(|facts| facts.encoding.as_str());
    let entry = RestoreEntry::of(&database, encoding, &scratch.plan.encoding);
    prepare(context, scratch, &entry).await?;
    let extensions = facts.map_or(&[] as &[String], |facts| &facts.extensions);
    let command = restore_command(&RestoreRequest {
        login: &scratch.login,
        file: scratch.file,
        entry: &entry.database,
        tablespaces: scratch.plan.tablespaces(),
        jobs: JOBS,
        extensions,
        application: &scratch.application,
    });
    let begun = Instant::now();
    let ran = scratch.run(context, command, None).await?;
    if ran.end().is_success() {
        return Ok(Restored::Done(RestoredCopy {
            took: begun.elapsed(),
            tablespaces,
        }));
    }
    // A server killed for memory, or a full disk, says nothing about the backup.
    scratch.check_alive(context).await.map_err(into_verify)?;
    scratch.expect_room(&ran)?;
    if is_failure_of_restore(ran.code, &ran.stderr) {
        return Err(lost("could not restore", &ran));
    }
    if let Some(said) = find_lack(&ran.stderr, extensions) {
        return Ok(Restored::Unserved(bounded(said.trim(), 1_000)));
    }
    Ok(Restored::Refused(bounded(ran.stderr.trim(), 1_000)))
}

async fn prepare(
    context: &JobContext,
    scratch: &Scratch,
    entry: &RestoreEntry,
) -> Result<(), VerifyError> {
    if entry.preludes.is_empty() {
        return Ok(());
    }
    let first = DatabaseName::new("template1");
    let mut session = scratch.connect(context, &first).await?;
    for prelude in &entry.preludes {
        let ran = session.run(prelude, STATEMENT).await;
        ran.map_err(VerifyError::Session)?;
    }
    Ok(())
}

/// What the server met it may not meet again: no verdict, and the proof is tried again.
fn lost(operation: &'static str, ran: &ExecResult) -> VerifyError {
    let said = format!("code {}: {}", ran.code, told(&ran.stderr));
    VerifyError::Scratch { operation, said }
}

/// What was said, without the places in the server's own source.
fn told(stderr: &str) -> String {
    let lines = stderr
        .trim()
        .lines()
        .filter(|line| !line.starts_with("LOCATION:"));
    bounded(&lines.collect::<Vec<_>>().join("\n"), 1_000)
}

/// An image that served a moment ago and does not any more is an error.
pub(super) fn into_verify(error: StartError) -> VerifyError {
    match error {
        StartError::Unserved(said) | StartError::Undecodable(said) => VerifyError::Scratch {
            operation: "ended",
            said,
        },
        StartError::Verify(error) => error,
    }
}
