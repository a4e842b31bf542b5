//! The copy that is made in the same pass as the backup: it follows the file while the dump writes it.
//!
//! Whoever takes the backup holds a [`Ticket`] for each file that is followed. Dropped, the upload is aborted; handed
//! the manifest of the backup that now stands on disk, the upload is completed and the manifest written beside it. So
//! nothing can be complete in the bucket that is not a backup here.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::domain::backup::{Manifest, Packing, Sealing, Series};
use crate::domain::failure::chain;
use crate::domain::id::BackupId;
use crate::domain::unit::ByteCount;
use crate::store::layout;
use crate::store::s3::{Aim, S3Error, S3Store, Source, Upload};
use crate::store::staged::StagedFile;

/// With no part done for so long, the copy is left to a job of its own.
pub(in crate::job) const STANDSTILL: Duration = Duration::from_secs(20);

/// The right to decide what becomes of a file that is followed.
#[derive(Debug)]
pub struct Ticket(oneshot::Sender<Manifest>);

impl Ticket {
    /// The backup stands on disk: now it may stand in the bucket too.
    pub(in crate::job) fn commit(self, manifest: &Manifest) {
        // Nobody hears it where the upload has failed already, and told so.
        drop(self.0.send(manifest.clone()));
    }
}

/// What became of the copy of a backup that stands on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Copied {
    /// Nobody asked for one.
    #[default]
    NotAsked,
    /// It is in the bucket.
    Done,
    /// It is not, and why.
    Missing(String),
}

/// One file to follow.
struct Follow {
    name: FileName,
    source: Source,
    decision: oneshot::Receiver<Manifest>,
}

/// Which file, and how large it is expected to become.
#[derive(Debug, Clone)]
pub(in crate::job) struct FileName {
    pub(in crate::job) series: Series,
    pub(in crate::job) id: BackupId,
    pub(in crate::job) packing: Packing,
    pub(in crate::job) sealing: Sealing,
    pub(in crate::job) expected: Option<ByteCount>,
}

/// Where a dump says which file it writes.
#[derive(Debug)]
pub(in crate::job) struct Along {
    sender: Option<mpsc::Sender<Follow>>,
    /// The size of the last backup tells more than that of the database, where there is one.
    last: Option<ByteCount>,
}

/// What is followed.
pub(in crate::job) struct Follows {
    receiver: mpsc::Receiver<Follow>,
}

/// How long the copy may go on when the backup stands, and when to stop.
#[derive(Debug, Clone)]
pub(in crate::job) struct Bounds {
    pub(in crate::job) tail: Duration,
    pub(in crate::job) stop: CancellationToken,
}

/// A pair: what is said at one end is followed at the other; `last` is the size of the last backup.
pub(in crate::job) fn begin(last: Option<ByteCount>) -> (Along, Follows) {
    let (sender, receiver) = mpsc::channel(1);
    let sender = Some(sender);
    (Along { sender, last }, Follows { receiver })
}

impl Along {
    /// Without a bucket nothing is followed.
    pub(in crate::job) fn nobody() -> Self {
        Self {
            sender: None,
            last: None,
        }
    }

    /// Follows a file; `None` where nobody does, or it cannot be followed, which the job of the copy then finds out.
    pub(in crate::job) async fn follow(
        &self,
        staged: &StagedFile,
        name: FileName,
    ) -> Option<Ticket> {
        let sender = self.sender.as_ref()?;
        let name = FileName {
            expected: self.last.or(name.expected),
            ..name
        };
        let source = match Source::follow(staged) {
            Ok(source) => source,
            Err(error) => {
                tracing::warn!(series = %name.series, error = %chain(&error), "the file cannot be followed; it is copied later");
                return None;
            }
        };
        let (decide, decision) = oneshot::channel();
        let follow = Follow {
            name,
            source,
            decision,
        };
        sender.send(follow).await.ok()?;
        Some(Ticket(decide))
    }
}

/// Follows files until nobody says any more which; tells what became of the one that is a backup.
///
/// # Cancellation
/// As of [`Upload`].
pub(in crate::job) async fn drive(
    store: &S3Store,
    mut follows: Follows,
    bounds: &Bounds,
) -> Copied {
    let mut copied = Copied::NotAsked;
    while let Some(follow) = follows.receiver.recv().await {
        match carry(store, follow, bounds).await {
            Ok(()) => copied = Copied::Done,
            // Its dump came to nothing.
            Err(S3Error::GivenUp) => {}
            Err(error) => copied = Copied::Missing(chain(&error)),
        }
    }
    copied
}

async fn carry(store: &S3Store, follow: Follow, bounds: &Bounds) -> Result<(), S3Error> {
    let Follow {
        name,
        source,
        mut decision,
    } = follow;
    let file = layout::stored_name(&name.id, name.packing, name.sealing);
    let aim = Aim {
        key: store.key_of_file(&name.series, &file),
        expected: name.expected,
        standstill: STANDSTILL,
    };
    let mut upload = store.upload(aim, source);
    let (sent, decided) = send(&mut upload, &mut decision, bounds).await;
    let manifest = match decided {
        Decided::Published(manifest) => Ok(*manifest),
        Decided::GivenUp => Err(S3Error::GivenUp),
        // Only now is it known whether there is a backup that lacks a copy.
        Decided::NotYet => decision.await.map_err(|_given_up| S3Error::GivenUp),
    };
    let manifest = match (sent, manifest) {
        (Ok(()), Ok(manifest)) => manifest,
        (Err(error), Ok(_)) | (_, Err(error)) => {
            upload.abort().await;
            return Err(error);
        }
    };
    let finish = async {
        upload.complete().await?;
        store.publish(&manifest).await
    };
    tokio::select! {
        done = finish => done,
        stopped = late(store, Instant::now(), bounds) => Err(stopped),
    }
}

/// What became of the dump while it was sent. Whoever has heard it must not ask again.
enum Decided {
    /// It is a backup.
    Published(Box<Manifest>),
    /// It came to nothing.
    GivenUp,
    /// Nobody has said.
    NotYet,
}

/// Sends what the dump writes, and goes on behind it as long as it may.
async fn send(
    upload: &mut Upload,
    decision: &mut oneshot::Receiver<Manifest>,
    bounds: &Bounds,
) -> (Result<(), S3Error>, Decided) {
    let store = upload.store().clone();
    let mut sending = pin!(upload.send());
    let manifest = tokio::select! {
        biased;
        decided = decision => match decided {
            Ok(manifest) => manifest,
            Err(_given_up) => return (Err(S3Error::GivenUp), Decided::GivenUp),
        },
        sent = &mut sending => return (sent, Decided::NotYet),
    };
    let sent = tokio::select! {
        sent = sending => sent,
        stopped = late(&store, Instant::now(), bounds) => Err(stopped),
    };
    (sent, Decided::Published(Box::new(manifest)))
}

/// Ends when the copy has gone on for too long behind its backup, or we are told to stop.
async fn late(store: &S3Store, since: Instant, bounds: &Bounds) -> S3Error {
    tokio::select! {
        () = sleep_until(since + bounds.tail) => S3Error::TooSlow {
            place: store.place().to_owned(),
            seconds: bounds.tail.as_secs(),
        },
        () = bounds.stop.cancelled() => S3Error::Stopped,
    }
}
