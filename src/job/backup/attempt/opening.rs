//! Everything that is known before a dump begins: the sessions, the snapshot, the programs.

use super::Counting;
use crate::docker::StdinMode;
use crate::domain::backup::{DatabaseFacts, Packing};
use crate::domain::id::Revision;
use crate::domain::sequence::SequenceFact;
use crate::domain::unit::ByteCount;
use crate::job::backup::{BackupError, TakeRequest};
use crate::job::server::{self, Connected, QUESTION, ServerError};
use crate::job::{JobContext, Run};
use crate::postgres::catalog::{self, Rights, ServerFacts};
use crate::postgres::relation::{self, LeafRelation};
use crate::postgres::snapshot::{self, Snapshot};
use crate::postgres::vitals::database_size;
use crate::postgres::{Login, PostgresError, dump, revision, sequence};

/// Everything known before the dump begins.
pub(super) struct Opening {
    pub(super) login: Login,
    pub(super) tools: Tools,
    pub(super) holder: Connected,
    pub(super) watcher: Connected,
    pub(super) snapshot: Snapshot,
    pub(super) relations: Vec<LeafRelation>,
    pub(super) server: ServerFacts,
    pub(super) facts: DatabaseFacts,
    pub(super) database_oid: u32,
    pub(super) revision: Option<Revision>,
    pub(super) size: Option<ByteCount>,
    /// The sequences, where anything is counted. They are not part of a snapshot: what pg_dump reads of them later lies
    /// behind this, and only behind this, since it has not begun.
    pub(super) sequences_before: Vec<SequenceFact>,
}

/// Opens the sessions, takes the snapshot and looks what the server is.
pub(super) async fn open(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    counting: &Counting,
) -> Result<Opening, BackupError> {
    let target = &request.target;
    let login = server::login_for_programs(context, run, target).await?;
    let connect = || server::connect(context, run, target, &request.database);
    // Each is a program that starts: together they take as long as one.
    let (tools, mut holder, mut watcher) = tokio::try_join!(
        find_tools(context, request, &login),
        async { Ok(connect().await?) },
        async { Ok(connect().await?) },
    )?;
    let server = catalog::server_facts(&mut watcher.session).await;
    let server = server.map_err(|source| watcher.error(source))?;
    // A managed server gives nobody more than an owner's rights. Row security is off in every session, here as in pg_dump: what
    // may not be read is an error, never left out.
    if server.rights == Rights::Limited && target.server.outside.is_none() {
        return Err(BackupError::Rights {
            user: login.user.clone(),
        });
    }
    let facts = catalog::database_facts(&mut watcher.session).await;
    let facts = facts.map_err(|source| watcher.error(source))?;
    let size = match database_size(&mut watcher.session).await {
        Ok(size) => Some(size),
        // Who may not ask this may still dump.
        Err(PostgresError::Server { .. }) => None,
        Err(source) => return Err(watcher.error(source).into()),
    };
    let snapshot = snapshot::begin_snapshot(&mut holder.session).await;
    let snapshot = snapshot.map_err(|source| holder.error(source))?;
    let relations = relation::relations(&mut holder.session).await;
    let relations = relations.map_err(|source| holder.error(source))?.leaves;
    // Read in the snapshot, so that it is the revision of what is dumped.
    let state = revision::migration_state(&mut holder.session).await;
    let state = state.map_err(|source| holder.error(source))?;
    let sequences_before = match counting {
        Counting::Exact => {
            let read = sequence::sequences(&mut holder.session).await;
            read.map_err(|source| holder.error(source))?
        }
        Counting::Without(_) => Vec::new(),
    };
    Ok(Opening {
        login,
        tools,
        holder,
        watcher,
        snapshot,
        relations,
        server,
        facts,
        database_oid: state.database_oid,
        revision: state.revision,
        size,
        sequences_before,
    })
}

/// The programs of its container.
pub(super) struct Tools {
    pub(super) packing: Packing,
    pub(super) version: String,
}

async fn find_tools(
    context: &JobContext,
    request: &TakeRequest,
    login: &Login,
) -> Result<Tools, BackupError> {
    let container = &request.target.container;
    let ask = |spec| async {
        let asked = server::request(spec, StdinMode::Absent);
        let ran = context
            .docker
            .exec_collect(container, asked, None, QUESTION)
            .await;
        ran.map_err(|source| server::docker_error(&request.target, source))
    };
    let (probed, told) = tokio::try_join!(
        ask(dump::packing_probe_command(login)),
        ask(dump::version_command(login))
    )?;
    let packing = dump::choose_packing(&probed.stdout);
    if told.end().is_missing_program() {
        let service = request.target.service.clone();
        return Err(BackupError::MissingProgram {
            service,
            program: "pg_dump",
        });
    }
    let version = dump::parse_version(&told.stdout);
    let version = version.map_err(|source| ServerError::Postgres {
        service: request.target.service.clone(),
        source,
    })?;
    Ok(Tools { packing, version })
}
