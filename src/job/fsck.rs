//! Looks after what is stored: reads it again and says what is not as it was written. Never removes anything.
//!
//! Everything at once when somebody asks (`backups --fsck`), one backup at a time for the rolling re-read. Bytes that
//! are not those that were written refute their backup by a proof file, as a proof would; bytes that are take nothing
//! away and add nothing but the day. Read with half of the time at most: as long as a read takes, the disk is left to
//! others, so that a busy disk is read slowly.
//!
//! Dropped or killed at any await it leaves nothing behind.

mod place;
mod slow;

use thiserror::Error;
use tokio::time::Instant;

use super::{JobContext, Run};
use crate::domain::backup::{Backup, Destination, Manifest, Proof, Series, Standing};
use crate::domain::comparison::{Difference, ObjectKind};
use crate::domain::failure::chain;
use crate::domain::id::BackupId;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::reread::is_rested;
use crate::domain::unit::ByteCount;
use crate::store::StoreError;
use crate::store::disk::Listing;
use crate::store::s3::S3Error;
pub use place::Examined;

/// What a destination holds.
#[derive(Debug)]
pub struct Survey {
    /// Backups, and files that cannot be read.
    pub listing: Listing,
    /// Files without a manifest that nobody works on.
    pub orphans: Vec<String>,
}

/// What reading a backup's bytes again found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Those that were written.
    Sound,
    /// Others.
    Altered,
    /// None.
    Missing,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub destination: &'static str,
    /// Of what.
    pub series: Option<Series>,
    /// Of which backup.
    pub id: Option<BackupId>,
    /// What.
    pub what: What,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// So many backups hold the bytes that were written.
    Sound {
        /// How many.
        backups: usize,
        /// How much was read.
        read: ByteCount,
    },
    /// A manifest without its bytes.
    Missing(Remedy),
    /// Other bytes than were written.
    Altered(Remedy),
    /// A file without manifest.
    Orphan(String),
    /// A manifest, proof or acceptance that cannot be read.
    Unreadable(String),
    /// Nobody knows: it could not be read or listed.
    Unknown(String),
}

/// What follows where a backup's bytes are not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The sidecar writes the copy again, from the disk's good file.
    Replaced,
    /// Those in the bucket are not known to be wrong: a restore takes them by itself.
    InBucket,
    /// Nobody has them.
    None,
}

/// Why one backup was not read again.
#[derive(Debug, Error)]
pub enum RereadError {
    /// It is gone meanwhile.
    #[error("there is no backup {id} of {series} any more")]
    Gone {
        /// Its id.
        id: BackupId,
        /// Its series.
        series: Series,
    },
    /// The backup folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] S3Error),
    /// There is no bucket.
    #[error("no bucket is set; set STACKWARDEN_S3_BUCKET and its key")]
    NoBucket,
    /// We were told to stop.
    #[error("told to stop")]
    Cancelled,
}

/// Which backup is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RereadPlan {
    /// Its series.
    pub series: Series,
    /// Its id.
    pub id: BackupId,
    /// From where.
    pub from: Destination,
}

/// Reads one backup again and writes down what that found.
///
/// # Errors
/// When its bytes could not be read, or the proof not be written; bytes that are wrong are a proof.
///
/// # Cancellation
/// Told to stop by `run`, it stops; nothing is written then.
pub async fn reread(
    context: &JobContext,
    run: &Run,
    plan: &RereadPlan,
) -> Result<Proof, RereadError> {
    match (plan.from, &context.s3) {
        (Destination::Disk, _) => reread_in(context, run, &context.store, plan).await,
        (Destination::S3, Some(store)) => Box::pin(reread_in(context, run, store, plan)).await,
        (Destination::S3, None) => Err(RereadError::NoBucket),
    }
}

async fn reread_in<E: Examined + Sync>(
    context: &JobContext,
    run: &Run,
    place: &E,
    plan: &RereadPlan,
) -> Result<Proof, RereadError> {
    let gone = || RereadError::Gone {
        id: plan.id.clone(),
        series: plan.series.clone(),
    };
    let backup = place
        .find(&plan.series, &plan.id)
        .await
        .map_err(Into::into)?;
    let backup = backup.ok_or_else(gone)?;
    let progress = &context.progress;
    let total = backup.manifest.stored_size;
    progress.begin(JobKind::Fsck, &plan.series.to_string(), Step::Reading);
    progress.expect(JobKind::Fsck, total);
    let begun = Instant::now();
    let reading = read_again(context, run, place, &backup).await?;
    let reading = reading.ok_or_else(gone)?;
    let proof = proof(context, place, &backup, (reading, begun));
    let written = place.add_proof(&plan.series, &proof).await;
    written.map_err(Into::into)?;
    Ok(proof)
}

/// Reads everything in every destination again; gives a line for each thing that is not as it should be, and one for
/// each series that is.
///
/// # Cancellation
/// Told to stop by `run`, it stops and tells what it has found so far; `None` stands for the rest.
pub async fn run(context: &JobContext, run: &Run) -> Option<Vec<Finding>> {
    let mut findings = Vec::new();
    examine(context, run, &context.store, &mut findings).await?;
    if let Some(store) = &context.s3 {
        Box::pin(examine(context, run, store, &mut findings)).await?;
    }
    Some(findings)
}

