//! The bytes of an object as they come back, hashed on the way; the same shape as a file that is read again.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::domain::backup::Sha256Hex;
use crate::store::s3::{S3Error, S3Store};
use crate::store::staged::hex;

const DOING: &str = "read";

/// An object that is being read; where the line breaks it goes on from there.
///
/// # Cancellation
/// Dropped early, the connection is closed; nothing is left behind.
#[derive(Debug)]
pub struct Download {
    store: S3Store,
    key: String,
    /// Of the object that was opened: another one must not continue it.
    tag: Option<String>,
    size: u64,
    body: ByteStream,
    got: u64,
    hash: Sha256,
    tries: u32,
    failure: Option<S3Error>,
}

struct Opened {
    tag: Option<String>,
    left: u64,
    body: ByteStream,
}

impl S3Store {
    /// Opens an object.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn open(&self, key: &str) -> Result<Download, S3Error> {
        let Opened { tag, left, body } = Box::pin(self.get_from(key, 0, None)).await?;
        Ok(Download {
            store: self.clone(),
            key: key.to_owned(),
            tag,
            size: left,
            body,
            got: 0,
            hash: Sha256::new(),
            tries: 1,
            failure: None,
        })
    }

    async fn get_from(
        &self,
        key: &str,
        offset: u64,
        tag: Option<String>,
    ) -> Result<Opened, S3Error> {
        let range = (offset > 0).then(|| format!("bytes={offset}-"));
        let get = self.client().get_object().bucket(self.bucket()).key(key);
        let got = get.set_range(range).set_if_match(tag).send().await;
        let got = got.map_err(|error| self.failed(DOING, key, &error))?;
        Ok(Opened {
            tag: got.e_tag,
            left: u64::try_from(got.content_length.unwrap_or_default()).unwrap_or_default(),
            body: got.body,
        })
    }
}

impl Download {
    /// The next bytes; `None` at the end or after a failure, which [`Download::finish`] tells.
    pub async fn next(&mut self) -> Option<Bytes> {
        while self.failure.is_none() {
            let silence = self.silence();
            match timeout(silence, self.body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    self.hash.update(&chunk);
                    self.got += chunk.len() as u64;
                    return Some(chunk);
                }
                Ok(None) if self.got >= self.size => return None,
                Ok(None | Some(Err(_))) | Err(_) => self.go_on().await,
            }
        }
        None
    }

    fn silence(&self) -> Duration {
        self.store.inner.patience.answer
    }

    /// Opens the rest of the object after its line broke.
    async fn go_on(&mut self) {
        let patience = self.store.inner.patience;
        if self.tries >= patience.tries {
            let place = self.store.inner.place.clone();
            self.failure = Some(S3Error::Truncated {
                place,
                doing: DOING,
            });
            return;
        }
        tokio::time::sleep(patience.pause * self.tries).await;
        self.tries += 1;
        let tag = self.tag.clone();
        match Box::pin(self.store.get_from(&self.key, self.got, tag)).await {
            Ok(opened) => self.body = opened.body,
            Err(error) => self.failure = Some(error),
        }
    }

    /// Reads what is left and gives the SHA-256 of the whole object.
    ///
    /// # Errors
    /// When it could not be read to its end.
    pub async fn finish(mut self) -> Result<Sha256Hex, S3Error> {
        while self.next().await.is_some() {}
        match self.failure {
            Some(error) => Err(error),
            None => Ok(hex(&self.hash.finalize())),
        }
    }
}
