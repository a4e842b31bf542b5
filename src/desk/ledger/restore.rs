//! What a restore changes: its safety backup like any backup, a journal line, a log line, and a part for whatever belongs
//! to it.

use tracing::{error, info, warn};

use super::Ledger;
use crate::domain::failure::chain;
use crate::domain::job::{JobPart, JobReport, Outcome};
use crate::job::restore::{Done, RestoreOutcome, RestorePlan};
use crate::journal::Entry;

impl Ledger {
    pub(super) fn restore_ended(&self, plan: &RestorePlan, outcome: &RestoreOutcome) -> JobReport {
        let mut parts: Vec<JobPart> = outcome
            .backups
            .iter()
            .map(|backup| self.backup_ended(backup))
            .collect();
        let took_ms = outcome.took.as_millis();
        let whole = match &outcome.result {
            Ok(done) => {
                info!(database = %done.subject, took_ms, detail = done.detail, "restore done");
                JobPart {
                    subject: done.subject.clone(),
                    outcome: Outcome::Succeeded,
                    backup: done.backup.clone(),
                    detail: done.detail.clone(),
                }
            }
            Err(why) => {
                let subject = plan.order.subject();
                let detail = chain(why);
                let outcome = if why.is_cancelled() {
                    Outcome::Cancelled
                } else {
                    error!(subject, error = %detail, "nothing was restored");
                    Outcome::Failed
                };
                JobPart {
                    subject,
                    outcome,
                    backup: None,
                    detail,
                }
            }
        };
        let downtime = outcome.result.as_ref().ok().and_then(|done| done.downtime);
        self.journal(Entry::Restore {
            subject: whole.subject.clone(),
            outcome: whole.outcome.as_str().to_owned(),
            id: whole.backup.as_ref().map(ToString::to_string),
            detail: whole.detail.clone(),
            seconds: outcome.took.as_secs_f64(),
            downtime_seconds: downtime.map(|it| it.as_secs_f64()),
        });
        let became = whole.outcome;
        parts.push(whole);
        if let Ok(done) = &outcome.result {
            parts.extend(belongings(done));
            return JobReport::of(parts);
        }
        // The backup that was taken first is no part of what was asked for.
        JobReport {
            outcome: became,
            parts,
        }
    }
}

fn belongings(done: &Done) -> impl Iterator<Item = JobPart> {
    done.parts.iter().map(|(subject, told)| {
        let (outcome, detail) = match told {
            Ok(detail) => (Outcome::Succeeded, detail),
            Err(why) => {
                warn!(subject, error = why, "a part of a restore failed");
                (Outcome::Failed, why)
            }
        };
        JobPart {
            subject: subject.clone(),
            outcome,
            backup: None,
            detail: detail.clone(),
        }
    })
}
