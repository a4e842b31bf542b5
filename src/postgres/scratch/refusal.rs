//! Why something failed in a scratch server: for what the image lacks, for what the server met, or for the backup itself.
//!
//! Only the last says anything about the backup. What an image lacks it will lack the next time too; what a server met (a full
//! disk, too little memory, a kill) it may not meet again.

/// What a server says, in English, that misses files which the dumped server had.
const LACKING: [&str; 5] = [
    "could not access file \"",
    "invalid lc_collate locale name",
    "invalid lc_ctype locale name",
    "could not create locale \"",
    "could not open collator for locale \"",
];

/// What programs of an image say, in English, that can never run in it.
const UNFIT: [&str; 15] = [
    // The loader of glibc, and that of musl.
    "error while loading shared libraries",
    "symbol lookup error",
    "Error loading shared library",
    "Error relocating",
    // Another architecture, or no such program.
    "Exec format error",
    "ended with code 126",
    "ended with code 127",
    // Another tool under the name.
    "unrecognized option",
    "invalid option",
    "unrecognized configuration parameter",
    // An installation of which a part is missing.
    "is needed by initdb but was not found",
    "might mean you have a corrupted installation",
    "could not access file \"",
    "could not load library \"",
    "invalid locale name",
];

/// What says that a machine had no room, memory or patience; never about an image or a backup.
const PASSING: [&str; 8] = [
    "No space left on device",
    "Disk quota exceeded",
    "Cannot allocate memory",
    "out of memory",
    "Resource temporarily unavailable",
    "Too many open files",
    "Input/output error",
    "signal 9: Killed",
];

/// What a client says when its server went away or could not go on.
const SERVER_FAILED: [&str; 8] = [
    "server closed the connection unexpectedly",
    "connection to server was lost",
    "terminating connection",
    "the database system is",
    "out of shared memory",
    "Is the server running",
    "no connection to the server",
    "could not fork new process",
];

/// Codes of psql: what it was given is wrong, and only that, where it stops at an error.
const PSQL_SCRIPT: i64 = 3;
/// A program that was killed with signal 9.
const KILLED: i64 = 137;

/// Classes of SQLSTATE that tell of the server: connection, resources, operator, system, inside.
const OF_THE_SERVER: [&str; 5] = ["08", "53", "57", "58", "XX"];

/// Whether a scratch server that ended with these last words will end so each time: its image cannot serve.
pub fn is_unfit(said: &str) -> bool {
    !holds(&PASSING, said) && holds(&UNFIT, said)
}

/// Whether psql, told to stop at the first error and to name its code, failed for its server and not for its script.
pub fn is_failure_of_psql(code: i64, stderr: &str) -> bool {
    code != PSQL_SCRIPT
        || stderr
            .lines()
            .filter_map(find_sqlstate)
            .any(|state| OF_THE_SERVER.iter().any(|class| state.starts_with(class)))
}

/// Whether `pg_restore` failed for its server or was killed, and not for its archive. Where it runs out of memory by itself,
/// that may be the archive's doing.
pub fn is_failure_of_restore(code: i64, stderr: &str) -> bool {
    let of_server = |line: &str| {
        holds(&SERVER_FAILED, line) || line.contains("ERROR:  ") && holds(&PASSING, line)
    };
    code == KILLED || stderr.lines().any(of_server)
}

/// How the unpacking of an outer stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpacking {
    /// Well.
    Done,
    /// The stream is not what zstd writes.
    Broken,
    /// The image has no zstd.
    WithoutProgram,
    /// By something that another time may not be there.
    Failed,
}

/// Judges a zstd that unpacked a file.
pub fn judge_unpacking(code: i64, stderr: &str) -> Unpacking {
    match code {
        0 => Unpacking::Done,
        126 | 127 => Unpacking::WithoutProgram,
        _ if code >= 128 || holds(&PASSING, stderr) || stderr.contains("not enough memory") => {
            Unpacking::Failed
        }
        _ => Unpacking::Broken,
    }
}

fn holds(words: &[&str], text: &str) -> bool {
    words.iter().any(|it| text.contains(it))
}

/// `42710` of `psql:<stdin>:3: ERROR:  42710: role "app" already exists`.
fn find_sqlstate(line: &str) -> Option<&str> {
    let severities = ["ERROR:  ", "FATAL:  ", "PANIC:  "];
    let rest = severities
        .iter()
        .find_map(|severity| line.split_once(severity))
        .map(|(_, rest)| rest)?;
    let (state, _) = rest.split_once(": ")?;
    (state.len() == 5).then_some(state)
}

