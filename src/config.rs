//! The settings of the sidecar: read once at start, every mistake shown at once.
//!
//! [`mod@env`] alone reads the environment; the rest is pure. The table in [`table`] is the one list of
//! variables: parsing, hints, `stackwarden config` and the reference page come from it. May know
//! `domain`, and `archive` as far as keys are read; nothing else. Invariants: a secret never shows itself; an unknown `STACKWARDEN_` name is a
//! mistake, since a setting that is silently ignored is a promise that is silently broken.

pub mod env;
mod external;
#[cfg(test)]
pub mod page;
mod read;
pub mod table;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::archive::Keys;
use crate::domain::alarm::channel::TelegramAccess;
use crate::domain::backup::Level;
use crate::domain::bucket::BucketAccess;
use crate::domain::database::secret::Secret;
use crate::domain::external::ExternalServer;
use crate::domain::id::ProjectName;
use crate::domain::label::StackDefaults;
use crate::domain::objective::Objectives;
use crate::domain::policy::{DatabaseSelection, KeepPolicy};
use crate::domain::schedule::{Schedule, ScheduleError, Zone};
use crate::domain::unit::ByteCount;
use crate::domain::web::WebAddress;

/// Where Docker's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerEndpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address, such as that of a socket proxy.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

impl fmt::Display for DockerEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp { host, port } => write!(formatter, "tcp://{host}:{port}"),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Which log lines are written: levels, alone or by module, as tracing's filter reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Everything the sidecar was told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DOCKER_HOST`.
    pub docker: DockerEndpoint,
    /// `STACKWARDEN_PROJECT`; found through our own container otherwise.
    pub project: Option<ProjectName>,
    /// `TZ`.
    pub zone: Zone,
    /// `STACKWARDEN_LISTEN`: public, reads only.
    pub listen: SocketAddr,
    /// `STACKWARDEN_CONTROL`: everything, with a bearer token.
    pub control: SocketAddr,
    /// `STACKWARDEN_TOKEN`; made at first start otherwise.
    pub token: Option<Secret<String>>,
    /// `STACKWARDEN_BACKUP_DIR`.
    pub backup_dir: PathBuf,
    /// `STACKWARDEN_STATE_DIR`.
    pub state_dir: PathBuf,
    /// `STACKWARDEN_BACKUP_SCHEDULE`; nightly, by the project's name, otherwise.
    pub schedule: Option<Schedule>,
    /// `STACKWARDEN_BACKUP_KEEP`.
    pub keep: KeepPolicy,
    /// `STACKWARDEN_BACKUP_VERIFY`.
    pub verify: Level,
    /// `STACKWARDEN_BACKUP_DATABASES`.
    pub databases: DatabaseSelection,
    /// `STACKWARDEN_LOG`.
    pub log: LogFilter,
    /// `STACKWARDEN_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `STACKWARDEN_RPO`: how old the newest backup may be.
    pub rpo: Duration,
    /// `STACKWARDEN_RTO`: how long a restore may take.
    pub rto: Duration,
    /// `STACKWARDEN_SILENCE`: a dump that yields nothing for so long is ended.
    pub silence: Duration,
    /// `STACKWARDEN_PROOF_MEMORY`: the memory cap of the scratch server.
    pub proof_memory: ByteCount,
    /// `STACKWARDEN_PROOF_RESERVE`: what a proof on disk leaves free there.
    pub proof_reserve: ByteCount,
    /// `STACKWARDEN_DEADLINE`: the longest that one backup, or one proof, may take.
    pub deadline: Duration,
    /// `STACKWARDEN_YIELD`: a dump that makes somebody wait for so long gives way; `None` when it never does.
    pub patience: Option<Duration>,
    /// `TELEGRAM_BOT_TOKEN` with `ADMIN_TELEGRAM_IDS` and `STACKWARDEN_TELEGRAM_API`.
    pub telegram: Option<TelegramAccess>,
    /// `STACKWARDEN_PING_URL`.
    pub ping: Option<WebAddress>,
    /// `STACKWARDEN_S3_BUCKET` with everything that belongs to it.
    pub bucket: Option<BucketAccess>,
    /// `STACKWARDEN_AGE_RECIPIENTS` and `STACKWARDEN_AGE_IDENTITY`.
    pub keys: Keys,
    /// `SSL_CERT_FILE`: the root certificates that are trusted.
    pub roots: PathBuf,
    /// `STACKWARDEN_EXTERNAL`: the servers outside the stack.
    pub external: Vec<ExternalServer>,
    /// Every setting as it stands, for `stackwarden config`.
    pub effective: Vec<EffectiveSetting>,
}

