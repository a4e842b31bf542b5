//! What a program prints: standard output in chunks, standard error beside it, bounded.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bytes::{Buf as _, Bytes};
use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;

use crate::docker::DockerError;
use crate::docker::bounded::HeadAndTail;
use crate::domain::id::ContainerId;

/// How engines word a program that they could not start; it arrives as if the program had printed it.
const START_FAILURES: [&str; 3] = [
    "OCI runtime exec failed",
    "unable to find user",
    "unable to find group",
];

pub(super) type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, EngineError>> + Send>>;

/// The output of a running program. Must be read to its end, or the program blocks.
pub struct ExecOutput {
    frames: Frames,
    stderr: watch::Sender<HeadAndTail>,
    framing: Framing,
    container: ContainerId,
    program: String,
}

/// What has been seen of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Nothing yet: a bare text is a start failure.
    Untouched,
    /// Frames: a bare rest is a frame that was cut.
    Framed,
    /// The end.
    Ended,
}

impl fmt::Debug for ExecOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExecOutput")
            .field("program", &self.program)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

impl ExecOutput {
    pub(super) fn new(frames: Frames, container: ContainerId, program: String) -> Self {
        Self {
            frames,
            stderr: watch::Sender::new(HeadAndTail::default()),
            framing: Framing::Untouched,
            container,
            program,
        }
    }

    /// The next chunk of standard output; `None` at the end, which proves nothing about success. Waits as long as
    /// the program is silent: the caller sets the deadline.
    ///
    /// # Errors
    /// [`DockerError::ExecCut`] when the stream broke; what the program did is unknown then.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DockerError> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    /// A view of standard error.
    pub fn stderr(&self) -> StderrHandle {
        StderrHandle {
            text: self.stderr.subscribe(),
        }
    }

    /// Standard output as a reader, and the view of standard error beside it.
    pub fn into_reader(self) -> (ExecReader, StderrHandle) {
        let stderr = self.stderr();
        let reader = ExecReader {
            output: self,
            rest: Bytes::new(),
        };
        (reader, stderr)
    }

    pub(super) fn too_large(&self, limit: usize) -> DockerError {
        DockerError::ExecOutputTooLarge {
            program: self.program.clone(),
            limit,
        }
    }

    fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, DockerError>> {
        loop {
            if self.framing == Framing::Ended {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.frames.as_mut().poll_next(context)) {
                Some(Ok(LogOutput::StdOut { message } | LogOutput::StdIn { message })) => {
                    if self.is_start_failure(&message) {
                        self.keep_error_text(&message);
                    } else if !message.is_empty() {
                        self.framing = Framing::Framed;
                        return Poll::Ready(Ok(Some(message)));
                    }
                }
                Some(Ok(LogOutput::StdErr { message })) => {
                    self.framing = Framing::Framed;
                    self.keep_error_text(&message);
                }
                Some(Ok(LogOutput::Console { message })) => {
                    if !self.is_start_failure(&message) {
                        return Poll::Ready(Err(self.cut()));
                    }
                    self.keep_error_text(&message);
                }
                Some(Err(_broken)) => return Poll::Ready(Err(self.cut())),
                None => self.framing = Framing::Ended,
            }
        }
    }

    fn keep_error_text(&self, bytes: &[u8]) {
        self.stderr.send_modify(|text| text.push(bytes));
    }

    fn is_start_failure(&self, text: &[u8]) -> bool {
        self.framing == Framing::Untouched
            && START_FAILURES
                .iter()
                .any(|words| text.starts_with(words.as_bytes()))
    }

    fn cut(&mut self) -> DockerError {
        self.framing = Framing::Ended;
        DockerError::ExecCut {
            program: self.program.clone(),
            container: self.container.clone(),
        }
    }
}

/// Standard error so far: head and tail, 16 KiB each, with the engine's words when the program could not start.
#[derive(Debug, Clone)]
pub struct StderrHandle {
    text: watch::Receiver<HeadAndTail>,
}

impl StderrHandle {
    /// The text; complete once the output has ended.
    pub fn text(&self) -> String {
        self.text.borrow().text()
    }
}

/// Standard output as a reader, for protocols by lines. A cut stream is an error, never an end.
#[derive(Debug)]
pub struct ExecReader {
    output: ExecOutput,
    rest: Bytes,
}

impl AsyncRead for ExecReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.output.poll_chunk(context)) {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) => return Poll::Ready(Ok(())),
                Err(error) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)));
                }
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        let (now, _later) = self.rest.split_at(count);
        buffer.put_slice(now);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn output(frames: Vec<LogOutput>) -> ExecOutput {
        let frames = stream::iter(frames.into_iter().map(Ok));
        ExecOutput::new(
            Box::pin(frames),
            ContainerId::new("c"),
            "pg_dump".to_owned(),
        )
    }

    fn out(text: &'static str) -> LogOutput {
        let message = Bytes::from_static(text.as_bytes());
        LogOutput::StdOut { message }
    }

    fn err(text: &'static str) -> LogOutput {
        let message = Bytes::from_static(text.as_bytes());
        LogOutput::StdErr { message }
    }

    fn bare(text: &'static str) -> LogOutput {
        let message = Bytes::from_static(text.as_bytes());
        LogOutput::Console { message }
    }

    #[tokio::test]
    async fn both_streams_are_kept_apart() {
        let mut output = output(vec![out("a"), err("warning"), out("b")]);
        let stderr = output.stderr();
        assert_eq!(output.next().await.unwrap().unwrap(), "a");
        assert_eq!(output.next().await.unwrap().unwrap(), "b");
        assert!(output.next().await.unwrap().is_none());
        assert_eq!(stderr.text(), "warning");
    }

    #[tokio::test]
    async fn a_frame_that_was_cut_is_an_error_and_never_output() {
        let mut output = output(vec![out("a"), bare("half a fra")]);
        assert!(output.next().await.unwrap().is_some());
        let error = output.next().await.unwrap_err();
        assert!(matches!(error, DockerError::ExecCut { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_cut_first_frame_is_an_error_too() {
        let error = output(vec![bare("PGDMP")]).next().await.unwrap_err();
        assert!(matches!(error, DockerError::ExecCut { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_words_of_a_failed_start_are_no_output() {
        for words in [out, bare] {
            let mut output = output(vec![words("OCI runtime exec failed: no such file")]);
            assert!(output.next().await.unwrap().is_none());
            assert!(output.stderr().text().contains("no such file"));
        }
    }

    #[tokio::test]
    async fn the_reader_gives_the_bytes_in_order_and_reports_a_cut() {
        let frames = vec![out("one\ntw"), err("x"), out("o\n")];
        let (mut reader, stderr) = output(frames).into_reader();
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), stderr.text().as_str()), ("one\ntwo\n", "x"));
        let (mut reader, _stderr) = output(vec![out("one"), bare("x")]).into_reader();
        let error = reader.read_to_string(&mut text).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
