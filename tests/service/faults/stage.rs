//! A stack whose programs can be made to fail, to wait or to fill the disk.

use std::fmt::Write;
use std::time::Instant;

use super::engine::Line;
use crate::harness::{
    DATABASE, PROOF, Ran, SIDECAR, SOON, Service, Stack, StackBuilder, catch, docker, run,
    wait_until,
};

/// Programs that ask for a fault before they begin.
const WRAPPED: &str = "pg_dump pg_dumpall pg_restore psql initdb";
/// What a wrapper is: the live server's faults stand in a folder of the stack, a scratch server's in its image.
const WRAPPER: [&str; 4] = [
    "#!/bin/sh",
    "real=$0.real",
    "for fault in /faults/${0##*/} /fault/${0##*/}; do [ -e $fault ] && . $fault; done",
    "exec $real \"$@\"",
];

/// A shell line that stops here until the test lets go.
pub const HOLD: &str = "touch /faults/reached; while [ -e /faults/hold ]; do sleep 0.1; done";
/// The same in a scratch server, which sees no folder of ours: it ends with its container.
pub const HOLD_SCRATCH: &str = "touch /tmp/reached; while :; do sleep 0.1; done";
/// Fills the folder of the backups to the last byte; it has an end of its own, see [`Stage::small`].
pub const FILL: &str = "dd if=/dev/zero of=/stored/fill bs=64k 2>/dev/null || :";
/// Fails as a program does.
pub const FAIL: &str = "echo injected fault >&2; exit 1";

/// An image of the server under test with wrapped programs; `fault` is baked in for scratch servers.
pub fn image(fault: Option<(&str, &str)>) -> String {
    let server =
        std::env::var("STACKWARDEN_TEST_POSTGRES").unwrap_or_else(|_| "postgres:17".to_owned());
    let major = server.rsplit(':').next().expect("a tag");
    let lines: Vec<String> = WRAPPER.iter().map(|line| format!("'{line}'")).collect();
    let mut text = format!(
        "FROM {server}\nRUN set -e; mkdir /fault; cd $(dirname $(ls /usr/lib/postgresql/*/bin/postgres /usr/local/bin/postgres 2>/dev/null | head -1)); \
         for p in {WRAPPED}; do mv $p $p.real; printf '%s\\n' {} > $p; chmod 755 $p; done\n",
        lines.join(" ")
    );
    let mut tag = major.to_owned();
    if let Some((program, script)) = fault {
        // A name that the Dockerfile's text alone decides, so that a changed fault is a changed image.
        let named: u64 = script
            .bytes()
            .fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
        tag = format!("{major}-{program}-{named}");
        let script = script.replace('\'', r"'\''");
        writeln!(text, "RUN printf '%s\\n' '{script}' > /fault/{program}")
            .expect("write to a string");
    }
    let name = format!("stackwarden-test/faults:{tag}");
    drop(run("docker", &["build", "-q", "-t", &name, "-"], Some(&text)).ok());
    name
}

/// A stack with wrapped programs.
pub struct Stage {
    /// The stack.
    pub stack: Stack,
}

impl Stage {
    /// Backups into a folder of 24 MB that the database's container sees as `/stored`.
    pub fn small(test: &str) -> Self {
        let folder = "volumes:\n  small: { driver: local, driver_opts: { type: tmpfs, device: tmpfs, o: 'size=24m' } }";
        Self::begin(
            Stack::builder(test)
                .top_level(folder)
                .postgres(|it| it.volume("small:/stored"))
                .sidecar(|it| {
                    it.without_volume("/backups")
                        .volume("small:/backups")
                        .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
                }),
        )
    }

    /// Backups into the stack's ordinary folder, proven at `content`.
    pub fn proving(test: &str) -> Self {
        Self::proving_with(test, |it| it)
    }

    /// The same, with this of the sidecar changed.
    pub fn proving_with(test: &str, change: impl FnOnce(Service) -> Service) -> Self {
        Self::begin(Self::proving_stack(test).sidecar(change))
    }

    /// The same, and the sidecar reaches the engine by a line that breaks.
    pub fn proving_behind_a_line(test: &str) -> (Self, Line) {
        let builder = Self::proving_stack(test)
            .sidecar(Line::instead_of_the_socket)
            .file("engine/.keep", "");
        let stack = Self::write(builder);
        let line = Line::start(stack.folder());
        (Self::up(stack), line)
    }

    /// A database in a tablespace of its own and a server, each on a small disk; nothing is proven.
    pub fn restoring(test: &str) -> Self {
        let disk = |name: &str, size: &str| {
            format!(
                "  {name}: {{ driver: local, driver_opts: {{ type: tmpfs, device: tmpfs, o: 'size={size}' }} }}\n"
            )
        };
        let disks = [
            disk("small", "48m"),
            disk("space", "80m"),
            disk("data", "400m"),
        ];
        let builder = Stack::builder(test)
            .top_level(&format!("volumes:\n{}", disks.concat()))
            .postgres(|it| {
                it.volume("small:/stored")
                    .volume("space:/space")
                    .volume("data:/pgdata")
                    .environment("PGDATA", "/pgdata/data")
            })
            .sidecar(|it| {
                it.without_volume("/backups")
                    .volume("small:/backups")
                    .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
                    .environment("STACKWARDEN_DEADLINE", "25s")
            });
        let stack = Self::write(builder);
        drop(stack.compose(&["up", "-d", "--wait", DATABASE]).ok());
        let own = ["chown", "postgres", "/space"];
        drop(stack.exec(DATABASE, &own).ok());
        for sql in [
            "CREATE TABLESPACE space LOCATION '/space'",
            "ALTER DATABASE app SET TABLESPACE space",
        ] {
            drop(stack.psql("postgres", sql));
        }
        Self::up(stack)
    }

