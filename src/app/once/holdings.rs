//! What the backup folder and the bucket hold, where no sidecar shows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::OnceError;
use crate::app::ground::Ground;
use crate::board::{BucketPicture, Picture, Reach};
use crate::domain::failure::chain;
use crate::store::disk::Listing;
use crate::store::s3::S3Store;

/// The longest that a listing of the bucket may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Puts on the picture what is stored. A bucket that cannot be listed costs nobody the backups on disk: it is said, and
/// it is an error only where there is nothing else.
pub(super) async fn survey(ground: &Ground, picture: &mut Picture) -> Result<(), OnceError> {
    let listing = ground.context.store.list().map_err(OnceError::Tidy)?;
    picture.folder_problems = listing.problems;
    picture.unreadable = listing.unreadable;
    for (series, backups) in listing.series {
        let state = picture.series.entry(series).or_default();
        state.backups = backups.into_iter().map(Arc::new).collect();
    }
    let Some(store) = &ground.context.s3 else {
        return Ok(());
    };
    let mut bucket = BucketPicture::new(store.place());
    match list(store).await {
        Ok(listing) => {
            bucket.reach = Reach::Reached;
            bucket.problems = listing.problems;
            bucket.unreadable = listing.unreadable;
            for (series, copies) in listing.series {
                let state = picture.series.entry(series).or_default();
                state.copies = copies.into_iter().map(Arc::new).collect();
            }
        }
        Err(why) if picture.series.is_empty() => return Err(OnceError::Bucket { why }),
        Err(why) => {
            warn!(error = %why, "the bucket cannot be listed; what is only there is not known");
            bucket.reach = Reach::Lost(why);
        }
    }
    picture.bucket = Some(bucket);
    Ok(())
}

async fn list(store: &S3Store) -> Result<Listing, String> {
    match timeout(PATIENCE, store.list()).await {
        Ok(Ok(listing)) => Ok(listing),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_elapsed) => Err(format!(
            "{} was not listed within {PATIENCE:?}",
            store.place()
        )),
    }
}
