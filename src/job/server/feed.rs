//! Gives bytes to a program in a server's container and reads what it prints.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

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

/// How long a program that is fed may neither take nor print anything while there is something to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as a dump may be silent: what the program does between two pieces of its input is short.
    Silence,
    /// As long as it likes, since a single statement in its input may take hours; whoever asked has a deadline.
    Endless,
}

impl Patience {
    fn limit(self, context: &JobContext) -> Option<Duration> {
        match self {
            Self::Silence => Some(context.limits.silence),
            Self::Endless => None,
        }
    }
}

/// A program to feed.
#[derive(Debug)]
pub struct FeedRequest {
    /// What is run.
    pub spec: CommandSpec,
    /// How long it may stand still.
    pub patience: Patience,
}

/// How a fed program ended.
#[derive(Debug)]
pub struct Fed {
    /// Its exit code.
    pub code: i64,
    /// Head and tail of its standard error.
    pub stderr: String,
}

/// Runs a program to its end, `flow` as its standard input; what it prints goes to `sink`. Once it has taken everything it
/// may take its time: what comes last, such as building indexes, says nothing meanwhile.
///
/// # Errors
/// When it cannot be begun, or how it ended cannot be learned; [`ServerError::Silent`] when it stands still for longer than
/// `patience`, and then it may go on until its container or its session ends. A non-zero exit code is an answer.
///
/// # Cancellation
/// Dropped, its input ends: it takes that for the end, or for a broken archive. It may finish a statement.
pub async fn feed(
    context: &JobContext,
    target: &ServerTarget,
    asked: FeedRequest,
    flow: &mut (impl Flow + Send),
    sink: impl FnMut(&[u8]) + Send,
) -> Result<Fed, ServerError> {
    let FeedRequest { spec, patience } = asked;
    let program = spec.argv.first().cloned().unwrap_or_default();
    let asked = request(spec, StdinMode::Attached);
    let begun = begin(context, target, asked, Carried::Input).await?;
    let fed = feed_exec(context, begun, patience, flow, sink).await;
    fed.map_err(|error| match error {
        FeedError::Docker(source) => docker_error(target, source),
        FeedError::Silent { silent_for } => ServerError::Silent {
            service: target.service.clone(),
            program,
            silent_for,
        },
    })
}

/// Why a program could not be fed.
#[derive(Debug, Error)]
pub enum FeedError {
    /// Docker's part.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// It stood still.
    #[error("it took no byte for {silent_for:?} and was given up")]
    Silent {
        /// So long.
        silent_for: Duration,
    },
}

/// The same with a program that has begun, in whatever container.
///
/// # Errors
/// When how it ended cannot be learned, or it stands still.
///
/// # Cancellation
/// As of [`feed`].
pub async fn feed_exec(
    context: &JobContext,
    begun: Exec,
    patience: Patience,
    flow: &mut (impl Flow + Send),
    sink: impl FnMut(&[u8]) + Send,
) -> Result<Fed, FeedError> {
    let Exec {
        id,
        stdin,
        mut output,
    } = begun;
    let limit = patience.limit(context);
    {
        let write = write(stdin, flow, limit);
        let read = read(&mut output, sink);
        tokio::pin!(write, read);
        // The end of the output decides, never the end of the input: some engines leave a writer hanging whose program
        // ended without reading everything.
        tokio::select! {
            read = &mut read => read?,
            written = &mut write => {
                written?;
                read.await?;
            }
        }
    }
    let end = context.docker.exec_end(&id, END_TRAILS_OUTPUT).await?;
    Ok(Fed {
        code: end.code,
        stderr: output.stderr().text(),
    })
}

/// Hands on what comes until there is no more, or nobody takes it.
async fn write(
    stdin: Option<impl AsyncWrite + Unpin>,
    flow: &mut (impl Flow + Send),
    limit: Option<Duration>,
) -> Result<(), FeedError> {
    let Some(mut stdin) = stdin else {
        return Ok(());
    };
    while let Some(chunk) = flow.next().await {
        let taken = match limit {
            None => stdin.write_all(&chunk).await,
            Some(silent_for) => match timeout(silent_for, stdin.write_all(&chunk)).await {
                Ok(taken) => taken,
                Err(_elapsed) => return Err(FeedError::Silent { silent_for }),
            },
        };
        // A program that has read enough closes its input; its exit code tells whether that is well.
        if taken.is_err() {
            return Ok(());
        }
    }
    drop(stdin.shutdown().await);
    Ok(())
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// So many pieces of a kilobyte.
    struct Pieces(usize);

    impl Flow for Pieces {
        async fn next(&mut self) -> Option<Bytes> {
            self.0 = self.0.checked_sub(1)?;
            Some(Bytes::from_static(&[b'x'; 1024]))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_takes_nothing_is_given_up_after_the_silence_and_not_before() {
        let limit = Some(Duration::from_mins(10));
        let (stdin, mut program) = tokio::io::duplex(1024);
        let slow = async {
            let mut piece = [0; 1024];
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_mins(9)).await;
                program.read_exact(&mut piece).await.unwrap();
            }
            program
        };
        let mut flow = Pieces(3);
        let (written, program) = tokio::join!(write(Some(stdin), &mut flow, limit), slow);
        assert!(written.is_ok(), "{written:?}");
        drop(program);

        let (stdin, _idle) = tokio::io::duplex(1024);
        let begun = tokio::time::Instant::now();
        let written = write(Some(stdin), &mut Pieces(3), limit).await;
        assert!(
            matches!(written, Err(FeedError::Silent { .. })),
            "{written:?}"
        );
        assert_eq!(begun.elapsed(), Duration::from_mins(10));
        // Without a limit somebody else has to end it.
        let (stdin, _idle) = tokio::io::duplex(1024);
        let mut flow = Pieces(3);
        let endless = write(Some(stdin), &mut flow, None);
        let endless = timeout(Duration::from_hours(11), endless);
        assert!(endless.await.is_err());
    }
}
