//! Where a scratch server keeps its data.

use std::path::PathBuf;

use super::FOLDER;
use crate::docker::ScratchData;
use crate::domain::backup::{Manifest, Sealing};
use crate::domain::room::GROWTH;
use crate::domain::unit::ByteCount;

/// What an empty server needs besides.
const BASE: u64 = 192 * 1024 * 1024;

/// Where a scratch server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In memory: fast, and bounded by the memory cap.
    Memory,
    /// In a volume.
    Disk,
}

impl Place {
    /// Memory for what probably fits well below the cap, which it counts against; disk for the rest. A guess: what compresses
    /// well or has very many tables needs more, and is then restored again on disk.
    pub(in crate::job::verify) fn guess(manifest: &Manifest, cap: ByteCount) -> Self {
        // What is sealed is opened into the same place.
        let spooled = match manifest.sealing() {
            Sealing::Plain => 0,
            Sealing::Age => manifest.stored_size.0,
        };
        let expected = BASE + manifest.stored_size.0.saturating_mul(GROWTH) + spooled;
        let available = memory_available().unwrap_or(0);
        if expected <= cap.0 / 2 && expected <= available / 4 {
            Self::Memory
        } else {
            Self::Disk
        }
    }

    /// Its size where it is memory: half of the cap, which it counts against.
    pub(super) fn memory(self, cap: ByteCount) -> Option<ByteCount> {
        match self {
            Self::Memory => Some(ByteCount(cap.0 / 2)),
            Self::Disk => None,
        }
    }

    /// As the engine is asked for it, below this memory cap.
    pub(super) fn data(self, cap: ByteCount) -> ScratchData {
        let target = PathBuf::from(FOLDER);
        match self.memory(cap) {
            Some(size) => ScratchData::Tmpfs { target, size },
            None => ScratchData::Volume { target },
        }
    }
}

/// `MemAvailable` of the host: containers see the host's `/proc/meminfo`.
fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
