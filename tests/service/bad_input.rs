//! What is wrong around us is said in one sentence that tells what to do; nothing is lost, nothing half-written stays.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

use crate::harness::{DATABASE, GATE, Ran, SIDECAR, SOON, Stack, docker, wait_until};
use crate::harness_gate::{App, gate_log, gated, state};

/// Half a megabyte that no program makes smaller.
const RANDOM: &str = "CREATE TABLE IF NOT EXISTS noise (line text); INSERT INTO noise SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20000) n GROUP BY n % 200;";

/// Waits until `status` shows this sentence among what needs attention; gives the whole stack as JSON.
#[track_caller]
fn wait_for_concern(stack: &Stack, sentence: &str) -> Value {
    wait_until(&format!("status says {sentence:?}"), SOON, || {
        let shown = stack.stackwarden(&["--json", "status"]);
        let status: Value = serde_json::from_str(&shown.stdout).map_err(|_| shown.said())?;
        let concerns = status["concerns"].as_array().ok_or("no concerns")?;
        let is_said = |it: &Value| it.as_str().is_some_and(|text| text.contains(sentence));
        if concerns.iter().any(is_said) {
            Ok(status)
        } else {
            Err(format!("{concerns:#?}"))
        }
    })
}

#[track_caller]
fn wait_for_no_concern(stack: &Stack) {
    wait_until("nothing needs attention", SOON, || {
        let shown = stack.stackwarden(&["--json", "status"]);
        let status: Value = serde_json::from_str(&shown.stdout).map_err(|_| shown.said())?;
        match status["concerns"].as_array().map(Vec::as_slice) {
            Some([]) => Ok(()),
            other => Err(format!("{other:#?}")),
        }
    });
}

