//! The container we run in, found without help from hostname or cgroup.
//!
//! Docker bind-mounts `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of each container from its own folder
//! `containers/<id>`, which shows in `/proc/self/mountinfo` under both cgroup versions.

use std::path::{Component, Path, PathBuf};

use bollard::models::ContainerInspectResponse;

use super::error::found;
use super::{Docker, DockerError, SHORT};
use crate::domain::id::{ContainerId, ImageId, ProjectName, ServiceName};

const MOUNTINFO: &str = "/proc/self/mountinfo";
const ID_LENGTH: usize = 64;
const MANAGED_FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// A folder or file of the host inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Path inside the container.
    pub target: PathBuf,
    /// Path on the host; for a volume its folder. Empty for a tmpfs.
    pub source: PathBuf,
}

/// Our own container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnContainer {
    /// Its id.
    pub id: ContainerId,
    /// The Compose project, when Compose made it.
    pub project: Option<ProjectName>,
    /// The Compose service, when Compose made it.
    pub service: Option<ServiceName>,
    /// The image it runs.
    pub image_id: ImageId,
    /// What of the host it sees.
    pub mounts: Vec<MountPoint>,
}

impl OwnContainer {
    /// The host's name of an absolute path inside our container; `None` when no mount of the host holds it.
    pub fn host_path(&self, path: &Path) -> Option<PathBuf> {
        let plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || !path.is_absolute() {
            return None;
        }
        let mount = self
            .mounts
            .iter()
            .filter(|mount| path.starts_with(&mount.target))
            .max_by_key(|mount| mount.target.components().count())?;
        let rest = path.strip_prefix(&mount.target).ok()?;
        if mount.source.as_os_str().is_empty() {
            None
        } else if rest.as_os_str().is_empty() {
            Some(mount.source.clone())
        } else {
            Some(mount.source.join(rest))
        }
    }
}

impl OwnContainer {
    /// The path inside our container of a path of the host that a mount of ours holds.
    pub fn own_path(&self, host: &Path) -> Option<PathBuf> {
        let mounts = self.mounts.iter();
        let mount = mounts
            .filter(|mount| !mount.source.as_os_str().is_empty() && host.starts_with(&mount.source))
            .max_by_key(|mount| mount.source.components().count())?;
        let rest = host.strip_prefix(&mount.source).ok()?;
        Some(mount.target.join(rest))
    }
}

impl Docker {
    /// Finds the container this process runs in; `None` outside a container or when the engine is another host's.
    ///
    /// # Errors
    /// When `/proc` or the engine gives no answer.
    pub async fn find_own(&self) -> Result<Option<OwnContainer>, DockerError> {
        let text = tokio::fs::read_to_string(MOUNTINFO)
            .await
            .map_err(|source| DockerError::OwnUnreadable {
                path: MOUNTINFO,
                source,
            })?;
        let Some(id) = find_container_id(&text) else {
            return Ok(None);
        };
        let client = self.client()?;
        let call = client.inspect_container(id.as_str(), None);
        let answer = found(self.bounded("inspect the own container", SHORT, call).await)?;
        Ok(answer.map(|container| own_from(id, container)))
    }
}

fn own_from(id: ContainerId, container: ContainerInspectResponse) -> OwnContainer {
    let mounts = mount_points(&container);
    let labels = container
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    let find = |name: &str| labels.get(name).filter(|value| !value.is_empty());
    OwnContainer {
        id,
        project: find("com.docker.compose.project").map(ProjectName::new),
        service: find("com.docker.compose.service").map(ServiceName::new),
        image_id: ImageId::new(container.image.unwrap_or_default()),
        mounts,
    }
}

/// The mounts of an inspected container.
pub(super) fn mount_points(container: &ContainerInspectResponse) -> Vec<MountPoint> {
    let mounts = container.mounts.iter().flatten();
    mounts
        .filter_map(|mount| {
            Some(MountPoint {
                target: PathBuf::from(mount.destination.as_deref()?),
                source: PathBuf::from(mount.source.as_deref().unwrap_or_default()),
            })
        })
        .collect()
}

/// Reads the id out of `/proc/self/mountinfo`: first from the files Docker manages, else from any mount when all
/// agree, since a log collector may see the folders of every container.
fn find_container_id(mountinfo: &str) -> Option<ContainerId> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        Some((fields.next()?, fields.next()?))
    });
    let ids: Vec<(&str, &str)> = mounts
        .filter_map(|(root, target)| Some((find_id_in(root)?, target)))
        .collect();
    let managed = ids
        .iter()
        .find(|(_id, target)| MANAGED_FILES.contains(target));
    if let Some((id, _target)) = managed {
        return Some(ContainerId::new(*id));
    }
    let (first, _target) = ids.first()?;
    ids.iter()
        .all(|(id, _target)| id == first)
        .then(|| ContainerId::new(*first))
}

