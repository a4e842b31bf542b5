//! One try at a dump: snapshot, pg_dump, the look whether something slipped between, digests beside it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::take::{new_id, series};
use super::{BackupError, TakeRequest};
use crate::docker::{END_TRAILS_OUTPUT, Exec, ExecOutput, ExecRequest, StdinMode};
use crate::domain::backup::{Census, Counted, DatabaseFacts, Packing};
use crate::domain::comparison::{Digest, Rows, TableFacts};
use crate::domain::failure::chain;
use crate::domain::id::{BackupId, Revision};
use crate::domain::unit::Timestamp;
use crate::job::server::{self, Connected, QUESTION, ServerError};
use crate::job::{JobContext, Run};
use crate::postgres::catalog::{self, Rights, ServerFacts};
use crate::postgres::dump::{self, DumpRequest};
use crate::postgres::relation::{self, LeafRelation, slipped};
use crate::postgres::snapshot::{self, Snapshot};
use crate::postgres::{
    ApplicationName, Login, PostgresError, classify_stderr, digest, large_object, revision,
    sequence,
};
use crate::store::staged::{StagedFile, StoredFile};

/// How long pg_dump waits for a table that somebody holds exclusively.
const LOCK_WAIT: Duration = Duration::from_mins(1);
/// One batch of digests: a single huge table may take hours on a slow disk.
const DIGEST_DEADLINE: Duration = Duration::from_hours(6);

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
    pub(super) packing: Packing,
    pub(super) snapshot: Snapshot,
    pub(super) began_at: Timestamp,
    pub(super) server: ServerFacts,
    pub(super) facts: DatabaseFacts,
    pub(super) database_oid: u32,
    pub(super) revision: Option<Revision>,
    pub(super) counted: Counted,
    pub(super) tool_version: String,
    pub(super) login: Login,
}

/// Everything known before the dump begins.
struct Opening {
    login: Login,
    holder: Connected,
    watcher: Connected,
    snapshot: Snapshot,
    relations: Vec<LeafRelation>,
    server: ServerFacts,
    facts: DatabaseFacts,
    database_oid: u32,
    revision: Option<Revision>,
}

pub(super) async fn run(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    counting: Counting,
) -> Result<Dumped, BackupError> {
    tokio::select! {
        dumped = dump(context, run, request, counting) => dumped,
        () = run.stop.cancelled() => Err(BackupError::Cancelled),
    }
}

async fn dump(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    counting: Counting,
) -> Result<Dumped, BackupError> {
    let mut opening = open(context, run, request).await?;
    let began_at = context.clock.now();
    let id = new_id(began_at)?;
    let tools = find_tools(context, request, &mut opening).await?;
    let staged = context
        .store
        .begin(&series(context, request), &id, tools.packing)?;
    let spec = dump::dump_command(&DumpRequest {
        login: &opening.login,
        database: &request.database,
        snapshot: Some(&opening.snapshot.name),
        packing: tools.packing,
        lock_wait: LOCK_WAIT,
        application: &ApplicationName::build(&context.project, run.id.as_str()),
    });
    let asked = tie(server::request(spec, StdinMode::Absent), tools.packing);
    let exec = context.docker.exec(&request.target.container, asked);
    let exec = exec
        .await
        .map_err(|source| server::docker_error(&request.target, source))?;
    let done = AtomicUsize::new(0);
    let (relations, holder, watcher) = (
        &opening.relations,
        &mut opening.holder,
        &mut opening.watcher,
    );
    let pump = async {
        let stored = pump(context, exec, staged, Look { watcher, relations }).await?;
        Ok::<_, BackupError>((stored, done.load(Ordering::Acquire)))
    };
    let count = count(&counting, holder, relations, &done);
    let ((stored, done_at_end), counted) = tokio::try_join!(pump, async { Ok(count.await) })?;
    let counted = complete(&mut opening, counted, done_at_end).await;
    Ok(Dumped {
        id,
        stored,
        packing: tools.packing,
        snapshot: opening.snapshot,
        began_at,
        server: opening.server,
        facts: opening.facts,
        database_oid: opening.database_oid,
        revision: opening.revision,
        counted,
        tool_version: tools.version,
        login: opening.login,
    })
}

