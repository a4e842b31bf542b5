//! One database from lock to manifest.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::attempt::{self, Counting, Dumped};
use super::deadline::{Deadline, Step};
use super::{
    BackupError, RunGlobals, Stages, TakeRequest, Taken, archive_check, compose, courtesy,
    predecessor,
};
use crate::domain::backup::{Content, Level, Manifest, Series};
use crate::domain::id::BackupId;
use crate::domain::job::JobKind;
use crate::domain::progress;
use crate::domain::room::{find_shortage, needed_for_dump};
use crate::domain::unit::{ByteCount, Timestamp};
use crate::job::copy::along::{self, Along, Bounds, Copied};
use crate::job::server::{self, DatabaseLock};
use crate::job::{JobContext, Run};
use crate::store::StoreError;
use crate::store::disk::find_free;

/// After so many dumps into which a TRUNCATE or rewrite slipped, one is taken without counts.
const ATTEMPTS: u32 = 3;

/// So long a job goes on behind a backup that stands, for a bucket that is slower than the dump: others wait for it.
const TAIL: Duration = Duration::from_mins(15);
/// So long a migration waits for the copy of its backup; the sidecar makes good what is not done by then.
const TAIL_BEFORE_MIGRATION: Duration = Duration::from_secs(10);

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
    let last = expect_room(context, request).await?;
    let Some(store) = &context.s3 else {
        let task = Task::new(context, run, request, Along::nobody());
        return task.take(locking, globals).await;
    };
    let bounds = Bounds {
        tail: match locking {
            Locking::Take => TAIL,
            // A migration waits, and the application behind it.
            Locking::Held(_) => TAIL_BEFORE_MIGRATION,
        },
        stop: run.stop.clone(),
    };
    let (along, follows) = along::begin(last);
    let task = Task::new(context, run, request, along);
    let taken = Box::pin(task.take(locking, globals));
    let (taken, copied) = tokio::join!(taken, Box::pin(along::drive(store, follows, &bounds)));
    Ok(Taken { copied, ..taken? })
}

impl Task<'_> {
    async fn take(
        self,
        locking: Locking<'_>,
        globals: &mut RunGlobals,
    ) -> Result<Taken, BackupError> {
        let Self {
            context,
            run,
            request,
            ..
        } = self;
        // Kept to the end: the lock is given back when the manifest stands.
        let mut own = None;
        let (begun, mut dumped) = self.dump_in_turn(locking, &mut own).await?;
        let (ended_at, counted_at) = (dumped.ended_at, dumped.counted_at.max(dumped.ended_at));
        let archive = match self.check(&dumped).await {
            Ok(archive) => archive,
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
        if roles.is_none() && run.stop.is_cancelled() {
            // Without its roles it might not restore, and would be refuted for our own haste.
            drop(dumped.stored.discard());
            return Err(BackupError::Cancelled);
        }
        let checked = compose::Checked {
            archive,
            globals: roles,
            took: begun.elapsed(),
        };
        let ticket = dumped.ticket.take();
        let mut manifest = compose::manifest(context, request, &dumped, checked);
        manifest.suspicion = predecessor::suspicion(context, run, request, &manifest).await;
        Box::pin(context.store.publish(dumped.stored, &manifest)).await?;
        if let Some(ticket) = ticket {
            ticket.commit(&manifest);
        }
        warn_of_suspicion(&manifest);
        let stages = Stages {
            dump: ended_at - begun,
            digest: counted_at - ended_at,
            archive: archived_at - counted_at,
            publish: archived_at.elapsed(),
        };
        Ok(Taken {
            manifest,
            stages,
            copied: Copied::NotAsked,
        })
    }
}

fn warn_of_suspicion(manifest: &Manifest) {
    if let Some(suspicion) = &manifest.suspicion {
        warn!(
            series = %manifest.series, backup.id = %manifest.id, predecessor = %suspicion.predecessor,
            reasons = suspicion.reasons.join("; "),
            "the new backup is suspect: retention removes nothing of its series until it is accepted"
        );
    }
}

/// Says before anything begins, and before anybody is locked out, that the disk would be full; gives the size of the
/// last backup.
async fn expect_room(
    context: &JobContext,
    request: &TakeRequest,
) -> Result<Option<ByteCount>, BackupError> {
    let (store, series) = (context.store.clone(), series(context, request));
    let folder = store.root().to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let last = store.find_newest(&series, |_any| true)?;
        Ok::<_, StoreError>((last, find_free(store.root())?))
    });
    let (last, free) = looked
        .await
        .map_err(|_thread| StoreError::ThreadLost { path: folder })??;
    let last = last.map(|last| last.manifest.stored_size);
    let needed = last.map(needed_for_dump);
    match needed.and_then(|needed| find_shortage(free, needed)) {
        None => Ok(last),
        Some(shortage) => Err(BackupError::NoRoom {
            folder: context.store.root().to_owned(),
            shortage,
        }),
    }
}

/// One backup on its way.
struct Task<'a> {
    context: &'a JobContext,
    run: &'a Run,
    request: &'a TakeRequest,
    deadline: Deadline,
    along: Along,
}

impl<'a> Task<'a> {
    fn new(context: &'a JobContext, run: &'a Run, request: &'a TakeRequest, along: Along) -> Self {
        Self {
            context,
            run,
            request,
            deadline: Deadline::after(context.limits.deadline),
            along,
        }
    }

