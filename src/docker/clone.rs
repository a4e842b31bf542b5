//! Clones: one-shot containers that run a command with an app container's own image and configuration.
//!
//! Invariants: a clone carries no label of Compose (Compose would adopt it and delete the real app) and is never
//! routed to; it publishes no port, has no alias, no static address, no restart policy and no health check; named
//! volumes and bind mounts are the app's own, anonymous volumes are fresh and go with the clone.

mod files;
mod mounts;

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HealthConfig,
    HostConfig, HostConfigLogConfig, NetworkConnectRequest, NetworkingConfig,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::{Docker, DockerError, LONG, SHORT};
use crate::domain::id::ContainerId;
use crate::domain::policy::EntrypointPolicy;

/// What to clone.
#[derive(Debug, Clone)]
pub struct CloneRequest {
    /// The app's container, in any state.
    pub source: ContainerId,
    /// The clone's name; unique on the host.
    pub name: String,
    /// Our own labels.
    pub labels: BTreeMap<String, String>,
    /// What it runs.
    pub command: Vec<String>,
    /// What becomes of the app's entrypoint.
    pub entrypoint: EntrypointPolicy,
}

impl Docker {
    /// Creates a clone, connected to every network of its source, ready to be started.
    ///
    /// # Errors
    /// [`DockerError::NameTaken`] when the name is in use, [`DockerError::EntrypointSwallowsCommand`] when the
    /// entrypoint cannot be kept, [`DockerError::NotFound`] when the source or one of its networks is gone. A clone
    /// that could not be completed is removed again.
    ///
    /// # Cancellation
    /// A created clone may stay behind under its name and labels; it was never started.
    pub async fn create_clone(&self, request: CloneRequest) -> Result<ContainerId, DockerError> {
        let source = self.raw_inspect(&request.source).await?;
        let image = source.image.clone().unwrap_or_default();
        let inherited = self.inherited_identity(&image).await?;
        let networks = Networks::of(&source);
        let body = clone_body(&source, &request, &inherited, &networks)?;
        let clone = self.create(&request.name, body).await?;
        let completed = self.complete(&source, &request.source, &clone, &networks);
        match completed.await {
            Ok(()) => Ok(clone),
            Err(error) => {
                // The first failure is the one to tell; what stays behind is found by its labels.
                drop(self.remove(&clone).await);
                Err(error)
            }
        }
    }

    pub(super) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<ContainerId, DockerError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let client = self.client()?;
        let call = client.create_container(Some(options), body);
        let created = self.bounded("create a container", LONG, call).await;
        let created = created.map_err(|error| error.with_name(name))?;
        Ok(ContainerId::new(created.id))
    }

    async fn complete(
        &self,
        source: &ContainerInspectResponse,
        source_id: &ContainerId,
        clone: &ContainerId,
        networks: &Networks,
    ) -> Result<(), DockerError> {
        // Engines before API 1.44 take one network at creation only.
        for (network, endpoint) in &networks.others {
            let request = NetworkConnectRequest {
                container: clone.as_str().to_owned(),
                endpoint_config: Some(endpoint.clone()),
            };
            let client = self.client()?;
            let call = client.connect_network(network, request);
            self.bounded("connect a container to its network", SHORT, call)
                .await?;
        }
        self.copy_injected_files(source, source_id, clone).await
    }
}

/// Where a clone is attached.
#[derive(Debug, Default, PartialEq)]
struct Networks {
    /// `HostConfig.NetworkMode`.
    mode: Option<String>,
    first: Option<(String, EndpointSettings)>,
    others: Vec<(String, EndpointSettings)>,
}

impl Networks {
    fn of(source: &ContainerInspectResponse) -> Self {
        let host = source.host_config.as_ref();
        let mode = host.and_then(|host| host.network_mode.clone());
        let special = mode
            .as_deref()
            .is_some_and(|mode| matches!(mode, "host" | "none") || mode.starts_with("container:"));
        if special {
            return Self {
                mode,
                ..Self::default()
            };
        }
        let settings = source.network_settings.as_ref();
        let networks = settings.and_then(|settings| settings.networks.as_ref());
        let mut endpoints: BTreeMap<String, EndpointSettings> = networks
            .into_iter()
            .flatten()
            .map(|(name, endpoint)| (name.clone(), bare_endpoint(endpoint)))
            .collect();
        let named = mode.as_ref().and_then(|mode| endpoints.remove_entry(mode));
        let first = named.or_else(|| endpoints.pop_first());
        Self {
            mode: first
                .as_ref()
                .map(|(name, _endpoint)| name.clone())
                .or(mode),
            first,
            others: endpoints.into_iter().collect(),
        }
    }
}

