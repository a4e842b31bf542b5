//! From the variables of a process to its settings; all mistakes are gathered before the first is shown.

mod bucket;
mod external;

use std::path::{Path, PathBuf};

use super::table::{self, DefaultValue, Secrecy, VARIABLES, VariableSpec};
use super::value;
use super::{
    ConfigErrors, ConfigNote, ConfigProblem, ConfigProblemKind, EffectiveSetting, LogFormat,
    Origin, Settings, Variables,
};
use crate::archive::{Identity, Keys, Recipients};
use crate::domain::alarm::channel::{ChatId, TelegramAccess};
use crate::domain::label::Standing;
use crate::domain::label::value::{
    ValueError, parse_keep, parse_level, parse_selection, parse_span, parse_word,
};
use crate::domain::schedule::{Schedule, Zone};

const LOG_FORMATS: [(&str, LogFormat); 2] = [("json", LogFormat::Json), ("text", LogFormat::Text)];

/// Gives a file's text, or why it cannot be read.
type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

impl Settings {
    /// Reads the settings; an empty value counts as absent, as Compose passes on an unset variable.
    ///
    /// # Errors
    /// When any variable is wrong; all of them are named.
    pub fn read(
        variables: &Variables,
        read_file: ReadFile<'_>,
    ) -> Result<(Self, Vec<ConfigNote>), ConfigErrors> {
        let mut reader = Reader {
            variables,
            read_file,
            problems: Vec::new(),
            effective: Vec::new(),
        };
        reader.check_names();
        match reader.settings() {
            Some(settings) if reader.problems.is_empty() => {
                let effective = reader.effective;
                Ok((
                    Self {
                        effective,
                        ..settings
                    },
                    notes(variables),
                ))
            }
            _ => Err(ConfigErrors(reader.problems)),
        }
    }
}

fn notes(variables: &Variables) -> Vec<ConfigNote> {
    let is_used = |name: &&String| {
        let later = table::find(name).is_some_and(|spec| spec.standing == Standing::Later);
        later
            && variables
                .values
                .get(*name)
                .is_some_and(|text| !text.is_empty())
    };
    let used = variables.values.keys().filter(is_used);
    used.map(|name| ConfigNote { name: name.clone() }).collect()
}

struct Reader<'a> {
    variables: &'a Variables,
    read_file: ReadFile<'a>,
    problems: Vec<ConfigProblem>,
    effective: Vec<EffectiveSetting>,
}

enum Raw {
    Given(String, Origin),
    Absent,
    Failed,
}

