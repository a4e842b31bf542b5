//! The programs that write and read archives: `pg_dump`, `pg_dumpall`, `pg_restore`, zstd.
//!
//! A shell pipe loses the first program's code (dash has no pipefail): it is printed on the standard
//! error and has to be 0 as well, see [`PipeCode`]. Arguments reach a script as `"$@"`, never by
//! interpolation.

use std::time::Duration;

use super::command::{ApplicationName, CommandSpec, Login};
use super::failure::PostgresError;
use crate::domain::backup::Packing;
use crate::domain::id::DatabaseName;

const CODE_PREFIX: &str = "stackwarden-rc=";

/// What to dump and how.
#[derive(Debug, Clone)]
pub struct DumpRequest<'a> {
    /// As whom.
    pub login: &'a Login,
    /// What.
    pub database: &'a DatabaseName,
    /// The database's own encoding.
    pub encoding: &'a str,
    /// The exported snapshot's name.
    pub snapshot: Option<&'a str>,
    /// How the bytes are packed.
    pub packing: Packing,
    /// How long it may wait for a table's lock.
    pub lock_wait: Duration,
    /// The name shown in `pg_stat_activity`.
    pub application: &'a ApplicationName,
}

/// pg_dump in the custom format on its standard output; what packs it further is [`dump_filter`].
pub fn dump_command(request: &DumpRequest<'_>) -> CommandSpec {
    let mut words = vec![request.login.program("pg_dump"), "-Fc".to_owned()];
    match request.packing {
        Packing::InnerZstd => words.push("--compress=zstd:1".to_owned()),
        Packing::OuterZstd => words.push("-Z0".to_owned()),
        Packing::InnerGzip | Packing::PlainSql => words.push("-Z1".to_owned()),
    }
    words.push("-w".to_owned());
    words.push(encoding_argument(request.encoding));
    words.push(format!(
        "--lock-wait-timeout={}",
        request.lock_wait.as_millis()
    ));
    if let Some(snapshot) = request.snapshot {
        words.push(format!("--snapshot={snapshot}"));
    }
    words.push("-d".to_owned());
    words.push(request.login.connection(request.database));
    CommandSpec {
        argv: words,
        env: request.login.environment(request.application),
    }
}

/// In which encoding a database is dumped: its own. Left open, a `client_encoding` that is set for the database or the
/// role would decide, and a letter that it does not have would end the dump. In its own, the name of a role or of the
/// database is written by its very bytes.
pub(super) fn encoding_argument(encoding: &str) -> String {
    format!("--encoding={encoding}")
}

/// The program that a dump is piped through, where pg_dump itself cannot compress well.
pub fn dump_filter(packing: Packing) -> Option<[&'static str; 5]> {
    match packing {
        Packing::OuterZstd => Some(["zstd", "-1", "-q", "-c", "-T1"]),
        Packing::InnerZstd | Packing::InnerGzip | Packing::PlainSql => None,
    }
}

pub(super) fn piped(script: &str, words: Vec<String>) -> Vec<String> {
    let head = ["sh", "-c", script, "sh"];
    head.into_iter().map(str::to_owned).chain(words).collect()
}

/// What the first program of a pipe came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipeCode {
    /// It ended with this code.
    Ended(i32),
    /// It never said, so it was killed or cut off: a failure.
    Unknown,
}

impl PipeCode {
    /// Whether it ended well.
    pub fn is_success(self) -> bool {
        self == Self::Ended(0)
    }
}

/// Reads the first program's code from the standard error of a pipe.
pub fn parse_pipe_code(stderr: &str) -> PipeCode {
    stderr
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(CODE_PREFIX))
        .and_then(|code| code.trim().parse().ok())
        .map_or(PipeCode::Unknown, PipeCode::Ended)
}

/// Whether [`parse_pipe_code`] has to be asked after a command on an archive packed like this.
pub fn is_piped(packing: Packing) -> bool {
    packing == Packing::OuterZstd
}

/// Asks a container how it can compress; [`choose_packing`] reads the answer.
pub fn packing_probe_command(login: &Login) -> CommandSpec {
    // A pg_dump built without zstd says so before it looks for a server.
    let script = "if command -v zstd >/dev/null 2>&1; then echo zstd-program; fi\n\
said=$(PGCONNECT_TIMEOUT=2 \"$1\" -Fc --compress=zstd:1 -f /dev/null -w -h /nonexistent -d postgres 2>&1)\n\
case \"$said\" in *nonexistent*) echo zstd-inside;; esac";
    CommandSpec {
        argv: piped(script, vec![login.program("pg_dump")]),
        env: vec![super::command::pair("LC_ALL", "C")],
    }
}

/// The best packing that the probe's answer allows.
pub fn choose_packing(probed: &str) -> Packing {
    let says = |word: &str| probed.lines().any(|line| line.trim() == word);
    if says("zstd-inside") {
        Packing::InnerZstd
    } else if says("zstd-program") {
        Packing::OuterZstd
    } else {
        Packing::InnerGzip
    }
}

/// Roles, their settings and tablespaces as SQL on the standard output.
pub fn globals_command(login: &Login, application: &ApplicationName) -> CommandSpec {
    dumpall("--globals-only", login, application)
}

/// Roles and their settings alone, for comparison.
pub fn roles_command(login: &Login, application: &ApplicationName) -> CommandSpec {
    dumpall("--roles-only", login, application)
}

