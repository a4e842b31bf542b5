//! The doors people and machines come in by: the public one that only reads, the control one with a
//! token, and the Unix socket that file permissions guard.
//!
//! May know `domain`, `clock`, `desk`, `board`, `observe` and `lifecycle`. Invariants: a handler reads
//! the board or submits to the desk and never works itself, so no request ever waits for Docker or
//! Postgres; every error is a problem document; over TCP nothing under `/v1` answers without the token.

mod auth;
mod cached;
#[cfg(test)]
mod fixture;
mod problem;
mod route;
mod series;
mod server;
#[cfg(test)]
mod tests;
pub mod wire;

use std::sync::Arc;

use axum::Router;

use crate::board::Board;
use crate::clock::Clock;
use crate::desk::Desk;
use crate::lifecycle::Readiness;
use crate::observe::metrics::Metrics;

pub use auth::{Token, TokenError};
pub use server::{ListenError, Listener, listen_tcp, listen_unix};

/// What the handlers see of the house.
#[derive(Debug, Clone)]
pub struct Api {
    /// The picture of now.
    pub board: Board,
    /// The door to jobs.
    pub desk: Desk,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// Counters, histograms and the encoder.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` asks.
    pub readiness: Readiness,
    /// The backup folder, as `disk_free_bytes` names it.
    pub folder: String,
}

/// Makes the routers of all doors; answers are shared between them.
#[derive(Debug, Clone)]
pub struct Doors(Arc<route::Shared>);

impl Doors {
    /// Doors into this house.
    pub fn new(api: Api) -> Self {
        Self(Arc::new(route::Shared::new(api)))
    }

    /// `/`, `/health`, `/livez`, `/readyz`, `/metrics`.
    pub fn public(&self) -> Router {
        route::public(Arc::clone(&self.0))
    }

    /// Everything public, and `/v1` behind the token.
    pub fn control(&self, token: Token) -> Router {
        route::control(Arc::clone(&self.0), token)
    }

    /// Everything without a token, for the Unix socket only.
    pub fn trusted(&self) -> Router {
        route::trusted(Arc::clone(&self.0))
    }
}
