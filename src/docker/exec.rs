//! Programs run inside containers.
//!
//! Invariants: bytes are written only after the engine has switched the connection (earlier ones are lost); the
//! end of the output proves nothing, only [`Docker::exec_end`] tells how a program ended.

mod lifeline;
pub(super) mod line;
pub(super) mod output;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use self::output::{ExecOutput, Frames};
use super::{Docker, DockerError, LONG, SHORT};
use crate::domain::id::ContainerId;
use crate::domain::raw_text;

/// The read buffer of an exec's output: the engine sends frames of up to 32 KiB.
const READ_BUFFER: usize = 128 * 1024;
/// How long the end of the input may trail the end of the output.
const LAST_BYTES: Duration = Duration::from_secs(1);
const FIRST_POLL: Duration = Duration::from_millis(5);
const LONGEST_POLL: Duration = Duration::from_millis(250);
/// The deadline to give [`Docker::exec_end`] after the end of an output that matters. Engines know the end within
/// milliseconds; a program that runs on was cut off, and newer engines let it end with 0 (tried on 20.10 and 28.5).
pub const END_TRAILS_OUTPUT: Duration = Duration::from_secs(3);
/// What [`Docker::exec_collect`] keeps of standard output.
const COLLECTED: usize = 64 * 1024 * 1024;

/// Whether the program gets a standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdinMode {
    /// Ours to write; shut it down so that the program sees its end.
    Attached,
    /// None.
    Absent,
}

/// A program to run.
#[derive(Clone)]
pub struct ExecRequest {
    /// The command; never secrets, since every process of the host sees it.
    pub argv: Vec<String>,
    /// Variables beside the container's own; the place for secrets.
    pub env: Vec<(String, String)>,
    /// `user`, `uid` or `user:group`; the container's own when absent.
    pub user: Option<String>,
    /// Standard input.
    pub stdin: StdinMode,
}

impl fmt::Debug for ExecRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .env
            .iter()
            .map(|(name, _value)| name.as_str())
            .collect();
        formatter
            .debug_struct("ExecRequest")
            .field("argv", &self.argv)
            .field("env", &names)
            .field("user", &self.user)
            .field("stdin", &self.stdin)
            .finish()
    }
}

impl ExecRequest {
    fn program(&self) -> String {
        self.argv.first().cloned().unwrap_or_default()
    }
}

/// The engine's name of one run of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecId(String);

/// A program that was started.
#[derive(Debug)]
pub struct Exec {
    /// Asks for its end.
    pub id: ExecId,
    /// Its standard input, when attached.
    pub stdin: Option<ExecStdin>,
    /// Its output.
    pub output: ExecOutput,
}

/// A program's standard input. Shutting it down ends the input; merely dropping it does not.
pub struct ExecStdin {
    sink: Pin<Box<dyn AsyncWrite + Send>>,
}

impl fmt::Debug for ExecStdin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ExecStdin")
    }
}

impl AsyncWrite for ExecStdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.sink.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sink.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sink.as_mut().poll_shutdown(context)
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecEnd {
    /// Its exit code; 128 + n for signal n.
    pub code: i64,
}

impl ExecEnd {
    /// It ended well.
    pub fn is_success(self) -> bool {
        self.code == 0
    }

    /// The program is not in the container or may not be run. Some engines say the same of a program whose output
    /// was not read to its end.
    pub fn is_missing_program(self) -> bool {
        matches!(self.code, 126 | 127)
    }
}

/// What a short program printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// Its exit code.
    pub code: i64,
    /// Its whole standard output, as [`raw_text::read`] reads it: it may be in any encoding.
    pub stdout: String,
    /// Head and tail of its standard error.
    pub stderr: String,
}

impl ExecResult {
    /// How it ended.
    pub fn end(&self) -> ExecEnd {
        ExecEnd { code: self.code }
    }
}

impl fmt::Debug for ExecResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExecResult")
            .field("code", &self.code)
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr", &self.stderr)
            .finish()
    }
}

impl Docker {
    /// Starts a program in a running container.
    ///
    /// # Errors
    /// When the container is gone or not running, or the engine gives no answer. A missing program is no error
    /// here: it ends with 126 or 127 and its text is on the error side.
    ///
    /// # Cancellation
    /// Dropping the returned value closes the streams; the program goes on until it reads or writes.
    pub async fn exec(
        &self,
        container: &ContainerId,
        request: ExecRequest,
    ) -> Result<Exec, DockerError> {
        let started = self.start_exec(container, request).await?;
        Ok(started.into_exec(container.clone()))
    }