impl Settings {
    /// What the stack promises itself.
    pub fn objectives(&self) -> Objectives {
        Objectives {
            recovery_point: self.rpo,
            recovery_time: self.rto,
        }
    }

    /// What holds for every database whose labels say nothing else.
    ///
    /// # Errors
    /// None in practice; the type is [`Schedule::nightly`]'s.
    pub fn stack_defaults(&self, project: &ProjectName) -> Result<StackDefaults, ScheduleError> {
        let schedule = match &self.schedule {
            Some(schedule) => schedule.clone(),
            None => Schedule::nightly(project, self.zone)?,
        };
        Ok(StackDefaults {
            schedule,
            drill: Schedule::weekly(project, self.zone)?,
            keep: self.keep,
            verify: self.verify,
            databases: self.databases.clone(),
            zone: self.zone,
        })
    }
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The variable of its name.
    Variable,
    /// The file that the variable with `_FILE` names.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Variable => formatter.write_str("variable"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
        }
    }
}

/// One setting as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The variable.
    pub name: &'static str,
    /// Its value as it may be shown; a secret is `***`.
    pub value_shown: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The variables of a process; their values are never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Variables {
    /// By name.
    pub values: BTreeMap<String, String>,
    /// Names whose value is no text.
    pub unreadable: BTreeSet<String>,
}

impl fmt::Debug for Variables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.values.keys()).finish()
    }
}

/// A variable that is known and has no effect in this version; it does not stop us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigNote {
    /// The variable.
    pub name: String,
}

impl fmt::Display for ConfigNote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: it has no effect in this version; remove it",
            self.name
        )
    }
}

/// One mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The variable.
    pub name: String,
    /// What is wrong.
    pub kind: ConfigProblemKind,
}

/// What is wrong with a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigProblemKind {
    /// No such variable.
    Unknown {
        /// The one that was probably meant.
        hint: Option<String>,
    },
    /// Its value is no text.
    NotText,
    /// Its value cannot be read.
    BadValue {
        /// What is wrong and how to write it; never holds a secret.
        reason: String,
    },
    /// The variable and its `_FILE` are both set.
    Twice,
    /// The file cannot be read.
    FileUnreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is empty.
    FileEmpty {
        /// Which.
        path: PathBuf,
    },
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.name)?;
        match &self.kind {
            ConfigProblemKind::Unknown { hint: Some(known) } => {
                write!(formatter, "no such variable, did you mean {known}?")
            }
            ConfigProblemKind::Unknown { hint: None } => formatter.write_str(
                "no such variable; see docs/reference/variables.md for all there are, or remove it",
            ),
            ConfigProblemKind::NotText => {
                formatter.write_str("its value is not valid UTF-8; write it as text")
            }
            ConfigProblemKind::BadValue { reason } => formatter.write_str(reason),
            ConfigProblemKind::Twice => {
                write!(formatter, "{}_FILE is set too; keep one of both", self.name)
            }
            ConfigProblemKind::FileUnreadable { path, reason } => write!(
                formatter,
                "cannot read {} ({reason}); mount the file and let the container's user read it",
                path.display()
            ),
            ConfigProblemKind::FileEmpty { path } => write!(
                formatter,
                "{} is empty; write the value into it",
                path.display()
            ),
        }
    }
}

/// All mistakes in the settings; exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigProblem>);

#[cfg(test)]
mod tests;
