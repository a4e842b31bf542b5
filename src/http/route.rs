//! Which path is answered by whom.

mod first_look;
mod health;
mod metrics;
mod order;
mod page;
mod read;
mod restore;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use tokio::time::Instant;

use super::cached::Cached;
use super::problem::{no_such_method, no_such_path};
use super::{Api, Token, auth};
use crate::board::Picture;
use crate::domain::unit::Timestamp;

const LARGEST_BODY: usize = 64 * 1024;

/// A whole answer that several requests may share.
#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, self.kind), (CACHE_CONTROL, "no-store")];
        (self.status, headers, self.body).into_response()
    }
}

/// What all doors share.
#[derive(Debug)]
pub(super) struct Shared {
    api: Api,
    health: Cached<Answer>,
    metrics: Cached<Answer>,
    page: Cached<Answer>,
    opened: Instant,
}

impl Shared {
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            health: Cached::new(),
            metrics: Cached::new(),
            page: Cached::new(),
            opened: Instant::now(),
        }
    }

    fn now(&self) -> (Arc<Picture>, Timestamp) {
        (self.api.board.read(), self.api.clock.now())
    }
}

pub(super) fn public(shared: Arc<Shared>) -> Router {
    closed(open_paths()).with_state(shared)
}

pub(super) fn control(shared: Arc<Shared>, token: Token) -> Router {
    let guard = middleware::from_fn_with_state(token, auth::require);
    // The guard lies over the fallbacks too: without a token not even the list of paths can be probed.
    let guarded = closed(guarded_paths(&shared)).layer(guard.clone());
    let paths = open_paths().nest("/v1", guarded);
    // Nesting leaves out this one spelling.
    let paths = paths.route("/v1/", any(no_such_path).layer(guard));
    closed(paths).with_state(shared)
}

pub(super) fn trusted(shared: Arc<Shared>) -> Router {
    closed(open_paths().nest("/v1", closed(guarded_paths(&shared)))).with_state(shared)
}

fn open_paths() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(page::page))
        .route("/health", get(health::health))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
}

fn guarded_paths(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let after_first_look =
        middleware::from_fn_with_state(Arc::clone(shared), first_look::wait_for_it);
    Router::new()
        .route("/stack", get(read::stack))
        .route("/databases", get(read::databases))
        .route("/backups", get(read::backups).post(order::backup))
        .route("/backups/plan", get(read::plan))
        .route("/backups/fsck", post(order::fsck))
        .route("/backups/{id}/verify", post(order::verify))
        .route("/backups/{id}/accept", post(order::accept))
        .route("/files/verify", post(order::verify_file))
        .route("/restores", post(restore::restore))
        .route("/jobs", get(read::jobs))
        .route("/jobs/{id}", get(read::job))
        .route("/migrations", get(read::migrations))
        .route("/checks", get(read::checks))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(order::in_time))
        .layer(after_first_look)
}

/// Answers whatever is not a path or a method with a problem document.
fn closed(router: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}
