//! A session with a server of the stack, and what it tells: joins [`crate::postgres`] to Docker's exec.

mod courtesy;
mod feed;
mod line;
mod lock;
mod look;
mod outside;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::{JobContext, Run};
use crate::docker::{DockerError, ExecRequest, StderrHandle, StdinMode};
use crate::domain::database::login::LoginError;
use crate::domain::database::secret::Secret;
use crate::domain::failure::FailureKind;
use crate::domain::id::{DatabaseName, ServiceName};
use crate::domain::roster::ServerTarget;
use crate::postgres::settings::SETTINGS_SQL;
use crate::postgres::{
    ApplicationName, CommandSpec, Condition, Login, Password, PostgresError, Session,
};

pub use courtesy::step_back;
pub use feed::{FeedError, FeedRequest, Flow, Patience, feed, feed_exec};
pub use line::begin;
pub use lock::{DatabaseLock, end_clients, end_leftovers, lock};
pub use look::{Question, Seen, WayIn, choose, is_kept, look};
pub use outside::{Passfiles, find_clients, login_for_programs};

/// Why a server could not be talked to.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Docker's part.
    #[error("reach postgres in service {service}")]
    Docker {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: DockerError,
    },
    /// Its container does not run.
    #[error("service {service} does not run; start it: docker compose start {service}")]
    Stopped {
        /// The service.
        service: ServiceName,
    },
    /// Postgres' part.
    #[error("talk to postgres in service {service}")]
    Postgres {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: PostgresError,
    },
    /// The login is not complete.
    #[error("log in to postgres in service {service}; correct its _FILE variables")]
    Login {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: LoginError,
    },
    /// A program stood still.
    #[error(
        "{program} in service {service} took no byte for {silent_for:?} and was given up; look for locks in pg_stat_activity, or raise STACKWARDEN_SILENCE"
    )]
    Silent {
        /// The service.
        service: ServiceName,
        /// Which program.
        program: String,
        /// So long.
        silent_for: Duration,
    },
    /// Nothing here can talk to it.
    #[error("{service} is outside the stack: {why}")]
    NoPrograms {
        /// Its name.
        service: ServiceName,
        /// What is missing and what to do.
        why: &'static str,
    },
    /// All programs are older than the server.
    #[error(
        "{service} runs PostgreSQL {server}, and the newest programs of this image are of {newest}, which dump no newer server; build the image on a base that has {server}"
    )]
    TooNew {
        /// Its name.
        service: ServiceName,
        /// Its major version.
        server: u32,
        /// The newest programs.
        newest: u32,
    },
    /// The file with the password.
    #[error("cannot read {}, the password_file of {service}", .path.display())]
    PasswordFile {
        /// Its name.
        service: ServiceName,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A place for the password.
    #[error(
        "the password of {service} can be kept neither in /dev/shm nor in /tmp; give the container a tmpfs on /tmp"
    )]
    Passfile {
        /// Its name.
        service: ServiceName,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another writer holds the database.
    #[error("database {database} is held by {holder}; waited {waited:?}")]
    Busy {
        /// The database.
        database: DatabaseName,
        /// Who.
        holder: String,
        /// How long we waited.
        waited: Duration,
    },
    /// We were told to stop.
    #[error("told to stop")]
    Cancelled,
}

impl ServerError {
    /// Whether trying again can help.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Docker { source, .. } => source.kind(),
            Self::Postgres { source, .. } => source.kind(),
            Self::Login { .. }
            | Self::NoPrograms { .. }
            | Self::TooNew { .. }
            | Self::PasswordFile { .. }
            | Self::Passfile { .. } => FailureKind::Permanent,
            Self::Busy { .. } | Self::Stopped { .. } | Self::Silent { .. } => {
                FailureKind::Transient
            }
            Self::Cancelled => FailureKind::Cancelled,
        }
    }
}

/// Where Postgres listens in its container.
const PORT: u16 = 5432;
/// How long a session may take to answer its first question.
const OPENING: Duration = Duration::from_secs(15);
/// How long a cheap question may take.
pub const QUESTION: Duration = Duration::from_secs(30);
/// How long a server that starts or restarts is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A connected session that can name its server in errors.
#[derive(Debug)]
pub struct Connected {
    /// The session.
    pub session: Session,
    service: ServiceName,
    side: Side,
    stderr: Option<StderrHandle>,
}

/// Where a server is, which decides what advice helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Stack,
    Outside,
}

impl Side {
    fn of(target: &ServerTarget) -> Self {
        match target.server.outside {
            None => Self::Stack,
            Some(_) => Self::Outside,
        }
    }
}

impl Connected {
    /// Puts the server's name around an error, and the program's own words in place of a lost connection.
    pub fn error(&self, source: PostgresError) -> ServerError {
        let said = self
            .stderr
            .as_ref()
            .map(StderrHandle::text)
            .unwrap_or_default();
        let source = match source {
            PostgresError::Lost { .. } if !said.trim().is_empty() => {
                crate::postgres::classify_stderr("psql", &said)
            }
            other => other,
        };
        let source = match self.side {
            Side::Stack => source,
            Side::Outside => source.outside(),
        };
        ServerError::Postgres {
            service: self.service.clone(),
            source,
        }
    }

