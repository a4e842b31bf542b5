//! A throw-away server in a container of the database's own image: how it starts, and what runs in it.
//!
//! The container runs [`ScratchPlan::start_command`] in place of the image's entrypoint, best as root (the
//! script drops to the live server's user), without network. Everything stands in one folder of ours.
//! Invariant: nothing listens but a Unix socket, and no background worker runs.

mod globals;

use super::catalog::ServerFacts;
use super::command::{ApplicationName, CommandSpec, Login, pair};
use super::quote;
use crate::domain::id::DatabaseName;
pub use globals::filter_globals;

const SCRIPT: &str = include_str!("scratch/start.sh");

/// Connections a proof needs, jobs of a restore and digests included.
const CONNECTIONS: u64 = 32;
/// Least `max_locks_per_transaction`.
const LOCKS: u64 = 1_024;

/// The programs wait for nothing and no setting of a role or a database stops them.
const OPTIONS: &str = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 \
-c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0";

/// How much memory a scratch server may take, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScratchMemory {
    /// `shared_buffers`.
    pub shared_buffers_mib: u32,
    /// `maintenance_work_mem`, for each restoring job.
    pub maintenance_mib: u32,
}

impl ScratchMemory {
    /// A share of a container's memory cap that leaves room for `jobs` jobs and the file cache.
    pub fn within(cap_mib: u64, jobs: u32) -> Self {
        let part = u32::try_from(cap_mib / 8).unwrap_or(u32::MAX);
        Self {
            shared_buffers_mib: part.clamp(32, 256),
            maintenance_mib: (part / jobs.max(1)).clamp(32, 512),
        }
    }
}

/// A scratch server that is like a live one where it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchPlan {
    /// Where it stands in the container, such as `/stackwarden`; a volume or tmpfs of its own.
    pub folder: String,
    /// The live server's major version.
    pub major: u32,
    /// The live server's bootstrap user.
    pub bootstrap_user: String,
    /// User id of the live postmaster; `None` means the image's `postgres`.
    pub user_id: Option<u32>,
    /// The text of `postgresql.conf`.
    configuration: String,
}

impl ScratchPlan {
    /// Plans a scratch server after a live one.
    pub fn build(
        facts: &ServerFacts,
        folder: &str,
        user_id: Option<u32>,
        memory: ScratchMemory,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            major: facts.major(),
            bootstrap_user: facts.bootstrap_user.clone(),
            user_id,
            configuration: configuration(facts, folder, memory),
        }
    }

    /// What the container runs instead of its entrypoint and command, as root.
    ///
    /// It ends with 64 and a sentence on its standard error when the image cannot be served.
    pub fn start_command(&self) -> CommandSpec {
        let user = self.user_id.map(|id| id.to_string()).unwrap_or_default();
        CommandSpec {
            argv: vec![
                "sh".to_owned(),
                "-c".to_owned(),
                SCRIPT.to_owned(),
                "sh".to_owned(),
                self.folder.clone(),
                self.major.to_string(),
                self.bootstrap_user.clone(),
                user,
            ],
            env: vec![pair("STACKWARDEN_CONFIGURATION", &self.configuration)],
        }
    }

    /// The login of everything that runs in the scratch.
    pub fn login(&self) -> Login {
        Login::scratch(&self.bootstrap_user, &self.folder)
    }

    /// Ends with 0 as soon as the server takes connections.
    pub fn ready_command(&self, application: &ApplicationName) -> CommandSpec {
        let login = self.login();
        CommandSpec {
            argv: vec![
                login.program("pg_isready"),
                "-q".to_owned(),
                "-d".to_owned(),
                login.connection(&DatabaseName::new("template1")),
            ],
            env: login.environment(application),
        }
    }

    /// Runs the globals of [`filter_globals`] from its standard input, stopping at the first error.
    pub fn globals_command(&self, application: &ApplicationName) -> CommandSpec {
        let login = self.login();
        CommandSpec {
            argv: vec![
                login.program("psql"),
                "-qAtX".to_owned(),
                "-w".to_owned(),
                "-v".to_owned(),
                "ON_ERROR_STOP=1".to_owned(),
                "-d".to_owned(),
                login.connection(&DatabaseName::new("template1")),
                "-f".to_owned(),
                "-".to_owned(),
            ],
            env: with_options(login.environment(application), OPTIONS),
        }
    }

    /// Unpacks an outer zstd stream: `pg_restore` needs a seekable file for its jobs.
    pub fn unpack_command(from: &str, to: &str) -> CommandSpec {
        let words = ["zstd", "-dc", "-q", "-f", "-o", to, "--", from];
        CommandSpec {
            argv: words.into_iter().map(str::to_owned).collect(),
            env: Vec::new(),
        }
    }
}

