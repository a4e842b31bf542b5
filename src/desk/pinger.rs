//! The dead man's ping: tells a switch outside that backup jobs end well, so that their absence is noticed there.
//!
//! Well is told when a backup job succeeded entirely while no database's last backup failed and none was refuted,
//! and when a proof has put right what was told before. Failure is told when a backup job failed, also in part, or
//! a proof refuted a backup. What was not taken is owed until a newer word replaces it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::alarm::sorrows;
use super::tell_reach;
use crate::board::{Board, JobPicture, Picture, Reach};
use crate::domain::alarm::{Channel, one_sentence};
use crate::domain::id::JobId;
use crate::domain::job::{JobKind, JobReport, JobState, Outcome};
use crate::job::tell::Pulse;

/// Between two tries of the same word.
const PAUSE: Duration = Duration::from_mins(5);

/// What the switch is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Beat {
    Well,
    Failing(String),
}

/// The task that pings.
#[derive(Debug)]
pub struct Pinger {
    pulse: Pulse,
    board: Board,
    seen: BTreeSet<JobId>,
    last: Option<Beat>,
}

impl Pinger {
    /// Prepares to ping for what the board shows.
    pub fn new(pulse: Pulse, board: Board) -> Self {
        Self {
            pulse,
            board,
            seen: BTreeSet::new(),
            last: None,
        }
    }

    /// Pings until `soft` is cancelled.
    pub async fn run(mut self, soft: CancellationToken) {
        let mut changes = self.board.subscribe();
        let mut owed: Option<Beat> = None;
        let mut not_before = Instant::now();
        loop {
            let picture = std::sync::Arc::clone(&changes.borrow_and_update());
            if let Some(beat) = self.hear(&picture) {
                owed = Some(beat);
                not_before = Instant::now();
            }
            if let Some(beat) = &owed
                && Instant::now() >= not_before
            {
                let is_taken = tokio::select! {
                    taken = self.send(beat) => taken,
                    () = soft.cancelled() => return,
                };
                not_before = Instant::now() + PAUSE;
                owed = owed.filter(|_| !is_taken);
            }
            tokio::select! {
                seen = changes.changed() => if seen.is_err() { return },
                () = sleep(PAUSE) => {}
                () = soft.cancelled() => return,
            }
        }
    }

    /// What the jobs that ended since the last look mean, the newest word of them.
    fn hear(&mut self, picture: &Picture) -> Option<Beat> {
        let mut word = None;
        for job in &picture.jobs {
            if let JobState::Ended { report, .. } = &job.state
                && self.seen.insert(job.id.clone())
                && let Some(beat) = judge(picture, job, report, self.last.as_ref())
            {
                self.last = Some(beat.clone());
                word = Some(beat);
            }
        }
        // Forgotten as the board forgets them: ids never come back.
        self.seen
            .retain(|id| picture.jobs.iter().any(|job| job.id == *id));
        word
    }

    async fn send(&self, beat: &Beat) -> bool {
        let taken = match beat {
            Beat::Well => self.pulse.well().await,
            Beat::Failing(why) => self.pulse.failing(why).await,
        };
        let is_taken = taken.is_ok();
        let reach = taken.map_or_else(|untold| Reach::Lost(untold.why), |()| Reach::Reached);
        tell_reach(&self.board, Channel::Ping, reach);
        is_taken
    }
}

fn judge(
    picture: &Picture,
    job: &JobPicture,
    report: &JobReport,
    last: Option<&Beat>,
) -> Option<Beat> {
    let sorrows = sorrows(picture);
    let failing = || Beat::Failing(sorrows.join("\n"));
    match (job.kind, report.outcome) {
        // Whoever asked for a restore sees how it ended; it says nothing about backups.
        (_, Outcome::Cancelled)
        | (JobKind::Restore, _)
        // A copy that failed is made again; that the bucket is behind is a warning of its own.
        | (JobKind::Accept | JobKind::Copy, Outcome::Partial | Outcome::Failed)
        | (JobKind::Fsck, Outcome::Succeeded) => None,
        (JobKind::Backup, Outcome::Succeeded) if sorrows.is_empty() => Some(Beat::Well),
        (JobKind::Backup, Outcome::Succeeded) => Some(failing()),
        (JobKind::Backup, Outcome::Partial | Outcome::Failed) => {
            let parts = report.parts.iter();
            let failed = parts.filter(|part| part.outcome != Outcome::Succeeded);
            let lines = failed.map(|it| format!("{}: {}", it.subject, one_sentence(&it.detail)));
            Some(Beat::Failing(lines.collect::<Vec<_>>().join("\n")))
        }
        (JobKind::Verify | JobKind::Accept | JobKind::Copy, Outcome::Succeeded) => {
            let puts_right = sorrows.is_empty() && matches!(last, Some(Beat::Failing(_)));
            puts_right.then_some(Beat::Well)
        }
        // A proof that could not be made says nothing about the backup.
        (JobKind::Verify | JobKind::Fsck, Outcome::Partial | Outcome::Failed) => {
            (!sorrows.is_empty()).then(failing)
        }
    }
}

#[cfg(test)]
mod tests;
