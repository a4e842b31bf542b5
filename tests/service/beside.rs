//! A sidecar that starts while the gate works: `up` starts both at once, and neither may end the other's sessions.

use std::thread;

use crate::gate_kills::wait_for_open_transaction;
use crate::harness::{GATE, HeldSession, SIDECAR, SOON, Stack, docker, wait_until};
use crate::harness_gate::{App, Waiting, count, gate_lines, state, with_gate};

const OF_THE_GATE: &str =
    "backend_type = 'client backend' AND application_name LIKE 'stackwarden/%/gate-%'";

#[test]
fn a_sidecar_that_starts_leaves_the_lock_of_a_running_migration_alone() {
    let stack = stack(
        "beside-migration",
        &App::idle().migrating("CREATE TABLE once (id integer)"),
    );
    let (lock, ran) = thread::scope(|scope| {
        let waiting = Waiting::begin(&stack);
        let up = scope.spawn(|| stack.try_up());
        wait_for_open_transaction(&stack);
        let lock = sessions(&stack, "datname = 'postgres'");
        restart_sidecar(&stack);
        let kept = sessions(&stack, "datname = 'postgres'");
        assert_eq!(kept, lock, "the gate's lock");
        waiting.end();
        (lock, up.join().expect("up"))
    });
    assert!(!lock.is_empty(), "the gate held no lock");
    assert_eq!(ran.code, 0, "{}", ran.said());
    assert_eq!(count(&gate_lines(&stack), "migrated"), 1);
    assert_eq!(state(&stack, "app"), "running");
}

#[test]
fn a_sidecar_that_starts_leaves_the_questions_of_a_gate_without_a_lock_alone() {
    let stack = stack("beside-question", &App::idle().migrating("SELECT 1"));
    let holder = hold_the_revision(&stack);
    let ran = thread::scope(|scope| {
        let up = scope.spawn(|| stack.try_up());
        let asking = "datname = 'app' AND wait_event_type = 'Lock'";
        wait_until("the gate's question waits", SOON, || {
            match sessions(&stack, asking).as_str() {
                "" => Err(stack.logs(GATE)),
                _ => Ok(()),
            }
        });
        let asked = sessions(&stack, asking);
        restart_sidecar(&stack);
        assert_eq!(sessions(&stack, asking), asked, "the gate's question");
        drop(holder);
        up.join().expect("up")
    });
    assert_eq!(ran.code, 0, "{}", ran.said());
}

#[test]
fn a_question_of_the_gate_that_was_ended_from_outside_is_asked_again() {
    let stack = stack("asked-again", &App::idle().migrating("SELECT 1"));
    let holder = hold_the_revision(&stack);
    let ran = thread::scope(|scope| {
        let up = scope.spawn(|| stack.try_up());
        wait_until("the gate's question is ended", SOON, || {
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE {OF_THE_GATE} AND datname = 'app' AND wait_event_type = 'Lock'"
            );
            match stack.psql("postgres", &end).as_str() {
                "t" => Ok(()),
                other => Err(other.to_owned()),
            }
        });
        drop(holder);
        up.join().expect("up")
    });
    assert_eq!(ran.code, 0, "{}", ran.said());
}

/// Gate, application and a sidecar that backs nothing up by itself: its dumps would wait for the locks of these tests.
fn stack(test: &str, app: &App) -> Stack {
    let stack = with_gate(Stack::builder(test))
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_SCHEDULE", "0 4 1 1 *"))
        .service("app", &app.yaml())
        .write();
    stack.up_database(&[]);
    stack
}

/// What the gate asks for before it has the lock waits for the end of this session.
fn hold_the_revision(stack: &Stack) -> HeldSession {
    let table = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)";
    drop(stack.psql("app", table));
    let mut holder = stack.session("app");
    drop(holder.say("BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE;"));
    holder
}

/// The gate's sessions, one process id a line.
fn sessions(stack: &Stack, condition: &str) -> String {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE {OF_THE_GATE} AND {condition} ORDER BY pid"
    );
    stack.psql("postgres", &sql)
}

/// Restarts the sidecar and waits until it has tidied up and runs.
fn restart_sidecar(stack: &Stack) {
    let begun = |stack: &Stack| stack.logs(SIDECAR).matches("\"stackwarden runs\"").count();
    wait_until("the sidecar runs", SOON, || match begun(stack) {
        0 => Err(stack.logs(SIDECAR)),
        _ => Ok(()),
    });
    let before = begun(stack);
    drop(docker(&["restart", "-t", "5", &stack.container(SIDECAR)]).ok());
    wait_until("the sidecar runs again", SOON, || {
        if begun(stack) > before {
            Ok(())
        } else {
            Err(stack.logs(SIDECAR))
        }
    });
}
