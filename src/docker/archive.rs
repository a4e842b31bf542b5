//! Files put into and taken out of containers, as the tar streams of the archive endpoints.

use std::path::Path;

use bollard::container::PathStatResponse;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::error::found;
use super::{Docker, DockerError, LONG, SHORT};
use crate::domain::id::ContainerId;

const BLOCK: usize = 512;
const NAME_FIELD: usize = 100;
const PREFIX_FIELD: usize = 155;
/// What is taken out of a container is small; a file beyond this is no secret and no configuration.
const LARGEST_TAKEN: usize = 16 * 1024 * 1024;

/// What a tar entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "one entry of a folder is all that is put today")
    )]
    File,
    Folder,
}

/// One entry of an archive that is put at the root of a container, owned by root.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) path: &'a Path,
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) bytes: &'a [u8],
}

impl Docker {
    pub(super) async fn put_archive(
        &self,
        id: &ContainerId,
        folder: &str,
        archive: Vec<u8>,
    ) -> Result<(), DockerError> {
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        let client = self.client()?;
        let body = bollard::body_full(Bytes::from(archive));
        let call = client.upload_to_container(id.as_str(), Some(options), body);
        self.bounded("put a file into a container", LONG, call)
            .await
    }

    /// The tar stream of a small file or folder of a container; `None` when it is not there or too large.
    pub(super) async fn take_archive(
        &self,
        id: &ContainerId,
        path: &str,
    ) -> Result<Option<Vec<u8>>, DockerError> {
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let client = self.client()?;
        let mut chunks = client
            .download_from_container(id.as_str(), Some(options))
            .boxed();
        let call = async {
            let mut archive: Vec<u8> = Vec::new();
            while let Some(chunk) = chunks.next().await {
                archive.extend_from_slice(&chunk?);
                if archive.len() > LARGEST_TAKEN {
                    return Ok(None);
                }
            }
            Ok(Some(archive))
        };
        let answer = self
            .bounded("take a file out of a container", LONG, call)
            .await;
        Ok(found(answer)?.flatten())
    }

    /// What a path of a container is; `None` when it is not there.
    pub(super) async fn stat(
        &self,
        id: &ContainerId,
        path: &str,
    ) -> Result<Option<PathStatResponse>, DockerError> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        let client = self.client()?;
        let call = client.get_container_archive_info(id.as_str(), Some(options));
        found(
            self.bounded("look at a file of a container", SHORT, call)
                .await,
        )
    }
}

/// Writes a ustar archive of one entry.
pub(super) fn write_archive(entry: &Entry<'_>) -> Result<Vec<u8>, DockerError> {
    let unusable = || DockerError::PathUnusable {
        path: entry.path.to_owned(),
    };
    let path = entry.path.to_str().ok_or_else(unusable)?;
    let relative = path.strip_prefix('/').ok_or_else(unusable)?;
    let (prefix, name) = split_name(relative).ok_or_else(unusable)?;
    let blank = header(entry, (prefix, name), "        ");
    let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
    let mut archive = header(entry, (prefix, name), &format!("{sum:06o}\0 "));
    archive.extend_from_slice(entry.bytes);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    Ok(archive)
}

/// Splits a long path at a slash so that both halves fit their fields.
fn split_name(path: &str) -> Option<(&str, &str)> {
    if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    if path.len() <= NAME_FIELD {
        return Some(("", path));
    }
    let splits = path.match_indices('/').filter_map(|(at, _slash)| {
        let (prefix, rest) = path.split_at(at);
        Some((prefix, rest.strip_prefix('/')?))
    });
    splits
        .rev()
        .find(|(prefix, name)| prefix.len() <= PREFIX_FIELD && name.len() <= NAME_FIELD)
}

fn header(entry: &Entry<'_>, (prefix, name): (&str, &str), checksum: &str) -> Vec<u8> {
    let kind = match entry.kind {
        EntryKind::File => "0",
        EntryKind::Folder => "5",
    };
    let mut block: Vec<u8> = Vec::with_capacity(BLOCK);
    let mut field = |text: &str, width: usize| {
        let end = block.len() + width;
        block.extend_from_slice(text.as_bytes());
        block.resize(end, 0);
    };
    field(name, NAME_FIELD);
    field(&format!("{:07o}", entry.mode & 0o7777), 8);
    field("0000000", 8);
    field("0000000", 8);
    field(&format!("{:011o}", entry.bytes.len()), 12);
    field("00000000000", 12);
    field(checksum, 8);
    field(kind, 1);
    field("", 100);
    field("ustar\u{0}00", 8);
    field("root", 32);
    field("root", 32);
    field("0000000", 8);
    field("0000000", 8);
    field(prefix, PREFIX_FIELD);
    field("", 12);
    block
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn listed(path: &str, mode: u32, bytes: &[u8]) -> String {
        let entry = Entry {
            path: Path::new(path),
            kind: EntryKind::File,
            mode,
            bytes,
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("one.tar");
        std::fs::write(&file, write_archive(&entry).unwrap()).unwrap();
        let run = Command::new("tar").arg("-tvf").arg(&file).output().unwrap();
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        String::from_utf8(run.stdout).unwrap()
    }

    #[test]
    fn tar_reads_our_archive() {
        let line = listed("/opt/run.sh", 0o755, &[b'x'; 700]);
        assert!(line.starts_with("-rwxr-xr-x root/root"), "{line}");
        assert!(
            line.contains(" 700 ") && line.trim_end().ends_with("opt/run.sh"),
            "{line}"
        );
    }

    #[test]
    fn tar_reads_a_long_path() {
        let path = format!("/{}/{}", "p".repeat(150), "n".repeat(99));
        assert!(
            listed(&path, 0o600, b"")
                .trim_end()
                .ends_with(path.trim_start_matches('/'))
        );
    }

    #[test]
    fn paths_that_do_not_fit_or_climb_are_refused() {
        let long = format!("/{}", "n".repeat(101));
        for path in ["relative", "/", "/a/../b", "//a", "/a/", long.as_str()] {
            let entry = Entry {
                path: Path::new(path),
                kind: EntryKind::File,
                mode: 0o600,
                bytes: b"",
            };
            assert!(write_archive(&entry).is_err(), "{path}");
        }
    }
}
