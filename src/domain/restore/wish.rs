//! What somebody asks for, in words: from the command line and over HTTP alike, so that both mean the same.

use std::path::PathBuf;

use thiserror::Error;

use super::name::{self, NameError};
use super::owner::{Elsewhere, Of, Owner, Sought, choose_of};
use super::{ChoiceError, RestoreOrder, Source, Which, choose};
use crate::domain::backup::{Backup, Destination, Series};
use crate::domain::bucket::{KeyPrefix, KeyPrefixError};
use crate::domain::id::{BackupId, DatabaseName, DatabaseRef, ProjectName, ServiceName};
use crate::domain::unit::Timestamp;
use crate::domain::volume::{VolumeName, VolumeNameError, is_of_volume};

/// The words, as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// `into`, `swap`, `undo` or `drop`.
    pub mode: String,
    /// An id, `latest`, or a file.
    pub backup: Option<String>,
    /// The new database of `into`.
    pub name: Option<String>,
    /// `service/database`
    pub database: Option<String>,
    /// An instant, RFC 3339.
    pub at: Option<String>,
    /// `disk` or `s3`.
    pub from: Option<String>,
    /// A volume that the backup was taken from.
    pub volume: Option<String>,
    /// The project whose backup it is.
    pub project: Option<String>,
    /// What stands before that project's keys in the bucket.
    pub prefix: Option<String>,
    /// `service/database` of the backup itself, where it is another than the live one's.
    pub of: Option<String>,
}

/// The words, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What is to be done.
    pub mode: Mode,
    /// The database that was named.
    pub only: Option<DatabaseRef>,
    /// The destination that was named.
    pub from: Option<Destination>,
    /// Whose backup is meant.
    pub owner: Owner,
    /// Of which of the owner's databases.
    pub of: Option<DatabaseRef>,
}

/// What is to be done, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Into a new database.
    Into(Meant, DatabaseName),
    /// In the live one's place.
    Swap(Which),
    /// The newest swap goes back.
    Undo,
    /// What swaps kept goes.
    Drop,
}

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// A backup of this stack.
    Backup(Which),
    /// A file.
    File(PathBuf),
}

