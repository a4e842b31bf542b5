//! A throw-away server in a container of the database's own image: how it starts, and what runs in it.
//!
//! The container runs [`ScratchPlan::start_command`] in place of the image's entrypoint, best as root (the
//! script drops to the live server's user), without network. Everything stands in one folder of ours.
//! Invariant: nothing listens but a Unix socket, and no background worker runs but those that build an index together.

mod configuration;
mod globals;
mod refusal;
mod restore;

use super::catalog::ServerFacts;
use super::command::{ApplicationName, CommandSpec, Login, pair};
use super::dump::encoding_argument;
use crate::domain::backup::Packing;
use crate::domain::id::DatabaseName;
use crate::domain::unit::ByteCount;
pub use globals::{Tablespaces, filter_globals};
pub use refusal::{
    Unpacking, find_lack, is_failure_of_psql, is_failure_of_restore, is_unfit, judge_unpacking,
};
pub use restore::{RestoreEntry, RestoreRequest, restore_command};

const SCRIPT: &str = concat!(
    include_str!("scratch/programs.sh"),
    include_str!("scratch/start.sh")
);

/// Runs a program until it succeeds.
pub(super) const WAIT: &str =
    "i=0\nuntil \"$@\" 2>/dev/null; do i=$((i+1)); [ $i -lt 60 ] || exit 1; sleep 0.05; done";

/// The programs wait for nothing and no setting of a role or a database stops them.
const OPTIONS: &str = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 \
-c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0";

/// How much a scratch server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScratchMemory {
    /// `shared_buffers`, in MiB.
    pub shared_buffers_mib: u32,
    /// `maintenance_work_mem` for each restoring job, in MiB.
    pub maintenance_mib: u32,
    /// `max_wal_size`, in bytes.
    pub log: ByteCount,
}

impl ScratchMemory {
    /// A share of a container's memory cap that leaves room for `jobs` jobs and the file cache, and this much log.
    pub fn within(cap_mib: u64, jobs: u32, log: ByteCount) -> Self {
        let part = u32::try_from(cap_mib / 8).unwrap_or(u32::MAX);
        Self {
            log,
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
    /// Encoding of the live server's own names, see [`ServerFacts::encoding`].
    pub encoding: String,
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
            encoding: facts.encoding.clone(),
            user_id,
            configuration: configuration::text(facts, folder, memory),
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
                self.encoding.clone(),
            ],
            env: vec![pair("STACKWARDEN_CONFIGURATION", &self.configuration)],
        }
    }

    /// Where the live server's tablespaces are.
    pub fn tablespaces(&self) -> Tablespaces {
        Tablespaces::of_major(self.major)
    }

    /// The login of everything that runs in the scratch.
    pub fn login(&self) -> Login {
        Login::scratch(&self.bootstrap_user, &self.folder)
    }

    /// Ends with 0 as soon as the server takes connections, otherwise after some seconds.
    ///
    /// It waits in the container: to begin a program there takes longer than the server's start.
    pub fn ready_command(&self, application: &ApplicationName) -> CommandSpec {
        let login = self.login();
        CommandSpec {
            argv: vec![
                "sh".to_owned(),
                "-c".to_owned(),
                WAIT.to_owned(),
                "sh".to_owned(),
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
                // With the codes of errors, see `is_failure_of_psql`.
                "-v".to_owned(),
                "VERBOSITY=verbose".to_owned(),
                "-d".to_owned(),
                login.connection(&DatabaseName::new("template1")),
                "-f".to_owned(),
                "-".to_owned(),
            ],
            env: with_options(login.environment(application), OPTIONS),
        }
    }

    /// Writes an archive from its standard input to a new file, unpacked where it is packed from outside: one that is
    /// still writing to the old file writes into nothing.
    pub fn spool_command(packing: Packing, to: &str) -> CommandSpec {
        let script = match packing {
            Packing::OuterZstd => "rm -f \"$1\"; exec zstd -dc -q > \"$1\"",
            Packing::InnerZstd | Packing::InnerGzip | Packing::PlainSql => {
                "rm -f \"$1\"; exec cat > \"$1\""
            }
        };
        let words = ["sh", "-c", script, "sh", to];
        CommandSpec {
            argv: words.into_iter().map(str::to_owned).collect(),
            env: Vec::new(),
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

/// The schema text of a restored database, for the fingerprint; in the encoding of the dump, as far as it is known.
pub fn schema_dump_command(
    login: &Login,
    database: &DatabaseName,
    encoding: Option<&str>,
    application: &ApplicationName,
) -> CommandSpec {
    let mut argv: Vec<String> = vec![
        login.program("pg_dump"),
        "-C".to_owned(),
        "-s".to_owned(),
        "-w".to_owned(),
    ];
    argv.extend(encoding.map(encoding_argument));
    argv.extend(["-d".to_owned(), login.connection(database)]);
    CommandSpec {
        argv,
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

#[cfg(test)]
mod tests {
    use super::*;
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
            encoding: "LATIN1".to_owned(),
            lock_table_size: 64 * 1_000,
        }
    }

    #[test]
    fn the_configuration_carries_what_the_live_server_preloads_and_runs_no_worker() {
        let memory = ScratchMemory::within(1024, 2, ByteCount(300 << 20));
        let plan = ScratchPlan::build(&facts(), "/stackwarden", None, memory);
        for line in [
            "shared_preload_libraries = 'timescaledb,pg_cron'",
            "cron.database_name = 'it''s'",
            "max_worker_processes = '0'",
            "max_locks_per_transaction = '2000'",
            "listen_addresses = ''",
            "shared_buffers = '128MB'",
            "max_wal_size = '300MB'",
            "maintenance_work_mem = '64MB'",
        ] {
            let found = plan.configuration.lines().any(|found| found == line);
            assert!(found, "{line} in {}", plan.configuration);
        }
        let without_libraries = ServerFacts {
            carried_settings: vec![pair("shared_preload_libraries", "")],
            ..facts()
        };
        let plan = ScratchPlan::build(&without_libraries, "/stackwarden", None, memory);
        assert!(plan.configuration.contains("max_worker_processes = '2'"));
        let command = plan.start_command();
        assert_eq!(
            command.argv[4..],
            ["/stackwarden", "17", "o'brien", "", "LATIN1"]
        );
    }
}
