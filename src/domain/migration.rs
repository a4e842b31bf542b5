//! When a migration has nothing to do, and which backup may stand before it.

use sha2::{Digest, Sha256};

use super::backup::{Backup, Level};
use super::id::{Revision, ServiceName};
use super::policy::{CommandLine, MigrationPolicy};
use super::unit::{Timestamp, hexadecimal};

/// Which database a migration would change, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseState {
    /// Of the server; changes with every initdb.
    pub system_identifier: String,
    /// Of the database; changes when it is dropped and created again.
    pub database_oid: u32,
    /// Where a known tool keeps one.
    pub revision: Option<Revision>,
}

/// What a run is made of: when it is unchanged and so is the revision, there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationKey(String);

/// The parts of a [`MigrationKey`].
#[derive(Debug)]
pub struct KeyParts<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// Layers and configuration of its image: an id alone changes with every build on newer engines.
    pub image_content: &'a str,
    /// The command.
    pub command: &'a CommandLine,
    /// Compose's hash of the service's configuration.
    pub configuration_hash: &'a str,
    /// The database.
    pub state: &'a DatabaseState,
}

impl MigrationKey {
    /// Hashes the parts, each with its length, so that no two lists of parts look alike.
    pub fn build(parts: &KeyParts<'_>) -> Self {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        add(parts.service.as_str());
        add(parts.image_content);
        parts.command.0.iter().for_each(|word| add(word));
        add(parts.configuration_hash);
        add(&parts.state.system_identifier);
        add(&parts.state.database_oid.to_string());
        Self(hexadecimal(&hash.finalize()))
    }

    /// A key as the journal keeps it.
    pub fn from_journal(text: String) -> Self {
        Self(text)
    }

    /// The key as the journal keeps it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last run of a service's migration that left the database where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    /// Its key.
    pub key: MigrationKey,
    /// The revision it left.
    pub revision: Option<Revision>,
    /// When.
    pub at: Timestamp,
}

/// Whether nothing can be pending: same key as the last good run, and the revision is still the one it left.
///
/// Where no known tool keeps a revision, an unchanged key alone is not enough to know.
pub fn is_unchanged(last: Option<&LastGood>, key: &MigrationKey, state: &DatabaseState) -> bool {
    last.is_some_and(|last| {
        &last.key == key && last.revision.is_some() && last.revision == state.revision
    })
}

/// The command that tells whether something is pending, for tools we know, when the label names none.
///
/// Alembic: `current --check-heads` (since 1.17.1) exits 0 only at all heads.
pub fn status_command(policy: &MigrationPolicy) -> Option<CommandLine> {
    if policy.status.is_some() {
        return policy.status.clone();
    }
    let words: Vec<&str> = policy.command.0.iter().map(String::as_str).collect();
    let upgrade = words.iter().position(|word| *word == "upgrade")?;
    let (before, _) = words.split_at_checked(upgrade)?;
    let is_alembic = match before {
        [program, ..] if program.rsplit('/').next() == Some("alembic") => true,
        [python, "-m", "alembic", ..] => python.contains("python"),
        _ => false,
    };
    if !is_alembic
        || words.get(upgrade + 1..) != Some(&["head"])
            && words.get(upgrade + 1..) != Some(&["heads"])
    {
        return None;
    }
    let asked = before.iter().copied().chain(["current", "--check-heads"]);
    Some(CommandLine(asked.map(str::to_owned).collect()))
}

/// Whether a backup may stand before a migration: young enough, archived, of this very database, and
/// nothing was migrated since it was taken.
pub fn serves(
    backup: &Backup,
    policy: &MigrationPolicy,
    state: &DatabaseState,
    last_migrated: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let manifest = &backup.manifest;
    let age = (now - manifest.snapshot_at).to_std();
    age.is_ok_and(|age| age <= policy.backup_max_age)
        && backup.level().is_some_and(|level| level >= Level::Archive)
        && manifest.origin.system_identifier == state.system_identifier
        && manifest.origin.database_oid == state.database_oid
        && manifest.revision == state.revision
        && last_migrated.is_none_or(|at| at < manifest.snapshot_at)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::policy::{BackupBefore, EntrypointPolicy};
    use super::*;

    fn state(revision: Option<&str>) -> DatabaseState {
        DatabaseState {
            system_identifier: "1".into(),
            database_oid: 5,
            revision: revision.map(Revision::new),
        }
    }

    fn key(command: &[&str], state: &DatabaseState) -> MigrationKey {
        let command = CommandLine(command.iter().map(|word| (*word).to_owned()).collect());
        MigrationKey::build(&KeyParts {
            service: &ServiceName::new("api"),
            image_content: "layers",
            command: &command,
            configuration_hash: "h",
            state,
        })
    }

    fn policy(command: &[&str]) -> MigrationPolicy {
        MigrationPolicy {
            command: CommandLine(command.iter().map(|word| (*word).to_owned()).collect()),
            after: BTreeSet::new(),
            status: None,
            entrypoint: EntrypointPolicy::Keep,
            database: None,
            backup: BackupBefore::Auto,
            backup_max_age: Duration::from_mins(10),
            timeout: Duration::from_mins(15),
        }
    }

    #[test]
    fn only_the_same_key_and_revision_mean_nothing_to_do() {
        let now = Timestamp::from_timestamp(0, 0).unwrap();
        let at_two = state(Some("2"));
        let last = LastGood {
            key: key(&["a", "b"], &at_two),
            revision: at_two.revision.clone(),
            at: now,
        };
        assert!(is_unchanged(
            Some(&last),
            &key(&["a", "b"], &at_two),
            &at_two
        ));
        assert!(!is_unchanged(Some(&last), &key(&["ab"], &at_two), &at_two));
        assert!(!is_unchanged(
            Some(&last),
            &key(&["a", "b"], &at_two),
            &state(Some("1"))
        ));
        let recreated = DatabaseState {
            database_oid: 6,
            ..at_two.clone()
        };
        assert!(!is_unchanged(
            Some(&last),
            &key(&["a", "b"], &recreated),
            &recreated
        ));
        assert!(!is_unchanged(None, &key(&["a", "b"], &at_two), &at_two));
        let unknown = LastGood {
            revision: None,
            ..last
        };
        assert!(!is_unchanged(
            Some(&unknown),
            &key(&["a", "b"], &state(None)),
            &state(None)
        ));
    }

    #[test]
    fn alembic_is_asked_in_its_own_spelling() {
        let asked = |command: &[&str]| status_command(&policy(command)).map(|it| it.0.join(" "));
        let known = Some("alembic current --check-heads".to_owned());
        assert_eq!(asked(&["alembic", "upgrade", "head"]), known);
        assert_eq!(
            asked(&["python", "-m", "alembic", "-c", "x.ini", "upgrade", "heads"]),
            Some("python -m alembic -c x.ini current --check-heads".to_owned())
        );
        assert_eq!(asked(&["alembic", "upgrade", "0002"]), None);
        assert_eq!(asked(&["sh", "-c", "alembic upgrade head"]), None);
        assert_eq!(asked(&["npx", "prisma", "migrate", "deploy"]), None);
    }
}
