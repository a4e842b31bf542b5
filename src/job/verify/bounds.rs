//! How much room and time a proof may take.

use super::VerifyError;
use super::scratch::Place;
use crate::domain::backup::Manifest;
use crate::domain::failure::chain;
use crate::domain::room::Shortage;
use crate::job::{JobContext, tidy};

/// What Docker's disk lacks for a copy there; a copy in memory needs nothing of it.
pub(super) fn find_lack(
    context: &JobContext,
    manifest: &Manifest,
    place: Place,
) -> Option<Shortage> {
    match place {
        Place::Memory => None,
        Place::Disk => context.find_proof_room()?.find_shortage(manifest),
    }
}

/// Ends a proof that takes too long, with the scratch server it has made.
pub(super) async fn in_time<T>(
    context: &JobContext,
    work: impl Future<Output = Result<T, VerifyError>>,
) -> Result<T, VerifyError> {
    let limit = context.limits.deadline;
    match tokio::time::timeout(limit, work).await {
        Ok(ended) => ended,
        Err(_elapsed) => {
            if let Err(error) = tidy::scratch(context).await {
                tracing::warn!(error = %chain(&error), "the scratch server could not be removed; the next proof tries again");
            }
            Err(VerifyError::Deadline { limit })
        }
    }
}
