//! Scratch containers: throw-away servers that a backup is restored into.
//!
//! Invariants: no network, for a dump can run SQL; nothing of the host but what is bound read-only; the kernel kills
//! it before anything else; its data goes with it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountBindOptions, MountType, MountVolumeOptions,
};

use super::archive::{Entry, EntryKind, write_archive};
use super::clone::{blanked, no_healthcheck};
use super::{Docker, DockerError};
use crate::domain::id::{ContainerId, ImageId};
use crate::domain::unit::ByteCount;
use crate::domain::volume::VolumeName;

const DIES_FIRST: i64 = 1000;
/// Any user of the image may make its folder there, and only its own.
const SHARED_FOLDER: u32 = 0o1777;
/// What engines say when the kernel has no I/O weights.
const WEIGHT_WORDS: [&str; 2] = ["blkio", "block i/o weight"];

/// A file or folder of the host, visible and not writable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOnlyBind {
    /// Path on the host; must exist.
    pub host: PathBuf,
    /// Path in the container.
    pub target: PathBuf,
}

/// A volume of the host, visible and not writable. It has to be there: the engine makes one that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOnlyVolume {
    /// Which.
    pub name: VolumeName,
    /// Path in the container; one that the image has not, or the engine would want to fill the volume from there.
    pub target: PathBuf,
}

/// Where a scratch server keeps its data. The target belongs to everybody (mode 1777): the server makes a folder
/// of its own inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScratchData {
    /// In memory; counts against the memory cap.
    Tmpfs {
        /// Folder in the container.
        target: PathBuf,
        /// Its bound.
        size: ByteCount,
    },
    /// In an anonymous volume, removed with the container.
    Volume {
        /// Folder in the container.
        target: PathBuf,
    },
}

/// A scratch container to create.
#[derive(Clone)]
pub struct ScratchRequest {
    /// Its name; a fixed one is a lock for the whole host.
    pub name: String,
    /// The image by id.
    pub image_id: ImageId,
    /// Our own labels.
    pub labels: BTreeMap<String, String>,
    /// Who runs in it; the image's own user when absent.
    pub user: Option<String>,
    /// Replaces the image's entrypoint; never empty.
    pub entrypoint: Vec<String>,
    /// Replaces the image's command.
    pub command: Vec<String>,
    /// Variables beside the image's.
    pub env: Vec<(String, String)>,
    /// What it sees of the host.
    pub binds: Vec<ReadOnlyBind>,
    /// And of its volumes.
    pub volumes: Vec<ReadOnlyVolume>,
    /// Where its data goes.
    pub data: ScratchData,
    /// Size of `/dev/shm`.
    pub shm_size: Option<ByteCount>,
    /// Memory cap, without swap.
    pub memory: Option<ByteCount>,
    /// Processor weight; 1024 is everybody's.
    pub cpu_shares: Option<i64>,
    /// I/O weight, 10 to 1000; dropped where the engine knows none.
    pub blkio_weight: Option<u16>,
}

impl fmt::Debug for ScratchRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ScratchRequest")
            .field("name", &self.name)
            .field("image_id", &self.image_id)
            .field("entrypoint", &self.entrypoint)
            .field("command", &self.command)
            .field("binds", &self.binds)
            .field("volumes", &self.volumes)
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl Docker {
    /// Creates a scratch container, ready to be started.
    ///
    /// # Errors
    /// [`DockerError::NameTaken`] when another proof runs on this host; [`DockerError::Answer`] when a bound path is
    /// not on the host.
    ///
    /// # Cancellation
    /// A created container may stay behind under its name and labels; it was never started.
    pub async fn create_scratch(
        &self,
        mut request: ScratchRequest,
    ) -> Result<ContainerId, DockerError> {
        if request.entrypoint.is_empty() {
            return Err(DockerError::CommandEmpty);
        }
        let inherited = self.inherited_identity(request.image_id.as_str()).await?;
        let first = self
            .create(&request.name, scratch_body(&request, &inherited))
            .await;
        let created = match first {
            Err(error) if request.blkio_weight.is_some() && is_about_weight(&error) => {
                request.blkio_weight = None;
                self.create(&request.name, scratch_body(&request, &inherited))
                    .await?
            }
            other => other?,
        };
        let ScratchData::Volume { target } = &request.data else {
            return Ok(created);
        };
        match self.open_folder(&created, target).await {
            Ok(()) => Ok(created),
            Err(error) => {
                // The first failure is the one to tell; what stays behind is found by its labels.
                drop(self.remove(&created).await);
                Err(error)
            }
        }
    }

    /// A fresh volume belongs to root unless the image has the folder.
    async fn open_folder(&self, id: &ContainerId, target: &PathBuf) -> Result<(), DockerError> {
        let entry = Entry {
            path: target,
            kind: EntryKind::Folder,
            mode: SHARED_FOLDER,
            bytes: b"",
        };
        self.put_archive(id, "/", write_archive(&entry)?).await
    }
}

