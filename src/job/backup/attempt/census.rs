//! Rows and digests of the snapshot, taken in the holding session beside the dump.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Counting, Opening};
use crate::domain::backup::suspicion::Extent;
use crate::domain::backup::{Census, Counted};
use crate::domain::comparison::{Digest, Rows, TableFacts};
use crate::domain::failure::chain;
use crate::domain::unit::ByteCount;
use crate::job::server::{Connected, ServerError};
use crate::postgres::relation::{self, LeafRelation, slipped};
use crate::postgres::{PostgresError, digest, large_object, sequence};

/// One batch of digests: a single huge table may take hours on a slow disk.
const DIGEST_DEADLINE: Duration = Duration::from_hours(6);

/// Counts and digests every table of the snapshot; a failure costs the counts, never the dump.
pub(super) async fn count(
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
pub(super) async fn complete(
    opening: &mut Opening,
    counted: Counted,
    done_at_end: usize,
) -> Counted {
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
