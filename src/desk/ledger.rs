//! What a job's end changes: the journal, the counters, the board and one log line each.

mod acceptance;
mod copying;
mod file;
mod fsck;
mod restore;
mod retention;
mod volume;

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::bucket;
use super::runner::Books;
use crate::board::{Board, JobPicture, Picture, Reach};
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::backup::{Destination, Manifest, Proof, Series, Standing};
use crate::domain::failure::chain;
use crate::domain::id::JobId;
use crate::domain::job::{JobEvent, JobKind, JobPart, JobReport, Outcome};
use crate::domain::progress::Step;
use crate::domain::unit::Timestamp;
use crate::domain::volume::is_of_volume;
use crate::job::JobContext;
use crate::job::accept::{AcceptError, AcceptPlan};
use crate::job::backup::volume::{VolumeError, VolumePlan};
use crate::job::backup::{BackupOutcome, BackupPlan, SeriesOutcome};
use crate::job::copy::along::Copied;
use crate::job::copy::{CopyError, CopyPlan};
use crate::job::fsck::{Finding, RereadError, RereadPlan};
use crate::job::restore::{RestoreOutcome, RestorePlan};
use crate::job::verify::{FilePlan, FileVerdict, VerifyError, VerifyPlan};
use crate::journal::Entry;
use crate::observe::metrics::{BackupMeasurement, ProofMeasurement, Stage};
use crate::store::disk::{DiskStore, Listing};

/// How a job's task ended.
#[derive(Debug)]
pub(super) enum Ended {
    Backup(BackupOutcome),
    Volume(Box<(VolumePlan, Result<BackupOutcome, VolumeError>)>),
    Verify(Box<(VerifyPlan, Result<Proof, VerifyError>)>),
    Accept(Box<(AcceptPlan, Result<Acceptance, AcceptError>)>),
    File(Box<(FilePlan, Result<FileVerdict, VerifyError>)>),
    Fsck(Option<Vec<Finding>>),
    Reread(Box<(RereadPlan, Result<Proof, RereadError>)>),
    Restore(Box<(RestorePlan, RestoreOutcome)>),
    Copy(Box<(CopyPlan, Result<Option<Proof>, CopyError>)>),
}

impl Ended {
    /// Whether the bucket may hold something else than before.
    fn changes_bucket(&self) -> bool {
        match self {
            Self::Backup(_) | Self::Volume(_) | Self::Accept(_) | Self::Copy(_) | Self::Fsck(_) => {
                true
            }
            Self::Reread(ended) => ended.0.from == Destination::S3,
            Self::Verify(ended) => ended
                .1
                .as_ref()
                .is_ok_and(|proof| proof.destination == Destination::S3.as_str()),
            _ => false,
        }
    }
}

/// The one writer of the books.
#[derive(Debug)]
pub(super) struct Ledger {
    books: Books,
    context: Arc<JobContext>,
}

impl Ledger {
    pub(super) fn new(books: Books, context: Arc<JobContext>) -> Self {
        Self { books, context }
    }

