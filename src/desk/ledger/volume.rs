//! What a backup of a volume changes: what each of its backups does, or a journal line and a log line that there is none.
//!
//! A volume is backed up once, by hand. That it failed is told to whoever asked and keeps nobody else awake: nothing of it
//! stands on the board, in a counter or in an alarm.

use tracing::{info, warn};

use super::Ledger;
use crate::domain::failure::chain;
use crate::domain::job::{JobPart, Outcome};
use crate::job::backup::BackupOutcome;
use crate::job::backup::volume::{VolumeError, VolumePlan};
use crate::journal::Entry;

impl Ledger {
    pub(super) fn volume_ended(
        &self,
        plan: &VolumePlan,
        outcome: &Result<BackupOutcome, VolumeError>,
    ) -> Vec<JobPart> {
        let error = match outcome {
            Ok(outcome) => {
                info!(volume = %plan.volume, image = %plan.image, "backup of a volume ended");
                return self.backups_ended(outcome);
            }
            Err(error) => error,
        };
        let subject = format!("volume {}", plan.volume);
        let detail = chain(error);
        let outcome = if matches!(error, VolumeError::Cancelled) {
            Outcome::Cancelled
        } else {
            warn!(volume = %plan.volume, image = %plan.image, error = %detail, "volume could not be backed up");
            Outcome::Failed
        };
        self.journal(Entry::Backup {
            subject: subject.clone(),
            outcome: outcome.as_str().to_owned(),
            id: None,
            error: Some(detail.clone()),
        });
        vec![JobPart {
            subject,
            outcome,
            backup: None,
            detail,
        }]
    }
}
