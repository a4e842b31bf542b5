//! Tells people by Telegram what begins to fail and what is well again.
//!
//! There is no queue: what has to be told follows from the board and from what the journal says was told. A message
//! that nobody took is thus owed until its cause is gone, never piles up, and a restart repeats nothing. Telling has
//! a task of its own, so that no job waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::alarm::{Steps, observe};
use super::tell_reach;
use crate::board::{Board, Reach};
use crate::domain::alarm::{Channel, Notice, Standing, decide, note};
use crate::domain::failure::chain;
use crate::job::JobContext;
use crate::job::tell::{Delivery, Messenger};
use crate::journal::{Entry, Journal, Line};

/// What happens within it is one message.
const SETTLE: Duration = Duration::from_secs(2);
/// How often reminders are thought of while nothing happens.
const PERIOD: Duration = Duration::from_mins(1);
/// How long a channel that took nothing is left alone.
const PAUSE: Duration = Duration::from_mins(10);
/// How often the bot is asked whether it still is one.
const CHECK: Duration = Duration::from_hours(1);
/// How long a message on its way may take to arrive when we stop.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// The task that tells.
#[derive(Debug)]
pub struct Herald {
    /// Writes.
    pub messenger: Messenger,
    /// What there is to tell.
    pub board: Board,
    /// What was told.
    pub journal: Journal,
    /// Has the clock.
    pub context: Arc<JobContext>,
    /// What to type.
    pub steps: Steps,
}

impl Herald {
    /// Tells until `soft` is cancelled.
    pub async fn run(self, soft: CancellationToken) {
        let mut told = match self.journal.read() {
            Ok(lines) => remembered(&lines),
            Err(error) => {
                warn!(error = %chain(&error), "the journal cannot be read; alarms may be told again");
                Standing::new()
            }
        };
        let mut changes = self.board.subscribe();
        let mut not_before = Instant::now();
        let mut next_check = Instant::now();
        loop {
            if Instant::now() >= next_check && Instant::now() >= not_before {
                let lost = tokio::select! {
                    lost = self.check() => lost,
                    () = soft.cancelled() => return,
                };
                next_check = Instant::now() + if lost { PAUSE } else { CHECK };
            }
            tokio::select! {
                seen = changes.changed() => if seen.is_err() { return },
                () = sleep(PERIOD) => {}
                () = soft.cancelled() => return,
            }
            tokio::select! {
                () = sleep(SETTLE) => {}
                () = soft.cancelled() => return,
            }
            let now = self.context.clock.now();
            let observed = observe(&changes.borrow_and_update(), &self.steps, now);
            let notices = decide(&told, &observed, now);
            if notices.is_empty() || Instant::now() < not_before {
                continue;
            }
            let Some(delivery) = self.send(&notices, &soft).await else {
                return;
            };
            if delivery.reached > 0 {
                self.remember(&mut told, &notices);
            } else {
                not_before = Instant::now() + delivery.leave_alone.unwrap_or_default().max(PAUSE);
            }
        }
    }

    /// Whether the bot is lost: better known before it has something to tell.
    async fn check(&self) -> bool {
        let reach = match self.messenger.check().await {
            // What a chat refused stays named until it takes a message.
            Ok(()) if is_refused_by_chat(&self.board) => return false,
            Ok(()) => Reach::Reached,
            Err(untold) => Reach::Lost(untold.why),
        };
        let lost = matches!(reach, Reach::Lost(_));
        tell_reach(&self.board, Channel::Telegram, reach);
        lost
    }

    /// A message that is on its way when we stop gets a moment to arrive; `None` when it did not.
    async fn send(&self, notices: &[Notice], soft: &CancellationToken) -> Option<Delivery> {
        let sending = self.messenger.alarm(notices, self.context.clock.now());
        tokio::pin!(sending);
        let delivery = tokio::select! {
            biased;
            delivery = &mut sending => delivery,
            () = soft.cancelled() => timeout(LAST_WORDS, sending).await.ok()?,
        };
        let reach = if delivery.failures.is_empty() {
            Reach::Reached
        } else {
            Reach::Lost(delivery.failures.join("; "))
        };
        tell_reach(&self.board, Channel::Telegram, reach);
        Some(delivery)
    }

    fn remember(&self, told: &mut Standing, notices: &[Notice]) {
        let now = self.context.clock.now();
        for notice in notices {
            let (topic, change) = (notice.topic.to_string(), notice.change.as_str());
            info!(
                alarm.topic = topic,
                alarm.change = change,
                "told by telegram"
            );
            note(told, &topic, change, notice.since, now);
            let entry = Entry::Alarm {
                channel: Channel::Telegram.as_str().to_owned(),
                topic,
                change: change.to_owned(),
                since: notice.since,
            };
            if let Err(error) = self.journal.append(now, entry) {
                warn!(error = %chain(&error), "the journal misses a line; after a restart this is told again");
            }
        }
    }
}

fn is_refused_by_chat(board: &Board) -> bool {
    matches!(
        board.read().channels.get(&Channel::Telegram),
        Some(Reach::Lost(why)) if why.starts_with("chat ")
    )
}

/// What the journal says was told.
fn remembered(lines: &[Line]) -> Standing {
    let mut told = Standing::new();
    for line in lines {
        if let Entry::Alarm {
            channel,
            topic,
            change,
            since,
        } = &line.entry
            && channel == Channel::Telegram.as_str()
        {
            note(&mut told, topic, change, *since, line.at);
        }
    }
    told
}
