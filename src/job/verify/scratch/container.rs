//! The container of a scratch server: what is asked of the engine, and its one place on the host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::place::Place;
use super::{ARCHIVE, Material};
use crate::docker::{DockerError, ReadOnlyBind, ScratchRequest};
use crate::domain::id::{ContainerId, ImageId};
use crate::domain::roster::ServerTarget;
use crate::job::verify::VerifyError;
use crate::job::{JobContext, MAKER_LABEL, OWNED_LABEL, Run, SCRATCH_NAME, tidy};
use crate::postgres::scratch::ScratchPlan;

/// How long another stack's proof is waited for.
const HOST_PATIENCE: Duration = Duration::from_hours(2);
/// How often it is looked for.
const HOST_PAUSE: Duration = Duration::from_millis(500);

/// What the engine is asked for.
pub(super) async fn request(
    context: &JobContext,
    server: &ServerTarget,
    plan: &ScratchPlan,
    material: Material,
    place: Place,
) -> Result<ScratchRequest, VerifyError> {
    let shm_size = if server.server.outside.is_some() {
        None
    } else {
        let live = context.docker.server_container(&server.container).await;
        live.map_err(VerifyError::Docker)?.shm_size
    };
    let start = plan.start_command();
    let mut command = start.argv.into_iter();
    let maker = context
        .own
        .as_ref()
        .map(|own| own.id.to_string())
        .unwrap_or_default();
    let binds = material.host_file.into_iter().map(|host| ReadOnlyBind {
        host,
        target: PathBuf::from(ARCHIVE),
    });
    Ok(ScratchRequest {
        name: SCRATCH_NAME.to_owned(),
        image_id: image_of(context, server, material.image).await,
        labels: BTreeMap::from([
            (OWNED_LABEL.to_owned(), context.project.to_string()),
            (MAKER_LABEL.to_owned(), maker),
        ]),
        user: Some("0".to_owned()),
        entrypoint: command.next().into_iter().collect(),
        command: command.collect(),
        env: start.env,
        binds: binds.collect(),
        data: place.data(context.limits.proof_memory),
        shm_size,
        memory: Some(context.limits.proof_memory),
        cpu_shares: Some(128),
        blkio_weight: Some(50),
    })
}

/// What a proof of a server outside the stack is told that has no image.
pub(super) const UNNAMED: &str = "STACKWARDEN_EXTERNAL names none for it; add \"image\": \"postgres:17\", of the major version that its dumps are written by";

/// The image in which a server outside the stack is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutsideImage {
    /// The server is the stack's own, or its image is here.
    Present,
    /// Nobody named one.
    Unnamed,
}

/// Looks for the image of a server outside the stack: nothing is pulled behind anybody's back.
pub(super) async fn find_outside_image(
    context: &JobContext,
    server: &ServerTarget,
) -> Result<OutsideImage, VerifyError> {
    let Some(outside) = &server.server.outside else {
        return Ok(OutsideImage::Present);
    };
    let Some(image) = &outside.image else {
        return Ok(OutsideImage::Unnamed);
    };
    match context.docker.image_content(&server.image_id).await {
        Ok(_) => Ok(OutsideImage::Present),
        Err(DockerError::NotFound { .. }) => Err(VerifyError::ImageAbsent {
            image: image.clone(),
        }),
        Err(error) => Err(VerifyError::Docker(error)),
    }
}

/// The image that was dumped from, while the host still has it; else the live server's.
async fn image_of(context: &JobContext, server: &ServerTarget, dumped: Option<ImageId>) -> ImageId {
    let (Some(dumped), None) = (dumped, &server.server.outside) else {
        return server.image_id.clone();
    };
    match context.docker.image_content(&dumped).await {
        Ok(_) => dumped,
        Err(_gone) => server.image_id.clone(),
    }
}

/// Creates the container under the host's one name, waiting for the proof of another stack.
pub(super) async fn create(
    context: &JobContext,
    run: &Run,
    request: ScratchRequest,
) -> Result<ContainerId, VerifyError> {
    let begun = Instant::now();
    loop {
        match context.docker.create_scratch(request.clone()).await {
            Ok(container) => return Ok(container),
            Err(DockerError::NameTaken { .. }) => {}
            Err(error) => return Err(VerifyError::Docker(error)),
        }
        // The scratch of a maker that is gone, or of ourselves before: only one of us proves at a time.
        tidy::scratch(context).await.map_err(VerifyError::Docker)?;
        let waited = begun.elapsed();
        if waited > HOST_PATIENCE {
            return Err(VerifyError::HostBusy { waited });
        }
        // Between two tries, never within one: what the engine was asked to create has to be known to be removed.
        tokio::select! {
            () = tokio::time::sleep(HOST_PAUSE) => {}
            () = run.stop.cancelled() => return Err(VerifyError::Cancelled),
        }
    }
}
