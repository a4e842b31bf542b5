//! The stream of a dump on its way to the disk, and the look at its first byte.

use tokio::time::timeout;

use super::sink::{Sink, Written};
use crate::docker::{END_TRAILS_OUTPUT, Exec, ExecOutput, ExecRequest};
use crate::domain::backup::Packing;
use crate::domain::job::JobKind;
use crate::job::JobContext;
use crate::job::backup::BackupError;
use crate::job::server::Connected;
use crate::postgres::relation::{self, LeafRelation, slipped};
use crate::postgres::{classify_stderr, dump};

/// The look at the first byte: pg_dump holds all its locks by then.
pub(super) struct Look<'a> {
    pub(super) watcher: &'a mut Connected,
    pub(super) relations: &'a [LeafRelation],
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

/// Carries the dump to where it goes, once, and learns how pg_dump ended.
pub(super) async fn pump(
    context: &JobContext,
    exec: Exec,
    mut sink: Sink,
    mut look: Look<'_>,
) -> Result<Written, BackupError> {
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
        context.progress.carry(JobKind::Backup, chunk.len());
        sink.write(chunk).await?;
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
    sink.finish().await
}

/// A dump ends with our connection: a killed sidecar leaves no pg_dump with its locks behind. Through a
/// filter, code 0 means that both ended with 0.
pub(super) fn tie(request: ExecRequest, packing: Packing) -> ExecRequest {
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
            program: "pg_dump",
            silent_for: silence,
        }),
    }
}
