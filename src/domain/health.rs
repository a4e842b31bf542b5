//! From readings to verdicts: per service, then for the whole stack.

use std::time::Duration;

use super::fleet::{Container, ContainerState, DockerHealth, Lifetime};
use super::policy::{HealthPolicy, Importance, ProbeTarget};
use super::unit::{ByteCount, Timestamp};

/// The verdict on a service or the stack; the words of `application/health+json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Well.
    Pass,
    /// Serves, but somebody should look.
    Warn,
    /// Does not serve.
    Fail,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Warn, Self::Fail];

    /// The word in `/health`, metrics and CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Essentials of a running server, from one cheap query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerVitals {
    /// Client connections.
    pub connections: u64,
    /// `max_connections`.
    pub max_connections: u64,
    /// Sum of `pg_database_size`.
    pub size: ByteCount,
    /// Seconds of the longest open transaction.
    pub longest_transaction_seconds: u64,
}

/// What a probe answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It passed.
    Good,
    /// It did not, and why.
    Bad(String),
}

/// The latest readings of one service's probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// When the newest answer came.
    pub at: Timestamp,
    /// The newest answer.
    pub answer: Answer,
    /// How long it took.
    pub took: Duration,
    /// So many bad answers in a row.
    pub failures: u32,
}

/// A service's verdict and the reason in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceVerdict {
    /// The verdict on this service alone.
    pub verdict: Verdict,
    /// Whether the stack can live without it.
    pub importance: Importance,
    /// Why, when it is not well.
    pub reason: Option<String>,
}

/// Judges one service from Docker's state and the newest reading of its probe.
///
/// A one-shot that ended with 0 is well; a reading older than three intervals is not a good one.
pub fn judge_service(
    container: &Container,
    policy: &HealthPolicy,
    reading: Option<&Reading>,
    now: Timestamp,
) -> ServiceVerdict {
    let (verdict, reason) = match judge_state(container) {
        (Verdict::Pass, None) if is_ended(container) => judge_end(container, policy),
        (Verdict::Pass, None) => judge_reading(policy, reading, now),
        judged => judged,
    };
    ServiceVerdict {
        verdict,
        importance: policy.importance,
        reason,
    }
}

/// Ending with 0 is well for what was meant to end: a lasting service, or one with a `stackwarden.health`
/// label, was stopped.
fn judge_end(container: &Container, policy: &HealthPolicy) -> (Verdict, Option<String>) {
    let is_lasting =
        container.lifetime == Lifetime::Lasting || policy.target != ProbeTarget::Docker;
    if !is_lasting {
        return (Verdict::Pass, None);
    }
    let why = format!(
        "it is stopped; start it: docker compose start {}",
        container.service
    );
    (Verdict::Fail, Some(why))
}

fn is_ended(container: &Container) -> bool {
    matches!(container.state, ContainerState::Exited(_))
}

fn judge_state(container: &Container) -> (Verdict, Option<String>) {
    let fail = |why: String| (Verdict::Fail, Some(why));
    match (container.state, container.health) {
        (ContainerState::Running, DockerHealth::Unhealthy) => fail("its healthcheck fails".into()),
        (ContainerState::Running, DockerHealth::Starting) => (
            Verdict::Warn,
            Some("its healthcheck has not passed yet".into()),
        ),
        (ContainerState::Running, DockerHealth::Healthy | DockerHealth::Absent)
        | (ContainerState::Exited(0), _) => (Verdict::Pass, None),
        (ContainerState::Created, _) => fail("it was created but not started".into()),
        (ContainerState::Paused, _) => fail("it is paused".into()),
        (ContainerState::Restarting, _) => fail("it is restarting again and again".into()),
        (ContainerState::Exited(code), _) => fail(format!("it ended with code {code}")),
        (ContainerState::Gone, _) => fail("it is gone".into()),
    }
}

fn judge_reading(
    policy: &HealthPolicy,
    reading: Option<&Reading>,
    now: Timestamp,
) -> (Verdict, Option<String>) {
    if policy.target == ProbeTarget::Docker {
        return (Verdict::Pass, None);
    }
    let Some(reading) = reading else {
        return (
            Verdict::Warn,
            Some("its health has not been asked yet".into()),
        );
    };
    let stale_after = (policy.interval + policy.timeout) * 3;
    let age = (now - reading.at).to_std().unwrap_or_default();
    if age > stale_after {
        return (
            Verdict::Warn,
            Some(format!("its last answer is {} s old", age.as_secs())),
        );
    }
    match &reading.answer {
        Answer::Good => (Verdict::Pass, None),
        Answer::Bad(why) if reading.failures >= policy.failures => {
            (Verdict::Fail, Some(why.clone()))
        }
        Answer::Bad(why) => (Verdict::Warn, Some(why.clone())),
    }
}

