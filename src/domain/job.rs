//! Jobs: who asked for what, and how it ended.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::backup::copy::Task;
use super::backup::{Destination, Level, Reason, Series};
use super::id::{BackupId, DatabaseRef, JobId, ServiceName};
use super::restore::RestoreOrder;
use super::unit::Timestamp;
use super::volume::{ImageName, VolumeName};

/// The kinds of jobs; a bounded label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKind {
    /// Dump, archive check, manifest.
    Backup,
    /// Restore into a throw-away server and compare.
    Verify,
    /// Write down that a suspect backup is as it should be.
    Accept,
    /// Read what is stored again.
    Fsck,
    /// Restore into the live server, or exchange what was restored.
    Restore,
    /// Copy a backup into the bucket and read it back.
    Copy,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Backup,
        Self::Verify,
        Self::Accept,
        Self::Fsck,
        Self::Restore,
        Self::Copy,
    ];

    /// The word in logs, metrics and HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Accept => "accept",
            Self::Fsck => "fsck",
            Self::Restore => "restore",
            Self::Copy => "copy",
        }
    }
}

/// Which databases a backup job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupScope {
    /// Everything the stack's servers hold.
    Stack,
    /// Exactly these.
    Databases(BTreeSet<DatabaseRef>),
}

/// What somebody asks the desk for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobRequest {
    /// Take backups.
    Backup {
        /// Of what.
        scope: BackupScope,
        /// Why.
        reason: Reason,
    },
    /// Take backups of what an old stack has left in a volume.
    BackupVolume {
        /// Which.
        volume: VolumeName,
        /// The image of its server.
        image: ImageName,
    },
    /// Prove one backup.
    Verify {
        /// Which database's backup.
        database: DatabaseRef,
        /// Which backup.
        id: BackupId,
        /// How far.
        level: Level,
        /// From where; otherwise from disk, and from the bucket where the disk does not have it.
        from: Option<Destination>,
    },
    /// Accept one suspect backup.
    Accept {
        /// Which database's backup.
        database: DatabaseRef,
        /// Which backup.
        id: BackupId,
    },
    /// Read everything that is stored again, and name what is not as it was written.
    Fsck,
    /// Read one backup again.
    Reread {
        /// Its series; roles are read too.
        series: Series,
        /// Which backup.
        id: BackupId,
        /// From where.
        from: Destination,
    },
    /// See to the copy of one backup in the bucket.
    Copy {
        /// Its series: a database's, or that of the roles.
        series: Series,
        /// Which backup.
        id: BackupId,
        /// What is to be done.
        task: Task,
    },
    /// Judge a file, whoever made it.
    VerifyFile {
        /// As somebody named it.
        file: PathBuf,
        /// Whose server the scratch is to be like; the only one otherwise.
        service: Option<ServiceName>,
        /// How far.
        level: Level,
    },
    /// Restore into the live server, or exchange what was restored.
    Restore(RestoreOrder),
}

impl JobRequest {
    /// The kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Backup { .. } | Self::BackupVolume { .. } => JobKind::Backup,
            Self::Verify { .. } | Self::VerifyFile { .. } => JobKind::Verify,
            Self::Accept { .. } => JobKind::Accept,
            Self::Fsck | Self::Reread { .. } => JobKind::Fsck,
            Self::Restore(_) => JobKind::Restore,
            Self::Copy { .. } => JobKind::Copy,
        }
    }
}

/// The desk's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// A new job.
    Accepted(JobId),
    /// The very same work is already on its way; this is that job.
    AlreadyRunning(JobId),
    /// We are stopping and take nothing new.
    Closing,
    /// The line of waiting jobs is full.
    Full,
}

/// How a job, or one database's part of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Everything asked for was done.
    Succeeded,
    /// Some parts were done, others failed.
    Partial,
    /// Nothing was done.
    Failed,
    /// We were told to stop.
    Cancelled,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word in logs, metrics and HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of a whole from the outcomes of its parts; nothing to do is success.
    pub fn of_parts(parts: &[Self]) -> Self {
        let any = |wanted: Self| parts.contains(&wanted);
        let all = |wanted: Self| parts.iter().all(|part| *part == wanted);
        if all(Self::Succeeded) {
            Self::Succeeded
        } else if any(Self::Succeeded) || any(Self::Partial) {
            Self::Partial
        } else if any(Self::Cancelled) {
            Self::Cancelled
        } else {
            Self::Failed
        }
    }
}

/// One database's (or the globals') part of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPart {
    /// `service/database` or `service/globals`.
    pub subject: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The backup it made or proved.
    pub backup: Option<BackupId>,
    /// One sentence: the error, or what was reached.
    pub detail: String,
}

/// A finished job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// The whole.
    pub outcome: Outcome,
    /// The parts.
    pub parts: Vec<JobPart>,
}

impl JobReport {
    /// Sums the parts up.
    pub fn of(parts: Vec<JobPart>) -> Self {
        let outcomes: Vec<Outcome> = parts.iter().map(|part| part.outcome).collect();
        Self {
            outcome: Outcome::of_parts(&outcomes),
            parts,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Waiting for its turn.
    Queued,
    /// Running since.
    Running {
        /// When it began.
        since: Timestamp,
    },
    /// Ended.
    Ended {
        /// When.
        at: Timestamp,
        /// How long it ran.
        took: Duration,
        /// How.
        report: JobReport,
    },
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// Its turn came.
    Began(Timestamp),
    /// It ended.
    Ended(Timestamp, JobReport),
}

impl JobState {
    /// The one transition table; an unlawful event leaves the state as it is and says so.
    ///
    /// # Errors
    /// The rejected event, when the state does not admit it.
    pub fn step(&self, event: JobEvent) -> Result<Self, JobEvent> {
        match (self, event) {
            (Self::Queued, JobEvent::Began(since)) => Ok(Self::Running { since }),
            (Self::Queued, JobEvent::Ended(at, report)) => Ok(Self::Ended {
                at,
                took: Duration::ZERO,
                report,
            }),
            (Self::Running { since }, JobEvent::Ended(at, report)) => {
                let took = (at - since).to_std().unwrap_or_default();
                Ok(Self::Ended { at, took, report })
            }
            (Self::Running { .. } | Self::Ended { .. }, event) => Err(event),
        }
    }

    /// The word in HTTP and CLI.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Ended { report, .. } => report.outcome.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn every_pair_of_state_and_event_has_an_answer() {
        let report = JobReport::of(Vec::new());
        let running = JobState::Queued.step(JobEvent::Began(at(1))).unwrap();
        let ended = running
            .step(JobEvent::Ended(at(4), report.clone()))
            .unwrap();
        assert_eq!(
            ended,
            JobState::Ended {
                at: at(4),
                took: Duration::from_secs(3),
                report: report.clone()
            }
        );
        assert!(
            JobState::Queued
                .step(JobEvent::Ended(at(1), report.clone()))
                .is_ok()
        );
        assert!(running.step(JobEvent::Began(at(2))).is_err());
        assert!(ended.step(JobEvent::Began(at(5))).is_err());
        assert!(ended.step(JobEvent::Ended(at(5), report)).is_err());
    }

    #[test]
    fn one_failed_part_makes_the_whole_partial() {
        use Outcome::{Cancelled, Failed, Partial, Succeeded};
        assert_eq!(Outcome::of_parts(&[]), Succeeded);
        assert_eq!(Outcome::of_parts(&[Succeeded, Failed]), Partial);
        assert_eq!(Outcome::of_parts(&[Failed, Failed]), Failed);
        assert_eq!(Outcome::of_parts(&[Failed, Cancelled]), Cancelled);
    }
}
