//! Runs jobs: one of each kind at a time, in the order they were asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::ledger::{Ended, Ledger};
use super::work::Work;
use super::{Inbox, Request};
use crate::board::{Board, JobPicture};
use crate::domain::id::JobId;
use crate::domain::job::{
    BackupScope, JobKind, JobPart, JobReport, JobRequest, JobState, Outcome, Submission,
};
use crate::job::{JobContext, Run, job_id};
use crate::journal::Journal;
use crate::observe::metrics::Metrics;

/// Jobs that may wait; more than this means that something asks in a loop.
const WAITING_JOBS: usize = 256;

/// How often what a running job does is shown.
const LOOK: Duration = Duration::from_secs(1);

/// Where the desk writes what happens.
#[derive(Debug, Clone)]
pub struct Books {
    /// The present.
    pub board: Board,
    /// The past.
    pub journal: Journal,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Job {
    id: JobId,
    request: JobRequest,
}

/// The task behind the desk.
#[derive(Debug)]
pub struct Runner {
    inbox: Inbox,
    context: Arc<JobContext>,
    ledger: Ledger,
    waiting: VecDeque<Job>,
    running: BTreeMap<JobKind, Job>,
    tasks: JoinSet<Ended>,
    task_kinds: BTreeMap<Id, JobKind>,
}

impl Runner {
    /// Takes its place behind the door.
    pub fn new(inbox: Inbox, context: Arc<JobContext>, books: Books) -> Self {
        let ledger = Ledger::new(books, Arc::clone(&context));
        Self {
            inbox,
            context,
            ledger,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            task_kinds: BTreeMap::new(),
        }
    }

    /// Serves until `soft` is cancelled and the running jobs have reached their safe point.
    ///
    /// # Cancellation
    /// Dropped, the running jobs are dropped with it; the next start tidies what they left.
    pub async fn run(mut self, soft: CancellationToken) {
        self.ledger.relist().await;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick(), if !self.running.is_empty() => self.show_progress(),
                request = self.inbox.receiver.recv() => match request {
                    Some(request) => self.answer(request),
                    None => break,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.finish(ended).await,
                () = soft.cancelled() => break,
            }
            self.begin_next(&soft);
        }
        self.close().await;
    }

    fn show_progress(&self) {
        for (kind, job) in &self.running {
            self.ledger.job_goes_on(&job.id, *kind);
        }
    }

    async fn close(&mut self) {
        self.inbox.receiver.close();
        for job in std::mem::take(&mut self.waiting) {
            let report = JobReport {
                outcome: Outcome::Cancelled,
                parts: Vec::new(),
            };
            self.ledger.job_ended(&job.id, report);
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.finish(ended).await;
        }
    }

    fn answer(&mut self, request: Request) {
        let submission =
            (!request.is_outdated(&self.ledger.picture())).then(|| self.admit(request.job));
        // Who asked may have gone; the job stands all the same.
        drop(request.answer.send(submission));
    }

    fn admit(&mut self, request: JobRequest) -> Submission {
        let known = self.running.values().chain(&self.waiting);
        if let Some(job) = known.into_iter().find(|job| covers(&job.request, &request)) {
            return Submission::AlreadyRunning(job.id.clone());
        }
        if self.waiting.len() >= WAITING_JOBS {
            return Submission::Full;
        }
        let id = job_id(request.kind().as_str(), self.context.clock.now());
        self.ledger.job_asked(JobPicture {
            id: id.clone(),
            kind: request.kind(),
            subject: subject(&request),
            asked_at: self.context.clock.now(),
            state: JobState::Queued,
            doing: None,
        });
        self.waiting.push_back(Job {
            id: id.clone(),
            request,
        });
        Submission::Accepted(id)
    }

    fn begin_next(&mut self, soft: &CancellationToken) {
        for kind in JobKind::ALL {
            if self.running.contains_key(&kind) {
                continue;
            }
            let Some(position) = self
                .waiting
                .iter()
                .position(|job| job.request.kind() == kind)
            else {
                continue;
            };
            if let Some(job) = self.waiting.remove(position) {
                self.begin(job, soft);
            }
        }
    }

