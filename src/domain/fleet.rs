//! What Docker shows of one Compose project right now.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{ContainerId, ImageId, ProjectName, ServiceName};

/// A container's state as Docker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made by `up`, not started yet.
    Created,
    /// Running.
    Running,
    /// Frozen by `docker pause`.
    Paused,
    /// On its way up again.
    Restarting,
    /// Ended with this code.
    Exited(i64),
    /// Being removed, or dead.
    Gone,
}

/// What the container's own HEALTHCHECK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerHealth {
    /// It has no HEALTHCHECK.
    Absent,
    /// Not decided yet.
    Starting,
    /// Passed.
    Healthy,
    /// Failed often enough.
    Unhealthy,
}

/// How long a container is meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Docker brings it up again: `restart: always` or `unless-stopped`.
    Lasting,
    /// It may end by itself.
    OneShot,
}

/// A condition of Compose's `depends_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyCondition {
    /// `service_started`
    Started,
    /// `service_healthy`
    Healthy,
    /// `service_completed_successfully`
    Completed,
}

/// One edge of Compose's dependency graph, read from `com.docker.compose.depends_on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The service that is waited for.
    pub service: ServiceName,
    /// What it has to reach.
    pub condition: DependencyCondition,
    /// Whether a restart of that service is to restart this one.
    pub following: Following,
}

/// `restart` of Compose's `depends_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// `restart: true`
    Restarts,
    /// It goes on as it is.
    Stays,
}

/// One container of the project (one-off `run` containers are not listed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Docker's id.
    pub id: ContainerId,
    /// Docker's name, without the leading slash.
    pub name: String,
    /// The Compose service.
    pub service: ServiceName,
    /// The image as the file names it.
    pub image: String,
    /// The image's id.
    pub image_id: ImageId,
    /// Running or not.
    pub state: ContainerState,
    /// Its HEALTHCHECK's verdict.
    pub health: DockerHealth,
    /// When Docker created it, seconds since 1970.
    pub created: i64,
    /// How often Docker restarted it.
    pub restarts: i64,
    /// How long it is meant to run.
    pub lifetime: Lifetime,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Environment, from the container's configuration (image and file merged). Never shown.
    pub environment: Environment,
    /// Names and addresses under which other containers reach it: (network, address, aliases).
    pub networks: Vec<NetworkAttachment>,
    /// Compose's dependencies.
    pub depends_on: Vec<Dependency>,
}

/// A container's place in one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAttachment {
    /// The network's name.
    pub network: String,
    /// Its IPv4 address there, when it runs.
    pub address: Option<std::net::IpAddr>,
    /// Names other containers of that network resolve.
    pub aliases: Vec<String>,
}

/// Variables of a container; their values never reach a log.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Reads Docker's `NAME=value` list.
    pub fn from_list<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let pairs = entries
            .into_iter()
            .filter_map(|entry| entry.split_once('='));
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// A variable that is set and not empty.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// The project's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// The Compose project.
    pub project: ProjectName,
    /// Its containers, ordered by service and age (newest first).
    pub containers: Vec<Container>,
}

impl Fleet {
    /// A fleet whose containers know how long they are meant to run.
    ///
    /// A service that another waits for until it completed is a one-shot, whatever healthcheck its image
    /// brings; of the others, one with a healthcheck is meant to last.
    pub fn new(project: ProjectName, mut containers: Vec<Container>) -> Self {
        let edges = containers
            .iter()
            .flat_map(|container| &container.depends_on);
        let completed = edges.filter(|edge| edge.condition == DependencyCondition::Completed);
        let one_shots: BTreeSet<ServiceName> = completed.map(|edge| edge.service.clone()).collect();
        for container in &mut containers {
            if one_shots.contains(&container.service) {
                container.lifetime = Lifetime::OneShot;
            } else if container.health != DockerHealth::Absent {
                container.lifetime = Lifetime::Lasting;
            }
        }
        Self {
            project,
            containers,
        }
    }

    /// The newest container of a service.
    pub fn find_service(&self, service: &ServiceName) -> Option<&Container> {
        self.containers
            .iter()
            .find(|container| &container.service == service)
    }

    /// The newest container of each service, in the order of names.
    pub fn services(&self) -> Vec<&Container> {
        let mut newest: BTreeMap<&ServiceName, &Container> = BTreeMap::new();
        for container in &self.containers {
            newest.entry(&container.service).or_insert(container);
        }
        newest.into_values().collect()
    }
}
