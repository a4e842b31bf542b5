//! What is decoded beside a dump: what the disk gives back, where it can be opened here; else the stream of the pass.

use std::path::PathBuf;
use std::sync::Arc;

use super::sink::{Heard, Sink, Tap};
use crate::domain::backup::{Level, Sha256Hex};
use crate::domain::failure::chain;
use crate::job::JobContext;
use crate::job::backup::archive_check::Archive;
use crate::job::backup::{BackupError, TakeRequest};
use crate::job::opened::Opened;
use crate::job::server::Flow;
use crate::job::verify::Stage;
use crate::store::StoreError;

/// What is going to be decoded.
pub(super) enum Beside {
    Nothing,
    File(Opened, PathBuf),
    Stream {
        whole: Tap,
        head: Tap,
        /// And restored later.
        staged: Option<(Arc<Stage>, Tap)>,
    },
}

/// What was.
#[derive(Debug)]
pub(in crate::job::backup) enum Decoding {
    /// Nobody asked.
    Nothing,
    /// What the disk gave back; the hash of the stored bytes.
    Stored(Sha256Hex),
    /// The stream that was sealed and stored, whose schema text this is.
    Stream(Vec<u8>),
    /// The stream as far as it could be waited for.
    LeftBehind,
}

impl Beside {
    /// At `stream` nothing is decoded.
    pub(super) fn begin(
        context: &JobContext,
        request: &TakeRequest,
        sink: &mut Sink,
    ) -> Result<Self, BackupError> {
        if request.level == Level::Stream {
            return Ok(Self::Nothing);
        }
        let keys = &context.keys;
        let identity = keys.own_identity();
        if keys.recipients.is_some() && identity.is_none() {
            let stage = request.stage.as_ref();
            return Ok(Self::Stream {
                whole: sink.tap(),
                head: sink.tap(),
                staged: stage.map(|stage| (Arc::clone(stage), sink.tap())),
            });
        }
        let path = sink.path().to_owned();
        let opened = Opened::of(sink.follow()?, &path, identity);
        Ok(Self::File(opened, path))
    }

    /// Decodes it, while it comes.
    ///
    /// # Errors
    /// When it does not decode, or pg_restore fails.
    pub(super) async fn decode(self, archive: &Archive<'_>) -> Result<Decoding, BackupError> {
        match self {
            Self::Nothing => Ok(Decoding::Nothing),
            Self::File(mut opened, path) => {
                archive.decode(&mut opened).await?;
                let finished = opened.finish().await?;
                if finished.broken.is_some() {
                    return Err(StoreError::Altered { path }.into());
                }
                Ok(Decoding::Stored(finished.sha256))
            }
            Self::Stream {
                whole,
                head,
                staged,
            } => {
                let (decoded, schema, ()) =
                    tokio::try_join!(decode(archive, whole), read_schema(archive, head), async {
                        fill(archive, staged).await;
                        Ok(())
                    },)?;
                Ok(match (decoded, schema) {
                    (Heard::Whole, Some(schema)) => Decoding::Stream(schema),
                    _ => Decoding::LeftBehind,
                })
            }
        }
    }
}

/// Decodes what comes by. That a cut stream does not decode is no news.
async fn decode(archive: &Archive<'_>, mut whole: Tap) -> Result<Heard, BackupError> {
    let decoded = archive.decode(&mut whole).await;
    if decoded.is_ok() {
        // pg_restore knows where an archive ends and may leave before it hears that these were all.
        while whole.next().await.is_some() {}
    }
    match whole.heard() {
        Heard::Cut => Ok(Heard::Cut),
        heard => decoded.map(|()| heard),
    }
}

/// Writes what comes by into the scratch server. What goes wrong there costs the proof, never the dump.
async fn fill(archive: &Archive<'_>, staged: Option<(Arc<Stage>, Tap)>) {
    let Some((stage, mut stream)) = staged else {
        return;
    };
    let filled = stage
        .fill(archive.context, archive.packing, &mut stream)
        .await;
    match (filled, stream.heard()) {
        (Ok(()), Heard::Whole) => stage.keep(),
        (Err(error), _) => {
            tracing::warn!(error = %chain(&error), "the stream of the sealed backup could not be written into the scratch server");
        }
        (Ok(()), Heard::SoFar | Heard::Cut) => {
            tracing::warn!("the scratch server was too slow for the stream of the sealed backup");
        }
    }
}

/// The schema text, unless the stream was cut before it was there.
async fn read_schema(archive: &Archive<'_>, mut head: Tap) -> Result<Option<Vec<u8>>, BackupError> {
    let schema = archive.read_schema(&mut head).await;
    match head.heard() {
        Heard::Cut => Ok(None),
        Heard::SoFar | Heard::Whole => schema.map(Some),
    }
}
