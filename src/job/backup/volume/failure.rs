//! Why nothing of a volume was backed up. Whatever it is, the volume is as it was.

use thiserror::Error;

use crate::docker::DockerError;
use crate::domain::volume::{ImageName, Unfit, VolumeName};

/// Why no server of a volume's data could be backed up.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// There is no such volume.
    #[error(
        "there is no volume {volume} on this host; `docker volume ls` lists all, and Compose calls one PROJECT_VOLUME unless its file gives it a name"
    )]
    NoVolume {
        /// Which.
        volume: VolumeName,
    },
    /// The image is not here.
    #[error("image {image} is not on this host; get it: docker pull {image}")]
    NoImage {
        /// Which.
        image: ImageName,
    },
    /// Its server may be running.
    #[error(
        "volume {volume} is used by {}, so what is copied might not hold together; stop it first: docker stop {}",
        .containers.join(" and "), .containers.join(" ")
    )]
    InUse {
        /// Which.
        volume: VolumeName,
        /// The containers.
        containers: Vec<String>,
    },
    /// What is in it cannot be started here.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A program in the throw-away container.
    #[error("volume {volume} could not be {operation}: {said}")]
    Program {
        /// Which.
        volume: VolumeName,
        /// What was not done.
        operation: &'static str,
        /// What the program said.
        said: String,
    },
    /// Its server does not start.
    #[error("no server of {image} starts on a copy of volume {volume}; the end of its log: {said}")]
    NotStarted {
        /// The volume.
        volume: VolumeName,
        /// The image.
        image: ImageName,
        /// The log's last lines.
        said: String,
    },
    /// Its databases cannot be listed.
    #[error("the server on the copy does not tell its databases: {said}")]
    Unlisted {
        /// What was said.
        said: String,
    },
    /// There is no database.
    #[error(
        "volume {volume} holds no database but an empty postgres, so there is nothing to back up"
    )]
    Nothing {
        /// Which.
        volume: VolumeName,
    },
    /// Docker.
    #[error("use the throw-away server")]
    Docker(#[from] DockerError),
    /// We were told to stop.
    #[error("told to stop")]
    Cancelled,
}

impl From<crate::job::Stopped> for VolumeError {
    fn from(_stopped: crate::job::Stopped) -> Self {
        Self::Cancelled
    }
}
