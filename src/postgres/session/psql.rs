//! The session's transport over psql's standard streams.
//!
//! After each statement psql is told to print a marker with its `ERROR`, `SQLSTATE` and
//! `LAST_ERROR_MESSAGE`. The marker is random per session and numbered per statement, so neither a row
//! (always a JSON object) nor the text of an error can stand for it.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::Answer;
use crate::domain::raw_text;
use crate::postgres::failure::PostgresError;

type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;

pub(super) struct PsqlTransport {
    reader: Reader,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    marker: String,
    statements: u64,
}

impl PsqlTransport {
    pub(super) fn begin(
        reader: Box<dyn AsyncRead + Send + Unpin>,
        writer: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> Result<Self, PostgresError> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| PostgresError::Random {
            reason: error.to_string(),
        })?;
        Ok(Self {
            reader: BufReader::new(reader),
            writer,
            marker: format!("stackwarden-{:016x}", u64::from_ne_bytes(random)),
            statements: 0,
        })
    }

    /// Writes and reads at the same time: with both pipes full, each side would wait for the other.
    pub(super) async fn exchange(
        &mut self,
        texts: &[String],
    ) -> Result<Vec<Answer>, PostgresError> {
        let markers: Vec<String> = texts.iter().map(|_| self.next_marker()).collect();
        let script: String = texts
            .iter()
            .zip(&markers)
            .map(|(text, marker)| step(text, marker))
            .collect();
        let (writer, reader) = (&mut self.writer, &mut self.reader);
        let writing = async {
            writer.write_all(script.as_bytes()).await?;
            writer.flush().await
        };
        let writing = async { writing.await.map_err(|source| lost("sending", source)) };
        let reading = async {
            let mut answers = Vec::with_capacity(markers.len());
            for marker in &markers {
                answers.push(read_answer(reader, marker).await?);
            }
            Ok(answers)
        };
        let ((), answers) = tokio::try_join!(writing, reading)?;
        Ok(answers)
    }

    fn next_marker(&mut self) -> String {
        self.statements += 1;
        format!("{}-{}", self.marker, self.statements)
    }
}

fn lost(doing: &'static str, source: std::io::Error) -> PostgresError {
    PostgresError::Lost {
        doing,
        source: Some(source),
    }
}

/// A statement and the lines that tell how it ended.
fn step(text: &str, marker: &str) -> String {
    format!(
        "{text}\n;\n\\echo {marker} state :ERROR :SQLSTATE\n\\echo {marker} message :LAST_ERROR_MESSAGE\n\\echo {marker} end\n"
    )
}

async fn read_answer(reader: &mut Reader, marker: &str) -> Result<Answer, PostgresError> {
    let state = format!("{marker} state ");
    let mut rows = Vec::new();
    let (failed, sqlstate) = loop {
        let line = read_line(reader).await?;
        if let Some(words) = line.strip_prefix(&state) {
            break parse_state(words)?;
        }
        rows.push(line);
    };
    let end = format!("{marker} end");
    let mut message: Vec<String> = Vec::new();
    loop {
        let line = read_line(reader).await?;
        if line == end {
            break;
        }
        message.push(line);
    }
    if failed {
        let text = message.join("\n");
        let text = text
            .strip_prefix(&format!("{marker} message "))
            .unwrap_or(&text);
        return Ok(Err(PostgresError::server(&sqlstate, text)));
    }
    Ok(Ok(rows))
}

fn parse_state(words: &str) -> Result<(bool, String), PostgresError> {
    match words.split_once(' ') {
        Some(("true", sqlstate)) => Ok((true, sqlstate.to_owned())),
        Some(("false", sqlstate)) => Ok((false, sqlstate.to_owned())),
        _ => Err(PostgresError::answer(format!("psql said {words:?}"))),
    }
}