    /// Runs statements without an answer.
    ///
    /// # Errors
    /// When the server refuses or the session is lost.
    pub async fn run(&mut self, sql: &str, deadline: Duration) -> Result<(), ServerError> {
        let outcome = self.session.run(sql, deadline).await;
        outcome.map_err(|source| self.error(source))
    }
}

/// The login of a server, its files read in its own container; of one outside the stack, over the network.
///
/// # Errors
/// When a file named by the container's `_FILE` variables cannot be read there, or nothing here can reach a server
/// outside.
pub async fn login(context: &JobContext, target: &ServerTarget) -> Result<Login, ServerError> {
    if let Some(outside) = &target.server.outside {
        return outside::login(context, target, outside).await;
    }
    let mut contents = BTreeMap::new();
    for path in target.server.login.files() {
        let request = ExecRequest {
            argv: vec!["cat".to_owned(), path.to_owned()],
            env: Vec::new(),
            user: None,
            stdin: StdinMode::Absent,
        };
        let read = context
            .docker
            .exec_collect(&target.container, request, None, OPENING)
            .await;
        let read = read.map_err(|source| docker_error(target, source))?;
        if read.end().is_success() {
            contents.insert(path.to_owned(), Secret::new(read.stdout));
        }
    }
    let login = target.server.login.resolve(&contents);
    let login = login.map_err(|source| ServerError::Login {
        service: target.service.clone(),
        source,
    })?;
    let password = login
        .password
        .map(|secret| Password::new(secret.reveal().clone()));
    Ok(Login::local(login.user, password))
}

/// Wraps an error of Docker with the server's name.
pub fn docker_error(target: &ServerTarget, source: DockerError) -> ServerError {
    let service = target.service.clone();
    match source {
        DockerError::NotRunning { .. } => ServerError::Stopped { service },
        source => ServerError::Docker { service, source },
    }
}

/// Turns a command specification into what Docker runs.
pub fn request(spec: CommandSpec, stdin: StdinMode) -> ExecRequest {
    ExecRequest {
        argv: spec.argv,
        env: spec.env,
        user: None,
        stdin,
    }
}

/// Opens a session in the server's own container; it has answered once when this returns.
///
/// # Errors
/// When the container, psql or the server refuses; the sentence says what to do.
///
/// # Cancellation
/// Dropped, the exec's stdin closes and psql ends by itself.
pub async fn connect(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    database: &DatabaseName,
) -> Result<Connected, ServerError> {
    let login = login(context, target).await?;
    let name = ApplicationName::build(&context.project, run.id.as_str());
    let spec = crate::postgres::psql_command(&login, database, &name);
    let exec = context
        .docker
        .exec(&target.container, request(spec, StdinMode::Attached))
        .await;
    let mut exec = exec.map_err(|source| docker_error(target, source))?;
    let Some(stdin) = exec.stdin.take() else {
        return Err(ServerError::Cancelled);
    };
    let (reader, stderr) = exec.output.into_reader();
    let session = Session::over_psql(reader, stdin);
    let session = session.map_err(|source| ServerError::Postgres {
        service: target.service.clone(),
        source,
    })?;
    let mut connected = Connected {
        session,
        service: target.service.clone(),
        side: Side::of(target),
        stderr: Some(stderr),
    };
    // At once, for all: what is set for a database or a role would end an idle watcher, or print otherwise.
    connected.run(SETTINGS_SQL, OPENING).await?;
    Ok(connected)
}

/// Tries what may be tried again until it is done, or until no waiting cures it: a server that restarts, a session that was
/// ended from outside.
///
/// # Errors
/// The last one.
pub async fn patiently<T, Attempt>(
    run: &Run,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<T, ServerError>
where
    Attempt: Future<Output = Result<T, ServerError>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if error.kind() != FailureKind::Transient || Instant::now() > deadline {
            return Err(error);
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY_PAUSE) => {}
            () = run.stop.cancelled() => return Err(ServerError::Cancelled),
        }
    }
}

/// A session in `postgres`, or in `template1` where somebody dropped it. Outside the stack, where `postgres` may not be
/// entered, in the database of the URL: locks are then held in that one, by everybody with the same URL.
///
/// # Errors
/// See [`connect`].
pub async fn connect_maintenance(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
) -> Result<Connected, ServerError> {
    let first = DatabaseName::new("postgres");
    let refused = match connect(context, run, target, &first).await {
        Err(ServerError::Postgres { source, service }) => (source, service),
        connected => return connected,
    };
    let second = match (&refused.0, &target.server.outside) {
        (source, Some(outside)) if source.is_about_database() => outside.entry().clone(),
        (source, None) if source.condition() == Some(&Condition::UnknownDatabase) => {
            DatabaseName::new("template1")
        }
        _ => first.clone(),
    };
    if second == first {
        let (source, service) = refused;
        return Err(ServerError::Postgres { service, source });
    }
    tracing::debug!(service = %target.service, database = %second, "the database postgres may not be entered");
    connect(context, run, target, &second).await
}
