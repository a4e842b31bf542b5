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
mod tests {
    use super::*;
    use crate::domain::backup::{Content, Level, Reason, example_backup, example_proof};

    fn series(database: &str, backups: &[Backup]) -> Series {
        Series {
            content: Content::Database(DatabaseName::new(database)),
            ..backups[0].manifest.series.clone()
        }
    }

    fn backup(second: i64, reason: Reason) -> Backup {
        let mut backup = example_backup(Vec::new());
        let at = Timestamp::from_timestamp(second, 0).unwrap();
        backup.manifest.snapshot_at = at;
        backup.manifest.id = BackupId::build(at, [0, 0]);
        backup.manifest.reason = reason;
        backup
    }

    fn proven(mut backup: Backup) -> Backup {
        let mut proof = example_proof(Some(Level::Content));
        proof.id = backup.manifest.id.clone();
        backup.proofs = vec![proof];
        backup
    }

    #[test]
    fn latest_passes_over_what_is_unproven_or_was_taken_before_a_restore() {
        let backups = [
            proven(backup(100, Reason::Schedule)),
            proven(backup(200, Reason::Schedule)),
            proven(backup(300, Reason::PreRestore)),
            backup(400, Reason::Manual),
        ];
        let app = series("app", &backups);
        let of = |which: &Which| choose([(&app, backups.iter().collect())], which, None);
        assert_eq!(of(&Which::Latest).unwrap().1, backups[1].manifest.id);
        let at = |second| Which::At(Timestamp::from_timestamp(second, 0).unwrap());
        assert_eq!(of(&at(199)).unwrap().1, backups[0].manifest.id);
        assert_eq!(of(&at(200)).unwrap().1, backups[1].manifest.id);
        assert!(matches!(of(&at(99)), Err(ChoiceError::NothingYet { .. })));
        let unproven = Which::Id(backups[3].manifest.id.clone());
        assert_eq!(of(&unproven).unwrap().1, backups[3].manifest.id);
    }

    #[test]
    fn with_two_databases_somebody_has_to_say_which() {
        let backups = [proven(backup(100, Reason::Schedule))];
        let (app, other) = (series("app", &backups), series("other", &backups));
        let known = || [&app, &other].map(|it| (it, backups.iter().collect()));
        let error = choose(known(), &Which::Latest, None).unwrap_err();
        let several = "postgres/app and postgres/other have such a backup; say which with --database SERVICE/DATABASE";
        assert_eq!(error.to_string(), several);
        let only = DatabaseRef::new(ServiceName::new("postgres"), DatabaseName::new("other"));
        assert_eq!(
            choose(known(), &Which::Latest, Some(&only)).unwrap().0,
            only
        );
    }

    #[test]
    fn what_was_taken_from_a_volume_is_meant_only_where_it_is_named() {
        let backups = [proven(backup(100, Reason::Schedule))];
        let old = [proven(backup(50, Reason::Manual))];
        let live = series("app", &backups);
        let of_volume = Series {
            service: VolumeName::parse("old_data").unwrap().service(),
            ..live.clone()
        };
        let known = || {
            [
                (&live, backups.iter().collect()),
                (&of_volume, old.iter().collect()),
            ]
        };
        let app = DatabaseRef::new(live.service.clone(), DatabaseName::new("app"));
        let from_volume = DatabaseRef::new(of_volume.service.clone(), DatabaseName::new("app"));
        assert_eq!(choose(known(), &Which::Latest, None).unwrap().0, app);
        assert_eq!(choose(known(), &Which::Latest, Some(&app)).unwrap().0, app);
        let id = Which::Id(old[0].manifest.id.clone());
        for only in [None, Some(&app), Some(&from_volume)] {
            assert_eq!(choose(known(), &id, only).unwrap().0, from_volume);
        }
    }

    #[test]
    fn a_backup_of_both_places_counts_as_it_stands_on_disk_unless_it_went_bad_there() {
        let disk = [proven(backup(100, Reason::Schedule))];
        let copies = [backup(100, Reason::Schedule), backup(200, Reason::Schedule)];
        let ids = |known: Vec<&Backup>| {
            let shown = known
                .iter()
                .map(|it| (it.manifest.snapshot_at.timestamp(), it.is_verified()));
            shown.collect::<Vec<_>>()
        };
        assert_eq!(
            ids(known(None, &disk, &copies)),
            [(100, true), (200, false)]
        );
        assert_eq!(
            ids(known(Some(Destination::Disk), &disk, &copies)),
            [(100, true)]
        );
        assert_eq!(
            ids(known(Some(Destination::S3), &disk, &copies)),
            [(100, false), (200, false)]
        );
        let mut rotten = disk.clone();
        rotten[0].proofs.push(example_proof(None));
        let chosen = known(None, &rotten, &copies);
        assert!(chosen[0].proofs.is_empty());
    }

    #[test]
    fn a_manifest_that_cannot_be_read_explains_why_its_backup_is_not_known() {
        let id = backup(100, Reason::Schedule).manifest.id;
        let unknown = || ChoiceError::Unknown { id: id.clone() };
        let why = format!("shop/{id}.json is damaged");
        assert_eq!(unknown().explained([&"other".to_owned()]), unknown());
        assert_eq!(
            unknown().explained([&why]),
            ChoiceError::Unreadable { why: why.clone() }
        );
    }
}
