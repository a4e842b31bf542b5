//! Reading a file so that others come first.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::domain::backup::Sha256Hex;
use crate::store::StoreError;
use crate::store::read_back::ReadBack;

/// So much reading at a stretch; the pause behind it is as long.
const STRETCH: Duration = Duration::from_millis(40);

/// SHA-256 of a file, read in stretches with pauses as long as they took: half of the disk's time at most, and less of
/// it the busier it is with others. `None` when there is no file.
///
/// # Errors
/// When it cannot be read.
///
/// # Cancellation
/// Dropped, the reading thread ends at its next chunk.
pub(super) async fn hash(
    path: &Path,
    seen: impl Fn(usize) + Send + Sync,
) -> Result<Option<Sha256Hex>, StoreError> {
    let mut file = match ReadBack::open(path).await {
        Ok(file) => file,
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut busy = Duration::ZERO;
    loop {
        let begun = Instant::now();
        let Some(chunk) = file.next().await else {
            return file.finish().await.map(Some);
        };
        busy += begun.elapsed();
        seen(chunk.len());
        if busy >= STRETCH {
            sleep(busy).await;
            busy = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn every_byte_is_seen_and_an_absent_file_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(hash(&path, |_| ()).await.unwrap(), None);
        std::fs::write(&path, vec![7_u8; 3_000_000]).unwrap();
        let seen = AtomicUsize::new(0);
        let count = |bytes| {
            seen.fetch_add(bytes, Ordering::Relaxed);
        };
        let first = hash(&path, count).await.unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 3_000_000);
        std::fs::write(&path, vec![7_u8; 2_999_999]).unwrap();
        assert_ne!(hash(&path, |_| ()).await.unwrap(), first);
    }
}
