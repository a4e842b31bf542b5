//! What retention would do, on the wire; used by the CLI in place of a sidecar too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::build::time;
use crate::board::{Picture, Reach};
use crate::domain::backup::{Backup, Content, Destination, Series};
use crate::domain::id::{DatabaseRef, ServiceName};
use crate::domain::retention::{self, Legibility, Outcome, Rules, Stock, Verdict};
use crate::domain::unit::{Timestamp, format_age};
use crate::domain::volume::is_of_volume;

/// `GET /v1/backups/plan`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWire {
    /// The instant for which it was made.
    pub at: String,
    /// By service, databases first, then oldest first.
    pub backups: Vec<PlannedWire>,
    /// What holds retention back beyond single backups, one sentence each.
    pub notes: Vec<String>,
}

/// What becomes of one backup in one destination, at the next successful backup of its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWire {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub destination: String,
    /// The service of its server.
    pub service: String,
    /// The database; none for the roles.
    pub database: Option<String>,
    /// Its snapshot.
    pub at: String,
    /// As stored.
    pub size_bytes: u64,
    /// `keep` or `remove`.
    pub plan: String,
    /// Why, one fragment each.
    pub reasons: Vec<String>,
}

/// What retention would do now to every backup, or to those of one database.
pub fn plan(picture: &Picture, only: Option<&DatabaseRef>, now: Timestamp) -> PlanWire {
    let is_wanted = |series: &Series| {
        only.is_none_or(|only| {
            series.service == only.service && series.content.database() == Some(&only.database)
        })
    };
    let mut plan = PlanWire {
        at: time(now),
        backups: Vec::new(),
        notes: Vec::new(),
    };
    let services: BTreeSet<_> = picture.series.keys().map(|it| &it.service).collect();
    for service in services {
        let stocks = [
            (Destination::Disk, Some(picture.stock(service))),
            (Destination::S3, picture.copied_stock(service)),
        ];
        for (destination, stock) in stocks {
            let Some(stock) = stock else { continue };
            if stock.legibility == Legibility::InPart {
                plan.notes.push(format!(
                    "a manifest of {service} on {} cannot be read, and may need any of its roles: none of them is removed meanwhile",
                    destination.as_str()
                ));
            }
            let rows = rows(picture, service, &stock, now);
            let wanted = rows.into_iter().filter(|(series, _)| is_wanted(series));
            let place = |(_, row)| PlannedWire {
                destination: destination.as_str().to_owned(),
                ..row
            };
            plan.backups.extend(wanted.map(place));
        }
    }
    if let Some(bucket) = picture
        .bucket
        .as_ref()
        .filter(|it| it.reach != Reach::Reached)
    {
        let place = &bucket.place;
        let note =
            format!("{place} is not listed now, so nobody knows what retention would do there");
        plan.notes.push(note);
    }
    plan
}

/// What becomes of everything in one destination of a service.
fn rows<'a>(
    picture: &Picture,
    service: &ServiceName,
    stock: &Stock<'a>,
    now: Timestamp,
) -> Vec<(&'a Series, PlannedWire)> {
    let server = picture.servers.get(service).filter(|it| it.policy.enabled);
    let Some(server) = server else {
        let why = if is_of_volume(service) {
            "it was taken from a volume, so no rule applies; remove its folder when it has served"
        } else {
            "its service is not backed up now, so no rule applies"
        };
        let why = || vec![why.to_owned()];
        let untouched = stock.series.iter().flat_map(|(series, backups)| {
            let kept = |backup: &&Backup| (*series, planned(series, backup, "keep", why()));
            backups.iter().map(kept).collect::<Vec<_>>()
        });
        return untouched.collect();
    };
    let verdicts = retention::plan(&Rules::from(&server.policy), stock, now);
    let judged = verdicts.iter().map(|it| (it.series, judged(it)));
    judged.collect()
}

fn judged(verdict: &Verdict<'_>) -> PlannedWire {
    let (word, reasons) = match &verdict.outcome {
        Outcome::Kept(reasons) => ("keep", reasons.iter().map(ToString::to_string).collect()),
        Outcome::Removed { age } => {
            let reason = format!("{} old and kept by no rule", format_age(*age));
            ("remove", vec![reason])
        }
    };
    planned(verdict.series, verdict.backup, word, reasons)
}

fn planned(series: &Series, backup: &Backup, plan: &str, reasons: Vec<String>) -> PlannedWire {
    let manifest = &backup.manifest;
    PlannedWire {
        id: manifest.id.to_string(),
        destination: String::new(),
        service: series.service.to_string(),
        database: match &series.content {
            Content::Database(name) => Some(name.to_string()),
            Content::Globals => None,
        },
        at: time(manifest.snapshot_at),
        size_bytes: manifest.stored_size.0,
        plan: plan.to_owned(),
        reasons,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::board::BucketPicture;
    use crate::http::fixture;

    #[test]
    fn each_destination_has_its_rows_and_a_bucket_that_is_not_listed_a_note() {
        let board = fixture::well();
        let now = Timestamp::from_timestamp(fixture::NOW, 0).unwrap();
        let copy = Arc::new(fixture::backup(fixture::app(), fixture::NOW - 600, 9));
        board.update(|picture| {
            let series = fixture::series(fixture::app());
            let state = picture.series.entry(series).or_default();
            state.copies = vec![copy.clone()];
            picture.bucket = Some(BucketPicture {
                reach: Reach::Reached,
                ..BucketPicture::new("bucket b at h")
            });
        });
        let planned = plan(&board.read(), None, now);
        let of = |place: &str| {
            let rows = planned.backups.iter().filter(|it| it.destination == place);
            rows.map(|it| it.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of("s3"), [copy.manifest.id.to_string()]);
        assert_eq!(of("disk").len() + 1, planned.backups.len());
        board.update(|picture| {
            picture.bucket = Some(BucketPicture::new("bucket b at h"));
        });
        let planned = plan(&board.read(), None, now);
        assert!(planned.backups.iter().all(|it| it.destination == "disk"));
        let note = planned.notes.last().unwrap();
        assert!(note.contains("bucket b at h is not listed now"), "{note}");
    }
}
