//! What travels over HTTP: the only serde of the API, for the server and for our own client.
//!
//! Readers ignore fields they do not know; none of these changes its meaning. Times are RFC 3339 in
//! UTC, sizes bytes, durations seconds; words are those of the domain's `as_str`.

mod build;
mod plan;

use serde::{Deserialize, Serialize};

pub(super) use build::configuration_problems;
pub use build::{backups, checks, databases, health, job, jobs, migrations, stack};
pub use plan::{PlanWire, PlannedWire, plan};

/// `GET /v1/stack`, and what `status` and the page show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StackWire {
    /// The Compose project.
    pub project: String,
    /// `pass`, `warn` or `fail`.
    pub verdict: String,
    /// stackwarden's own version.
    pub version: String,
    /// When this process began.
    pub started_at: String,
    /// The instant this describes.
    pub at: String,
    /// In the order of names.
    pub services: Vec<ServiceWire>,
    /// In the order of names.
    pub databases: Vec<DatabaseWire>,
    /// The bucket; none where none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketWire>,
    /// Oldest first.
    pub jobs: Vec<JobWire>,
    /// What keeps stackwarden from its work, one sentence each.
    pub concerns: Vec<String>,
}

/// The bucket as it was found at the start, and as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketWire {
    /// The bucket and its host.
    pub place: String,
    /// `reached`, `lost` or `unknown`.
    pub reach: String,
    /// What it can do and what it is like, each in a few words; nothing before it was tried.
    pub findings: Vec<String>,
}

/// A service and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceWire {
    /// Its name.
    pub name: String,
    /// `pass`, `warn` or `fail`.
    pub verdict: String,
    /// `required` or `optional`.
    pub importance: String,
    /// Why, when it is not well.
    pub reason: Option<String>,
    /// The image as the file names it.
    pub image: String,
    /// How often Docker restarted it.
    pub restarts: i64,
}

/// `GET /v1/databases`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabasesWire {
    /// In the order of names.
    pub databases: Vec<DatabaseWire>,
}

/// A database and how its backups stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseWire {
    /// The service of its server.
    pub service: String,
    /// Its name.
    pub database: String,
    /// `reached`, `lost` or `unknown`.
    pub server: String,
    /// When the next backup is due.
    pub next_run: Option<String>,
    /// When one was last tried.
    pub last_attempt: Option<String>,
    /// Why the last attempt failed, when it did.
    pub last_error: Option<String>,
    /// How many complete backups there are.
    pub kept: usize,
    /// The newest complete backup.
    pub newest: Option<BackupWire>,
    /// Seconds since its snapshot.
    pub age_seconds: Option<u64>,
    /// The newest backup that was restored and found equal.
    pub newest_verified: Option<VerifiedWire>,
    /// What `latest` means: the newest of these that is not suspect.
    pub latest: Option<VerifiedWire>,
    /// How its copies stand in the bucket; none where there is no bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<CopiesWire>,
}

/// A database's backups in the bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopiesWire {
    /// How many complete ones there are.
    pub kept: usize,
    /// How many of those on disk are not there.
    pub missing: usize,
    /// The newest one's snapshot.
    pub newest: Option<String>,
    /// How far the newest one is proven there; none when it was refuted.
    pub level: Option<String>,
    /// `unproven`, `proven` or `refuted`.
    pub standing: Option<String>,
    /// Why the last copy failed, when it did.
    pub error: Option<String>,
}

/// A backup that was restored and found equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedWire {
    /// Which.
    pub id: String,
    /// Its snapshot.
    pub at: String,
    /// How far it is proven.
    pub level: String,
}

/// `GET /v1/backups`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupsWire {
    /// By series, then oldest first.
    pub backups: Vec<BackupWire>,
    /// Manifests, proofs and acceptances that cannot be read, one sentence each; what they belong to is not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A complete backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupWire {
    /// Its id.
    pub id: String,
    /// The service of its server.
    pub service: String,
    /// `database` or `globals` (the roles).
    pub content: String,
    /// The database; none for the roles.
    pub database: Option<String>,
    /// Its snapshot.
    pub at: String,
    /// Why it was taken.
    pub reason: String,
    /// The level that may be relied on; none when it was refuted.
    pub level: Option<String>,
    /// `unproven`, `proven` or `refuted`.
    pub standing: String,
    /// As stored.
    pub size_bytes: u64,
    /// As stored.
    pub sha256: String,
    /// Name of the file beside its manifest.
    pub file: String,
    /// The migration revision in it.
    pub revision: Option<String>,
    /// How many tables were counted at its snapshot, when they were.
    pub tables: Option<u64>,
    /// How long dump and archive check took.
    pub seconds: f64,
    /// The line that restores it with stock tools.
    pub restore_line: String,
    /// Why it does not look like its predecessor, one fragment each; empty once it is accepted.
    #[serde(default)]
    pub suspect: Vec<String>,
    /// When somebody accepted that.
    #[serde(default)]
    pub accepted_at: Option<String>,
    /// Its newest proof; what refuted it, while it is refuted.
    pub proof: Option<ProofWire>,
    /// When its bytes were last read and found to be those that were written.
    #[serde(default)]
    pub read_at: Option<String>,
    /// Where it is, as far as it is known: `disk`, `s3`.
    #[serde(default)]
    pub destinations: Vec<CopyWire>,
}

