//! The one list of variables.

use crate::domain::label::Standing;

/// Whether a value may be shown; a secret may also come from the file that `NAME_FILE` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// It may not.
    Secret,
}

/// What holds when nobody says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value.
    Text(&'static str),
    /// No value; what happens instead, in words.
    Words(&'static str),
}

/// One variable: everything there is to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariableSpec {
    /// Its name.
    pub name: &'static str,
    /// Whether it is shown.
    pub secrecy: Secrecy,
    /// What holds without it.
    pub default: DefaultValue,
    /// How its value is written.
    pub grammar: &'static str,
    /// What it does, one sentence.
    pub meaning: &'static str,
    /// Whether this version acts upon it.
    pub standing: Standing,
}

pub(super) const DOCKER_HOST: &str = "DOCKER_HOST";
pub(super) const PROJECT: &str = "STACKWARDEN_PROJECT";
pub(super) const TZ: &str = "TZ";
pub(super) const LISTEN: &str = "STACKWARDEN_LISTEN";
pub(super) const CONTROL: &str = "STACKWARDEN_CONTROL";
pub(super) const TOKEN: &str = "STACKWARDEN_TOKEN";
pub(super) const BACKUP_DIR: &str = "STACKWARDEN_BACKUP_DIR";
pub(super) const STATE_DIR: &str = "STACKWARDEN_STATE_DIR";
pub(super) const BACKUP_SCHEDULE: &str = "STACKWARDEN_BACKUP_SCHEDULE";
pub(super) const BACKUP_KEEP: &str = "STACKWARDEN_BACKUP_KEEP";
pub(super) const BACKUP_VERIFY: &str = "STACKWARDEN_BACKUP_VERIFY";
pub(super) const BACKUP_DATABASES: &str = "STACKWARDEN_BACKUP_DATABASES";
pub(super) const LOG: &str = "STACKWARDEN_LOG";
pub(super) const LOG_FORMAT: &str = "STACKWARDEN_LOG_FORMAT";
pub(super) const RPO: &str = "STACKWARDEN_RPO";
pub(super) const RTO: &str = "STACKWARDEN_RTO";
pub(super) const SILENCE: &str = "STACKWARDEN_SILENCE";
pub(super) const PROOF_MEMORY: &str = "STACKWARDEN_PROOF_MEMORY";

const DURATION: &str = "a number and `s`, `m`, `h`, `d` or `w`";

const fn acts(
    name: &'static str,
    default: DefaultValue,
    grammar: &'static str,
    meaning: &'static str,
) -> VariableSpec {
    VariableSpec {
        name,
        secrecy: Secrecy::Open,
        default,
        grammar,
        meaning,
        standing: Standing::InEffect,
    }
}

const fn later(name: &'static str, secrecy: Secrecy, meaning: &'static str) -> VariableSpec {
    VariableSpec {
        name,
        secrecy,
        default: DefaultValue::Words("none"),
        grammar: "",
        meaning,
        standing: Standing::Later,
    }
}

