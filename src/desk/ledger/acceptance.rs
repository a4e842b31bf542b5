//! What an acceptance changes: a journal line and a log line; the listing shows the rest.

use tracing::{info, warn};

use super::Ledger;
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::failure::chain;
use crate::domain::job::{JobPart, Outcome};
use crate::job::accept::{AcceptError, AcceptPlan};
use crate::journal::Entry;

impl Ledger {
    pub(super) fn acceptance_ended(
        &self,
        plan: &AcceptPlan,
        outcome: &Result<Acceptance, AcceptError>,
    ) -> JobPart {
        let subject = plan.database.to_string();
        let (outcome, detail) = match outcome {
            Ok(acceptance) => {
                let reasons = acceptance.reasons.join("; ");
                info!(database = %subject, backup.id = %plan.id, reasons, "suspect backup accepted");
                (Outcome::Succeeded, format!("accepted although {reasons}"))
            }
            Err(error) => {
                let why = chain(error);
                warn!(database = %subject, backup.id = %plan.id, error = %why, "nothing was accepted");
                (Outcome::Failed, why)
            }
        };
        self.journal(Entry::Acceptance {
            subject: subject.clone(),
            outcome: outcome.as_str().to_owned(),
            id: plan.id.to_string(),
            detail: detail.clone(),
        });
        JobPart {
            subject,
            outcome,
            backup: Some(plan.id.clone()),
            detail,
        }
    }
}
