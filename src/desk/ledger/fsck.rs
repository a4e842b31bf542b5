//! What reading everything again, or one backup of it, changes: one part for each finding, a journal line for each
//! backup whose bytes are not its own any more.

use tracing::{error, info, warn};

use super::Ledger;
use crate::domain::backup::Proof;
use crate::domain::failure::chain;
use crate::domain::job::{JobPart, Outcome};
use crate::job::fsck::{Finding, Remedy, RereadError, RereadPlan, What};
use crate::journal::Entry;

impl Ledger {
    pub(super) fn fsck_ended(&self, findings: Option<&[Finding]>) -> Vec<JobPart> {
        let Some(findings) = findings else {
            let why = "told to stop before everything was read".to_owned();
            return vec![part("everything".to_owned(), Outcome::Cancelled, why)];
        };
        if findings.is_empty() {
            let told = "nothing is stored yet".to_owned();
            return vec![part("everything".to_owned(), Outcome::Succeeded, told)];
        }
        findings.iter().map(|it| self.found(it)).collect()
    }

    fn found(&self, finding: &Finding) -> JobPart {
        let subject = finding.series.as_ref().map_or_else(
            || finding.destination.to_owned(),
            |series| format!("{series} on {}", finding.destination),
        );
        let detail = in_words(&finding.what);
        let is_sound = matches!(finding.what, What::Sound { .. });
        if is_sound {
            info!(subject, detail, "stored backups read again");
        } else {
            let id = finding.id.as_ref().map(ToString::to_string);
            error!(
                subject,
                backup.id = id,
                detail,
                "what is stored is not as it should be"
            );
            if let (Some(series), Some(id)) = (&finding.series, id) {
                self.reading(&series.to_string(), &id, Outcome::Failed, &detail);
            }
        }
        let outcome = if is_sound {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        };
        JobPart {
            backup: finding.id.clone(),
            ..part(subject, outcome, detail)
        }
    }

    pub(super) fn reread_ended(
        &self,
        plan: &RereadPlan,
        ended: &Result<Proof, RereadError>,
    ) -> JobPart {
        let subject = plan.series.to_string();
        let (outcome, detail) = match ended {
            Ok(proof) if proof.is_good() => {
                info!(series = %subject, destination = proof.destination, backup.id = %plan.id, took_ms = proof.took.as_millis(), "backup read again");
                (
                    Outcome::Succeeded,
                    "holds the bytes that were written".to_owned(),
                )
            }
            Ok(proof) => {
                let found = proof.differences.first().map(ToString::to_string);
                let found = found.unwrap_or_default();
                error!(series = %subject, destination = proof.destination, backup.id = %plan.id, found, "backup does NOT hold the bytes that were written");
                (Outcome::Failed, found)
            }
            Err(RereadError::Cancelled) => (Outcome::Cancelled, "told to stop".to_owned()),
            Err(error) => {
                let why = chain(error);
                warn!(series = %subject, backup.id = %plan.id, error = %why, "backup could not be read again");
                (Outcome::Failed, why)
            }
        };
        let has_failed = matches!(ended, Err(error) if !matches!(error, RereadError::Cancelled));
        let tried = has_failed.then(|| self.now());
        self.change_series(&plan.series, |state| state.reread_failed = tried);
        self.reading(&subject, &plan.id.to_string(), outcome, &detail);
        JobPart {
            backup: Some(plan.id.clone()),
            ..part(subject, outcome, detail)
        }
    }

    fn reading(&self, subject: &str, id: &str, outcome: Outcome, detail: &str) {
        self.journal(Entry::Reading {
            subject: subject.to_owned(),
            outcome: outcome.as_str().to_owned(),
            id: id.to_owned(),
            detail: detail.to_owned(),
        });
    }
}

fn in_words(what: &What) -> String {
    match what {
        What::Sound { backups, read } => {
            format!("{backups} read again ({read}): the bytes that were written")
        }
        What::Missing(remedy) => {
            format!(
                "missing: there is a manifest and no file; {}",
                what_follows(*remedy)
            )
        }
        What::Altered(remedy) => format!(
            "altered: the file holds other bytes than were written (SHA-256 differs); {}",
            what_follows(*remedy)
        ),
        What::Orphan(file) => format!(
            "orphan: {file} belongs to no manifest; the next start of the sidecar removes it"
        ),
        What::Unreadable(why) => format!("unreadable: {why}"),
        What::Unknown(why) => format!("not read: {why}"),
    }
}

fn what_follows(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Replaced => {
            "the sidecar writes this copy again from the good file on disk, by itself"
        }
        Remedy::InBucket => {
            "a restore takes the copy in the bucket in its place, which is read below; look after the disk"
        }
        Remedy::None => "there is no good copy of it to replace it from: restore another backup",
    }
}

fn part(subject: String, outcome: Outcome, detail: String) -> JobPart {
    JobPart {
        subject,
        outcome,
        backup: None,
        detail,
    }
}
