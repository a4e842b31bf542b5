//! The container of a scratch server: what is asked of the engine, and its one place on the host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::place::Place;
use super::{ARCHIVE, Material, Model};
use crate::docker::{DockerError, ReadOnlyBind, ScratchRequest};
use crate::domain::id::ContainerId;
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
    model: Model<'_>,
    plan: &ScratchPlan,
    material: Material,
    place: Place,
) -> Result<ScratchRequest, VerifyError> {
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
        image_id: model.image(context, material.image).await?,
        labels: BTreeMap::from([
            (OWNED_LABEL.to_owned(), context.project.to_string()),
            (MAKER_LABEL.to_owned(), maker),
        ]),
        user: Some("0".to_owned()),
        entrypoint: command.next().into_iter().collect(),
        command: command.collect(),
        env: start.env,
        binds: binds.collect(),
        volumes: Vec::new(),
        data: place.data(context.limits.proof_memory),
        shm_size: model.shm_size(context).await?,
        memory: Some(context.limits.proof_memory),
        cpu_shares: Some(128),
        blkio_weight: Some(50),
    })
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
