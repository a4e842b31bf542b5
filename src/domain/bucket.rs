//! A bucket of object storage that we were given: where it is, how it is addressed, and the key to it.

use std::fmt;

use chrono::TimeDelta;
use thiserror::Error;

use super::database::secret::Secret;
use super::unit::Timestamp;
use super::web::WebAddress;

/// So far apart two clocks may be before it is said. Stores refuse signatures at fifteen minutes; the client then signs by
/// the store's clock, so that even this only costs a request.
const NOTABLE_SKEW: TimeDelta = TimeDelta::minutes(2);

/// What somebody has to see to where a store keeps what is removed.
const OLD_VERSIONS: &str = "what retention removes is listed no more and takes room until a lifecycle rule removes versions that are not current";

/// Where the bucket's name stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: `https://host/bucket/key`.
    Path,
    /// In the host's name: `https://bucket.host/key`.
    Host,
}

/// A bucket's name, as every store takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketName(String);

/// Why a text is no bucket.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no bucket; write 3 to 63 lowercase letters, digits, dots and hyphens, such as shop-backups"
)]
pub struct BucketNameError(String);

impl BucketName {
    /// Reads a name.
    ///
    /// # Errors
    /// When no store would have such a bucket.
    pub fn parse(text: &str) -> Result<Self, BucketNameError> {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends_well = [text.bytes().next(), text.bytes().next_back()]
            .iter()
            .all(|byte| byte.is_some_and(is_letter));
        let is_name = (3..=63).contains(&text.len())
            && ends_well
            && text
                .bytes()
                .all(|byte| is_letter(byte) || matches!(byte, b'.' | b'-'));
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(BucketNameError(text.to_owned()))
        }
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What stands before every key of ours: nothing, or segments without a slash at either end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPrefix(String);

/// Why a text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no prefix; write letters, digits, - _ . and / between them, such as backups/eu")]
pub struct KeyPrefixError(String);

impl KeyPrefix {
    /// Reads a prefix; slashes at its ends do not count.
    ///
    /// # Errors
    /// When a segment is empty, `.` or `..`, or holds a letter that some store or shell trips over.
    pub fn parse(text: &str) -> Result<Self, KeyPrefixError> {
        let text = text.trim_matches('/');
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        if text.is_empty() || text.split('/').all(is_segment) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyPrefixError(text.to_owned()))
        }
    }

    /// A key below the prefix.
    pub fn key(&self, rest: &str) -> String {
        if self.0.is_empty() {
            rest.to_owned()
        } else {
            format!("{}/{rest}", self.0)
        }
    }
}

/// The key to a bucket.
#[derive(Debug, Clone)]
pub struct BucketKey {
    /// Its public half; hidden all the same.
    pub id: Secret<String>,
    /// Its secret half.
    pub secret: Secret<String>,
    /// A session's token, where the key is a passing one.
    pub session: Option<Secret<String>>,
}

/// Everything that has to be known to reach a bucket.
#[derive(Debug, Clone)]
pub struct BucketAccess {
    /// The bucket.
    pub bucket: BucketName,
    /// Before our keys.
    pub prefix: KeyPrefix,
    /// The store's address; Amazon's own by region where there is none.
    pub endpoint: Option<WebAddress>,
    /// Its region.
    pub region: String,
    /// Where the bucket stands.
    pub addressing: Addressing,
    /// The key.
    pub key: BucketKey,
}

impl BucketAccess {
    /// The bucket and its host, for sentences.
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("bucket {} at {endpoint}", self.bucket),
            None => format!("bucket {} at Amazon S3 in {}", self.bucket, self.region),
        }
    }
}

/// Whether a store does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ability {
    /// It does.
    Offered,
    /// It does not, and what it said.
    Absent(String),
}

/// What becomes of an object that is removed or written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// It is gone.
    None,
    /// It stays as an old version.
    Kept,
    /// It stays, and is locked until then.
    Locked(Timestamp),
}

/// What a store can do, beyond writing, listing and reading back, without which it is no destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// Removing what was written.
    pub removal: Ability,
    /// Uploads in parts.
    pub multipart: Ability,
    /// Refusing to overwrite when asked to.
    pub put_once: Ability,
    /// Whether what is removed stays.
    pub versions: Versions,
    /// So far its clock is ahead of ours.
    pub skew: TimeDelta,
}