/// No alias, no address, no MAC, no links: traffic for the app must not reach its clone.
fn bare_endpoint(endpoint: &EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        driver_opts: endpoint.driver_opts.clone(),
        gw_priority: endpoint.gw_priority,
        ..EndpointSettings::default()
    }
}

fn clone_body(
    source: &ContainerInspectResponse,
    request: &CloneRequest,
    inherited: &[String],
    networks: &Networks,
) -> Result<ContainerCreateBody, DockerError> {
    let config = source.config.clone().unwrap_or_default();
    let (entrypoint, command) = program(&config, request)?;
    let mut body = ContainerCreateBody {
        image: source.image.clone(),
        entrypoint: Some(entrypoint),
        cmd: Some(command),
        env: config.env,
        working_dir: config.working_dir,
        user: config.user,
        volumes: config.volumes,
        stop_signal: config.stop_signal,
        stop_timeout: config.stop_timeout,
        labels: Some(labels(request, inherited)),
        healthcheck: Some(no_healthcheck()),
        host_config: Some(host_config(source, networks)),
        ..ContainerCreateBody::default()
    };
    mounts::carry_over(source, &mut body);
    body.networking_config = networks.first.clone().map(|endpoint| NetworkingConfig {
        endpoints_config: Some(HashMap::from([endpoint])),
    });
    Ok(body)
}

/// An engine takes the image's entrypoint where none is given, so one is always given: the first word of the command
/// when there is nothing to keep.
fn program(
    config: &ContainerConfig,
    request: &CloneRequest,
) -> Result<(Vec<String>, Vec<String>), DockerError> {
    let (first, rest) = request
        .command
        .split_first()
        .ok_or(DockerError::CommandEmpty)?;
    let kept = match request.entrypoint {
        EntrypointPolicy::Keep => config.entrypoint.clone().unwrap_or_default(),
        EntrypointPolicy::Clear => Vec::new(),
    };
    if kept.last().is_some_and(|word| is_shell_command_flag(word)) {
        return Err(DockerError::EntrypointSwallowsCommand { entrypoint: kept });
    }
    if kept.is_empty() {
        Ok((vec![first.clone()], rest.to_vec()))
    } else {
        Ok((kept, request.command.clone()))
    }
}

/// `-c`, `-lc`, `-ec`: whatever follows is one shell text, and the words after it are lost.
fn is_shell_command_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| {
        flags.ends_with('c') && flags.chars().all(|flag| flag.is_ascii_alphabetic())
    })
}

pub(super) fn no_healthcheck() -> HealthConfig {
    HealthConfig {
        test: Some(vec!["NONE".to_owned()]),
        ..HealthConfig::default()
    }
}

fn labels(request: &CloneRequest, inherited: &[String]) -> HashMap<String, String> {
    let mut labels = blanked(inherited);
    labels.insert("traefik.enable".to_owned(), "false".to_owned());
    let own = request.labels.iter();
    labels.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    labels.retain(|name, value| value.is_empty() || !name.starts_with("com.docker.compose."));
    labels
}

/// The image's own labels cannot be taken off, only emptied.
pub(super) fn blanked(inherited: &[String]) -> HashMap<String, String> {
    inherited
        .iter()
        .map(|name| (name.clone(), String::new()))
        .collect()
}

fn host_config(source: &ContainerInspectResponse, networks: &Networks) -> HostConfig {
    let kept = source.host_config.clone().unwrap_or_default();
    HostConfig {
        network_mode: networks.mode.clone(),
        port_bindings: None,
        publish_all_ports: None,
        restart_policy: None,
        auto_remove: Some(false),
        links: None,
        container_id_file: None,
        // The app's own driver may send lines where we cannot read them back.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), "10m".to_owned())])),
        }),
        ..kept
    }
}

#[cfg(test)]
mod tests;
