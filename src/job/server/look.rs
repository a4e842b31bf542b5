//! What a server holds and how it is, asked the cheap way where that works.

use super::{
    Connected, PORT, ServerError, Side, connect, connect_maintenance, docker_error, login,
};
use crate::domain::health::ServerVitals;
use crate::domain::id::DatabaseName;
use crate::domain::policy::DatabaseSelection;
use crate::domain::restore::mark::Stage;
use crate::domain::roster::ServerTarget;
use crate::job::{JobContext, Run};
use crate::postgres::catalog::DatabaseRole;
use crate::postgres::{ApplicationName, NetworkTarget, Session};

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
    // Outside the stack libpq alone does what the URL asks for.
    let (Some(own), None) = (&context.own, &target.server.outside) else {
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
        side: Side::Stack,
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

/// The databases of a selection that are there: `*` leaves out templates, `postgres` without tables, and outside
/// the stack what the login may not enter.
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
    let is_meant = |role: DatabaseRole| match role {
        DatabaseRole::Ordinary => true,
        // A provider's own; in the stack it is a mistake, and its dump says so.
        DatabaseRole::Forbidden => target.server.outside.is_none(),
        DatabaseRole::Template | DatabaseRole::Closed | DatabaseRole::Aside => false,
    };
    for entry in listed.into_iter().filter(|it| is_meant(it.role)) {
        if entry.name.as_str() == "postgres"
            && !holds_tables(context, run, target, &entry.name).await?
        {
            continue;
        }
        chosen.push(entry.name);
    }
    Ok(chosen)
}

/// Whether a restore put the database with this OID aside, where it still is. Nobody knows where the server does not
/// answer, and then the answer is no.
pub async fn is_kept(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    database_oid: u32,
) -> bool {
    let Ok(mut maintenance) = connect_maintenance(context, run, target).await else {
        return false;
    };
    let listed = crate::postgres::catalog::databases(&mut maintenance.session).await;
    listed.is_ok_and(|listed| {
        let mut listed = listed.iter().filter(|it| it.oid == database_oid);
        listed.any(|it| matches!(it.mark(), Some(mark) if mark.stage != Stage::Copy))
    })
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
