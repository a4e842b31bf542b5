//! A program with a big stream in a server's container: over a connection of its own where that can be had.

use super::{ServerError, docker_error};
use crate::docker::{Carried, Exec, ExecRequest};
use crate::domain::roster::ServerTarget;
use crate::job::JobContext;

/// Starts a program, one of its streams over a connection of its own where the container can reach us (a shared network
/// and bash in its image), else through the engine, which is slower.
///
/// # Errors
/// When the container is gone or does not run, or the engine gives no answer.
///
/// # Cancellation
/// Dropping the returned value closes the streams; whether the program ends with them is the request's own matter.
pub async fn begin(
    context: &JobContext,
    target: &ServerTarget,
    asked: ExecRequest,
    carried: Carried,
) -> Result<Exec, ServerError> {
    let (docker, container) = (&context.docker, &target.container);
    let failed = |source| docker_error(target, source);
    let address = match &context.own {
        // The programs for a server outside run in our own container, which reaches itself at its own address.
        Some(own) => docker.find_shared_address(container, &own.id).await,
        None => Ok(None),
    };
    if let Some(address) = address.map_err(failed)? {
        let begun = docker.exec_over_line(container, asked.clone(), carried, address);
        if let Some(exec) = begun.await.map_err(failed)? {
            return Ok(exec);
        }
    }
    tracing::debug!(service = %target.service, ?carried, "the stream goes through the engine");
    docker.exec(container, asked).await.map_err(failed)
}
