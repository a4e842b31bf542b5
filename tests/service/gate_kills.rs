//! The gate when a migration does not end by itself: timeouts, signals, `kill -9`.

use std::thread;

use crate::gate::{CLOSED, assert_closed, assert_open};
use crate::harness::{GATE, SOON, Stack, docker, wait_until};
use crate::harness_gate::{App, Waiting, count, gate_lines, gated, line, state};

#[test]
fn a_migration_that_takes_too_long_is_killed_and_leaves_nothing() {
    let app = App::idle()
        .migrating("CREATE TABLE long AS SELECT 1 AS one FROM pg_sleep(600)")
        .label("stackwarden.migrate.timeout", "3s");
    let stack = gated("timeout").service("app", &app.yaml()).write();
    let log = assert_closed(&stack, "1");
    let sentence = "the migration of app did not end within 3s and was killed; raise stackwarden.migrate.timeout";
    assert!(log.contains(sentence), "{log}");
    assert_eq!(state(&stack, "app"), "created");
    assert_eq!(stack.made_containers(), [""; 0]);
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
    assert_eq!(
        stack.psql("app", busy),
        "0",
        "its statement still runs in the database"
    );
}

#[test]
fn a_killed_gate_leaves_a_clone_that_the_next_up_removes() {
    let app = App::idle()
        .migrating("CREATE TABLE once (id integer)")
        .label("traefik.enable", "true")
        .lines("restart: always\nports: ['127.0.0.1::8000']");
    let stack = gated("killed-gate").service("app", &app.yaml()).write();
    let clone = format!("{}-app-stackwarden-migrate", stack.project());
    let waiting = thread::scope(|scope| {
        let waiting = Waiting::begin(&stack);
        let up = scope.spawn(|| stack.try_up());
        wait_for_open_transaction(&stack);
        assert_clone_is_nobodys_replica(&stack, &clone);
        stack.kill(GATE);
        let ran = up.join().expect("up");
        assert!(
            ran.code != 0 && ran.said().contains(CLOSED),
            "{}",
            ran.said()
        );
        waiting
    });
    assert_eq!(state(&stack, "app"), "created");
    assert_eq!(stack.made_containers(), [clone.as_str()]);
    let orphan = id_of(&clone);

    let ran = thread::scope(|scope| {
        let waiting = waiting;
        let up = scope.spawn(|| stack.try_up());
        wait_until("the orphan is removed", SOON, || match id_of(&clone) {
            id if id == orphan => Err(id),
            _ => Ok(()),
        });
        waiting.end();
        up.join().expect("up")
    });
    drop(ran.ok());
    let lines = gate_lines(&stack);
    assert_eq!(
        line(&lines, "leftover container removed")["container"],
        clone.as_str()
    );
    assert_eq!(count(&lines, "migrated"), 1);
    assert_eq!(stack.psql("app", "SELECT count(*) FROM once"), "0");
    assert_eq!(stack.made_containers(), [""; 0]);
    assert_eq!(state(&stack, "app"), "running");
}

#[test]
fn a_gate_told_to_stop_takes_its_clone_along() {
    let app = App::idle().migrating("CREATE TABLE once (id integer)");
    let stack = gated("stopped-gate").service("app", &app.yaml()).write();
    thread::scope(|scope| {
        let _waiting = Waiting::begin(&stack);
        let up = scope.spawn(|| stack.try_up());
        wait_for_open_transaction(&stack);
        stack.stop(GATE);
        let ran = up.join().expect("up");
        assert!(ran.said().contains(CLOSED), "{}", ran.said());
    });
    assert_eq!(stack.inspect(GATE, "{{.State.ExitCode}}"), "143");
    assert_eq!(stack.made_containers(), [""; 0]);
    assert_eq!(state(&stack, "app"), "created");
    let journal = stack.backup_folder().join(".stackwarden/journal.jsonl");
    let journal = std::fs::read_to_string(journal).expect("a journal");
    assert!(journal.contains("\"outcome\":\"failed\""), "{journal}");
    assert_open(&stack);
    assert_eq!(count(&gate_lines(&stack), "migrated"), 1);
}

/// Waits until a migration has executed its statement and holds its transaction open.
pub fn wait_for_open_transaction(stack: &Stack) {
    wait_until("the migration is in mid-transaction", SOON, || {
        let asked = stack.try_psql(
            "app",
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE 'CREATE TABLE once%'",
        );
        if asked.stdout.trim() == "1" {
            Ok(())
        } else {
            Err(asked.said())
        }
    });
}

fn id_of(container: &str) -> String {
    docker(&["inspect", "--format", "{{.Id}}", container])
        .stdout
        .trim()
        .to_owned()
}

fn assert_clone_is_nobodys_replica(stack: &Stack, clone: &str) {
    let inspected = docker(&["inspect", clone]).json();
    let inspected = &inspected[0];
    let labels = inspected["Config"]["Labels"].as_object().expect("labels");
    assert!(
        labels
            .keys()
            .all(|key| !key.starts_with("com.docker.compose.")),
        "{labels:?}"
    );
    assert_eq!(labels["traefik.enable"], "false");
    let host = &inspected["HostConfig"];
    assert!(
        ["", "no"].contains(&host["RestartPolicy"]["Name"].as_str().expect("a policy")),
        "{host}"
    );
    assert!(
        host["PortBindings"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty),
        "{host}"
    );
    let networks = inspected["NetworkSettings"]["Networks"].to_string();
    assert!(
        !networks.contains("\"app\""),
        "no alias of the service: {networks}"
    );
    assert_eq!(inspected["Image"], stack.inspect("app", "{{.Image}}"));
    let replicas = stack.compose(&["ps", "-a", "-q", "app"]).ok();
    assert_eq!(
        replicas.lines().count(),
        1,
        "compose counts the clone as a replica"
    );
}
