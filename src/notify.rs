//! How channels want to be told: requests as specifications, and what their answers mean.
//!
//! Knows formats, no sockets: `job::tell` sends what is specified here. Invariants: what a person or a program
//! said is escaped; a token appears in a path only, and paths are never shown.

pub mod ping;
pub mod telegram;

use crate::domain::web::WebAddress;

/// A request to the outside.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where to; its path may be a secret.
    pub address: WebAddress,
    /// What is sent.
    pub content: Content,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: a `GET`.
    Nothing,
    /// A `POST` of plain text.
    Text(String),
    /// A `POST` of JSON.
    Json(String),
}

/// Why a channel did not take a message, in words that hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The same message may be taken later, at the earliest after so many seconds when it says so.
    Transient {
        /// What it said.
        why: String,
        /// How long it wants to be left alone.
        wait_seconds: Option<u64>,
    },
    /// It is refused until somebody changes something.
    Permanent {
        /// What it said.
        why: String,
    },
}

impl Refusal {
    /// What it said.
    pub fn why(&self) -> &str {
        match self {
            Self::Transient { why, .. } | Self::Permanent { why } => why,
        }
    }
}
