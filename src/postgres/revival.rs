//! A throw-away server on a copy of an old server's data: what runs in its container, in which order.
//!
//! The container mounts the volume read-only, waits ([`serve_command`]), is asked what there is ([`look_command`]), copies
//! ([`copy_command`]), tells the role that initdb made ([`ask_command`]) and is then the server ([`ready_command`]).
//! Invariant: everything but [`look_command`] touches our own folder alone; nothing listens but a Unix socket there; no
//! worker, job, archiver or subscription of the old server runs, while what it preloads is loaded as its own configuration says.

use super::command::{ApplicationName, CommandSpec, pair};
use super::scratch::WAIT;
use crate::domain::volume::DataFolder;

/// Where everything of ours is in the container; a volume of its own.
pub const FOLDER: &str = "/stackwarden";
/// Where the old volume is.
pub const SOURCE: &str = "/stackwarden-volume";

macro_rules! script {
    ($name:literal) => {
        concat!(include_str!("scratch/programs.sh"), include_str!($name))
    };
}

const LOOK: &str = script!("revival/look.sh");
const COPY: &str = script!("revival/copy.sh");
const SERVE: &str = include_str!("revival/serve.sh");
const ASK: &str = include_str!("revival/ask.sh");

/// Settings that the old server's own must not decide. They stand on the command line, which no file overrides.
const SETTINGS: [(&str, &str); 33] = [
    ("data_directory", "/stackwarden/data"),
    // Theirs may demand a password that nobody knows any more.
    ("hba_file", "/stackwarden/pg_hba.conf"),
    ("ident_file", "/stackwarden/pg_ident.conf"),
    ("external_pid_file", "/stackwarden/socket/pid"),
    ("unix_socket_directories", "/stackwarden/socket"),
    ("unix_socket_permissions", "0777"),
    ("unix_socket_group", ""),
    ("listen_addresses", ""),
    ("port", "5432"),
    ("ssl", "off"),
    // Jobs that the old server would run are not ours to run: pg_cron's begin as workers.
    ("max_worker_processes", "0"),
    ("max_logical_replication_workers", "0"),
    ("max_wal_senders", "0"),
    ("wal_level", "replica"),
    ("archive_mode", "off"),
    ("autovacuum", "off"),
    // A copy that is thrown away may be lost.
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    // Of another machine.
    ("shared_buffers", "128MB"),
    ("huge_pages", "off"),
    ("max_connections", "32"),
    // Those that were prepared there have to fit, or there is no start.
    ("max_prepared_transactions", "64"),
    ("max_locks_per_transaction", "1024"),
    ("jit", "off"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    // What is told of a server that does not start is told; a logged statement may quote rows.
    ("log_min_messages", "log"),
    ("log_min_error_statement", "panic"),
    ("log_statement", "none"),
    ("log_min_duration_statement", "-1"),
    ("auto_explain.log_min_duration", "-1"),
    ("pgaudit.log", "none"),
];

/// Variables of the container: the programs of the copy's version come first, and find its socket by themselves.
pub fn environment() -> Vec<(String, String)> {
    let socket = format!("{FOLDER}/socket");
    let path = format!("{FOLDER}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    vec![
        pair("PATH", &path),
        pair("PGHOST", &socket),
        pair("PGPORT", "5432"),
    ]
}

/// What the container runs in place of its entrypoint, as root.
pub fn serve_command() -> CommandSpec {
    shell(SERVE, with_settings())
}

/// Says what is in the volume; read by [`crate::domain::volume::Survey::parse`].
pub fn look_command() -> CommandSpec {
    shell(LOOK, vec![SOURCE.to_owned(), FOLDER.to_owned()])
}

/// Copies the data.
pub fn copy_command(data: &DataFolder) -> CommandSpec {
    let words = [
        format!("{SOURCE}{}", data.below),
        FOLDER.to_owned(),
        data.major.clone(),
        data.owner.to_string(),
    ];
    shell(COPY, words.to_vec())
}

/// Recovers the copy and asks for the role that initdb made; see [`parse_role`].
pub fn ask_command() -> CommandSpec {
    shell(ASK, with_settings())
}

/// The role in an answer to [`ask_command`].
pub fn parse_role(answer: &str) -> Option<String> {
    let rest = answer.split("role = \"").nth(1)?;
    let digits = rest.split('"').next()?.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = digits.chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok().filter(|it| it.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    });
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|name| !name.is_empty())
}

/// Lets the server begin.
pub fn begin_command() -> CommandSpec {
    shell(": > \"$1/ready\"", vec![FOLDER.to_owned()])
}

/// Ends with 0 as soon as the server takes connections, otherwise after some seconds.
pub fn ready_command(application: &ApplicationName) -> CommandSpec {
    let words = ["pg_isready", "-q", "-d", "template1"];
    CommandSpec {
        env: vec![pair("PGAPPNAME", application.as_str())],
        ..shell(WAIT, words.map(str::to_owned).to_vec())
    }
}

fn with_settings() -> Vec<String> {
    let mut words = vec![FOLDER.to_owned(), "-D".to_owned(), format!("{FOLDER}/data")];
    for (name, value) in SETTINGS {
        words.extend(["-c".to_owned(), format!("{name}={value}")]);
    }
    words
}

fn shell(script: &str, words: Vec<String>) -> CommandSpec {
    let mut argv = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    argv.extend(words);
    CommandSpec {
        argv,
        env: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_read_from_what_a_server_of_one_session_prints() {
        let said = "\nPostgreSQL stand-alone backend 17.10\nbackend> \t 1: role\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\n\t 1: role = \"6f27627269656e\"\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\nbackend> \n";
        assert_eq!(parse_role(said).as_deref(), Some("o'brien"));
        for said in [
            "",
            "backend> ",
            "role = \"6\"",
            "role = \"\"",
            "role = \"zz\"",
        ] {
            assert_eq!(parse_role(said), None, "{said}");
        }
    }

    #[test]
    fn what_is_ours_stands_in_our_folder_and_nothing_listens_elsewhere() {
        let serve = serve_command().argv.join(" ");
        for setting in [
            "listen_addresses= ",
            "unix_socket_directories=/stackwarden/socket ",
            "hba_file=/stackwarden/pg_hba.conf ",
            "max_worker_processes=0 ",
        ] {
            assert!(serve.contains(&format!("-c {setting}")), "{setting}");
        }
        assert!(
            !serve.contains("shared_preload_libraries"),
            "that is the old server's own"
        );
    }
}
