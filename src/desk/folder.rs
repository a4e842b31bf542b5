//! Watches the backup folder between jobs: a disk that is gone or full is seen before the next backup needs it, and
//! one that came back is read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::ledger::relist;
use crate::board::{Board, Reach};
use crate::domain::failure::chain;
use crate::domain::unit::ByteCount;
use crate::job::JobContext;

/// How often it is tried; each try writes a few bytes.
const PERIOD: Duration = Duration::from_mins(1);
/// A folder on a dead network share answers never.
const PATIENCE: Duration = Duration::from_secs(20);

/// The task that tries the folder.
#[derive(Debug)]
pub struct FolderWatch {
    /// Has the folder.
    pub context: Arc<JobContext>,
    /// Shows it.
    pub board: Board,
}

impl FolderWatch {
    /// Watches until `soft` is cancelled.
    pub async fn run(self, soft: CancellationToken) {
        let mut steps = tokio::time::interval(PERIOD);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The desk reads the folder at its start.
        steps.tick().await;
        loop {
            tokio::select! {
                _ = steps.tick() => {}
                () = soft.cancelled() => return,
            }
            tokio::select! {
                () = self.look() => {}
                () = soft.cancelled() => return,
            }
        }
    }

    async fn look(&self) {
        let store = self.context.store.clone();
        let mut trying = tokio::task::spawn_blocking(move || store.probe());
        let Ok(tried) = timeout(PATIENCE, &mut trying).await else {
            let why = format!("it does not answer within {PATIENCE:?}; is its disk or share gone?");
            self.lose(why);
            // Another try would only wait beside this one.
            drop(trying.await);
            return;
        };
        match tried {
            Ok(Ok(free)) => self.find(free).await,
            Ok(Err(error)) => self.lose(chain(&error)),
            Err(error) => self.lose(error.to_string()),
        }
    }

    fn lose(&self, why: String) {
        let reach = Reach::Lost(why);
        if self.board.read().folder != reach {
            self.board.update(|picture| picture.folder = reach);
        }
    }

    async fn find(&self, free: ByteCount) {
        let picture = self.board.read();
        if matches!(picture.folder, Reach::Lost(_)) {
            relist(&self.context.store, &self.board).await;
        } else if picture.disk_free != Some(free) {
            self.board.update(|picture| picture.disk_free = Some(free));
        }
    }
}
