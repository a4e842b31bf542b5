//! A psql session that stays open: for locks held at a chosen moment.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The line that tells that everything before it was executed.
const DONE: &str = "stackwarden-test-done";

/// An open session; dropped, it ends and rolls back.
#[derive(Debug)]
pub struct HeldSession {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl HeldSession {
    pub(super) fn open(container: &str, user: &str, database: &str) -> Self {
        let mut child = Command::new("docker")
            .args([
                "exec",
                "-i",
                container,
                "psql",
                "-qAtX",
                "-v",
                "ON_ERROR_STOP=1",
            ])
            .args(["-U", user, "-d", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("start docker exec");
        let stdin = child.stdin.take().expect("a piped input");
        let stdout = BufReader::new(child.stdout.take().expect("a piped output"));
        Self {
            child,
            stdin,
            stdout,
        }
    }

    /// Executes statements and gives what they print; fails the test when one fails.
    #[track_caller]
    pub fn say(&mut self, sql: &str) -> String {
        writeln!(self.stdin, "{sql}\n\\echo {DONE}").expect("write to psql");
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("read from psql");
            assert!(read > 0, "psql ended at: {sql}\n{said}");
            if line.trim() == DONE {
                return said;
            }
            said.push_str(&line);
        }
    }
}

impl Drop for HeldSession {
    fn drop(&mut self) {
        drop(self.stdin.write_all(b"\\q\n"));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
