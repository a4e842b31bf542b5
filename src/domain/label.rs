//! The labels of a service: a closed vocabulary, read into policies and problems.
//!
//! The table in [`mod@table`] is the one list of keys; parsing, hints and the reference page come
//! from it. Invariants: every mistake becomes a [`LabelProblem`], all of them together; a mistake in a
//! label of a backup never switches backups off; a mistake that could run a migration wrongly, or not
//! at all, makes it [`MigrationReading::Broken`], so that the gate does not let the app start.

#[cfg(test)]
pub mod page;
mod read;
pub mod table;
pub mod value;

use std::collections::BTreeMap;
use std::fmt;

use super::backup::Level;
use super::id::ServiceName;
use super::policy::{BackupPolicy, DatabaseSelection, HealthPolicy, KeepPolicy, MigrationPolicy};
use super::schedule::{Schedule, Zone};

use self::table::BACKUP;

/// Whether this version acts upon a label or variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    InEffect,
    /// It is known, and has no effect yet.
    Later,
}

/// What a service is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A Postgres server.
    Database,
    /// Anything else.
    App,
}

/// What holds for every database of the stack that says nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackDefaults {
    /// When.
    pub schedule: Schedule,
    /// When the newest backups are proven again.
    pub drill: Schedule,
    /// How long.
    pub keep: KeepPolicy,
    /// How far each backup is proven.
    pub verify: Level,
    /// Which databases.
    pub databases: DatabaseSelection,
    /// In which time zone schedules are meant.
    pub zone: Zone,
}

/// What the labels say about migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationReading {
    /// The service has none.
    Absent,
    /// It has this one.
    Valid(MigrationPolicy),
    /// It has one that cannot be read, see the problems: the app must not start.
    Broken,
}

impl MigrationReading {
    /// The migration, when it can be read.
    pub fn find_valid(&self) -> Option<&MigrationPolicy> {
        match self {
            Self::Valid(policy) => Some(policy),
            Self::Absent | Self::Broken => None,
        }
    }
}

/// Everything the labels of one service say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePolicies {
    /// `None` for a service that is no database.
    pub backup: Option<BackupPolicy>,
    /// Its migration.
    pub migration: MigrationReading,
    /// How its health is known.
    pub health: HealthPolicy,
}

/// A mistake in a label, or one that this version does not act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelProblem {
    /// The service that carries it.
    pub service: ServiceName,
    /// The key as written.
    pub key: String,
    /// What is wrong.
    pub kind: LabelProblemKind,
}

/// What is wrong with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelProblemKind {
    /// No such key.
    Unknown {
        /// The key that was probably meant.
        hint: Option<&'static str>,
    },
    /// The value carries quotation marks of its own.
    Quoted,
    /// The value says nothing we know.
    BadValue {
        /// What is wrong and how to write it.
        reason: String,
        /// What holds meanwhile.
        fallback: Fallback,
    },
    /// It belongs on a database.
    OnlyOnDatabase,
    /// It belongs on an application.
    OnlyOnApp,
    /// It says something about a migration that the service does not have.
    WithoutMigration,
    /// This version does nothing about it.
    NoEffectYet,
}

/// What holds while a value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The default.
    Default,
    /// Nothing: the migration does not run and the app does not start.
    MigrationStops,
}

impl fmt::Display for LabelProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "service {}: label {}: ", self.service, self.key)?;
        self.kind.fmt(formatter)
    }
}

impl fmt::Display for LabelProblemKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { hint: Some(known) } => {
                write!(formatter, "no such label, did you mean {known}?")
            }
            Self::Unknown { hint: None } => formatter
                .write_str("no such label, see docs/reference/labels.md for all there are"),
            Self::Quoted => formatter.write_str(
                "the quotation marks became part of the value; write the value without them (in a list: - label=value)",
            ),
            Self::BadValue { reason, fallback } => match fallback {
                Fallback::Default => write!(formatter, "{reason}; the default holds meanwhile"),
                Fallback::MigrationStops => {
                    write!(formatter, "{reason}; the gate keeps the service down meanwhile")
                }
            },
            Self::OnlyOnDatabase => write!(
                formatter,
                "it means something on a Postgres server only; if this is one, add {BACKUP}: \"true\", else remove it"
            ),
            Self::OnlyOnApp => formatter.write_str(
                "it means nothing on a database; write it on the service whose image holds the migrations, or, if this is one, add stackwarden.backup: \"false\"",
            ),
            Self::WithoutMigration => formatter.write_str(
                "it has no effect without stackwarden.migrate on the same service; add that or remove this",
            ),
            Self::NoEffectYet => formatter.write_str("it has no effect in this version; remove it"),
        }
    }
}

/// Reads all labels of a service; foreign ones are left alone.
pub fn read_labels(
    service: &ServiceName,
    labels: &BTreeMap<String, String>,
    role: Role,
    defaults: &StackDefaults,
) -> (ServicePolicies, Vec<LabelProblem>) {
    let mut reader = read::Reader::new(service, labels, role);
    let policies = ServicePolicies {
        backup: reader.backup(defaults),
        migration: reader.migration(),
        health: reader.health(),
    };
    (policies, reader.into_problems())
}

#[cfg(test)]
pub(crate) mod tests;
