//! What a scratch server is to be like: a live server, or one that is gone and was written down in a backup of it.

use crate::docker::DockerError;
use crate::domain::backup::{Likeness, Manifest};
use crate::domain::id::ImageId;
use crate::domain::roster::ServerTarget;
use crate::domain::unit::ByteCount;
use crate::job::server;
use crate::job::verify::VerifyError;
use crate::job::{JobContext, Run};
use crate::postgres::catalog::{self, Recovery, Rights, ServerFacts};

/// What a proof of a server outside the stack is told that has no image.
pub(super) const UNNAMED: &str = "STACKWARDEN_EXTERNAL names none for it; add \"image\": \"postgres:17\", of the major version that its dumps are written by";

/// What is missing for a scratch server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nobody named an image for a server outside the stack.
    Unnamed,
}

/// Whom a scratch server resembles.
#[derive(Debug, Clone, Copy)]
pub(in crate::job::verify) enum Model<'a> {
    /// A server that can be asked.
    Live(&'a ServerTarget),
    /// One that is written down beside a backup of it.
    Recorded(&'a Manifest, &'a Likeness),
}

impl<'a> Model<'a> {
    /// The live server of a backup, else what is written down.
    pub(in crate::job::verify) fn find(
        server: Option<&'a ServerTarget>,
        manifest: &'a Manifest,
    ) -> Option<Self> {
        let recorded = manifest.likeness.as_ref();
        let recorded = recorded.map(|likeness| Self::Recorded(manifest, likeness));
        server.map(Self::Live).or(recorded)
    }

    /// Looks for the image of a server outside the stack: nothing is pulled behind anybody's back.
    pub(super) async fn find_gap(self, context: &JobContext) -> Result<Option<Gap>, VerifyError> {
        let Self::Live(server) = self else {
            return Ok(None);
        };
        let Some(outside) = &server.server.outside else {
            return Ok(None);
        };
        let Some(image) = &outside.image else {
            return Ok(Some(Gap::Unnamed));
        };
        match context.docker.image_content(&server.image_id).await {
            Ok(_) => Ok(None),
            Err(DockerError::NotFound { .. }) => Err(VerifyError::ImageAbsent {
                image: image.clone(),
            }),
            Err(error) => Err(VerifyError::Docker(error)),
        }
    }

    /// What is known of it.
    pub(super) async fn facts(
        self,
        context: &JobContext,
        run: &Run,
    ) -> Result<ServerFacts, VerifyError> {
        match self {
            Self::Live(server) => {
                let mut connected = server::connect_maintenance(context, run, server).await?;
                let facts = catalog::server_facts(&mut connected.session).await;
                let facts = facts.map_err(|source| connected.error(source))?;
                Ok(in_version_of_programs(server, facts))
            }
            Self::Recorded(manifest, likeness) => Ok(recorded(manifest, likeness)),
        }
    }

    /// Size of its `/dev/shm`, where it is another than Docker's own.
    pub(super) async fn shm_size(
        self,
        context: &JobContext,
    ) -> Result<Option<ByteCount>, VerifyError> {
        let Self::Live(server) = self else {
            return Ok(None);
        };
        if server.server.outside.is_some() {
            return Ok(None);
        }
        let live = context.docker.server_container(&server.container).await;
        Ok(live.map_err(VerifyError::Docker)?.shm_size)
    }

    /// The image that was dumped from, while the host still has it; else the live server's, or the one of the same name.
    pub(super) async fn image(
        self,
        context: &JobContext,
        dumped: Option<ImageId>,
    ) -> Result<ImageId, VerifyError> {
        // What was dumped from outside came from our own image, which holds no server.
        if let Self::Live(server) = self
            && server.server.outside.is_some()
        {
            return Ok(server.image_id.clone());
        }
        if let Some(dumped) = dumped
            && context.docker.image_content(&dumped).await.is_ok()
        {
            return Ok(dumped);
        }
        let manifest = match self {
            Self::Live(server) => return Ok(server.image_id.clone()),
            Self::Recorded(manifest, _) => manifest,
        };
        let image = &manifest.origin.image;
        let found = context.docker.find_image(image).await;
        let found = found.map_err(VerifyError::Docker)?;
        found.ok_or_else(|| VerifyError::NoImage {
            image: image.clone(),
        })
    }
}

/// What was dumped by the programs of a major version is restored by no older ones, whatever the server outside is.
fn in_version_of_programs(server: &ServerTarget, facts: ServerFacts) -> ServerFacts {
    let Some(outside) = &server.server.outside else {
        return facts;
    };
    let major = outside.clients.find_for(facts.major());
    let version_number = major.map_or(facts.version_number, |major| major * 10_000);
    ServerFacts {
        version_number,
        ..facts
    }
}

fn recorded(manifest: &Manifest, likeness: &Likeness) -> ServerFacts {
    let origin = &manifest.origin;
    ServerFacts {
        system_identifier: origin.system_identifier.clone(),
        version_number: origin.server_version_number,
        version: origin.server_version.clone(),
        bootstrap_user: likeness.bootstrap_user.clone(),
        current_user: likeness.bootstrap_user.clone(),
        rights: Rights::Superuser,
        recovery: Recovery::Primary,
        carried_settings: likeness.settings.clone(),
        encoding: likeness.encoding.clone(),
        lock_table_size: likeness.lock_table_size,
    }
}
