//! The backups of a bucket, told by their manifests.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Entry;
use crate::domain::backup::suspicion::Acceptance;
use crate::domain::backup::{Backup, Destination, Level, Manifest, Proof, Series};
use crate::domain::failure::chain;
use crate::domain::id::{BackupId, ServiceName};
use crate::store::codec::{self, CodecError, Detail};
use crate::store::disk::Listing;
use crate::store::layout::{self, FileRole};
use crate::store::s3::{S3Error, S3Store};

/// So many manifests are read at once.
const AT_ONCE: usize = 8;

/// A small object that was read: it never changes, so it is read once.
#[derive(Debug, Clone)]
pub(in crate::store::s3) struct Known {
    tag: String,
    said: Said,
}

#[derive(Debug, Clone)]
enum Said {
    Manifest(Box<Manifest>),
    Proof(Box<Proof>),
    Acceptance(Acceptance),
}

/// What lies beside a manifest.
#[derive(Default)]
struct Beside {
    proofs: Vec<Proof>,
    elsewhere: Vec<Proof>,
    acceptance: Option<Acceptance>,
}

/// An object of ours, by its key.
struct Named {
    series: Series,
    role: FileRole,
    entry: Entry,
}

/// As it stands in the bucket: its level is that of the stream until somebody has read it back from here.
fn copy_of(manifest: &Manifest) -> Backup {
    Backup {
        manifest: Manifest {
            level: manifest.level.min(Level::Stream),
            ..manifest.clone()
        },
        proofs: Vec::new(),
        elsewhere: Vec::new(),
        acceptance: None,
    }
}

fn misnamed(named: &Named) -> String {
    format!("{} names another backup than its key", named.entry.key)
}

/// The services of manifests that could not be read, or name another backup; one that went away meanwhile counts too,
/// for nothing is removed behind a doubt.
fn find_unread(told: &[Named], known: &BTreeMap<String, Known>) -> BTreeSet<ServiceName> {
    let is_unread = |it: &&Named| {
        matches!(it.role, FileRole::Manifest(_))
            && known
                .get(&it.entry.key)
                .is_none_or(|known| !it.is_named_by(&known.said))
    };
    let unread = told.iter().filter(is_unread);
    unread.map(|it| it.series.service.clone()).collect()
}

impl S3Store {
    /// Lists the project's backups without their tables, as [`crate::store::disk::DiskStore::list`] does. Their level
    /// is that of the stream until a proof says that somebody read them back from here.
    ///
    /// # Errors
    /// When the bucket cannot be listed or read. An object that is no manifest is a problem in the listing.
    pub async fn list(&self) -> Result<Listing, S3Error> {
        let root = self.root();
        let entries = Box::pin(self.entries(&root)).await?;
        let named = entries
            .into_iter()
            .filter_map(|entry| self.name(&root, entry));
        let told: Vec<Named> = named.filter(Named::is_told).collect();
        let mut problems = self.learn(&told).await?;
        let known = self.inner.known.lock().await;
        let unreadable = find_unread(&told, &known);
        let mut series: BTreeMap<Series, Vec<Backup>> = BTreeMap::new();
        let mut beside: BTreeMap<(&Series, &BackupId), Beside> = BTreeMap::new();
        for named in &told {
            let (Some(id), Some(known)) = (named.id(), known.get(&named.entry.key)) else {
                continue;
            };
            if !named.is_named_by(&known.said) {
                problems.push(misnamed(named));
                continue;
            }
            let there = beside.entry((&named.series, id)).or_default();
            match &known.said {
                Said::Manifest(manifest) => {
                    let found = series.entry(named.series.clone()).or_default();
                    found.push(copy_of(manifest));
                    if manifest.series != named.series {
                        problems.push(misnamed(named));
                    }
                }
                Said::Proof(proof) if proof.destination == Destination::S3.as_str() => {
                    there.proofs.push((**proof).clone());
                }
                Said::Proof(proof) => there.elsewhere.push((**proof).clone()),
                Said::Acceptance(acceptance) => there.acceptance = Some(acceptance.clone()),
            }
        }
        for (series, backups) in &mut series {
            backups.sort_by(|a, b| a.manifest.id.cmp(&b.manifest.id));
            for backup in backups {
                if let Some(there) = beside.remove(&(series, &backup.manifest.id)) {
                    backup.proofs = there.proofs;
                    backup.proofs.sort_by_key(|proof| proof.at);
                    backup.elsewhere = there.elsewhere;
                    backup.acceptance = there.acceptance;
                }
            }
        }
        Ok(Listing {
            series,
            problems,
            unreadable,
        })
    }

