//! Volumes of the host: whether one is there, and who uses it.

use std::collections::HashMap;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::error::found;
use super::{Docker, DockerError, SHORT};
use crate::domain::volume::VolumeName;

/// The states in which a container's programs may write.
const ALIVE: [&str; 3] = ["running", "paused", "restarting"];

impl Docker {
    /// Whether a volume of this name is there.
    ///
    /// # Errors
    /// As every call.
    pub async fn has_volume(&self, volume: &VolumeName) -> Result<bool, DockerError> {
        let client = self.client()?;
        let call = client.inspect_volume(volume.as_str());
        let answer = self.bounded("inspect a volume", SHORT, call).await;
        Ok(found(answer)?.is_some())
    }

    /// The names of the containers of the whole host that have this volume mounted for writing and live.
    ///
    /// # Errors
    /// As every call.
    pub async fn find_writers(&self, volume: &VolumeName) -> Result<Vec<String>, DockerError> {
        let filters = HashMap::from([
            ("volume".to_owned(), vec![volume.to_string()]),
            ("status".to_owned(), ALIVE.map(str::to_owned).to_vec()),
        ]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let client = self.client()?;
        let call = client.list_containers(Some(options));
        let listed = self.bounded("list containers", SHORT, call).await?;
        // The engine's filter takes a path in a container for a name too.
        let writes = |it: &ContainerSummary| {
            let mut mounts = it.mounts.iter().flatten();
            mounts.any(|mount| {
                mount.typ.as_deref() == Some("volume")
                    && mount.name.as_deref() == Some(volume.as_str())
                    && mount.rw != Some(false)
            })
        };
        let found = listed.into_iter().filter(writes);
        let names = found.filter_map(|it| it.names?.into_iter().next());
        Ok(names
            .map(|name| name.trim_start_matches('/').to_owned())
            .collect())
    }
}