async fn open(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
) -> Result<Opening, BackupError> {
    let target = &request.target;
    let login = server::login(context, target).await?;
    let mut holder = server::connect(context, run, target, &request.database).await?;
    let mut watcher = server::connect(context, run, target, &request.database).await?;
    let server = catalog::server_facts(&mut watcher.session).await;
    let server = server.map_err(|source| watcher.error(source))?;
    if server.rights == Rights::Limited {
        return Err(BackupError::Rights {
            user: login.user.clone(),
        });
    }
    let facts = catalog::database_facts(&mut watcher.session).await;
    let facts = facts.map_err(|source| watcher.error(source))?;
    let snapshot = snapshot::begin_snapshot(&mut holder.session).await;
    let snapshot = snapshot.map_err(|source| holder.error(source))?;
    let relations = relation::relations(&mut holder.session).await;
    let relations = relations.map_err(|source| holder.error(source))?.leaves;
    // Read in the snapshot, so that it is the revision of what is dumped.
    let state = revision::migration_state(&mut holder.session).await;
    let state = state.map_err(|source| holder.error(source))?;
    Ok(Opening {
        login,
        holder,
        watcher,
        snapshot,
        relations,
        server,
        facts,
        database_oid: state.database_oid,
        revision: state.revision,
    })
}

struct Tools {
    packing: Packing,
    version: String,
}

async fn find_tools(
    context: &JobContext,
    request: &TakeRequest,
    opening: &mut Opening,
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
    let packing = dump::choose_packing(
        &ask(dump::packing_probe_command(&opening.login))
            .await?
            .stdout,
    );
    let told = ask(dump::version_command(&opening.login)).await?;
    if told.end().is_missing_program() {
        let service = request.target.service.clone();
        return Err(BackupError::MissingProgram {
            service,
            program: "pg_dump",
        });
    }
    let version = dump::parse_version(&told.stdout);
    let version = version.map_err(|source| opening.watcher.error(source))?;
    Ok(Tools { packing, version })
}

/// The look at the first byte: pg_dump holds all its locks by then.
struct Look<'a> {
    watcher: &'a mut Connected,
    relations: &'a [LeafRelation],
}

impl Look<'_> {
    async fn slipped(&mut self) -> Result<Vec<String>, BackupError> {
        let seen = relation::look(&mut self.watcher.session).await;
        let seen = seen.map_err(|source| self.watcher.error(source))?;
        Ok(slipped(self.relations, &seen)
            .into_iter()
            .map(|it| it.name.clone())
            .collect())
    }
}

/// Carries the dump to the disk, once, and learns how pg_dump ended.
async fn pump(
    context: &JobContext,
    exec: Exec,
    mut staged: StagedFile,
    mut look: Look<'_>,
) -> Result<StoredFile, BackupError> {
    let Exec {
        id,
        stdin,
        mut output,
    } = exec;
    let mut looked = false;
    while let Some(chunk) = next_chunk(context, &mut output).await? {
        if !looked {
            looked = true;
            let tables = look.slipped().await?;
            if !tables.is_empty() {
                return Err(BackupError::Slipped { tables });
            }
        }
        staged.write(chunk).await?;
    }
    let end = context.docker.exec_end(&id, END_TRAILS_OUTPUT).await;
    let end = end.map_err(|source| BackupError::Stream {
        program: "pg_dump",
        source,
    })?;
    let said = output.stderr().text();
    // Held until here: with it the program would have ended.
    drop(stdin);
    if !end.is_success() {
        // A rewrite before its locks can make pg_dump itself stumble, over an index that is gone: begin again.
        let tables = look.slipped().await?;
        if !tables.is_empty() {
            return Err(BackupError::Slipped { tables });
        }
        let source = classify_stderr("pg_dump", &said);
        return Err(BackupError::Program {
            program: "pg_dump",
            code: end.code,
            source,
        });
    }
    Ok(staged.finish().await?)
}

