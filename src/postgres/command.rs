//! Command specifications: what is to be run in a container, as whom, with which environment.
//!
//! Knows the arguments and variables of libpq's programs. Runs nothing. No secret in an argument.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::quote;
use crate::domain::id::{DatabaseName, ProjectName};

/// `PostgreSQL` cuts application names at this many bytes.
const APPLICATION_NAME_LIMIT: usize = 63;
/// Longest project name kept as it is inside an application name.
const PROJECT_LIMIT: usize = 30;

/// A program with its arguments and environment, to be run in a container.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables added to the container's own. Values may be secret.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for CommandSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("CommandSpec")
            .field("argv", &self.argv)
            .field("env", &names)
            .finish()
    }
}

/// A password; hides itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Where the programs of a container and its server's socket stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Programs on `PATH`, the socket where libpq looks by itself.
    Image,
    /// A scratch server in this folder.
    Scratch(String),
    /// A server elsewhere.
    Network(Network),
}

/// A server that is reached over the network, as libpq wants to know it, and the programs that reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The folder of psql, `pg_dump` and the others.
    pub programs: String,
    /// libpq's parameters beside user and database: host, port, TLS. In the connection string, where libpq refuses what it
    /// does not know; a variable that it does not know it overlooks.
    pub parameters: Vec<(String, String)>,
    /// The file with the password, when there is one.
    pub passfile: Option<String>,
    /// The database for what concerns all of them.
    pub entry: DatabaseName,
}

/// The parameter that carries settings of a session.
const OPTIONS: &str = "options";

/// Who logs in: through the server's own Unix socket, or over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password, when one is known.
    pub password: Option<Password>,
    place: Place,
}

impl Login {
    /// A login by the socket of the container the command runs in.
    pub fn local(user: impl Into<String>, password: Option<Password>) -> Self {
        Self {
            user: user.into(),
            password,
            place: Place::Image,
        }
    }

    /// A login over the network; the password is in the passfile.
    pub fn network(user: impl Into<String>, network: Network) -> Self {
        Self {
            user: user.into(),
            password: None,
            place: Place::Network(network),
        }
    }

    /// The same with programs of this folder; one at a socket has its own.
    #[must_use]
    pub fn with_programs(mut self, folder: impl Into<String>) -> Self {
        if let Place::Network(network) = &mut self.place {
            network.programs = folder.into();
        }
        self
    }

    /// The database for what concerns all of them; `template1` exists even where `postgres` was dropped.
    pub(super) fn entry(&self) -> DatabaseName {
        match &self.place {
            Place::Network(network) => network.entry.clone(),
            Place::Image | Place::Scratch(_) => DatabaseName::new("template1"),
        }
    }

    /// A login to a scratch server whose files stand in `folder`.
    pub(super) fn scratch(user: impl Into<String>, folder: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: None,
            place: Place::Scratch(folder.into()),
        }
    }

    /// A program as it is called in the login's container.
    pub(super) fn program(&self, name: &str) -> String {
        match &self.place {
            Place::Image => name.to_owned(),
            Place::Scratch(folder) => format!("{folder}/bin/{name}"),
            Place::Network(network) => format!("{}/{name}", network.programs),
        }
    }

    /// A connection string; a bare name with `=` or a URI's prefix in it would be parsed as one.
    pub(super) fn connection(&self, database: &DatabaseName) -> String {
        let mut text = format!(
            "user={} dbname={}",
            quote::connection_value(&self.user),
            quote::connection_value(database.as_str())
        );
        if let Place::Network(network) = &self.place {
            let parameters = network.parameters.iter();
            for (name, value) in parameters.filter(|(name, _)| name != OPTIONS) {
                let value = quote::connection_value(value);
                text.extend([" ", name.as_str(), "=", value.as_str()]);
            }
        }
        text
    }

    /// `PGOPTIONS` with these settings, behind those that the server's own address asks for.
    pub(super) fn with_options(
        &self,
        mut env: Vec<(String, String)>,
        options: &str,
    ) -> Vec<(String, String)> {
        let asked = self.options();
        env.retain(|(name, _)| name != "PGOPTIONS");
        let all = [asked.unwrap_or_default(), options].join(" ");
        env.push(pair("PGOPTIONS", all.trim()));
        env
    }

    fn options(&self) -> Option<&str> {
        let Place::Network(network) = &self.place else {
            return None;
        };
        let mut parameters = network.parameters.iter();
        let found = parameters.find(|(name, _)| name == OPTIONS);
        found.map(|(_, value)| value.as_str())
    }

    /// The variables every program gets.
    ///
    /// Texts of errors in English, since they are read; times in UTC, since schema texts of two
    /// servers are compared.
    pub(super) fn environment(&self, application: &ApplicationName) -> Vec<(String, String)> {
        let mut env = vec![
            pair("PGAPPNAME", application.as_str()),
            pair("PGCONNECT_TIMEOUT", "10"),
            pair("PGTZ", "UTC"),
            pair("PGDATESTYLE", "ISO"),
            pair("LC_ALL", "C"),
            pair("LANGUAGE", "C"),
        ];
        if let Some(password) = &self.password {
            env.push(pair("PGPASSWORD", password.reveal()));
        }
        if let Place::Scratch(folder) = &self.place {
            env.push(pair("PGHOST", &format!("{folder}/socket")));
            env.push(pair("PGPORT", "5432"));
        }
        if let Place::Network(network) = &self.place {
            // Set and empty: what the container's own variables say is about other servers, and a password there would be
            // taken before that of the file.
            for name in ["PGPASSWORD", "PGHOSTADDR"] {
                env.push(pair(name, ""));
            }
            let passfile = network.passfile.as_deref();
            env.extend(passfile.map(|path| pair("PGPASSFILE", path)));
            env.extend(self.options().map(|options| pair("PGOPTIONS", options)));
        }
        env
    }
}

