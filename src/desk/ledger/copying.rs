//! What the copy of a backup changes: a journal line, a log line, and when it is tried again.

use tracing::{error, info, warn};

use super::Ledger;
use crate::domain::backup::copy::Task;
use crate::domain::backup::{Proof, Series};
use crate::domain::failure::chain;
use crate::domain::job::{JobPart, Outcome};
use crate::job::backup::SeriesOutcome;
use crate::job::copy::along::Copied;
use crate::job::copy::{CopyError, CopyPlan};
use crate::journal::Entry;

impl Ledger {
    pub(super) fn copy_ended(
        &self,
        plan: &CopyPlan,
        outcome: &Result<Option<Proof>, CopyError>,
    ) -> JobPart {
        let (subject, id) = (plan.series.to_string(), &plan.id);
        let is_found_out = outcome.is_ok();
        if let Ok(Some(proof)) = outcome {
            let refuted = (!proof.is_good()).then(|| self.now());
            self.change_series(&plan.series, |state| state.copy_refuted = refuted);
        }
        let (outcome, detail) = match outcome {
            Ok(None) => {
                info!(series = %subject, backup.id = %id, "what is known of the backup is beside its copy");
                (
                    Outcome::Succeeded,
                    "what is known of it is in the bucket too".to_owned(),
                )
            }
            Ok(Some(proof)) => match proof.differences.first() {
                None => {
                    let took_ms = proof.took.as_millis();
                    info!(series = %subject, backup.id = %id, took_ms, "copy in the bucket read back");
                    (Outcome::Succeeded, "in the bucket, read back".to_owned())
                }
                Some(first) => {
                    error!(series = %subject, backup.id = %id, first = %first, "copy in the bucket did NOT prove");
                    (Outcome::Failed, format!("does not prove: {first}"))
                }
            },
            Err(error) if error.is_cancelled() => (Outcome::Cancelled, chain(error)),
            Err(error) => {
                let why = chain(error);
                warn!(series = %subject, backup.id = %id, error = %why, "backup could not be copied; it is tried again");
                (Outcome::Failed, why)
            }
        };
        // What reads back as other bytes has its answer: trying again would not change it.
        let failed = outcome == Outcome::Failed && !is_found_out;
        if failed && plan.task == Task::Replace {
            self.note_bad_copy(&plan.series, &detail);
        } else {
            self.note_copy(&plan.series, failed.then(|| detail.clone()));
        }
        self.journal(Entry::Copy {
            subject: subject.clone(),
            outcome: outcome.as_str().to_owned(),
            id: id.to_string(),
            detail: detail.clone(),
        });
        JobPart {
            subject,
            outcome,
            backup: Some(id.clone()),
            detail,
        }
    }

    /// Shows what became of the copy that went along with a backup.
    pub(super) fn note_copied(&self, part: &SeriesOutcome) {
        match &part.copied {
            Copied::NotAsked => {}
            Copied::Done => self.note_copy(&part.series, None),
            Copied::Missing(why) => {
                warn!(series = %part.series, error = %why, "the backup stands on disk and not in the bucket; it is copied later");
                self.note_copy(&part.series, Some(why.clone()));
            }
        }
    }

    /// A bad copy that cannot be replaced, since nothing may be removed there for example, waits for hours and holds up no
    /// other copy of its series.
    fn note_bad_copy(&self, series: &Series, failure: &str) {
        let now = self.now();
        self.change_series(series, |state| {
            state.copy_refuted = Some(now);
            state.copy_error = Some(failure.to_owned());
        });
    }

    fn note_copy(&self, series: &Series, failure: Option<String>) {
        let now = self.now();
        self.change_series(series, |state| {
            let before = state.copy_attempt.map_or(0, |(_, failures)| failures);
            state.copy_attempt = failure.is_some().then_some((now, before + 1));
            state.copy_error = failure;
        });
    }
}
