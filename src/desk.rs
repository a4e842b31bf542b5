//! The one door to jobs.
//!
//! HTTP, clock, events and commands differ only before [`Desk::submit`]; nobody else begins a job in the
//! sidecar. One backup job and one proof run at a time; the same request twice is one job. What happens is
//! journalled, shown on the board and counted here, once. What fails is told to people from here too.

mod alarm;
mod bucket;
mod folder;
mod herald;
mod ledger;
mod lookout;
mod pinger;
mod runner;
mod work;

use tokio::sync::{mpsc, oneshot};

use crate::board::{Board, Reach};
use crate::domain::alarm::Channel;
use crate::domain::job::{JobRequest, Submission};

pub use alarm::Steps;
pub use bucket::BucketWatch;
pub use folder::FolderWatch;
pub use herald::Herald;
pub use lookout::Lookout;
pub use pinger::Pinger;
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

/// Shows whether a channel takes messages, and says it once in the log when that changes.
fn tell_reach(board: &Board, channel: Channel, reach: Reach) {
    if board.read().channels.get(&channel) == Some(&reach) {
        return;
    }
    if let Reach::Lost(why) = &reach {
        tracing::warn!(channel = channel.as_str(), error = %why, "a channel takes no messages");
    }
    board.update(|picture| drop(picture.channels.insert(channel, reach)));
}
