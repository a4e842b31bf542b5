//! The containers of one Compose project, translated into [`crate::domain::fleet`].

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::models::{
    ContainerInspectResponse, ContainerState as EngineState, ContainerStateStatusEnum,
    ContainerSummary, EndpointSettings, HealthStatusEnum, HostConfig, RestartPolicyNameEnum,
};
use bollard::query_parameters::ListContainersOptionsBuilder;
use chrono::DateTime;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::error::found;
use super::{Docker, DockerError, SHORT};
use crate::domain::fleet::{
    Container, ContainerState, Dependency, DependencyCondition, DockerHealth, Environment, Fleet,
    Following, Lifetime, NetworkAttachment,
};
use crate::domain::id::{ContainerId, ImageId, ProjectName, ServiceName};

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Each inspect is a connection of its own; more at once gain nothing on small hosts.
const INSPECTED_AT_ONCE: usize = 8;

impl Docker {
    /// Lists the project's containers in every state, one-off `run` containers left out; one that vanishes
    /// meanwhile is left out too.
    ///
    /// # Errors
    /// As every call.
    pub async fn list(&self, project: &ProjectName) -> Result<Fleet, DockerError> {
        let ids = self
            .ids_with_labels(vec![format!("{PROJECT}={project}")])
            .await?;
        let found: Vec<Option<Container>> = stream::iter(ids)
            .map(|id| async move { self.inspect(&id).await })
            .buffer_unordered(INSPECTED_AT_ONCE)
            .try_collect()
            .await?;
        let mut containers: Vec<Container> = found.into_iter().flatten().collect();
        containers.retain(|container| !is_one_off(container));
        containers.sort_by(|one, other| {
            let by_service = one.service.cmp(&other.service);
            by_service
                .then(other.created.cmp(&one.created))
                .then_with(|| one.name.cmp(&other.name))
        });
        Ok(Fleet::new(project.clone(), containers))
    }

    /// The address of a container in a network that another one is attached to as well.
    ///
    /// # Errors
    /// As every call.
    pub async fn find_shared_address(
        &self,
        from: &ContainerId,
        to: &ContainerId,
    ) -> Result<Option<IpAddr>, DockerError> {
        let (Some(from), Some(to)) = (self.inspect(from).await?, self.inspect(to).await?) else {
            return Ok(None);
        };
        let is_shared = |network: &str| from.networks.iter().any(|it| it.network == network);
        let shared = to.networks.iter().find(|it| is_shared(&it.network));
        Ok(shared.and_then(|attachment| attachment.address))
    }

    /// Looks at one container; `None` when it is gone.
    ///
    /// # Errors
    /// As every call.
    pub async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, DockerError> {
        let answer = found(self.raw_inspect(id).await)?;
        Ok(answer.map(container_from))
    }

    pub(super) async fn raw_inspect(
        &self,
        id: &ContainerId,
    ) -> Result<ContainerInspectResponse, DockerError> {
        let client = self.client()?;
        let call = client.inspect_container(id.as_str(), None);
        self.bounded("inspect a container", SHORT, call).await
    }

    async fn ids_with_labels(&self, labels: Vec<String>) -> Result<Vec<ContainerId>, DockerError> {
        let listed = self.list_with_labels(labels).await?;
        let ids = listed.into_iter().filter_map(|container| container.id);
        Ok(ids.map(ContainerId::new).collect())
    }

    /// Containers of the whole host, in every state, that carry all these labels (`name` or `name=value`).
    pub(super) async fn list_with_labels(
        &self,
        labels: Vec<String>,
    ) -> Result<Vec<ContainerSummary>, DockerError> {
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let client = self.client()?;
        let call = client.list_containers(Some(options));
        self.bounded("list containers", SHORT, call).await
    }
}

fn is_one_off(container: &Container) -> bool {
    let label = container.labels.get(ONE_OFF);
    label.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn container_from(answer: ContainerInspectResponse) -> Container {
    let config = answer.config.unwrap_or_default();
    let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
    let name = answer.name.unwrap_or_default();
    let name = name.trim_start_matches('/').to_owned();
    let service = labels.get(SERVICE).cloned().unwrap_or_default();
    let state = answer.state.unwrap_or_default();
    let networks = answer
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    let environment = config.env.unwrap_or_default();
    Container {
        id: ContainerId::new(answer.id.unwrap_or_default()),
        image: config.image.unwrap_or_default(),
        image_id: ImageId::new(answer.image.unwrap_or_default()),
        state: state_from(&state),
        health: health_from(&state),
        created: answer.created.as_deref().map_or(0, seconds_from),
        restarts: answer.restart_count.unwrap_or_default(),
        lifetime: lifetime_from(answer.host_config.as_ref()),
        environment: Environment::from_list(environment.iter().map(String::as_str)),
        networks: attachments_from(networks, &name, &service),
        depends_on: labels
            .get(DEPENDS_ON)
            .map_or_else(Vec::new, |text| dependencies_from(text)),
        service: ServiceName::new(service),
        name,
        labels,
    }
}

fn lifetime_from(host: Option<&HostConfig>) -> Lifetime {
    use RestartPolicyNameEnum as Policy;
    match host.and_then(|host| host.restart_policy.as_ref()?.name) {
        Some(Policy::ALWAYS | Policy::UNLESS_STOPPED) => Lifetime::Lasting,
        Some(Policy::NO | Policy::ON_FAILURE | Policy::EMPTY) | None => Lifetime::OneShot,
    }
}

pub(super) fn state_from(state: &EngineState) -> ContainerState {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => ContainerState::Created,
        Some(Status::RUNNING | Status::STOPPING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::EXITED) => ContainerState::Exited(state.exit_code.unwrap_or_default()),
        Some(Status::REMOVING | Status::DEAD | Status::EMPTY) | None => ContainerState::Gone,
    }
}

