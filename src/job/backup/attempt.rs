//! One try at a dump: snapshot, pg_dump, the look whether something slipped between, digests beside it.

mod beside;
mod census;
mod pump;
mod sink;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::archive_check::Archive;
use super::take::{new_id, series};
use super::{BackupError, TakeRequest};
use crate::docker::{Carried, ExecRequest, StdinMode};
use crate::domain::backup::suspicion::Extent;
use crate::domain::backup::{Counted, DatabaseFacts, Packing, Seal};
use crate::domain::id::{BackupId, Revision};
use crate::domain::unit::{ByteCount, Timestamp};
use crate::job::copy::along::{Along, FileName, Ticket};
use crate::job::server::{self, Connected, QUESTION, ServerError};
use crate::job::{JobContext, Run};
use crate::postgres::catalog::{self, Rights, ServerFacts};
use crate::postgres::dump::{self, DumpRequest};
use crate::postgres::relation::{self, LeafRelation};
use crate::postgres::snapshot::{self, Snapshot};
use crate::postgres::vitals::database_size;
use crate::postgres::{ApplicationName, Login, PostgresError, revision};
use crate::store::staged::StoredFile;
use beside::Beside;
use census::{complete, count};
use pump::{Look, pump, tie};

pub(super) use beside::Decoding;
pub(super) use sink::{Sink, Written};

/// How long pg_dump waits for a table that somebody holds exclusively.
const LOCK_WAIT: Duration = Duration::from_mins(1);

/// Whether rows and digests are taken beside the dump.
#[derive(Debug, Clone)]
pub(super) enum Counting {
    /// Yes, of the very snapshot.
    Exact,
    /// No, and why.
    Without(String),
}

/// A complete dump on the disk, not yet checked.
#[derive(Debug)]
pub(super) struct Dumped {
    pub(super) id: BackupId,
    pub(super) stored: StoredFile,
    /// What was decoded beside the dump.
    pub(super) decoding: Decoding,
    pub(super) packing: Packing,
    pub(super) seal: Option<Seal>,
    pub(super) snapshot: Snapshot,
    pub(super) began_at: Timestamp,
    pub(super) server: ServerFacts,
    pub(super) facts: DatabaseFacts,
    pub(super) database_oid: u32,
    pub(super) revision: Option<Revision>,
    pub(super) counted: Counted,
    pub(super) extent: Option<Extent>,
    pub(super) tool_version: String,
    pub(super) login: Login,
    /// Decides what becomes of the copy that is made along with it.
    pub(super) ticket: Option<Ticket>,
}

/// Everything known before the dump begins.
struct Opening {
    login: Login,
    tools: Tools,
    holder: Connected,
    watcher: Connected,
    snapshot: Snapshot,
    relations: Vec<LeafRelation>,
    server: ServerFacts,
    facts: DatabaseFacts,
    database_oid: u32,
    revision: Option<Revision>,
    size: Option<ByteCount>,
}

pub(super) async fn run(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    counting: Counting,
    along: &Along,
) -> Result<Dumped, BackupError> {
    tokio::select! {
        dumped = dump(context, run, request, counting, along) => dumped,
        () = run.stop.cancelled() => Err(BackupError::Cancelled),
    }
}

async fn dump(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    counting: Counting,
    along: &Along,
) -> Result<Dumped, BackupError> {
    let mut opening = Box::pin(open(context, run, request)).await?;
    let began_at = context.clock.now();
    let id = new_id(context, &series(context, request), began_at)?;
    let packing = opening.tools.packing;
    let name = file_name(context, request, &opening, &id);
    let staged = context
        .store
        .begin(&name.series, &id, packing, name.sealing)?;
    let mut sink = Sink::new(staged, context.keys.recipients.as_ref())?;
    let ticket = along.follow(sink.staged(), name).await;
    let beside = Beside::begin(context, request, &mut sink)?;
    let asked = asked_dump(context, run, request, &opening);
    let exec = server::begin(context, &request.target, asked, Carried::Output).await?;
    let done = AtomicUsize::new(0);
    let (relations, holder, watcher) = (
        &opening.relations,
        &mut opening.holder,
        &mut opening.watcher,
    );
    let pump = async {
        let written = pump(context, exec, sink, Look { watcher, relations }).await?;
        let stored = Unchecked(Some(written.stored));
        Ok::<_, BackupError>((stored, written.seal, done.load(Ordering::Acquire)))
    };
    let count = count(&counting, holder, relations, &done);
    let archive = Archive {
        context,
        target: &request.target,
        login: &opening.login,
        packing,
    };
    let decode = beside.decode(&archive);
    let ((stored, seal, done_at_end), counted, decoding) =
        tokio::try_join!(pump, async { Ok(count.await) }, decode)?;
    let counted = complete(&mut opening, counted, done_at_end).await;
    let size = opening.size;
    let extent = size.map(|size| census::extent(&opening.relations, &counted, size));
    Ok(Dumped {
        id,
        stored: stored.keep()?,
        decoding,
        packing,
        seal,
        snapshot: opening.snapshot,
        began_at,
        server: opening.server,
        facts: opening.facts,
        database_oid: opening.database_oid,
        revision: opening.revision,
        counted,
        extent,
        tool_version: opening.tools.version,
        login: opening.login,
        ticket,
    })
}

/// A complete file whose decode is not through: when that fails, or nobody waits for it any more, the file goes.
struct Unchecked(Option<StoredFile>);

impl Unchecked {
    fn keep(mut self) -> Result<StoredFile, BackupError> {
        // It is taken once, here.
        self.0.take().ok_or(BackupError::Cancelled)
    }
}

impl Drop for Unchecked {
    fn drop(&mut self) {
        if let Some(stored) = self.0.take() {
            // What cannot be removed now is swept at the next start.
            drop(stored.discard());
        }
    }
}

fn file_name(
    context: &JobContext,
    request: &TakeRequest,
    opening: &Opening,
    id: &BackupId,
) -> FileName {
    FileName {
        series: series(context, request),
        id: id.clone(),
        packing: opening.tools.packing,
        sealing: context.keys.sealing(),
        expected: opening.size,
    }
}

/// What starts pg_dump in the database's container.
fn asked_dump(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    opening: &Opening,
) -> ExecRequest {
    let packing = opening.tools.packing;
    let spec = dump::dump_command(&DumpRequest {
        login: &opening.login,
        database: &request.database,
        encoding: &opening.facts.encoding,
        snapshot: Some(&opening.snapshot.name),
        packing,
        lock_wait: LOCK_WAIT,
        application: &ApplicationName::build(&context.project, run.id.as_str()),
    });
    tie(server::request(spec, StdinMode::Absent), packing)
}

async fn open(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
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
    })
}

struct Tools {
    packing: Packing,
    version: String,
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
