//! Starting, ending, removing and measuring containers, and finding those we left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ContainerStatsResponse, ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, RestartContainerOptions,
    StartContainerOptions, StatsOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::error::found;
use super::fleet::state_from;
use super::own::mount_points;
use super::{Docker, DockerError, LIBRARY_TIMEOUT, LONG, MountPoint, SHORT};
use crate::domain::fleet::ContainerState;
use crate::domain::id::{ContainerId, ImageId};
use crate::domain::unit::ByteCount;

const POLL: Duration = Duration::from_millis(250);
const CONFLICT: u16 = 409;
const NANOSECONDS: f64 = 1e9;

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; 128 + n for signal n.
    pub code: i64,
    /// The kernel killed it for its memory.
    pub out_of_memory: bool,
}

/// Whether a leftover still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftoverState {
    /// It runs, is paused or restarts.
    Running,
    /// It was never started or has ended.
    Stopped,
}

/// A container found by our own labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the leading slash.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it runs.
    pub state: LeftoverState,
}

/// What a throw-away server copies from the live one's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerContainer {
    /// Size of `/dev/shm`.
    pub shm_size: Option<ByteCount>,
    /// The configured user, when it is not the image's default of root.
    pub user: Option<String>,
    /// What of the host it sees.
    pub mounts: Vec<MountPoint>,
    /// The image it runs.
    pub image_id: ImageId,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Processor time since it started.
    pub cpu_seconds: f64,
    /// Memory without the page cache that can be given back at once.
    pub memory: ByteCount,
}

impl Docker {
    /// Starts a container; one that runs already is fine.
    ///
    /// # Errors
    /// When it is gone or the runtime refuses it.
    pub async fn start(&self, id: &ContainerId) -> Result<(), DockerError> {
        let client = self.client()?;
        let call = client.start_container(id.as_str(), None::<StartContainerOptions>);
        self.bounded("start a container", LONG, call).await
    }

    /// Restarts a container as `docker restart` does, with the time to stop that it was given.
    ///
    /// # Errors
    /// When it is gone, the runtime refuses it, or it does not stop within two minutes.
    pub async fn restart(&self, id: &ContainerId) -> Result<(), DockerError> {
        let client = self.client()?;
        let call = client.restart_container(id.as_str(), None::<RestartContainerOptions>);
        self.bounded("restart a container", LIBRARY_TIMEOUT, call)
            .await
    }

    /// Kills a container at once; one that is gone or does not run is fine.
    ///
    /// # Errors
    /// As every call.
    pub async fn kill(&self, id: &ContainerId) -> Result<(), DockerError> {
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        let client = self.client()?;
        let call = client.kill_container(id.as_str(), Some(options));
        match self.bounded("kill a container", SHORT, call).await {
            Err(
                DockerError::NotFound { .. }
                | DockerError::Answer {
                    status: CONFLICT, ..
                },
            ) => Ok(()),
            answer => answer,
        }
    }

    /// Removes a container of ours, running or not, with its anonymous volumes; absence is success.
    ///
    /// # Errors
    /// As every call; a removal that another caller has begun is waited for.
    pub async fn remove(&self, id: &ContainerId) -> Result<(), DockerError> {
        let work = async {
            loop {
                match self.remove_once(id).await {
                    Err(DockerError::NotFound { .. }) => return Ok(()),
                    Err(DockerError::Answer {
                        status: CONFLICT, ..
                    }) => sleep(POLL).await,
                    answer => return answer,
                }
            }
        };
        let late = DockerError::TimedOut {
            operation: "remove a container",
            after: LONG,
        };
        timeout(LONG, work).await.unwrap_or(Err(late))
    }

