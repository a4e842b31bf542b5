//! The binary under test, alone with its variables.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// `nobody`: a user who owns nothing.
const NOBODY: u32 = 65534;

/// A run to be, with a folder for backups and none of this process's variables.
pub(crate) struct Program {
    command: Command,
    folder: TempDir,
}

/// What a run gave.
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
    /// How long it took.
    pub(crate) took: Duration,
}

/// `stackwarden` with these arguments.
pub(crate) fn stackwarden(arguments: &[&str]) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackwarden"));
    command
        .args(arguments)
        .env_clear()
        .env("STACKWARDEN_BACKUP_DIR", folder.path())
        // A sidecar on this machine must not answer in the program's place.
        .env("STACKWARDEN_CONTROL", closed_address());
    Program { command, folder }
}

/// An address where nobody listens.
pub(crate) fn closed_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Program {
    /// With a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without a variable that would be there otherwise.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The folder for backups.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As a user without rights, from a copy that this user may run.
    pub(crate) fn by_nobody(mut self) -> Self {
        if self.folder.path().metadata().unwrap().uid() != 0 {
            return self;
        }
        let open = Permissions::from_mode(0o777);
        std::fs::set_permissions(self.folder(), open.clone()).unwrap();
        let copy: PathBuf = self.folder().join("stackwarden");
        std::fs::copy(env!("CARGO_BIN_EXE_stackwarden"), &copy).unwrap();
        std::fs::set_permissions(&copy, open).unwrap();
        let mut command = Command::new(copy);
        command.args(self.command.get_args()).env_clear();
        for (name, value) in self.command.get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        command.uid(NOBODY).gid(NOBODY);
        self.command = command;
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ended {
        let begun = Instant::now();
        let Output {
            status,
            stdout,
            stderr,
        } = self.command.output().unwrap();
        Ended {
            code: status.code().unwrap(),
            output: String::from_utf8(stdout).unwrap(),
            errors: String::from_utf8(stderr).unwrap(),
            took: begun.elapsed(),
        }
    }
}

impl Ended {
    /// Everything that was written, for messages.
    pub(crate) fn everything(&self) -> String {
        format!("code {}\n{}{}", self.code, self.output, self.errors)
    }
}
