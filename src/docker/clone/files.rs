//! Secrets and configs that Compose copied into the app's container (`content:`, `environment:`), which no mount
//! carries over.
//!
//! In a container that was never started every changed file was put there by Compose. In one that has run they are
//! told from the app's own files by their time: tar streams carry whole seconds. Compose puts them in at creation
//! (2.26) or only just before the start (2.40): there a container that waits for the gate has none to copy.

use bollard::container::PathStatResponse;
use bollard::models::{ChangeType, ContainerInspectResponse, FilesystemChange};
use chrono::DateTime;

use super::super::archive::{Entry, EntryKind, write_archive};
use super::super::fleet::state_from;
use super::super::{Docker, DockerError, LONG};
use crate::domain::fleet::ContainerState;
use crate::domain::id::ContainerId;

const SECRETS: &str = "/run/secrets";
/// A container with more changed files than this keeps data of its own in its layer.
const MOST_FILES: usize = 64;
const CLOCK_SLACK_SECONDS: i64 = 2;
/// Bits of Go's file mode that make a path anything but a regular file.
const NOT_REGULAR: u32 = 0x8F28_0000;

impl Docker {
    pub(super) async fn copy_injected_files(
        &self,
        source: &ContainerInspectResponse,
        source_id: &ContainerId,
        clone: &ContainerId,
    ) -> Result<(), DockerError> {
        for path in self.injected_paths(source, source_id).await? {
            if let Some(archive) = self.take_archive(source_id, &path).await? {
                let folder = parent_of(&path);
                self.make_folder(clone, folder).await?;
                self.put_archive(clone, folder, archive).await?;
            }
        }
        Ok(())
    }

    async fn injected_paths(
        &self,
        source: &ContainerInspectResponse,
        id: &ContainerId,
    ) -> Result<Vec<String>, DockerError> {
        let targets = mount_targets(source);
        let leaves = changed_leaves(self.changes(id).await?, &targets);
        if !leaves.is_empty() && leaves.len() <= MOST_FILES {
            let mut injected: Vec<String> = Vec::new();
            for path in leaves {
                let stat = self.stat(id, &path).await?;
                if stat.is_some_and(|stat| is_injected(&stat, source)) {
                    injected.push(path);
                }
            }
            return Ok(injected);
        }
        let mounted = targets.iter().any(|target| is_within(target, SECRETS));
        if mounted || self.stat(id, SECRETS).await?.is_none() {
            Ok(Vec::new())
        } else {
            Ok(vec![SECRETS.to_owned()])
        }
    }

    /// Empty when a socket proxy keeps the list from us. Some storage drivers walk the whole image for it.
    async fn changes(&self, id: &ContainerId) -> Result<Vec<FilesystemChange>, DockerError> {
        let client = self.client()?;
        let call = client.container_changes(id.as_str());
        match self
            .bounded("list a container's changed files", LONG, call)
            .await
        {
            Ok(changes) => Ok(changes.unwrap_or_default()),
            Err(DockerError::Forbidden { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn make_folder(&self, id: &ContainerId, folder: &str) -> Result<(), DockerError> {
        if folder == "/" || self.stat(id, folder).await?.is_some() {
            return Ok(());
        }
        let entry = Entry {
            path: folder.as_ref(),
            kind: EntryKind::Folder,
            mode: 0o755,
            bytes: b"",
        };
        self.put_archive(id, "/", write_archive(&entry)?).await
    }
}

fn parent_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((parent, _name)) if !parent.is_empty() => parent,
        _ => "/",
    }
}

/// Changed paths that hold no other changed path and no mount of their own.
fn changed_leaves(changes: Vec<FilesystemChange>, targets: &[String]) -> Vec<String> {
    let present = changes
        .into_iter()
        .filter(|change| change.kind != ChangeType::_2);
    let paths: Vec<String> = present.map(|change| change.path).collect();
    let is_folder = |path: &String| {
        paths
            .iter()
            .any(|other| other != path && is_within(other, path))
    };
    let touches_mount = |path: &String| {
        let mut each = targets.iter();
        each.any(|target| is_within(path, target) || is_within(target, path))
    };
    paths
        .iter()
        .filter(|path| !is_folder(path) && !touches_mount(path))
        .cloned()
        .collect()
}

fn is_injected(stat: &PathStatResponse, source: &ContainerInspectResponse) -> bool {
    let regular = stat.file_mode & NOT_REGULAR == 0;
    let state = source.state.as_ref().map(state_from);
    if state == Some(ContainerState::Created) {
        return regular;
    }
    let parse = |text: &Option<String>| DateTime::parse_from_rfc3339(text.as_deref()?).ok();
    let (Some(created), Some(changed)) = (parse(&source.created), parse(&stat.modification_time))
    else {
        return false;
    };
    regular
        && changed.timestamp_subsec_nanos() == 0
        && changed.timestamp() + CLOCK_SLACK_SECONDS >= created.timestamp()
}

fn is_within(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn mount_targets(source: &ContainerInspectResponse) -> Vec<String> {
    let mounts = source.mounts.iter().flatten();
    let mounted = mounts.filter_map(|mount| mount.destination.clone());
    let host = source.host_config.as_ref();
    let tmpfs = host.and_then(|host| host.tmpfs.as_ref());
    let in_memory = tmpfs.into_iter().flat_map(|tmpfs| tmpfs.keys().cloned());
    mounted.chain(in_memory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, kind: ChangeType) -> FilesystemChange {
        FilesystemChange {
            path: path.to_owned(),
            kind,
        }
    }

    #[test]
    fn only_present_leaves_outside_mounts_are_copied() {
        let changes = vec![
            change("/run", ChangeType::_0),
            change("/run/secrets", ChangeType::_1),
            change("/run/secrets/api_key", ChangeType::_1),
            change("/app.conf", ChangeType::_1),
            change("/gone", ChangeType::_2),
            change("/data", ChangeType::_1),
            change("/data/x", ChangeType::_1),
        ];
        let leaves = changed_leaves(changes, &["/data".to_owned()]);
        assert_eq!(leaves, ["/run/secrets/api_key", "/app.conf"]);
    }

    #[test]
    fn in_a_container_that_ran_only_files_of_whole_seconds_are_composes() {
        use bollard::models::{ContainerState as EngineState, ContainerStateStatusEnum as Status};
        let state = |status| EngineState {
            status: Some(status),
            ..EngineState::default()
        };
        let mut source = ContainerInspectResponse {
            created: Some("2026-11-21T14:59:25.338457002Z".to_owned()),
            state: Some(state(Status::RUNNING)),
            ..ContainerInspectResponse::default()
        };
        let mut stat = PathStatResponse {
            name: "key".to_owned(),
            size: 1,
            file_mode: 0o400,
            modification_time: Some("2026-11-21T14:59:32Z".to_owned()),
            link_target: String::new(),
        };
        assert!(is_injected(&stat, &source));
        stat.modification_time = Some("2026-11-21T14:59:32.5Z".to_owned());
        assert!(!is_injected(&stat, &source));
        source.state = Some(state(Status::CREATED));
        assert!(is_injected(&stat, &source));
        stat.file_mode |= 1 << 31;
        assert!(!is_injected(&stat, &source));
    }

    #[test]
    fn neighbours_with_a_common_prefix_are_not_within() {
        assert!(is_within("/run/secrets/a", "/run/secrets"));
        assert!(is_within("/run/secrets", "/run/secrets/"));
        assert!(!is_within("/run/secrets2", "/run/secrets"));
        assert_eq!((parent_of("/a"), parent_of("/a/b")), ("/", "/a"));
    }
}
