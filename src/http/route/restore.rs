//! `POST /v1/restores`: the words of a restore, understood and handed to the desk.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use bytes::Bytes;

use super::Shared;
use super::order::submit;
use crate::board::Picture;
use crate::domain::job::JobRequest;
use crate::domain::restore::wish::{Wish, Words};
use crate::domain::restore::{ChoiceError, RestoreOrder};
use crate::http::problem::Problem;
use crate::http::wire::RestoreOrderWire;

/// Restores beside the live database, exchanges both, puts that back or removes what was kept.
pub(super) async fn restore(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|wrong| Problem::new(wrong.status(), wrong.body_text()))?;
    let order: RestoreOrderWire = serde_json::from_slice(&body).map_err(|wrong| {
        Problem::bad_request(format!(
            "the body is no order: {wrong}; send {{\"mode\":\"into\",\"backup\":\"latest\",\"name\":\"NAME\"}}"
        ))
    })?;
    let (picture, _) = shared.now();
    let order = understand(&picture, order)?;
    submit(&shared, JobRequest::Restore(order)).await
}

fn understand(picture: &Picture, order: RestoreOrderWire) -> Result<RestoreOrder, Problem> {
    let words = Words {
        mode: order.mode,
        backup: order.backup,
        name: order.name,
        database: order.database,
        at: order.at,
        from: order.from,
        volume: order.volume,
        project: order.project,
        prefix: order.prefix,
        of: order.of,
    };
    let wish = Wish::read(words).map_err(|wrong| Problem::bad_request(wrong.to_string()))?;
    let known = picture.known(wish.from);
    wish.resolve(known).map_err(|error| {
        let error = error.explained(picture.unread());
        let problem = match &error {
            ChoiceError::Several { .. } | ChoiceError::NoDatabase { .. } => {
                Problem::conflict(error.to_string())
            }
            _ => Problem::not_found(error.to_string()),
        };
        problem.knowing(error.known().to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    fn order(body: &str) -> Result<RestoreOrder, String> {
        let order = serde_json::from_str(body).unwrap();
        understand(&fixture::well().read(), order).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn an_order_names_a_backup_that_there_is() {
        let into = order(r#"{"mode":"into","backup":"latest","name":"copy"}"#).unwrap();
        assert!(into.subject().ends_with("into copy"), "{into:?}");
        let absent = r#"{"mode":"swap","backup":"20200121T020000Z-3f9c"}"#;
        assert!(order(absent).unwrap_err().contains("there is no backup"));
        let wrong = r#"{"mode":"swap","backup":"./some.dump"}"#;
        assert!(order(wrong).unwrap_err().contains("--into"));
    }
}
