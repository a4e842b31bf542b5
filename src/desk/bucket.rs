//! Watches the bucket: what it can do is tried at the start, what it holds is listed now and then. A bucket that
//! cannot be reached costs nobody a backup; it is said, and what it lacks is copied when it is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::board::{Board, Reach};
use crate::domain::bucket::Abilities;
use crate::domain::failure::chain;
use crate::job::JobContext;

/// How often it is listed between jobs; each listing is a request for every thousand objects.
const PERIOD: Duration = Duration::from_mins(5);
/// How often one that could not be tried or listed is asked again.
const RETRY: Duration = Duration::from_mins(1);
/// The longest that a listing may take: a manifest is read once, so only the first is long.
const PATIENCE: Duration = Duration::from_mins(2);

/// The task that watches the bucket.
#[derive(Debug)]
pub struct BucketWatch {
    /// Has the bucket.
    pub context: Arc<JobContext>,
    /// Shows it.
    pub board: Board,
}

impl BucketWatch {
    /// Watches until `soft` is cancelled; without a bucket it only waits for that.
    pub async fn run(self, soft: CancellationToken) {
        let watch = async {
            if self.context.s3.is_none() {
                return std::future::pending().await;
            }
            self.try_it().await;
            loop {
                relist(&self.context, &self.board).await;
                let bucket = self.board.read().bucket.clone();
                let is_reached = bucket.is_some_and(|bucket| bucket.reach == Reach::Reached);
                tokio::time::sleep(if is_reached { PERIOD } else { RETRY }).await;
            }
        };
        tokio::select! {
            () = watch => {}
            () = soft.cancelled() => {}
        }
    }

    /// Tries what it can do, until it can be tried; then removes what killed processes left there.
    async fn try_it(&self) {
        let Some(store) = &self.context.s3 else {
            return;
        };
        let mut probe = store.begin_probe();
        loop {
            match probe.run(self.context.clock.now()).await {
                Ok(abilities) => {
                    self.show(store.place(), &abilities);
                    break;
                }
                Err(error) => {
                    let why = chain(&error);
                    lose(&self.board, why);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        self.tidy().await;
    }

    fn show(&self, bucket: &str, abilities: &Abilities) {
        let (findings, limits) = (abilities.findings(), abilities.consequences());
        info!(
            bucket,
            found = findings.join("; "),
            limits = limits.join("; "),
            "the bucket can be written, listed and read back"
        );
        self.board.update(|picture| {
            if let Some(bucket) = &mut picture.bucket {
                bucket.findings = findings;
                bucket.limits = limits;
            }
        });
    }

    async fn tidy(&self) {
        let Some(store) = &self.context.s3 else {
            return;
        };
        match store.abort_orphans().await {
            Ok(0) => {}
            Ok(uploads) => info!(uploads, "uploads of a killed process aborted"),
            Err(error) => {
                warn!(error = %chain(&error), "uploads of a killed process could not be aborted; the next start tries again");
            }
        }
        match store.sweep(self.context.clock.now()).await {
            Ok(keys) => keys
                .iter()
                .for_each(|key| info!(key, "leftover object removed")),
            Err(error) => {
                warn!(error = %chain(&error), "leftover objects could not be removed; the next start tries again");
            }
        }
    }
}

fn lose(board: &Board, why: String) {
    let lost = Reach::Lost(why);
    if board
        .read()
        .bucket
        .as_ref()
        .is_none_or(|bucket| bucket.reach == lost)
    {
        return;
    }
    if let Reach::Lost(why) = &lost {
        warn!(error = %why, "the bucket cannot be used");
    }
    board.update(|picture| {
        if let Some(bucket) = &mut picture.bucket {
            bucket.reach = lost;
        }
    });
}

/// Lists the bucket and shows what is there.
pub(super) async fn relist(context: &JobContext, board: &Board) {
    let Some(store) = &context.s3 else { return };
    let listed = timeout(PATIENCE, store.list()).await;
    let listing = match listed {
        Ok(Ok(listing)) => listing,
        Ok(Err(error)) => return lose(board, chain(&error)),
        Err(_elapsed) => {
            let why = format!("{} was not listed within {PATIENCE:?}", store.place());
            return lose(board, why);
        }
    };
    board.update(|picture| {
        for state in picture.series.values_mut() {
            state.copies.clear();
        }
        for (series, copies) in listing.series {
            let state = picture.series.entry(series).or_default();
            state.copies = copies.into_iter().map(Arc::new).collect();
        }
        if let Some(bucket) = &mut picture.bucket {
            bucket.reach = Reach::Reached;
            bucket.problems = listing.problems;
            bucket.unreadable = listing.unreadable;
        }
    });
}
