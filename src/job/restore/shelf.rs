//! Where the backups of one project are: its part of the backup folder, and of the bucket. To be read only: whatever is
//! restored from another project's, nothing is written there.

use std::collections::BTreeMap;

use super::RestoreError;
use crate::domain::backup::{Backup, Content, Destination, Series};
use crate::domain::failure::chain;
use crate::domain::id::{BackupId, ProjectName};
use crate::domain::restore::known;
use crate::domain::restore::owner::{Elsewhere, Sought, choose_of};
use crate::job::JobContext;
use crate::store::StoreError;
use crate::store::disk::{DiskStore, Listing};
use crate::store::s3::{Reader, S3Store};

/// One project's part of both places.
pub(super) struct Shelf {
    project: ProjectName,
    pub(super) disk: DiskStore,
    pub(super) bucket: Option<Reader>,
}

impl Shelf {
    /// This stack's own.
    pub(super) fn own(context: &JobContext) -> Self {
        Self {
            project: context.project.clone(),
            disk: context.store.clone(),
            bucket: context.s3.as_ref().map(S3Store::reader),
        }
    }

    /// Another project's.
    pub(super) fn of(context: &JobContext, place: &Elsewhere) -> Self {
        let Elsewhere { project, prefix } = place;
        let bucket = context.s3.as_ref();
        Self {
            project: project.clone(),
            disk: DiskStore::new(context.store.root().to_owned(), project.clone()),
            bucket: bucket.map(|it| it.reader_of(project.clone(), prefix.clone())),
        }
    }

    /// Finds the one backup that somebody describes.
    pub(super) async fn choose(&self, sought: &Sought) -> Result<(Series, BackupId), RestoreError> {
        let from = sought.from;
        if from == Some(Destination::S3) && self.bucket.is_none() {
            return Err(RestoreError::NoBucket);
        }
        let on_disk = match from {
            Some(Destination::S3) => Listing::default(),
            Some(Destination::Disk) | None => self.list_disk().await?,
        };
        let in_bucket = match &self.bucket {
            Some(bucket) if from != Some(Destination::Disk) => match bucket.list().await {
                Ok(listing) => listing,
                Err(error) if on_disk.series.is_empty() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the bucket cannot be listed; what is only there is not known");
                    Listing::default()
                }
            },
            _ => Listing::default(),
        };
        let problems: Vec<String> = [&on_disk, &in_bucket]
            .into_iter()
            .flat_map(|it| it.problems.iter().cloned())
            .collect();
        let shelves = joined(&on_disk, &in_bucket);
        if shelves.is_empty() && problems.is_empty() {
            return Err(RestoreError::NothingElsewhere {
                project: self.project.clone(),
            });
        }
        let known = shelves
            .iter()
            .map(|(series, (disk, copies))| (*series, known(from, disk, copies)));
        let chosen = choose_of(known, &sought.which, &sought.of);
        let (database, id) = chosen.map_err(|error| RestoreError::Elsewhere {
            project: self.project.clone(),
            source: error.explained(&problems),
        })?;
        let series = Series {
            project: self.project.clone(),
            service: database.service,
            content: Content::Database(database.database),
        };
        Ok((series, id))
    }

    async fn list_disk(&self) -> Result<Listing, StoreError> {
        let (store, path) = (self.disk.clone(), self.disk.root().to_owned());
        let listed = tokio::task::spawn_blocking(move || store.list()).await;
        listed.map_err(|_thread| StoreError::ThreadLost { path })?
    }
}

/// What either place holds of each series.
fn joined<'a>(
    on_disk: &'a Listing,
    in_bucket: &'a Listing,
) -> BTreeMap<&'a Series, (&'a [Backup], &'a [Backup])> {
    let mut shelves: BTreeMap<&Series, (&[Backup], &[Backup])> = BTreeMap::new();
    for (series, backups) in &on_disk.series {
        shelves.entry(series).or_default().0 = backups;
    }
    for (series, copies) in &in_bucket.series {
        shelves.entry(series).or_default().1 = copies;
    }
    shelves
}
