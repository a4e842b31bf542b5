//! What a job's end changes: the journal, the counters, the board and one log line each.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::runner::Books;
use crate::board::{JobPicture, Picture, Reach};
use crate::domain::backup::{Proof, Series, Standing};
use crate::domain::failure::chain;
use crate::domain::id::JobId;
use crate::domain::job::{JobEvent, JobPart, JobReport, Outcome};
use crate::domain::unit::Timestamp;
use crate::job::JobContext;
use crate::job::backup::{BackupOutcome, BackupPlan, SeriesOutcome};
use crate::job::verify::{VerifyError, VerifyPlan};
use crate::journal::Entry;
use crate::observe::metrics::{BackupMeasurement, ProofMeasurement, Stage};
use crate::store::disk::Listing;

/// How a job's task ended.
#[derive(Debug)]
pub(super) enum Ended {
    Backup(BackupOutcome),
    Verify(Box<(VerifyPlan, Result<Proof, VerifyError>)>),
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
        let store = self.context.store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let free = store.probe()?;
            store.list().map(|listing| (free, listing))
        });
        let outcome = match read.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(chain(&error)),
            Err(error) => Err(error.to_string()),
        };
        self.books.board.update(|picture| match outcome {
            Ok((free, listing)) => {
                picture.folder = Reach::Reached;
                picture.disk_free = Some(free);
                show(picture, listing);
            }
            Err(why) => picture.folder = Reach::Lost(why),
        });
    }

    pub(super) fn job_asked(&self, job: JobPicture) {
        info!(job.id = %job.id, job.kind = job.kind.as_str(), job.subject = %job.subject, "job asked for");
        self.books.board.update(|picture| picture.put_job(job));
    }

    pub(super) fn job_began(&self, id: &JobId) {
        self.step(id, JobEvent::Began(self.now()));
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
            Ended::Backup(outcome) => {
                let parts = outcome
                    .parts
                    .iter()
                    .map(|part| self.backup_ended(part))
                    .collect();
                for removed in &outcome.removed {
                    info!(series = %removed.series, backup.id = %removed.id, reason = %removed.reason, "backup removed");
                }
                JobReport::of(parts)
            }
            Ended::Verify(ended) => {
                let (plan, outcome) = ended.as_ref();
                JobReport::of(vec![self.proof_ended(plan, outcome)])
            }
        };
        self.relist().await;
        report
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
                format!("{size} at level {}", manifest.level)
            }
            (None, None) => part.outcome.as_str().to_owned(),
        };
        self.journal(Entry::Backup {
            subject: subject.clone(),
            outcome: part.outcome.as_str().to_owned(),
            id: id.as_ref().map(ToString::to_string),
            error: part.error.clone(),
        });
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

    fn proof_ended(&self, plan: &VerifyPlan, outcome: &Result<Proof, VerifyError>) -> JobPart {
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
        self.change_series(&series, |state| {
            let before = state.proof_attempt.map_or(0, |(_, failures)| failures);
            // Only a proof without an answer is tried again later.
            state.proof_attempt = took.is_none().then_some((now, before + 1));
        });
        self.journal(Entry::Proof {
            subject: subject.clone(),
            outcome: outcome.as_str().to_owned(),
            id: plan.id.to_string(),
            detail: detail.clone(),
        });
        if let Some(took) = took {
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
            return (
                Outcome::Succeeded,
                format!("proven at level {level}"),
                Some(proof.took),
            );
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

/// What the stages of a backup took; a failed one has none.
fn measured(part: &SeriesOutcome) -> Vec<(Stage, Duration)> {
    let stages = part.stages;
    match part.outcome {
        Outcome::Succeeded => vec![
            (Stage::Dump, stages.dump),
            (Stage::Archive, stages.archive),
            (Stage::Publish, stages.publish),
            (Stage::Total, stages.dump + stages.archive + stages.publish),
        ],
        Outcome::Partial | Outcome::Failed | Outcome::Cancelled => Vec::new(),
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
}
