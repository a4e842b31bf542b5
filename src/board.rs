//! The one picture of now: what `/health`, `/metrics`, the page and `status` read.
//!
//! Written by the desk and the triggers through [`Board::update`], read from a `watch`; readers never
//! cause a call to Docker or Postgres. Rebuilt from Docker, manifests and the journal at start.

mod concern;
mod shelves;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::alarm::Channel;
use crate::domain::backup::{Backup, Content, Recipient, Series};
use crate::domain::fleet::{Container, Fleet};
use crate::domain::health::{
    Reading, ServerVitals, ServiceVerdict, Verdict, judge_service, judge_stack,
};
use crate::domain::id::{DatabaseRef, JobId, ProjectName, ServiceName};
use crate::domain::job::{JobKind, JobState};
use crate::domain::objective::Objectives;
use crate::domain::policy::{BackupPolicy, HealthPolicy, MigrationPolicy};
use crate::domain::progress::Doing;
use crate::domain::room::ProofRoom;
use crate::domain::roster::ServerTarget;
use crate::domain::unit::{ByteCount, Timestamp};

/// How many ended jobs stay visible.
const REMEMBERED_JOBS: usize = 50;

/// Whether something we depend on answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Not asked yet.
    Unknown,
    /// It answers.
    Reached,
    /// It does not, and what to do.
    Lost(String),
}

/// A service as the stack's owner sees it.
#[derive(Debug, Clone)]
pub struct ServicePicture {
    /// Its newest container.
    pub container: Container,
    /// What its labels ask for.
    pub health_policy: HealthPolicy,
    /// Its migration, when it has one.
    pub migration: Option<MigrationPolicy>,
    /// The newest reading of its probe.
    pub reading: Option<Reading>,
    /// CPU seconds and memory, when Docker told them.
    pub usage: Option<(f64, ByteCount)>,
}

/// A database server as the stack's owner sees it.
#[derive(Debug, Clone)]
pub struct ServerPicture {
    /// Its service.
    pub service: ServiceName,
    /// How to reach it.
    pub target: ServerTarget,
    /// What is asked for it.
    pub policy: BackupPolicy,
    /// When the next scheduled backup is due.
    pub next_run: Option<Timestamp>,
    /// Whether its last look succeeded.
    pub reach: Reach,
    /// Its databases that are backed up.
    pub databases: Vec<DatabaseRef>,
    /// Those without a backup and without a table: there is nothing to lose in them yet.
    pub empty: BTreeSet<DatabaseRef>,
    /// Essentials of the running server.
    pub vitals: Option<ServerVitals>,
}

impl ServerPicture {
    /// A server that has not been looked at yet.
    pub fn new(target: ServerTarget, policy: BackupPolicy) -> Self {
        let service = target.service.clone();
        Self {
            service,
            target,
            policy,
            next_run: None,
            reach: Reach::Unknown,
            databases: Vec::new(),
            empty: BTreeSet::new(),
            vitals: None,
        }
    }

    /// Whether neither a backup nor a table is there; of the roles, whether that is so of all databases beside them.
    pub fn has_nothing_to_lose(&self, content: &Content) -> bool {
        let is_empty = |it: &DatabaseRef| self.empty.contains(it);
        match content.database() {
            Some(database) => self.empty.iter().any(|it| it.database == *database),
            None => !self.databases.is_empty() && self.databases.iter().all(is_empty),
        }
    }
}

/// One series of backups as it stands on the disk and in the bucket.
#[derive(Debug, Clone, Default)]
pub struct SeriesPicture {
    /// Its backups, oldest first.
    pub backups: Vec<Arc<Backup>>,
    /// When one was last tried.
    pub last_attempt: Option<Timestamp>,
    /// Why the last attempt failed, when it did.
    pub last_error: Option<String>,
    /// So many attempts in a row failed.
    pub failures: u32,
    /// When a proof of its newest backup was last tried without an answer, and how often in a row.
    pub proof_attempt: Option<(Timestamp, u32)>,
    /// Why that proof could not be made.
    pub proof_error: Option<String>,
    /// When one of its backups could not be read again, since the last one that could.
    pub reread_failed: Option<Timestamp>,
    /// What retention wanted to remove last and could not, and why.
    pub unremovable: Option<String>,
    /// Its copies in the bucket, oldest first.
    pub copies: Vec<Arc<Backup>>,
    /// When a copy was last tried in vain, and how often in a row.
    pub copy_attempt: Option<(Timestamp, u32)>,
    /// Why it failed.
    pub copy_error: Option<String>,
    /// When a copy that was just written read back as other bytes, since the last one that did not.
    pub copy_refuted: Option<Timestamp>,
}

