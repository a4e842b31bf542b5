//! Into how many pieces a file goes: equal ones, as R2 wants them, and at most a thousand, as Scaleway does.

use crate::domain::unit::ByteCount;

const MIB: u64 = 1 << 20;

/// The usual size; less than 5 MiB is refused by most stores.
pub(super) const USUAL: u64 = 8 * MIB;
/// The largest that is held in memory: two of them are on their way at once.
pub(super) const LARGEST_IN_MEMORY: u64 = 16 * MIB;
/// So many parts every store takes.
pub(super) const MOST: u64 = 1_000;
/// A dump that is larger than expected still fits when it is so many times as large.
const MARGIN: u64 = 2;

/// How a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes of each part but the last.
    pub(super) size: u64,
}

impl Cut {
    /// For a file of exactly this size.
    pub(super) fn exact(size: ByteCount) -> Self {
        let needed = size.0.div_ceil(MOST).next_multiple_of(MIB);
        Self {
            size: needed.max(USUAL),
        }
    }

    /// For a file that is still being written; one that outgrows it is uploaded again when it is finished.
    /// `None` when its parts would be too large to be held in memory.
    pub(super) fn expected(size: Option<ByteCount>) -> Option<Self> {
        let size = size.unwrap_or_default().0.saturating_mul(MARGIN);
        let cut = Self::exact(ByteCount(size));
        (cut.size <= LARGEST_IN_MEMORY).then_some(cut)
    }

    /// Whether a part is held in memory; else it is read twice, once for its digest and once as it is sent.
    pub(super) fn is_in_memory(self) -> bool {
        self.size <= LARGEST_IN_MEMORY
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_files_have_usual_parts() {
        assert_eq!(Cut::exact(ByteCount(0)).size, USUAL);
        assert_eq!(Cut::exact(ByteCount(USUAL * MOST)).size, USUAL);
        assert_eq!(Cut::expected(None), Some(Cut { size: USUAL }));
        // Twice eight gigabytes are too much for parts of 16 MiB.
        assert_eq!(Cut::expected(Some(ByteCount(8 << 30))), None);
        assert!(!Cut::exact(ByteCount(20 << 30)).is_in_memory());
    }

    proptest! {
        #[test]
        fn a_thousand_parts_always_do(size in 0_u64..5 << 40) {
            let cut = Cut::exact(ByteCount(size));
            prop_assert!(size.div_ceil(cut.size) <= MOST);
            prop_assert_eq!(cut.size % MIB, 0);
        }
    }
}
