//! From the labels of one service to its policies; every mistake on the way becomes a problem.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::{self, LabelSpec, Place};
use super::value::{self, ValueError};
use super::{
    Fallback, LabelProblem, LabelProblemKind, MigrationReading, Role, StackDefaults, Standing,
};
use crate::domain::id::ServiceName;
use crate::domain::policy::{
    BackupBefore, BackupPolicy, CommandLine, EntrypointPolicy, HealthPolicy, Importance,
    MigrationPolicy, ProbeTarget,
};
use crate::domain::schedule::Schedule;
use crate::domain::unit::parse_duration;

const TRUE_FALSE: [(&str, bool); 2] = [("true", true), ("false", false)];

/// Labels whose mistakes could run a migration wrongly, or not at all.
const CRITICAL: [&str; 4] = [
    table::MIGRATE,
    table::MIGRATE_AFTER,
    table::MIGRATE_ENTRYPOINT,
    table::MIGRATE_DATABASE,
];

/// The labels that are left after the vocabulary was checked, and the problems found so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    service: &'a ServiceName,
    role: Role,
    values: BTreeMap<&'static str, &'a str>,
    problems: Vec<LabelProblem>,
    broken: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        service: &'a ServiceName,
        labels: &'a BTreeMap<String, String>,
        role: Role,
    ) -> Self {
        let mut reader = Self {
            service,
            role,
            values: BTreeMap::new(),
            problems: Vec::new(),
            broken: false,
        };
        for (key, text) in labels.iter().filter(|(key, _)| table::is_ours(key)) {
            match table::find(key) {
                Some(spec) => reader.admit(spec, text),
                None => reader.reject_unknown(key),
            }
        }
        reader
    }

    pub(super) fn into_problems(self) -> Vec<LabelProblem> {
        self.problems
    }

    fn report(&mut self, key: &str, kind: LabelProblemKind) {
        self.problems.push(LabelProblem {
            service: self.service.clone(),
            key: key.to_owned(),
            kind,
        });
    }

    fn reject_unknown(&mut self, key: &str) {
        let meant = table::closest(key).map(|spec| spec.key);
        self.broken |= meant.is_some_and(|known| CRITICAL.contains(&known));
        self.report(key, LabelProblemKind::Unknown { hint: meant });
    }

    fn admit(&mut self, spec: &'static LabelSpec, text: &'a str) {
        let misplaced = match (spec.on, self.role) {
            (Place::Database, Role::App) => {
                // `false` on what is no database is true.
                (spec.key != table::BACKUP || text.trim() != "false")
                    .then_some(LabelProblemKind::OnlyOnDatabase)
            }
            (Place::App, Role::Database) => Some(LabelProblemKind::OnlyOnApp),
            _ => None,
        };
        let kind = if spec.standing == Standing::Later {
            LabelProblemKind::NoEffectYet
        } else if is_quoted(text) {
            LabelProblemKind::Quoted
        } else if let Some(kind) = misplaced {
            kind
        } else {
            self.values.insert(spec.key, text);
            return;
        };
        self.broken |= spec.standing == Standing::InEffect && CRITICAL.contains(&spec.key);
        self.report(spec.key, kind);
    }

    /// The value of a label, `None` when it is absent or wrong (then it is a problem).
    fn value<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let text = self.values.get(key)?;
        match parse(text) {
            Ok(found) => Some(found),
            Err(ValueError(reason)) => {
                let fallback = if CRITICAL.contains(&key) {
                    self.broken = true;
                    Fallback::MigrationStops
                } else {
                    Fallback::Default
                };
                self.report(key, LabelProblemKind::BadValue { reason, fallback });
                None
            }
        }
    }

    pub(super) fn backup(&mut self, defaults: &StackDefaults) -> Option<BackupPolicy> {
        if self.role == Role::App {
            return None;
        }
        let schedule = |text: &str| {
            Schedule::parse(text, defaults.zone).map_err(|error| ValueError(error.to_string()))
        };
        Some(BackupPolicy {
            enabled: self
                .value(table::BACKUP, |text| value::parse_word(text, &TRUE_FALSE))
                .unwrap_or(true),
            schedule: self
                .value(table::BACKUP_SCHEDULE, schedule)
                .unwrap_or_else(|| defaults.schedule.clone()),
            databases: self
                .value(table::BACKUP_DATABASES, value::parse_selection)
                .unwrap_or_else(|| defaults.databases.clone()),
            keep: self
                .value(table::BACKUP_KEEP, value::parse_keep)
                .unwrap_or(defaults.keep),
            verify: self
                .value(table::BACKUP_VERIFY, value::parse_level)
                .unwrap_or(defaults.verify),
            drill: self
                .value(table::BACKUP_DRILL, schedule)
                .unwrap_or_else(|| defaults.drill.clone()),
        })
    }

    pub(super) fn migration(&mut self) -> MigrationReading {
        if self
            .values
            .get(table::MIGRATE)
            .is_some_and(|text| text.trim() == "watch")
        {
            self.values.remove(table::MIGRATE);
            self.report(table::MIGRATE, LabelProblemKind::NoEffectYet);
        } else if !self.values.contains_key(table::MIGRATE) && !self.broken {
            self.report_orphans();
        }
        let command = self.value(table::MIGRATE, value::parse_command);
        let policy = command.map(|command| self.policy(command));
        match policy {
            _ if self.broken => MigrationReading::Broken,
            Some(policy) => MigrationReading::Valid(policy),
            None => MigrationReading::Absent,
        }
    }

    fn report_orphans(&mut self) {
        let orphans: Vec<&'static str> = self
            .values
            .keys()
            .copied()
            .filter(|key| key.starts_with("stackwarden.migrate."))
            .collect();
        for key in orphans {
            self.report(key, LabelProblemKind::WithoutMigration);
        }
    }

    fn policy(&mut self, command: CommandLine) -> MigrationPolicy {
        let entrypoint = [
            ("keep", EntrypointPolicy::Keep),
            ("clear", EntrypointPolicy::Clear),
        ];
        let backup = [
            ("auto", BackupBefore::Auto),
            ("always", BackupBefore::Always),
            ("never", BackupBefore::Never),
        ];
        MigrationPolicy {
            command,
            after: self
                .value(table::MIGRATE_AFTER, value::parse_services)
                .unwrap_or_default(),
            status: self.value(table::MIGRATE_STATUS, value::parse_command),
            entrypoint: self
                .value(table::MIGRATE_ENTRYPOINT, |text| {
                    value::parse_word(text, &entrypoint)
                })
                .unwrap_or(EntrypointPolicy::Keep),
            database: self.value(table::MIGRATE_DATABASE, value::parse_database),
            backup: self
                .value(table::MIGRATE_BACKUP, |text| {
                    value::parse_word(text, &backup)
                })
                .unwrap_or(BackupBefore::Auto),
            backup_max_age: self.span(table::MIGRATE_BACKUP_MAX_AGE, table::DEFAULT_MAX_AGE),
            timeout: self.span(table::MIGRATE_TIMEOUT, table::DEFAULT_MIGRATE_TIMEOUT),
        }
    }

    fn span(&mut self, key: &'static str, default: &str) -> Duration {
        self.value(key, value::parse_span)
            .unwrap_or_else(|| parse_duration(default).unwrap_or_default())
    }

    pub(super) fn health(&mut self) -> HealthPolicy {
        let required = [
            ("true", Importance::Required),
            ("false", Importance::Optional),
        ];
        HealthPolicy {
            target: self
                .value(table::HEALTH, value::parse_probe)
                .unwrap_or(ProbeTarget::Docker),
            importance: self
                .value(table::HEALTH_REQUIRED, |text| {
                    value::parse_word(text, &required)
                })
                .unwrap_or(Importance::Required),
            interval: self.span(table::HEALTH_INTERVAL, table::DEFAULT_HEALTH_INTERVAL),
            timeout: self.span(table::HEALTH_TIMEOUT, table::DEFAULT_HEALTH_TIMEOUT),
            failures: self
                .value(table::HEALTH_FAILURES, |text| {
                    value::parse_count(text, 1..=100)
                })
                .unwrap_or(table::DEFAULT_HEALTH_FAILURES),
        }
    }
}

/// Whether a value is wholly in quotation marks; `'a b' 'c'` is two words, not one quote.
fn is_quoted(text: &str) -> bool {
    ['"', '\''].into_iter().any(|mark| {
        text.trim()
            .strip_prefix(mark)
            .and_then(|rest| rest.strip_suffix(mark))
            .is_some_and(|bare| !bare.contains(mark))
    })
}
