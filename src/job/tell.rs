//! Tells people: sends what `notify` specifies, with deadlines and a bounded number of tries.
//!
//! Dropped at any await, it leaves at most a message of which nobody knows whether it arrived.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use crate::client::{self, Endpoint, HttpAnswer, HttpRequest, Limits, Method};
use crate::domain::alarm::Notice;
use crate::domain::alarm::channel::TelegramAccess;
use crate::domain::failure::chain;
use crate::domain::id::ProjectName;
use crate::domain::unit::{ByteCount, Timestamp};
use crate::domain::web::WebAddress;
use crate::notify::telegram::{self, Heading};
use crate::notify::{Content, Outgoing, Refusal, ping};

/// One request to the outside.
const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(15),
    body: ByteCount(64 * 1024),
};
/// Pauses between tries; when they are used up, the message has failed.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// The longest wish to be left alone that is waited for within one try.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Why a channel did not take a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// One sentence; no address, no token.
    pub why: String,
    /// It asked not to be bothered for so long.
    pub leave_alone: Option<Duration>,
    /// Whether it gave an answer at all.
    answer: Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Yes,
    No,
}

/// How a message to several chats went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// So many chats have it.
    pub reached: usize,
    /// Those that have not, one sentence each.
    pub failures: Vec<String>,
    /// The channel asked not to be bothered for so long.
    pub leave_alone: Option<Duration>,
}

/// A Telegram bot that can be asked to write.
#[derive(Debug, Clone)]
pub struct Messenger {
    access: TelegramAccess,
    roots: PathBuf,
    project: ProjectName,
}

impl Messenger {
    /// Writes for a project; `roots` is the file with the trusted root certificates.
    pub fn new(access: TelegramAccess, roots: PathBuf, project: ProjectName) -> Self {
        Self {
            access,
            roots,
            project,
        }
    }

    /// Writes what failed and what is well again to every chat.
    pub async fn alarm(&self, notices: &[Notice], at: Timestamp) -> Delivery {
        self.send(&telegram::alarm(self.heading(at), notices)).await
    }

    /// Writes a test to every chat.
    pub async fn test(&self, at: Timestamp) -> Delivery {
        self.send(&telegram::test(self.heading(at))).await
    }

    /// Asks whether the bot is one.
    ///
    /// # Errors
    /// When the API does not know it, or gives no answer.
    pub async fn check(&self) -> Result<(), Untold> {
        let read = |answer: &HttpAnswer| telegram::read(answer.status, &answer.body);
        send(&telegram::check(&self.access), &self.roots, read).await
    }

    fn heading(&self, at: Timestamp) -> Heading<'_> {
        let project = self.project.as_str();
        Heading { project, at }
    }

    async fn send(&self, html: &str) -> Delivery {
        let mut delivery = Delivery::default();
        for chat in &self.access.chats {
            let outgoing = telegram::message(&self.access, chat, html);
            let read = |answer: &HttpAnswer| telegram::read(answer.status, &answer.body);
            match send(&outgoing, &self.roots, read).await {
                Ok(()) => delivery.reached += 1,
                Err(untold) => {
                    delivery
                        .failures
                        .push(format!("chat {chat}: {}", untold.why));
                    delivery.leave_alone = delivery.leave_alone.max(untold.leave_alone);
                    // The other chats are behind the same closed door.
                    if untold.answer == Answered::No {
                        break;
                    }
                }
            }
        }
        delivery
    }
}

/// The address of a dead man's switch.
#[derive(Debug, Clone)]
pub struct Pulse {
    address: WebAddress,
    roots: PathBuf,
}

impl Pulse {
    /// A switch at an address.
    pub fn new(address: WebAddress, roots: PathBuf) -> Self {
        Self { address, roots }
    }

    /// Tells that all is well.
    ///
    /// # Errors
    /// When that was not taken.
    pub async fn well(&self) -> Result<(), Untold> {
        self.send(&ping::well(&self.address)).await
    }

    /// Tells that something is not.
    ///
    /// # Errors
    /// When that was not taken.
    pub async fn failing(&self, why: &str) -> Result<(), Untold> {
        self.send(&ping::failing(&self.address, why)).await
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<(), Untold> {
        send(outgoing, &self.roots, |answer| ping::read(answer.status)).await
    }
}

async fn send(
    outgoing: &Outgoing,
    roots: &Path,
    read: impl Fn(&HttpAnswer) -> Result<(), Refusal>,
) -> Result<(), Untold> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let untold = match try_once(outgoing, roots, &read).await {
            Ok(()) => return Ok(()),
            Err(Attempt::Final(untold)) => return Err(untold),
            Err(Attempt::Again(untold)) => untold,
        };
        let wanted = untold.leave_alone.unwrap_or_default();
        match pauses.next() {
            Some(pause) if wanted <= LONGEST_WAIT => sleep(pause.max(wanted)).await,
            _ => return Err(untold),
        }
    }
}

enum Attempt {
    Again(Untold),
    Final(Untold),
}

async fn try_once(
    outgoing: &Outgoing,
    roots: &Path,
    read: impl Fn(&HttpAnswer) -> Result<(), Refusal>,
) -> Result<(), Attempt> {
    let endpoint = Endpoint::web(&outgoing.address, roots);
    match client::request_once(&endpoint, request(outgoing), LIMITS).await {
        Ok(answer) => read(&answer).map_err(|refusal| {
            let why = refusal.why().to_owned();
            let untold = |leave_alone| Untold {
                why: why.clone(),
                leave_alone,
                answer: Answered::Yes,
            };
            match refusal {
                Refusal::Transient { wait_seconds, .. } => {
                    Attempt::Again(untold(wait_seconds.map(Duration::from_secs)))
                }
                Refusal::Permanent { .. } => Attempt::Final(untold(None)),
            }
        }),
        Err(error) => Err(Attempt::Again(Untold {
            why: chain(&error),
            leave_alone: None,
            answer: Answered::No,
        })),
    }
}

fn request(outgoing: &Outgoing) -> HttpRequest {
    let mut headers = vec![("host".to_owned(), outgoing.address.authority())];
    let mut carry = |kind: &str, text: &str| {
        headers.push(("content-type".to_owned(), kind.to_owned()));
        Bytes::copy_from_slice(text.as_bytes())
    };
    let (method, body) = match &outgoing.content {
        Content::Nothing => (Method::Get, Bytes::new()),
        Content::Text(text) => (Method::Post, carry("text/plain; charset=utf-8", text)),
        Content::Json(text) => (Method::Post, carry("application/json", text)),
    };
    HttpRequest {
        method,
        path: outgoing.address.path().reveal().clone(),
        headers,
        body,
    }
}

#[cfg(test)]
mod tests;
