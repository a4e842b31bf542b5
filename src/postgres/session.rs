//! A session with one database, over psql in its container or over the network.
//!
//! Knows both transports and hides which one it is. Every answer row travels as one line of JSON, so
//! that texts with newlines, quotes or markers in them cannot be mistaken for the protocol.
//!
//! Invariant: after a failed or dropped call whose answer was not read to its end, the session refuses
//! further use ([`PostgresError::Closed`]) rather than take an old answer for a new one.

mod network;
mod psql;

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::PostgresError;
pub use network::NetworkTarget;

/// One statement of a batch; never two joined by a semicolon, since psql reports the last one only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A query; each row comes back as a JSON object.
    Rows(String),
    /// Anything else; what it returns is thrown away.
    Run(String),
}

impl Statement {
    /// The text sent to the server.
    fn text(&self) -> String {
        match self {
            // jsonb rather than json: its text is one line whatever the values are.
            Self::Rows(sql) => {
                format!("SELECT pg_catalog.to_jsonb(q)::pg_catalog.text FROM (\n{sql}\n) AS q")
            }
            Self::Run(sql) => sql.clone(),
        }
    }
}

/// What one statement of a batch came to: its rows as JSON texts, or the server's error.
pub type Answer = Result<Vec<String>, PostgresError>;

enum Transport {
    Psql(psql::PsqlTransport),
    Network(network::NetworkTransport),
}

/// Whether the next answer read is the next statement's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ready,
    /// A call began and did not end.
    Busy,
}

/// A session with one database.
///
/// # Cancellation
/// A dropped call leaves its statement running on the server until the session is dropped and the
/// server notices; [`super::leftover::terminate_sql`] ends it at once.
pub struct Session {
    transport: Transport,
    step: Step,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Psql(_) => "psql",
            Transport::Network(_) => "network",
        };
        formatter
            .debug_struct("Session")
            .field("transport", &transport)
            .field("step", &self.step)
            .finish()
    }
}

impl Session {
    /// A session over the standard streams of a psql begun by [`super::psql_command`].
    ///
    /// # Errors
    /// When the system gives no random bytes. Nothing is read yet: a psql that could not connect shows
    /// itself as [`PostgresError::Lost`] at the first statement, its reason on its standard error.
    pub fn over_psql(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, PostgresError> {
        let transport = psql::PsqlTransport::begin(Box::new(reader), Box::new(writer))?;
        Ok(Self {
            transport: Transport::Psql(transport),
            step: Step::Ready,
        })
    }

    /// A session over the network, without TLS.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the login.
    pub async fn connect(target: &NetworkTarget) -> Result<Self, PostgresError> {
        let transport = network::NetworkTransport::connect(target).await?;
        Ok(Self {
            transport: Transport::Network(transport),
            step: Step::Ready,
        })
    }

    /// Runs one query and reads its rows.
    ///
    /// # Errors
    /// The server's own, a lost session, a passed deadline, or a row of another shape than `T`.
    pub async fn rows<T: DeserializeOwned>(
        &mut self,
        sql: &str,
        deadline: Duration,
    ) -> Result<Vec<T>, PostgresError> {
        let lines = self
            .single(Statement::Rows(sql.to_owned()), deadline)
            .await?;
        lines.into_iter().map(|line| parse_row(&line)).collect()
    }

    /// Runs one query that has exactly one row.
    ///
    /// # Errors
    /// As [`Session::rows`], and when there is another number of rows.
    pub async fn row<T: DeserializeOwned>(
        &mut self,
        sql: &str,
        deadline: Duration,
    ) -> Result<T, PostgresError> {
        let mut rows = self.rows(sql, deadline).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            _ => Err(PostgresError::answer("expected exactly one row")),
        }
    }

    /// Runs one statement for its effect.
    ///
    /// # Errors
    /// The server's own, a lost session, or a passed deadline.
    pub async fn run(&mut self, sql: &str, deadline: Duration) -> Result<(), PostgresError> {
        self.single(Statement::Run(sql.to_owned()), deadline)
            .await
            .map(drop)
    }

    /// Sends many statements at once and reads their answers in order; a failed one does not stop the
    /// others. `deadline` is for all of them together.
    ///
    /// # Errors
    /// A lost session or a passed deadline; the server's own errors stand in the answers.
    pub async fn batch(
        &mut self,
        statements: &[Statement],
        deadline: Duration,
    ) -> Result<Vec<Answer>, PostgresError> {
        if self.step == Step::Busy {
            return Err(PostgresError::Closed);
        }
        self.step = Step::Busy;
        let texts: Vec<String> = statements.iter().map(Statement::text).collect();
        let exchange = async {
            match &mut self.transport {
                Transport::Psql(transport) => transport.exchange(&texts).await,
                Transport::Network(transport) => transport.exchange(&texts).await,
            }
        };
        let answers = tokio::time::timeout(deadline, exchange)
            .await
            .map_err(|_elapsed| PostgresError::Deadline { after: deadline })??;
        if answers.len() != statements.len() {
            return Err(PostgresError::answer("not every statement was answered"));
        }
        self.step = Step::Ready;
        Ok(answers)
    }

    async fn single(&mut self, statement: Statement, deadline: Duration) -> Answer {
        let mut answers = self.batch(&[statement], deadline).await?;
        answers
            .pop()
            .unwrap_or_else(|| Err(PostgresError::answer("no answer")))
    }
}

/// Reads one row's JSON.
pub(super) fn parse_row<T: DeserializeOwned>(line: &str) -> Result<T, PostgresError> {
    serde_json::from_str(line)
        .map_err(|error| PostgresError::answer(format!("{error} in {line:?}")))
}
