//! Where the bytes of a pass go: sealed or as they are to the disk, and as they are to those who could not read them
//! back.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, timeout};

use crate::archive::{Recipients, Sealer};
use crate::domain::backup::Seal;
use crate::domain::unit::ByteCount;
use crate::job::backup::BackupError;
use crate::job::server::Flow;
use crate::store::read_back::ReadBack;
use crate::store::staged::{StagedFile, StoredFile};

/// Chunks that may wait for one who listens; with Docker's frames of at most 64 KiB this bounds memory to 4 MiB each.
const WAITING_CHUNKS: usize = 64;
/// So long a pass waits in all for those who listen: a dump holds locks, and who is slower than that is left behind.
const PATIENCE: Duration = Duration::from_mins(1);

/// A file on its way, with everything that has to see its bytes.
pub(in crate::job::backup) struct Sink {
    staged: StagedFile,
    sealing: Option<(Sealer, Recipients)>,
    taps: Vec<mpsc::Sender<Piece>>,
    patience: Duration,
    plain: u64,
}

/// What became of it.
pub(in crate::job::backup) struct Written {
    pub(in crate::job::backup) stored: StoredFile,
    pub(in crate::job::backup) seal: Option<Seal>,
}

enum Piece {
    Chunk(Bytes),
    /// These were all.
    End,
}

impl Sink {
    pub(in crate::job::backup) fn new(
        staged: StagedFile,
        recipients: Option<&Recipients>,
    ) -> Result<Self, BackupError> {
        let sealing = match recipients {
            Some(recipients) => Some((Sealer::begin(recipients)?, recipients.clone())),
            None => None,
        };
        Ok(Self {
            staged,
            sealing,
            taps: Vec::new(),
            patience: PATIENCE,
            plain: 0,
        })
    }

    /// The bytes as they come, from now on.
    pub(super) fn tap(&mut self) -> Tap {
        let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
        self.taps.push(sender);
        let heard = Heard::SoFar;
        Tap { receiver, heard }
    }

    /// Where the file is while it is being written.
    pub(super) fn path(&self) -> &Path {
        self.staged.partial()
    }

    /// The file on its way, for those who follow it.
    pub(super) fn staged(&self) -> &StagedFile {
        &self.staged
    }

    /// The stored bytes as the disk gives them back, while they are written.
    pub(super) fn follow(&self) -> Result<ReadBack, BackupError> {
        Ok(ReadBack::follow(&self.staged)?)
    }

    /// Takes the next bytes. To seal a piece takes some 60 µs, less than to get it out of Docker's frames.
    pub(in crate::job::backup) async fn write(&mut self, chunk: Bytes) -> Result<(), BackupError> {
        self.plain += chunk.len() as u64;
        self.tell(|| Piece::Chunk(chunk.clone())).await;
        let Some((sealer, _)) = &mut self.sealing else {
            return Ok(self.staged.write(chunk).await?);
        };
        for sealed in sealer.push(&chunk)? {
            self.staged.write(sealed).await?;
        }
        Ok(())
    }

    /// These were all: they are synced and get their name.
    pub(in crate::job::backup) async fn finish(mut self) -> Result<Written, BackupError> {
        self.tell(|| Piece::End).await;
        let mut seal = None;
        if let Some((sealer, recipients)) = self.sealing.take() {
            for sealed in sealer.finish()? {
                self.staged.write(sealed).await?;
            }
            seal = Some(Seal {
                recipients: recipients.names(),
                plain_size: ByteCount(self.plain),
            });
        }
        let stored = self.staged.finish().await?;
        Ok(Written { stored, seal })
    }

    /// Hands a piece to everybody who still listens; whoever is too slow in all hears no more.
    async fn tell(&mut self, piece: impl Fn() -> Piece) {
        let mut listening = Vec::with_capacity(self.taps.len());
        for tap in self.taps.drain(..) {
            let full = match tap.try_send(piece()) {
                Ok(()) => {
                    listening.push(tap);
                    continue;
                }
                Err(TrySendError::Closed(_)) => continue,
                Err(TrySendError::Full(piece)) => piece,
            };
            let begun = Instant::now();
            let sent = timeout(self.patience, tap.send(full)).await;
            self.patience = self.patience.saturating_sub(begun.elapsed());
            if matches!(sent, Ok(Ok(()))) {
                listening.push(tap);
            }
        }
        self.taps = listening;
    }
}

/// The plain bytes of a pass, for one who listens. Dropped, the pass goes on without it.
#[derive(Debug)]
pub(super) struct Tap {
    receiver: mpsc::Receiver<Piece>,
    heard: Heard,
}

/// How much of a pass came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It goes on.
    SoFar,
    /// All of it.
    Whole,
    /// Not all: we were too slow, or it came to nothing.
    Cut,
}

impl Tap {
    /// How much came by.
    pub(super) fn heard(&self) -> Heard {
        self.heard
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chunk(chunk) => write!(formatter, "{} bytes", chunk.len()),
            Self::End => formatter.write_str("end"),
        }
    }
}

impl Flow for Tap {
    async fn next(&mut self) -> Option<Bytes> {
        match self.receiver.recv().await {
            Some(Piece::Chunk(chunk)) => Some(chunk),
            Some(Piece::End) => {
                self.heard = Heard::Whole;
                None
            }
            None => {
                if self.heard == Heard::SoFar {
                    self.heard = Heard::Cut;
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staged::Ownership;

    fn sink(folder: &Path, recipients: Option<&Recipients>) -> Sink {
        let ownership = Ownership {
            user: rustix::process::getuid().as_raw(),
            group: rustix::process::getgid().as_raw(),
        };
        let staged = StagedFile::create(folder.join("a.dump"), ownership).unwrap();
        Sink::new(staged, recipients).unwrap()
    }

    async fn heard(mut tap: Tap) -> (usize, Heard) {
        let mut bytes = 0;
        while let Some(chunk) = tap.next().await {
            bytes += chunk.len();
        }
        (bytes, tap.heard())
    }

    #[tokio::test]
    async fn who_listens_hears_the_plain_bytes_of_a_file_that_is_stored_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let mut sink = sink(folder.path(), Some(&Recipients::parse(key).unwrap()));
        let tap = sink.tap();
        let write = async move {
            for _ in 0..300 {
                sink.write(Bytes::from_static(&[7; 1000])).await.unwrap();
            }
            sink.finish().await.unwrap()
        };
        let (written, heard) = tokio::join!(write, heard(tap));
        assert_eq!(heard, (300_000, Heard::Whole));
        let seal = written.seal.unwrap();
        assert_eq!(
            (seal.recipients[0].0.as_str(), seal.plain_size),
            (key, ByteCount(300_000))
        );
        let stored = std::fs::read(folder.path().join("a.dump")).unwrap();
        assert!(stored.starts_with(b"age-encryption.org/v1"));
        assert!(!stored.windows(20).any(|it| it == [7; 20]));
    }

    #[tokio::test]
    async fn who_is_too_slow_in_all_is_left_behind_and_the_pass_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(folder.path(), None);
        sink.patience = Duration::from_millis(200);
        let (deaf, gone) = (sink.tap(), sink.tap());
        drop(gone);
        let begun = Instant::now();
        for _ in 0..2 * WAITING_CHUNKS {
            sink.write(Bytes::from_static(b"x")).await.unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_millis(200));
        assert_eq!(sink.taps.len(), 0);
        let written = sink.finish().await.unwrap();
        assert_eq!((written.stored.size.0, written.seal), (128, None));
        assert_eq!(heard(deaf).await, (WAITING_CHUNKS, Heard::Cut));
    }
}
