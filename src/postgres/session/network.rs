//! The session's transport over the network: tokio-postgres, simple query protocol, no TLS.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::Answer;
use crate::domain::id::DatabaseName;
use crate::postgres::command::{ApplicationName, Login};
use crate::postgres::failure::PostgresError;

/// Name resolution, TCP, login: all of it.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Where and as whom to connect.
#[derive(Debug, Clone)]
pub struct NetworkTarget {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Role and password.
    pub login: Login,
    /// The database.
    pub database: DatabaseName,
    /// The name shown in `pg_stat_activity`.
    pub application: ApplicationName,
}

impl NetworkTarget {
    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

pub(super) struct NetworkTransport {
    client: Client,
    /// Drives the connection; dropping the set ends it.
    driver: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl NetworkTransport {
    pub(super) async fn connect(target: &NetworkTarget) -> Result<Self, PostgresError> {
        let mut config = Config::new();
        config
            .host(&target.host)
            .port(target.port)
            .user(&target.login.user)
            .dbname(target.database.as_str())
            .application_name(target.application.as_str())
            .connect_timeout(CONNECT_DEADLINE)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE);
        if let Some(password) = &target.login.password {
            config.password(password.reveal());
        }
        let unreachable = |source| PostgresError::Connect {
            address: target.address(),
            source,
        };
        // The library's own timeout covers the TCP part of each address only.
        let connected = tokio::time::timeout(CONNECT_DEADLINE, config.connect(NoTls))
            .await
            .map_err(|_elapsed| unreachable(None))?;
        let (client, connection) = connected.map_err(|error| match server_error(&error) {
            Some(refused) => refused,
            None => unreachable(Some(error)),
        })?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self { client, driver })
    }

    /// Statements go out together and are answered in order.
    pub(super) async fn exchange(
        &mut self,
        texts: &[String],
    ) -> Result<Vec<Answer>, PostgresError> {
        let replies = join_all(texts.iter().map(|text| self.client.simple_query(text))).await;
        let mut answers = Vec::with_capacity(replies.len());
        for reply in replies {
            match reply {
                Ok(messages) => answers.push(lines(&messages)),
                Err(error) => match server_error(&error) {
                    Some(failure) if !self.client.is_closed() => answers.push(Err(failure)),
                    Some(failure) => return Err(failure),
                    None => return Err(self.lost().await),
                },
            }
        }
        Ok(answers)
    }

    /// The connection knows why it ended; the client knows only that it did.
    async fn lost(&mut self) -> PostgresError {
        let ended = tokio::time::timeout(Duration::from_secs(1), self.driver.join_next()).await;
        let reason = match ended {
            Ok(Some(Ok(Err(error)))) => Some(error),
            _ => None,
        };
        let refused = reason.as_ref().and_then(server_error);
        refused.unwrap_or_else(|| PostgresError::Lost {
            doing: "waiting for an answer",
            source: reason.map(std::io::Error::other),
        })
    }
}

/// The rows of an answer. Text that is none, of a database without an encoding, is a failure of that question alone.
fn lines(messages: &[SimpleQueryMessage]) -> Answer {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.try_get(0)),
        _ => None,
    });
    let read = rows.filter_map(Result::transpose).map(|text| {
        let text = text.map_err(|error| PostgresError::answer(format!("no text: {error}")))?;
        Ok(text.to_owned())
    });
    read.collect()
}

fn server_error(error: &tokio_postgres::Error) -> Option<PostgresError> {
    error
        .as_db_error()
        .map(|db| PostgresError::server(db.code().code(), db.message()))
}