impl Reader<'_> {
    fn report(&mut self, name: &str, kind: ConfigProblemKind) {
        self.problems.push(ConfigProblem {
            name: name.to_owned(),
            kind,
        });
    }

    fn check_names(&mut self) {
        let variables = self.variables;
        for name in variables.values.keys().chain(&variables.unreadable) {
            if name.starts_with("STACKWARDEN_") && table::find(name).is_none() {
                let hint = table::closest(name);
                self.report(name, ConfigProblemKind::Unknown { hint });
            }
        }
        for name in &variables.unreadable {
            if table::find(name).is_some() {
                self.report(name, ConfigProblemKind::NotText);
            }
        }
    }

    fn find_value(&self, name: &str) -> Option<String> {
        let text = self.variables.values.get(name)?;
        (!text.is_empty()).then(|| text.clone())
    }

    fn raw(&mut self, spec: &'static VariableSpec) -> Raw {
        let direct = self.find_value(spec.name);
        let file = spec
            .file_name()
            .and_then(|name| Some((self.find_value(&name)?, name)));
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.report(spec.name, ConfigProblemKind::Twice);
                Raw::Failed
            }
            (Some(text), None) => Raw::Given(text, Origin::Variable),
            (None, Some((path, name))) => self.raw_file(&name, PathBuf::from(path)),
            (None, None) => Raw::Absent,
        }
    }

    fn raw_file(&mut self, name: &str, path: PathBuf) -> Raw {
        let kind = match (self.read_file)(&path) {
            Err(reason) => ConfigProblemKind::FileUnreadable { path, reason },
            Ok(text) => {
                let trimmed = text.trim_end_matches(['\n', '\r']);
                if !trimmed.is_empty() {
                    return Raw::Given(trimmed.to_owned(), Origin::File(path));
                }
                ConfigProblemKind::FileEmpty { path }
            }
        };
        self.report(name, kind);
        Raw::Failed
    }

    /// A setting; `None` when nobody set one that has no value by default, or when it is wrong.
    fn setting<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let spec = VARIABLES.iter().find(|spec| spec.name == name)?;
        let (text, origin) = match (self.raw(spec), spec.default) {
            (Raw::Failed, _) => return None,
            (Raw::Given(text, origin), _) => (text, origin),
            (Raw::Absent, DefaultValue::Text(text)) => (text.to_owned(), Origin::Default),
            (Raw::Absent, DefaultValue::Words(words)) => {
                self.show(name, words.to_owned(), Origin::Default);
                return None;
            }
        };
        match parse(&text) {
            Ok(found) => {
                let shown = match spec.secrecy {
                    Secrecy::Open => text,
                    Secrecy::Secret => "***".to_owned(),
                };
                self.show(name, shown, origin);
                Some(found)
            }
            Err(ValueError(reason)) => {
                self.report(name, ConfigProblemKind::BadValue { reason });
                None
            }
        }
    }

    fn show(&mut self, name: &'static str, value_shown: String, origin: Origin) {
        self.effective.push(EffectiveSetting {
            name,
            value_shown,
            origin,
        });
    }

    /// Asks for every setting before it gives up on any.
    fn settings(&mut self) -> Option<Settings> {
        let docker = self.setting(table::DOCKER_HOST, value::parse_docker);
        let project = self.setting(table::PROJECT, value::parse_project);
        let zone = self.setting(table::TZ, |text| Zone::parse(text).map_err(sentence));
        let listen = self.setting(table::LISTEN, value::parse_address);
        let control = self.setting(table::CONTROL, value::parse_address);
        let token = self.setting(table::TOKEN, value::parse_token);
        let backup_dir = self.setting(table::BACKUP_DIR, value::parse_folder);
        let state_dir = self.setting(table::STATE_DIR, value::parse_folder);
        let schedule = self.schedule(zone);
        let keep = self.setting(table::BACKUP_KEEP, parse_keep);
        let verify = self.setting(table::BACKUP_VERIFY, parse_level);
        let databases = self.setting(table::BACKUP_DATABASES, parse_selection);
        let log = self.setting(table::LOG, value::parse_log);
        let log_format = self.setting(table::LOG_FORMAT, |text| parse_word(text, &LOG_FORMATS));
        let rpo = self.setting(table::RPO, parse_span);
        let rto = self.setting(table::RTO, parse_span);
        let silence = self.setting(table::SILENCE, parse_span);
        let proof_memory = self.setting(table::PROOF_MEMORY, value::parse_size);
        let proof_reserve = self.setting(table::PROOF_RESERVE, value::parse_reserve);
        let deadline = self.setting(table::DEADLINE, parse_span);
        let patience = self.setting(table::YIELD, value::parse_patience);
        let telegram = self.telegram();
        let ping = self.setting(table::PING_URL, value::parse_web);
        let roots = self.setting(table::CERT_FILE, value::parse_folder);
        let external = self.external(zone, roots.as_deref());
        let (bucket, keys) = (self.bucket(), self.keys());
        let backup_dir = backup_dir?;
        let settings = Settings {
            docker: docker?,
            project,
            zone: zone?,
            listen: listen?,
            control: control?,
            token,
            state_dir: state_dir.unwrap_or_else(|| backup_dir.join(".stackwarden")),
            backup_dir,
            schedule,
            keep: keep?,
            verify: verify?,
            databases: databases?,
            log: log?,
            log_format: log_format?,
            rpo: rpo?,
            rto: rto?,
            silence: silence?,
            proof_memory: proof_memory?,
            proof_reserve: proof_reserve?,
            deadline: deadline?,
            patience: patience?,
            telegram,
            ping,
            bucket,
            keys,
            roots: roots?,
            external,
            effective: Vec::new(),
        };
        self.check_ports(&settings);
        self.show_state_dir(&settings.state_dir);
        Some(settings)
    }

    /// With a wrong zone it is still checked.
    fn schedule(&mut self, zone: Option<Zone>) -> Option<Schedule> {
        self.setting(table::BACKUP_SCHEDULE, |text| {
            Schedule::parse(text, zone.unwrap_or(Zone::UTC)).map_err(sentence)
        })
    }

    /// A bot and whom it writes to. Chats alone are no mistake: an application's own file of variables may name them.
    fn telegram(&mut self) -> Option<TelegramAccess> {
        let before = self.problems.len();
        let token = self.setting(table::TELEGRAM_TOKEN, value::parse_bot_token);
        let chats = self.setting(table::TELEGRAM_CHATS, |text| {
            ChatId::parse_list(text).map_err(sentence)
        });
        let api = self.setting(table::TELEGRAM_API, value::parse_web);
        if token.is_some() && chats.is_none() && self.problems.len() == before {
            let reason = format!(
                "it names whom the bot of {} writes to; write chat numbers with commas",
                table::TELEGRAM_TOKEN
            );
            self.report(
                table::TELEGRAM_CHATS,
                ConfigProblemKind::BadValue { reason },
            );
        }
        Some(TelegramAccess {
            api: api?,
            token: token?,
            chats: chats?,
        })
    }

    fn keys(&mut self) -> Keys {
        Keys {
            recipients: self.setting(table::AGE_RECIPIENTS, |text| {
                Recipients::parse(text).map_err(sentence)
            }),
            identity: self.setting(table::AGE_IDENTITY, |text| {
                Identity::parse(text).map_err(sentence)
            }),
        }
    }

    fn check_ports(&mut self, settings: &Settings) {
        let (listen, control) = (settings.listen, settings.control);
        let overlaps = listen.ip() == control.ip()
            || listen.ip().is_unspecified()
            || control.ip().is_unspecified();
        if listen.port() == control.port() && listen.port() != 0 && overlaps {
            let reason = format!(
                "{control} is the public port too ({}); give it another port, such as 0.0.0.0:9181",
                table::LISTEN
            );
            self.report(table::CONTROL, ConfigProblemKind::BadValue { reason });
        }
    }

    /// The path says more than the words of the table.
    fn show_state_dir(&mut self, path: &Path) {
        for setting in &mut self.effective {
            if setting.name == table::STATE_DIR {
                setting.value_shown = path.display().to_string();
            }
        }
    }
}

fn sentence(error: impl std::error::Error) -> ValueError {
    ValueError(error.to_string())
}
