//! What retention did: a journal line and a log line each, and on the board what would not go.

use tracing::{info, warn};

use super::Ledger;
use crate::domain::job::Outcome;
use crate::job::backup::BackupOutcome;
use crate::job::prune::Removed;
use crate::journal::Entry;

impl Ledger {
    pub(super) fn pruned(&self, outcome: &BackupOutcome) {
        let pruned = &outcome.pruned;
        for gone in &pruned.removed {
            info!(series = %gone.series, destination = gone.destination, backup.id = %gone.id, reason = gone.reason, "backup removed");
            self.removal(gone, Outcome::Succeeded);
        }
        for stuck in &pruned.refused {
            warn!(series = %stuck.series, destination = stuck.destination, backup.id = %stuck.id, error = stuck.reason, "backup could not be removed");
            self.removal(stuck, Outcome::Failed);
        }
        let good = outcome
            .parts
            .iter()
            .filter(|it| it.outcome == Outcome::Succeeded);
        let refused = pruned.refused.iter().map(|it| &it.series);
        for series in good.map(|it| &it.series).chain(refused) {
            let first = pruned.refused.iter().find(|it| it.series == *series);
            let first = first.map(in_words);
            self.change_series(series, |state| state.unremovable = first);
        }
    }

    fn removal(&self, removed: &Removed, outcome: Outcome) {
        self.journal(Entry::Removal {
            subject: removed.series.to_string(),
            destination: removed.destination.clone(),
            outcome: outcome.as_str().to_owned(),
            id: removed.id.to_string(),
            detail: removed.reason.clone(),
        });
    }
}

fn in_words(stuck: &Removed) -> String {
    format!("{} on {}: {}", stuck.id, stuck.destination, stuck.reason)
}