/// The same without passwords, for a role that may not read them.
pub fn globals_without_passwords_command(
    login: &Login,
    application: &ApplicationName,
) -> CommandSpec {
    let mut spec = globals_command(login, application);
    spec.argv.push("--no-role-passwords".to_owned());
    spec
}

fn dumpall(part: &str, login: &Login, application: &ApplicationName) -> CommandSpec {
    // Any database serves.
    let entry = login.entry();
    let connection = login.connection(&entry);
    CommandSpec {
        argv: vec![
            login.program("pg_dumpall"),
            part.to_owned(),
            "-w".to_owned(),
            "--encoding=UTF8".to_owned(),
            "-l".to_owned(),
            entry.as_str().to_owned(),
            "-d".to_owned(),
            connection,
        ],
        env: login.environment(application),
    }
}

/// The version of the `pg_dump` that stands at the login's place.
pub fn version_command(login: &Login) -> CommandSpec {
    CommandSpec {
        argv: vec![login.program("pg_dump"), "--version".to_owned()],
        env: Vec::new(),
    }
}

/// The number in `pg_dump (PostgreSQL) 17.11 (Debian 17.11-0+deb13u1)`.
///
/// # Errors
/// When there is none; the program is no `PostgreSQL` program.
pub fn parse_version(stdout: &str) -> Result<String, PostgresError> {
    stdout
        .split_whitespace()
        .find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()))
        .map(str::to_owned)
        .ok_or_else(|| PostgresError::answer(format!("no version in {stdout:?}")))
}

/// Takes only the time that no other process of its container wants (`SCHED_IDLE`), or, where that cannot be, little of it.
/// A low priority alone lets it have a processor to itself, and pg_dump shares the other one with its backend: on two
/// processors work of that priority made a dump take 1.4 times as long, and with this 1.06 times (docs/benchmarks.md, with
/// digests as the work). It holds no lock, so nobody waits for it.
const PATIENT: &str = "if chrt -i 0 true 2>/dev/null; then exec chrt -i 0 \"$@\"; fi
command -v nice >/dev/null 2>&1 && exec nice -n 10 \"$@\"; exec \"$@\"";

/// Decodes a whole archive from the standard input and throws the text away; gives way to all others, since it runs
/// beside the dump.
pub fn decode_command(login: &Login, packing: Packing) -> CommandSpec {
    let mut spec = reading(login, packing, &["-f", "/dev/null"]);
    spec.argv = piped(PATIENT, spec.argv);
    spec
}

/// The schema text of an archive from the standard input.
///
/// It reads the head only and then closes its input: the writer must take a broken pipe for the end, and
/// the first program's code of a pipe is no matter here.
pub fn schema_command(login: &Login, packing: Packing) -> CommandSpec {
    reading(login, packing, &["-C", "-s", "-f", "-"])
}

fn reading(login: &Login, packing: Packing, arguments: &[&str]) -> CommandSpec {
    let words: Vec<String> = std::iter::once(login.program("pg_restore"))
        .chain(arguments.iter().map(|&word| word.to_owned()))
        .collect();
    let argv = match packing {
        Packing::OuterZstd => piped(
            "{ zstd -dc -q; echo \"stackwarden-rc=$?\" >&2; } | \"$@\"",
            words,
        ),
        Packing::InnerZstd | Packing::InnerGzip | Packing::PlainSql => words,
    };
    CommandSpec {
        argv,
        env: vec![super::command::pair("LC_ALL", "C")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ProjectName;

    fn request(packing: Packing, database: &DatabaseName) -> CommandSpec {
        dump_command(&DumpRequest {
            login: &Login::local("app", None),
            database,
            encoding: "LATIN1",
            snapshot: Some("00000003-0000001B-1"),
            packing,
            lock_wait: Duration::from_secs(30),
            application: &ApplicationName::build(&ProjectName::new("shop"), "backup"),
        })
    }

    #[test]
    fn a_databases_name_is_an_argument_and_never_part_of_a_script() {
        for name in [
            "My-App",
            "o'brien",
            "naïve one",
            "a=b",
            "postgresql://x",
            "$(rm)",
        ] {
            let database = DatabaseName::new(name);
            let plain = request(Packing::InnerZstd, &database);
            assert!(
                plain
                    .argv
                    .last()
                    .unwrap()
                    .starts_with("user='app' dbname='")
            );
            assert!(plain.argv.contains(&"--lock-wait-timeout=30000".to_owned()));
            assert!(plain.argv.contains(&"--encoding=LATIN1".to_owned()));
        }
    }

    #[test]
    fn the_first_programs_code_is_read_or_unknown() {
        let failed = "pg_dump: error: x\nstackwarden-rc=1\n";
        assert_eq!(parse_pipe_code(failed), PipeCode::Ended(1));
        assert!(parse_pipe_code("stackwarden-rc=0").is_success());
        assert_eq!(parse_pipe_code("zstd: error"), PipeCode::Unknown);
    }

    #[test]
    fn packing_follows_what_the_container_can_do() {
        assert_eq!(
            choose_packing("zstd-program\nzstd-inside\n"),
            Packing::InnerZstd
        );
        assert_eq!(choose_packing("zstd-program\n"), Packing::OuterZstd);
        assert_eq!(choose_packing(""), Packing::InnerGzip);
    }

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        let said = "pg_dump (PostgreSQL) 17.11 (Debian 17.11-0+deb13u1)\n";
        assert_eq!(parse_version(said).unwrap(), "17.11");
        assert!(parse_version("sh: not found").is_err());
    }
}