/// The bucket as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPicture {
    /// The bucket and its host.
    pub place: String,
    /// Whether it could be listed.
    pub reach: Reach,
    /// What was found out about it at the start, each thing in a few words; nothing before it was tried.
    pub findings: Vec<String>,
    /// What it cannot do and what follows, one sentence each.
    pub limits: Vec<String>,
    /// Objects that cannot be read, in sentences.
    pub problems: Vec<String>,
    /// The services of which a manifest cannot be read there.
    pub unreadable: BTreeSet<ServiceName>,
}

impl BucketPicture {
    /// A bucket that nobody has asked yet.
    pub fn new(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            reach: Reach::Unknown,
            findings: Vec::new(),
            limits: Vec::new(),
            problems: Vec::new(),
            unreadable: BTreeSet::new(),
        }
    }
}

/// A job as people see it.
#[derive(Debug, Clone)]
pub struct JobPicture {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: JobKind,
    /// What it is about, in words.
    pub subject: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing, while it runs.
    pub doing: Option<Doing>,
}

/// The last migration of a service, from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationPicture {
    /// When it ended.
    pub at: Timestamp,
    /// `succeeded`, `failed`, `nothing pending`.
    pub outcome: String,
    /// Revision before and after, where a known tool keeps one.
    pub before: Option<String>,
    /// Revision after.
    pub after: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, when it did and somebody wrote it down.
    pub error: Option<String>,
    /// What the last look found.
    pub pending: Pending,
    /// All runs in the journal.
    pub runs: MigrationRuns,
}

/// How the gate fared before any migration began, from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePicture {
    /// When.
    pub at: Timestamp,
    /// Why it stayed closed, when it did.
    pub error: Option<String>,
}

/// What the last look for work of a service's migration found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Nobody can tell.
    Unknown,
    /// Nothing.
    Nothing,
    /// Something, or a run that failed.
    Something,
}

/// How the runs of a service's migration ended, counted over the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MigrationRuns {
    /// Applied something, or ran without complaint.
    pub succeeded: u64,
    /// Had nothing to do.
    pub unchanged: u64,
    /// Failed or were cut off.
    pub failed: u64,
}

/// Everything that is shown, at one instant.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The Compose project.
    pub project: ProjectName,
    /// When this process began.
    pub started_at: Timestamp,
    /// What the stack promises itself; `None` where nobody judges it.
    pub objectives: Option<Objectives>,
    /// Docker.
    pub docker: Reach,
    /// The backup folder.
    pub folder: Reach,
    /// The bucket, where there is one.
    pub bucket: Option<BucketPicture>,
    /// Free bytes of the backup folder's file system.
    pub disk_free: Option<ByteCount>,
    /// The room for proofs on disk, when it is known.
    pub proof_room: Option<ProofRoom>,
    /// The public halves of the keys that open sealed backups here.
    pub openers: BTreeSet<Recipient>,
    /// Services by name.
    pub services: BTreeMap<ServiceName, ServicePicture>,
    /// Servers by service.
    pub servers: BTreeMap<ServiceName, ServerPicture>,
    /// Series, globals included.
    pub series: BTreeMap<Series, SeriesPicture>,
    /// Problems of variables, in sentences.
    pub problems: Vec<String>,
    /// Problems of labels, in sentences.
    pub label_problems: Vec<String>,
    /// Files of the backup folder that cannot be read, in sentences.
    pub folder_problems: Vec<String>,
    /// The services of which a manifest cannot be read.
    pub unreadable: BTreeSet<ServiceName>,
    /// Waiting and running jobs, and the newest ended ones.
    pub jobs: VecDeque<JobPicture>,
    /// The last migration of each service.
    pub migrations: BTreeMap<ServiceName, MigrationPicture>,
    /// The gate, when it once stayed closed before any migration began.
    pub gate: Option<GatePicture>,
    /// Whether the channels that are set up take messages.
    pub channels: BTreeMap<Channel, Reach>,
}

