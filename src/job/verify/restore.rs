//! Roles first, then the database, into the scratch server.

use std::time::Duration;

use tokio::time::Instant;

use super::scratch::{JOBS, Scratch, StartError};
use super::{VerifyError, database_of};
use crate::domain::backup::Backup;
use crate::domain::failure::bounded;
use crate::domain::id::DatabaseName;
use crate::job::JobContext;
use crate::postgres::scratch::{RestoreRequest, filter_globals, restore_command, restore_prelude};

/// How long a statement of ours may take in an idle server.
const STATEMENT: Duration = Duration::from_mins(2);

/// How a restore ended.
pub(super) enum Restored {
    /// Everything came back.
    Done(RestoredCopy),
    /// pg_restore found it impossible.
    Refused(String),
}

/// The restored copy.
pub(super) struct RestoredCopy {
    /// How long pg_restore took.
    pub(super) took: Duration,
    /// Tablespaces that the copy does without.
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
        let filtered = filter_globals(globals, &scratch.plan.bootstrap_user);
        let command = scratch.plan.globals_command(&scratch.application);
        let ran = scratch.run(context, command, Some(filtered.sql)).await?;
        if !ran.end().is_success() {
            scratch.check_alive(context).await.map_err(into_verify)?;
            let said = bounded(ran.stderr.trim(), 1_000);
            return Ok(Restored::Refused(format!(
                "its roles cannot be created: {said}"
            )));
        }
        tablespaces = filtered.tablespaces;
    }
    let database = database_of(backup);
    if let Some(prelude) = restore_prelude(&database) {
        let mut session = scratch
            .connect(context, &DatabaseName::new("template1"))
            .await?;
        session
            .run(prelude, STATEMENT)
            .await
            .map_err(VerifyError::Session)?;
    }
    let extensions = backup
        .manifest
        .facts
        .as_ref()
        .map(|facts| facts.extensions.clone());
    let command = restore_command(&RestoreRequest {
        login: &scratch.login,
        file: scratch.file,
        jobs: JOBS,
        extensions: &extensions.unwrap_or_default(),
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
    Ok(Restored::Refused(bounded(ran.stderr.trim(), 1_000)))
}

fn into_verify(error: StartError) -> VerifyError {
    match error {
        StartError::Unserved(said) => VerifyError::Scratch {
            operation: "ended",
            said,
        },
        StartError::Verify(error) => error,
    }
}