/// Why words cannot be understood; the same words never can.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WishError {
    /// No such mode.
    #[error("{0:?} is nothing that a restore does; write into, swap, undo or drop")]
    Mode(String),
    /// Nothing to restore.
    #[error("name what to restore: a backup's id, `latest`, or a file's path")]
    NoBackup,
    /// Something to restore where nothing is restored.
    #[error("undo and drop restore nothing; leave {0:?} out")]
    Superfluous(String),
    /// It is neither.
    #[error(
        "{0:?} is not a backup id such as 20260121T020000Z-3f9c, nor `latest`, nor a file's path"
    )]
    Unknown(String),
    /// Only what is known to the end is swapped in.
    #[error("a file is restored with --into NAME; only a backup of this stack can be swapped in")]
    FileSwap,
    /// The new name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No database.
    #[error("{0:?} names no database; write service/database, such as postgres/app")]
    Database(String),
    /// No time.
    #[error("{0:?} is no instant; write it as 2026-01-21T02:00:00Z or 2026-01-21T03:00:00+01:00")]
    Time(String),
    /// No destination.
    #[error("{0:?} is no place where backups are; write disk or s3")]
    Destination(String),
    /// A destination where nothing is taken from one.
    #[error("--from says where a backup is taken from; leave it out here")]
    SuperfluousFrom,
    /// Two owners.
    #[error("a backup is of a volume or of a project; leave --from-volume or --from-project out")]
    TwoOwners,
    /// No volume.
    #[error(transparent)]
    Volume(#[from] VolumeNameError),
    /// No project.
    #[error("--from-project wants the name of a Compose project, such as shop-prod")]
    Project,
    /// No prefix.
    #[error(transparent)]
    Prefix(#[from] KeyPrefixError),
    /// What belongs to an owner, and there is none.
    #[error("{0} belongs to --from-project or --from-volume; leave it out here")]
    SuperfluousWord(&'static str),
    /// An owner where no backup is taken.
    #[error("--from-project and --from-volume say whose backup is restored; leave them out here")]
    SuperfluousOwner,
    /// Nothing says which live database goes.
    #[error("say in whose place it goes with --database SERVICE/DATABASE")]
    NoTarget,
    /// A time beside something that has one.
    #[error("--at chooses among the backups that `latest` could mean; write `latest` with it")]
    TimeOfOne,
}

impl Wish {
    /// Reads the words.
    ///
    /// # Errors
    /// The first that makes no sense.
    pub fn read(words: Words) -> Result<Self, WishError> {
        let only = words.database.map(|word| database(&word)).transpose()?;
        let at = words.at.map(|word| instant(&word)).transpose()?;
        let from = words.from.map(|word| destination(&word)).transpose()?;
        let mode = match (words.mode.as_str(), words.backup) {
            ("into", Some(backup)) => Mode::Into(
                meant(backup, at)?,
                name::parse(&words.name.unwrap_or_default())?,
            ),
            ("swap", Some(backup)) => match meant(backup, at)? {
                Meant::Backup(which) => Mode::Swap(which),
                Meant::File(_) => return Err(WishError::FileSwap),
            },
            ("into" | "swap", None) => return Err(WishError::NoBackup),
            ("undo" | "drop", Some(backup)) => return Err(WishError::Superfluous(backup)),
            ("undo", None) => Mode::Undo,
            ("drop", None) => Mode::Drop,
            (other, _) => return Err(WishError::Mode(other.to_owned())),
        };
        let takes_backup = matches!(mode, Mode::Into(Meant::Backup(_), _) | Mode::Swap(_));
        if from.is_some() && !takes_backup {
            return Err(WishError::SuperfluousFrom);
        }
        let owner = owner(words.volume, words.project, words.prefix)?;
        let of = words.of.map(|word| database(&word)).transpose()?;
        if owner == Owner::Own && of.is_some() {
            return Err(WishError::SuperfluousWord("--of"));
        }
        if owner != Owner::Own && !takes_backup {
            return Err(WishError::SuperfluousOwner);
        }
        // What of this stack goes is never guessed from another's names.
        let live = only.as_ref().filter(|it| !is_of_volume(&it.service));
        if matches!(mode, Mode::Swap(_))
            && live.is_none()
            && (owner != Owner::Own || only.is_some())
        {
            return Err(WishError::NoTarget);
        }
        Ok(Self {
            mode,
            only,
            from,
            owner,
            of,
        })
    }

    /// Chooses the backup and the database among what is known.
    ///
    /// # Errors
    /// When none or several are meant.
    pub fn resolve<'a>(
        self,
        known: impl IntoIterator<Item = (&'a Series, Vec<&'a Backup>)>,
    ) -> Result<RestoreOrder, ChoiceError> {
        let live = self.only.clone().filter(|it| !is_of_volume(&it.service));
        Ok(match &self.mode {
            Mode::Into(Meant::File(file), name) => RestoreOrder::Into {
                source: Source::File { file: file.clone() },
                service: self.only.map(|only| only.service),
                name: name.clone(),
            },
            Mode::Into(Meant::Backup(which), name) => {
                let source = self.source(known, which)?;
                let own = match &source {
                    Source::Backup { database, .. } if !is_of_volume(&database.service) => {
                        Some(database.service.clone())
                    }
                    _ => None,
                };
                RestoreOrder::Into {
                    source,
                    service: own.or(live.map(|it| it.service)),
                    name: name.clone(),
                }
            }
            Mode::Swap(which) => {
                let source = self.source(known, which)?;
                let database = match (live, &source) {
                    (Some(live), _) => live,
                    (None, Source::Backup { database, .. }) if !is_of_volume(&database.service) => {
                        database.clone()
                    }
                    (None, Source::Backup { id, .. }) => {
                        return Err(ChoiceError::NoTarget { id: id.clone() });
                    }
                    (None, _) => return Err(ChoiceError::NoDatabase { known: Vec::new() }),
                };
                RestoreOrder::Swap { database, source }
            }
            Mode::Undo => RestoreOrder::Undo {
                database: only_one(known, self.only)?,
            },
            Mode::Drop => RestoreOrder::Drop {
                database: only_one(known, self.only)?,
            },
        })
    }

    /// The backup that is meant, as far as it is known here.
    fn source<'a>(
        &self,
        known: impl IntoIterator<Item = (&'a Series, Vec<&'a Backup>)>,
        which: &Which,
    ) -> Result<Source, ChoiceError> {
        let from = self.from;
        let of = match (&self.of, &self.only) {
            (Some(own), _) => Of::Exactly(own.clone()),
            (None, Some(live)) => Of::Like(live.clone()),
            (None, None) => Of::Any,
        };
        let (database, id) = match &self.owner {
            Owner::Own => choose(known, which, self.only.as_ref())?,
            Owner::Volume(volume) => {
                let service = volume.service();
                let known = known.into_iter().filter(|(it, _)| it.service == service);
                let known: Vec<_> = known.collect();
                if known.is_empty() {
                    let volume = volume.clone();
                    return Err(ChoiceError::NoneOfVolume { volume });
                }
                choose_of(known, which, &of)?
            }
            Owner::Project(place) => {
                return Ok(Source::Sought(Sought {
                    place: place.clone(),
                    which: which.clone(),
                    of,
                    from,
                }));
            }
        };
        Ok(Source::Backup { database, id, from })
    }
}

