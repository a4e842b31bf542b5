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
pub(super) const PROOF_RESERVE: &str = "STACKWARDEN_PROOF_RESERVE";
pub(super) const DEADLINE: &str = "STACKWARDEN_DEADLINE";
pub(super) const YIELD: &str = "STACKWARDEN_YIELD";
pub(super) const TELEGRAM_TOKEN: &str = "TELEGRAM_BOT_TOKEN";
pub(super) const TELEGRAM_CHATS: &str = "ADMIN_TELEGRAM_IDS";
pub(super) const TELEGRAM_API: &str = "STACKWARDEN_TELEGRAM_API";
pub(super) const PING_URL: &str = "STACKWARDEN_PING_URL";
pub(super) const CERT_FILE: &str = "SSL_CERT_FILE";
pub(super) const EXTERNAL: &str = "STACKWARDEN_EXTERNAL";

pub(super) const AGE_RECIPIENTS: &str = "STACKWARDEN_AGE_RECIPIENTS";
pub(super) const AGE_IDENTITY: &str = "STACKWARDEN_AGE_IDENTITY";
pub(super) const S3_BUCKET: &str = "STACKWARDEN_S3_BUCKET";
pub(super) const S3_PREFIX: &str = "STACKWARDEN_S3_PREFIX";
pub(super) const S3_ENDPOINT: &str = "STACKWARDEN_S3_ENDPOINT";
pub(super) const S3_REGION: &str = "STACKWARDEN_S3_REGION";
pub(super) const S3_PATH_STYLE: &str = "STACKWARDEN_S3_PATH_STYLE";
pub(super) const AWS_KEY: &str = "AWS_ACCESS_KEY_ID";
pub(super) const AWS_SECRET: &str = "AWS_SECRET_ACCESS_KEY";
pub(super) const AWS_SESSION: &str = "AWS_SESSION_TOKEN";
pub(super) const AWS_REGION: &str = "AWS_REGION";
pub(super) const AWS_ENDPOINT: &str = "AWS_ENDPOINT_URL";
pub(super) const AWS_DEFAULT_REGION: &str = "AWS_DEFAULT_REGION";
pub(super) const SCW_KEY: &str = "SCW_ACCESS_KEY";
pub(super) const SCW_SECRET: &str = "SCW_SECRET_KEY";

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