/// A dump ends with our connection: a killed sidecar leaves no pg_dump with its locks behind. Through a
/// filter, code 0 means that both ended with 0.
fn tie(request: ExecRequest, packing: Packing) -> ExecRequest {
    match dump::dump_filter(packing) {
        Some(filter) => request.tied_to_connection_through(&filter),
        None => request.tied_to_connection(),
    }
}

async fn next_chunk(
    context: &JobContext,
    output: &mut ExecOutput,
) -> Result<Option<bytes::Bytes>, BackupError> {
    let silence = context.limits.silence;
    match timeout(silence, output.next()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(source)) => Err(BackupError::Stream {
            program: "pg_dump",
            source,
        }),
        Err(_elapsed) => Err(BackupError::Silent {
            silent_for: silence,
        }),
    }
}

/// Counts and digests every table of the snapshot; a failure costs the counts, never the dump.
async fn count(
    counting: &Counting,
    holder: &mut Connected,
    relations: &[LeafRelation],
    done: &AtomicUsize,
) -> Counted {
    if let Counting::Without(why) = counting {
        return Counted::Absent(why.clone());
    }
    let begun = Instant::now();
    match take_census(holder, relations, done).await {
        Ok(census) => {
            let (tables, took_ms) = (census.tables.len(), begun.elapsed().as_millis());
            tracing::debug!(tables, took_ms, "digests taken");
            Counted::Exact(census)
        }
        Err(source) => {
            let error = holder.error(source);
            tracing::warn!(error = %chain(&error), "digests could not be taken; the proof will reach level restore");
            Counted::Absent(chain(&error))
        }
    }
}

async fn take_census(
    holder: &mut Connected,
    relations: &[LeafRelation],
    done: &AtomicUsize,
) -> Result<Census, PostgresError> {
    let session = &mut holder.session;
    let sequences_before = sequence::sequences(session).await?;
    let mut tables = Vec::with_capacity(relations.len() + 1);
    for batch in digest::batches(relations) {
        tables.extend(digest::digest_batch(session, batch, DIGEST_DEADLINE).await?);
        done.store(tables.len(), Ordering::Release);
    }
    tables.push(large_object::digest_large_objects(session, DIGEST_DEADLINE).await?);
    Ok(Census {
        tables,
        sequences_before,
        sequences_after: Vec::new(),
    })
}

/// What has to be read once pg_dump is done: sequences again, and whether tables whose digest came later
/// still have the storage they had.
async fn complete(opening: &mut Opening, counted: Counted, done_at_end: usize) -> Counted {
    let Counted::Exact(mut census) = counted else {
        return counted;
    };
    let read = async {
        census.sequences_after = sequence::sequences(&mut opening.holder.session).await?;
        let late = opening.relations.iter().skip(done_at_end);
        if late.len() == 0 {
            return Ok(Vec::new());
        }
        let seen = relation::look(&mut opening.watcher.session).await?;
        let changed = slipped(late, &seen).into_iter().map(|it| it.name.clone());
        Ok::<Vec<String>, PostgresError>(changed.collect())
    };
    match read.await {
        Ok(changed) => {
            census
                .tables
                .iter_mut()
                .filter(|it| changed.contains(&it.name))
                .for_each(distrust);
            Counted::Exact(census)
        }
        Err(source) => {
            let error: ServerError = opening.watcher.error(source);
            Counted::Absent(format!("the last look failed: {}", chain(&error)))
        }
    }
}

fn distrust(table: &mut TableFacts) {
    let why = "it was truncated or rewritten after the dump ended and before its digest".to_owned();
    table.rows = Rows::Absent(why.clone());
    table.digest = Digest::Absent(why);
}
