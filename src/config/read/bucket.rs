//! The bucket's settings: our own names, those of AWS, and Scaleway's for the key.

use super::{ConfigProblemKind, Reader, sentence};
use crate::config::{table, value};
use crate::domain::bucket::{Addressing, BucketAccess, BucketKey, BucketName, KeyPrefix};
use crate::domain::database::secret::Secret;
use crate::domain::label::value::parse_word;
use crate::domain::web::WebAddress;

/// Where neither a region is named nor the endpoint tells one; most stores do not care.
const USUAL_REGION: &str = "us-east-1";

const YES_OR_NO: [(&str, Addressing); 2] =
    [("true", Addressing::Path), ("false", Addressing::Host)];

/// What is of no use without a bucket, and of ours alone: an application may have AWS_ variables of its own.
const OURS: [&str; 4] = [
    table::S3_PREFIX,
    table::S3_ENDPOINT,
    table::S3_REGION,
    table::S3_PATH_STYLE,
];

/// One half of a key, by the two names it may have.
#[derive(Default)]
struct Half {
    aws: Option<Secret<String>>,
    scaleway: Option<Secret<String>>,
}

impl Reader<'_> {
    /// The bucket, where one is named; then its key has to be there too.
    pub(super) fn bucket(&mut self) -> Option<BucketAccess> {
        let before = self.problems.len();
        let bucket = self.setting(table::S3_BUCKET, |text| {
            BucketName::parse(text).map_err(sentence)
        });
        let prefix = self.setting(table::S3_PREFIX, |text| {
            KeyPrefix::parse(text).map_err(sentence)
        });
        let endpoint = self.setting(table::S3_ENDPOINT, value::parse_web);
        let region = self.setting(table::S3_REGION, value::parse_region);
        let addressing = self.setting(table::S3_PATH_STYLE, |text| parse_word(text, &YES_OR_NO));
        let mut id = Half::default();
        let mut secret = Half::default();
        id.aws = self.setting(table::AWS_KEY, value::parse_key);
        secret.aws = self.setting(table::AWS_SECRET, value::parse_key);
        let session = self.setting(table::AWS_SESSION, value::parse_key);
        let aws_region = self.setting(table::AWS_REGION, value::parse_region);
        let aws_endpoint = self.setting(table::AWS_ENDPOINT, value::parse_web);
        let aws_default = self.setting(table::AWS_DEFAULT_REGION, value::parse_region);
        id.scaleway = self.setting(table::SCW_KEY, value::parse_key);
        secret.scaleway = self.setting(table::SCW_SECRET, value::parse_key);
        if self.problems.len() > before {
            return None;
        }
        let Some(bucket) = bucket else {
            self.expect_no_bucket();
            return None;
        };
        let endpoint = endpoint.or(aws_endpoint);
        let region = region
            .or(aws_region)
            .or(aws_default)
            .or_else(|| find_region(endpoint.as_ref()?));
        Some(BucketAccess {
            bucket,
            prefix: prefix.unwrap_or_default(),
            region: region.unwrap_or_else(|| USUAL_REGION.to_owned()),
            addressing: addressing.unwrap_or_else(|| usual_addressing(endpoint.as_ref())),
            endpoint,
            key: self.bucket_key(id, secret, session)?,
        })
    }

    fn expect_no_bucket(&mut self) {
        let set = OURS
            .into_iter()
            .find(|name| self.find_value(name).is_some());
        if let Some(name) = set {
            let reason = format!("{name} is of no use without it; name the bucket, or remove that");
            self.report(table::S3_BUCKET, ConfigProblemKind::BadValue { reason });
        }
    }

    /// Both halves under AWS's names or both under Scaleway's; half of each is nobody's key.
    fn bucket_key(
        &mut self,
        id: Half,
        secret: Half,
        session: Option<Secret<String>>,
    ) -> Option<BucketKey> {
        if let (None, None, Some(id), Some(secret)) =
            (&id.aws, &secret.aws, id.scaleway, secret.scaleway)
        {
            return Some(BucketKey {
                id,
                secret,
                session: None,
            });
        }
        for (name, half) in [(table::AWS_KEY, &id.aws), (table::AWS_SECRET, &secret.aws)] {
            if half.is_none() {
                let bucket = table::S3_BUCKET;
                let reason = format!("the bucket of {bucket} needs it; set it, or {name}_FILE");
                self.report(name, ConfigProblemKind::BadValue { reason });
            }
        }
        Some(BucketKey {
            id: id.aws?,
            secret: secret.aws?,
            session,
        })
    }
}

/// A bucket in the host's name needs an entry in DNS and a certificate for it: only Amazon's own always has both.
fn usual_addressing(endpoint: Option<&WebAddress>) -> Addressing {
    match endpoint {
        Some(endpoint) if !endpoint.host.ends_with(".amazonaws.com") => Addressing::Path,
        _ => Addressing::Host,
    }
}

/// `fr-par` in `s3.fr-par.scw.cloud`, `eu-west-3` in `s3.eu-west-3.amazonaws.com`.
fn find_region(endpoint: &WebAddress) -> Option<String> {
    let mut labels = endpoint.host.split('.');
    if labels.next()? != "s3" {
        return None;
    }
    let region = labels.next()?;
    let is_region = region.contains('-') && labels.count() >= 2;
    is_region.then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_off_the_endpoint_where_it_tells_one() {
        let region = |text: &str| find_region(&WebAddress::parse(text).unwrap());
        assert_eq!(
            region("https://s3.fr-par.scw.cloud").as_deref(),
            Some("fr-par")
        );
        assert_eq!(
            region("https://s3.eu-west-3.amazonaws.com").as_deref(),
            Some("eu-west-3")
        );
        assert_eq!(region("http://minio:9000"), None);
        assert_eq!(region("https://s3.example.org"), None);
        assert_eq!(region("https://account.r2.cloudflarestorage.com"), None);
    }
}