    /// Dumps under the database's lock; gives way to who waits for a table, stays away for a while and begins
    /// again. Meanwhile whoever waits for the lock may have it.
    async fn dump_in_turn(
        &self,
        mut locking: Locking<'_>,
        own: &mut Option<DatabaseLock>,
    ) -> Result<(Instant, Dumped), BackupError> {
        let mut times = 0;
        loop {
            let lock = match &mut locking {
                Locking::Held(lock) => &mut **lock,
                Locking::Take => own.insert(self.lock().await?),
            };
            let begun = Instant::now();
            match self.dump(lock).await {
                Err(gave_way @ BackupError::GaveWay { .. }) => {
                    *own = None;
                    times += 1;
                    self.stay_away(gave_way, times).await?;
                }
                dumped => return Ok((begun, dumped?)),
            }
        }
    }

    async fn lock(&self) -> Result<DatabaseLock, BackupError> {
        let (target, database) = (&self.request.target, &self.request.database);
        let lock = server::lock(self.context, self.run, target, database);
        self.deadline.bound(Step::Lock, lock).await
    }

    /// Dumps until nothing slipped between snapshot and dump; the last time without counts.
    async fn dump(&self, lock: &mut DatabaseLock) -> Result<Dumped, BackupError> {
        let mut slipped = Vec::new();
        for attempt in 1..=ATTEMPTS {
            match self.attempt(lock, counting(self.request.level)).await {
                Err(BackupError::Slipped { tables }) => {
                    warn!(
                        database = %self.request.database, attempt, tables = tables.join(", "),
                        "tables were truncated or rewritten while the dump began; beginning again"
                    );
                    slipped = tables;
                }
                dumped => return dumped,
            }
        }
        let why = format!(
            "tables kept being truncated or rewritten while the dump began: {}",
            slipped.join(", ")
        );
        self.attempt(lock, Counting::Without(why)).await
    }

    /// One try, watched; whatever breaks it, no pg_dump of ours goes on holding locks.
    async fn attempt(
        &self,
        lock: &mut DatabaseLock,
        counting: Counting,
    ) -> Result<Dumped, BackupError> {
        let subject = self.request.database.to_string();
        let progress = &self.context.progress;
        progress.begin(JobKind::Backup, &subject, progress::Step::Dumping);
        let watched = async {
            // Boxed: what a dump has to remember is large, and every caller would carry it.
            let attempt = attempt::run(self.context, self.run, self.request, counting, &self.along);
            let attempt = Box::pin(attempt);
            let Some(patience) = self.context.limits.patience else {
                return attempt.await;
            };
            tokio::select! {
                biased;
                dumped = attempt => dumped,
                blocked = courtesy::watch(self.context, self.run, self.request, patience) => {
                    Err(courtesy::gave_way(blocked, patience))
                }
            }
        };
        let dumped = self.deadline.bound(Step::Dump, watched).await;
        if let Err(error) = &dumped {
            let ended = lock.end_sessions(self.context, self.run).await;
            if let (BackupError::Slipped { .. }, Err(error)) = (error, ended) {
                return Err(error.into());
            }
        }
        dumped
    }

    async fn stay_away(&self, gave_way: BackupError, times: usize) -> Result<(), BackupError> {
        let BackupError::GaveWay {
            statement,
            relation,
            waited,
            ..
        } = gave_way
        else {
            return Err(gave_way);
        };
        let Some(pause) = courtesy::pause_after(times, waited) else {
            return Err(BackupError::GaveWay {
                statement,
                relation,
                waited,
                times,
            });
        };
        warn!(
            database = %self.request.database, statement, relation, waited_s = waited.as_secs(),
            pause_s = pause.as_secs(),
            "the dump gave way to a statement that waited for it; it begins again after a pause"
        );
        let rest = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => Ok(()),
                () = self.run.stop.cancelled() => Err(BackupError::Cancelled),
            }
        };
        self.deadline.bound(Step::Pause, rest).await
    }

    /// Reads back what was stored, unless nobody asks for it.
    async fn check(&self, dumped: &Dumped) -> Result<Option<archive_check::Checked>, BackupError> {
        if self.request.level == Level::Stream {
            return Ok(None);
        }
        let progress = &self.context.progress;
        progress.go_on(JobKind::Backup, progress::Step::Checking);
        let check = archive_check::run(self.context, self.run, self.request, dumped);
        self.deadline
            .bound(Step::ArchiveCheck, check)
            .await
            .map(Some)
    }
}

/// Nobody pays for digests that no proof will compare.
fn counting(level: Level) -> Counting {
    match level {
        Level::Rows | Level::Content => Counting::Exact,
        Level::Stream | Level::Archive | Level::Restore => {
            let why = format!(
                "when it was taken, stackwarden.backup.verify asked for {level}, which compares no rows; only a backup \
                 taken under rows or content knows what to compare with"
            );
            Counting::Without(why)
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

/// A new id for a backup of a series that begins now, behind all that are there.
pub(super) fn new_id(
    context: &JobContext,
    series: &Series,
    now: Timestamp,
) -> Result<BackupId, BackupError> {
    let mut random = [0_u8; 2];
    getrandom::fill(&mut random)
        .map_err(|error| BackupError::Random(std::io::Error::other(error.to_string())))?;
    let newest = context.store.find_newest_id(series)?;
    Ok(BackupId::build_after(newest.as_ref(), now, random))
}