    fn proving_stack(test: &str) -> StackBuilder {
        Stack::builder(test).postgres(|it| it.volume("./backups:/stored"))
    }

    fn begin(builder: StackBuilder) -> Self {
        Self::up(Self::write(builder))
    }

    fn write(builder: StackBuilder) -> Stack {
        let image = image(None);
        builder
            .postgres(|it| it.image(&image).volume("./faults:/faults"))
            .sidecar(|it| it.environment("STACKWARDEN_SILENCE", "6s"))
            .file("faults/.keep", "")
            .write()
    }

    fn up(stack: Stack) -> Self {
        stack.up_database(&[("app", NOISE)]);
        stack.up();
        drop(stack.wait_for_backup("app"));
        let stage = Self { stack };
        stage.wait_until_idle();
        stage
    }

    /// From now on this program of the live server runs this script first.
    pub fn arm(&self, program: &str, script: &str) {
        let folder = self.stack.folder().join("faults");
        std::fs::write(folder.join("hold"), "").expect("write a file");
        std::fs::write(folder.join(program), script).expect("write a file");
    }

    /// Everything works again, and who was held goes on.
    pub fn disarm(&self) {
        let script = "rm -f /stored/fill /space/fill /pgdata/fill; cd /faults && rm -f hold reached pg_dump pg_dumpall pg_restore psql";
        drop(self.stack.exec(DATABASE, &["sh", "-c", script]).ok());
    }

    /// Waits until a held program stands where it was to be held.
    #[track_caller]
    pub fn wait_until_held(&self) {
        let mark = self.stack.folder().join("faults/reached");
        catch("the step is reached", PROOF, || {
            if mark.exists() {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        });
    }

    /// Names in the folder of the database's backups.
    pub fn files(&self) -> Vec<String> {
        let folder = format!("/stored/{}/postgres/app", self.stack.project());
        let listed = self.stack.exec(DATABASE, &["ls", "-A", &folder]).ok();
        listed.lines().map(str::to_owned).collect()
    }

    /// The ids that have a manifest, by the files alone.
    pub fn complete(&self) -> Vec<String> {
        let ids = self.files().into_iter();
        ids.filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .filter(|id| !id.contains(".proof-"))
            .collect()
    }

    /// Files that belong to no manifest.
    pub fn halves(&self) -> Vec<String> {
        let complete = self.complete();
        let mut files = self.files();
        files.retain(|name| {
            !complete.iter().any(|id| name.starts_with(id.as_str())) || name.ends_with(".partial")
        });
        files
    }

    /// The sidecar answers and works on nothing.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        wait_until("the sidecar is idle", PROOF, || {
            let asked = self.stack.stackwarden(&["--json", "status"]);
            let status: serde_json::Value =
                serde_json::from_str(&asked.stdout).map_err(|_| asked.said())?;
            let jobs = status["jobs"].as_array().ok_or("no jobs")?;
            match jobs.iter().find(|job| job["ended_at"].is_null()) {
                Some(job) => Err(job.to_string()),
                None if status["databases"].as_array().is_none_or(Vec::is_empty) => {
                    Err(asked.stdout)
                }
                None => Ok(()),
            }
        });
    }

    /// Ends the sidecar as its owner does, within Docker's own patience.
    #[track_caller]
    pub fn stop_sidecar(&self) {
        let begun = Instant::now();
        self.stack.stop(SIDECAR);
        let code = self.stack.inspect(SIDECAR, "{{.State.ExitCode}}");
        assert_eq!(
            code,
            "0",
            "ended within {:?}:\n{}",
            begun.elapsed(),
            self.stack.logs(SIDECAR)
        );
    }

    /// Nothing of a dump of ours is left in the live server: no process, no session with a lock on a table.
    #[track_caller]
    pub fn no_dump_is_left(&self) {
        let held = "SELECT a.application_name, l.relation::regclass FROM pg_stat_activity a JOIN pg_locks l USING (pid)
            WHERE a.application_name LIKE 'stackwarden/%' AND l.relation IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND oid >= 16384)";
        wait_until("no dump of ours is left", SOON, || {
            let processes = self.stack.processes(DATABASE, "pg_dump");
            let asked = self.stack.try_psql("app", held);
            if processes.is_empty() && asked.said().trim().is_empty() {
                Ok(())
            } else {
                Err(format!("{processes:?} {}", asked.said()))
            }
        });
    }

    /// Where a scratch server of this stack stopped.
    #[track_caller]
    pub fn wait_until_scratch_is_held(&self) {
        catch("the scratch server is held", PROOF, || {
            if self.stack.made_containers().is_empty() {
                return Err("no scratch server".to_owned());
            }
            let asked = docker(&["exec", "stackwarden-proof", "test", "-e", "/tmp/reached"]);
            if asked.code == 0 {
                Ok(())
            } else {
                Err(asked.said())
            }
        });
    }

    /// `stackwarden backup` of the one database.
    pub fn back_up(&self) -> Ran {
        self.stack.stackwarden(&["backup", "postgres/app"])
    }

    /// Removes a backup by hand, manifest first.
    pub fn remove(&self, id: &str) {
        let folder = format!("/stored/{}/postgres/app", self.stack.project());
        let script = format!("cd {folder} && rm {id}.json && rm -rf {id}.*");
        drop(self.stack.exec(DATABASE, &["sh", "-c", &script]).ok());
    }
}

/// Two megabytes that no program makes smaller, and a revision table as a migration tool keeps one.
const NOISE: &str = "
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
CREATE TABLE noise (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE noise ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO noise
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 64) j)
    FROM generate_series(1, 500) i;
";
