//! What is in a stored file or object: its bytes, opened where they are sealed, and the hash of what is stored.
//!
//! The one place that joins keys with them. What has a name that ends in `.age` is sealed; whether the identity opens it
//! says nothing about its bytes, so that is an answer of its own and never a verdict.

mod rest;

use std::io::{self, Read};
use std::path::Path;

use bytes::{Buf, Bytes};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::JobContext;
use super::server::Flow;
use crate::archive::{Identity, OpenError, open};
use crate::domain::backup::{Sealing, Sha256Hex};
use crate::store::StoreError;
use crate::store::read_back::ReadBack;
use crate::store::s3::S3Error;

pub use rest::{Reading, Rest};

/// Opened bytes are handed on in pieces of this size at most.
const PIECE: usize = 64 * 1024;
/// So many of them wait for whoever reads.
const WAITING_PIECES: usize = 8;

/// Why a sealed file stays closed. Says nothing about its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Closed {
    /// There is no identity here.
    #[error(
        "it is sealed with age and this stackwarden has no identity; set STACKWARDEN_AGE_IDENTITY_FILE to the file with the secret key"
    )]
    NoIdentity,
    /// The one that is here is another's.
    #[error(
        "it is sealed with age for other recipients than STACKWARDEN_AGE_IDENTITY opens; add the secret key of one of the recipients in its manifest"
    )]
    OtherRecipients,
}

/// What became of a file that was read to its end.
#[derive(Debug)]
pub struct Finished {
    /// Hash of the stored bytes.
    pub sha256: Sha256Hex,
    /// What is wrong with them as a sealed file; `None` when they opened to their end, or are not sealed.
    pub broken: Option<OpenError>,
}

/// Why a file could not be read as what was sealed in it.
#[derive(Debug, Error)]
pub enum OpenedError {
    /// It stays closed.
    #[error("{file}: {why}")]
    Closed {
        /// The file's name.
        file: String,
        /// Why.
        why: Closed,
    },
    /// It does not open although the identity is right: other bytes than were written.
    #[error(
        "{file} does not open as what was sealed in it; it was changed or cut, restore another backup"
    )]
    Broken {
        /// The file's name.
        file: String,
        /// How.
        #[source]
        source: OpenError,
    },
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket.
    #[error("the copy in the bucket could not be read")]
    Bucket(#[from] S3Error),
}

/// The bytes of a stored file in order, as they were before they were sealed.
///
/// # Cancellation
/// Dropped early, the threads end at their next piece; nothing is left behind.
#[derive(Debug)]
pub enum Opened {
    /// They are not sealed.
    AsStored(Reading),
    /// They are being opened on a thread of its own.
    Unsealing(Unsealing),
}

/// A sealed file that is being opened.
#[derive(Debug)]
pub struct Unsealing {
    pieces: mpsc::Receiver<Bytes>,
    worker: JoinHandle<Result<Finished, OpenedError>>,
    file: String,
}

/// The identity that a file needs: none, or ours.
///
/// # Errors
/// When it is sealed and there is none here.
fn identity_for<'a>(context: &'a JobContext, rest: &Rest) -> Result<Option<&'a Identity>, Closed> {
    match (rest.sealing(), &context.keys.identity) {
        (Sealing::Plain, _) => Ok(None),
        (Sealing::Age, Some(identity)) => Ok(Some(identity)),
        (Sealing::Age, None) => Err(Closed::NoIdentity),
    }
}

/// Why a file cannot be opened here, when it cannot: only its head is read. What is wrong with the bytes is not
/// asked; whoever reads all of them finds that out.
///
/// # Errors
/// When the file cannot be read.
pub async fn find_closed(context: &JobContext, rest: &Rest) -> Result<Option<Closed>, OpenedError> {
    let identity = match identity_for(context, rest) {
        Ok(None) => return Ok(None),
        Ok(Some(identity)) => identity.clone(),
        Err(closed) => return Ok(Some(closed)),
    };
    let mut source = Source::of(rest.open().await?);
    let looked =
        tokio::task::spawn_blocking(move || match open(&identity, &mut source).map(drop) {
            Err(OpenError::OtherRecipients) => Ok(Some(Closed::OtherRecipients)),
            // Either the bytes are wrong, or they did not come; whoever asks for all of them is told which.
            Err(OpenError::Broken(_)) | Ok(()) => Ok(None),
            Err(OpenError::Read(error)) => Err(error),
        });
    let failed = |source| StoreError::from_io("open", rest.shown(), source);
    let lost = |_panicked| StoreError::ThreadLost {
        path: rest.shown().into(),
    };
    Ok(looked.await.map_err(lost)?.map_err(failed)?)
}

