//! Rows and digests of the snapshot, taken beside the dump.
//!
//! The holding session takes them while the dump runs, with a low priority: on two cores it would take from the dump what
//! pg_dump and its backend need, and the dump holds the locks. A priority is not enough there: the scheduler gives the
//! digests one core and lets pg_dump share the other one with its backend, so after each batch they rest as long as it
//! took. When the dump is over a second session joins, with nobody's priority, so that the snapshot, which holds back
//! vacuum, ends soon on a busy server too.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Asked, Counting, Opening};
use crate::domain::backup::suspicion::Extent;
use crate::domain::backup::{Census, Counted};
use crate::domain::comparison::{Digest, Rows, TableFacts};
use crate::domain::failure::chain;
use crate::domain::sequence::SequenceFact;
use crate::domain::unit::ByteCount;
use crate::job::server::{self, Connected, ServerError};
use crate::postgres::digest::{Pace, PartFacts, Work};
use crate::postgres::relation::{self, LeafRelation, slipped};
use crate::postgres::snapshot::{self, Snapshot};
use crate::postgres::{PostgresError, large_object, sequence};

/// One batch of digests: a single huge table may take hours on a slow disk.
const DIGEST_DEADLINE: Duration = Duration::from_hours(6);

/// A dump keeps so many processors busy: its backend, and pg_dump, which compresses.
const BUSY_WITH_A_DUMP: usize = 2;

/// Who counts what.
pub(super) struct Counter<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) sequences_before: &'a [SequenceFact],
    pub(super) work: &'a Work<'a>,
    /// Cancelled when the dump is over.
    pub(super) dump_ended: &'a CancellationToken,
}

/// Counts and digests every table of the snapshot; a failure costs the counts, never the dump.
pub(super) async fn count(counter: &Counter<'_>, holder: &mut Connected) -> Counted {
    if let Counting::Without(why) = &counter.asked.counting {
        return Counted::Absent(why.clone());
    }
    let begun = Instant::now();
    match counter.take_census(holder).await {
        Ok(census) => {
            let (tables, took_ms) = (census.tables.len(), begun.elapsed().as_millis());
            tracing::debug!(tables, took_ms, "digests taken");
            Counted::Exact(census)
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), "digests could not be taken; the proof will reach level restore");
            Counted::Absent(chain(&error))
        }
    }
}

impl Counter<'_> {
    async fn take_census(&self, holder: &mut Connected) -> Result<Census, ServerError> {
        let Asked {
            context, request, ..
        } = self.asked;
        server::step_back(context, &request.target, &mut holder.session).await;
        let (own, joined) = tokio::try_join!(self.take_own(holder), self.join())?;
        let (own, large_objects) = own;
        let mut tables = self.work.sum(own.into_iter().chain(joined));
        tables.push(large_objects);
        Ok(Census {
            tables,
            sequences_before: self.sequences_before.to_vec(),
            sequences_after: Vec::new(),
        })
    }

    async fn take_own(
        &self,
        holder: &mut Connected,
    ) -> Result<(Vec<PartFacts>, TableFacts), ServerError> {
        let pace = if self.is_tight() {
            Pace::Resting(self.dump_ended)
        } else {
            Pace::Steady
        };
        let taken = async {
            let session = &mut holder.session;
            let sharing = self.work.share_at(session, DIGEST_DEADLINE, pace);
            let parts = sharing.await?;
            let large_objects =
                large_object::digest_large_objects(session, DIGEST_DEADLINE).await?;
            Ok::<_, PostgresError>((parts, large_objects))
        };
        taken.await.map_err(|source| holder.error(source))
    }

    /// Whether the server has no processor but those that the dump keeps busy. It is on our machine, unless it is outside.
    fn is_tight(&self) -> bool {
        let is_ours = self.asked.request.target.server.outside.is_none();
        let processors = std::thread::available_parallelism();
        is_ours && processors.is_ok_and(|count| count.get() <= BUSY_WITH_A_DUMP)
    }

    /// Joins in when the dump is over and something is left.
    async fn join(&self) -> Result<Vec<PartFacts>, ServerError> {
        self.dump_ended.cancelled().await;
        if !self.work.is_shareable() {
            return Ok(Vec::new());
        }
        let mut second = match self.begin_second().await {
            Ok(second) => second,
            Err(error) => {
                // The server may have no connection to spare: then the first one does it alone.
                tracing::debug!(error = %chain(&error), "no second session takes digests");
                return Ok(Vec::new());
            }
        };
        let shared = self.work.share(&mut second.session, DIGEST_DEADLINE).await;
        shared.map_err(|source| second.error(source))
    }

    async fn begin_second(&self) -> Result<Connected, ServerError> {
        let Asked {
            context,
            run,
            request,
            ..
        } = self.asked;
        let (target, database) = (&request.target, &request.database);
        let mut second = server::connect(context, run, target, database).await?;
        let imported = snapshot::import_snapshot(&mut second.session, self.snapshot).await;
        imported.map_err(|source| second.error(source))?;
        Ok(second)
    }
}

/// What has to be read once pg_dump is done: sequences again, and whether tables whose digest came later
/// still have the storage they had.
pub(super) async fn complete(
    opening: &mut Opening,
    counted: Counted,
    finished: &[bool],
) -> Counted {
    let Counted::Exact(mut census) = counted else {
        return counted;
    };
    let read = async {
        census.sequences_after = sequence::sequences(&mut opening.holder.session).await?;
        let tables = opening.relations.iter().zip(finished);
        let late = tables.filter_map(|(table, finished)| (!finished).then_some(table));
        let late: Vec<&LeafRelation> = late.collect();
        if late.is_empty() {
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

/// How much the snapshot held. Tables of extensions come and go with them, and large objects are no table.
pub(super) fn extent(relations: &[LeafRelation], counted: &Counted, size: ByteCount) -> Extent {
    let own = relations.iter().filter(|it| it.extension.is_none());
    let rows = match counted {
        Counted::Exact(census) => {
            let tables = census.tables.iter().filter(|table| {
                table.extension.is_none() && table.name != large_object::LARGE_OBJECTS
            });
            tables
                .map(|table| match table.rows {
                    Rows::Exact(rows) => Some(rows),
                    Rows::Absent(_) => None,
                })
                .sum()
        }
        Counted::Absent(_) | Counted::Summary { .. } => None,
    };
    Extent {
        tables: own.count() as u64,
        rows,
        size,
    }
}
