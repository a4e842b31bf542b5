//! `/`: the stack at a glance, for people; no script, nothing from elsewhere.

mod html;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use bytes::Bytes;

use super::{Answer, Shared};
use crate::http::wire;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

pub(super) async fn page(
    State(shared): State<Arc<Shared>>,
) -> ([(HeaderName, &'static str); 3], Answer) {
    let (picture, now) = shared.now();
    let answer = shared.page.get(&picture, now, || {
        let stack = wire::stack(&picture, now);
        Answer {
            status: StatusCode::OK,
            kind: "text/html; charset=utf-8",
            body: Bytes::from(html::Page(&stack).to_string()),
        }
    });
    (HEADERS, answer)
}
