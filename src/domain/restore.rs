//! Restores: what is asked for, which backup is meant, and what a restore must not touch.
//!
//! Knows names, marks and SQL texts; executes nothing.

pub mod dependents;
pub mod inspection;
pub mod mark;
pub mod name;
pub mod outside;
pub mod owner;
pub mod roles;
pub mod wish;

use std::collections::BTreeMap;
use std::path::PathBuf;

use thiserror::Error;

use super::backup::{Backup, Destination, Series, Standing, latest};
use super::id::{BackupId, DatabaseName, DatabaseRef, ServiceName};
use super::unit::Timestamp;
use super::volume::{self, VolumeName};
use owner::Sought;

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A backup of this stack.
    Backup {
        /// Of which database.
        database: DatabaseRef,
        /// Which.
        id: BackupId,
        /// From where; otherwise from disk, and from the bucket where the disk does not have it.
        from: Option<Destination>,
    },
    /// Another project's backup, to be found where it is stored.
    Sought(Sought),
    /// A file: another project's backup, or a dump that somebody else made.
    File {
        /// As somebody named it.
        file: PathBuf,
    },
}

impl Source {
    /// In words.
    fn told(&self) -> String {
        match self {
            Self::Backup { database, id, .. } => format!("{database} {id}"),
            Self::Sought(sought) => sought.told(),
            Self::File { file } => file.display().to_string(),
        }
    }
}

/// What somebody wants a restore to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreOrder {
    /// Restore beside everything else, into a new database.
    Into {
        /// From what.
        source: Source,
        /// On which server; the only one otherwise.
        service: Option<ServiceName>,
        /// The new database.
        name: DatabaseName,
    },
    /// Restore beside the live database and put the copy in its place.
    Swap {
        /// The live database.
        database: DatabaseRef,
        /// From what; never a file.
        source: Source,
    },
    /// Put back what the newest swap put aside.
    Undo {
        /// The database.
        database: DatabaseRef,
    },
    /// Remove what swaps put aside.
    Drop {
        /// The database.
        database: DatabaseRef,
    },
}

impl RestoreOrder {
    /// What it is about, in words.
    pub fn subject(&self) -> String {
        match self {
            Self::Into { source, name, .. } => format!("{} into {name}", source.told()),
            Self::Swap {
                database,
                source: Source::Backup {
                    database: own, id, ..
                },
            } if own == database => format!("{database} {id}"),
            Self::Swap { database, source } => {
                format!("{} in the place of {database}", source.told())
            }
            Self::Undo { database } | Self::Drop { database } => database.to_string(),
        }
    }
}

/// Which backup somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest that is proven and trusted.
    Latest,
    /// The newest of these that is not younger than this instant.
    At(Timestamp),
    /// This one.
    Id(BackupId),
}

/// Why nobody can tell which backup is meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChoiceError {
    /// No database's backup has this id.
    #[error("there is no backup {id} of a database here; `stackwarden backups` lists all")]
    Unknown {
        /// The id.
        id: BackupId,
    },
    /// There is one, and what it says cannot be read.
    #[error("{why}; restore another backup, `stackwarden backups` lists all that can be read")]
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// Several databases have one, and nobody said which.
    #[error("{} have such a backup; say which with --database SERVICE/DATABASE", .known.join(" and "))]
    Several {
        /// The databases.
        known: Vec<String>,
    },
    /// No database is named, and none or several could be meant.
    #[error("say which database with --database SERVICE/DATABASE{}", listed(.known))]
    NoDatabase {
        /// The databases with backups.
        known: Vec<String>,
    },
    /// Nothing says in whose place it is to stand.
    #[error(
        "backup {id} was taken from a volume; say in whose place it goes with --database SERVICE/DATABASE"
    )]
    NoTarget {
        /// The backup.
        id: BackupId,
    },
    /// There is none of a volume.
    #[error(
        "no backup was taken from volume {volume}; take one first: stackwarden backup --from-volume {volume} --image IMAGE"
    )]
    NoneOfVolume {
        /// The volume.
        volume: VolumeName,
    },
    /// None is good enough.
    #[error(
        "no backup is proven and trusted yet, and `latest` means such a one; `stackwarden backups` lists all, name one by its id"
    )]
    Nothing,
    /// None was good enough at that time.
    #[error(
        "no backup that is proven and trusted was taken before {at}; `stackwarden backups` lists all, name one by its id"
    )]
    NothingYet {
        /// The instant.
        at: Timestamp,
    },
}