fn with_options(mut env: Vec<(String, String)>, options: &str) -> Vec<(String, String)> {
    env.push(pair("PGOPTIONS", options));
    env
}

/// What is restored and how.
#[derive(Debug, Clone)]
pub struct RestoreRequest<'a> {
    /// The scratch's login.
    pub login: &'a Login,
    /// The archive, an ordinary file in the container.
    pub file: &'a str,
    /// Jobs asked for; one where `TimescaleDB` is in the archive, since two break its catalogue.
    pub jobs: u32,
    /// Extensions of the dumped database, as `name version`.
    pub extensions: &'a [String],
    /// The name shown in `pg_stat_activity`.
    pub application: &'a ApplicationName,
}

/// A statement to run first, in `template1`: the archive creates its database, and this one is there.
pub fn restore_prelude(database: &DatabaseName) -> Option<&'static str> {
    (database.as_str() == "postgres").then_some("DROP DATABASE postgres")
}

/// `pg_restore` of a whole database, encoding, locale, settings and grants from the archive.
pub fn restore_command(request: &RestoreRequest<'_>) -> CommandSpec {
    let timescale = request
        .extensions
        .iter()
        .any(|extension| extension.split(' ').next() == Some("timescaledb"));
    let (jobs, options) = if timescale {
        (1, format!("{OPTIONS} -c timescaledb.restoring=on"))
    } else {
        (request.jobs.max(1), OPTIONS.to_owned())
    };
    let entry = DatabaseName::new("template1");
    CommandSpec {
        argv: vec![
            request.login.program("pg_restore"),
            "-C".to_owned(),
            "-w".to_owned(),
            "--exit-on-error".to_owned(),
            "--no-tablespaces".to_owned(),
            "-j".to_owned(),
            jobs.to_string(),
            "-d".to_owned(),
            request.login.connection(&entry),
            request.file.to_owned(),
        ],
        env: with_options(request.login.environment(request.application), &options),
    }
}

/// The schema text of a restored database, for the fingerprint.
pub fn schema_dump_command(
    login: &Login,
    database: &DatabaseName,
    application: &ApplicationName,
) -> CommandSpec {
    CommandSpec {
        argv: vec![
            login.program("pg_dump"),
            "-C".to_owned(),
            "-s".to_owned(),
            "-w".to_owned(),
            "-d".to_owned(),
            login.connection(database),
        ],
        env: login.environment(application),
    }
}

/// The schema text of an archive in the scratch.
pub fn archive_schema_command(login: &Login, file: &str) -> CommandSpec {
    CommandSpec {
        argv: vec![
            login.program("pg_restore"),
            "-C".to_owned(),
            "-s".to_owned(),
            "-f".to_owned(),
            "-".to_owned(),
            file.to_owned(),
        ],
        env: vec![pair("LC_ALL", "C")],
    }
}

