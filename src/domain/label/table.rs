//! The one list of labels.

use super::Standing;

/// On which services a label means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On a Postgres server.
    Database,
    /// On an application.
    App,
    /// On any service.
    Any,
}

#[cfg(test)]
impl Place {
    /// The word in the reference.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::App => "app",
            Self::Any => "any",
        }
    }
}

/// One label: everything there is to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelSpec {
    /// The whole key.
    pub key: &'static str,
    /// Where it belongs.
    pub on: Place,
    /// How its value is written.
    pub grammar: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does, one sentence.
    pub meaning: &'static str,
    /// Whether this version acts upon it.
    pub standing: Standing,
}

/// Switches backups of a server on or off.
pub const BACKUP: &str = "stackwarden.backup";
pub(super) const BACKUP_SCHEDULE: &str = "stackwarden.backup.schedule";
pub(super) const BACKUP_DATABASES: &str = "stackwarden.backup.databases";
pub(super) const BACKUP_KEEP: &str = "stackwarden.backup.keep";
pub(super) const BACKUP_VERIFY: &str = "stackwarden.backup.verify";
pub(super) const BACKUP_DRILL: &str = "stackwarden.backup.drill";
pub const MIGRATE: &str = "stackwarden.migrate";
pub(super) const MIGRATE_AFTER: &str = "stackwarden.migrate.after";
pub(super) const MIGRATE_STATUS: &str = "stackwarden.migrate.status";
pub(super) const MIGRATE_ENTRYPOINT: &str = "stackwarden.migrate.entrypoint";
pub(super) const MIGRATE_DATABASE: &str = "stackwarden.migrate.database";
pub(super) const MIGRATE_BACKUP: &str = "stackwarden.migrate.backup";
pub(super) const MIGRATE_BACKUP_MAX_AGE: &str = "stackwarden.migrate.backup.max-age";
pub(super) const MIGRATE_TIMEOUT: &str = "stackwarden.migrate.timeout";
pub(super) const HEALTH: &str = "stackwarden.health";
pub(super) const HEALTH_REQUIRED: &str = "stackwarden.health.required";
pub(super) const HEALTH_INTERVAL: &str = "stackwarden.health.interval";
pub(super) const HEALTH_TIMEOUT: &str = "stackwarden.health.timeout";
pub(super) const HEALTH_FAILURES: &str = "stackwarden.health.failures";

pub(super) const DEFAULT_MAX_AGE: &str = "10m";
pub(super) const DEFAULT_MIGRATE_TIMEOUT: &str = "15m";
pub(super) const DEFAULT_HEALTH_INTERVAL: &str = "10s";
pub(super) const DEFAULT_HEALTH_TIMEOUT: &str = "5s";
pub(super) const DEFAULT_HEALTH_FAILURES: u32 = 3;

const TRUE_FALSE: &str = "`true`, `false`";
const DURATION: &str = "a number and `s`, `m`, `h`, `d` or `w`";

