//! What a bucket holds, and its bytes again.

mod download;
mod listing;

use aws_sdk_s3::types::Object;
use tokio::time::timeout;

use super::{S3Error, S3Store};
use crate::domain::unit::{ByteCount, Timestamp};
pub use download::Download;
pub(super) use listing::Known;

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Changes with the bytes.
    pub(super) tag: String,
    pub(super) written_at: Option<Timestamp>,
}

impl S3Store {
    /// Every object whose key begins so, in order.
    pub(super) async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, S3Error> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let listed = self
                .client()
                .list_objects_v2()
                .bucket(self.bucket())
                .prefix(prefix)
                .set_continuation_token(after)
                .send()
                .await;
            let listed = listed.map_err(|error| self.failed("list", prefix, &error))?;
            let is_last = listed.is_truncated != Some(true);
            after = listed.next_continuation_token;
            found.extend(
                listed
                    .contents
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(entry),
            );
            // A store that says there is more and not where would be asked for ever.
            if is_last || after.is_none() {
                return Ok(found);
            }
        }
    }

    /// The size of an object; `None` when there is none.
    pub(super) async fn find_size(&self, key: &str) -> Result<Option<ByteCount>, S3Error> {
        let head = self.client().head_object().bucket(self.bucket()).key(key);
        match head.send().await {
            Ok(head) => {
                let size = head.content_length.unwrap_or_default();
                Ok(u64::try_from(size).ok().map(ByteCount))
            }
            Err(error) => match self.failed("look at an object", key, &error) {
                S3Error::Missing { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// The bytes of a small object; `None` when there is none.
    pub(super) async fn find_small(&self, key: &str) -> Result<Option<Vec<u8>>, S3Error> {
        let patience = self.inner.patience;
        let mut tries = 1;
        loop {
            let get = self.client().get_object().bucket(self.bucket()).key(key);
            // What the SDK remembers of a request is large, here and elsewhere.
            let got = match Box::pin(get.send()).await {
                Ok(got) => got,
                Err(error) => match self.failed("read", key, &error) {
                    S3Error::Missing { .. } => return Ok(None),
                    error => return Err(error),
                },
            };
            // The SDK's own tries and time limits end with the head of an answer.
            if let Ok(Ok(body)) = timeout(patience.answer, got.body.collect()).await {
                return Ok(Some(body.to_vec()));
            }
            if tries >= patience.tries {
                let place = self.inner.place.clone();
                return Err(S3Error::Truncated {
                    place,
                    doing: "read",
                });
            }
            tokio::time::sleep(patience.pause * tries).await;
            tries += 1;
        }
    }
}

fn entry(object: Object) -> Option<Entry> {
    let written_at = object
        .last_modified
        .and_then(|at| Timestamp::from_timestamp(at.secs(), at.subsec_nanos()));
    Some(Entry {
        key: object.key?,
        tag: format!(
            "{} {}",
            object.e_tag.unwrap_or_default(),
            object.size.unwrap_or_default()
        ),
        written_at,
    })
}
