//! Whose backup is meant, where it is not one of a database that runs here: what a volume held, or another project's.

use super::{ChoiceError, Found, Which, find_meant, settle};
use crate::domain::backup::{Backup, Destination, Series};
use crate::domain::bucket::KeyPrefix;
use crate::domain::id::{BackupId, DatabaseRef, ProjectName};
use crate::domain::volume::VolumeName;

/// Whose backup is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This stack's.
    Own,
    /// One that this stack has taken from a volume.
    Volume(VolumeName),
    /// Another project's, in the same folder or bucket.
    Project(Elsewhere),
}

/// Where another project's backups are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The project.
    pub project: ProjectName,
    /// What stands before its keys in the bucket; our own prefix otherwise.
    pub prefix: Option<KeyPrefix>,
}

/// How the database of a backup is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Not at all.
    Any,
    /// By the live one that it goes to: the same name there, or at least the same database.
    Like(DatabaseRef),
    /// By its own name.
    Exactly(DatabaseRef),
}

/// Another project's backup, as somebody describes it. Which one it is shows only where it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Where.
    pub place: Elsewhere,
    /// Which.
    pub which: Which,
    /// Of which database.
    pub of: Of,
    /// From where; otherwise from disk, and from the bucket where the disk does not have it.
    pub from: Option<Destination>,
}

impl Sought {
    /// In words.
    pub fn told(&self) -> String {
        let which = match &self.which {
            Which::Latest => "the latest".to_owned(),
            Which::At(at) => format!("the latest of {at}"),
            Which::Id(id) => id.to_string(),
        };
        format!("{which} of project {}", self.place.project)
    }
}

/// Finds the one backup that is meant among those of another owner.
///
/// # Errors
/// When none or several are meant.
pub fn choose_of<'a>(
    known: impl IntoIterator<Item = (&'a Series, Vec<&'a Backup>)>,
    which: &Which,
    of: &Of,
) -> Result<(DatabaseRef, BackupId), ChoiceError> {
    let mut found = find_meant(known, which);
    match of {
        Of::Any => {}
        Of::Exactly(named) => found.retain(|(database, _)| database == named),
        Of::Like(live) => narrow(&mut found, live, which),
    }
    settle(&found, which)
}

/// An id alone says which; anything else has to be of a database of that name.
fn narrow(found: &mut Found, live: &DatabaseRef, which: &Which) {
    if found.len() < 2 && matches!(which, Which::Id(_)) {
        return;
    }
    let is_same = |database: &DatabaseRef| database == live;
    let is_named = |database: &DatabaseRef| database.database == live.database;
    if found.iter().any(|(database, _)| is_same(database)) {
        found.retain(|(database, _)| is_same(database));
    } else {
        found.retain(|(database, _)| is_named(database));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backup::{Content, Level, example_backup, example_proof};
    use crate::domain::id::{DatabaseName, ServiceName};

    fn database(service: &str, name: &str) -> DatabaseRef {
        DatabaseRef::new(ServiceName::new(service), DatabaseName::new(name))
    }

    #[test]
    fn anothers_backup_is_found_by_the_live_databases_name_or_by_its_own() {
        let backup = example_backup(vec![example_proof(Some(Level::Content))]);
        let series = |service: &str, name: &str| Series {
            service: ServiceName::new(service),
            content: Content::Database(DatabaseName::new(name)),
            ..backup.manifest.series.clone()
        };
        let all = [series("db", "app"), series("db", "other")];
        let latest = |of: &Of| {
            let known = all.iter().map(|it| (it, vec![&backup]));
            choose_of(known, &Which::Latest, of).map(|(database, _)| database)
        };
        let like = |service: &str, name: &str| latest(&Of::Like(database(service, name)));
        assert_eq!(like("db", "other"), Ok(database("db", "other")));
        assert_eq!(like("postgres", "app"), Ok(database("db", "app")));
        assert_eq!(like("postgres", "staging"), Err(ChoiceError::Nothing));
        let own = Of::Exactly(database("db", "app"));
        assert_eq!(latest(&own), Ok(database("db", "app")));
        assert!(matches!(latest(&Of::Any), Err(ChoiceError::Several { .. })));
        // An id says it all.
        let id = Which::Id(backup.manifest.id.clone());
        let of = Of::Like(database("postgres", "staging"));
        let one = choose_of([(&all[0], vec![&backup])], &id, &of);
        assert_eq!(one.unwrap().0, database("db", "app"));
    }
}
