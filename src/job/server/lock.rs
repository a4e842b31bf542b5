//! The exclusive right to one database, and what dead holders left behind.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Connected, QUESTION, ServerError, connect_maintenance};
use crate::domain::id::DatabaseName;
use crate::domain::roster::ServerTarget;
use crate::job::{JobContext, Run};
use crate::postgres::ApplicationName;
use crate::postgres::catalog::DatabaseRole;
use crate::postgres::leftover::{Leftovers, terminate_sql};
use crate::postgres::lock::{LockAnswer, try_lock};

/// How long a backend may take to heed the request to end.
const ENDING: Duration = Duration::from_secs(20);
/// How often a busy lock is asked for again.
const PAUSE: Duration = Duration::from_millis(500);

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
        let answer = try_lock(&mut connected.session, database).await;
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
            () = tokio::time::sleep(PAUSE) => {}
            () = run.stop.cancelled() => return Err(ServerError::Cancelled),
        }
    }
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
        let answer = try_lock(&mut connected.session, &entry.name).await;
        if answer.map_err(|source| connected.error(source))? == LockAnswer::Held {
            ended += connected
                .end(&Leftovers::Database(&context.project, &entry.name))
                .await?;
        }
    }
    Ok(ended)
}

/// Ends what killed clients left running, and waits until it is gone; says how many there were.
///
/// # Errors
/// When the server does not answer, or something still runs after the wait.
pub async fn end_clients(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    addresses: &[IpAddr],
) -> Result<u64, ServerError> {
    if addresses.is_empty() {
        return Ok(0);
    }
    let mut connected = connect_maintenance(context, run, target).await?;
    let first = connected.end(&Leftovers::Clients(addresses)).await?;
    let begun = Instant::now();
    let mut left = first;
    while left > 0 && begun.elapsed() < ENDING {
        tokio::time::sleep(PAUSE / 5).await;
        left = connected.end(&Leftovers::Clients(addresses)).await?;
    }
    Ok(first)
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
