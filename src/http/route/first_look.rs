//! A question in the first moment of a process waits until everything was looked at once: what `/v1` says and does follows
//! from the board, and a board that shows nothing yet would call a server or a backup unknown that is there.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Shared;

/// From the opening of the doors. A bucket or a server that is silent takes longer, and is then shown as not asked yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets a request through when the first look is done or took too long.
pub(super) async fn wait_for_it(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let mut changes = shared.api.board.subscribe();
    let looked = changes.wait_for(|picture| picture.has_looked());
    // Nobody shows anything any more: that is for the handler to say.
    let until = shared.opened + PATIENCE;
    drop(tokio::time::timeout_at(until, looked).await);
    next.run(request).await
}