/// Every variable there is, in the order of the reference.
pub const VARIABLES: [VariableSpec; 41] = [
    acts(
        DOCKER_HOST,
        DefaultValue::Text("unix:///var/run/docker.sock"),
        "`unix:///PATH`, `tcp://HOST:PORT`",
        "Where Docker's API is: the mounted socket, or a socket proxy.",
    ),
    acts(
        PROJECT,
        DefaultValue::Words("the project of our own container"),
        "a Compose project's name",
        "The stack to look after, where our own container cannot be found.",
    ),
    acts(
        TZ,
        DefaultValue::Text("UTC"),
        "an IANA name, such as `Europe/Paris`",
        "The time zone in which schedules are meant.",
    ),
    acts(
        LISTEN,
        DefaultValue::Text("0.0.0.0:9180"),
        "`ADDRESS:PORT` or `:PORT`",
        "The public port: page, health and metrics, reads only.",
    ),
    acts(
        CONTROL,
        DefaultValue::Text("0.0.0.0:9181"),
        "`ADDRESS:PORT` or `:PORT`",
        "The control port: everything, always with a bearer token.",
    ),
    VariableSpec {
        name: TOKEN,
        secrecy: Secrecy::Secret,
        default: DefaultValue::Words("made at first start and kept in the state folder"),
        grammar: "at least 16 visible ASCII characters",
        meaning: "The bearer token of the control port.",
        standing: Standing::InEffect,
    },
    acts(
        BACKUP_DIR,
        DefaultValue::Text("/backups"),
        "an absolute path",
        "Where backups are stored.",
    ),
    acts(
        STATE_DIR,
        DefaultValue::Words(".stackwarden in the backup folder"),
        "an absolute path",
        "Where journal, token and socket are; it should survive `docker compose down -v`.",
    ),
    acts(
        BACKUP_SCHEDULE,
        DefaultValue::Words("02:00 plus up to 29 minutes that depend on the project's name"),
        "cron, 5 fields as crontab has them, or `@daily` and the like",
        "When backups are taken where a database's labels say nothing.",
    ),
    acts(
        BACKUP_KEEP,
        DefaultValue::Text("within=7d,weekly=4,monthly=12"),
        "any of `within=7d,last=3,daily=7,weekly=4,monthly=12,yearly=0`",
        "How long backups stay where a database's labels say nothing.",
    ),
    acts(
        BACKUP_VERIFY,
        DefaultValue::Text("content"),
        "`stream`, `archive`, `restore`, `rows`, `content`",
        "How far every backup is proven where a database's labels say nothing.",
    ),
    acts(
        BACKUP_DATABASES,
        DefaultValue::Text("*"),
        "names with commas, or `*`",
        "Which databases are backed up where a server's labels say nothing.",
    ),
    acts(
        LOG,
        DefaultValue::Text("info"),
        "`error`, `warn`, `info`, `debug`, `trace`, `off`, also `MODULE=LEVEL`, with commas",
        "Which log lines are written.",
    ),
    acts(
        LOG_FORMAT,
        DefaultValue::Text("json"),
        "`json`, `text`",
        "How log lines look.",
    ),
    acts(
        RPO,
        DefaultValue::Text("24h"),
        DURATION,
        "How old the newest backup may be (exported for alerts).",
    ),
    acts(
        RTO,
        DefaultValue::Text("4h"),
        DURATION,
        "How long a restore may take (exported for alerts).",
    ),
    acts(
        SILENCE,
        DefaultValue::Text("10m"),
        DURATION,
        "A dump that yields nothing for so long is ended and counts as failed.",
    ),
    acts(
        PROOF_MEMORY,
        DefaultValue::Text("1GB"),
        "a number and `MB` or `GB`, powers of 1024 as Docker has them",
        "The memory cap of the throw-away server that proves a backup.",
    ),
    later(
        "STACKWARDEN_EXTERNAL",
        Secrecy::Secret,
        "Databases outside the stack.",
    ),
    later(
        "STACKWARDEN_S3_BUCKET",
        Secrecy::Open,
        "The bucket of a second copy.",
    ),
    later(
        "STACKWARDEN_S3_PREFIX",
        Secrecy::Open,
        "The prefix inside the bucket.",
    ),
    later(
        "STACKWARDEN_S3_ENDPOINT",
        Secrecy::Open,
        "The endpoint of the object storage.",
    ),
    later("STACKWARDEN_S3_REGION", Secrecy::Open, "Its region."),
    later(
        "STACKWARDEN_S3_PATH_STYLE",
        Secrecy::Open,
        "Whether the bucket stands in the path.",
    ),
    later(
        "AWS_ACCESS_KEY_ID",
        Secrecy::Secret,
        "The key of the object storage.",
    ),
    later("AWS_SECRET_ACCESS_KEY", Secrecy::Secret, "Its secret."),
    later("AWS_SESSION_TOKEN", Secrecy::Secret, "Its session."),
    later(
        "AWS_REGION",
        Secrecy::Open,
        "The region of the object storage, as AWS names it.",
    ),
    later(
        "AWS_ENDPOINT_URL",
        Secrecy::Open,
        "The endpoint of the object storage, as AWS names it.",
    ),
    later(
        "AWS_DEFAULT_REGION",
        Secrecy::Open,
        "The region of the object storage, as AWS names it.",
    ),
    later(
        "SCW_ACCESS_KEY",
        Secrecy::Secret,
        "The key of the object storage, as Scaleway names it.",
    ),
    later(
        "SCW_SECRET_KEY",
        Secrecy::Secret,
        "Its secret, as Scaleway names it.",
    ),
    later(
        "STACKWARDEN_AGE_RECIPIENTS",
        Secrecy::Open,
        "For whom backups are sealed.",
    ),
    later(
        "STACKWARDEN_AGE_IDENTITY",
        Secrecy::Secret,
        "The identity that opens sealed backups for restores and drills.",
    ),
    later(
        "STACKWARDEN_LANG",
        Secrecy::Open,
        "The language of page and messages.",
    ),
    later(
        "TELEGRAM_BOT_TOKEN",
        Secrecy::Secret,
        "The bot that sends notifications.",
    ),
    later("ADMIN_TELEGRAM_IDS", Secrecy::Open, "Who receives them."),
    later(
        "STACKWARDEN_WEBHOOKS",
        Secrecy::Secret,
        "Addresses that receive notifications.",
    ),
    later(
        "STACKWARDEN_SMTP_URL",
        Secrecy::Secret,
        "The mail server for notifications.",
    ),
    later(
        "NOTIFICATION_EMAIL",
        Secrecy::Open,
        "Who receives them by mail.",
    ),
    later(
        "STACKWARDEN_PING_URL",
        Secrecy::Secret,
        "An address that hears of every success.",
    ),
];

impl VariableSpec {
    /// `NAME_FILE`, for a secret.
    pub fn file_name(&self) -> Option<String> {
        (self.secrecy == Secrecy::Secret).then(|| format!("{}_FILE", self.name))
    }
}

/// The variable that a name belongs to, its `_FILE` form included.
pub(super) fn find(name: &str) -> Option<&'static VariableSpec> {
    VARIABLES
        .iter()
        .find(|spec| spec.name == name || spec.file_name().is_some_and(|file| file == name))
}

/// The name that a wrong one probably means.
pub(super) fn closest(name: &str) -> Option<String> {
    VARIABLES
        .iter()
        .flat_map(|spec| [Some(spec.name.to_owned()), spec.file_name()])
        .flatten()
        .map(|known| (strsim::damerau_levenshtein(name, &known), known))
        .filter(|(distance, _)| *distance <= 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
