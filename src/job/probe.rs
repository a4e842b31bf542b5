//! Asks one service how it is, the way its label says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{self, HttpTarget, Limits};
use crate::domain::failure::chain;
use crate::domain::fleet::{Container, ContainerState};
use crate::domain::health::{Answer, judge_body_status};
use crate::domain::policy::{HealthPolicy, ProbeTarget};
use crate::domain::unit::ByteCount;

/// A health body larger than this is not read further.
const BODY_LIMIT: ByteCount = ByteCount(256 * 1024);

/// Whom to ask, and how.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The container.
    pub container: &'a Container,
    /// What its labels say.
    pub policy: &'a HealthPolicy,
}

/// Asks once; the answer and how long it took.
///
/// `our_networks` are those that stackwarden itself is attached to.
pub async fn ask(our_networks: &[String], question: Question<'_>) -> (Answer, Duration) {
    let begun = Instant::now();
    let answer = ask_once(our_networks, question).await;
    (answer, begun.elapsed())
}

async fn ask_once(our_networks: &[String], question: Question<'_>) -> Answer {
    if question.container.state != ContainerState::Running {
        return Answer::Bad("it does not run".to_owned());
    }
    let Some(address) = find_address(our_networks, question.container) else {
        return Answer::Bad(
            "it shares no network with stackwarden; add one to both under networks:".to_owned(),
        );
    };
    let timeout = question.policy.timeout;
    match &question.policy.target {
        ProbeTarget::Docker => Answer::Good,
        ProbeTarget::Tcp { port } => {
            match client::tcp_connect(SocketAddr::new(address, *port), timeout).await {
                Ok(()) => Answer::Good,
                Err(error) => Answer::Bad(chain(&error)),
            }
        }
        ProbeTarget::Http { host, port, path } => {
            let target = HttpTarget {
                address: SocketAddr::new(address, *port),
                host: host.clone(),
                path: path.clone(),
            };
            match client::http_get(
                target,
                Limits {
                    timeout,
                    body: BODY_LIMIT,
                },
            )
            .await
            {
                Ok(answer) => judge_answer(answer.status, &answer.body),
                Err(error) => Answer::Bad(chain(&error)),
            }
        }
    }
}

fn find_address(our_networks: &[String], container: &Container) -> Option<IpAddr> {
    let shared = container
        .networks
        .iter()
        .find(|it| our_networks.contains(&it.network));
    shared.and_then(|attachment| attachment.address)
}

fn judge_answer(status: u16, body: &[u8]) -> Answer {
    if !(200..400).contains(&status) {
        return Answer::Bad(format!("it answers {status}"));
    }
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    match json
        .as_ref()
        .and_then(|json| json.get("status"))
        .and_then(|status| status.as_str())
    {
        Some(word) => judge_body_status(word),
        None => Answer::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_code_and_body_both_count() {
        assert_eq!(judge_answer(204, b""), Answer::Good);
        assert_eq!(judge_answer(200, b"<html>"), Answer::Good);
        assert_eq!(judge_answer(200, br#"{"status":"ok"}"#), Answer::Good);
        assert!(matches!(
            judge_answer(200, br#"{"status":"unhealthy"}"#),
            Answer::Bad(_)
        ));
        assert!(matches!(
            judge_answer(503, br#"{"status":"ok"}"#),
            Answer::Bad(_)
        ));
    }
}
