//! Programs that end with our connection, so that a killed sidecar leaves no dump and no lock behind.
//!
//! An engine closes the standard input of an exec when its connection breaks, whatever the reason. A shell beside the
//! program waits for that and sends SIGTERM.
//!
//! Invariant: every process is waited for by a shell that nobody kills, and what outlives the last shell ends with 0.
//! Process 1 of a database's container is the postmaster: it adopts orphans and restarts the whole server when one of
//! them dies by a signal (tried on Postgres 15 and 17).

use super::{ExecRequest, StdinMode};

/// Runs `"$@"` and ends it when standard input ends.
const TIED: &str = r#"exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ cat <&3; kill "$program"; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$program"
code=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
exit "$code""#;

/// The same with the output piped through the filter `$2`. A plain pipe would lose the program's code; here the first
/// code that is not 0 counts, a missing program before all others.
const TIED_THROUGH: &str = r#"tied=$1 filter=$2
shift 2
exec 3<&0 5>&1
codes=$({ { sh -c "$tied" stackwarden "$@" <&3 3<&- 4>&- 5>&-; echo "$?" >&4; } |
{ eval "$filter" 3<&- 4>&- >&5 5>&-; echo "$?" >&4; }; } 4>&1)
set -- $codes
[ "$#" -eq 2 ] || exit 125
for code in "$1" "$2"; do [ "$code" -ne 127 ] || exit 127; done
for code in "$1" "$2"; do [ "$code" -eq 0 ] || exit "$code"; done"#;

impl ExecRequest {
    /// Lets the program end (SIGTERM) with our connection: when we are killed, the streams are dropped or a proxy cuts
    /// them. Keep the returned standard input as long as the program shall run, and write nothing to it; the program
    /// itself reads `/dev/null`.
    ///
    /// `argv` must be the program itself: a shell there would leave its own children as orphans. Needs `sh` and `cat`
    /// in the container.
    #[must_use]
    pub fn tied_to_connection(self) -> Self {
        self.wrapped(&[TIED, "stackwarden"])
    }

    /// The same, with standard output piped through `filter`, such as `zstd -1`. The exit code is 0 only when both
    /// ended with 0, and 127 when either is missing.
    #[must_use]
    pub fn tied_to_connection_through(self, filter: &[&str]) -> Self {
        let filter = shell_words::join(filter);
        self.wrapped(&[TIED_THROUGH, "stackwarden", TIED, &filter])
    }

    fn wrapped(mut self, script: &[&str]) -> Self {
        let shell = ["sh", "-c"].iter().chain(script);
        let command = shell.map(|word| (*word).to_owned());
        self.argv = command.chain(self.argv).collect();
        self.stdin = StdinMode::Attached;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn request(argv: &[&str]) -> ExecRequest {
        ExecRequest {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            user: None,
            stdin: StdinMode::Absent,
        }
    }

    fn spawn(request: &ExecRequest) -> Child {
        let (program, arguments) = request.argv.split_first().unwrap();
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Exit code and output while the line holds.
    fn run(request: &ExecRequest) -> (Option<i32>, String) {
        let mut child = spawn(request);
        let line = child.stdin.take();
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        let code = child.wait().unwrap().code();
        drop(line);
        (code, text)
    }

    #[test]
    fn code_and_output_of_the_program_come_through() {
        let (code, text) = run(&request(&["sh", "-c", "echo it; exit 3"]).tied_to_connection());
        assert_eq!((code, text.as_str()), (Some(3), "it\n"));
        let (code, _text) = run(&request(&["no-such-program"]).tied_to_connection());
        assert_eq!(code, Some(127));
    }

    #[test]
    fn a_filter_and_its_program_must_both_end_well() {
        let through = |program: &str, filter: &[&str]| {
            run(&request(&["sh", "-c", program]).tied_to_connection_through(filter))
        };
        assert_eq!(
            through("echo 'a b'", &["tr", "a b", "xyz"]),
            (Some(0), "xyz\n".to_owned())
        );
        assert_eq!(
            through("echo a; exit 4", &["cat"]),
            (Some(4), "a\n".to_owned())
        );
        assert_eq!(through("true", &["sh", "-c", "cat; exit 5"]).0, Some(5));
        assert_eq!(through("true", &["no-such-filter"]).0, Some(127));
        assert_eq!(through("yes", &["no-such-filter"]).0, Some(127));
    }

    #[test]
    fn a_broken_line_ends_the_program() {
        for request in [
            request(&["sleep", "600"]).tied_to_connection(),
            request(&["sleep", "600"]).tied_to_connection_through(&["cat"]),
        ] {
            let mut child = spawn(&request);
            drop(child.stdin.take());
            assert_eq!(child.wait().unwrap().code(), Some(143));
        }
    }
}