/// The sample of a family of `/metrics` that carries these labels.
fn metric(stack: &Stack, family: &str, labels: &[&str]) -> Option<f64> {
    let text = stack.public("/metrics").ok()?.body;
    let line = text.lines().find(|line| {
        let name = line.split(['{', ' ']).next();
        name == Some(family) && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// `stackwarden backup`, which has to fail with this sentence and leave only whole backups.
#[track_caller]
fn assert_backup_fails(stack: &Stack, sentence: &str) {
    let ran = stack.stackwarden(&["backup", "postgres/app"]);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(ran.said().contains(sentence), "{sentence}: {}", ran.said());
    assert_eq!(halves(&stack.backup_folder()), [""; 0]);
}

/// Files that are neither a manifest, nor a proof, nor named by a manifest.
fn halves(folder: &Path) -> Vec<String> {
    let (records, others): (Vec<PathBuf>, Vec<PathBuf>) = files(folder)
        .into_iter()
        .partition(|path| path.extension() == Some(OsStr::new("json")));
    let is_named = |path: &Path| {
        let text = path.to_string_lossy();
        records
            .iter()
            .any(|record| text.starts_with(&*record.with_extension("").to_string_lossy()))
    };
    let halves = others.iter().filter(|path| !is_named(path));
    halves.map(|path| path.display().to_string()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_file() {
            found.push(path);
        } else if path.is_dir() && entry.file_name() != ".stackwarden" {
            found.extend(files(&path));
        }
    }
    found
}

#[test]
fn a_wrong_label_is_named_and_everything_else_goes_on() {
    let stack = Stack::builder("labels")
        .with_ports()
        .postgres(|it| {
            it.label("stackwarden.bakup.keep", "within=7d")
                .label("stackwarden.backup.keep", "\"within=30d\"")
                .label("stackwarden.backup.schedule", "61 2 * * *")
                .label("stackwarden.migrate.after", "api")
                .label("stackwarden.backup.events", "start")
        })
        .up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT 1 AS i");
    stack.wait_for_backup("app");
    let sentences = [
        "service postgres: label stackwarden.bakup.keep: no such label, did you mean stackwarden.backup.keep?",
        "service postgres: label stackwarden.backup.keep: the quotation marks became part of the value; write the value without them",
        "service postgres: label stackwarden.backup.schedule: \"61\" is no minute; write a number from 0 to 59",
        "the default holds meanwhile",
        "service postgres: label stackwarden.migrate.after: it means nothing on a database",
        "service postgres: label stackwarden.backup.events: it has no effect in this version",
    ];
    for sentence in sentences {
        wait_for_concern(&stack, sentence);
    }
    let status = stack.stackwarden_json(&["status"]);
    assert_eq!(status["verdict"], "warn");
    let next = status["databases"][0]["next_run"]
        .as_str()
        .expect("a next run");
    assert!(next.contains("T02:"), "the default holds: {next}");
    assert_eq!(metric(&stack, "stackwarden_config_errors", &[]), Some(5.0));
    let health = stack.public("/health").expect("an answer");
    assert_eq!(health.status, 200);
    assert_eq!(
        health.json()["checks"]["configuration"][0]["status"],
        "warn"
    );
    // The page says the same to people.
    let page = stack.public("/").expect("a page").body;
    assert!(
        page.contains("did you mean stackwarden.backup.keep?"),
        "{page}"
    );
}

#[test]
fn a_stopped_database_is_said_and_found_again() {
    let stack = Stack::builder("stopped").with_ports().up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT 1 AS i");
    stack.wait_for_backup("app");
    let restarts = stack.inspect(SIDECAR, "{{.RestartCount}}");
    stack.stop(DATABASE);
    let ran = stack.stackwarden(&["backup"]);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(
        ran.said().contains("docker compose start postgres"),
        "{}",
        ran.said()
    );
    let status = wait_for_concern(&stack, "postgres: ");
    eprintln!(
        "with postgres stopped: {:#?}\n{}",
        status["concerns"],
        ran.said()
    );
    assert_eq!(status["verdict"], "fail", "{status:#}");
    wait_until("/health fails", SOON, || match stack.public("/health")? {
        answer if answer.status == 503 => Ok(()),
        answer => Err(answer.body),
    });
    wait_until("the metric tells", SOON, || {
        match metric(&stack, "stackwarden_postgres_up", &["service=\"postgres\""]) {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(stack.stackwarden(&["status"]).code, 4);
    assert_eq!(stack.backups_of("app").len(), 1);

    stack.start(DATABASE);
    stack.wait_for_postgres();
    stack.back_up();
    wait_for_no_concern(&stack);
    wait_until("/health passes", SOON, || {
        match stack.public("/health")? {
            answer if answer.json()["status"] == "pass" => Ok(()),
            answer => Err(answer.body),
        }
    });
    assert_eq!(stack.inspect(SIDECAR, "{{.RestartCount}}"), restarts);
}

#[test]
fn a_login_that_is_refused_says_what_to_correct() {
    let mut stack = Stack::builder("login").with_ports().up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT 1 AS i; CREATE TABLE private AS SELECT 2 AS i; CREATE ROLE tester SUPERUSER LOGIN; CREATE ROLE limited LOGIN; GRANT SELECT ON t TO limited");
    stack.wait_for_backup("app");
    // From here on the password counts, as on servers that were set up so.
    let rules = "printf 'local all tester trust\nlocal all limited trust\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n' > \"$PGDATA/pg_hba.conf\"";
    drop(stack.exec(DATABASE, &["sh", "-c", rules]).ok());
    tester(
        &stack,
        "ALTER ROLE app PASSWORD 'another one'; SELECT pg_reload_conf()",
    );
    assert_backup_fails(
        &stack,
        "the password in the container's settings counts at its first start only: correct it, or give the role this password",
    );
    wait_for_concern(&stack, "give the role this password");
    assert_eq!(
        stack.public("/health").expect("an answer").json()["status"],
        "warn"
    );
    assert_eq!(
        metric(
            &stack,
            "stackwarden_backup_runs_total",
            &["database=\"app\"", "outcome=\"failed\""]
        ),
        Some(1.0)
    );
    assert_eq!(stack.backups_of("app").len(), 1);
    tester(&stack, "ALTER ROLE app PASSWORD 'a secret of the test'");
    stack.back_up();

    // A role that may not see everything would make a dump that lacks rows.
    stack.change(|it| it.postgres(|it| it.environment("POSTGRES_USER", "limited")));
    stack.up();
    stack.wait_for_postgres();
    wait_until("the new container is known", SOON, || {
        let ran = stack.stackwarden(&["backup", "postgres/app"]);
        if ran.said().contains("limited") {
            Ok(())
        } else {
            Err(ran.said())
        }
    });
    assert_backup_fails(
        &stack,
        "role limited may not bypass row security, so its dump could lack rows; use a superuser or ALTER ROLE limited BYPASSRLS",
    );
    tester(&stack, "ALTER ROLE limited BYPASSRLS");
    assert_backup_fails(&stack, "permission denied for table private");
    assert_backup_fails(
        &stack,
        "a backup needs a superuser, or a role with pg_read_all_data and BYPASSRLS",
    );
    tester(&stack, "GRANT pg_read_all_data TO limited");
    drop(stack.stackwarden(&["backup", "postgres/app"]));
    assert_eq!(stack.backups_of("app").len(), 3);
}

#[track_caller]
fn tester(stack: &Stack, sql: &str) {
    let words = [
        "psql",
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        "tester",
        "-d",
        "app",
        "-c",
        sql,
    ];
    drop(stack.exec(DATABASE, &words).ok());
}

#[test]
fn a_database_image_without_pg_dump_says_so() {
    let stack = Stack::builder("no-pg-dump").up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT 1 AS i");
    stack.wait_for_backup("app");
    let hide = "for program in $(find / -xdev -name pg_dump -not -path '/proc/*'); do rm -f $program; done";
    drop(stack.exec(DATABASE, &["sh", "-c", hide]).ok());
    assert_backup_fails(
        &stack,
        "has no pg_dump; use one with PostgreSQL's client programs",
    );
    wait_for_concern(&stack, "has no pg_dump");
    assert_eq!(stack.backups_of("app").len(), 1);
}

#[test]
fn what_is_not_mounted_is_refused_before_anything_is_done() {
    type Change = fn(crate::harness::Service) -> crate::harness::Service;
    let cases: [(Change, &str); 4] = [
        (
            |it| it.without_volume("/backups"),
            "/backups is not mounted, so backups would be lost with this container; add volumes: [./backups:/backups]",
        ),
        (
            |it| {
                it.without_volume("/backups")
                    .volume("./backups:/backups:ro")
            },
            "backup folder /backups cannot be written to; check that it is not mounted read-only and who owns it",
        ),
        (
            |it| it.without_volume("docker.sock"),
            "docker socket /var/run/docker.sock is not there; mount it: volumes: [/var/run/docker.sock:/var/run/docker.sock]",
        ),
        (
            |it| it.environment("STACKWARDEN_BACKUP_DIR", "/backups/none"),
            "backup folder /backups/none does not exist; mount one: volumes: [./backups:/backups]",
        ),
    ];
    let app = App::idle().migrating("CREATE TABLE once (id integer)");
    let plain = gated("mounts").service("app", &app.yaml());
    let mut stack = plain.clone().write();
    drop(stack.compose(&["up", "-d", "--wait", "postgres"]).ok());
    for (change, sentence) in cases {
        stack.change(|_| plain.clone().gate(change));
        let ran = stack.try_up();
        let log = gate_log(&stack);
        assert!(
            ran.code != 0 && log.contains(sentence),
            "{sentence}:\n{}{log}",
            ran.said()
        );
        assert_eq!(
            stack.inspect(GATE, "{{.State.ExitCode}}"),
            "2",
            "{sentence}\n{log}"
        );
        assert_eq!(state(&stack, "app"), "created");
        for command in ["run", "backup"] {
            let ran = stack.compose(&["run", "--rm", "-T", "--no-deps", GATE, command]);
            assert_sentence(&ran, sentence);
            assert_eq!(ran.code, 2, "{command}: {}", ran.said());
        }
    }
    assert_eq!(
        stack.psql("app", "SELECT to_regclass('once') IS NULL"),
        "t",
        "nothing ran"
    );
    assert_eq!(halves(&stack.backup_folder()), [""; 0]);
}

#[track_caller]
fn assert_sentence(ran: &Ran, sentence: &str) {
    let said = ran.said();
    let problems: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("stackwarden: "))
        .collect();
    assert!(
        problems.len() == 1 && problems[0].contains(sentence),
        "{sentence}: {said}"
    );
}

#[test]
fn what_a_killed_process_left_in_the_folder_stops_nobody() {
    let stack = gated("probe").write();
    let left = stack.backup_folder().join(".stackwarden-probe-1");
    std::fs::write(&left, "stackwarden").expect("write a file");
    stack.up();
    let (code, log) = stack.gate_ended();
    assert_eq!(code, 0, "{log}");
}

#[test]
fn a_full_folder_keeps_earlier_backups_and_nothing_half_written() {
    let tiny = "volumes:\n  tiny: { driver: local, driver_opts: { type: tmpfs, device: tmpfs, o: 'size=2m' } }";
    let stack = Stack::builder("full")
        .with_ports()
        .top_level(tiny)
        .sidecar(|it| {
            it.without_volume("/backups")
                .volume("tiny:/backups")
                .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
        })
        .up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT 1 AS i");
    stack.wait_for_backup("app");
    for _ in 0..8 {
        stack.psql("app", RANDOM);
    }
    let ran = stack.stackwarden(&["backup", "postgres/app"]);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(
        ran.said().contains("no space left while writing"),
        "{}",
        ran.said()
    );
    assert!(
        ran.said()
            .contains("free some space or shorten stackwarden.backup.keep"),
        "{}",
        ran.said()
    );
    wait_for_concern(&stack, "no space left while writing");
    assert_eq!(
        stack.public("/health").expect("an answer").json()["status"],
        "warn"
    );
    assert_eq!(stack.backups_of("app").len(), 1);
    let folder = format!("{}_tiny:/tiny:ro", stack.project());
    let listed = docker(&[
        "run",
        "--rm",
        "-v",
        &folder,
        "--entrypoint",
        "find",
        "postgres:17",
        "/tiny",
        "-name",
        "*.partial*",
    ]);
    assert_eq!(listed.ok(), "", "the partial file is gone");
    // Room again: the next one succeeds without anybody's help.
    stack.psql("app", "TRUNCATE noise");
    stack.back_up();
    assert_eq!(stack.backups_of("app").len(), 2);
    wait_for_no_concern(&stack);
}

#[test]
fn a_dump_that_says_nothing_for_too_long_is_ended() {
    let stack = Stack::builder("silent")
        .sidecar(|it| it.environment("STACKWARDEN_SILENCE", "5s"))
        .up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT 1 AS i");
    stack.wait_for_backup("app");
    let mut holder = stack.session("app");
    holder.say("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;");
    assert_backup_fails(
        &stack,
        "pg_dump gave no byte for 5s and was ended; look for locks in pg_stat_activity, or raise STACKWARDEN_SILENCE",
    );
    assert_no_dump(&stack);
    wait_for_concern(&stack, "pg_dump gave no byte for 5s");
    holder.say("ROLLBACK;");
    stack.back_up();
    wait_for_no_concern(&stack);
}

/// Nothing of ours dumps any more, neither as a process nor as a session with locks.
#[track_caller]
fn assert_no_dump(stack: &Stack) {
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND application_name LIKE 'stackwarden/%'";
    wait_until("no dump is left", SOON, || {
        let processes = stack.processes(DATABASE, "pg_dump");
        let asked = stack.try_psql("app", sessions);
        if processes.is_empty() && asked.stdout.trim() == "0" {
            Ok(())
        } else {
            Err(format!("{processes:?} {}", asked.said()))
        }
    });
}

#[test]
fn a_database_that_dies_in_mid_dump_costs_only_that_dump() {
    let stack = Stack::builder("dies").up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT 1 AS i");
    stack.wait_for_backup("app");
    for _ in 0..60 {
        stack.psql("app", RANDOM);
    }
    // Slow enough for the kill to meet a dump of which a part is written.
    drop(docker(&["update", "--cpus", "0.25", &stack.container(DATABASE)]).ok());
    let ran = thread::scope(|scope| {
        let backup = scope.spawn(|| stack.stackwarden(&["backup", "postgres/app"]));
        wait_until("a part of the dump is written", SOON, || {
            match halves(&stack.backup_folder()).first() {
                Some(path)
                    if Path::new(path)
                        .metadata()
                        .is_ok_and(|it| it.len() > 100_000) =>
                {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        });
        stack.kill(DATABASE);
        backup.join().expect("a backup")
    });
    assert_eq!(ran.code, 1, "{}", ran.said());
    eprintln!("{}", ran.said());
    assert_eq!(halves(&stack.backup_folder()), [""; 0]);
    assert_eq!(stack.backups_of("app").len(), 1);
    drop(docker(&["update", "--cpus", "2", &stack.container(DATABASE)]).ok());
    stack.start(DATABASE);
    stack.wait_for_postgres();
    stack.back_up();
    wait_for_no_concern(&stack);
}