/// The verdict on the whole: a failing required service fails it, anything else short of pass warns.
pub fn judge_stack<'a>(services: impl IntoIterator<Item = &'a ServiceVerdict>) -> Verdict {
    let weight = |service: &ServiceVerdict| match (service.verdict, service.importance) {
        (Verdict::Fail, Importance::Optional) => Verdict::Warn,
        (verdict, Importance::Required | Importance::Optional) => verdict,
    };
    services
        .into_iter()
        .map(weight)
        .max()
        .unwrap_or(Verdict::Pass)
}

/// Reads an application's own health body: a JSON object whose top-level `status` is another word than
/// ok, pass, up or healthy is no pass, whatever the status code.
pub fn judge_body_status(status: &str) -> Answer {
    const GOOD: [&str; 4] = ["ok", "pass", "up", "healthy"];
    if GOOD.contains(&status.to_ascii_lowercase().as_str()) {
        Answer::Good
    } else {
        Answer::Bad(format!("its health answer says status {status:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::fleet::Environment;
    use super::super::id::{ContainerId, ImageId, ServiceName};
    use super::*;

    fn container(state: ContainerState, health: DockerHealth) -> Container {
        Container {
            id: ContainerId::new("c"),
            name: "c".into(),
            service: ServiceName::new("api"),
            image: "api".into(),
            image_id: ImageId::new("i"),
            state,
            health,
            created: 0,
            lifetime: Lifetime::OneShot,
            restarts: 0,
            labels: BTreeMap::new(),
            environment: Environment::default(),
            networks: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    fn policy(importance: Importance) -> HealthPolicy {
        HealthPolicy {
            target: ProbeTarget::Tcp { port: 1 },
            importance,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            failures: 3,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    fn reading(answer: Answer, failures: u32) -> Reading {
        Reading {
            at: at(100),
            answer,
            took: Duration::ZERO,
            failures,
        }
    }

    #[test]
    fn a_stale_good_answer_is_not_a_good_one() {
        let running = container(ContainerState::Running, DockerHealth::Absent);
        let good = reading(Answer::Good, 0);
        let judge = |now| {
            judge_service(
                &running,
                &policy(Importance::Required),
                Some(&good),
                at(now),
            )
            .verdict
        };
        assert_eq!(judge(101), Verdict::Pass);
        assert_eq!(judge(1000), Verdict::Warn);
    }

    #[test]
    fn enough_bad_answers_in_a_row_fail_a_service() {
        let running = container(ContainerState::Running, DockerHealth::Absent);
        let judge = |failures| {
            let bad = reading(Answer::Bad("refused".into()), failures);
            judge_service(&running, &policy(Importance::Required), Some(&bad), at(101)).verdict
        };
        assert_eq!(judge(2), Verdict::Warn);
        assert_eq!(judge(3), Verdict::Fail);
    }

    #[test]
    fn docker_states_decide_before_probes() {
        let good = reading(Answer::Good, 0);
        let judge = |state, health| {
            let it = container(state, health);
            judge_service(&it, &policy(Importance::Required), Some(&good), at(101)).verdict
        };
        assert_eq!(
            judge(ContainerState::Running, DockerHealth::Unhealthy),
            Verdict::Fail
        );
        assert_eq!(
            judge(ContainerState::Created, DockerHealth::Absent),
            Verdict::Fail
        );
        assert_eq!(
            judge(ContainerState::Exited(0), DockerHealth::Absent),
            Verdict::Fail
        );
        assert_eq!(
            judge(ContainerState::Exited(1), DockerHealth::Absent),
            Verdict::Fail
        );
    }

    #[test]
    fn only_what_was_meant_to_end_may_end() {
        let docker = HealthPolicy {
            target: ProbeTarget::Docker,
            ..policy(Importance::Required)
        };
        let judge = |lifetime, health| {
            let ended = container(ContainerState::Exited(0), health);
            judge_service(&Container { lifetime, ..ended }, &docker, None, at(0)).verdict
        };
        assert_eq!(
            judge(Lifetime::OneShot, DockerHealth::Absent),
            Verdict::Pass
        );
        assert_eq!(
            judge(Lifetime::Lasting, DockerHealth::Absent),
            Verdict::Fail
        );
        assert_eq!(
            judge(Lifetime::OneShot, DockerHealth::Unhealthy),
            Verdict::Pass
        );
    }

    #[test]
    fn an_optional_service_only_degrades_the_stack() {
        let down = |importance| ServiceVerdict {
            verdict: Verdict::Fail,
            importance,
            reason: None,
        };
        assert_eq!(judge_stack(&[down(Importance::Optional)]), Verdict::Warn);
        assert_eq!(judge_stack(&[down(Importance::Required)]), Verdict::Fail);
        assert_eq!(judge_stack(&[]), Verdict::Pass);
    }

    #[test]
    fn a_200_whose_body_says_degraded_is_no_pass() {
        assert_eq!(judge_body_status("Healthy"), Answer::Good);
        assert!(matches!(judge_body_status("degraded"), Answer::Bad(_)));
    }
}
