//! The engine's events, reduced to hints that something may have changed.
//!
//! Invariants: a hint carries nothing to rely on (the engine's buffer is short and streams are cut); after every
//! subscription one hint follows, so that whoever lists then has missed nothing.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use bollard::errors::Error as EngineError;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{sleep, timeout};

use super::Docker;
use crate::domain::id::ProjectName;

const NANOSECONDS: i64 = 1_000_000_000;
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The engine answers a subscription with silence; after this much of it the subscription stands.
const SETTLED: Duration = Duration::from_millis(300);
/// A silent connection may be a dead one: subscribe anew.
const LONGEST_SILENCE: Duration = Duration::from_mins(10);
/// Everything but the execs, which health checks produce by the thousand, and `kill`, which says that a signal
/// was sent: what came of it is told by `die`.
const ACTIONS: [&str; 12] = [
    "create",
    "start",
    "restart",
    "die",
    "stop",
    "oom",
    "destroy",
    "rename",
    "update",
    "pause",
    "unpause",
    "health_status",
];

/// Something may have changed: list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetHint {
    /// A subscription began (again); events before it may be lost.
    Subscribed,
    /// A container of the project changed.
    Changed,
}

type Messages = Pin<Box<dyn Stream<Item = Result<EventMessage, EngineError>> + Send>>;

impl Docker {
    /// Hints about a project's containers, without end: a lost engine is tried again after 1 to 30 seconds.
    ///
    /// # Cancellation
    /// Dropping the stream leaves nothing behind.
    pub fn events(&self, project: &ProjectName) -> BoxStream<'static, FleetHint> {
        let subscription = Subscription {
            docker: self.clone(),
            project: project.clone(),
            messages: None,
            last_seen: None,
            pause: Duration::ZERO,
        };
        stream::unfold(subscription, |mut subscription| async {
            let hint = subscription.next_hint().await;
            Some((hint, subscription))
        })
        .boxed()
    }
}

struct Subscription {
    docker: Docker,
    project: ProjectName,
    messages: Option<Messages>,
    /// Time of the newest event, as the engine wrote it: whatever came after is asked for again.
    last_seen: Option<String>,
    pause: Duration,
}

impl Subscription {
    async fn next_hint(&mut self) -> FleetHint {
        loop {
            if self.messages.is_none() {
                self.subscribe().await;
                return FleetHint::Subscribed;
            }
            let Some(messages) = self.messages.as_mut() else {
                continue;
            };
            match timeout(LONGEST_SILENCE, messages.next()).await {
                Ok(Some(Ok(message))) => {
                    self.remember(&message);
                    return FleetHint::Changed;
                }
                Ok(Some(Err(_)) | None) => {
                    self.messages = None;
                    self.pause = SHORTEST_PAUSE;
                }
                Err(_silence) => {
                    self.messages = None;
                    self.pause = Duration::ZERO;
                }
            }
        }
    }

    /// Tries until a subscription stands.
    async fn subscribe(&mut self) {
        loop {
            sleep(self.pause).await;
            if let Some(mut messages) = self.open() {
                match timeout(SETTLED, messages.next()).await {
                    Ok(Some(Err(_)) | None) => {}
                    Ok(Some(Ok(message))) => {
                        self.remember(&message);
                        self.messages = Some(messages);
                        return;
                    }
                    Err(_silence) => {
                        self.messages = Some(messages);
                        return;
                    }
                }
            }
            self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        }
    }

    fn open(&self) -> Option<Messages> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            (
                "label".to_owned(),
                vec![format!("com.docker.compose.project={}", self.project)],
            ),
            (
                "event".to_owned(),
                ACTIONS.iter().map(|action| (*action).to_owned()).collect(),
            ),
        ]);
        let options = EventsOptionsBuilder::new().filters(&filters);
        let options = match &self.last_seen {
            Some(time) => options.since(time),
            None => options,
        };
        let client = self.docker.client().ok()?;
        Some(Box::pin(client.events(Some(options.build()))))
    }

    fn remember(&mut self, message: &EventMessage) {
        if let Some(time) = message.time_nano {
            let (seconds, rest) = (time / NANOSECONDS, time % NANOSECONDS);
            self.last_seen = Some(format!("{seconds}.{rest:09}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_remembered_to_the_nanosecond() {
        let mut subscription = Subscription {
            docker: Docker::connect(None).unwrap(),
            project: ProjectName::new("p"),
            messages: None,
            last_seen: None,
            pause: Duration::ZERO,
        };
        subscription.remember(&EventMessage {
            time_nano: Some(1_768_960_800_000_000_042),
            ..EventMessage::default()
        });
        assert_eq!(
            subscription.last_seen.as_deref(),
            Some("1768960800.000000042")
        );
    }
}