/// Every label there is, in the order of the reference.
pub const LABELS: [LabelSpec; 25] = [
    LabelSpec {
        key: BACKUP,
        on: Place::Database,
        grammar: TRUE_FALSE,
        default: "`true` for a recognised Postgres image",
        meaning: "Switches backups of this server on or off; `true` also makes a server of an image that is not recognised.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: BACKUP_SCHEDULE,
        on: Place::Database,
        grammar: "cron, 5 fields as crontab has them (day of month OR weekday), or `@daily` and the like",
        default: "`STACKWARDEN_BACKUP_SCHEDULE`, else 02:00 plus up to 29 minutes that depend on the project's name",
        meaning: "When backups are taken, in the time zone `TZ` of the sidecar; a missed one is made good once.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: BACKUP_DATABASES,
        on: Place::Database,
        grammar: "names with commas, or `*`",
        default: "`STACKWARDEN_BACKUP_DATABASES`, else `*`",
        meaning: "Which databases; `*` is all but templates, and `postgres` only when it holds tables.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: BACKUP_KEEP,
        on: Place::Database,
        grammar: "any of `within=7d,last=3,daily=7,weekly=4,monthly=12,yearly=0`",
        default: "`STACKWARDEN_BACKUP_KEEP`, else `within=7d,weekly=4,monthly=12`",
        meaning: "How long backups stay; the newest and the newest verified one always stay.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: BACKUP_VERIFY,
        on: Place::Database,
        grammar: "`stream`, `archive`, `restore`, `rows`, `content`",
        default: "`STACKWARDEN_BACKUP_VERIFY`, else `content`",
        meaning: "How far every backup is proven.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: "stackwarden.backup.events",
        on: Place::Database,
        grammar: "any of `start`, `release`, with commas",
        default: "none",
        meaning: "Events that trigger a backup.",
        standing: Standing::Later,
    },
    LabelSpec {
        key: BACKUP_DRILL,
        on: Place::Database,
        grammar: "cron, 5 fields as crontab has them, or `@weekly` and the like",
        default: "Sundays at 04:00 plus up to 29 minutes that depend on the project's name",
        meaning: "When the newest backup of each database is proven again from each destination, as far as `stackwarden.backup.verify` asks; a missed one is made good once. Below `restore` there is none.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: MIGRATE,
        on: Place::App,
        grammar: "shell words, or a JSON array of strings",
        default: "none",
        meaning: "The command that migrates the database; the gate runs it in a clone of this very service. (`watch`, which adopts an existing one-shot service, has no effect in this version.)",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: MIGRATE_AFTER,
        on: Place::App,
        grammar: "services with commas",
        default: "none",
        meaning: "Services whose migrations come first; a cycle is an error that names it.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: MIGRATE_STATUS,
        on: Place::App,
        grammar: "shell words, or a JSON array of strings",
        default: "preset for known tools",
        meaning: "A command that exits 0 when nothing is pending; it runs without the image's entrypoint.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: "stackwarden.migrate.down",
        on: Place::App,
        grammar: "a command with `{revision}`",
        default: "none",
        meaning: "The way back to a revision.",
        standing: Standing::Later,
    },
    LabelSpec {
        key: MIGRATE_ENTRYPOINT,
        on: Place::App,
        grammar: "`keep`, `clear`",
        default: "`keep`",
        meaning: "Whether the migration runs behind the image's entrypoint or alone.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: MIGRATE_DATABASE,
        on: Place::App,
        grammar: "`service/database`",
        default: "the one in `DATABASE_URL`, else the only one",
        meaning: "The database that the migration locks and that is backed up before.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: MIGRATE_BACKUP,
        on: Place::App,
        grammar: "`auto`, `always`, `never`",
        default: "`auto`",
        meaning: "Whether a backup is taken before; `auto`: when something is pending or nobody can tell.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: MIGRATE_BACKUP_MAX_AGE,
        on: Place::App,
        grammar: DURATION,
        default: "`10m`",
        meaning: "A backup younger than this serves, if no migration was applied since it was taken.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: "stackwarden.migrate.rehearse",
        on: Place::App,
        grammar: TRUE_FALSE,
        default: "`false`",
        meaning: "Whether the migration runs on a restored copy first.",
        standing: Standing::Later,
    },
    LabelSpec {
        key: MIGRATE_TIMEOUT,
        on: Place::App,
        grammar: DURATION,
        default: "`15m`",
        meaning: "After this the migration is killed and counts as failed.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: "stackwarden.migrate.on-failure",
        on: Place::App,
        grammar: "`hold`, `restore`",
        default: "`hold`",
        meaning: "What follows a failed migration.",
        standing: Standing::Later,
    },
    LabelSpec {
        key: HEALTH,
        on: Place::Any,
        grammar: "`http://localhost:8000/health`, `tcp://localhost:6379`, `docker`",
        default: "`docker`",
        meaning: "How its health is known: an address as seen inside the container, or Docker's own state.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: HEALTH_REQUIRED,
        on: Place::Any,
        grammar: TRUE_FALSE,
        default: "`true`",
        meaning: "`false`: its failure makes the stack degraded, not down.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: HEALTH_INTERVAL,
        on: Place::Any,
        grammar: DURATION,
        default: "`10s`",
        meaning: "The time between two probes.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: HEALTH_TIMEOUT,
        on: Place::Any,
        grammar: DURATION,
        default: "`5s`",
        meaning: "How long an answer may take.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: HEALTH_FAILURES,
        on: Place::Any,
        grammar: "a number from 1 to 100",
        default: "`3`",
        meaning: "So many failures in a row make it down.",
        standing: Standing::InEffect,
    },
    LabelSpec {
        key: "stackwarden.health.expect",
        on: Place::Any,
        grammar: "text",
        default: "none",
        meaning: "What the answer must contain.",
        standing: Standing::Later,
    },
    LabelSpec {
        key: "stackwarden.rollback",
        on: Place::Any,
        grammar: "`auto`, `off`",
        default: "`off`",
        meaning: "Whether a failed watch after a release goes back by itself, once.",
        standing: Standing::Later,
    },
];

/// The label of this key.
pub(super) fn find(key: &str) -> Option<&'static LabelSpec> {
    LABELS.iter().find(|spec| spec.key == key)
}

/// The label that a wrong key probably means.
pub(super) fn closest(key: &str) -> Option<&'static LabelSpec> {
    let wanted = key.to_lowercase().replace('_', "-");
    LABELS
        .iter()
        .map(|spec| (strsim::damerau_levenshtein(&wanted, spec.key), spec))
        .filter(|(distance, _)| *distance <= 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, spec)| spec)
}

/// Whether a key is meant for us: our prefix, or one that looks like it.
pub(super) fn is_ours(key: &str) -> bool {
    let first = key
        .split(['.', '-', '_'])
        .next()
        .unwrap_or(key)
        .to_lowercase();
    strsim::damerau_levenshtein(&first, "stackwarden") <= 2
}
