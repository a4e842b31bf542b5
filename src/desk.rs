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

use crate::board::{Board, Picture, Reach};
use crate::domain::alarm::Channel;
use crate::domain::job::{JobRequest, Submission};

pub use alarm::Steps;
pub use bucket::BucketWatch;
pub use folder::FolderWatch;
pub use herald::Herald;
pub use lookout::{Lookout, OutsideLookout};
pub use pinger::Pinger;
pub use runner::{Books, Runner};

/// Requests that may wait for the runner to look; each is answered at once.
const WAITING_REQUESTS: usize = 64;

/// What goes through the door.
struct Request {
    job: JobRequest,
    /// Whether it still makes sense, where nobody insists on it.
    is_due: Option<IsDue>,
    answer: oneshot::Sender<Option<Submission>>,
}

type IsDue = Box<dyn Fn(&Picture) -> bool + Send>;

impl Request {
    fn is_outdated(&self, picture: &Picture) -> bool {
        self.is_due.as_ref().is_some_and(|is_due| !is_due(picture))
    }
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
        self.ask(job, None).await.unwrap_or(Submission::Closing)
    }

    /// The same for what follows from the board, unless it does not any more: a job that has just ended may have done it,
    /// and nobody would notice that it is done twice. `None` then.
    pub async fn submit_due(
        &self,
        job: JobRequest,
        is_due: impl Fn(&Picture) -> bool + Send + 'static,
    ) -> Option<Submission> {
        self.ask(job, Some(Box::new(is_due))).await
    }

    async fn ask(&self, job: JobRequest, is_due: Option<IsDue>) -> Option<Submission> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            job,
            is_due,
            answer,
        };
        if self.sender.send(request).await.is_err() {
            return Some(Submission::Closing);
        }
        answered.await.unwrap_or(Some(Submission::Closing))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Reach;
    use crate::domain::id::ProjectName;
    use crate::domain::unit::Timestamp;

    #[tokio::test]
    async fn what_is_due_is_judged_again_by_the_picture_at_the_door() {
        let (desk, mut inbox) = Desk::open();
        let is_unknown = |picture: &Picture| picture.docker == Reach::Unknown;
        let asked = async {
            let due = desk.submit_due(JobRequest::Fsck, is_unknown).await;
            (due, desk.submit(JobRequest::Fsck).await)
        };
        let answered = async move {
            let mut picture = Picture::new(ProjectName::new("p"), Timestamp::UNIX_EPOCH);
            let request = inbox.receiver.recv().await.unwrap();
            assert!(!request.is_outdated(&picture));
            picture.docker = Reach::Reached;
            assert!(request.is_outdated(&picture));
            request.answer.send(None).unwrap();
            let insisted = inbox.receiver.recv().await.unwrap();
            assert!(!insisted.is_outdated(&picture));
            insisted.answer.send(Some(Submission::Full)).unwrap();
        };
        let (said, ()) = tokio::join!(asked, answered);
        assert_eq!(said, (None, Submission::Full));
    }
}
