//! An upload: in parts while the file grows, or in one piece when it is small.
//!
//! Nothing of it is visible before [`Upload::complete`], which whoever takes the backup calls only when the dump has
//! ended well and was checked.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use super::part::{Cut, MOST};
use super::record::{Record, UploadName};
use super::send::{Part, send_part, send_whole};
use super::source::{Piece, Source};
use super::{S3Error, S3Store};
use crate::domain::unit::ByteCount;
use crate::store::staged::Growth;

/// Parts on their way at once; with their size this bounds the memory of an upload.
const AT_ONCE: usize = 2;
/// An abort must not keep a process that has to end.
const ABORT_PATIENCE: Duration = Duration::from_secs(4);

/// What an upload is for.
#[derive(Debug, Clone)]
pub struct Aim {
    /// The object.
    pub key: String,
    /// How large it will be, as far as somebody knows.
    pub expected: Option<ByteCount>,
    /// With no part done for so long, it is given up.
    pub standstill: Duration,
}

/// A file on its way into a bucket.
///
/// # Cancellation
/// Dropped without [`Upload::abort`], its parts stay in the bucket, unseen, until the next
/// [`S3Store::abort_orphans`].
#[derive(Debug)]
pub struct Upload {
    store: S3Store,
    aim: Aim,
    source: Source,
    begun: Option<Begun>,
    sent: u64,
    parts: Vec<CompletedPart>,
}

#[derive(Debug)]
struct Begun {
    id: String,
    record: Record,
}

impl S3Store {
    /// An upload; nothing is sent yet.
    pub fn upload(&self, aim: Aim, source: Source) -> Upload {
        let standstill = aim.standstill.min(self.inner.patience.standstill);
        let aim = Aim { standstill, ..aim };
        Upload {
            store: self.clone(),
            aim,
            source,
            begun: None,
            sent: 0,
            parts: Vec::new(),
        }
    }
}

impl Upload {
    /// Where it goes.
    pub fn store(&self) -> &S3Store {
        &self.store
    }

    /// Sends parts until the file is complete and all of it is there. A file of one part waits for
    /// [`Upload::complete`].
    ///
    /// # Errors
    /// When a part cannot be sent, or none was done for too long; abort it then.
    ///
    /// # Cancellation
    /// Dropped, parts on their way are lost; abort the upload then.
    pub async fn send(&mut self) -> Result<(), S3Error> {
        // What could neither be found nor removed again is not sent at all.
        let seen = Box::pin(self.store.entries(&self.aim.key));
        let seen = timeout(self.aim.standstill, seen).await;
        drop(seen.unwrap_or_else(|_elapsed| Err(self.stood_still()))?);
        let cut = self.cut().await?;
        let Some(first) = self.source.piece(0, cut.size).await? else {
            return Ok(());
        };
        if self.is_whole(first) {
            return Ok(());
        }
        let patience = self.aim.standstill;
        let begun = timeout(patience, Box::pin(self.begin())).await;
        let id = begun.unwrap_or_else(|_elapsed| Err(self.stood_still()))?;
        let at_once = if cut.is_in_memory() { AT_ONCE } else { 1 };
        let mut flying = FuturesUnordered::new();
        let (mut offset, mut number, mut is_all) = (0, 1, false);
        let Self {
            store,
            aim,
            source,
            parts,
            ..
        } = self;
        while !is_all || !flying.is_empty() {
            let has_room = !is_all && flying.len() < at_once;
            tokio::select! {
                piece = source.piece(offset, cut.size), if has_room => {
                    let Some(piece) = piece? else { is_all = true; continue };
                    if number > MOST {
                        return Err(S3Error::Outgrown);
                    }
                    let part = Part {
                        key: aim.key.clone(),
                        upload: id.clone(),
                        number: i32::try_from(number).unwrap_or(i32::MAX),
                        piece,
                        is_in_memory: cut.is_in_memory(),
                    };
                    let (file, path) = (Arc::clone(&source.file), source.path.clone());
                    flying.push(send_part(store.clone(), part, file, path));
                    offset += piece.length;
                    number += 1;
                    is_all = piece.length < cut.size;
                }
                done = timeout(aim.standstill, flying.next()), if !flying.is_empty() => match done {
                    Ok(Some(part)) => parts.push(part?),
                    Ok(None) => {}
                    Err(_elapsed) => return Err(stood_still(store, aim)),
                },
            }
        }
        drop(flying);
        self.sent = offset;
        Ok(())
    }

    fn stood_still(&self) -> S3Error {
        stood_still(&self.store, &self.aim)
    }

    async fn cut(&mut self) -> Result<Cut, S3Error> {
        if let Growth::SoFar(_) = self.source.growth()
            && let Some(cut) = Cut::expected(self.aim.expected)
        {
            return Ok(cut);
        }
        // Parts too large for memory are read from the file when it is finished.
        Ok(Cut::exact(self.source.complete().await?))
    }

    /// Whether this first piece is all there is.
    fn is_whole(&self, first: Piece) -> bool {
        self.source.growth() == Growth::Complete(ByteCount(first.length))
    }

