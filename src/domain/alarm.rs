//! Alarms: what is wrong, what of it was told, and what there is to tell now.
//!
//! One message when something begins to fail, at most one a day while it lasts, one when it is well again.
//! What is not known (right after a start, say) changes nothing, so a restart neither repeats nor recovers.

pub mod channel;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;

use super::backup::Series;
use super::id::ServiceName;
use super::unit::Timestamp;

pub use words::one_sentence;

/// Between two messages about the same lasting failure.
const REMINDER: TimeDelta = TimeDelta::hours(24);

/// The ways by which people are told; a bounded label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Messages of a Telegram bot.
    Telegram,
    /// The dead man's ping.
    Ping,
}

impl Channel {
    /// The word in metrics, journal and sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telegram => "telegram",
            Self::Ping => "ping",
        }
    }
}

/// What an alarm is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Backups of a database, or of the roles of a server.
    Backup(Series),
    /// Proofs of them.
    Proof(Series),
    /// The gate, before any migration begins.
    Gate,
    /// A service's migration.
    Migration(ServiceName),
    /// The backup folder.
    Folder,
}

/// The key in the journal, and the words in a message.
impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup(series) => write!(formatter, "backup of {series}"),
            Self::Proof(series) => write!(formatter, "proof of {series}"),
            Self::Gate => formatter.write_str("gate"),
            Self::Migration(service) => write!(formatter, "migration of {service}"),
            Self::Folder => formatter.write_str("backup folder"),
        }
    }
}

/// How a topic stands; a topic of which nothing is known has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Something went well at this instant.
    Well(Timestamp),
    /// It fails.
    Failing {
        /// When that was first seen, as far as is known.
        since: Timestamp,
        /// Why.
        cause: String,
        /// What to do: a command.
        step: String,
    },
}

/// A topic and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What.
    pub topic: Topic,
    /// How.
    pub condition: Condition,
}

/// What a channel was told of a topic that is not well yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Since when it fails.
    pub since: Timestamp,
    /// When that was last told.
    pub at: Timestamp,
}

/// What one channel knows, by the topics' words.
pub type Standing = BTreeMap<String, Told>;

/// Why there is something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It begins to fail.
    Began {
        /// Why.
        cause: String,
        /// What to do.
        step: String,
    },
    /// It still fails.
    Lasts {
        /// Why.
        cause: String,
        /// What to do.
        step: String,
    },
    /// It is well again.
    Recovered,
}

impl Change {
    /// The word in the journal.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Began { .. } => "began",
            Self::Lasts { .. } => "lasts",
            Self::Recovered => "recovered",
        }
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// About what.
    pub topic: Topic,
    /// Since when it fails, or failed.
    pub since: Timestamp,
    /// What.
    pub change: Change,
}

/// What there is to tell now; everything that is due at once is one message.
pub fn decide(told: &Standing, observed: &[Observation], now: Timestamp) -> Vec<Notice> {
    let mut notices: Vec<Notice> = observed
        .iter()
        .filter_map(|it| judge(told.get(&it.topic.to_string()), it, now))
        .collect();
    // What fails is read first.
    notices.sort_by_key(|notice| notice.change == Change::Recovered);
    notices
}

fn judge(told: Option<&Told>, observation: &Observation, now: Timestamp) -> Option<Notice> {
    let (since, change) = match (&observation.condition, told) {
        (Condition::Failing { since, cause, step }, None) => {
            let (cause, step) = (cause.clone(), step.clone());
            (*since, Change::Began { cause, step })
        }
        (Condition::Failing { cause, step, .. }, Some(told)) => {
            // A clock that was set back must not silence for longer than a day either.
            let is_due = now - told.at >= REMINDER || told.at > now + REMINDER;
            let (cause, step) = (cause.clone(), step.clone());
            is_due.then_some((told.since, Change::Lasts { cause, step }))?
        }
        (Condition::Well(at), Some(told)) => {
            (*at > told.since).then_some((told.since, Change::Recovered))?
        }
        (Condition::Well(_), None) => return None,
    };
    Some(Notice {
        topic: observation.topic.clone(),
        since,
        change,
    })
}

/// What a channel knows after it was told.
pub fn note(told: &mut Standing, topic: &str, change: &str, since: Timestamp, at: Timestamp) {
    if change == Change::Recovered.as_str() {
        told.remove(topic);
    } else {
        told.insert(topic.to_owned(), Told { since, at });
    }
}

#[cfg(test)]
mod tests;
