//! What both destinations hold, as those who choose or judge look at it.

use super::{Picture, SeriesPicture};
use crate::domain::backup::{Backup, Destination, Series};
use crate::domain::id::ServiceName;
use crate::domain::restore;
use crate::domain::retention::{Legibility, Stock, Upstream};

impl Picture {
    /// What the backup folder holds of a service, as retention judges it.
    pub fn stock(&self, service: &ServiceName) -> Stock<'_> {
        let shelves = self.of_service(service).map(|(it, state)| {
            let backups = state.backups.iter().map(AsRef::as_ref);
            (it, backups.collect())
        });
        Stock {
            series: shelves.collect(),
            legibility: self.legibility_on_disk(service),
            upstream: None,
        }
    }

    /// What the bucket holds of a service, as retention judges it; nothing where nobody knows what is there.
    pub fn copied_stock(&self, service: &ServiceName) -> Option<Stock<'_>> {
        let bucket = self.bucket.as_ref();
        let bucket = bucket.filter(|it| it.reach == super::Reach::Reached)?;
        let shelves = self.of_service(service).map(|(it, state)| {
            let copies = state.copies.iter().map(AsRef::as_ref);
            (it, copies.collect())
        });
        let on_disk = self.of_service(service).flat_map(|(series, state)| {
            let ids = state.backups.iter().map(|it| &it.manifest.id);
            ids.map(move |id| (series, id))
        });
        let unread = usize::from(bucket.unreadable.contains(service));
        Some(Stock {
            series: shelves.collect(),
            legibility: Legibility::of_unreadable(unread),
            upstream: Some(Upstream {
                backups: on_disk.collect(),
                legibility: self.legibility_on_disk(service),
            }),
        })
    }

    fn legibility_on_disk(&self, service: &ServiceName) -> Legibility {
        Legibility::of_unreadable(usize::from(self.unreadable.contains(service)))
    }

    fn of_service<'a>(
        &'a self,
        service: &ServiceName,
    ) -> impl Iterator<Item = (&'a Series, &'a SeriesPicture)> {
        let series = self.series.iter();
        series.filter(move |(it, _)| it.service == *service)
    }

    /// The backups that somebody may mean, by series: see [`restore::known`].
    pub fn known(&self, from: Option<Destination>) -> Vec<(&Series, Vec<&Backup>)> {
        let series = self.series.iter();
        let known = series.map(|(series, state)| {
            let known = restore::known(from, &state.backups, &state.copies);
            (series, known)
        });
        known.collect()
    }

    /// Files of either place that cannot be read, in sentences.
    pub fn unread(&self) -> impl Iterator<Item = &String> {
        let bucket = self.bucket.iter().flat_map(|it| &it.problems);
        self.folder_problems.iter().chain(bucket)
    }
}