    fn name(&self, root: &str, entry: Entry) -> Option<Named> {
        let project = layout::encode(self.inner.project.as_str());
        let rest = entry.key.strip_prefix(root)?;
        let mut segments = rest.split('/');
        let (service, content, name) = (segments.next()?, segments.next()?, segments.next()?);
        let role = layout::role(name);
        if segments.next().is_some() || role == FileRole::Foreign {
            return None;
        }
        let series = layout::find_series(&project, service, content)?;
        Some(Named {
            series,
            role,
            entry,
        })
    }

    /// Reads what is new, forgets what is gone; gives what cannot be read.
    async fn learn(&self, told: &[Named]) -> Result<Vec<String>, S3Error> {
        let mut known = self.inner.known.lock().await;
        let tags: BTreeMap<&str, &str> = told
            .iter()
            .map(|it| (it.entry.key.as_str(), it.entry.tag.as_str()))
            .collect();
        known.retain(|key, known| tags.get(key.as_str()) == Some(&known.tag.as_str()));
        let new: Vec<&Named> = told
            .iter()
            .filter(|it| !known.contains_key(&it.entry.key))
            .collect();
        let keys: Vec<String> = new.iter().map(|it| it.entry.key.clone()).collect();
        let read = keys.into_iter().map(|key| {
            let store = self.clone();
            async move { store.find_small(&key).await }
        });
        let mut reading = stream::iter(read).buffered(AT_ONCE);
        let mut problems = Vec::new();
        for named in new {
            // One that went away since the listing is not there.
            let Some(bytes) = reading.next().await.transpose()?.flatten() else {
                continue;
            };
            match named.decode(&bytes) {
                Ok(said) => {
                    let tag = named.entry.tag.clone();
                    known.insert(named.entry.key.clone(), Known { tag, said });
                }
                Err(source) => problems.push(chain(&S3Error::Damaged {
                    place: self.inner.place.clone(),
                    key: named.entry.key.clone(),
                    source,
                })),
            }
        }
        Ok(problems)
    }

    /// Reads one backup with everything in its manifest, without its proofs.
    ///
    /// # Errors
    /// When its manifest cannot be read; `Ok(None)` when there is none.
    pub async fn find(&self, series: &Series, id: &BackupId) -> Result<Option<Manifest>, S3Error> {
        let key = self.key(series, &layout::manifest_name(id));
        let Some(bytes) = Box::pin(self.find_small(&key)).await? else {
            return Ok(None);
        };
        let decoded = codec::decode_manifest(&bytes, Detail::Full);
        decoded.map(Some).map_err(|source| S3Error::Damaged {
            place: self.inner.place.clone(),
            key,
            source,
        })
    }

    /// Keys of bytes and proofs of this project whose manifest is not there, with the instant they were written.
    pub(in crate::store::s3) async fn leftovers(&self) -> Result<Vec<Entry>, S3Error> {
        let root = self.root();
        let entries = Box::pin(self.entries(&root)).await?;
        let named: Vec<Named> = entries
            .into_iter()
            .filter_map(|entry| self.name(&root, entry))
            .collect();
        let has_manifest = |wanted: &Named| {
            named.iter().any(|it| {
                matches!(&it.role, FileRole::Manifest(id) if Some(id) == wanted.id())
                    && it.series == wanted.series
            })
        };
        let lonely = named.iter().filter(|it| !has_manifest(it));
        Ok(lonely.map(|it| it.entry.clone()).collect())
    }
}

impl Named {
    fn id(&self) -> Option<&BackupId> {
        match &self.role {
            FileRole::Manifest(id)
            | FileRole::Proof(id)
            | FileRole::Acceptance(id)
            | FileRole::Stored(id)
            | FileRole::Partial(id) => Some(id),
            FileRole::Foreign => None,
        }
    }

    /// Whether what it says is about the backup of its key.
    fn is_named_by(&self, said: &Said) -> bool {
        let id = match said {
            Said::Manifest(manifest) => &manifest.id,
            Said::Proof(proof) => &proof.id,
            Said::Acceptance(acceptance) => &acceptance.id,
        };
        self.id() == Some(id)
    }

    /// Whether it says something that a listing needs.
    fn is_told(&self) -> bool {
        matches!(
            self.role,
            FileRole::Manifest(_) | FileRole::Proof(_) | FileRole::Acceptance(_)
        )
    }

    fn decode(&self, bytes: &[u8]) -> Result<Said, CodecError> {
        Ok(match self.role {
            FileRole::Proof(_) => {
                Said::Proof(Box::new(codec::decode_proof(bytes, Detail::Summary)?))
            }
            FileRole::Acceptance(_) => Said::Acceptance(codec::decode_acceptance(bytes)?),
            _ => Said::Manifest(Box::new(codec::decode_manifest(bytes, Detail::Summary)?)),
        })
    }
}
