//! `backups --fsck`: everything that is stored is read again.

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::ExitStatus;
use super::arguments::Form;
use super::asking::{Refusal, Sidecar, fail, tell_done, tell_job};
use super::printer::Printer;
use crate::app::once;
use crate::config::Settings;

/// Through the sidecar, or in place where none runs.
pub(super) async fn fsck(
    settings: &Settings,
    form: Form,
    stop: CancellationToken,
    printer: &mut Printer,
) -> ExitStatus {
    match Sidecar::find(settings).await {
        Ok(sidecar) => {
            let followed = sidecar.order("/v1/backups/fsck", Bytes::new()).await;
            tell_job(followed, form, printer)
        }
        Err(Refusal::Said(why)) => fail(&why, printer),
        Err(Refusal::Absent) => tell_done(once::fsck(settings, stop).await, form, printer),
    }
}