    async fn remove_once(&self, id: &ContainerId) -> Result<(), DockerError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let client = self.client()?;
        let call = client.remove_container(id.as_str(), Some(options));
        self.bounded("remove a container", LONG, call).await
    }

    /// Waits until a started container has exited, by asking every 250 ms: socket proxies cut a silent wait, and an
    /// engine that restarts meanwhile is asked again.
    ///
    /// # Errors
    /// [`DockerError::StillRunning`] after `deadline` (it is not killed), [`DockerError::Vanished`] when somebody
    /// removed it.
    pub async fn wait_exit(
        &self,
        id: &ContainerId,
        deadline: Duration,
    ) -> Result<Exit, DockerError> {
        let work = async {
            loop {
                match self.find_exit(id).await {
                    Ok(Some(exit)) => return Ok(exit),
                    Ok(None) => {}
                    Err(error) if error.is_about_connection() => {}
                    Err(error) => return Err(error),
                }
                sleep(POLL).await;
            }
        };
        let late = DockerError::StillRunning {
            container: id.clone(),
            after: deadline,
        };
        timeout(deadline, work).await.unwrap_or(Err(late))
    }

    /// How a container ended, when it has; asks once, within the engine's own time.
    ///
    /// # Errors
    /// [`DockerError::Vanished`] when it is gone; when the engine does not answer.
    pub async fn find_exit(&self, id: &ContainerId) -> Result<Option<Exit>, DockerError> {
        let vanished = || DockerError::Vanished {
            container: id.clone(),
        };
        let answer = found(self.raw_inspect(id).await)?.ok_or_else(vanished)?;
        let state = answer.state.unwrap_or_default();
        match state_from(&state) {
            ContainerState::Exited(code) => Ok(Some(Exit {
                code,
                out_of_memory: state.oom_killed.unwrap_or_default(),
            })),
            ContainerState::Gone => Err(vanished()),
            _ => Ok(None),
        }
    }

    /// Finds containers of the whole host, in every state, that carry all these labels; an empty value
    /// asks for the label alone.
    ///
    /// # Errors
    /// As every call.
    pub async fn find_by_label(
        &self,
        labels: &[(&str, &str)],
    ) -> Result<Vec<Leftover>, DockerError> {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(name, value)| match *value {
                "" => (*name).to_owned(),
                value => format!("{name}={value}"),
            })
            .collect();
        let listed = self.list_with_labels(wanted).await?;
        Ok(listed.into_iter().filter_map(leftover_from).collect())
    }

    /// Reads what a throw-away server needs to resemble a live one.
    ///
    /// # Errors
    /// As every call; [`DockerError::NotFound`] when the container is gone.
    pub async fn server_container(&self, id: &ContainerId) -> Result<ServerContainer, DockerError> {
        let answer = self.raw_inspect(id).await?;
        let mounts = mount_points(&answer);
        let host = answer.host_config.unwrap_or_default();
        let config = answer.config.unwrap_or_default();
        let shm_size = host.shm_size.and_then(|size| u64::try_from(size).ok());
        Ok(ServerContainer {
            shm_size: shm_size.filter(|size| *size > 0).map(ByteCount),
            user: config.user.filter(|user| !user.is_empty()),
            mounts,
            image_id: ImageId::new(answer.image.unwrap_or_default()),
        })
    }

    /// Measures a running container once; `None` when it does not run.
    ///
    /// # Errors
    /// As every call.
    pub async fn usage(&self, id: &ContainerId) -> Result<Option<Usage>, DockerError> {
        let options = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let client = self.client()?;
        let mut answers = client.stats(id.as_str(), Some(options)).boxed();
        let call = async { answers.next().await.transpose() };
        let answer = found(self.bounded("measure a container", SHORT, call).await)?;
        Ok(answer.flatten().and_then(|stats| usage_from(&stats)))
    }
}

fn leftover_from(container: ContainerSummary) -> Option<Leftover> {
    use ContainerSummaryStateEnum as State;
    let names = container.names.unwrap_or_default();
    let name = names.first().map(String::as_str).unwrap_or_default();
    let state = match container.state {
        Some(State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING) => {
            LeftoverState::Running
        }
        _ => LeftoverState::Stopped,
    };
    Some(Leftover {
        id: ContainerId::new(container.id?),
        name: name.trim_start_matches('/').to_owned(),
        labels: container.labels.unwrap_or_default().into_iter().collect(),
        state,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "104 days of processor time pass before a nanosecond is lost"
)]
fn usage_from(stats: &ContainerStatsResponse) -> Option<Usage> {
    let cpu = stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    let memory = stats.memory_stats.as_ref()?;
    let used = memory.usage?;
    let detail = memory.stats.as_ref();
    // The page cache that the kernel gives back first, as cgroup v1 and v2 call it.
    let cache = detail.and_then(|detail| {
        let names = ["total_inactive_file", "inactive_file"];
        names.iter().find_map(|name| detail.get(*name))
    });
    Some(Usage {
        cpu_seconds: cpu as f64 / NANOSECONDS,
        memory: ByteCount(used.saturating_sub(cache.copied().unwrap_or_default())),
    })
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats};

    use super::*;

    #[test]
    fn memory_leaves_out_the_inactive_page_cache_of_both_cgroup_versions() {
        for name in ["total_inactive_file", "inactive_file"] {
            let stats = ContainerStatsResponse {
                cpu_stats: Some(ContainerCpuStats {
                    cpu_usage: Some(ContainerCpuUsage {
                        total_usage: Some(1_500_000_000),
                        ..ContainerCpuUsage::default()
                    }),
                    ..ContainerCpuStats::default()
                }),
                memory_stats: Some(ContainerMemoryStats {
                    usage: Some(100),
                    stats: Some(std::collections::HashMap::from([(name.to_owned(), 40)])),
                    ..ContainerMemoryStats::default()
                }),
                ..ContainerStatsResponse::default()
            };
            let usage = usage_from(&stats).unwrap();
            assert_eq!(usage.memory, ByteCount(60));
            assert!((usage.cpu_seconds - 1.5).abs() < 1e-9);
        }
    }

    #[test]
    fn a_stopped_container_has_no_usage() {
        assert_eq!(usage_from(&ContainerStatsResponse::default()), None);
    }
}
