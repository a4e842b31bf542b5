//! A program's big stream over a connection of its own: the program connects back to us.
//!
//! The engine copies what an exec prints or reads three times and in lock step; a dump that keeps two cores busy takes 1.6 times as
//! long that way (`docs/benchmarks.md`). Standard error, the line that ends the program with us, and how it ended stay
//! with the engine.
//!
//! Invariants: we listen at one address of a shared network and for one connection only, which has to begin with a
//! random key; what cannot connect is told apart before the program runs, so that the caller may take the other way.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::output::Frames;
use super::{Exec, ExecRequest, ExecStdin, StdinMode};
use crate::docker::{Docker, DockerError};
use crate::domain::id::ContainerId;
use crate::domain::unit::hexadecimal;

/// How long a program may take to connect: a start takes 60 ms here, and a network that drops packets is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one who has connected may take to show the key.
const KEY_PATIENCE: Duration = Duration::from_secs(1);
const KEY_BYTES: usize = 16;
/// One read; waiting chunks are bounded by their number.
const CHUNK: usize = 64 * 1024;
const KEY_VARIABLE: &str = "STACKWARDEN_LINE_KEY";

/// Connects, shows the key and becomes the program. bash alone among shells can connect by itself; without it, or
/// without a way to us, nothing was run.
const CONNECT: &str = r#"exec 9<>"/dev/tcp/$1/$2" || exit 127
printf '%s' "$STACKWARDEN_LINE_KEY" >&9 || exit 127
unset STACKWARDEN_LINE_KEY
carried=$3
shift 3
if [ "$carried" = input ]; then exec "$@" <&9 9>&-; fi
exec "$@" >&9 9>&-"#;

/// What the connection carries; the other streams stay with the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// Standard output.
    Output,
    /// Standard input, whatever the request says of it.
    Input,
}

impl Carried {
    fn word(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Input => "input",
        }
    }
}

impl Docker {
    /// Starts a program with one stream over a connection to `own`, an address of ours that the container can reach;
    /// `None` when it could not connect, and then nothing was run.
    ///
    /// # Errors
    /// As [`Docker::exec`]. An address that is not ours is no error but no connection.
    ///
    /// # Cancellation
    /// As [`Docker::exec`].
    pub async fn exec_over_line(
        &self,
        container: &ContainerId,
        mut request: ExecRequest,
        carried: Carried,
        own: IpAddr,
    ) -> Result<Option<Exec>, DockerError> {
        if carried == Carried::Input {
            request.stdin = StdinMode::Absent;
        }
        let Some(listener) = Listener::open(own).await else {
            return Ok(None);
        };
        let request = listener.wrap(request, carried);
        let mut started = self.start_exec(container, request).await?;
        let Some(line) = listener.wait_for(&mut started.frames).await else {
            return Ok(None);
        };
        match carried {
            Carried::Output => {
                let chunks = ReaderStream::with_capacity(line, CHUNK).map(|read| match read {
                    Ok(message) => Ok(LogOutput::StdOut { message }),
                    Err(err) => Err(EngineError::IOError { err }),
                });
                started.frames = Box::pin(stream::select(chunks, started.frames));
            }
            Carried::Input => {
                started.stdin = Some(ExecStdin {
                    sink: Box::pin(line),
                });
            }
        }
        Ok(Some(started.into_exec(container.clone())))
    }
}

/// Where one program may connect.
struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    key: String,
}