/// All of something small, and the hash of what is stored.
///
/// # Errors
/// When it stays closed, is broken, or cannot be read.
pub async fn read_all(
    context: &JobContext,
    rest: &Rest,
) -> Result<(Vec<u8>, Sha256Hex), OpenedError> {
    let file = rest.shown();
    if let Some(why) = find_closed(context, rest).await? {
        return Err(OpenedError::Closed { file, why });
    }
    let mut opened = Opened::open(context, rest).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = opened.next().await {
        bytes.extend_from_slice(&piece);
    }
    let finished = opened.finish().await?;
    match finished.broken {
        None => Ok((bytes, finished.sha256)),
        Some(source) => Err(OpenedError::Broken { file, source }),
    }
}

impl Opened {
    /// Opens what is stored.
    ///
    /// # Errors
    /// When it is sealed and there is no identity here, or it cannot be read.
    pub async fn open(context: &JobContext, rest: &Rest) -> Result<Self, OpenedError> {
        let identity = identity_for(context, rest);
        let identity = identity.map_err(|why| OpenedError::Closed {
            file: rest.shown(),
            why,
        })?;
        Ok(Self::of_reading(rest.open().await?, rest.shown(), identity))
    }

    /// Opens what the disk gives back, with the identity that it needs; without one it is taken as it is.
    pub fn of(read: ReadBack, path: &Path, identity: Option<&Identity>) -> Self {
        Self::of_reading(Reading::File(read), path.display().to_string(), identity)
    }

    fn of_reading(read: Reading, file: String, identity: Option<&Identity>) -> Self {
        let Some(identity) = identity.cloned() else {
            return Self::AsStored(read);
        };
        let (sender, pieces) = mpsc::channel(WAITING_PIECES);
        let source = Source::of(read);
        let worker = tokio::task::spawn_blocking(move || unseal(source, &identity, &sender));
        Self::Unsealing(Unsealing {
            pieces,
            worker,
            file,
        })
    }

    /// Reads what is left.
    ///
    /// # Errors
    /// When the file could not be read to its end.
    pub async fn finish(self) -> Result<Finished, OpenedError> {
        let unsealing = match self {
            Self::AsStored(read) => {
                let sha256 = read.finish().await?;
                return Ok(Finished {
                    sha256,
                    broken: None,
                });
            }
            Self::Unsealing(unsealing) => unsealing,
        };
        let Unsealing {
            mut pieces,
            worker,
            file,
        } = unsealing;
        while pieces.recv().await.is_some() {}
        let lost = |_panicked| StoreError::ThreadLost { path: file.into() };
        worker.await.map_err(lost)?
    }
}

impl Flow for Opened {
    async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::AsStored(read) => read.next().await,
            Self::Unsealing(unsealing) => unsealing.pieces.recv().await,
        }
    }
}

/// Opens all of it, and reads to the end whatever comes of that: the hash tells whether it was the bytes.
fn unseal(
    mut source: Source,
    identity: &Identity,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<Finished, OpenedError> {
    let poured = pour(&mut source, identity, pieces);
    let Source { read, runtime, .. } = source;
    let broken = match poured {
        Ok(()) => None,
        Err(Poured::Broken(error)) => Some(error),
        Err(Poured::Unheard) => {
            let gone = io::Error::from(io::ErrorKind::BrokenPipe);
            return Err(StoreError::from_io("read", "a sealed file", gone).into());
        }
    };
    let sha256 = runtime.block_on(read.finish())?;
    Ok(Finished { sha256, broken })
}

enum Poured {
    Unheard,
    Broken(OpenError),
}

fn pour(
    source: &mut Source,
    identity: &Identity,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(), Poured> {
    let mut opened = open(identity, source).map_err(Poured::Broken)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = Read::by_ref(&mut opened)
            .take(PIECE as u64)
            .read_to_end(&mut piece);
        if !piece.is_empty() && pieces.blocking_send(Bytes::from(piece)).is_err() {
            return Err(Poured::Unheard);
        }
        match read {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Poured::Broken(error.into())),
        }
    }
}

/// What is read back, for a reader that waits. Where reading fails it ends: the hash then fails in the same words.
struct Source {
    read: Reading,
    runtime: Handle,
    chunk: Bytes,
}

impl Source {
    fn of(read: Reading) -> Self {
        Self {
            read,
            runtime: Handle::current(),
            chunk: Bytes::new(),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.read.next()) {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let read = self.chunk.as_ref().read(buffer)?;
        self.chunk.advance(read);
        Ok(read)
    }
}
