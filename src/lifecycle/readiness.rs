//! Ready means: every latch that was set at start was released, and nobody asked us to stop.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Record;

/// Holds readiness back; lost without a release it holds for ever, since then its step did not succeed.
#[derive(Debug)]
#[must_use = "readiness waits until the latch is released"]
pub struct Latch {
    name: &'static str,
    record: Arc<watch::Sender<Record>>,
}

impl Latch {
    pub(super) fn new(name: &'static str, record: Arc<watch::Sender<Record>>) -> Self {
        Self { name, record }
    }

    /// This step is done.
    pub fn release(self) {
        self.record.send_modify(|record| {
            record.latched.remove(self.name);
        });
    }
}

/// Whether we are ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyState {
    /// Every latch was released.
    Ready,
    /// These steps of the start are not done.
    Starting(Vec<&'static str>),
    /// We are on our way out.
    Stopping,
}

/// A view of readiness; cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    soft: CancellationToken,
    record: watch::Receiver<Record>,
}

impl Readiness {
    pub(super) fn new(soft: CancellationToken, record: watch::Receiver<Record>) -> Self {
        Self { soft, record }
    }

    /// The state of now.
    pub fn state(&self) -> ReadyState {
        let latched: Vec<_> = self.record.borrow().latched.iter().copied().collect();
        if self.soft.is_cancelled() {
            ReadyState::Stopping
        } else if latched.is_empty() {
            ReadyState::Ready
        } else {
            ReadyState::Starting(latched)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lifecycle;
    use super::*;

    #[tokio::test]
    async fn ready_means_every_latch_was_released() {
        let life = Lifecycle::new();
        let readiness = life.readiness();
        assert_eq!(readiness.state(), ReadyState::Ready);
        let (docker, folder) = (life.latch("docker"), life.latch("folder"));
        docker.release();
        assert_eq!(readiness.state(), ReadyState::Starting(vec!["folder"]));
        drop(folder);
        assert_eq!(readiness.state(), ReadyState::Starting(vec!["folder"]));
        life.latch("folder").release();
        assert_eq!(readiness.state(), ReadyState::Ready);
        life.soft().cancel();
        assert_eq!(readiness.state(), ReadyState::Stopping);
    }
}
