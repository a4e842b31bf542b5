//! A session with a server of the stack, and what it tells: joins [`crate::postgres`] to Docker's exec.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::{JobContext, Run};
use crate::docker::{DockerError, ExecRequest, StderrHandle, StdinMode};
use crate::domain::database::login::LoginError;
use crate::domain::database::secret::Secret;
use crate::domain::failure::FailureKind;
use crate::domain::health::ServerVitals;
use crate::domain::id::{DatabaseName, ServiceName};
use crate::domain::policy::DatabaseSelection;
use crate::domain::roster::ServerTarget;
use crate::postgres::catalog::DatabaseRole;
use crate::postgres::leftover::{Leftovers, terminate_sql};
use crate::postgres::lock::{self as lock_of, LockAnswer};
use crate::postgres::{
    ApplicationName, CommandSpec, Condition, Login, NetworkTarget, Password, PostgresError, Session,
};

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
            Self::Login { .. } => FailureKind::Permanent,
            Self::Busy { .. } => FailureKind::Transient,
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
/// How often a busy lock is asked for again.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// A connected session that can name its server in errors.
#[derive(Debug)]
pub struct Connected {
    /// The session.
    pub session: Session,
    service: ServiceName,
    stderr: Option<StderrHandle>,
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

impl Connected {
    async fn end(&mut self, leftovers: &Leftovers<'_>) -> Result<u64, ServerError> {
        #[derive(serde::Deserialize)]
        struct Row {
            ended: u64,
        }
        let row = self
            .session
            .row::<Row>(&terminate_sql(leftovers), QUESTION)
            .await;
        row.map(|row| row.ended)
            .map_err(|source| self.error(source))
    }
}

/// The login of a server, its files read in its own container.
///
/// # Errors
/// When a file named by the container's `_FILE` variables cannot be read there.
pub async fn login(context: &JobContext, target: &ServerTarget) -> Result<Login, ServerError> {
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
    ServerError::Docker {
        service: target.service.clone(),
        source,
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
        stderr: Some(stderr),
    };
    connected.run("SELECT 1", OPENING).await?;
    Ok(connected)
}

/// The same, patient with a server that is just starting or going over a restart.
///
/// # Errors
/// See [`connect`]; what no waiting cures is told at once.
pub async fn connect_patiently(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    database: &DatabaseName,
) -> Result<Connected, ServerError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match connect(context, run, target, database).await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        if error.kind() != FailureKind::Transient || Instant::now() > deadline {
            return Err(error);
        }
        tokio::select! {
            () = tokio::time::sleep(LOCK_PAUSE) => {}
            () = run.stop.cancelled() => return Err(ServerError::Cancelled),
        }
    }
}

/// The exclusive right to back up or migrate one database; given back when dropped.
#[derive(Debug)]
pub struct DatabaseLock {
    connected: Connected,
}

impl DatabaseLock {
    /// Whether the session that holds the lock still lives.
    ///
    /// # Errors
    /// When it does not: somebody else may write to the database now.
    pub async fn check(&mut self) -> Result<(), ServerError> {
        self.connected.run("SELECT 1", QUESTION).await
    }

    /// Ends every other session of this job: what a broken dump may have left holding locks.
    ///
    /// # Errors
    /// When the server does not answer; it then has no sessions either, or the next start ends them.
    pub async fn end_sessions(
        &mut self,
        context: &JobContext,
        run: &Run,
    ) -> Result<u64, ServerError> {
        let name = ApplicationName::build(&context.project, run.id.as_str());
        self.connected.end(&Leftovers::Job(&name)).await
    }
}

/// Waits for the exclusive right, in the order of luck, and names the holder when it does not come.
///
/// # Errors
/// [`ServerError::Busy`] after the wait.
pub async fn lock(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    database: &DatabaseName,
) -> Result<DatabaseLock, ServerError> {
    let mut connected = connect_maintenance(context, run, target).await?;
    let begun = Instant::now();
    loop {
        let answer = lock_of::try_lock(&mut connected.session, database).await;
        let holder = match answer.map_err(|source| connected.error(source))? {
            LockAnswer::Held => return Ok(DatabaseLock { connected }),
            LockAnswer::Busy { holder } => holder,
        };
        let waited = begun.elapsed();
        if waited >= context.limits.lock_wait {
            return Err(ServerError::Busy {
                database: database.clone(),
                holder,
                waited,
            });
        }
        tokio::select! {
            () = tokio::time::sleep(LOCK_PAUSE) => {}
            () = run.stop.cancelled() => return Err(ServerError::Cancelled),
        }
    }
}

/// A session in `postgres`, or in `template1` where somebody dropped it.
///
/// # Errors
/// See [`connect`].
pub async fn connect_maintenance(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
) -> Result<Connected, ServerError> {
    match connect(context, run, target, &DatabaseName::new("postgres")).await {
        Err(ServerError::Postgres { source, .. })
            if source.condition() == Some(&Condition::UnknownDatabase) =>
        {
            connect(context, run, target, &DatabaseName::new("template1")).await
        }
        connected => connected,
    }
}

