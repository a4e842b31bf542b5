//! The clock: wakes every second and asks which backups and proofs are due.
//!
//! The cron library only wakes us: its own zones go wrong at daylight saving, it forgets missed runs and
//! runs overlapping ones. Due times come from [`crate::domain::schedule`] and from the last success.

mod copying;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::board::{Board, Picture, Reach, SeriesPicture, ServerPicture};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::domain::backup::{Backup, Content, Destination, Level, Means, Reason, Series};
use crate::domain::id::DatabaseRef;
use crate::domain::job::{BackupScope, JobKind, JobRequest, JobState, Submission};
use crate::domain::schedule::Schedule;
use crate::domain::schedule::due::{Due, History, is_due, newest_success};
use crate::domain::unit::Timestamp;

/// Every second; six fields, as the library wants them.
const EVERY_SECOND: &str = "* * * * * *";

/// Pauses between tries of a proof that could not be made: 5, 10, 20 and then every 40 minutes.
const PROOF_PAUSE: TimeDelta = TimeDelta::minutes(5);

/// The task that asks who is due.
#[derive(Debug)]
pub struct ScheduleTrigger {
    /// Where requests go.
    pub desk: Desk,
    /// What is known.
    pub board: Board,
    /// Now.
    pub clock: Arc<dyn Clock>,
}

impl ScheduleTrigger {
    /// Wakes and asks until `soft` is cancelled.
    ///
    /// # Errors
    /// When the ticker cannot be started; nothing would ever be due then.
    pub async fn run(self, soft: CancellationToken) -> Result<(), JobSchedulerError> {
        let wake = Arc::new(Notify::new());
        let mut scheduler = begin_ticking(&wake).await?;
        loop {
            tokio::select! {
                () = wake.notified() => {}
                () = soft.cancelled() => return scheduler.shutdown().await,
            }
            self.ask().await;
        }
    }

    async fn ask(&self) {
        let now = self.clock.now();
        let picture = self.board.read();
        if picture.folder != Reach::Reached {
            return;
        }
        let due = due_backups(&picture, now);
        if !due.next.is_empty() {
            self.board.update(|picture| {
                for (service, next) in due.next {
                    if let Some(server) = picture.servers.get_mut(&service)
                        && server.next_run != next
                    {
                        server.next_run = next;
                    }
                }
            });
        }
        for request in due_requests(&picture, now) {
            self.submit(request, now).await;
        }
    }

    async fn submit(&self, request: JobRequest, now: Timestamp) {
        let asked = request.clone();
        let is_due = move |picture: &Picture| due_requests(picture, now).contains(&asked);
        if self.desk.submit_due(request, is_due).await == Some(Submission::Full) {
            warn!("too many jobs wait; what is due is asked for again later");
        }
    }
}

async fn begin_ticking(wake: &Arc<Notify>) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let waker = Arc::clone(wake);
    let tick = Job::new(EVERY_SECOND, move |_id, _scheduler| waker.notify_one())?;
    scheduler.add(tick).await?;
    scheduler.start().await?;
    Ok(scheduler)
}

/// Everything to ask for now, in order.
fn due_requests(picture: &Picture, now: Timestamp) -> Vec<JobRequest> {
    // What a backup on its way has done is known when it ends: asked for now, it would be done twice. There is one at a time, so
    // that nothing is late.
    let backups = Some(due_backups(picture, now).requests).filter(|_| !is_backing_up(picture));
    let backups = backups
        .into_iter()
        .flatten()
        .map(|(reason, databases)| JobRequest::Backup {
            scope: BackupScope::Databases(databases),
            reason,
        });
    // A first proof comes before a drill, and both before what only reads.
    let proof = due_proof(picture, now)
        .or_else(|| watch::due_drill(picture, now))
        .or_else(|| watch::due_reread(picture, now));
    let copy = copying::due_copy(picture, now);
    backups.chain(proof).chain(copy).collect()
}

fn is_backing_up(picture: &Picture) -> bool {
    let is_open = |state: &JobState| !matches!(state, JobState::Ended { .. });
    let mut jobs = picture.jobs.iter();
    jobs.any(|job| job.kind == JobKind::Backup && is_open(&job.state))
}

/// What is due now, and when each server's next backup is.
#[derive(Debug, Default, PartialEq, Eq)]
struct DueBackups {
    requests: Vec<(Reason, BTreeSet<DatabaseRef>)>,
    next: Vec<(crate::domain::id::ServiceName, Option<Timestamp>)>,
}

