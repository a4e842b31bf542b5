//! `/health` for monitors, `/livez` for Docker's HEALTHCHECK, `/readyz` for whoever waits for us.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::{Answer, Shared};
use crate::board::Picture;
use crate::domain::health::Verdict;
use crate::domain::unit::Timestamp;
use crate::http::wire::{self, ReadyWire};
use crate::lifecycle::ReadyState;

/// The verdict on the stack: 200 when it serves, 503 when it does not.
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Answer {
    let (picture, now) = shared.now();
    let make = || answer(&picture, now);
    shared.health.get(&picture, now, make)
}

fn answer(picture: &Picture, now: Timestamp) -> Answer {
    let status = match picture.verdict(now) {
        Verdict::Pass | Verdict::Warn => StatusCode::OK,
        Verdict::Fail => StatusCode::SERVICE_UNAVAILABLE,
    };
    match serde_json::to_vec(&wire::health(picture, now)) {
        Ok(body) => Answer {
            status,
            kind: "application/health+json",
            body: Bytes::from(body),
        },
        Err(_unwritable) => Answer {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "application/health+json",
            body: Bytes::from_static(b"{\"status\":\"fail\"}"),
        },
    }
}

/// We live: nothing of the stack is asked, so that a broken stack does not get its watcher restarted.
pub(super) async fn livez() -> Response {
    ([(CACHE_CONTROL, "no-store")], "alive\n").into_response()
}

/// 200 once the start is through, 503 before it and on the way out.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let (code, status, waiting) = match shared.api.readiness.state() {
        ReadyState::Ready => (StatusCode::OK, "ready", Vec::new()),
        ReadyState::Starting(steps) => (StatusCode::SERVICE_UNAVAILABLE, "starting", steps),
        ReadyState::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", Vec::new()),
    };
    let wire = ReadyWire {
        status: status.to_owned(),
        waiting: waiting.into_iter().map(str::to_owned).collect(),
    };
    (code, [(CACHE_CONTROL, "no-store")], axum::Json(wire)).into_response()
}