/// How a server is asked cheap questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayIn {
    /// Over a network that we share with it: costs the engine nothing.
    Network,
    /// psql in its container: works where no network is shared and where the password of the environment is
    /// not the password any more.
    Exec,
}

/// A session over the network, or `None` where that does not work.
async fn connect_network(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
) -> Result<Option<Connected>, ServerError> {
    let Some(own) = &context.own else {
        return Ok(None);
    };
    let found = context
        .docker
        .find_shared_address(&own.id, &target.container)
        .await;
    let Some(address) = found.map_err(|source| docker_error(target, source))? else {
        return Ok(None);
    };
    let network = NetworkTarget {
        host: address.to_string(),
        port: PORT,
        login: login(context, target).await?,
        database: DatabaseName::new("postgres"),
        application: ApplicationName::build(&context.project, run.id.as_str()),
    };
    let session = Session::connect(&network).await.ok();
    let service = target.service.clone();
    Ok(session.map(|session| Connected {
        session,
        service,
        stderr: None,
    }))
}

/// What a look at a server shows.
#[derive(Debug)]
pub struct Seen {
    /// The databases that are backed up.
    pub databases: Vec<DatabaseName>,
    /// Those of the suspected ones that hold no table.
    pub empty: Vec<DatabaseName>,
    /// Essentials.
    pub vitals: ServerVitals,
    /// The way that worked.
    pub way: WayIn,
}

/// How to look.
#[derive(Debug)]
pub struct Question<F> {
    /// The way to try first.
    pub way: WayIn,
    /// Which databases may hold no table.
    pub may_be_empty: F,
}

/// Looks which databases are to be backed up, which of them is empty, and how the server is.
///
/// Only databases that `may_be_empty` says so of are looked into: it costs a session each.
///
/// # Errors
/// When the server does not answer.
pub async fn look(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    selection: &DatabaseSelection,
    question: Question<impl Fn(&DatabaseName) -> bool>,
) -> Result<Seen, ServerError> {
    let network = match question.way {
        WayIn::Network => connect_network(context, run, target).await?,
        WayIn::Exec => None,
    };
    let (mut connected, way) = match network {
        Some(connected) => (connected, WayIn::Network),
        None => (
            connect_maintenance(context, run, target).await?,
            WayIn::Exec,
        ),
    };
    let databases = choose(context, run, target, selection, &mut connected).await?;
    let vitals = crate::postgres::vitals::vitals(&mut connected.session).await;
    let vitals = vitals.map_err(|source| connected.error(source))?;
    let mut empty = Vec::new();
    for database in databases.iter().filter(|it| (question.may_be_empty)(it)) {
        // One that cannot be asked is not called empty: its backup then says what is wrong.
        if let Ok(false) = holds_tables(context, run, target, database).await {
            empty.push(database.clone());
        }
    }
    Ok(Seen {
        databases,
        empty,
        vitals,
        way,
    })
}

/// The databases of a selection that are there: `*` leaves out templates, and `postgres` without tables.
///
/// # Errors
/// When the server does not answer. A named database that is missing is simply in the answer: its dump
/// then fails and says so, which nobody may overlook.
pub async fn choose(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    selection: &DatabaseSelection,
    maintenance: &mut Connected,
) -> Result<Vec<DatabaseName>, ServerError> {
    if let DatabaseSelection::Named(named) = selection {
        return Ok(named.iter().cloned().collect());
    }
    let listed = crate::postgres::catalog::databases(&mut maintenance.session).await;
    let listed = listed.map_err(|source| maintenance.error(source))?;
    let mut chosen = Vec::new();
    for entry in listed
        .into_iter()
        .filter(|it| it.role == DatabaseRole::Ordinary)
    {
        if entry.name.as_str() == "postgres"
            && !holds_tables(context, run, target, &entry.name).await?
        {
            continue;
        }
        chosen.push(entry.name);
    }
    Ok(chosen)
}

async fn holds_tables(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    database: &DatabaseName,
) -> Result<bool, ServerError> {
    let mut connected = connect(context, run, target, database).await?;
    let answer = crate::postgres::catalog::has_user_tables(&mut connected.session).await;
    answer.map_err(|source| connected.error(source))
}

/// Ends sessions of this project on every database whose lock nobody holds; says how many.
///
/// Holding the lock is what proves that no living job of the sidecar or the gate owns them.
///
/// # Errors
/// When the server does not answer.
pub async fn end_leftovers(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
) -> Result<u64, ServerError> {
    let mut connected = connect_maintenance(context, run, target).await?;
    let listed = crate::postgres::catalog::databases(&mut connected.session).await;
    let listed = listed.map_err(|source| connected.error(source))?;
    let mut ended = 0;
    for entry in listed
        .into_iter()
        .filter(|it| it.role == DatabaseRole::Ordinary)
    {
        let answer = lock_of::try_lock(&mut connected.session, &entry.name).await;
        if answer.map_err(|source| connected.error(source))? == LockAnswer::Held {
            ended += connected
                .end(&Leftovers::Database(&context.project, &entry.name))
                .await?;
        }
    }
    Ok(ended)
}
