//! What a store can do, found out by doing it with objects of a few bytes.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use chrono::TimeDelta;

use super::reading::Entry;
use super::{S3Error, S3Store, digest_of};
use crate::domain::bucket::{Abilities, Ability, Versions};
use crate::domain::unit::{Timestamp, hexadecimal};

/// Names of the objects by which a bucket is tried.
const PROBE: &str = ".stackwarden-probe-";
/// One that is older was left by a process that is gone.
const LEFTOVER_AGE: TimeDelta = TimeDelta::hours(1);

/// A bucket that is being tried. Tried again after a failure, it writes no second object where the first may still be:
/// with a key that may only write each would stay for ever.
#[derive(Debug)]
pub struct Probe {
    store: S3Store,
    key: String,
    said: Vec<u8>,
    /// The object, when it was written and may be there.
    written: Option<Written>,
}

/// How an object was written.
#[derive(Debug, Clone, Copy)]
struct Written {
    versions: Versions,
    /// By our clock.
    at: Timestamp,
}

/// What was found out while the object was there.
struct Around {
    put_once: Ability,
    skew: TimeDelta,
    versions: Versions,
}

impl S3Store {
    /// Prepares to try what the store can do; nothing is asked yet.
    pub fn begin_probe(&self) -> Probe {
        Probe {
            store: self.clone(),
            key: String::new(),
            said: Vec::new(),
            written: None,
        }
    }

    fn unmade(&self, error: getrandom::Error) -> S3Error {
        S3Error::Unmade {
            place: self.inner.place.clone(),
            said: error.to_string(),
        }
    }
}

impl Probe {
    /// Writes a small object, reads it back and compares it; then tries everything else that backups use. Where the
    /// store lets us, nothing stays.
    ///
    /// # Errors
    /// When it cannot be written, listed or read back as it was: then it is no place for backups.
    ///
    /// # Cancellation
    /// Dropped, it leaves an object of a few bytes, which a later probe removes.
    pub async fn run(&mut self, now: Timestamp) -> Result<Abilities, S3Error> {
        let store = self.store.clone();
        let written = self.write(now).await?;
        let tried = self.try_around(written, now).await;
        let removal = match store.delete(&self.key).await {
            Ok(()) => {
                self.written = None;
                Ability::Offered
            }
            Err(error) => Ability::Absent(brief(&error)),
        };
        let around = tried?;
        let multipart = store.try_multipart(&format!("{}-parts", self.key)).await?;
        Ok(Abilities {
            removal,
            multipart,
            put_once: around.put_once,
            versions: around.versions,
            skew: around.skew,
        })
    }

    async fn write(&mut self, now: Timestamp) -> Result<Written, S3Error> {
        if let Some(written) = self.written {
            return Ok(written);
        }
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| self.store.unmade(error))?;
        let random = hexadecimal(&random);
        self.key = format!("{}{PROBE}{random}", self.store.root());
        self.said = format!("stackwarden {random}\n").into_bytes();
        let put = self.store.put(&self.key, &self.said).send().await;
        let put = put.map_err(|error| self.store.failed("write", &self.key, &error))?;
        // A bucket that keeps no versions says nothing, or that this one has none.
        let is_kept = put.version_id().is_some_and(|version| version != "null");
        let versions = if is_kept {
            Versions::Kept
        } else {
            Versions::None
        };
        let written = Written { versions, at: now };
        self.written = Some(written);
        Ok(written)
    }

    async fn try_around(&mut self, written: Written, now: Timestamp) -> Result<Around, S3Error> {
        let (store, key, said) = (self.store.clone(), self.key.clone(), self.said.clone());
        let read = store.expect_bytes(&key, &said).await;
        if matches!(read, Err(S3Error::Missing { .. })) {
            self.written = None;
        }
        let listed = store.entries(&format!("{}{PROBE}", store.root())).await;
        let entries = store.expect_rights(read, listed)?;
        let own = entries.iter().find(|entry| entry.key == key);
        let own = own.ok_or_else(|| S3Error::Missing {
            place: store.inner.place.clone(),
            key: key.clone(),
        })?;
        let skew = own
            .written_at
            .map_or(TimeDelta::zero(), |at| at - written.at);
        let is_left = |at: Option<Timestamp>| at.is_some_and(|at| at + LEFTOVER_AGE < now + skew);
        for left in entries.iter().filter(|it| is_left(it.written_at)) {
            // Whether anything can be removed is found out below.
            drop(store.delete(&left.key).await);
        }
        let mut versions = written.versions;
        if versions == Versions::Kept
            && let Some(until) = store.find_lock(&key).await
        {
            versions = Versions::Locked(until);
        }
        let again = store.put(&key, &said).if_none_match("*").send().await;
        let put_once = match again.map_err(|error| store.failed("write once", &key, &error)) {
            Ok(_) => Ability::Absent("it wrote over what was there".to_owned()),
            Err(S3Error::Exists { .. }) => Ability::Offered,
            Err(error) => Ability::Absent(brief(&error)),
        };
        Ok(Around {
            put_once,
            skew,
            versions,
        })
    }
}