/// The sentence about a file of an extension or a locale that the image does not have.
///
/// A missing control file counts for an extension that the dumped database had (`name version`, each): a dump that wants
/// another one is itself wrong.
pub fn find_lack<'a>(stderr: &'a str, extensions: &[String]) -> Option<&'a str> {
    let had = |line: &str| {
        let mut names = extensions.iter().filter_map(|it| it.split(' ').next());
        names.any(|name| line.contains(&format!("/{name}.control\"")))
    };
    stderr.lines().find(|line| {
        let lower = line.to_lowercase();
        lower.contains("could not open extension control file") && had(line)
            || LACKING.iter().any(|words| lower.contains(words))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_unfit_for_what_lasts_and_never_for_what_passes() {
        for said in [
            "initdb: error while loading shared libraries: libicui18n.so.72: cannot open shared object file: No such file or directory\nstackwarden: initdb ended with code 127",
            "/stackwarden/bin/initdb: unrecognized option '--no-instructions'\nTry \"initdb --help\" for more information.\nstackwarden: initdb ended with code 1",
            "sh: /stackwarden/bin/initdb: Exec format error\nstackwarden: initdb ended with code 126",
            "FATAL:  could not access file \"timescaledb\": No such file or directory",
            "initdb: error: program \"postgres\" is needed by initdb but was not found in the same directory as \"/x/initdb\"",
        ] {
            assert!(is_unfit(said), "{said}");
        }
        for said in [
            "initdb: error: could not write to file \"/stackwarden/data/global/1213\": No space left on device\nstackwarden: initdb ended with code 1",
            "child process was terminated by signal 9: Killed\nstackwarden: initdb ended with code 1",
            "stackwarden: initdb ended with code 137",
            "initdb: error while loading shared libraries: libc.so.6: cannot map zero-fill pages: Cannot allocate memory\nstackwarden: initdb ended with code 127",
            "injected fault",
            "",
        ] {
            assert!(!is_unfit(said), "{said}");
        }
    }

    #[test]
    fn a_script_of_roles_is_wrong_only_where_the_server_says_so_and_lives_on() {
        let wrong = "psql:<stdin>:3: ERROR:  42710: role \"app\" already exists\nLOCATION:  CreateRole, user.c:318\n";
        assert!(!is_failure_of_psql(3, wrong));
        for (code, said) in [
            (
                2,
                "psql:<stdin>:9: FATAL:  57P01: terminating connection due to administrator command\npsql:<stdin>:9: server closed the connection unexpectedly",
            ),
            (
                2,
                "psql: error: connection to server on socket \"/x\" failed: FATAL:  the database system is in recovery mode",
            ),
            (
                3,
                "psql:<stdin>:9: ERROR:  53100: could not extend file \"base/1/1259\": No space left on device\nHINT:  Check free disk space.",
            ),
            (
                3,
                "psql:<stdin>:9: ERROR:  53200: out of memory\nDETAIL:  Failed on request of size 8.",
            ),
            (137, ""),
            (1, "injected fault"),
        ] {
            assert!(is_failure_of_psql(code, said), "{code}: {said}");
        }
    }

    #[test]
    fn a_restore_that_lost_its_server_says_nothing_about_the_archive() {
        for (code, said) in [
            (
                1,
                "pg_restore: error: could not execute query: server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
            ),
            (
                1,
                "pg_restore: error: could not execute query: ERROR:  out of memory\nDETAIL:  Failed on request of size 100.",
            ),
            (
                1,
                "pg_restore: error: connection to server on socket \"/s\" failed: FATAL:  the database system is in recovery mode",
            ),
            (137, ""),
        ] {
            assert!(is_failure_of_restore(code, said), "{code}: {said}");
        }
        for (code, said) in [
            (
                1,
                "pg_restore: error: could not execute query: ERROR:  relation \"t\" already exists",
            ),
            (
                1,
                "pg_restore: error: could not read from input file: end of file",
            ),
            (1, "pg_restore: error: out of memory"),
            (139, ""),
        ] {
            assert!(!is_failure_of_restore(code, said), "{code}: {said}");
        }
    }

    #[test]
    fn a_stream_that_does_not_unpack_is_broken_unless_something_else_was() {
        let torn = "zstd: /stackwarden-backup: unexpected end of file\n";
        for (code, said, wanted) in [
            (0, "", Unpacking::Done),
            (1, torn, Unpacking::Broken),
            (
                1,
                "/stackwarden-backup : Decoding error (36) : Data corruption detected",
                Unpacking::Broken,
            ),
            (
                1,
                "zstd: error 25 : Write error : cannot write block : No space left on device",
                Unpacking::Failed,
            ),
            (
                1,
                "zstd: error 11 : Allocation error : not enough memory",
                Unpacking::Failed,
            ),
            (137, "", Unpacking::Failed),
            (
                127,
                "OCI runtime exec failed: exec: \"zstd\": executable file not found in $PATH",
                Unpacking::WithoutProgram,
            ),
        ] {
            assert_eq!(judge_unpacking(code, said), wanted, "{code}: {said}");
        }
    }

    #[test]
    fn a_missing_extension_is_found_and_a_wrong_archive_is_not() {
        let said = "pg_restore: error: could not execute query: ERROR:  extension \"homemade\" is not available\nDETAIL:  Could not open extension control file \"/usr/share/postgresql/17/extension/homemade.control\": No such file or directory.\nHINT:  x\n";
        let had = ["plpgsql 1.0".to_owned(), "homemade 1".to_owned()];
        assert!(find_lack(said, &had).unwrap().contains("homemade.control"));
        assert_eq!(find_lack(said, &[]), None);
        let torn = "pg_restore: error: unexpected end of file";
        assert_eq!(find_lack(torn, &had), None);
    }
}
