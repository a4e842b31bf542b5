//! What a stack's owner asks stackwarden: commands in the sidecar, the backup folder, the two ports.

use std::time::Duration;

use serde_json::Value;

use super::Stack;
use crate::harness::artefact::Artefact;
use crate::harness::builder::{GATE, SIDECAR};
use crate::harness::http::{self, HttpAnswer};
use crate::harness::program::{Background, Ran, docker};
use crate::harness::{PROOF, wait_until};

impl Stack {
    /// A command of stackwarden in the running sidecar.
    pub fn stackwarden(&self, arguments: &[&str]) -> Ran {
        self.exec(SIDECAR, &[&["/stackwarden"], arguments].concat())
    }

    /// The same, going on while the test does something else.
    pub fn stackwarden_aside(&self, arguments: &[&str]) -> Background {
        let container = self.container(SIDECAR);
        Background::docker(&[&["exec", &container, "/stackwarden"], arguments].concat())
    }

    /// A command of stackwarden with `--json`, read; fails the test where there is no JSON.
    #[track_caller]
    pub fn stackwarden_json(&self, arguments: &[&str]) -> Value {
        self.stackwarden(&[&["--json"], arguments].concat()).json()
    }

    /// A command of stackwarden in a container of its own: the way after a `down`.
    pub fn stackwarden_once(&self, arguments: &[&str]) -> Ran {
        self.compose(&[&["run", "--rm", "-T", "--no-deps", SIDECAR], arguments].concat())
    }

    /// The gate's exit code and log, once it ended.
    #[track_caller]
    pub fn gate_ended(&self) -> (i32, String) {
        let code = wait_until("the gate ends", PROOF, || {
            match self
                .inspect(GATE, "{{.State.Status}} {{.State.ExitCode}}")
                .split_once(' ')
            {
                Some(("exited", code)) => Ok(code.parse().expect("an exit code")),
                other => Err(format!("{other:?}")),
            }
        });
        (code, self.logs(GATE))
    }

    /// What `stackwarden backups` lists.
    #[track_caller]
    pub fn backups(&self) -> Vec<Value> {
        let listed = self.stackwarden_json(&["backups"]);
        listed.as_array().expect("a list").clone()
    }

    /// The backups of one database that `stackwarden backups` lists, oldest first.
    #[track_caller]
    pub fn backups_of(&self, database: &str) -> Vec<Value> {
        let mut listed = self.backups();
        listed.retain(|backup| backup["database"] == database);
        listed
    }

    /// The backups of one database that its folder holds, oldest first.
    pub fn artefacts(&self, database: &str) -> Vec<Artefact> {
        Artefact::list(&self.series_folder(database))
    }

    /// Waits for the newest backup of a database to be complete.
    #[track_caller]
    pub fn wait_for_backup(&self, database: &str) -> Value {
        self.wait_for_listed(database, PROOF, |_| true)
    }

    /// Waits for the proof of a database's newest backup to end, however it ends.
    #[track_caller]
    pub fn wait_for_verdict(&self, database: &str) -> Value {
        self.wait_for_listed(database, PROOF, |backup| backup["standing"] != "unproven")
    }

    /// Waits for the newest backup of a database to be proven at `level`.
    #[track_caller]
    pub fn wait_for_proof(&self, database: &str, level: &str) -> Value {
        self.wait_for_listed(database, PROOF, |backup| {
            backup["standing"] == "proven" && backup["level"] == level
        })
    }

    /// Waits for the newest backup of a database to be as wanted.
    #[track_caller]
    pub fn wait_for_listed(
        &self,
        database: &str,
        bound: Duration,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        wait_until(&format!("the newest backup of {database}"), bound, || {
            let listed = self.stackwarden(&["--json", "backups"]);
            let all: Vec<Value> = serde_json::from_str(&listed.stdout)
                .map_err(|error| format!("{error}: {}", listed.said()))?;
            let newest = all
                .into_iter()
                .rfind(|backup| backup["database"] == database);
            match newest {
                Some(backup) if is_wanted(&backup) => Ok(backup),
                other => Err(other.map_or("none".to_owned(), |it| it.to_string())),
            }
        })
    }

    /// `stackwarden backup`, which has to succeed.
    #[track_caller]
    pub fn back_up(&self) -> Value {
        self.stackwarden(&["--json", "backup"]).ended_with(0).json()
    }

    /// A request to the public port; needs [`StackBuilder::with_ports`].
    pub fn public(&self, path: &str) -> Result<HttpAnswer, String> {
        http::request(&self.address(9180)?, "GET", path, &[], "")
    }

    /// A request to the control port with the stack's own token.
    pub fn control(&self, method: &str, path: &str, body: &str) -> Result<HttpAnswer, String> {
        let token = std::fs::read_to_string(self.backup_folder().join(".stackwarden/token"));
        let token = token.map_err(|error| format!("read the token: {error}"))?;
        let bearer = format!("Bearer {}", token.trim());
        self.control_with(method, path, &[("Authorization", bearer.as_str())], body)
    }

    /// A request to the control port with these headers.
    pub fn control_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<HttpAnswer, String> {
        http::request(&self.address(9181)?, method, path, headers, body)
    }

    fn address(&self, port: u16) -> Result<String, String> {
        let published = docker(&["port", &self.container(SIDECAR), &port.to_string()]);
        match published.stdout.lines().next() {
            Some(address) => Ok(address.trim().to_owned()),
            None => Err(published.said()),
        }
    }
}
