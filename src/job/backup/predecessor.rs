//! What a new backup is compared with: the newest trusted one of its series, on disk, or in the bucket where the disk has
//! none, so that an empty server in the place of a lost one is seen.

use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::TakeRequest;
use crate::domain::backup::suspicion::{Suspicion, judge};
use crate::domain::backup::{Backup, Manifest, Series};
use crate::domain::failure::chain;
use crate::job::{JobContext, Run, server};

/// A bucket that does not answer soon holds no backup up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Compares with the predecessor. That nobody can be compared with is no reason to lose a backup.
pub(super) async fn suspicion(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    manifest: &Manifest,
) -> Option<Suspicion> {
    let mut predecessor = find(context, &manifest.series).await?;
    let before = &predecessor.origin;
    if before.database_oid != manifest.origin.database_oid
        && server::is_kept(context, run, &request.target, before.database_oid).await
    {
        // A restore exchanged them, as somebody asked for; what is in it is compared all the same.
        predecessor.origin.database_oid = manifest.origin.database_oid;
    }
    judge(&predecessor, manifest)
}

async fn find(context: &JobContext, series: &Series) -> Option<Manifest> {
    let (store, wanted) = (context.store.clone(), series.clone());
    let found =
        tokio::task::spawn_blocking(move || store.find_newest(&wanted, Backup::is_trusted)).await;
    match found {
        Ok(Ok(Some(backup))) => Some(backup.manifest),
        Ok(Ok(None)) => find_in_bucket(context, series).await,
        Ok(Err(error)) => {
            warn!(series = %series, error = %chain(&error), "the predecessor cannot be read, so the new backup is compared with nothing");
            None
        }
        Err(_lost) => None,
    }
}

async fn find_in_bucket(context: &JobContext, series: &Series) -> Option<Manifest> {
    let store = context.s3.as_ref()?;
    let why = match timeout(PATIENCE, Box::pin(store.list())).await {
        Ok(Ok(mut listing)) => {
            let copies = listing.series.remove(series).unwrap_or_default();
            let newest = copies.into_iter().rev().find(Backup::is_trusted);
            return newest.map(|it| it.manifest);
        }
        Ok(Err(error)) => chain(&error),
        Err(_elapsed) => format!("no answer within {PATIENCE:?}"),
    };
    warn!(series = %series, error = %why, "the bucket cannot be listed, so the new backup is compared with nothing");
    None
}