/// `stackwarden/<project>/<job>`: the name by which our own sessions are found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationName(String);

impl ApplicationName {
    /// Builds the name of one job's sessions, short enough not to be cut by the server.
    pub fn build(project: &ProjectName, job: &str) -> Self {
        let mut name = Self::prefix(project);
        for letter in job.chars().map(printable) {
            if name.len() + letter.len_utf8() > APPLICATION_NAME_LIMIT {
                break;
            }
            name.push(letter);
        }
        Self(name)
    }

    /// What the names of all sessions of a project begin with.
    pub(super) fn prefix(project: &ProjectName) -> String {
        let name: String = project.as_str().chars().map(printable).collect();
        if name.len() <= PROJECT_LIMIT && name == project.as_str() {
            return format!("stackwarden/{name}/");
        }
        let hash = Sha256::digest(project.as_str().as_bytes());
        let head: String = name.chars().take(PROJECT_LIMIT - 9).collect();
        let tail = hash
            .iter()
            .take(4)
            .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        format!("stackwarden/{head}~{tail:08x}/")
    }

    /// The name as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The server replaces what is not printable ASCII, in its own way per version.
fn printable(letter: char) -> char {
    if letter.is_ascii_graphic() {
        letter
    } else {
        '_'
    }
}

/// A psql that reads statements from its standard input, for [`super::Session::over_psql`].
///
/// Its standard error has to be read by the caller, and goes to [`super::classify_stderr`] when the
/// session is lost before its first answer.
pub fn psql_command(
    login: &Login,
    database: &DatabaseName,
    application: &ApplicationName,
) -> CommandSpec {
    let mut env = login.environment(application);
    env.push(pair("PGCLIENTENCODING", "UTF8"));
    CommandSpec {
        argv: vec![
            login.program("psql"),
            "-qAtX".to_owned(),
            "-w".to_owned(),
            "-P".to_owned(),
            "pager=off".to_owned(),
            "-v".to_owned(),
            "ON_ERROR_STOP=0".to_owned(),
            "-d".to_owned(),
            login.connection(database),
        ],
        env,
    }
}

pub(super) fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_stands_in_no_argument_and_in_no_debug_text() {
        let login = Login::local("app", Some(Password::new("hunter2")));
        let project = ProjectName::new("shop");
        let command = psql_command(
            &login,
            &DatabaseName::new("a=b 'c'"),
            &ApplicationName::build(&project, "backup"),
        );
        assert!(command.argv.iter().all(|word| !word.contains("hunter2")));
        assert!(!format!("{command:?} {login:?}").contains("hunter2"));
        assert!(
            command
                .env
                .contains(&("PGPASSWORD".to_owned(), "hunter2".to_owned()))
        );
        assert_eq!(
            command.argv.last().unwrap(),
            "user='app' dbname='a=b \\'c\\''"
        );
    }

    #[test]
    fn a_network_login_names_its_server_and_a_file_with_the_password() {
        let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let login = Login::network(
            "app",
            Network {
                programs: "/usr/lib/postgresql/17/bin".to_owned(),
                parameters: vec![
                    parameter("host", "db.example"),
                    parameter("sslmode", "verify-full"),
                    parameter("options", "-c role=x"),
                ],
                passfile: Some("/dev/shm/x".to_owned()),
                entry: DatabaseName::new("shop"),
            },
        );
        let name = ApplicationName::build(&ProjectName::new("shop"), "backup");
        let command = psql_command(&login, &DatabaseName::new("shop"), &name);
        assert_eq!(
            command.argv.first().unwrap(),
            "/usr/lib/postgresql/17/bin/psql"
        );
        assert_eq!(
            command.argv.last().unwrap(),
            "user='app' dbname='shop' host='db.example' sslmode='verify-full'"
        );
        for (name, value) in [
            ("PGPASSFILE", "/dev/shm/x"),
            ("PGPASSWORD", ""),
            ("PGOPTIONS", "-c role=x"),
        ] {
            assert!(command.env.contains(&parameter(name, value)), "{name}");
        }
        let both = login.with_options(command.env, "-c lock_timeout=0");
        let options = both.iter().filter(|(name, _)| name == "PGOPTIONS");
        let options: Vec<&str> = options.map(|(_, value)| value.as_str()).collect();
        assert_eq!(options, ["-c role=x -c lock_timeout=0"]);
    }

    #[test]
    fn an_application_name_is_never_cut_inside_the_project() {
        let long = ProjectName::new("a".repeat(80));
        let other = ProjectName::new("a".repeat(81));
        assert!(
            ApplicationName::build(&long, &"j".repeat(80))
                .as_str()
                .len()
                <= 63
        );
        assert_ne!(
            ApplicationName::prefix(&long),
            ApplicationName::prefix(&other)
        );
        let short = ApplicationName::build(&ProjectName::new("shop"), "b é");
        assert_eq!(short.as_str(), "stackwarden/shop/b__");
    }
}