impl S3Store {
    /// What was listed, where both reading and listing is allowed; what else went wrong is told first.
    fn expect_rights(
        &self,
        read: Result<(), S3Error>,
        listed: Result<Vec<Entry>, S3Error>,
    ) -> Result<Vec<Entry>, S3Error> {
        let lacks = match (&read, &listed) {
            (Err(S3Error::Denied { .. }), Err(S3Error::Denied { .. })) => "read or list",
            (Err(S3Error::Denied { .. }), Ok(_)) => "read",
            (Ok(()), Err(S3Error::Denied { .. })) => "list",
            _ => {
                read?;
                return listed;
            }
        };
        Err(S3Error::WriteOnly {
            place: self.inner.place.clone(),
            lacks: lacks.to_owned(),
        })
    }

    /// Until when the store has locked an object, as far as this key may know.
    async fn find_lock(&self, key: &str) -> Option<Timestamp> {
        let head = self.client().head_object().bucket(self.bucket()).key(key);
        let head = Box::pin(head.send()).await.ok()?;
        let until = head.object_lock_retain_until_date()?;
        Timestamp::from_timestamp(until.secs(), until.subsec_nanos())
    }

    async fn expect_bytes(&self, key: &str, said: &[u8]) -> Result<(), S3Error> {
        let (place, key) = (self.inner.place.clone(), key.to_owned());
        match self.find_small(&key).await? {
            Some(bytes) if bytes == said => Ok(()),
            Some(_) => Err(S3Error::Altered { place, key }),
            None => Err(S3Error::Missing { place, key }),
        }
    }

    /// One upload of one small part, which may be as small as it likes.
    async fn try_multipart(&self, key: &str) -> Result<Ability, S3Error> {
        let said = b"stackwarden";
        match self.write_in_parts(key, said).await {
            Ok(()) => {
                let same = self.expect_bytes(key, said).await;
                drop(self.delete(key).await);
                same.map(|()| Ability::Offered)
            }
            Err(error) => Ok(Ability::Absent(brief(&error))),
        }
    }

    async fn write_in_parts(&self, key: &str, said: &'static [u8]) -> Result<(), S3Error> {
        let doing = "upload in parts";
        let client = self.client();
        let create = client.create_multipart_upload().bucket(self.bucket());
        let created = create.key(key).send().await;
        let id = created
            .map_err(|error| self.failed(doing, key, &error))?
            .upload_id
            .unwrap_or_default();
        let part = client.upload_part().bucket(self.bucket()).key(key);
        let part = part.upload_id(&id).part_number(1);
        let sent = part
            .content_md5(digest_of(said))
            .body(aws_sdk_s3::primitives::ByteStream::from_static(said))
            .send()
            .await;
        let joined = match sent {
            Ok(sent) => {
                let part = CompletedPart::builder()
                    .part_number(1)
                    .set_e_tag(sent.e_tag);
                let parts = CompletedMultipartUpload::builder()
                    .parts(part.build())
                    .build();
                let join = client.complete_multipart_upload().bucket(self.bucket());
                let join = join.key(key).upload_id(&id).multipart_upload(parts);
                let joined = join.send().await;
                joined
                    .map(drop)
                    .map_err(|error| self.failed(doing, key, &error))
            }
            Err(error) => Err(self.failed(doing, key, &error)),
        };
        if joined.is_err() {
            let abort = client.abort_multipart_upload().bucket(self.bucket());
            // Of eleven bytes, and the first error is the one to tell.
            drop(abort.key(key).upload_id(&id).send().await);
        }
        joined
    }
}

/// The cause within a sentence about what follows from it.
fn brief(error: &S3Error) -> String {
    match error {
        S3Error::Denied { doing, .. } => format!("the key may not {doing}"),
        S3Error::NotOffered { .. } => "it does not know how".to_owned(),
        other => other.to_string(),
    }
}
