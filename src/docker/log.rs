//! What containers print: frames of the engine joined to lines of bounded length.

use std::collections::VecDeque;
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};

use super::{Docker, DockerError, SHORT};
use crate::domain::id::ContainerId;

const LONGEST_LINE: usize = 16 * 1024;
const LONGEST_TAIL: usize = 256 * 1024;

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a container, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was printed.
    pub stream: LogSource,
    /// The text; a line over 16 KiB comes in pieces.
    pub text: String,
}

type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, EngineError>> + Send>>;

impl Docker {
    /// Follows what a container prints from its first line, until it exits or the stream is cut: only
    /// [`Docker::wait_exit`] tells which. Silence is normal, so the caller sets the deadline.
    pub fn follow_logs(
        &self,
        id: &ContainerId,
    ) -> BoxStream<'static, Result<LogLine, DockerError>> {
        let options = LogsOptionsBuilder::new()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .build();
        let frames: Frames = match self.client() {
            Ok(client) => Box::pin(client.logs(id.as_str(), Some(options))),
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let following = Following {
            docker: self.clone(),
            frames: Some(frames),
            assembler: Assembler::default(),
        };
        stream::unfold(following, Following::advance).boxed()
    }

    /// The last lines of a container, at most 256 KiB; empty when nothing can be read.
    ///
    /// # Errors
    /// As every call.
    pub async fn logs_tail(&self, id: &ContainerId, lines: usize) -> Result<String, DockerError> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let client = self.client()?;
        let mut frames = client.logs(id.as_str(), Some(options)).boxed();
        let call = async {
            let mut kept: VecDeque<u8> = VecDeque::new();
            while let Some(frame) = frames.next().await {
                kept.extend(frame?.into_bytes());
                let excess = kept.len().saturating_sub(LONGEST_TAIL);
                kept.drain(..excess);
            }
            Ok(Vec::from(kept))
        };
        let bytes = self.bounded("read a container's log", SHORT, call).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

struct Following {
    docker: Docker,
    frames: Option<Frames>,
    assembler: Assembler,
}

impl Following {
    async fn advance(mut self) -> Option<(Result<LogLine, DockerError>, Self)> {
        loop {
            if let Some(line) = self.assembler.ready.pop_front() {
                return Some((Ok(line), self));
            }
            let frame = self.frames.as_mut()?.next().await;
            match frame {
                Some(Ok(LogOutput::StdErr { message })) => {
                    self.assembler.push(LogSource::Stderr, &message);
                }
                Some(Ok(frame)) => self.assembler.push(LogSource::Stdout, &frame.into_bytes()),
                Some(Err(error)) => {
                    self.frames = None;
                    self.assembler.finish();
                    let error = self.docker.explain("follow a container's log", error);
                    return Some((Err(error), self));
                }
                None => {
                    self.frames = None;
                    self.assembler.finish();
                    let last = self.assembler.ready.pop_front()?;
                    return Some((Ok(last), self));
                }
            }
        }
    }
}

/// Joins frames to lines, for each stream by itself.
#[derive(Debug, Default)]
struct Assembler {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ready: VecDeque<LogLine>,
}

impl Assembler {
    fn push(&mut self, source: LogSource, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let open = match source {
                LogSource::Stdout => &mut self.stdout,
                LogSource::Stderr => &mut self.stderr,
            };
            open.extend_from_slice(piece);
            if piece.ends_with(b"\n") || open.len() >= LONGEST_LINE {
                let text = line_text(&std::mem::take(open));
                self.ready.push_back(LogLine {
                    stream: source,
                    text,
                });
            }
        }
    }

    fn finish(&mut self) {
        for (source, open) in [
            (LogSource::Stdout, std::mem::take(&mut self.stdout)),
            (LogSource::Stderr, std::mem::take(&mut self.stderr)),
        ] {
            if !open.is_empty() {
                self.ready.push_back(LogLine {
                    stream: source,
                    text: line_text(&open),
                });
            }
        }
    }
}

fn line_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(assembler: &Assembler) -> Vec<&str> {
        assembler
            .ready
            .iter()
            .map(|line| line.text.as_str())
            .collect()
    }

    #[test]
    fn lines_are_joined_across_frames_and_streams_do_not_mix() {
        let mut assembler = Assembler::default();
        assembler.push(LogSource::Stdout, b"one\r\ntw");
        assembler.push(LogSource::Stderr, b"oops\n");
        assembler.push(LogSource::Stdout, b"o\n\nlast");
        assert_eq!(texts(&assembler), ["one", "oops", "two", ""]);
        assembler.finish();
        assert_eq!(texts(&assembler), ["one", "oops", "two", "", "last"]);
    }

    #[test]
    fn a_line_without_end_comes_in_bounded_pieces() {
        let mut assembler = Assembler::default();
        for _ in 0..10 {
            assembler.push(LogSource::Stdout, &[b'x'; 8 * 1024]);
        }
        assert_eq!(assembler.ready.len(), 5);
        assert!(
            assembler
                .ready
                .iter()
                .all(|line| line.text.len() <= 2 * LONGEST_LINE)
        );
    }
}