    async fn start_exec(
        &self,
        container: &ContainerId,
        request: ExecRequest,
    ) -> Result<Started, DockerError> {
        let program = request.program();
        let attached = request.stdin == StdinMode::Attached;
        let environment = request.env.iter();
        let options = CreateExecOptions {
            attach_stdin: Some(attached),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            env: Some(
                environment
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            cmd: Some(request.argv),
            user: request.user,
            ..CreateExecOptions::default()
        };
        let client = self.client()?;
        let create = client.create_exec(container.as_str(), options);
        let created = self
            .bounded("prepare a program in a container", SHORT, create)
            .await?;
        let start = StartExecOptions {
            output_capacity: Some(READ_BUFFER),
            ..StartExecOptions::default()
        };
        let operation = "start a program in a container";
        let call = client.start_exec(&created.id, Some(start));
        match self.bounded(operation, LONG, call).await? {
            StartExecResults::Attached { output, input } => Ok(Started {
                id: ExecId(created.id),
                stdin: attached.then_some(ExecStdin { sink: input }),
                frames: output,
                program,
            }),
            StartExecResults::Detached => Err(DockerError::Unreadable { operation }),
        }
    }

    /// Waits until the engine says how a program ended. To be asked after the end of its output, with
    /// [`END_TRAILS_OUTPUT`]: a connection that a proxy cuts between two frames looks like the end. That the output is
    /// whole must still be seen in itself (an end mark, a full decoding).
    ///
    /// # Errors
    /// [`DockerError::ExecOutcomeUnknown`] when it still runs after `deadline`, [`DockerError::ExecForgotten`] when
    /// its container is gone.
    pub async fn exec_end(&self, id: &ExecId, deadline: Duration) -> Result<ExecEnd, DockerError> {
        let unknown = DockerError::ExecOutcomeUnknown { after: deadline };
        match timeout(deadline, self.poll_exec(id)).await {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(DockerError::NotFound { .. })) => Err(DockerError::ExecForgotten),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(unknown),
        }
    }

    /// Runs a short program to its end and keeps what it printed (standard output up to 64 MiB).
    ///
    /// # Errors
    /// When it could not be started, was cut off, printed too much, or did not end in time. A non-zero
    /// exit code is a result.
    ///
    /// # Cancellation
    /// The program may go on in the container; its input is closed.
    pub async fn exec_collect(
        &self,
        container: &ContainerId,
        mut request: ExecRequest,
        input: Option<Vec<u8>>,
        deadline: Duration,
    ) -> Result<ExecResult, DockerError> {
        request.stdin = match input {
            Some(_) => StdinMode::Attached,
            None => StdinMode::Absent,
        };
        let program = request.program();
        let work = async {
            let Exec { id, stdin, output } = self.exec(container, request).await?;
            let (written, printed) = converse(write_all(stdin, input), read_all(output)).await;
            let (stdout, stderr) = printed?;
            // A program that still runs after the end of its output was cut off from us.
            let end = self.exec_end(&id, END_TRAILS_OUTPUT).await?;
            if written.is_err() && end.is_success() {
                // So was one that ended well without its whole input.
                return Err(DockerError::ExecCut {
                    program: program.clone(),
                    container: container.clone(),
                });
            }
            Ok(ExecResult {
                code: end.code,
                stdout: raw_text::read(stdout),
                stderr,
            })
        };
        let unknown = DockerError::ExecOutcomeUnknown { after: deadline };
        timeout(deadline, work).await.unwrap_or(Err(unknown))
    }

    async fn poll_exec(&self, id: &ExecId) -> Result<ExecEnd, DockerError> {
        let mut pause = FIRST_POLL;
        loop {
            let client = self.client()?;
            let call = client.inspect_exec(&id.0);
            match self.bounded("ask how a program ended", SHORT, call).await {
                Ok(answer) => {
                    if let (Some(false), Some(code)) = (answer.running, answer.exit_code) {
                        return Ok(ExecEnd { code });
                    }
                }
                Err(error) if error.is_about_connection() => {}
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_POLL);
        }
    }
}

/// A program that was started, and what the engine sends of it.
struct Started {
    id: ExecId,
    stdin: Option<ExecStdin>,
    frames: Frames,
    program: String,
}

impl Started {
    fn into_exec(self, container: ContainerId) -> Exec {
        Exec {
            id: self.id,
            stdin: self.stdin,
            output: ExecOutput::new(self.frames, container, self.program),
        }
    }
}

/// Writes and reads at once. Engines leave a writer waiting for ever when the program ended without reading, so that
/// the end of the output ends the writing too.
async fn converse<T>(
    writing: impl Future<Output = io::Result<()>>,
    reading: impl Future<Output = T>,
) -> (io::Result<()>, T) {
    tokio::pin!(writing, reading);
    tokio::select! {
        written = &mut writing => (written, reading.await),
        printed = &mut reading => {
            let unread = || io::Error::from(io::ErrorKind::BrokenPipe);
            let written = timeout(LAST_BYTES, writing).await;
            (written.unwrap_or_else(|_elapsed| Err(unread())), printed)
        }
    }
}

async fn write_all(stdin: Option<ExecStdin>, input: Option<Vec<u8>>) -> io::Result<()> {
    let (Some(mut stdin), Some(input)) = (stdin, input) else {
        return Ok(());
    };
    stdin.write_all(&input).await?;
    stdin.shutdown().await
}

async fn read_all(mut output: ExecOutput) -> Result<(Vec<u8>, String), DockerError> {
    let mut stdout: Vec<u8> = Vec::new();
    while let Some(chunk) = output.next().await? {
        if stdout.len() + chunk.len() > COLLECTED {
            return Err(output.too_large(COLLECTED));
        }
        stdout.extend_from_slice(&chunk);
    }
    Ok((stdout, output.stderr().text()))
}

#[cfg(test)]
mod tests;