async fn read_line(reader: &mut Reader) -> Result<String, PostgresError> {
    let mut line = Vec::new();
    reader
        .read_until(b'\n', &mut line)
        .await
        .map_err(|source| lost("reading an answer", source))?;
    // A last line without its newline is cut off, not short.
    if line.pop() != Some(b'\n') {
        return Err(PostgresError::Lost {
            doing: "reading an answer",
            source: None,
        });
    }
    // A database without an encoding may hold any bytes in its names. Rows are JSON, where this reads as `\xe9`: such a table
    // cannot be asked for by its name, but it is taken for no other one.
    Ok(raw_text::read(line).replace('\0', r"\\x"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

    use super::{Reader, read_line};
    use crate::domain::failure::FailureKind;
    use crate::postgres::{PostgresError, Session};

    const SOON: Duration = Duration::from_secs(5);

    #[derive(serde::Deserialize)]
    struct Row {
        n: String,
    }

    /// Answers each statement the way psql does; what to print for it is taken from `replies`.
    async fn answer(
        stream: DuplexStream,
        replies: Vec<(&'static str, &'static str, &'static str)>,
    ) {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut lines = BufReader::new(reader).lines();
        for (rows, state, message) in replies {
            let marker = loop {
                let line = lines.next_line().await.unwrap().unwrap();
                if let Some(rest) = line.strip_prefix("\\echo ")
                    && let Some(marker) = rest.strip_suffix(" end")
                {
                    break marker.to_owned();
                }
            };
            let text =
                format!("{rows}{marker} state {state}\n{marker} message {message}\n{marker} end\n");
            writer.write_all(text.as_bytes()).await.unwrap();
        }
    }

    fn session(
        replies: Vec<(&'static str, &'static str, &'static str)>,
    ) -> (Session, impl Future<Output = ()>) {
        let (ours, theirs) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(ours);
        (
            Session::over_psql(reader, writer).unwrap(),
            answer(theirs, replies),
        )
    }

    #[tokio::test]
    async fn rows_and_errors_are_told_apart_and_the_session_goes_on() {
        let (mut session, psql) = session(vec![
            (
                "",
                "true 42P01",
                "relation \"x\" does not exist\nsecond line",
            ),
            ("{\"n\": \"stackwarden-0-1 end\"}\n", "false 00000", "old"),
        ]);
        let ours = async {
            let error = session.run("SELECT", SOON).await.unwrap_err();
            assert!(
                matches!(&error, PostgresError::Server { sqlstate, .. } if sqlstate == "42P01")
            );
            assert!(error.to_string().contains("second line"), "{error}");
            let row: Row = session.row("SELECT", SOON).await.unwrap();
            assert_eq!(row.n, "stackwarden-0-1 end");
        };
        tokio::join!(psql, ours);
    }

    #[tokio::test]
    async fn names_that_are_no_text_stay_apart() {
        for (byte, name) in [(0xe9, "caf\\xe9"), (0xe8, "caf\\xe8")] {
            let mut line = b"{\"n\": \"caf?\"}\n".to_vec();
            line[10] = byte;
            let mut reader: Reader = BufReader::new(Box::new(std::io::Cursor::new(line)));
            let read = read_line(&mut reader).await.unwrap();
            let row: Row = serde_json::from_str(&read).unwrap();
            assert_eq!(row.n, name);
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_is_transient_and_closes_the_session() {
        let (mut session, psql) = session(vec![]);
        let ours = async {
            let error = session.run("SELECT 1", SOON).await.unwrap_err();
            assert!(matches!(error, PostgresError::Lost { .. }), "{error}");
            assert_eq!(error.kind(), FailureKind::Transient);
            let next = session.run("SELECT 1", SOON).await.unwrap_err();
            assert!(matches!(next, PostgresError::Closed), "{next}");
        };
        tokio::join!(psql, ours);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_never_taken_for_the_next_one() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(ours);
        let mut session = Session::over_psql(reader, writer).unwrap();
        let error = session.run("SELECT 1", SOON).await.unwrap_err();
        assert!(matches!(error, PostgresError::Deadline { .. }), "{error}");
        let next = session.run("SELECT 2", SOON).await.unwrap_err();
        assert!(matches!(next, PostgresError::Closed), "{next}");
        drop(theirs);
    }
}