    async fn begin(&mut self) -> Result<String, S3Error> {
        let (store, key) = (&self.store, self.aim.key.as_str());
        let create = store.client().create_multipart_upload();
        let created = create.bucket(store.bucket()).key(key).send().await;
        let doing = "begin an upload in parts";
        let created = created.map_err(|error| store.failed(doing, key, &error))?;
        let id = created.upload_id.unwrap_or_default();
        let name = UploadName {
            bucket: store.bucket().to_owned(),
            key: key.to_owned(),
            id: id.clone(),
        };
        let record = Record::write(&store.inner.records, &name);
        match record {
            Ok(record) => {
                self.begun = Some(Begun {
                    id: id.clone(),
                    record,
                });
                Ok(id)
            }
            Err(error) => {
                // Nobody would find it again.
                drop(abort(store, key, &id).await);
                Err(error)
            }
        }
    }

    /// Makes one object of all that was sent.
    ///
    /// # Errors
    /// When the store does not; the upload is aborted then, as far as it can be.
    ///
    /// # Cancellation
    /// Dropped, the object is there or its parts are; without a manifest nobody lists either.
    pub async fn complete(mut self) -> Result<(), S3Error> {
        let Some(begun) = self.begun.take() else {
            let size = self.source.complete().await?.0;
            let whole = Piece {
                offset: 0,
                length: size,
            };
            let bytes = self.source.read(whole).await?;
            let sent = send_whole(&self.store, &self.aim.key, bytes);
            let sent = timeout(self.aim.standstill, Box::pin(sent)).await;
            return sent.unwrap_or_else(|_elapsed| Err(self.stood_still()));
        };
        match Box::pin(self.join(&begun.id)).await {
            Ok(()) => {
                begun.record.strike();
                Ok(())
            }
            Err(error) => {
                self.begun = Some(begun);
                self.abort().await;
                Err(error)
            }
        }
    }

    async fn join(&mut self, id: &str) -> Result<(), S3Error> {
        self.parts.sort_by_key(CompletedPart::part_number);
        let parts = std::mem::take(&mut self.parts);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let (store, key) = (&self.store, self.aim.key.as_str());
        let joined = store
            .client()
            .complete_multipart_upload()
            .bucket(store.bucket())
            .key(key)
            .upload_id(id)
            .multipart_upload(parts)
            .customize()
            .config_override(super::connection::for_parts(store.inner.patience))
            .send()
            .await;
        let doing = "complete an upload in parts";
        match joined.map_err(|error| store.failed(doing, key, &error)) {
            Ok(_) => Ok(()),
            // The answer to an earlier try may be lost: an upload that is complete is known no more, which some stores
            // call gone and others forbidden. What lies there is read back in any case.
            Err(gone @ (S3Error::UploadGone { .. } | S3Error::Denied { .. })) => {
                let size = store.find_size(key).await?;
                if size == Some(ByteCount(self.sent)) {
                    Ok(())
                } else {
                    Err(gone)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the upload up: its parts are removed from the bucket, now or at the next start.
    pub async fn abort(self) {
        let Some(begun) = self.begun else { return };
        let aborted = Box::pin(abort(&self.store, &self.aim.key, &begun.id));
        if let Ok(Ok(())) = timeout(ABORT_PATIENCE, aborted).await {
            begun.record.strike();
        }
    }
}

fn stood_still(store: &S3Store, aim: &Aim) -> S3Error {
    S3Error::StoodStill {
        place: store.place().to_owned(),
        seconds: aim.standstill.as_secs(),
    }
}

/// Ends an upload; one that is not known any more is ended.
async fn abort(store: &S3Store, key: &str, id: &str) -> Result<(), S3Error> {
    let abort = store.client().abort_multipart_upload();
    let aborted = abort.bucket(store.bucket()).key(key).upload_id(id).send();
    let aborted = aborted.await;
    match aborted.map_err(|error| store.failed("abort an upload", key, &error)) {
        // Some stores forbid what they do not know any more.
        Err(error @ S3Error::Denied { .. }) if has_parts(store, key, id).await => Err(error),
        Ok(_)
        | Err(S3Error::UploadGone { .. } | S3Error::Missing { .. } | S3Error::Denied { .. }) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether a store still keeps parts of an upload.
async fn has_parts(store: &S3Store, key: &str, id: &str) -> bool {
    let list = store.client().list_parts().bucket(store.bucket());
    let listed = Box::pin(list.key(key).upload_id(id).send()).await;
    listed.is_ok_and(|listed| !listed.parts().is_empty())
}

impl S3Store {
    /// Ends uploads of ours whose process is gone; gives how many.
    ///
    /// # Errors
    /// The first that could not be ended; the next start tries again.
    pub async fn abort_orphans(&self) -> Result<usize, S3Error> {
        let mut ended = 0;
        for (record, upload) in super::record::orphans(&self.inner.records)? {
            // With another bucket in the settings it cannot be reached; it waits until the old one is back.
            if upload.bucket == self.bucket() {
                abort(self, &upload.key, &upload.id).await?;
                record.strike();
                ended += 1;
            }
        }
        Ok(ended)
    }
}