/// A backup in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyWire {
    /// `disk` or `s3`.
    pub destination: String,
    /// How far it is proven there; none when it was refuted.
    pub level: Option<String>,
    /// `unproven`, `proven` or `refuted`.
    pub standing: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProofWire {
    /// When it ended.
    pub at: String,
    /// From which destination.
    pub destination: String,
    /// The level reached; none when the stored bytes are wrong.
    pub level: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// How long the restore alone took.
    pub restore_seconds: Option<f64>,
    /// Why the level is lower than asked for, when it is.
    pub reason: Option<String>,
    /// One sentence each; empty when proven.
    pub differences: Vec<String>,
}

/// `GET /v1/jobs`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobsWire {
    /// Oldest first.
    pub jobs: Vec<JobWire>,
}

/// `GET /v1/jobs/{id}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobWire {
    /// Its id.
    pub id: String,
    /// `backup`, `verify`, `accept`, `fsck`, `restore` or `copy`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// `queued`, `running`, `succeeded`, `partial`, `failed` or `cancelled`.
    pub state: String,
    /// When it was asked for.
    pub asked_at: String,
    /// When it began, while it runs.
    pub began_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How long it ran, or has been running.
    pub seconds: Option<f64>,
    /// What became of each database, once it ended.
    pub parts: Vec<PartWire>,
    /// What it is doing, while it runs; a second old at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<DoingWire>,
}

/// What a running job is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoingWire {
    /// `service/database`, or a file.
    pub subject: String,
    /// In words, such as `dumping`.
    pub step: String,
    /// Bytes so far, where they are known.
    pub bytes: Option<u64>,
    /// Of about so many.
    pub of_bytes: Option<u64>,
}

/// One database's part of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartWire {
    /// `service/database` or `service/globals`.
    pub subject: String,
    /// `succeeded`, `partial`, `failed` or `cancelled`.
    pub outcome: String,
    /// The backup it made or proved.
    pub backup: Option<String>,
    /// One sentence.
    pub detail: String,
}

/// `GET /v1/migrations`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationsWire {
    /// In the order of services.
    pub migrations: Vec<MigrationWire>,
}

/// The last migration of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationWire {
    /// Whose.
    pub service: String,
    /// When it ended.
    pub at: String,
    /// How it ended.
    pub outcome: String,
    /// Revision before.
    pub before: Option<String>,
    /// Revision after.
    pub after: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// `unknown`, `nothing` or `something`.
    pub pending: String,
}

/// `GET /v1/checks`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecksWire {
    /// Wrong labels and variables, one sentence each.
    pub problems: Vec<String>,
    /// Everything that keeps stackwarden from its work, problems included.
    pub concerns: Vec<String>,
}

/// The body of `POST /v1/backups`; without one everything is backed up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupOrderWire {
    /// `service/database` each; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<String>>,
    /// A volume of the host with an old server's data, instead of what runs here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// The image of that server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The body of `POST /v1/files/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileOrderWire {
    /// Below the backup folder, or as stackwarden's container or the host names it.
    pub file: String,
    /// Whose server the scratch is to be like, as `service/database` or `service`; the only one otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// How far; as far as possible otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// The body of `POST /v1/restores`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreOrderWire {
    /// `into`, `swap`, `undo` or `drop`.
    pub mode: String,
    /// What `into` and `swap` restore: a backup's id, `latest`, or for `into` a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The new database of `into`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `service/database`, where there are several; for a file, on whose server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// `latest` as it was at this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// `disk` or `s3`; from disk otherwise, and from the bucket where the disk does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A volume whose backup is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Another project whose backup is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The prefix of that project's keys in the bucket; our own otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `service/database` of that backup, where it is another than that of `database`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// The answer to an order; `Location` names the job too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedWire {
    /// The job's id.
    pub job: String,
    /// Where it stands.
    pub state: String,
    /// Whether somebody else had asked for the same before.
    pub already_running: bool,
}

/// `GET /readyz`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyWire {
    /// `ready`, `starting` or `stopping`.
    pub status: String,
    /// Steps of the start that are not done.
    pub waiting: Vec<String>,
}

/// An error, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemWire {
    /// Always `about:blank`: the status says it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
    /// What would have been right, where it can be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
}

/// `GET /health`, `application/health+json`: numbers and words, no names of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthWire {
    /// `pass`, `warn` or `fail`.
    pub status: String,
    /// stackwarden's own version.
    #[serde(rename = "releaseId")]
    pub release_id: String,
    /// One entry each.
    pub checks: HealthChecksWire,
}

/// The parts of [`HealthWire`]; lists, as the format wants them, of one element each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChecksWire {
    /// The stack's services.
    pub services: [CheckWire; 1],
    /// Whether their database servers answer.
    pub databases: [CheckWire; 1],
    /// Whether the last backups succeeded and none was refuted.
    pub backups: [CheckWire; 1],
    /// Whether Docker answers.
    pub docker: [CheckWire; 1],
    /// Whether the backup folder can be used.
    pub folder: [CheckWire; 1],
    /// Whether the bucket can be used and lacks nothing; nothing is counted where there is none.
    #[serde(default = "CheckWire::nothing")]
    pub s3: [CheckWire; 1],
    /// Whether labels and variables are right.
    pub configuration: [CheckWire; 1],
    /// Whether the channels that tell people take messages.
    pub notifications: [CheckWire; 1],
}

impl CheckWire {
    /// The part of a sidecar that knows nothing of it.
    fn nothing() -> [Self; 1] {
        [Self {
            status: "pass".to_owned(),
            pass: 0,
            warn: 0,
            fail: 0,
        }]
    }
}

/// One part and how many of its members stand how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckWire {
    /// `pass`, `warn` or `fail`.
    pub status: String,
    /// So many pass.
    pub pass: usize,
    /// So many warn.
    pub warn: usize,
    /// So many fail.
    pub fail: usize,
}