fn find_id_in(root: &str) -> Option<&str> {
    let mut segments = root.split('/');
    while let Some(segment) = segments.next() {
        if segment.ends_with("containers") {
            let next = segments.clone().next()?;
            if is_id(next) {
                return Some(next);
            }
        }
    }
    None
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "d2f1c0de00000000000000000000000000000000000000000000000000000001";
    const OTHER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn line(root: &str, target: &str) -> String {
        format!("1 2 8:1 {root} {target} rw,relatime - ext4 /dev/sda1 rw\n")
    }

    fn found_in(text: &str) -> Option<String> {
        find_container_id(text).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn the_id_is_found_under_cgroup_v1() {
        let text = format!(
            "{}{}{}",
            line(&format!("/docker/{OTHER}"), "/sys/fs/cgroup/memory"),
            line(
                &format!("/var/lib/docker/containers/{OWN}/resolv.conf"),
                "/etc/resolv.conf"
            ),
            line(
                &format!("/var/lib/docker/containers/{OWN}/hostname"),
                "/etc/hostname"
            ),
        );
        assert_eq!(found_in(&text).as_deref(), Some(OWN));
    }

    #[test]
    fn the_id_is_found_under_cgroup_v2_where_the_cgroup_root_is_bare() {
        let text = format!(
            "{}{}",
            line("/", "/sys/fs/cgroup"),
            line(&format!("/lib/docker/containers/{OWN}/hosts"), "/etc/hosts"),
        );
        assert_eq!(found_in(&text).as_deref(), Some(OWN));
    }

    #[test]
    fn rootless_and_podman_roots_are_known() {
        for root in [
            format!("/home/me/.local/share/docker/containers/{OWN}/hostname"),
            format!("/containers/storage/overlay-containers/{OWN}/userdata/hostname"),
            format!("/data/containers/docker/containers/{OWN}/hostname"),
        ] {
            assert_eq!(
                found_in(&line(&root, "/etc/hostname")).as_deref(),
                Some(OWN),
                "{root}"
            );
        }
    }

    #[test]
    fn folders_of_other_containers_do_not_mislead() {
        let foreign = line(
            &format!("/var/lib/docker/containers/{OTHER}/mounts"),
            "/logs/a",
        );
        let own = line(
            &format!("/var/lib/docker/containers/{OWN}/hosts"),
            "/etc/hosts",
        );
        assert_eq!(found_in(&format!("{foreign}{own}")).as_deref(), Some(OWN));
        let second = line(
            &format!("/var/lib/docker/containers/{OWN}/mounts"),
            "/logs/b",
        );
        assert_eq!(found_in(&format!("{foreign}{second}")), None);
    }

    #[test]
    fn outside_a_container_there_is_none() {
        let text = line("/", "/") + &line("/containers/short", "/x") + "garbage\n\n";
        assert_eq!(found_in(&text), None);
    }

    #[test]
    fn paths_map_to_the_host_by_their_longest_mount() {
        let mount = |target: &str, source: &str| MountPoint {
            target: PathBuf::from(target),
            source: PathBuf::from(source),
        };
        let own = OwnContainer {
            id: ContainerId::new(OWN),
            project: None,
            service: None,
            image_id: ImageId::new("sha256:0"),
            mounts: vec![
                mount("/backups", "/srv/app/backups"),
                mount("/backups/cold", "/mnt/cold"),
                mount("/backups/tmp", ""),
            ],
        };
        let host = |path: &str| own.host_path(Path::new(path));
        assert_eq!(
            host("/backups/a/b.dump"),
            Some(PathBuf::from("/srv/app/backups/a/b.dump"))
        );
        assert_eq!(host("/backups"), Some(PathBuf::from("/srv/app/backups")));
        assert_eq!(host("/backups/cold/x"), Some(PathBuf::from("/mnt/cold/x")));
        assert_eq!(host("/backups/tmp/x"), None);
        assert_eq!(host("/backups2/x"), None);
        assert_eq!(host("/backups/../etc/passwd"), None);
        assert_eq!(host("backups/x"), None);
        let back = |path: &str| own.own_path(Path::new(path));
        assert_eq!(
            back("/srv/app/backups/a.dump"),
            Some(PathBuf::from("/backups/a.dump"))
        );
        assert_eq!(back("/srv/app/other"), None);
    }
}