fn due_backups(picture: &Picture, now: Timestamp) -> DueBackups {
    let mut first = BTreeSet::new();
    let mut scheduled = BTreeSet::new();
    let mut due = DueBackups::default();
    // A try on its way has no success yet and is no failure: when its repetition would be due is nobody's next backup.
    let is_settled = !is_backing_up(picture);
    for server in picture
        .servers
        .values()
        .filter(|server| server.policy.enabled)
    {
        let mut next = None;
        for database in &server.databases {
            let history = history(picture, database, now);
            let empty_since = server
                .empty
                .contains(database)
                .then_some(picture.started_at);
            match due_of(&server.policy.schedule, history, empty_since, now) {
                Due::Now(Reason::First) => drop(first.insert(database.clone())),
                Due::Now(_) => drop(scheduled.insert(database.clone())),
                Due::Later(at) => next = Some(next.map_or(at, |known: Timestamp| known.min(at))),
            }
        }
        let next = next.filter(|_| is_settled);
        let next = next.or_else(|| server.policy.schedule.next_after(now));
        let is_outdated = is_settled || server.next_run.is_none_or(|shown| shown <= now);
        if is_outdated && server.next_run != next {
            due.next.push((server.service.clone(), next));
        }
    }
    for (reason, databases) in [(Reason::First, first), (Reason::Schedule, scheduled)] {
        if !databases.is_empty() {
            due.requests.push((reason, databases));
        }
    }
    due
}

/// Without a table there is nothing to lose, so such a database waits for the schedule, or for its first table.
fn due_of(
    schedule: &Schedule,
    mut history: History,
    empty_since: Option<Timestamp>,
    now: Timestamp,
) -> Due {
    history.last_success = history.last_success.or(empty_since);
    is_due(schedule, &history, now)
}

fn series_of(picture: &Picture, database: &DatabaseRef) -> Series {
    Series {
        project: picture.project.clone(),
        service: database.service.clone(),
        content: Content::Database(database.database.clone()),
    }
}

fn history(picture: &Picture, database: &DatabaseRef, now: Timestamp) -> History {
    let Some(state) = picture.series.get(&series_of(picture, database)) else {
        return History::default();
    };
    let taken = state
        .backups
        .iter()
        .filter(|it| it.manifest.reason != Reason::PreRestore);
    History {
        last_success: newest_success(taken.map(|it| it.manifest.snapshot_at), now),
        last_attempt: state.last_attempt,
        failures: state.failures,
    }
}

/// The next proof to make: the newest backup first, since that is the one people would restore.
fn due_proof(picture: &Picture, now: Timestamp) -> Option<JobRequest> {
    let mut newest: Option<(Timestamp, JobRequest)> = None;
    for server in picture
        .servers
        .values()
        .filter(|it| it.policy.verify >= Level::Restore)
    {
        for database in &server.databases {
            let Some(state) = picture.series.get(&series_of(picture, database)) else {
                continue;
            };
            let proof = ProofAsked {
                server,
                database,
                state,
                means: Means {
                    room: picture.proof_room,
                    keys: &picture.openers,
                },
            };
            let Some((at, request)) = due_proof_of(&proof, now) else {
                continue;
            };
            if newest.as_ref().is_none_or(|(known, _)| at > *known) {
                newest = Some((at, request));
            }
        }
    }
    newest.map(|(_, request)| request)
}

/// Whether a proof of the series could not be made a moment ago.
fn is_paused(state: &SeriesPicture, now: Timestamp) -> bool {
    let attempt = state.proof_attempt;
    attempt.is_some_and(|(at, failures)| {
        now < at + PROOF_PAUSE * (1 << failures.saturating_sub(1).min(3))
    })
}

/// Everything a proof's turn depends on.
struct ProofAsked<'a> {
    server: &'a ServerPicture,
    database: &'a DatabaseRef,
    state: &'a SeriesPicture,
    means: Means<'a>,
}