fn owner(
    volume: Option<String>,
    project: Option<String>,
    prefix: Option<String>,
) -> Result<Owner, WishError> {
    let prefix = prefix.map(|word| KeyPrefix::parse(&word)).transpose()?;
    match (volume, project) {
        (Some(_), Some(_)) => Err(WishError::TwoOwners),
        (None, Some(project)) if project.trim().is_empty() => Err(WishError::Project),
        (None, Some(project)) => Ok(Owner::Project(Elsewhere {
            project: ProjectName::new(project),
            prefix,
        })),
        (_, None) if prefix.is_some() => Err(WishError::SuperfluousWord("--prefix")),
        (Some(volume), None) => Ok(Owner::Volume(VolumeName::parse(&volume)?)),
        (None, None) => Ok(Owner::Own),
    }
}

fn database(word: &str) -> Result<DatabaseRef, WishError> {
    match word.split_once('/') {
        Some((service, database)) if !service.is_empty() && !database.is_empty() => Ok(
            DatabaseRef::new(ServiceName::new(service), DatabaseName::new(database)),
        ),
        _ => Err(WishError::Database(word.to_owned())),
    }
}

/// Reads the word of a destination.
///
/// # Errors
/// When it is none.
pub fn destination(word: &str) -> Result<Destination, WishError> {
    Destination::find(word).ok_or_else(|| WishError::Destination(word.to_owned()))
}

fn instant(word: &str) -> Result<Timestamp, WishError> {
    let read = chrono::DateTime::parse_from_rfc3339(word.trim());
    let read = read.map_err(|_wrong| WishError::Time(word.to_owned()))?;
    Ok(read.to_utc())
}

fn meant(word: String, at: Option<Timestamp>) -> Result<Meant, WishError> {
    let which = if word == "latest" {
        at.map_or(Which::Latest, Which::At)
    } else {
        if at.is_some() {
            return Err(WishError::TimeOfOne);
        }
        match BackupId::parse(&word) {
            Ok(id) => Which::Id(id),
            // A mistyped id is better told as one than as a file that is not there.
            Err(_wrong) if !word.contains(['/', '.']) => return Err(WishError::Unknown(word)),
            Err(_path) => return Ok(Meant::File(word.into())),
        }
    };
    Ok(Meant::Backup(which))
}

/// The database that is named, or the only one that has backups.
fn only_one<'a>(
    known: impl IntoIterator<Item = (&'a Series, Vec<&'a Backup>)>,
    named: Option<DatabaseRef>,
) -> Result<DatabaseRef, ChoiceError> {
    if let Some(named) = named {
        return Ok(named);
    }
    let databases = known.into_iter().filter_map(|(series, backups)| {
        let database = series.content.database()?.clone();
        let is_live = !backups.is_empty() && !is_of_volume(&series.service);
        is_live.then(|| DatabaseRef::new(series.service.clone(), database))
    });
    let databases: Vec<DatabaseRef> = databases.collect();
    match databases.as_slice() {
        [one] => Ok(one.clone()),
        several => Err(ChoiceError::NoDatabase {
            known: several.iter().map(ToString::to_string).collect(),
        }),
    }
}

#[cfg(test)]
mod tests;
