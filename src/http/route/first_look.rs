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
    first_look(&shared).await;
    next.run(request).await
}

async fn first_look(shared: &Shared) {
    let mut changes = shared.api.board.subscribe();
    let looked = changes.wait_for(|picture| picture.has_looked());
    // Whether it was done or took too long, the handler says what is known.
    drop(tokio::time::timeout_at(shared.opened + PATIENCE, looked).await);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::super::fixture::{self, House};
    use super::*;
    use crate::board::{BucketPicture, Reach};
    use crate::lifecycle::Lifecycle;

    #[tokio::test(start_paused = true)]
    async fn what_stays_unseen_keeps_only_the_first_questions_waiting() {
        let life = Lifecycle::new();
        let shared = Shared::new(fixture::api(&fixture::board(), &life));
        for _question in 0..2 {
            first_look(&shared).await;
            assert_eq!(shared.opened.elapsed(), PATIENCE);
        }
    }

    #[tokio::test]
    async fn a_question_before_the_first_look_is_answered_after_it() {
        let seen = fixture::well().read();
        for missing in ["docker", "folder", "server", "bucket", "nothing"] {
            let house = House::open(fixture::well()).await;
            house.board.update(|picture| match missing {
                "docker" => *picture = (*fixture::board().read()).clone(),
                "folder" => picture.folder = Reach::Unknown,
                "server" => picture.servers.values_mut().for_each(|server| {
                    server.reach = Reach::Unknown;
                    server.databases.clear();
                }),
                "bucket" => picture.bucket = Some(BucketPicture::new("a bucket")),
                _ => {}
            });
            let answered = AtomicBool::new(false);
            let asking = async {
                let reply = house.order("GET /v1/databases", "").await;
                answered.store(true, Ordering::SeqCst);
                reply
            };
            let looking = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let early = answered.load(Ordering::SeqCst);
                house.board.update(|picture| *picture = (*seen).clone());
                early
            };
            let (reply, early) = tokio::join!(asking, looking);
            assert_eq!(early, missing == "nothing", "{missing}");
            let databases = reply.json()["databases"].clone();
            assert!(
                databases.as_array().is_some_and(|all| !all.is_empty()),
                "{missing}: {databases}"
            );
        }
    }
}
