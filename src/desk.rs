//! The one door to jobs.
//!
//! HTTP, clock, events and commands differ only before [`Desk::submit`]; nobody else begins a job in the
//! sidecar. One backup job and one proof run at a time; the same request twice is one job. What happens is
//! journalled, shown on the board and counted here, once.

mod ledger;
mod lookout;
mod runner;

use tokio::sync::{mpsc, oneshot};

use crate::domain::job::{JobRequest, Submission};

pub use lookout::Lookout;
pub use runner::{Books, Runner};

/// Requests that may wait for the runner to look; each is answered at once.
const WAITING_REQUESTS: usize = 64;

/// What goes through the door.
#[derive(Debug)]
struct Request {
    job: JobRequest,
    answer: oneshot::Sender<Submission>,
}

/// The handle for those who ask; cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    sender: mpsc::Sender<Request>,
}

/// The runner's end of the door.
#[derive(Debug)]
pub struct Inbox {
    receiver: mpsc::Receiver<Request>,
}

impl Desk {
    /// Makes a door.
    pub fn open() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(WAITING_REQUESTS);
        (Self { sender }, Inbox { receiver })
    }

    /// Asks for a job and says at once what becomes of it; the job itself runs elsewhere.
    pub async fn submit(&self, job: JobRequest) -> Submission {
        let (answer, answered) = oneshot::channel();
        if self.sender.send(Request { job, answer }).await.is_err() {
            return Submission::Closing;
        }
        answered.await.unwrap_or(Submission::Closing)
    }
}
