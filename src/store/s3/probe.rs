//! What a store can do, found out by doing it with objects of a few bytes.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use chrono::TimeDelta;

use super::{S3Error, S3Store, digest_of};
use crate::domain::bucket::{Abilities, Ability};
use crate::domain::unit::{Timestamp, hexadecimal};

/// Names of the objects by which a bucket is tried.
const PROBE: &str = ".stackwarden-probe-";
/// One that is older was left by a process that is gone.
const LEFTOVER_AGE: TimeDelta = TimeDelta::hours(1);

impl S3Store {
    /// Writes a small object, reads it back and compares it; then tries everything else that backups use. Where the
    /// store lets us, nothing stays.
    ///
    /// # Errors
    /// When it cannot be written, listed or read back as it was: then it is no place for backups.
    pub async fn probe(&self, now: Timestamp) -> Result<Abilities, S3Error> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| S3Error::Unmade {
            place: self.inner.place.clone(),
            said: error.to_string(),
        })?;
        let name = format!("{PROBE}{}", hexadecimal(&random));
        let key = format!("{}{name}", self.root());
        let said = format!("stackwarden {}\n", hexadecimal(&random));
        let put = self.put(&key, said.as_bytes()).send().await;
        put.map_err(|error| self.failed("write", &key, &error))?;
        let tried = self.try_around(&key, said.as_bytes(), now).await;
        let removal = match self.delete(&key).await {
            Ok(()) => Ability::Offered,
            Err(error) => Ability::Absent(brief(&error)),
        };
        let (put_once, skew) = tried?;
        let multipart = self.try_multipart(&format!("{key}-parts")).await?;
        Ok(Abilities {
            removal,
            multipart,
            put_once,
            skew,
        })
    }

    async fn try_around(
        &self,
        key: &str,
        said: &[u8],
        now: Timestamp,
    ) -> Result<(Ability, TimeDelta), S3Error> {
        self.expect_bytes(key, said).await?;
        let entries = self.entries(&format!("{}{PROBE}", self.root())).await?;
        let own = entries.iter().find(|entry| entry.key == key);
        let own = own.ok_or_else(|| S3Error::Missing {
            place: self.inner.place.clone(),
            key: key.to_owned(),
        })?;
        let skew = own.written_at.map_or(TimeDelta::zero(), |at| at - now);
        let is_left = |at: Option<Timestamp>| at.is_some_and(|at| at + LEFTOVER_AGE < now + skew);
        for left in entries.iter().filter(|it| is_left(it.written_at)) {
            // Whether anything can be removed is found out below.
            drop(self.delete(&left.key).await);
        }
        let again = self.put(key, said).if_none_match("*").send().await;
        let put_once = match again.map_err(|error| self.failed("write once", key, &error)) {
            Ok(_) => Ability::Absent("it wrote over what was there".to_owned()),
            Err(S3Error::Exists { .. }) => Ability::Offered,
            Err(error) => Ability::Absent(brief(&error)),
        };
        Ok((put_once, skew))
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