fn configuration(facts: &ServerFacts, folder: &str, memory: ScratchMemory) -> String {
    let locks = (facts.lock_table_size / CONNECTIONS).max(LOCKS);
    let mut settings: Vec<(String, String)> = facts.carried_settings.clone();
    let ours = [
        ("listen_addresses", String::new()),
        ("port", "5432".to_owned()),
        ("unix_socket_directories", format!("{folder}/socket")),
        ("unix_socket_permissions", "0777".to_owned()),
        ("max_connections", CONNECTIONS.to_string()),
        ("max_locks_per_transaction", locks.to_string()),
        ("max_worker_processes", "0".to_owned()),
        ("max_logical_replication_workers", "0".to_owned()),
        ("max_wal_senders", "0".to_owned()),
        ("wal_level", "minimal".to_owned()),
        ("archive_mode", "off".to_owned()),
        ("fsync", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("synchronous_commit", "off".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("checkpoint_timeout", "1h".to_owned()),
        ("max_wal_size", "1GB".to_owned()),
        ("shared_buffers", format!("{}MB", memory.shared_buffers_mib)),
        (
            "maintenance_work_mem",
            format!("{}MB", memory.maintenance_mib),
        ),
        ("huge_pages", "off".to_owned()),
        ("jit", "off".to_owned()),
        ("ssl", "off".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        // A logged statement (pgaudit, auto_explain, an error) may quote rows.
        ("log_min_messages", "fatal".to_owned()),
        ("log_min_error_statement", "panic".to_owned()),
        ("log_statement", "none".to_owned()),
    ];
    settings.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    let lines = settings.iter().filter_map(line_of);
    lines.collect::<Vec<_>>().join("\n")
}

/// A line of the file; nothing for a name that could end the line.
fn line_of((name, value): &(String, String)) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    let value_is_one_line = !value.contains(['\n', '\r']);
    (name.chars().all(plain) && value_is_one_line)
        .then(|| format!("{name} = {}", quote::configuration_value(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ProjectName;
    use crate::postgres::catalog::Rights;
    use crate::postgres::catalog::server::Recovery;

    fn facts() -> ServerFacts {
        ServerFacts {
            system_identifier: "1".to_owned(),
            version_number: 170_010,
            version: "17.10".to_owned(),
            bootstrap_user: "o'brien".to_owned(),
            current_user: "o'brien".to_owned(),
            rights: Rights::Superuser,
            recovery: Recovery::Primary,
            carried_settings: vec![
                pair("shared_preload_libraries", "timescaledb,pg_cron"),
                pair("cron.database_name", "it's"),
            ],
            lock_table_size: 64 * 1_000,
        }
    }

    #[test]
    fn the_configuration_carries_what_the_live_server_preloads_and_runs_no_worker() {
        let memory = ScratchMemory::within(1024, 2);
        let plan = ScratchPlan::build(&facts(), "/stackwarden", None, memory);
        for line in [
            "shared_preload_libraries = 'timescaledb,pg_cron'",
            "cron.database_name = 'it''s'",
            "max_worker_processes = '0'",
            "max_locks_per_transaction = '2000'",
            "listen_addresses = ''",
            "shared_buffers = '128MB'",
            "maintenance_work_mem = '64MB'",
        ] {
            let found = plan.configuration.lines().any(|found| found == line);
            assert!(found, "{line} in {}", plan.configuration);
        }
        let command = plan.start_command();
        assert_eq!(command.argv[4..], ["/stackwarden", "17", "o'brien", ""]);
    }

    #[test]
    fn timescale_is_restored_by_one_job_and_postgres_is_dropped_first() {
        let plan = ScratchPlan::build(&facts(), "/s", None, ScratchMemory::within(64, 2));
        let database = DatabaseName::new("postgres");
        let extensions = ["plpgsql 1.0".to_owned(), "timescaledb 2.19.3".to_owned()];
        let command = restore_command(&RestoreRequest {
            login: &plan.login(),
            file: "/in/x.dump",
            jobs: 4,
            extensions: &extensions,
            application: &ApplicationName::build(&ProjectName::new("p"), "verify"),
        });
        assert!(command.argv.join(" ").contains("-j 1 "));
        assert!(format!("{:?}", command.env).contains("timescaledb.restoring=on"));
        assert_eq!(command.argv[0], "/s/bin/pg_restore");
        assert_eq!(restore_prelude(&database), Some("DROP DATABASE postgres"));
        assert_eq!(restore_prelude(&DatabaseName::new("app")), None);
    }
}