    fn begin(&mut self, job: Job, soft: &CancellationToken) {
        let run = Run {
            id: job.id.clone(),
            stop: soft.child_token(),
        };
        self.ledger.job_began(&job.id);
        // What the last job of its kind did is not what this one does.
        self.context.progress.end(job.request.kind());
        let work = match Work::plan(&self.ledger.picture(), &job.request) {
            Ok(work) => work,
            Err(why) => {
                let part = failed_part(subject(&job.request), why);
                return self.ledger.job_ended(&job.id, JobReport::of(vec![part]));
            }
        };
        if let Work::Backup(plan, _reason) = &work {
            self.ledger.attempts(plan);
        }
        let context = Arc::clone(&self.context);
        let handle = self
            .tasks
            .spawn(async move { work.run(&context, &run).await });
        let kind = job.request.kind();
        self.task_kinds.insert(handle.id(), kind);
        self.running.insert(kind, job);
    }

    async fn finish(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, Ok(ended)),
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let kind = self.task_kinds.remove(&task);
        let Some(job) = kind.and_then(|kind| self.running.remove(&kind)) else {
            return;
        };
        let report = match ended {
            Ok(ended) => self.ledger.close_books(&ended).await,
            Err(why) => {
                let why = format!("the job itself broke: {why}; please report this");
                JobReport::of(vec![failed_part(subject(&job.request), why)])
            }
        };
        self.ledger.job_ended(&job.id, report);
    }
}

fn failed_part(subject: String, detail: String) -> JobPart {
    JobPart {
        subject,
        outcome: Outcome::Failed,
        backup: None,
        detail,
    }
}

/// Whether a known job already does what is asked for.
fn covers(known: &JobRequest, asked: &JobRequest) -> bool {
    match (known, asked) {
        (JobRequest::Backup { scope: known, .. }, JobRequest::Backup { scope: asked, .. }) => {
            match (known, asked) {
                (BackupScope::Stack, _) => true,
                (BackupScope::Databases(known), BackupScope::Databases(asked)) => {
                    asked.is_subset(known)
                }
                (BackupScope::Databases(_), BackupScope::Stack) => false,
            }
        }
        (
            JobRequest::Verify {
                id: known,
                from: here,
                ..
            },
            JobRequest::Verify {
                id: asked,
                from: there,
                ..
            },
        ) => known == asked && here == there,
        (JobRequest::Accept { id: known, .. }, JobRequest::Accept { id: asked, .. }) => {
            known == asked
        }
        (JobRequest::Copy { .. }, JobRequest::Copy { .. })
        | (JobRequest::BackupVolume { .. }, JobRequest::BackupVolume { .. })
        | (JobRequest::VerifyFile { .. }, JobRequest::VerifyFile { .. })
        | (JobRequest::Restore(_), JobRequest::Restore(_))
        | (JobRequest::Reread { .. }, JobRequest::Reread { .. }) => known == asked,
        (JobRequest::Fsck, JobRequest::Fsck | JobRequest::Reread { .. }) => true,
        (
            JobRequest::Backup { .. }
            | JobRequest::BackupVolume { .. }
            | JobRequest::Verify { .. }
            | JobRequest::VerifyFile { .. }
            | JobRequest::Copy { .. }
            | JobRequest::Fsck
            | JobRequest::Reread { .. }
            | JobRequest::Accept { .. }
            | JobRequest::Restore(_),
            _,
        ) => false,
    }
}

fn subject(request: &JobRequest) -> String {
    match request {
        JobRequest::Backup {
            scope: BackupScope::Stack,
            ..
        } => "all databases".to_owned(),
        JobRequest::Backup {
            scope: BackupScope::Databases(databases),
            ..
        } => {
            let names: Vec<String> = databases.iter().map(ToString::to_string).collect();
            names.join(", ")
        }
        JobRequest::Verify { database, id, .. } | JobRequest::Accept { database, id } => {
            format!("{database} {id}")
        }
        JobRequest::Copy { series, id, .. } | JobRequest::Reread { series, id, .. } => {
            format!("{series} {id}")
        }
        JobRequest::BackupVolume { volume, .. } => format!("volume {volume}"),
        JobRequest::Fsck => "everything that is stored".to_owned(),
        JobRequest::VerifyFile { file, .. } => file.display().to_string(),
        JobRequest::Restore(order) => order.subject(),
    }
}
