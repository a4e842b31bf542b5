//! Retention behind a backup: on disk, then in the bucket, each behind its own success.
//!
//! The disk first: what it gives up, the bucket judges by itself; what still stands there, the bucket keeps.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use super::{SeriesOutcome, ServerPlan};
use crate::domain::backup::{Content, Destination, Series};
use crate::domain::failure::chain;
use crate::job::copy::along::Copied;
use crate::job::prune::{self, PrunePlan, Pruned};
use crate::job::{JobContext, Run};
use crate::store::disk::Listing;
use crate::store::s3::S3Store;

/// The longest that a listing of the bucket may take; the next success prunes again.
const PATIENCE: Duration = Duration::from_mins(2);

/// The series that retention may touch: those that were just backed up, and the roles only when nothing of the
/// server failed. Retention never runs behind a failure: old backups may be all there is.
fn successes(
    parts: &[SeriesOutcome],
    server: &ServerPlan,
    is_good: impl Fn(&SeriesOutcome) -> bool,
) -> BTreeSet<Series> {
    let service = &server.target.service;
    let of_server = || parts.iter().filter(|part| part.series.service == *service);
    let is_whole = of_server().all(&is_good);
    let good = of_server().filter(|part| is_good(part));
    let mut series: BTreeSet<Series> = good
        .map(|part| part.series.clone())
        .filter(|series| is_whole || series.content != Content::Globals)
        .collect();
    let roles = series.first().filter(|_| is_whole).map(|any| Series {
        content: Content::Globals,
        ..any.clone()
    });
    series.extend(roles);
    series
}

/// Applies retention on disk. What stands there succeeded there, whatever became of its copy.
pub(super) async fn prune_disk(
    context: &JobContext,
    server: &ServerPlan,
    parts: &[SeriesOutcome],
) -> Pruned {
    let behind = successes(parts, server, |part| part.manifest.is_some());
    if behind.is_empty() {
        return Pruned::default();
    }
    let Some(listing) = list_disk(context, server).await else {
        return Pruned::default();
    };
    let plan = PrunePlan {
        destination: Destination::Disk.as_str(),
        stock: listing.stock(&server.target.service),
        rules: &server.rules,
        behind: &behind,
    };
    prune::run(&plan, &context.store, context.clock.now()).await
}

/// Applies retention in the bucket, behind a copy that was made.
///
/// # Cancellation
/// Told to stop by `run`, it stops between two requests; see [`prune::run`].
pub(super) async fn prune_bucket(
    context: &JobContext,
    run: &Run,
    server: &ServerPlan,
    parts: &[SeriesOutcome],
) -> Pruned {
    let Some(store) = &context.s3 else {
        return Pruned::default();
    };
    let behind = successes(parts, server, |part| part.copied == Copied::Done);
    if behind.is_empty() {
        return Pruned::default();
    }
    let pruning = async {
        let on_disk = list_disk(context, server).await?;
        let copies = list_bucket(store).await?;
        let plan = PrunePlan {
            destination: Destination::S3.as_str(),
            stock: copies.stock_below(&on_disk, &server.target.service),
            rules: &server.rules,
            behind: &behind,
        };
        Some(prune::run(&plan, store, context.clock.now()).await)
    };
    tokio::select! {
        pruned = Box::pin(pruning) => pruned.unwrap_or_default(),
        () = run.stop.cancelled() => Pruned::default(),
    }
}

async fn list_disk(context: &JobContext, server: &ServerPlan) -> Option<Listing> {
    let service = &server.target.service;
    let store = context.store.clone();
    let why = match tokio::task::spawn_blocking(move || store.list()).await {
        Ok(Ok(listing)) => return Some(listing),
        Ok(Err(error)) => chain(&error),
        Err(error) => error.to_string(),
    };
    tracing::warn!(%service, error = %why, "retention could not run");
    None
}

async fn list_bucket(store: &S3Store) -> Option<Listing> {
    let why = match timeout(PATIENCE, store.list()).await {
        Ok(Ok(listing)) => return Some(listing),
        Ok(Err(error)) => chain(&error),
        Err(_elapsed) => format!("it was not listed within {PATIENCE:?}"),
    };
    tracing::warn!(bucket = store.place(), error = %why, "retention could not run in the bucket; it does behind the next backup");
    None
}
