//! One test's stack: its folder, its project, and everything that can be done to it from outside.

mod owner;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::builder::{DATABASE, GATE, SIDECAR, StackBuilder};
use super::guardian::Guardian;
use super::program::{Ran, docker, finish, run};
use super::session::HeldSession;
use super::{SOON, random_suffix, wait_until};

/// A stack on the real engine, removed when dropped.
#[derive(Debug)]
pub struct Stack {
    project: String,
    folder: PathBuf,
    builder: StackBuilder,
    _guardian: Guardian,
}

impl Stack {
    /// Begins the description of a stack; `test` becomes part of its project's name.
    pub fn builder(test: &str) -> StackBuilder {
        StackBuilder::new(test)
    }

    pub(super) fn write(builder: StackBuilder) -> Self {
        for image in builder.needed_images() {
            require_image(&image);
        }
        let test = builder.test.replace('_', "-");
        let project = format!("sw-{test}-{}", random_suffix());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&project);
        std::fs::create_dir_all(folder.join("backups")).expect("make the stack's folder");
        let images = builder.needed_images();
        let image = images.last().expect("a stack has images");
        let guardian = Guardian::begin(&project, &folder, image);
        let stack = Self {
            project,
            folder,
            builder,
            _guardian: guardian,
        };
        stack.write_files();
        stack
    }

    fn write_files(&self) {
        for (path, text) in &self.builder.files {
            let path = self.folder.join(path);
            std::fs::create_dir_all(path.parent().expect("a file has a folder"))
                .expect("make a folder");
            std::fs::write(path, text).expect("write a file");
        }
        let path = self.folder.join("compose.yml");
        std::fs::write(path, self.builder.compose_file()).expect("write the compose file");
    }

    /// Rewrites the files of the stack; the next [`Stack::up`] redeploys what changed.
    pub fn change(&mut self, change: impl FnOnce(StackBuilder) -> StackBuilder) {
        self.builder = change(self.builder.clone());
        for image in self.builder.needed_images() {
            require_image(&image);
        }
        self.write_files();
    }

    /// Its Compose project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Where its Compose file is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the containers see as `/backups`.
    pub fn backup_folder(&self) -> PathBuf {
        self.folder.join("backups")
    }

    /// The folder of one database's backups; `globals` for the roles.
    pub fn series_folder(&self, database: &str) -> PathBuf {
        let server = self.backup_folder().join(&self.project).join(DATABASE);
        server.join(database)
    }

    /// `docker compose …` in the stack's folder.
    pub fn compose(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("docker");
        command
            .args(["compose", "-p", &self.project, "-f", "compose.yml"])
            .args(arguments)
            .current_dir(&self.folder);
        finish(&mut command, None)
    }

    /// Starts everything and waits for the gate, as `docker compose up -d` does.
    #[track_caller]
    pub fn up(&self) {
        drop(self.try_up().ok());
    }

    /// Starts the database alone, waits for it and fills its databases with SQL.
    #[track_caller]
    pub fn up_database(&self, databases: &[(&str, &str)]) {
        drop(self.compose(&["up", "-d", "--wait", DATABASE]).ok());
        for (database, sql) in databases {
            drop(self.psql(database, sql));
        }
    }

    /// The same where it may fail.
    pub fn try_up(&self) -> Ran {
        self.compose(&["up", "-d"])
    }

    /// The name of a service's container.
    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project)
    }

    /// One field of a service's container, as `docker inspect --format` gives it.
    #[track_caller]
    pub fn inspect(&self, service: &str, format: &str) -> String {
        let container = self.container(service);
        let said = docker(&["inspect", "--format", format, &container]).ok();
        said.trim().to_owned()
    }

    /// Runs a program in a service's container.
    pub fn exec(&self, service: &str, command: &[&str]) -> Ran {
        let container = self.container(service);
        let words = [&["exec", container.as_str()], command].concat();
        docker(&words)
    }

    /// Both streams of a service's log.
    pub fn logs(&self, service: &str) -> String {
        docker(&["logs", &self.container(service)]).said()
    }

    /// `kill -9` of a container's first process.
    #[track_caller]
    pub fn kill(&self, service: &str) {
        drop(docker(&["kill", "--signal", "KILL", &self.container(service)]).ok());
    }

    /// Starts a stopped or killed container.
    #[track_caller]
    pub fn start(&self, service: &str) {
        drop(docker(&["start", &self.container(service)]).ok());
    }

    /// Stops a container as an owner would.
    #[track_caller]
    pub fn stop(&self, service: &str) {
        drop(docker(&["stop", &self.container(service)]).ok());
    }

    /// The processes of a container that contain `needle`, as (process id on the host, command line).
    pub fn processes(&self, service: &str, needle: &str) -> Vec<(u32, String)> {
        let listed = docker(&["top", &self.container(service), "-eo", "pid,args"]);
        let processes = listed.stdout.lines().skip(1).filter_map(|line| {
            let (pid, command) = line.trim().split_once(' ')?;
            Some((pid.parse().ok()?, command.trim().to_owned()))
        });
        processes
            .filter(|(_, command)| command.contains(needle))
            .collect()
    }

    /// `kill -9` of the processes of this name in a container, from inside it; gives how many there were.
    #[track_caller]
    pub fn kill_processes(&self, service: &str, name: &str) -> u32 {
        let script = r#"count=0
for process in /proc/[0-9]*; do
  [ "$(cat "$process/comm" 2>/dev/null)" = "$1" ] && kill -9 "${process#/proc/}" && count=$((count + 1))
done
echo "$count""#;
        let killed = self.exec(service, &["sh", "-c", script, "sh", name]).ok();
        killed.trim().parse().expect("a number")
    }

    /// Containers that stackwarden made for this project: clones and scratch servers, running or not.
    pub fn made_containers(&self) -> Vec<String> {
        let filter = format!("label=stackwarden.owned-by-project={}", self.project);
        let listed = docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]);
        listed.ok().lines().map(str::to_owned).collect()
    }

    /// Executes SQL as superuser, stopping at the first error; gives what it prints.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).ok().trim().to_owned()
    }

    /// The same where it may fail.
    pub fn try_psql(&self, database: &str, sql: &str) -> Ran {
        let (container, user) = (self.container(DATABASE), &self.builder.user);
        let words = [
            "exec",
            "-i",
            &container,
            "psql",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            user,
            "-d",
            database,
        ];
        run("docker", &words, Some(sql))
    }

    /// A session that stays open, for transactions and locks.
    pub fn session(&self, database: &str) -> HeldSession {
        HeldSession::open(&self.container(DATABASE), &self.builder.user, database)
    }

    /// Waits until the server takes connections over the network, that is, after its own setup.
    #[track_caller]
    pub fn wait_for_postgres(&self) {
        wait_until("postgres takes connections", SOON, || {
            let ready = self.exec(DATABASE, &["pg_isready", "-q", "-h", "127.0.0.1"]);
            if ready.code == 0 {
                Ok(())
            } else {
                Err(ready.said())
            }
        });
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for service in [SIDECAR, GATE, DATABASE] {
            let logs = self.logs(service);
            let lines: Vec<&str> = logs.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            eprintln!("---- the end of {service}'s log ----\n{}", tail.join("\n"));
        }
    }
}

/// Fails with one sentence where the engine or an image is missing.
fn require_image(image: &str) {
    let found = docker(&["image", "inspect", "--format", "{{.Id}}", image]);
    if found.code == 0 {
        return;
    }
    let engine = docker(&["version", "--format", "{{.Server.Version}}"]);
    assert!(
        engine.code == 0,
        "these tests need a Docker Engine, and none answers: {}",
        engine.stderr.trim()
    );
    panic!("image {image} is missing; `make image` builds stackwarden's, `make images` the others");
}