impl ChoiceError {
    /// What could have been meant, where that can be listed.
    pub fn known(&self) -> &[String] {
        match self {
            Self::Several { known } | Self::NoDatabase { known } => known,
            _ => &[],
        }
    }

    /// The same, where what could not be read explains why a backup is not known.
    #[must_use]
    pub fn explained<'a>(self, problems: impl IntoIterator<Item = &'a String>) -> Self {
        let Self::Unknown { id } = &self else {
            return self;
        };
        let name = id.to_string();
        let why = problems.into_iter().find(|it| it.contains(&name)).cloned();
        why.map_or(self, |why| Self::Unreadable { why })
    }
}

/// The backups of a series that somebody may mean: those of the destination that is named, else of both. One that is in
/// both counts as it stands on disk, unless it is refuted there and not in the bucket.
pub fn known<'a, B: AsRef<Backup>>(
    from: Option<Destination>,
    on_disk: &'a [B],
    copies: &'a [B],
) -> Vec<&'a Backup> {
    let of = |wanted, backups: &'a [B]| {
        let is_wanted = from.is_none_or(|from| from == wanted);
        let backups = backups.iter().filter(move |_| is_wanted);
        backups.map(AsRef::as_ref)
    };
    let mut found: BTreeMap<&BackupId, &Backup> = BTreeMap::new();
    for backup in of(Destination::S3, copies).chain(of(Destination::Disk, on_disk)) {
        let known = found.entry(&backup.manifest.id).or_insert(backup);
        let is_refuted = |it: &Backup| it.standing() == Standing::Refuted;
        if is_refuted(known) || !is_refuted(backup) {
            *known = backup;
        }
    }
    found.into_values().collect()
}

fn listed(known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    format!("; there are {}", known.join(" and "))
}

/// Backups that somebody may mean, one of each database at most.
type Found = Vec<(DatabaseRef, BackupId)>;

/// Finds the one backup of this stack that is meant. What `latest` means is decided for each database by itself, so with
/// several databases somebody has to say which: a wrong guess would replace the wrong one. What was taken from a volume is
/// meant where its database or its id is named.
///
/// # Errors
/// When none or several are meant.
pub fn choose<'a>(
    known: impl IntoIterator<Item = (&'a Series, Vec<&'a Backup>)>,
    which: &Which,
    only: Option<&DatabaseRef>,
) -> Result<(DatabaseRef, BackupId), ChoiceError> {
    let mut found = find_meant(known, which);
    let is_of_volume = |it: &DatabaseRef| volume::is_of_volume(&it.service);
    match (only, which) {
        (None, Which::Id(_)) => {}
        (None, _) => found.retain(|(database, _)| !is_of_volume(database)),
        (Some(only), Which::Id(_)) if !found.iter().any(|(database, _)| database == only) => {
            found.retain(|(database, _)| is_of_volume(database));
        }
        (Some(only), _) => found.retain(|(database, _)| database == only),
    }
    settle(&found, which)
}

fn find_meant<'a>(
    known: impl IntoIterator<Item = (&'a Series, Vec<&'a Backup>)>,
    which: &Which,
) -> Found {
    let mut found = Vec::new();
    for (series, backups) in known {
        let Some(database) = series.content.database() else {
            continue;
        };
        let meant = match which {
            Which::Latest => latest(backups),
            Which::At(at) => {
                let old_enough = |it: &&Backup| it.manifest.snapshot_at <= *at;
                latest(backups.into_iter().filter(old_enough).collect::<Vec<_>>())
            }
            Which::Id(id) => backups.into_iter().find(|it| it.manifest.id == *id),
        };
        let database = DatabaseRef::new(series.service.clone(), database.clone());
        found.extend(meant.map(|it| (database, it.manifest.id.clone())));
    }
    found
}

fn settle(
    found: &[(DatabaseRef, BackupId)],
    which: &Which,
) -> Result<(DatabaseRef, BackupId), ChoiceError> {
    match (found, which) {
        ([one], _) => Ok(one.clone()),
        ([], Which::Id(id)) => Err(ChoiceError::Unknown { id: id.clone() }),
        ([], Which::At(at)) => Err(ChoiceError::NothingYet { at: *at }),
        ([], Which::Latest) => Err(ChoiceError::Nothing),
        (several, _) => Err(ChoiceError::Several {
            known: several.iter().map(|(it, _)| it.to_string()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests;