impl Abilities {
    /// What was found out, each thing in a few words: what nobody has to do anything about stands here alone.
    pub fn findings(&self) -> Vec<String> {
        let mut found = vec!["written, listed and read back".to_owned()];
        for (ability, does, does_not) in [
            (&self.removal, "removed", "not removed"),
            (
                &self.multipart,
                "uploaded in parts",
                "not uploaded in parts",
            ),
            (&self.put_once, "not overwritten", "overwritten"),
        ] {
            let is_offered = *ability == Ability::Offered;
            found.push(if is_offered { does } else { does_not }.to_owned());
        }
        found.push(format!("clocks {} s apart", self.skew.num_seconds().abs()));
        match self.versions {
            Versions::None => {}
            Versions::Kept => found.push(format!("it keeps old versions: {OLD_VERSIONS}")),
            Versions::Locked(until) => found.push(format!(
                "it locks what is written (this until {}) and keeps old versions: {OLD_VERSIONS}, once the lock is over",
                until.format("%F %R")
            )),
        }
        found
    }

    /// What follows from what it cannot do, one sentence each.
    pub fn consequences(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Ability::Absent(why) = &self.removal {
            found.push(format!(
                "it does not let us remove anything ({why}), so retention removes nothing there; give the key that right, or let a lifecycle rule do it"
            ));
        }
        if let Ability::Absent(why) = &self.multipart {
            found.push(format!(
                "it takes no uploads in parts ({why}), so only small backups get there; give the key the rights for multipart uploads"
            ));
        }
        // Where what is written over stays as an old version, nothing is lost.
        if matches!(self.put_once, Ability::Absent(_)) && self.versions == Versions::None {
            found.push(
                "it does not refuse to overwrite, so let nobody else write below this prefix"
                    .to_owned(),
            );
        }
        if self.skew.abs() >= NOTABLE_SKEW {
            found.push(format!(
                "its clock and ours are {} s apart; set the host's clock: backups are dated and judged by it",
                self.skew.num_seconds().abs()
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_name_that_every_store_takes() {
        assert_eq!(
            BucketName::parse("shop-backups.eu").unwrap().as_str(),
            "shop-backups.eu"
        );
        for wrong in ["", "ab", "Shop", "a_b_c", "-shop", "shop/", "s3://shop"] {
            assert!(BucketName::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_has_no_slash_at_its_ends() {
        let key = |prefix: &str| KeyPrefix::parse(prefix).unwrap().key("shop/a");
        assert_eq!(key(""), "shop/a");
        assert_eq!(key("/eu/paris/"), "eu/paris/shop/a");
        for wrong in ["a//b", "../a", "a b", "é"] {
            assert!(KeyPrefix::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_never_shows_itself() {
        let key = BucketKey {
            id: Secret::new("AKIA".into()),
            secret: Secret::new("hush".into()),
            session: None,
        };
        let shown = format!("{key:?}");
        assert!(!shown.contains("AKIA") && !shown.contains("hush"));
    }

    #[test]
    fn a_store_that_does_everything_has_no_consequences() {
        let whole = Abilities {
            removal: Ability::Offered,
            multipart: Ability::Offered,
            put_once: Ability::Offered,
            versions: Versions::None,
            skew: TimeDelta::seconds(-1),
        };
        assert_eq!(whole.consequences(), Vec::<String>::new());
        assert_eq!(
            whole.findings().join("; "),
            "written, listed and read back; removed; uploaded in parts; not overwritten; clocks 1 s apart"
        );
        let locked = Abilities {
            versions: Versions::Locked(Timestamp::from_timestamp(86_400, 0).unwrap()),
            ..whole.clone()
        };
        // Somebody chose that, so that it is told and no reason to worry; neither is who writes over what stays.
        assert_eq!(locked.consequences(), Vec::<String>::new());
        let overwritten = Abilities {
            put_once: Ability::Absent(String::new()),
            ..locked.clone()
        };
        assert_eq!(overwritten.consequences(), Vec::<String>::new());
        let told = locked.findings().pop().unwrap();
        assert!(told.contains("until 1970-01-02 00:00"), "{told}");
        let poor = Abilities {
            removal: Ability::Absent("AccessDenied".into()),
            skew: TimeDelta::minutes(-3),
            ..whole
        };
        assert!(poor.findings().contains(&"not removed".to_owned()));
        let said = poor.consequences();
        assert!(
            said[0].contains("AccessDenied") && said[1].contains("180 s"),
            "{said:?}"
        );
    }
}
