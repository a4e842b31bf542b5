//! Waits for a service's own `depends_on`, as far as it does not itself wait for the gate.

use std::time::Duration;

use tokio::time::Instant;

use super::{MigrateError, MigrationPlan, docker_error};
use crate::domain::fleet::{ContainerState, Dependency, DependencyCondition, DockerHealth, Fleet};
use crate::job::{JobContext, Run};

/// How often the engine is asked.
const PAUSE: Duration = Duration::from_millis(500);
/// Compose itself has waited for most of it before it started the gate.
const PATIENCE: Duration = Duration::from_mins(3);

/// Returns when every condition holds.
///
/// # Errors
/// When one did not come true within three minutes, or never can.
pub(super) async fn wait(
    context: &JobContext,
    run: &Run,
    plan: &MigrationPlan,
) -> Result<(), MigrateError> {
    let begun = Instant::now();
    loop {
        let fleet = context.docker.list(&context.project).await;
        let fleet = fleet.map_err(|source| docker_error(plan, source))?;
        let states: Vec<_> = plan
            .conditions
            .iter()
            .map(|it| (it, look(&fleet, it)))
            .collect();
        let Some((dependency, state)) = states.into_iter().find(|(_, it)| *it != State::Holds)
        else {
            return Ok(());
        };
        let waited = begun.elapsed();
        if matches!(state, State::Never(_)) || waited > PATIENCE {
            return Err(MigrateError::Condition {
                service: plan.container.service.clone(),
                waited_for: dependency.service.to_string(),
                state: state.into_words(),
                waited,
            });
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = run.stop.cancelled() => {
                return Err(MigrateError::Cancelled { service: plan.container.service.clone() });
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Holds,
    NotYet(&'static str),
    Never(String),
}

impl State {
    fn into_words(self) -> String {
        match self {
            Self::Holds => "holds".to_owned(),
            Self::NotYet(words) => words.to_owned(),
            Self::Never(words) => words,
        }
    }
}

fn look(fleet: &Fleet, dependency: &Dependency) -> State {
    let Some(container) = fleet.find_service(&dependency.service) else {
        return State::NotYet("does not exist");
    };
    match (dependency.condition, container.state) {
        (DependencyCondition::Completed, ContainerState::Exited(0))
        | (DependencyCondition::Started, ContainerState::Running) => State::Holds,
        (DependencyCondition::Completed, ContainerState::Exited(code)) => {
            State::Never(format!("ended with code {code}"))
        }
        (DependencyCondition::Completed, _) => State::NotYet("has not ended"),
        (DependencyCondition::Healthy, ContainerState::Running) => match container.health {
            DockerHealth::Healthy => State::Holds,
            DockerHealth::Absent => State::Never("has no healthcheck".to_owned()),
            DockerHealth::Starting => State::NotYet("is not healthy yet"),
            DockerHealth::Unhealthy => State::NotYet("is unhealthy"),
        },
        (DependencyCondition::Started | DependencyCondition::Healthy, _) => {
            State::NotYet("does not run")
        }
    }
}
