//! One database from lock to manifest.

use tokio::time::Instant;

use super::attempt::{self, Dumped};
use super::{BackupError, RunGlobals, Stages, TakeRequest, Taken, archive_check, compose};
use crate::domain::backup::{Content, Level, Series};
use crate::domain::id::BackupId;
use crate::domain::unit::Timestamp;
use crate::job::server::{self, DatabaseLock};
use crate::job::{JobContext, Run};

/// After so many dumps into which a TRUNCATE or rewrite slipped, one is taken without counts.
const ATTEMPTS: u32 = 3;

/// Who holds the right to the database.
#[derive(Debug)]
pub enum Locking<'a> {
    /// This backup asks for it.
    Take,
    /// The migration around this backup holds it.
    Held(&'a mut DatabaseLock),
}

/// Takes, checks and publishes a backup of one database.
///
/// # Errors
/// With the first thing that went wrong; nothing of it is visible then.
///
/// # Cancellation
/// See [`super`].
pub async fn take_database(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    locking: Locking<'_>,
    globals: &mut RunGlobals,
) -> Result<Taken, BackupError> {
    let mut own = None;
    let lock = match locking {
        Locking::Held(lock) => lock,
        Locking::Take => {
            own.insert(server::lock(context, run, &request.target, &request.database).await?)
        }
    };
    let begun = Instant::now();
    let dumped = dump(context, run, request, lock).await?;
    let dumped_at = Instant::now();
    let checked = match request.level {
        Level::Stream => Ok(None),
        Level::Archive | Level::Restore | Level::Rows | Level::Content => {
            archive_check::run(context, run, request, &dumped)
                .await
                .map(Some)
        }
    };
    let schema = match checked {
        Ok(schema) => schema,
        Err(error) => {
            // The check's error is the one to tell; a file that cannot be removed is swept at the next start.
            drop(dumped.stored.discard());
            return Err(error);
        }
    };
    let archived_at = Instant::now();
    let roles = globals
        .ensure(context, run, &request.target, request.reason)
        .await;
    let checked = compose::Checked {
        schema,
        globals: roles,
        took: begun.elapsed(),
    };
    let manifest = compose::manifest(context, request, &dumped, checked);
    context.store.publish(dumped.stored, &manifest)?;
    let stages = Stages {
        dump: dumped_at - begun,
        archive: archived_at - dumped_at,
        publish: archived_at.elapsed(),
    };
    Ok(Taken { manifest, stages })
}

/// Dumps until nothing slipped between snapshot and dump; the last time without counts.
async fn dump(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    lock: &mut DatabaseLock,
) -> Result<Dumped, BackupError> {
    let mut slipped = Vec::new();
    let counting = counting(request.level);
    for attempt in 1..=ATTEMPTS {
        match attempt::run(context, run, request, counting.clone()).await {
            Err(BackupError::Slipped { tables }) => {
                lock.end_sessions(context, run).await?;
                tracing::warn!(
                    database = %request.database, attempt, tables = tables.join(", "),
                    "tables were truncated or rewritten while the dump began; beginning again"
                );
                slipped = tables;
            }
            Ok(dumped) => return Ok(dumped),
            Err(error) => {
                // Whatever broke, no pg_dump of ours may go on holding locks.
                drop(lock.end_sessions(context, run).await);
                return Err(error);
            }
        }
    }
    let why = format!(
        "tables kept being truncated or rewritten while the dump began: {}",
        slipped.join(", ")
    );
    attempt::run(context, run, request, attempt::Counting::Without(why)).await
}

/// Nobody pays for digests that no proof will compare.
fn counting(level: Level) -> attempt::Counting {
    match level {
        Level::Rows | Level::Content => attempt::Counting::Exact,
        Level::Stream | Level::Archive | Level::Restore => {
            let why = format!("stackwarden.backup.verify asks for {level}, which compares no rows");
            attempt::Counting::Without(why)
        }
    }
}

/// The series of a request.
pub(super) fn series(context: &JobContext, request: &TakeRequest) -> Series {
    Series {
        project: context.project.clone(),
        service: request.target.service.clone(),
        content: Content::Database(request.database.clone()),
    }
}

/// A new id for something that begins now.
pub(super) fn new_id(now: Timestamp) -> Result<BackupId, BackupError> {
    let mut random = [0_u8; 2];
    getrandom::fill(&mut random)
        .map_err(|error| BackupError::Random(std::io::Error::other(error.to_string())))?;
    Ok(BackupId::build(now, random))
}