fn due_proof_of(asked: &ProofAsked<'_>, now: Timestamp) -> Option<(Timestamp, JobRequest)> {
    let ProofAsked {
        server,
        database,
        state,
        means,
    } = asked;
    if is_paused(state, now) {
        return None;
    }
    let level = server.policy.verify;
    let is_due = |it: &&Arc<Backup>| it.is_due_for_proof(level, means, now);
    let unproven = state.backups.iter().rev().find(is_due)?;
    let request = JobRequest::Verify {
        database: (*database).clone(),
        id: unproven.manifest.id.clone(),
        level,
        from: Some(Destination::Disk),
    };
    Some((unproven.manifest.snapshot_at, request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::JobPicture;
    use crate::domain::external::address::parse_address;
    use crate::domain::external::{Clients, ExternalServer, Station, Wishes, enter};
    use crate::domain::id::{DatabaseName, JobId, ProjectName, ServiceName};
    use crate::domain::label::StackDefaults;
    use crate::domain::label::value::parse_keep;
    use crate::domain::policy::DatabaseSelection;
    use crate::domain::schedule::Zone;

    fn with_a_database_that_is_due(now: Timestamp) -> Picture {
        let project = ProjectName::new("stack");
        let server = ExternalServer {
            name: ServiceName::new("shop"),
            address: parse_address("postgres://app@db.example/shop").unwrap(),
            image: None,
            wishes: Wishes::default(),
        };
        let defaults = StackDefaults {
            schedule: Schedule::nightly(&project, Zone::UTC).unwrap(),
            drill: Schedule::weekly(&project, Zone::UTC).unwrap(),
            keep: parse_keep("last=3").unwrap(),
            verify: Level::Content,
            databases: DatabaseSelection::All,
            zone: Zone::UTC,
        };
        let station = Station {
            container: None,
            clients: Clients::Missing("none"),
        };
        let entered = enter(&[server], &defaults, &station).remove(0);
        let mut shown = ServerPicture::new(entered.target, entered.policy);
        let name = |database| DatabaseRef::new(shown.service.clone(), DatabaseName::new(database));
        shown.databases = vec![name("shop")];
        let mut picture = Picture::new(project, now);
        picture.servers.insert(shown.service.clone(), shown);
        picture
    }

    #[test]
    fn what_a_backup_on_its_way_may_be_doing_is_not_asked_for_again() {
        let now: Timestamp = "2026-01-21T12:00:00Z".parse().unwrap();
        let mut picture = with_a_database_that_is_due(now);
        assert_eq!(due_requests(&picture, now).len(), 1);
        picture.put_job(backing_up(now));
        assert_eq!(due_requests(&picture, now), []);
    }

    #[test]
    fn the_next_backup_is_not_the_repetition_of_one_that_is_being_made() {
        let now: Timestamp = "2026-01-21T12:00:00Z".parse().unwrap();
        let slot = Some("2026-01-22T02:00:00Z".parse().unwrap());
        let mut picture = with_a_database_that_is_due(now);
        let shop = ServiceName::new("shop");
        let server = picture.servers.get_mut(&shop).unwrap();
        server.policy.schedule = Schedule::parse("0 2 * * *", Zone::UTC).unwrap();
        server.next_run = slot;
        let series = series_of(&picture, &picture.servers[&shop].databases[0]);
        picture.series.entry(series).or_default().last_attempt = Some(now);
        let later = now + TimeDelta::seconds(1);
        let repetition = due_backups(&picture, later).next;
        assert!(
            repetition[0].1.is_some_and(|at| Some(at) < slot),
            "{repetition:?}"
        );
        picture.put_job(backing_up(now));
        assert_eq!(due_backups(&picture, later).next, []);
        for shown in [None, Some(now)] {
            picture.servers.get_mut(&shop).unwrap().next_run = shown;
            assert_eq!(due_backups(&picture, later).next, [(shop.clone(), slot)]);
        }
    }

    fn backing_up(since: Timestamp) -> JobPicture {
        JobPicture {
            id: JobId::new("backup-1"),
            kind: JobKind::Backup,
            subject: "shop/shop and another".to_owned(),
            asked_at: since,
            state: JobState::Running { since },
            doing: None,
        }
    }

    #[test]
    fn an_empty_database_waits_for_the_schedule_or_for_its_first_table() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let nightly = Schedule::parse("0 2 * * *", Zone::UTC).unwrap();
        let start = at("2026-01-21T12:00:00Z");
        let due = |empty_since, now| due_of(&nightly, History::default(), empty_since, now);
        let slot = at("2026-01-22T02:00:00Z");
        assert_eq!(due(Some(start), start), Due::Later(slot));
        assert_eq!(due(Some(start), slot), Due::Now(Reason::Schedule));
        assert_eq!(due(None, start), Due::Now(Reason::First));
    }
}
