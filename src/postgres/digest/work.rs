//! The digests of many tables as work that several sessions with one snapshot share.
//!
//! A digest is a sum over rows, so the pages of a large table can be read apart, by whoever is free, and added up. A row
//! that a snapshot sees never moves to another page: what rewrites a table gives it another file, which is seen.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{digest_parts, unknown_facts};
use crate::domain::comparison::{Digest, Rows, TableFacts};
use crate::postgres::failure::PostgresError;
use crate::postgres::relation::LeafRelation;
use crate::postgres::session::Session;

/// Tables in one round trip.
const BATCH_TABLES: usize = 64;
/// Pages in one round trip (64 MiB), so that progress is seen and a look after it comes soon.
const BATCH_PAGES: u32 = 8_192;

/// Pages of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// All of them.
    All,
    /// From the first number, up to and without the second.
    Between(u32, u32),
    /// From this number: the last part has no end, for a table may have grown.
    From(u32),
}

/// A table, or some pages of a large one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// Its place in the list of tables.
    table: usize,
    pages: Pages,
}

/// Rows and digest of one part.
#[derive(Debug)]
pub struct PartFacts {
    table: usize,
    facts: TableFacts,
}

/// What there is to do, and how far it is.
#[derive(Debug)]
pub struct Work<'a> {
    relations: &'a [LeafRelation],
    parts: Vec<Part>,
    batches: Vec<Range<usize>>,
    next: AtomicUsize,
    /// Parts that are not done yet, for each table.
    left: Vec<AtomicUsize>,
}

/// How a session goes from batch to batch.
#[derive(Debug, Clone, Copy)]
pub enum Pace<'a> {
    /// Without a rest.
    Steady,
    /// It rests as long as it worked, until this is cancelled.
    Resting(&'a CancellationToken),
}

impl Pace<'_> {
    async fn rest(self, worked: Duration) {
        let Self::Resting(until) = self else { return };
        tokio::select! {
            () = sleep(worked) => {}
            () = until.cancelled() => {}
        }
    }
}

impl<'a> Work<'a> {
    /// All tables, the large ones in parts.
    pub fn new(relations: &'a [LeafRelation]) -> Self {
        let mut parts = Vec::with_capacity(relations.len());
        let mut left = Vec::with_capacity(relations.len());
        for (table, relation) in relations.iter().enumerate() {
            let before = parts.len();
            parts.extend(ranges(relation.pages).map(|pages| Part { table, pages }));
            left.push(AtomicUsize::new(parts.len() - before));
        }
        Self {
            relations,
            batches: batches(relations, &parts),
            parts,
            next: AtomicUsize::new(0),
            left,
        }
    }

    /// Whether one more session would find something to do.
    pub fn is_shareable(&self) -> bool {
        self.next.load(Ordering::Acquire) < self.batches.len()
    }

    /// Which tables are done, in the order of the tables.
    pub fn finished(&self) -> Vec<bool> {
        let left = self.left.iter();
        left.map(|left| left.load(Ordering::Acquire) == 0).collect()
    }

    /// Takes batch after batch in a session whose transaction holds the snapshot, until none is left; `deadline` is for
    /// each batch. A table that cannot be digested (no right, a row too large) is a [`Digest::Absent`] with its reason.
    ///
    /// # Errors
    /// A lost session or a passed deadline; the whole work is in vain then.
    ///
    /// # Cancellation
    /// Leaves the statement running on the server until the session is ended.
    pub async fn share(
        &self,
        session: &mut Session,
        deadline: Duration,
    ) -> Result<Vec<PartFacts>, PostgresError> {
        self.share_at(session, deadline, Pace::Steady).await
    }