const fn secret(name: &'static str, meaning: &'static str) -> VariableSpec {
    VariableSpec {
        name,
        secrecy: Secrecy::Secret,
        default: DefaultValue::Words("none"),
        grammar: "as the store gave it",
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
pub const VARIABLES: [VariableSpec; 46] = [
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
        "A dump that yields nothing for so long is ended and counts as failed; so is reading the roles when it takes as long, or five minutes. A bucket that says nothing for so long, or 20 seconds, has failed too.",
    ),
    acts(
        PROOF_MEMORY,
        DefaultValue::Text("1GB"),
        "a number and `MB` or `GB`, powers of 1024 as Docker has them",
        "The memory cap of the throw-away server that proves a backup.",
    ),
    acts(
        PROOF_RESERVE,
        DefaultValue::Text("5GB"),
        "a number and `MB` or `GB`, powers of 1024",
        "What a proof on disk leaves free on Docker's disk, and never less than one and a half of the backup; where it cannot, the backup stays at `archive` and is proven later.",
    ),
    acts(
        DEADLINE,
        DefaultValue::Text("12h"),
        DURATION,
        "The longest that the backup of one database, or one proof, may take before it is ended and counts as failed.",
    ),
    acts(
        YIELD,
        DefaultValue::Text("10s"),
        "a number and `s`, `m`, `h`, `d` or `w`, or `0` for never",
        "A dump that makes an `ALTER TABLE` or the like wait for so long is ended, and begins again after a pause.",
    ),
    VariableSpec {
        name: TELEGRAM_TOKEN,
        secrecy: Secrecy::Secret,
        default: DefaultValue::Words("nobody is told by Telegram"),
        grammar: "`NUMBER:LETTERS`, as @BotFather gives it",
        meaning: "The bot that tells of failures and recoveries; needs `ADMIN_TELEGRAM_IDS`.",
        standing: Standing::InEffect,
    },
    acts(
        TELEGRAM_CHATS,
        DefaultValue::Words("none"),
        "chat numbers with commas, such as `123456789,-1001234567890`",
        "Whom the bot writes to: people who wrote to it first, or groups it is in.",
    ),
    acts(
        TELEGRAM_API,
        DefaultValue::Text("https://api.telegram.org"),
        "`https://HOST` or `http://HOST:PORT`",
        "The Bot API's server, where you run your own.",
    ),
    VariableSpec {
        name: PING_URL,
        secrecy: Secrecy::Secret,
        default: DefaultValue::Words("nobody is pinged"),
        grammar: "`https://HOST/PATH`; failures go to `/fail` below it",
        meaning: "The dead man's switch that hears of every good backup job, and of failures.",
        standing: Standing::InEffect,
    },
    acts(
        CERT_FILE,
        DefaultValue::Text("/etc/ssl/certs/ca-certificates.crt"),
        "an absolute path",
        "The root certificates that are trusted for every encrypted connection, in PEM.",
    ),
    VariableSpec {
        name: EXTERNAL,
        secrecy: Secrecy::Secret,
        default: DefaultValue::Words("none"),
        grammar: "a list of objects in JSON, see [Databases outside the stack](../operating.md#databases-outside-the-stack)",
        meaning: "Postgres servers outside the stack that are backed up too; needs the image with PostgreSQL's programs.",
        standing: Standing::InEffect,
    },
    acts(
        S3_BUCKET,
        DefaultValue::Words("no bucket: backups are on disk only"),
        "3 to 63 lowercase letters, digits, dots and hyphens",
        "The bucket that every backup is copied into, in the same pass.",
    ),
    acts(
        S3_PREFIX,
        DefaultValue::Words("none"),
        "letters, digits, `-`, `_`, `.`, with `/` between them",
        "What stands before every key of ours.",
    ),
    acts(
        S3_ENDPOINT,
        DefaultValue::Words("Amazon S3 in the region"),
        "`https://HOST`, `http://HOST:PORT`",
        "The store's address; `AWS_ENDPOINT_URL` serves too.",
    ),
    acts(
        S3_REGION,
        DefaultValue::Words("what the endpoint's name tells, or us-east-1"),
        "a region's name, such as `fr-par`",
        "The bucket's region; `AWS_REGION` and `AWS_DEFAULT_REGION` serve too.",
    ),
    acts(
        S3_PATH_STYLE,
        DefaultValue::Words("true with an endpoint, false at Amazon"),
        "`true`, `false`",
        "Whether the bucket stands in the path, instead of in the host's name.",
    ),
    secret(AWS_KEY, "The bucket's access key."),
    secret(AWS_SECRET, "Its secret."),
    secret(AWS_SESSION, "Its session, where the key is a passing one."),
    acts(
        AWS_REGION,
        DefaultValue::Words("none"),
        "a region's name",
        "The bucket's region, as AWS names it.",
    ),
    acts(
        AWS_ENDPOINT,
        DefaultValue::Words("none"),
        "`https://HOST`, `http://HOST:PORT`",
        "The store's address, as AWS names it.",
    ),
    acts(
        AWS_DEFAULT_REGION,
        DefaultValue::Words("none"),
        "a region's name",
        "The bucket's region, as AWS names it.",
    ),
    secret(SCW_KEY, "The bucket's access key, as Scaleway names it."),
    secret(SCW_SECRET, "Its secret, as Scaleway names it."),
    acts(
        AGE_RECIPIENTS,
        DefaultValue::Words("backups are not sealed"),
        "public keys of age (`age1…`), with commas",
        "For whom new backups are sealed with age: whoever has the secret key of one of them opens them, and nobody else.",
    ),
    VariableSpec {
        name: AGE_IDENTITY,
        secrecy: Secrecy::Secret,
        default: DefaultValue::Words("sealed backups cannot be opened here"),
        grammar: "what `age-keygen` writes (`AGE-SECRET-KEY-1…`)",
        meaning: "The secret key that opens sealed backups for proofs, drills and restores; without it every backup is proven in the pass that takes it, and restored elsewhere.",
        standing: Standing::InEffect,
    },
    later(
        "STACKWARDEN_LANG",
        Secrecy::Open,
        "The language of page and messages.",
    ),
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
