//! One try at a dump: snapshot, pg_dump, the look whether something slipped between, digests beside it.

mod beside;
mod census;
mod opening;
mod pump;
mod sink;

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::archive_check::Archive;
use super::take::{new_id, series};
use super::{BackupError, TakeRequest};
use crate::docker::{Carried, Exec, ExecRequest, StdinMode};
use crate::domain::backup::suspicion::Extent;
use crate::domain::backup::{Counted, DatabaseFacts, Packing, Seal};
use crate::domain::id::{BackupId, Revision};
use crate::domain::unit::Timestamp;
use crate::job::copy::along::{Along, FileName, Ticket};
use crate::job::server;
use crate::job::{JobContext, Run};
use crate::postgres::catalog::ServerFacts;
use crate::postgres::digest::Work;
use crate::postgres::dump::{self, DumpRequest};
use crate::postgres::snapshot::Snapshot;
use crate::postgres::{ApplicationName, Login};
use crate::store::staged::StoredFile;
use beside::Beside;
use census::{Counter, complete, count};
use opening::{Opening, open};
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
    /// When pg_dump was through and all its bytes written.
    pub(super) ended_at: Instant,
    /// When the digests were.
    pub(super) counted_at: Instant,
    pub(super) extent: Option<Extent>,
    pub(super) tool_version: String,
    pub(super) login: Login,
    /// Decides what becomes of the copy that is made along with it.
    pub(super) ticket: Option<Ticket>,
}

pub(super) async fn run(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    counting: Counting,
    along: &Along,
) -> Result<Dumped, BackupError> {
    let asked = Asked {
        context,
        run,
        request,
        counting,
    };
    run.or_stopped(Box::pin(dump(&asked, along))).await
}

/// Who asks for what.
struct Asked<'a> {
    context: &'a JobContext,
    run: &'a Run,
    request: &'a TakeRequest,
    counting: Counting,
}

async fn dump(asked: &Asked<'_>, along: &Along) -> Result<Dumped, BackupError> {
    let Asked {
        context,
        run,
        request,
        ..
    } = asked;
    let mut opening = Box::pin(open(context, run, request, &asked.counting)).await?;
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
    let program = asked_dump(context, run, request, &opening);
    let exec = server::begin(context, &request.target, program, Carried::Output).await?;
    let passed = Box::pin(pass(asked, &mut opening, exec, (sink, beside))).await?;
    let counted = complete(&mut opening, passed.counted, &passed.finished).await;
    let size = opening.size;
    let extent = size.map(|size| census::extent(&opening.relations, &counted, size));
    Ok(Dumped {
        id,
        stored: passed.stored.keep()?,
        decoding: passed.decoding,
        packing,
        seal: passed.seal,
        snapshot: opening.snapshot,
        began_at,
        server: opening.server,
        facts: opening.facts,
        database_oid: opening.database_oid,
        revision: opening.revision,
        counted,
        ended_at: passed.ended_at,
        counted_at: passed.counted_at,
        extent,
        tool_version: opening.tools.version,
        login: opening.login,
        ticket,
    })
}

/// What came of a dump's one pass.
struct Passed {
    stored: Unchecked,
    seal: Option<Seal>,
    /// Which tables had their digests when the dump ended.
    finished: Vec<bool>,
    ended_at: Instant,
    counted: Counted,
    counted_at: Instant,
    decoding: Decoding,
}

/// The bytes on their way, and what is done beside: digests and decoding.
async fn pass(
    asked: &Asked<'_>,
    opening: &mut Opening,
    exec: Exec,
    (sink, beside): (Sink, Beside),
) -> Result<Passed, BackupError> {
    let (context, relations) = (asked.context, &opening.relations);
    let work = Work::new(relations);
    let dump_ended = CancellationToken::new();
    let taker = Counter {
        asked,
        snapshot: &opening.snapshot,
        sequences_before: &opening.sequences_before,
        work: &work,
        dump_ended: &dump_ended,
    };
    let look = Look {
        watcher: &mut opening.watcher,
        relations,
    };
    let pump = async {
        let pumped = pump(context, exec, sink, look).await;
        // Tables that are not through by now are looked at once more.
        let finished = work.finished();
        dump_ended.cancel();
        let written = pumped?;
        let stored = Unchecked(Some(written.stored));
        Ok::<_, BackupError>((stored, written.seal, finished, Instant::now()))
    };
    let holder = &mut opening.holder;
    let count = async { Ok((count(&taker, holder).await, Instant::now())) };
    let archive = Archive {
        context,
        target: &asked.request.target,
        login: &opening.login,
        packing: opening.tools.packing,
    };
    let decode = beside.decode(&archive);
    let (pumped, census, decoding) = tokio::try_join!(pump, count, decode)?;
    let (stored, seal, finished, ended_at) = pumped;
    let (counted, counted_at) = census;
    Ok(Passed {
        stored,
        seal,
        finished,
        ended_at,
        counted,
        counted_at,
        decoding,
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