impl Picture {
    /// An empty picture.
    pub fn new(project: ProjectName, started_at: Timestamp) -> Self {
        Self {
            project,
            started_at,
            objectives: None,
            docker: Reach::Unknown,
            folder: Reach::Unknown,
            bucket: None,
            disk_free: None,
            proof_room: None,
            openers: BTreeSet::new(),
            services: BTreeMap::new(),
            servers: BTreeMap::new(),
            series: BTreeMap::new(),
            problems: Vec::new(),
            label_problems: Vec::new(),
            folder_problems: Vec::new(),
            unreadable: BTreeSet::new(),
            jobs: VecDeque::new(),
            migrations: BTreeMap::new(),
            gate: None,
            channels: BTreeMap::new(),
        }
    }

    /// Whether everything was asked once: before that, nothing that is missing here is known to be absent.
    pub fn has_looked(&self) -> bool {
        let bucket = self.bucket.iter().map(|bucket| &bucket.reach);
        let backed_up = self.servers.values().filter(|it| it.policy.enabled);
        let places = [&self.docker, &self.folder].into_iter().chain(bucket);
        let mut asked = places.chain(backed_up.map(|server| &server.reach));
        asked.all(|reach| *reach != Reach::Unknown)
    }

    /// Each service's verdict at `now`.
    pub fn service_verdicts(&self, now: Timestamp) -> BTreeMap<&ServiceName, ServiceVerdict> {
        let judge = |service: &ServicePicture| {
            let reading = service.reading.as_ref();
            judge_service(&service.container, &service.health_policy, reading, now)
        };
        self.services
            .iter()
            .map(|(name, service)| (name, judge(service)))
            .collect()
    }

    /// The stack's verdict at `now`: its services, and what stackwarden itself cannot do.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let services = judge_stack(self.service_verdicts(now).values());
        // Before the first look at Docker nothing is known, and nothing known is not well.
        let is_blind = self.docker == Reach::Unknown;
        services.max(if self.concerns(now).is_empty() && !is_blind {
            Verdict::Pass
        } else {
            Verdict::Warn
        })
    }

    /// Adds or replaces a job, and forgets the oldest ended ones.
    pub fn put_job(&mut self, job: JobPicture) {
        match self.jobs.iter_mut().find(|known| known.id == job.id) {
            Some(known) => *known = job,
            None => self.jobs.push_back(job),
        }
        while self.jobs.len() > REMEMBERED_JOBS {
            let oldest = self
                .jobs
                .iter()
                .position(|it| matches!(it.state, JobState::Ended { .. }));
            let Some(oldest) = oldest else { break };
            self.jobs.remove(oldest);
        }
    }

    /// Replaces the fleet: services that are gone disappear, readings of those that stay are kept.
    pub fn put_services(&mut self, mut services: BTreeMap<ServiceName, ServicePicture>) {
        for (name, service) in &mut services {
            if let Some(known) = self.services.remove(name) {
                service.reading = service.reading.take().or(known.reading);
                service.usage = service.usage.or(known.usage);
            }
        }
        self.services = services;
    }
}

/// The handle that writes and reads the picture; cheap to clone.
#[derive(Debug, Clone)]
pub struct Board {
    sender: Arc<watch::Sender<Arc<Picture>>>,
}

impl Board {
    /// A board that shows this picture.
    pub fn new(picture: Picture) -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(Arc::new(picture))),
        }
    }

    /// The picture of now, shared, never changing under the reader.
    pub fn read(&self) -> Arc<Picture> {
        Arc::clone(&self.sender.borrow())
    }

    /// Changes the picture and wakes those who wait for it.
    pub fn update(&self, change: impl FnOnce(&mut Picture)) {
        self.sender
            .send_modify(|picture| change(Arc::make_mut(picture)));
    }

    /// Wakes at every change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Picture>> {
        self.sender.subscribe()
    }
}

/// Whether the fleet still is what the board shows (ids and states), so that a re-listing can tell.
pub fn shows(picture: &Picture, fleet: &Fleet) -> bool {
    let known = |container: &&Container| {
        picture
            .services
            .get(&container.service)
            .is_some_and(|it| it.container == **container)
    };
    fleet.services().len() == picture.services.len() && fleet.services().iter().all(known)
}
