//! Whether a disk has room for what is about to be written on it.
//!
//! Pure: sizes and free bytes are arguments. A figure that nobody knows never stops anything: then the disk
//! itself says so when it is full.

use std::fmt;

use super::backup::{Manifest, Packing};
use super::unit::ByteCount;

/// A restored database with its indexes is at most about so many times its compressed dump: the guess for
/// manifests that do not say how large their database was.
pub const GROWTH: u64 = 12;

/// What an empty server needs besides, [`LEAST_LOG`] included.
const EMPTY_SERVER: u64 = 192 * 1024 * 1024;

/// Enough for small copies: few files, used again and again.
const LEAST_LOG: u64 = 128 * 1024 * 1024;
/// More makes no restore faster.
const MOST_LOG: u64 = 1024 * 1024 * 1024;

/// `max_wal_size` as PostgreSQL comes: so much log stands at once, and a little more.
const RESTORE_LOG: u64 = 1024 * 1024 * 1024;

/// What a live server keeps behind a restore.
const RESTORE_MARGIN: u64 = 128 * 1024 * 1024;

/// Too little room, and how much there would have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// What is free.
    pub free: ByteCount,
    /// What has to be free before the work begins.
    pub needed: ByteCount,
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} free, {} needed", self.free, self.needed)
    }
}

/// The room for proofs: what is free where their copies go, and what of it has to stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofRoom {
    /// Free bytes.
    pub free: ByteCount,
    /// What a proof leaves, at least.
    pub reserve: ByteCount,
}

impl ProofRoom {
    /// What is missing for a copy of this backup.
    pub fn find_shortage(self, manifest: &Manifest) -> Option<Shortage> {
        find_shortage(Some(self.free), needed_for_proof(manifest, self.reserve))
    }

    /// Whether there is a twentieth more than needed: a disk around its limit must not cause one try after
    /// the other.
    pub fn is_ample(self, manifest: &Manifest) -> bool {
        let needed = needed_for_proof(manifest, self.reserve).0;
        self.free.0 >= needed.saturating_add(needed / 20)
    }
}

/// What the next backup of a series takes: the last one, and a tenth for growth.
pub fn needed_for_dump(last: ByteCount) -> ByteCount {
    ByteCount(last.0.saturating_add(last.0 / 10))
}

/// What has to be free before a proof on disk begins: the copy, and behind it still `reserve` and one and a
/// half of the stored backup, so that neither the live server nor the next backup runs out of room.
pub fn needed_for_proof(manifest: &Manifest, reserve: ByteCount) -> ByteCount {
    let stored = manifest.stored_size.0;
    let left = reserve.0.max(stored.saturating_add(stored / 2));
    ByteCount(copy(manifest).saturating_add(left))
}

/// How much write-ahead log a scratch server may keep for a database of this size before it writes all its pages out. A new
/// file of it costs a small copy time; too few of them make a large one be written out again and again (17.7 s instead of
/// 16.1 s for 1.5 GB). Where it stands in `memory`, half of what the copy leaves there at most.
pub fn write_ahead_log(database: ByteCount, memory: Option<ByteCount>) -> ByteCount {
    let wanted = (database.0 / 2).clamp(LEAST_LOG, MOST_LOG);
    let allowed = memory.map_or(MOST_LOG, |memory| {
        let left = memory
            .0
            .saturating_sub(EMPTY_SERVER)
            .saturating_sub(database.0);
        LEAST_LOG + left / 2
    });
    ByteCount(wanted.min(allowed))
}

/// What has to be free where a live server keeps its data before a copy is restored beside it: the copy, and the log
/// that its restore writes before the next checkpoint.
pub fn needed_for_restore(database: ByteCount) -> ByteCount {
    let log = database.0.min(RESTORE_LOG);
    ByteCount(
        database
            .0
            .saturating_add(log)
            .saturating_add(RESTORE_MARGIN),
    )
}

/// What has to be free before a stopped server's data is copied to be started: the copy, what its recovery writes, and
/// behind it still `reserve`.
pub fn needed_for_revival(data: ByteCount, reserve: ByteCount) -> ByteCount {
    let copy = data.0.saturating_add(EMPTY_SERVER);
    ByteCount(copy.saturating_add(reserve.0))
}

/// What the database of a backup takes when it is restored.
pub fn database_size(manifest: &Manifest) -> ByteCount {
    let guess = restored_size(manifest.stored_size);
    manifest.extent.map_or(guess, |extent| extent.size)
}

