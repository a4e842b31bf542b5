//! One proof at a time in a process: the scratch server has one name, and whoever makes one takes away what stands there
//! of our own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::VerifyError;

/// Who may make a scratch server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

/// The right to it; given back when dropped.
#[derive(Debug)]
pub(in crate::job) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for it, first come first served.
    pub(in crate::job) async fn take(&self) -> Result<Turn, VerifyError> {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        // It is never closed; if it were, nobody would have a turn any more.
        permit
            .map(|permit| Turn { _permit: permit })
            .map_err(|_closed| VerifyError::Cancelled)
    }
}