    /// As [`Work::share`], at this pace.
    ///
    /// # Errors
    /// As [`Work::share`].
    ///
    /// # Cancellation
    /// As [`Work::share`].
    pub async fn share_at(
        &self,
        session: &mut Session,
        deadline: Duration,
        pace: Pace<'_>,
    ) -> Result<Vec<PartFacts>, PostgresError> {
        let mut done = Vec::new();
        loop {
            let begun = Instant::now();
            let taken = self.next.fetch_add(1, Ordering::AcqRel);
            let batch = self.batches.get(taken).cloned();
            let Some(batch) = batch.and_then(|batch| self.parts.get(batch)) else {
                return Ok(done);
            };
            let tables = batch
                .iter()
                .filter_map(|part| Some((self.relations.get(part.table)?, part.pages)))
                .collect::<Vec<_>>();
            let facts = digest_parts(session, &tables, deadline).await?;
            for (part, facts) in batch.iter().zip(facts) {
                let table = part.table;
                done.push(PartFacts { table, facts });
                if let Some(left) = self.left.get(table) {
                    left.fetch_sub(1, Ordering::AcqRel);
                }
            }
            pace.rest(begun.elapsed()).await;
        }
    }

    /// The facts of the tables, in their order, once all sessions are through.
    pub fn sum(&self, parts: impl IntoIterator<Item = PartFacts>) -> Vec<TableFacts> {
        let mut sums: Vec<Option<TableFacts>> = self.relations.iter().map(|_table| None).collect();
        for part in parts {
            let Some(sum) = sums.get_mut(part.table) else {
                continue;
            };
            *sum = Some(match sum.take() {
                None => part.facts,
                Some(sum) => add(sum, part.facts),
            });
        }
        let both = self.relations.iter().zip(sums);
        both.map(|(relation, sum)| {
            sum.unwrap_or_else(|| unknown_facts(relation, "nobody came to read it"))
        })
        .collect()
    }
}

fn add(sum: TableFacts, part: TableFacts) -> TableFacts {
    let rows = match (sum.rows, part.rows) {
        (Rows::Exact(sum), Rows::Exact(part)) => Rows::Exact(sum.saturating_add(part)),
        (Rows::Absent(why), _) | (_, Rows::Absent(why)) => Rows::Absent(why),
    };
    let digest = match (sum.digest, part.digest) {
        (Digest::V1(sum), Digest::V1(part)) => add_digests(&sum, &part),
        (Digest::Absent(why), _) | (_, Digest::Absent(why)) => Digest::Absent(why),
    };
    TableFacts {
        rows,
        digest,
        ..sum
    }
}

/// The sums are of 64-bit numbers, as many as there are rows: 128 bits hold them.
fn add_digests(sum: &str, part: &str) -> Digest {
    let both = (sum.parse::<i128>(), part.parse::<i128>());
    match both {
        (Ok(sum), Ok(part)) => Digest::V1(sum.saturating_add(part).to_string()),
        _ => Digest::Absent("the digest of one of its parts is no number".to_owned()),
    }
}

/// The parts of a table with so many pages.
fn ranges(pages: i64) -> impl Iterator<Item = Pages> {
    let pages = u32::try_from(pages).unwrap_or(0);
    let parts = pages.div_ceil(BATCH_PAGES).max(1);
    (0..parts).map(move |part| {
        let from = part * BATCH_PAGES;
        match part + 1 {
            _ if parts == 1 => Pages::All,
            next if next == parts => Pages::From(from),
            _ => Pages::Between(from, from + BATCH_PAGES),
        }
    })
}

