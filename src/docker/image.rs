//! What makes two images the same: their layers and their configuration, never their ids.

use bollard::models::ImageConfig;
use sha2::{Digest as _, Sha256};

use super::error::found;
use super::{Docker, DockerError, SHORT};
use crate::domain::id::ImageId;

/// The content of an image, equal for two builds of the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageContent {
    /// `RootFS.Layers`, in order.
    pub layers: Vec<String>,
    /// SHA-256 of the canonical text of `Config`; hashed because images carry environments.
    pub configuration: String,
}

impl Docker {
    /// Reads what an image holds.
    ///
    /// # Errors
    /// When the image is gone ([`DockerError::NotFound`]) or the engine gives no answer.
    pub async fn image_content(&self, image: &ImageId) -> Result<ImageContent, DockerError> {
        let client = self.client()?;
        let call = client.inspect_image(image.as_str());
        let answer = self.bounded("inspect an image", SHORT, call).await?;
        let unreadable = DockerError::Unreadable {
            operation: "inspect an image",
        };
        let layers = answer.root_fs.and_then(|root| root.layers);
        let configuration = canonical_hash(answer.config.unwrap_or_default());
        configuration
            .map(|configuration| ImageContent {
                layers: layers.unwrap_or_default(),
                configuration,
            })
            .ok_or(unreadable)
    }

    /// The id of an image of this host, by its name or its id; `None` when it is not here.
    ///
    /// # Errors
    /// As every call.
    pub async fn find_image(&self, name: &str) -> Result<Option<ImageId>, DockerError> {
        let client = self.client()?;
        let call = client.inspect_image(name);
        let answer = found(self.bounded("inspect an image", SHORT, call).await)?;
        Ok(answer.and_then(|image| image.id).map(ImageId::new))
    }

    /// Labels that a container of this image would inherit and that would make Compose or us mistake it for a
    /// service: Compose writes its own into every image it builds. An empty value of our own overrides them.
    pub(super) async fn inherited_identity(&self, image: &str) -> Result<Vec<String>, DockerError> {
        let client = self.client()?;
        let call = client.inspect_image(image);
        let answer = self.bounded("inspect an image", SHORT, call).await?;
        let labels = answer.config.and_then(|config| config.labels);
        Ok(labels
            .unwrap_or_default()
            .into_keys()
            .filter(|name| is_identity(name))
            .collect())
    }
}

fn is_identity(label: &str) -> bool {
    label.starts_with("com.docker.compose.") || label.starts_with("stackwarden.")
}

fn canonical_hash(mut config: ImageConfig) -> Option<String> {
    if let Some(labels) = &mut config.labels {
        labels.retain(|name, _value| !name.starts_with("com.docker.compose."));
    }
    let mut value = serde_json::to_value(config).ok()?;
    value.sort_all_objects();
    let digest = Sha256::digest(value.to_string().as_bytes());
    let bytes = digest.iter();
    Some(bytes.fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn config(env: &str, compose_version: &str) -> ImageConfig {
        let labels = [
            ("com.docker.compose.version", compose_version),
            ("a", "1"),
            ("b", "2"),
        ];
        ImageConfig {
            env: Some(vec![env.to_owned()]),
            volumes: Some(vec!["/x".to_owned(), "/y".to_owned()]),
            labels: Some(HashMap::from(
                labels.map(|(name, value)| (name.to_owned(), value.to_owned())),
            )),
            ..ImageConfig::default()
        }
    }

    #[test]
    fn the_hash_is_stable_and_blind_to_composes_own_labels() {
        let mut swapped = config("A=1", "2.40");
        swapped.volumes = Some(vec!["/y".to_owned(), "/x".to_owned()]);
        assert_eq!(
            canonical_hash(config("A=1", "2.26")),
            canonical_hash(swapped)
        );
    }

    #[test]
    fn another_environment_is_another_image() {
        assert_ne!(
            canonical_hash(config("A=1", "")),
            canonical_hash(config("A=2", ""))
        );
    }
}
