//! Looks after what is stored: reads it again and says what is not as it was written. Never removes anything.
//!
//! Everything at once when somebody asks (`backups --fsck`), one backup at a time for the rolling re-read. Bytes that
//! are not those that were written refute their backup by a proof file, as a proof would; bytes that are take nothing
//! away and add nothing but the day. Read with half of the time at most: as long as a read takes, the disk is left to
//! others, so that a busy disk is read slowly.
//!
//! Dropped or killed at any await it leaves nothing behind.

mod slow;

use thiserror::Error;
use tokio::time::Instant;

use super::{JobContext, Run};
use crate::domain::backup::{Backup, Level, Proof, Series, Standing};
use crate::domain::comparison::{Difference, ObjectKind};
use crate::domain::failure::chain;
use crate::domain::id::BackupId;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::reread::is_rested;
use crate::domain::unit::ByteCount;
use crate::store::StoreError;
use crate::store::disk::{DESTINATION, DiskStore, Listing};

/// A destination, as far as it is looked after.
pub trait Examined {
    /// The word for it in proofs.
    fn destination(&self) -> &'static str;

    /// Everything it holds, and files of ours that belong to no manifest.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn survey(&self) -> impl Future<Output = Result<Survey, StoreError>> + Send;

    /// Reads a backup's bytes again; tells `seen` how many passed by.
    ///
    /// # Errors
    /// When they cannot be read, which says nothing about them.
    fn reread(
        &self,
        backup: &Backup,
        seen: impl Fn(usize) + Send + Sync,
    ) -> impl Future<Output = Result<Reading, StoreError>> + Send;
}

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
    Missing,
    /// Other bytes than were written.
    Altered,
    /// A file without manifest.
    Orphan(String),
    /// A manifest, proof or acceptance that cannot be read.
    Unreadable(String),
    /// Nobody knows: it could not be read or listed.
    Unknown(String),
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
    /// Its destination.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    let gone = || RereadError::Gone {
        id: plan.id.clone(),
        series: plan.series.clone(),
    };
    let backup = context.store.find(&plan.series, &plan.id)?;
    let backup = backup.ok_or_else(gone)?;
    let progress = &context.progress;
    let total = backup.manifest.stored_size;
    progress.begin(JobKind::Fsck, &plan.series.to_string(), Step::Reading);
    progress.expect(JobKind::Fsck, total);
    let begun = Instant::now();
    let reading = read_again(context, run, &context.store, &backup).await?;
    let reading = reading.ok_or_else(gone)?;
    let proof = proof(context, &backup, reading, begun);
    context.store.add_proof(&plan.series, &proof)?;
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
    let survey = match place.survey().await {
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
        let mut proof = proof(context, backup, reading, begun);
        place.destination().clone_into(&mut proof.destination);
        if let Err(error) = context.store.add_proof(&manifest.series, &proof) {
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
        Reading::Altered => What::Altered,
        Reading::Missing => What::Missing,
    }))
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
        reading = place.reread(backup, seen) => reading?,
        () = run.stop.cancelled() => return Err(RereadError::Cancelled),
    };
    let manifest = &backup.manifest;
    if reading == Reading::Missing {
        let there = context.store.find(&manifest.series, &manifest.id)?;
        return Ok(there.map(|_| reading));
    }
    Ok(Some(reading))
}

fn proof(context: &JobContext, backup: &Backup, reading: Reading, begun: Instant) -> Proof {
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
        destination: DESTINATION.to_owned(),
        at: context.clock.now(),
        took: begun.elapsed(),
        restore_took: None,
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        // Bytes that nobody has decoded are not decoded by being the same.
        level: (reading == Reading::Sound).then(|| manifest.level.min(Level::Archive)),
        reason: None,
        awaits_room: None,
        compared: Vec::new(),
        differences: differences.into_iter().collect(),
    }
}

impl Examined for DiskStore {
    fn destination(&self) -> &'static str {
        DESTINATION
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let (store, root) = (self.clone(), self.root().to_owned());
        let looking = tokio::task::spawn_blocking(move || {
            let orphans = store.leftovers()?;
            let shown = orphans.iter().map(|it| it.display().to_string());
            Ok(Survey {
                orphans: shown.collect(),
                listing: store.list()?,
            })
        });
        let lost = |_panicked| StoreError::ThreadLost { path: root };
        looking.await.map_err(lost)?
    }

    async fn reread(
        &self,
        backup: &Backup,
        seen: impl Fn(usize) + Send + Sync,
    ) -> Result<Reading, StoreError> {
        let path = self.path_of(&backup.manifest);
        match slow::hash(&path, seen).await? {
            None => Ok(Reading::Missing),
            Some(hash) if hash == backup.manifest.stored_sha256 => Ok(Reading::Sound),
            Some(_other) => Ok(Reading::Altered),
        }
    }
}