/// Cuts parts into round trips, in their order.
fn batches(relations: &[LeafRelation], parts: &[Part]) -> Vec<Range<usize>> {
    let mut cut = Vec::new();
    let (mut begin, mut pages) = (0, 0);
    for (index, part) in parts.iter().enumerate() {
        let whole = relations.get(part.table).map_or(0, |table| table.pages);
        let size = match part.pages {
            Pages::All => u32::try_from(whole).unwrap_or(0),
            Pages::Between(..) | Pages::From(_) => BATCH_PAGES,
        };
        let full =
            index - begin >= BATCH_TABLES || pages >= BATCH_PAGES || pages + size > BATCH_PAGES;
        if full && index > begin {
            cut.push(begin..index);
            (begin, pages) = (index, 0);
        }
        pages += size;
    }
    if begin < parts.len() {
        cut.push(begin..parts.len());
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::relation::Carriage;

    fn table(oid: u32, pages: i64) -> LeafRelation {
        LeafRelation {
            oid,
            file_node: oid,
            name: format!("public.t{oid}"),
            pages,
            columns: Vec::new(),
            extension: None,
            carriage: Carriage::Carried,
        }
    }

    fn counted(table: usize, rows: u64, digest: &str) -> PartFacts {
        let facts = TableFacts {
            name: format!("public.t{table}"),
            rows: Rows::Exact(rows),
            digest: Digest::V1(digest.to_owned()),
            extension: None,
        };
        PartFacts { table, facts }
    }

    #[test]
    fn every_part_stands_in_one_batch_and_small_tables_share_them() {
        let mut relations: Vec<LeafRelation> = (0..200).map(|oid| table(oid, 0)).collect();
        relations.insert(10, table(900, i64::from(BATCH_PAGES) * 3 + 1));
        let work = Work::new(&relations);
        let together: usize = work.batches.iter().map(Range::len).sum();
        assert_eq!((together, work.parts.len()), (204, 204));
        assert!(work.batches.iter().all(|batch| batch.len() <= BATCH_TABLES));
        let large = |batch: &Range<usize>| {
            let parts = work.parts[batch.clone()].iter();
            parts.filter(|part| part.pages != Pages::All).count()
        };
        let large: Vec<usize> = work.batches.iter().map(large).collect();
        assert_eq!(large.iter().sum::<usize>(), 4);
        assert!(large.iter().all(|parts| *parts <= 1), "{large:?}");
    }

    #[test]
    fn the_parts_of_a_table_leave_no_page_out_and_the_last_has_no_end() {
        let found: Vec<_> = ranges(i64::from(BATCH_PAGES) * 2 + 5).collect();
        let size = BATCH_PAGES;
        let (first, second) = (Pages::Between(0, size), Pages::Between(size, 2 * size));
        assert_eq!(found, [first, second, Pages::From(2 * size)]);
        for small in [-1, 0, i64::from(BATCH_PAGES)] {
            assert_eq!(ranges(small).collect::<Vec<_>>(), [Pages::All]);
        }
    }

    #[test]
    fn parts_add_up_whatever_their_order_and_sign() {
        let relations = [table(0, 0), table(1, 0)];
        let work = Work::new(&relations);
        let sum = work.sum([
            counted(1, 2, "-9223372036854775808"),
            counted(0, 1, "7"),
            counted(1, 3, "-9223372036854775808"),
        ]);
        assert_eq!(sum[0].digest, Digest::V1("7".to_owned()));
        assert_eq!(sum[1].rows, Rows::Exact(5));
        assert_eq!(
            sum[1].digest,
            Digest::V1("-18446744073709551616".to_owned())
        );
    }

    #[test]
    fn one_part_without_a_digest_leaves_its_table_without_and_says_why() {
        let relations = [table(0, 0)];
        let work = Work::new(&relations);
        let lost = PartFacts {
            table: 0,
            facts: unknown_facts(&relations[0], "a row is too large"),
        };
        let sum = work.sum([counted(0, 1, "7"), lost]);
        assert_eq!(
            sum[0].digest,
            Digest::Absent("a row is too large".to_owned())
        );
        assert!(matches!(sum[0].rows, Rows::Absent(_)));
        let nothing = work.sum([]);
        assert!(matches!(nothing[0].digest, Digest::Absent(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_gives_way_rests_as_long_as_it_worked_and_only_while_it_has_to() {
        let worked = Duration::from_secs(3);
        let rest = async |pace: Pace<'_>| {
            let begun = Instant::now();
            pace.rest(worked).await;
            begun.elapsed()
        };
        let dump_ended = CancellationToken::new();
        assert_eq!(rest(Pace::Resting(&dump_ended)).await, worked);
        dump_ended.cancel();
        assert_eq!(rest(Pace::Resting(&dump_ended)).await, Duration::ZERO);
        assert_eq!(rest(Pace::Steady).await, Duration::ZERO);
    }
}