fn is_about_weight(error: &DockerError) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    WEIGHT_WORDS.iter().any(|words| text.contains(words))
}

fn scratch_body(request: &ScratchRequest, inherited: &[String]) -> ContainerCreateBody {
    let mut labels = blanked(inherited);
    labels.insert("traefik.enable".to_owned(), "false".to_owned());
    let own = request.labels.iter();
    labels.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    let environment = request.env.iter();
    ContainerCreateBody {
        image: Some(request.image_id.as_str().to_owned()),
        user: request.user.clone(),
        entrypoint: Some(request.entrypoint.clone()),
        cmd: Some(request.command.clone()),
        env: Some(
            environment
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        labels: Some(labels),
        healthcheck: Some(no_healthcheck()),
        network_disabled: Some(true),
        host_config: Some(host_config(request)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(request: &ScratchRequest) -> HostConfig {
    let binds = request.binds.iter().map(bind_mount);
    let volumes = request.volumes.iter().map(volume_mount);
    let mut mounts: Vec<Mount> = binds.chain(volumes).collect();
    let mut tmpfs: HashMap<String, String> = HashMap::new();
    match &request.data {
        ScratchData::Tmpfs { target, size } => {
            let options = format!("rw,exec,size={},mode={SHARED_FOLDER:o}", size.0);
            tmpfs.insert(target.to_string_lossy().into_owned(), options);
        }
        ScratchData::Volume { target } => mounts.push(Mount {
            typ: Some(MountType::VOLUME),
            target: Some(target.to_string_lossy().into_owned()),
            ..Mount::default()
        }),
    }
    let memory = request.memory.map(signed);
    HostConfig {
        network_mode: Some("none".to_owned()),
        oom_score_adj: Some(DIES_FIRST),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        mounts: Some(mounts),
        tmpfs: Some(tmpfs),
        shm_size: request.shm_size.map(signed),
        memory,
        memory_swap: memory,
        cpu_shares: request.cpu_shares,
        blkio_weight: request.blkio_weight,
        ..HostConfig::default()
    }
}

/// As a mount, not a bind: a missing source is an error instead of a new folder of root's on the host.
fn bind_mount(bind: &ReadOnlyBind) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.host.to_string_lossy().into_owned()),
        target: Some(bind.target.to_string_lossy().into_owned()),
        read_only: Some(true),
        bind_options: Some(MountBindOptions::default()),
        ..Mount::default()
    }
}

/// Nothing of the image goes into it, not even the mode of a folder.
fn volume_mount(volume: &ReadOnlyVolume) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.name.to_string()),
        target: Some(volume.target.to_string_lossy().into_owned()),
        read_only: Some(true),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

fn signed(size: ByteCount) -> i64 {
    i64::try_from(size.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(data: ScratchData) -> ScratchRequest {
        ScratchRequest {
            name: "proof".to_owned(),
            image_id: ImageId::new("sha256:1"),
            labels: BTreeMap::new(),
            user: None,
            entrypoint: vec!["sleep".to_owned()],
            command: vec!["1".to_owned()],
            env: vec![("PGPASSWORD".to_owned(), "hunter2".to_owned())],
            binds: vec![ReadOnlyBind {
                host: PathBuf::from("/srv/one.dump"),
                target: PathBuf::from("/in/one.dump"),
            }],
            volumes: vec![ReadOnlyVolume {
                name: VolumeName::parse("old_data").unwrap(),
                target: PathBuf::from("/in/volume"),
            }],
            data,
            shm_size: None,
            memory: Some(ByteCount(1_000_000_000)),
            cpu_shares: Some(128),
            blkio_weight: Some(100),
        }
    }

    #[test]
    fn a_scratch_has_no_network_dies_first_and_writes_nothing_of_the_host() {
        let target = PathBuf::from("/scratch");
        let body = scratch_body(&request(ScratchData::Volume { target }), &[]);
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.oom_score_adj, Some(1000));
        assert_eq!(host.memory, host.memory_swap);
        let mounts = host.mounts.unwrap();
        let binds = mounts
            .iter()
            .filter(|mount| mount.typ == Some(MountType::BIND));
        assert!(
            binds.clone().count() == 1 && binds.clone().all(|bind| bind.read_only == Some(true))
        );
        let named = mounts.iter().filter(|mount| mount.source.is_some());
        assert!(named.clone().count() == 2 && named.clone().all(|it| it.read_only == Some(true)));
    }

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let target = PathBuf::from("/scratch");
        let size = ByteCount(1);
        let shown = format!("{:?}", request(ScratchData::Tmpfs { target, size }));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