fn health_from(state: &EngineState) -> DockerHealth {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => DockerHealth::Starting,
        Some(HealthStatusEnum::HEALTHY) => DockerHealth::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => DockerHealth::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => DockerHealth::Absent,
    }
}

fn seconds_from(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).map_or(0, |time| time.timestamp())
}

fn attachments_from(
    networks: HashMap<String, EndpointSettings>,
    name: &str,
    service: &str,
) -> Vec<NetworkAttachment> {
    let sorted: BTreeMap<String, EndpointSettings> = networks.into_iter().collect();
    sorted
        .into_iter()
        .map(|(network, endpoint)| {
            let addresses = [endpoint.ip_address, endpoint.global_ipv6_address];
            let mut aliases: Vec<String> = Vec::new();
            let given = endpoint.aliases.into_iter().flatten();
            let resolved = endpoint.dns_names.into_iter().flatten();
            let own = [service.to_owned(), name.to_owned()];
            for alias in own.into_iter().chain(given).chain(resolved) {
                if !alias.is_empty() && !aliases.contains(&alias) {
                    aliases.push(alias);
                }
            }
            NetworkAttachment {
                network,
                address: addresses
                    .into_iter()
                    .flatten()
                    .find_map(|text| parse(&text)),
                aliases,
            }
        })
        .collect()
}

fn parse(address: &str) -> Option<IpAddr> {
    address.parse().ok()
}

/// Reads `postgres:service_healthy:false,redis:service_started:true`.
fn dependencies_from(label: &str) -> Vec<Dependency> {
    let entries = label.split(',').map(str::trim);
    entries
        .filter_map(|entry| {
            let mut parts = entry.split(':');
            let service = parts.next().filter(|service| !service.is_empty())?;
            let condition = match parts.next() {
                Some("service_healthy") => DependencyCondition::Healthy,
                Some("service_completed_successfully") => DependencyCondition::Completed,
                _ => DependencyCondition::Started,
            };
            Some(Dependency {
                service: ServiceName::new(service),
                condition,
                following: match parts.next() {
                    Some("true") => Following::Restarts,
                    _ => Following::Stays,
                },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composes_dependency_label_is_read() {
        let read = dependencies_from(
            "postgres:service_healthy:false,gate:service_completed_successfully:true,redis:service_started:false, ,old",
        );
        let expected = [
            ("postgres", DependencyCondition::Healthy, Following::Stays),
            ("gate", DependencyCondition::Completed, Following::Restarts),
            ("redis", DependencyCondition::Started, Following::Stays),
            ("old", DependencyCondition::Started, Following::Stays),
        ];
        let expected = expected.map(|(service, condition, following)| Dependency {
            service: ServiceName::new(service),
            condition,
            following,
        });
        assert_eq!(read, expected);
        assert_eq!(dependencies_from(""), []);
    }

    #[test]
    fn a_container_is_reached_by_service_name_and_aliases_once_each() {
        let endpoint = EndpointSettings {
            ip_address: Some("172.20.0.3".to_owned()),
            aliases: Some(vec!["db".to_owned(), "postgres".to_owned()]),
            dns_names: Some(vec!["app-postgres-1".to_owned(), "abc".to_owned()]),
            ..EndpointSettings::default()
        };
        let networks = HashMap::from([("app_default".to_owned(), endpoint)]);
        let read = attachments_from(networks, "app-postgres-1", "postgres");
        let only = read.first().unwrap();
        assert_eq!(only.aliases, ["postgres", "app-postgres-1", "db", "abc"]);
        assert_eq!(only.address, Some("172.20.0.3".parse().unwrap()));
    }

    #[test]
    fn a_stopped_container_has_no_address() {
        let endpoint = EndpointSettings {
            ip_address: Some(String::new()),
            ..EndpointSettings::default()
        };
        let networks = HashMap::from([("n".to_owned(), endpoint)]);
        let read = attachments_from(networks, "c", "");
        assert_eq!(read.first().unwrap().address, None);
    }
}