async fn examine<E: Examined + Sync>(
    context: &JobContext,
    run: &Run,
    place: &E,
    findings: &mut Vec<Finding>,
) -> Option<()> {
    let destination = place.destination();
    let found = |what| Finding {
        destination,
        series: None,
        id: None,
        what,
    };
    let survey = match place.survey(context.clock.now()).await {
        Ok(survey) => survey,
        Err(error) => {
            findings.push(found(What::Unknown(chain(&error))));
            return Some(());
        }
    };
    let backups = || survey.listing.series.values().flatten();
    let total: u64 = backups().map(|it| it.manifest.stored_size.0).sum();
    context
        .progress
        .begin(JobKind::Fsck, destination, Step::Reading);
    context.progress.expect(JobKind::Fsck, ByteCount(total));
    for (series, backups) in &survey.listing.series {
        let mut sound = (0, 0);
        for backup in backups {
            if backup.manifest.series != *series {
                findings.push(found(What::Unreadable(misplaced(series, backup))));
                continue;
            }
            match look_at(context, run, place, backup).await {
                Ok(None) => {}
                Ok(Some(What::Sound { backups, read })) => {
                    sound = (sound.0 + backups, sound.1 + read.0);
                }
                Ok(Some(what)) => findings.push(Finding {
                    series: Some(series.clone()),
                    id: Some(backup.manifest.id.clone()),
                    ..found(what)
                }),
                Err(Stopped) => return None,
            }
        }
        if sound.0 > 0 {
            findings.push(Finding {
                series: Some(series.clone()),
                ..found(What::Sound {
                    backups: sound.0,
                    read: ByteCount(sound.1),
                })
            });
        }
    }
    let problems = survey.listing.problems.into_iter().map(What::Unreadable);
    let orphans = survey.orphans.into_iter().map(What::Orphan);
    findings.extend(problems.chain(orphans).map(found));
    Some(())
}

/// Its bytes, if it has any, are looked for where its manifest says.
fn misplaced(series: &Series, backup: &Backup) -> String {
    let (id, named) = (&backup.manifest.id, &backup.manifest.series);
    format!(
        "the manifest {id} in the folder of {series} names {named} of project {}; move it where it belongs",
        named.project
    )
}

struct Stopped;

/// One backup; `None` when it went away meanwhile, which is retention's right.
async fn look_at<E: Examined + Sync>(
    context: &JobContext,
    run: &Run,
    place: &E,
    backup: &Backup,
) -> Result<Option<What>, Stopped> {
    let begun = Instant::now();
    let reading = match read_again(context, run, place, backup).await {
        Ok(Some(reading)) => reading,
        Ok(None) => return Ok(None),
        Err(RereadError::Cancelled) => return Err(Stopped),
        Err(error) => return Ok(Some(What::Unknown(chain(&error)))),
    };
    let manifest = &backup.manifest;
    let is_news = match reading {
        // As often as the rolling re-read would, or a nightly call would leave a file each night.
        Reading::Sound => is_rested(backup, place.destination(), context.clock.now()),
        Reading::Altered | Reading::Missing => backup.standing() != Standing::Refuted,
    };
    if is_news {
        let proof = proof(context, place, backup, (reading, begun));
        if let Err(error) = place.add_proof(&manifest.series, &proof).await {
            let what = format!(
                "{reading:?}, which could not be written down: {}",
                chain(&error)
            );
            return Ok(Some(What::Unknown(what)));
        }
    }
    Ok(Some(match reading {
        Reading::Sound => What::Sound {
            backups: 1,
            read: manifest.stored_size,
        },
        Reading::Altered => What::Altered(find_remedy(context, place, backup).await),
        Reading::Missing => What::Missing(find_remedy(context, place, backup).await),
    }))
}

/// What follows where this place has lost a backup: the disk is read before the bucket, so that what is wrong there is
/// known by then.
async fn find_remedy<E: Examined>(context: &JobContext, place: &E, backup: &Backup) -> Remedy {
    let Manifest { series, id, .. } = &backup.manifest;
    let is_good = |it: &Backup| it.standing() != Standing::Refuted;
    if place.destination() == Destination::S3.as_str() {
        let on_disk = context.store.find(series, id).ok().flatten();
        return match on_disk.filter(is_good) {
            Some(_) => Remedy::Replaced,
            None => Remedy::None,
        };
    }
    match &context.s3 {
        Some(store) if matches!(store.find(series, id).await, Ok(Some(_))) => Remedy::InBucket,
        _ => Remedy::None,
    }
}

/// `None` when the backup went away meanwhile.
async fn read_again<E: Examined + Sync>(
    context: &JobContext,
    run: &Run,
    place: &E,
    backup: &Backup,
) -> Result<Option<Reading>, RereadError> {
    let seen = |bytes| context.progress.carry(JobKind::Fsck, bytes);
    let reading = tokio::select! {
        reading = place.reread(backup, seen) => reading.map_err(Into::into)?,
        () = run.stop.cancelled() => return Err(RereadError::Cancelled),
    };
    let manifest = &backup.manifest;
    if reading == Reading::Missing {
        let there = place.find(&manifest.series, &manifest.id).await;
        let there = there.map_err(Into::into)?;
        return Ok(there.map(|_| reading));
    }
    Ok(Some(reading))
}

fn proof<E: Examined>(
    context: &JobContext,
    place: &E,
    backup: &Backup,
    (reading, begun): (Reading, Instant),
) -> Proof {
    let manifest = &backup.manifest;
    let what = match reading {
        Reading::Sound => None,
        Reading::Altered => Some("its bytes are not those that were written (SHA-256 differs)"),
        Reading::Missing => Some("it is missing"),
    };
    let differences = what.map(|what| Difference {
        kind: ObjectKind::File,
        name: manifest.file.clone(),
        what: what.to_owned(),
    });
    Proof {
        id: manifest.id.clone(),
        destination: place.destination().to_owned(),
        at: context.clock.now(),
        took: begun.elapsed(),
        restore_took: None,
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        level: (reading == Reading::Sound).then(|| place.sound_level(manifest)),
        reason: None,
        awaits_room: None,
        awaits_key: None,
        compared: Vec::new(),
        differences: differences.into_iter().collect(),
    }
}