/// What probably becomes of a dump of which no more is known than its size.
pub fn restored_size(stored: ByteCount) -> ByteCount {
    ByteCount(stored.0.saturating_mul(GROWTH))
}

/// What a scratch server with a restored copy takes.
fn copy(manifest: &Manifest) -> u64 {
    let database = database_size(manifest).0;
    // A packed archive is unpacked beside the database before it is restored.
    let unpacked = match manifest.packing {
        Packing::OuterZstd => database,
        Packing::InnerZstd | Packing::InnerGzip | Packing::PlainSql => 0,
    };
    let log = write_ahead_log(ByteCount(database), None).0 - LEAST_LOG;
    database
        .saturating_add(unpacked)
        .saturating_add(EMPTY_SERVER)
        .saturating_add(log)
}

/// Whether `needed` is not there; nothing is short where nobody knows how much is free.
pub fn find_shortage(free: Option<ByteCount>, needed: ByteCount) -> Option<Shortage> {
    let free = free?;
    (free < needed).then_some(Shortage { free, needed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backup::example;
    use crate::domain::backup::suspicion::Extent;

    const GB: u64 = 1_000_000_000;

    fn stored(bytes: u64, database: Option<u64>) -> Manifest {
        let extent = database.map(|size| Extent {
            tables: 1,
            rows: None,
            size: ByteCount(size),
        });
        Manifest {
            stored_size: ByteCount(bytes),
            extent,
            ..example()
        }
    }

    #[test]
    fn a_dump_needs_the_last_size_and_a_tenth() {
        assert_eq!(needed_for_dump(ByteCount(10 * GB)), ByteCount(11 * GB));
        assert_eq!(needed_for_dump(ByteCount(u64::MAX)), ByteCount(u64::MAX));
    }

    #[test]
    fn a_proof_leaves_the_reserve_or_half_as_much_again_as_the_backup() {
        let reserve = ByteCount(5 * GB);
        let beside = EMPTY_SERVER + MOST_LOG - LEAST_LOG;
        let small = needed_for_proof(&stored(GB, Some(4 * GB)), reserve);
        assert_eq!(small, ByteCount(9 * GB + beside));
        let large = needed_for_proof(&stored(10 * GB, Some(40 * GB)), reserve);
        assert_eq!(large, ByteCount(55 * GB + beside));
        let unknown = needed_for_proof(&stored(GB, None), reserve);
        assert_eq!(unknown, ByteCount(17 * GB + beside));
        let packed = Manifest {
            packing: Packing::OuterZstd,
            ..stored(GB, Some(4 * GB))
        };
        assert_eq!(
            needed_for_proof(&packed, reserve),
            ByteCount(13 * GB + beside)
        );
    }

    #[test]
    fn the_log_grows_with_the_copy_and_never_takes_its_room() {
        let log = |database: u64, memory: Option<u64>| {
            write_ahead_log(ByteCount(database), memory.map(ByteCount)).0
        };
        assert_eq!(log(0, None), LEAST_LOG);
        assert_eq!(log(GB, None), GB / 2);
        assert_eq!(log(u64::MAX, None), MOST_LOG);
        assert_eq!(log(GB, Some(8 * GB)), GB / 2);
        // Nothing is left beside the copy, or hardly anything.
        assert_eq!(log(GB, Some(GB)), LEAST_LOG);
        assert_eq!(
            log(GB, Some(GB + EMPTY_SERVER + 2_000_000)),
            LEAST_LOG + 1_000_000
        );
        for memory in (0..40).map(|step| step * GB / 10) {
            let taken = log(GB, Some(memory)) - LEAST_LOG;
            assert!(
                taken == 0 || GB + EMPTY_SERVER + taken <= memory,
                "{memory}"
            );
        }
    }

    #[test]
    fn a_restore_needs_the_copy_and_the_log_that_it_writes() {
        let small = needed_for_restore(ByteCount(GB / 10));
        assert_eq!(small, ByteCount(GB / 5 + RESTORE_MARGIN));
        let large = needed_for_restore(ByteCount(40 * GB));
        assert_eq!(large, ByteCount(40 * GB + RESTORE_LOG + RESTORE_MARGIN));
        assert_eq!(database_size(&stored(GB, None)), ByteCount(12 * GB));
    }

    #[test]
    fn only_a_known_lack_is_a_shortage() {
        let (free, needed) = (ByteCount(9), ByteCount(10));
        assert_eq!(
            find_shortage(Some(free), needed),
            Some(Shortage { free, needed })
        );
        assert_eq!(find_shortage(Some(needed), needed), None);
        assert_eq!(find_shortage(None, needed), None);
    }
}