impl Listener {
    async fn open(own: IpAddr) -> Option<Self> {
        let mut bytes = [0_u8; KEY_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let socket = TcpListener::bind((own, 0)).await.ok()?;
        let address = socket.local_addr().ok()?;
        let key = hexadecimal(&bytes);
        Some(Self {
            socket,
            address,
            key,
        })
    }

    fn wrap(&self, mut request: ExecRequest, carried: Carried) -> ExecRequest {
        let (host, port) = (
            self.address.ip().to_string(),
            self.address.port().to_string(),
        );
        let word = carried.word();
        let head = ["bash", "-c", CONNECT, "stackwarden", &host, &port, word];
        let head = head.into_iter().map(str::to_owned);
        request.argv = head.chain(request.argv).collect();
        request
            .env
            .push((KEY_VARIABLE.to_owned(), self.key.clone()));
        request
    }

    /// The connection that shows the key; `None` when the program ended or the time is up.
    async fn wait_for(self, frames: &mut Frames) -> Option<TcpStream> {
        let connected = async {
            loop {
                let (stream, _peer) = self.socket.accept().await.ok()?;
                if let Some(stream) = self.recognise(stream).await {
                    return Some(stream);
                }
            }
        };
        let waited = async {
            tokio::select! {
                stream = connected => stream,
                () = end_of(frames) => None,
            }
        };
        timeout(PATIENCE, waited).await.ok().flatten()
    }

    async fn recognise(&self, mut stream: TcpStream) -> Option<TcpStream> {
        let mut shown = vec![0_u8; self.key.len()];
        let read = timeout(KEY_PATIENCE, stream.read_exact(&mut shown)).await;
        let is_ours = matches!(read, Ok(Ok(_))) && shown == self.key.as_bytes();
        is_ours.then_some(stream)
    }
}

/// Reads what a program says that cannot connect, until it has ended.
async fn end_of(frames: &mut (impl Stream<Item = Result<LogOutput, EngineError>> + Unpin)) {
    while let Some(said) = frames.next().await {
        let text = said.map_or_else(|_broken| Bytes::new(), LogOutput::into_bytes);
        tracing::debug!(said = %String::from_utf8_lossy(&text), "no line of its own");
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn request(argv: &[&str]) -> ExecRequest {
        ExecRequest {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            env: Vec::new(),
            user: None,
            stdin: StdinMode::Absent,
        }
    }

    fn spawn(request: &ExecRequest) -> Child {
        let (program, arguments) = request.argv.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).envs(request.env.clone());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        child.spawn().unwrap()
    }

    async fn listener() -> Listener {
        Listener::open(IpAddr::from([127, 0, 0, 1])).await.unwrap()
    }

    fn silent() -> Frames {
        Box::pin(stream::pending())
    }

    #[tokio::test]
    async fn the_output_comes_over_the_line_and_the_key_is_gone() {
        let listener = listener().await;
        let script =
            "printf 'a b'; printf '%s' \"$STACKWARDEN_LINE_KEY\"; echo warning >&2; exit 3";
        let child = spawn(&listener.wrap(request(&["sh", "-c", script]), Carried::Output));
        let mut line = listener.wait_for(&mut silent()).await.unwrap();
        let mut text = String::new();
        line.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "a b");
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stdout), (Some(3), Vec::new()));
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "warning\n");
    }

    #[tokio::test]
    async fn the_input_comes_over_the_line_and_ends_with_it() {
        use tokio::io::AsyncWriteExt as _;
        let listener = listener().await;
        let child = spawn(&listener.wrap(request(&["cat"]), Carried::Input));
        let mut line = listener.wait_for(&mut silent()).await.unwrap();
        line.write_all(b"PGDMP").await.unwrap();
        line.shutdown().await.unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(
            (ended.status.code(), &ended.stdout[..]),
            (Some(0), &b"PGDMP"[..])
        );
    }

    #[tokio::test]
    async fn who_does_not_know_the_key_is_turned_away_and_the_next_is_heard() {
        let listener = listener().await;
        let (address, key) = (listener.address, listener.key.clone());
        let strangers = async move {
            use tokio::io::AsyncWriteExt as _;
            let mut stranger = TcpStream::connect(address).await.unwrap();
            stranger.write_all(&[b'0'; KEY_BYTES * 2]).await.unwrap();
            let mut known = TcpStream::connect(address).await.unwrap();
            known.write_all(key.as_bytes()).await.unwrap();
            known.write_all(b"PGDMP").await.unwrap();
            (stranger, known)
        };
        let (line, ends) = tokio::join!(
            async move { listener.wait_for(&mut silent()).await },
            strangers
        );
        drop(ends);
        let mut text = String::new();
        line.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "PGDMP");
    }

    #[tokio::test]
    async fn a_program_that_ends_without_connecting_is_no_line() {
        let words = LogOutput::StdErr {
            message: Bytes::from_static(b"bash: not found"),
        };
        let mut frames: Frames = Box::pin(stream::iter([Ok(words)]));
        assert!(listener().await.wait_for(&mut frames).await.is_none());
    }
}