    pub(super) fn picture(&self) -> Arc<Picture> {
        self.books.board.read()
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Reads the backup folder again; what it shows is the truth about backups.
    pub(super) async fn relist(&self) {
        relist(&self.context.store, &self.books.board).await;
    }

    pub(super) fn job_asked(&self, job: JobPicture) {
        info!(job.id = %job.id, job.kind = job.kind.as_str(), job.subject = %job.subject, "job asked for");
        self.books.board.update(|picture| picture.put_job(job));
    }

    pub(super) fn job_began(&self, id: &JobId) {
        self.step(id, JobEvent::Began(self.now()));
    }

    /// Shows what a running job does; of a dump, how much the last one was.
    pub(super) fn job_goes_on(&self, id: &JobId, kind: JobKind) {
        let Some(mut doing) = self.context.progress.find(kind) else {
            return;
        };
        if doing.step == Step::Dumping {
            let picture = self.picture();
            let mut known = picture.series.iter();
            let state = known.find(|(series, _)| series.to_string() == doing.subject);
            let newest = state.and_then(|(_, state)| state.backups.last());
            doing.total = newest.map(|it| it.manifest.stored_size);
        }
        self.books.board.update(|picture| {
            if let Some(job) = picture.jobs.iter_mut().find(|job| job.id == *id) {
                job.doing = Some(doing);
            }
        });
    }

    pub(super) fn job_ended(&self, id: &JobId, report: JobReport) {
        let outcome = report.outcome.as_str();
        match report.outcome {
            Outcome::Succeeded | Outcome::Cancelled => info!(job.id = %id, outcome, "job ended"),
            Outcome::Partial | Outcome::Failed => error!(job.id = %id, outcome, "job ended"),
        }
        self.step(id, JobEvent::Ended(self.now(), report));
    }

    fn step(&self, id: &JobId, event: JobEvent) {
        self.books.board.update(|picture| {
            let Some(job) = picture.jobs.iter_mut().find(|job| &job.id == id) else { return };
            job.doing = None;
            match job.state.step(event) {
                Ok(state) => job.state = state,
                Err(event) => warn!(job.id = %id, ?event, "a job was told what it cannot do; please report this"),
            }
        });
    }

    /// Notes that these series are being tried, so that nobody asks for them again meanwhile.
    pub(super) fn attempts(&self, plan: &BackupPlan) {
        let now = self.now();
        let series = plan.known_series(&self.context.project);
        self.books.board.update(|picture| {
            for series in series {
                picture.series.entry(series).or_default().last_attempt = Some(now);
            }
        });
    }

    /// Writes everything a job's end means and sums it up.
    pub(super) async fn close_books(&self, ended: &Ended) -> JobReport {
        let report = match ended {
            Ended::Backup(outcome) => JobReport::of(self.backups_ended(outcome)),
            Ended::Volume(ended) => {
                let (plan, outcome) = ended.as_ref();
                JobReport::of(self.volume_ended(plan, outcome))
            }
            Ended::Verify(ended) => {
                let (plan, outcome) = ended.as_ref();
                JobReport::of(vec![self.proof_ended(plan, outcome.as_ref())])
            }
            Ended::File(ended) => {
                let (plan, outcome) = ended.as_ref();
                JobReport::of(self.file_ended(plan, outcome))
            }
            Ended::Fsck(findings) => JobReport::of(self.fsck_ended(findings.as_deref())),
            Ended::Reread(ended) => {
                let (plan, outcome) = ended.as_ref();
                JobReport::of(vec![self.reread_ended(plan, outcome)])
            }
            Ended::Accept(ended) => {
                let (plan, outcome) = ended.as_ref();
                JobReport::of(vec![self.acceptance_ended(plan, outcome)])
            }
            Ended::Restore(ended) => {
                let (plan, outcome) = ended.as_ref();
                self.restore_ended(plan, outcome)
            }
            Ended::Copy(ended) => {
                let (plan, outcome) = ended.as_ref();
                JobReport::of(vec![self.copy_ended(plan, outcome)])
            }
        };
        self.relist().await;
        if ended.changes_bucket() {
            Box::pin(bucket::relist(&self.context, &self.books.board)).await;
        }
        report
    }

    fn backups_ended(&self, outcome: &BackupOutcome) -> Vec<JobPart> {
        let parts = outcome.parts.iter().map(|part| self.backup_ended(part));
        let mut parts: Vec<JobPart> = parts.collect();
        let proofs = outcome.proofs.iter();
        parts.extend(proofs.map(|(plan, proof)| self.proof_ended(plan, proof.as_ref())));
        self.pruned(outcome);
        parts
    }

    fn backup_ended(&self, part: &SeriesOutcome) -> JobPart {
        let subject = part.series.to_string();
        let id = part.manifest.as_ref().map(|manifest| manifest.id.clone());
        let detail = match (&part.manifest, &part.error) {
            (_, Some(why)) => {
                error!(series = %subject, error = %why, "backup failed");
                why.clone()
            }
            (Some(manifest), None) => {
                let (size, took) = (manifest.stored_size, manifest.took.as_millis());
                info!(series = %subject, backup.id = %manifest.id, size_bytes = size.0, took_ms = took, "backup published");
                published(manifest, &part.copied)
            }
            (None, None) => part.outcome.as_str().to_owned(),
        };
        self.journal(Entry::Backup {
            subject: subject.clone(),
            outcome: part.outcome.as_str().to_owned(),
            id: id.as_ref().map(ToString::to_string),
            error: part.error.clone(),
        });
        self.note_copied(part);
        if !is_of_volume(&part.series.service) {
            self.books.metrics.backup_ended(&BackupMeasurement {
                service: part.series.service.clone(),
                content: part.series.content.clone(),
                outcome: part.outcome,
                stages: measured(part),
            });
            let failed = part.outcome == Outcome::Failed;
            self.change_series(&part.series, |state| {
                state.last_error = part.error.clone().filter(|_| failed);
                state.failures = if failed { state.failures + 1 } else { 0 };
            });
        }
        JobPart {
            subject,
            outcome: part.outcome,
            backup: id,
            detail,
        }
    }

    fn change_series(
        &self,
        series: &Series,
        change: impl FnOnce(&mut crate::board::SeriesPicture),
    ) {
        self.books
            .board
            .update(|picture| change(picture.series.entry(series.clone()).or_default()));
    }

    fn file_ended(
        &self,
        plan: &FilePlan,
        outcome: &Result<FileVerdict, VerifyError>,
    ) -> Vec<JobPart> {
        match outcome {
            Ok(FileVerdict::Own(own)) => {
                let (plan, proof) = own.as_ref();
                vec![self.proof_ended(plan, Ok(proof))]
            }
            Ok(FileVerdict::Foreign(judgement)) => file::judged(plan, judgement),
            Err(error) => vec![file::unjudged(plan, error)],
        }
    }

    fn proof_ended(&self, plan: &VerifyPlan, outcome: Result<&Proof, &VerifyError>) -> JobPart {
        let subject = plan.database.to_string();
        let (outcome, detail, took) = match outcome {
            Ok(proof) => Self::judge_proof(plan, proof),
            Err(error) => {
                let why = chain(error);
                let cancelled = matches!(error, VerifyError::Cancelled);
                if !cancelled {
                    warn!(database = %subject, backup.id = %plan.id, error = %why, "proof could not be made");
                }
                let outcome = if cancelled {
                    Outcome::Cancelled
                } else {
                    Outcome::Failed
                };
                (outcome, why, None)
            }
        };
        let now = self.now();
        let series = plan.series(&self.context.project);
        let is_lasting = !is_of_volume(&series.service);
        if is_lasting {
            self.change_series(&series, |state| {
                let before = state.proof_attempt.map_or(0, |(_, failures)| failures);
                // Only a proof without an answer is tried again later.
                state.proof_attempt = took.is_none().then_some((now, before + 1));
                let is_error = took.is_none() && outcome == Outcome::Failed;
                state.proof_error = is_error.then(|| detail.clone());
            });
        }
        self.journal(Entry::Proof {
            subject: subject.clone(),
            outcome: outcome.as_str().to_owned(),
            id: plan.id.to_string(),
            detail: detail.clone(),
        });
        if let Some(took) = took.filter(|_| is_lasting) {
            let (service, content) = (series.service, series.content);
            self.books.metrics.proof_ended(&ProofMeasurement {
                service,
                content,
                took,
            });
        }
        JobPart {
            subject,
            outcome,
            backup: Some(plan.id.clone()),
            detail,
        }
    }

    fn judge_proof(plan: &VerifyPlan, proof: &Proof) -> (Outcome, String, Option<Duration>) {
        let (database, took_ms) = (&plan.database, proof.took.as_millis());
        if let (Some(level), true) = (proof.level, proof.is_good()) {
            info!(%database, backup.id = %plan.id, level = level.as_str(), took_ms, "backup proven");
            let detail = match &proof.reason {
                None => format!("proven at level {level}"),
                Some(reason) => format!("proven at level {level} and no further: {reason}"),
            };
            return (Outcome::Succeeded, detail, Some(proof.took));
        }
        let first = proof.differences.first().map_or_else(
            || {
                proof
                    .reason
                    .clone()
                    .unwrap_or_else(|| "the stored bytes are wrong".to_owned())
            },
            ToString::to_string,
        );
        let differences = proof.differences.len();
        error!(%database, backup.id = %plan.id, first, differences, "backup did NOT prove");
        (
            Outcome::Failed,
            format!("does not prove: {first}"),
            Some(proof.took),
        )
    }

    fn journal(&self, entry: Entry) {
        if let Err(error) = self.books.journal.append(self.now(), entry) {
            warn!(error = %chain(&error), "the journal misses a line");
        }
    }
}

/// What became of a backup that stands, in one sentence.
fn published(manifest: &Manifest, copied: &Copied) -> String {
    let (size, level) = (manifest.stored_size, manifest.level);
    let copy = match copied {
        Copied::NotAsked => String::new(),
        Copied::Done => ", on disk and in the bucket".to_owned(),
        Copied::Missing(why) => format!(", on disk only: {why}"),
    };
    match &manifest.suspicion {
        None => format!("{size} at level {level}{copy}"),
        Some(suspicion) => {
            let reasons = suspicion.reasons.join("; ");
            format!("{size} at level {level}{copy}, but suspect: {reasons}")
        }
    }
}

/// Reads the backup folder and shows what is there.
pub(super) async fn relist(store: &DiskStore, board: &Board) {
    let store = store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let free = store.probe()?;
        store.list().map(|listing| (free, listing))
    });
    let outcome = match read.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(chain(&error)),
        Err(error) => Err(error.to_string()),
    };
    board.update(|picture| match outcome {
        Ok((free, listing)) => {
            picture.folder = Reach::Reached;
            picture.disk_free = Some(free);
            show(picture, listing);
        }
        Err(why) => picture.folder = Reach::Lost(why),
    });
}

/// What the stages of a backup took; a failed one has none.
fn measured(part: &SeriesOutcome) -> Vec<(Stage, Duration)> {
    let stages = part.stages;
    match part.outcome {
        // Partial: it lacks its copy only.
        Outcome::Succeeded | Outcome::Partial => vec![
            (Stage::Dump, stages.dump),
            (Stage::Digest, stages.digest),
            (Stage::Archive, stages.archive),
            (Stage::Publish, stages.publish),
            (Stage::Total, stages.total()),
        ],
        Outcome::Failed | Outcome::Cancelled => Vec::new(),
    }
}

/// Puts what the folder shows on the board, keeping what only the board knows of each series.
fn show(picture: &mut Picture, listing: Listing) {
    for state in picture.series.values_mut() {
        state.backups.clear();
    }
    for (series, backups) in listing.series {
        let refuted = backups
            .iter()
            .filter(|backup| backup.standing() == Standing::Refuted)
            .count();
        if refuted > 0 {
            info!(series = %series, refuted, "backups that did not prove are kept for you to look at");
        }
        let state = picture.series.entry(series).or_default();
        state.backups = backups.into_iter().map(Arc::new).collect();
    }
    picture.folder_problems = listing.problems;
    picture.unreadable = listing.unreadable;
}
