//! Gives bytes to a program in a server's container and reads what it prints.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::{ServerError, begin, docker_error, request};
use crate::docker::{Carried, DockerError, END_TRAILS_OUTPUT, Exec, ExecOutput, StdinMode};
use crate::domain::roster::ServerTarget;
use crate::job::JobContext;
use crate::postgres::CommandSpec;

/// Where bytes come from, in order. Whether they were the right ones, their source tells when all are read.
pub trait Flow {
    /// The next bytes; `None` at the end or after a failure.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// How a fed program ended.
#[derive(Debug)]
pub struct Fed {
    /// Its exit code.
    pub code: i64,
    /// Head and tail of its standard error.
    pub stderr: String,
}

/// Runs a program to its end, `flow` as its standard input; what it prints goes to `sink`.
///
/// # Errors
/// When it cannot be begun, or how it ended cannot be learned. A non-zero exit code is an answer.
///
/// # Cancellation
/// Dropped, its input ends: it takes that for the end, or for a broken archive. It may finish a statement.
pub async fn feed(
    context: &JobContext,
    target: &ServerTarget,
    spec: CommandSpec,
    flow: &mut (impl Flow + Send),
    sink: impl FnMut(&[u8]) + Send,
) -> Result<Fed, ServerError> {
    let asked = request(spec, StdinMode::Attached);
    let begun = begin(context, target, asked, Carried::Input).await?;
    let fed = feed_exec(context, begun, flow, sink).await;
    fed.map_err(|source| docker_error(target, source))
}

/// The same with a program that has begun, in whatever container.
///
/// # Errors
/// When how it ended cannot be learned.
///
/// # Cancellation
/// As of [`feed`].
pub async fn feed_exec(
    context: &JobContext,
    begun: Exec,
    flow: &mut (impl Flow + Send),
    sink: impl FnMut(&[u8]) + Send,
) -> Result<Fed, DockerError> {
    let Exec {
        id,
        stdin,
        mut output,
    } = begun;
    let write = async {
        let Some(mut stdin) = stdin else { return };
        while let Some(chunk) = flow.next().await {
            // A program that has read enough closes its input; its exit code tells whether that is well.
            if stdin.write_all(&chunk).await.is_err() {
                return;
            }
        }
        drop(stdin.shutdown().await);
    };
    {
        let read = read(&mut output, sink);
        tokio::pin!(write, read);
        // The end of the output decides, never the end of the input: some engines leave a writer hanging whose program
        // ended without reading everything.
        tokio::select! {
            read = &mut read => read?,
            () = &mut write => read.await?,
        }
    }
    let end = context.docker.exec_end(&id, END_TRAILS_OUTPUT).await?;
    Ok(Fed {
        code: end.code,
        stderr: output.stderr().text(),
    })
}

async fn read(
    output: &mut ExecOutput,
    mut sink: impl FnMut(&[u8]) + Send,
) -> Result<(), DockerError> {
    while let Some(chunk) = output.next().await? {
        sink(&chunk);
    }
    Ok(())
}
