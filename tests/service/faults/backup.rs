//! Faults in each step of a backup.

use super::stage::{FAIL, FILL, HOLD, Stage};
use std::any::Any;

use crate::harness::{DATABASE, SIDECAR, SOON, wait_until};

/// The advisory lock of the database, as another host's stackwarden would hold it.
const TAKE_LOCK: &str = "SELECT pg_advisory_lock(('x' || substr(encode(sha256('stackwarden:app'), 'hex'), 1, 16))::bit(64)::bigint);";

/// Of pg_dump only what dumps: it is also asked for its version and for what it can compress.
fn dumping(action: &str) -> String {
    format!("case \"$*\" in *--snapshot=*) {action};; esac")
}

/// Of pg_restore only the full decode.
fn decoding(action: &str) -> String {
    format!("case \"$*\" in *\"-f /dev/null\"*) {action};; esac")
}

/// The first part of a dump, then something else, then the rest. The wrapper waits for all it started, since a server's
/// first process restarts everything when an orphan dies by a signal.
fn in_the_middle(action: &str) -> String {
    dumping(&format!(
        "pipe=/tmp/pipe.$$; mkfifo $pipe; $real \"$@\" > $pipe & dump=$!
{{ head -c 300000; {action}; cat; }} < $pipe & reader=$!
trap 'kill $dump $reader 2>/dev/null; wait; exit 143' TERM
wait $reader; wait $dump; code=$?; rm -f $pipe; exit $code"
    ))
}

/// All of a dump but its last bytes, then something else, then those.
fn before_the_end(action: &str) -> String {
    dumping(&format!(
        "$real \"$@\" > /tmp/dump || exit 1; head -c -20000 /tmp/dump; {action}; tail -c 20000 /tmp/dump; rm -f /tmp/dump; exit 0"
    ))
}

/// The programs of each step, held there.
fn held(step: &str) -> (&'static str, String) {
    match step {
        "dump begin" => ("pg_dump", dumping(HOLD)),
        "dump middle" => ("pg_dump", in_the_middle(HOLD)),
        "dump end" => ("pg_dump", dumping(&format!("$real \"$@\"; {HOLD}; exit 0"))),
        "archive check" => ("pg_restore", decoding(HOLD)),
        "roles" => ("pg_dumpall", HOLD.to_owned()),
        other => panic!("no program is at {other}"),
    }
}

#[test]
fn a_step_of_a_backup_that_fails_hangs_or_fills_the_disk_leaves_nothing_and_the_next_run_succeeds()
{
    let stage = Stage::small("faults-backup");
    let fails = |case: &str, program: &str, script: &str, sentence: &str| {
        stage.arm(program, script);
        assert_fails(&stage, case, sentence);
        heals(&stage, case);
    };
    for (case, program, script) in errors() {
        fails(case, program, &script, "injected fault");
    }
    for (case, program, script) in full_disks() {
        fails(case, program, &script, "no space left while writing");
    }
    for step in ["dump begin", "dump middle", "dump end", "archive check"] {
        let (program, script) = held(step);
        fails(
            &format!("{step}: hang"),
            program,
            &script,
            "gave no byte for 6s",
        );
    }
    fails("lock: hang", "psql", HOLD, "no answer");
    a_decode_that_is_slow_is_not_taken_for_dead(&stage);
    the_snapshot_fails_and_hangs(&stage);
    roles_that_cannot_be_read_cost_only_the_roles(&stage);
    a_manifest_that_cannot_be_written_is_no_backup(&stage);
    a_proof_that_does_not_fit_is_none(&stage);
}

fn errors() -> [(&'static str, &'static str, String); 5] {
    let middle = format!("$real \"$@\" | head -c 300000; {FAIL}");
    let end = format!("$real \"$@\"; {FAIL}");
    [
        ("lock: error", "psql", FAIL.to_owned()),
        ("dump begin: error", "pg_dump", dumping(FAIL)),
        ("dump middle: error", "pg_dump", dumping(&middle)),
        ("dump end: error", "pg_dump", dumping(&end)),
        ("archive check: error", "pg_restore", decoding(FAIL)),
    ]
}

fn full_disks() -> [(&'static str, &'static str, String); 4] {
    let late = "roles: disk full, manifest: disk full";
    [
        ("dump begin: disk full", "pg_dump", dumping(FILL)),
        ("dump middle: disk full", "pg_dump", in_the_middle(FILL)),
        ("dump end: disk full", "pg_dump", before_the_end(FILL)),
        (late, "pg_dumpall", FILL.to_owned()),
    ]
}

#[track_caller]
fn assert_fails(stage: &Stage, case: &str, sentence: &str) {
    let before = stage.complete();
    let ran = stage.back_up();
    assert_eq!(ran.code, 1, "{case}: {}", ran.said());
    assert!(
        ran.said().contains(sentence),
        "{case}: {sentence}: {}",
        ran.said()
    );
    assert_eq!(stage.complete(), before, "{case}");
}

/// Without the fault the next run succeeds, and no half of the failed one is left.
#[track_caller]
fn heals(stage: &Stage, case: &str) {
    stage.disarm();
    stage.no_dump_is_left();
    assert_eq!(stage.halves(), [""; 0], "{case}");
    let before = stage.complete();
    let ran = stage.back_up();
    assert_eq!(ran.code, 0, "{case}: {}", ran.said());
    let after = stage.complete();
    assert_eq!(after.len(), before.len() + 1, "{case}");
    let listed = stage.stack.backups_of("app").len();
    assert_eq!(listed, after.len(), "{case}");
    stage.remove(after.last().expect("a backup"));
    eprintln!("{case}: nothing was left, the next run succeeded");
}

/// It prints nothing for longer than the silence that is allowed, and reads all the while.
fn a_decode_that_is_slow_is_not_taken_for_dead(stage: &Stage) {
    let slow = "while [ $(head -c 250000 | wc -c) -gt 0 ]; do sleep 1; done; exit 0";
    stage.arm("pg_restore", &decoding(slow));
    let begun = std::time::Instant::now();
    let ran = stage.back_up();
    assert_eq!(ran.code, 0, "{}", ran.said());
    assert!(
        begun.elapsed().as_secs() > 7,
        "it was slower than the silence: {:?}",
        begun.elapsed()
    );
    heals(stage, "a slow decode");
}

fn the_snapshot_fails_and_hangs(stage: &Stage) {
    stage
        .stack
        .psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS false");
    assert_fails(stage, "snapshot: error", "accepting connections");
    stage
        .stack
        .psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS true");
    heals(stage, "snapshot: error");
    let mut holder = stage.stack.session("app");
    holder.say("BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE;");
    assert_fails(stage, "snapshot: hang", "no answer from the server within");
    drop(holder);
    heals(stage, "snapshot: hang");
}

fn roles_that_cannot_be_read_cost_only_the_roles(stage: &Stage) {
    for (case, script, sentence) in [
        ("roles: error", FAIL, "pg_dumpall failed with code 1"),
        ("roles: hang", HOLD, "did not end within 6s"),
    ] {
        stage.arm("pg_dumpall", script);
        let before = stage.complete();
        let ran = stage.back_up();
        assert_eq!(ran.code, 3, "{case}: {}", ran.said());
        assert!(ran.said().contains(sentence), "{case}: {}", ran.said());
        let after = stage.complete();
        assert_eq!(after.len(), before.len() + 1, "{case}");
        stage.remove(after.last().expect("a backup"));
        heals(stage, case);
    }
}

fn a_manifest_that_cannot_be_written_is_no_backup(stage: &Stage) {
    let folder = format!("/stored/{}/postgres/app", stage.stack.project());
    // The dump is complete and checked; somebody else's file stands where its manifest is to be written.
    let plant = format!(
        "for f in {folder}/*.dump; do [ -e ${{f%.dump}}.json ] || touch ${{f%.dump}}.json.partial; done"
    );
    stage.arm("pg_dumpall", &plant);
    let before = stage.complete();
    let ran = stage.back_up();
    assert_eq!(ran.code, 3, "manifest: error: {}", ran.said());
    assert!(ran.said().contains("File exists"), "{}", ran.said());
    assert_eq!(stage.complete(), before, "manifest: error");
    let halves = stage.halves();
    assert!(
        halves.len() == 1 && halves[0].ends_with(".json.partial"),
        "only what was planted: {halves:?}"
    );
    let remove = format!("rm {folder}/*.json.partial");
    drop(stage.stack.exec(DATABASE, &["sh", "-c", &remove]).ok());
    heals(stage, "manifest: error");
}

fn a_proof_that_does_not_fit_is_none(stage: &Stage) {
    let id = stage.complete().pop().expect("a backup");
    drop(stage.stack.exec(DATABASE, &["sh", "-c", FILL]).ok());
    let ran = stage
        .stack
        .stackwarden(&["verify", &id, "--level", "archive"]);
    assert_eq!(ran.code, 1, "proof file: disk full: {}", ran.said());
    assert!(
        ran.said().contains("no space left while writing"),
        "{}",
        ran.said()
    );
    assert_eq!(stage.halves(), [""; 0], "proof file: disk full");
    stage.disarm();
    drop(
        stage
            .stack
            .stackwarden(&["verify", &id, "--level", "archive"])
            .ok(),
    );
}

#[test]
fn a_sidecar_stopped_or_killed_in_any_step_of_a_backup_leaves_nothing_that_the_next_start_does_not_clean()
 {
    let stage = Stage::small("faults-ended");
    for step in [
        "lock",
        "snapshot",
        "dump begin",
        "dump middle",
        "dump end",
        "archive check",
        "roles",
    ] {
        for ending in ["cancel", "kill -9"] {
            ended_in(&stage, step, ending);
        }
    }
}

#[track_caller]
fn ended_in(stage: &Stage, step: &str, ending: &str) {
    let case = format!("{step}: {ending}");
    let before = stage.complete();
    let holder = hold(stage, step);
    let backup = stage.stack.stackwarden_aside(&["backup", "postgres/app"]);
    if holder.is_some() {
        wait_until_locked(stage, step);
    } else {
        stage.wait_until_held();
    }
    match ending {
        "cancel" => stage.stop_sidecar(),
        _ => stage.stack.kill(SIDECAR),
    }
    assert_ne!(backup.end().code, 0, "{case}");
    assert_eq!(stage.complete(), before, "{case}");
    if ending == "cancel" {
        assert_eq!(
            stage.halves(),
            [""; 0],
            "{case}: who is asked to stop cleans first"
        );
    }
    drop(holder);
    stage.disarm();
    stage.stack.start(SIDECAR);
    stage.wait_until_idle();
    heals(stage, &case);
}

/// A session that holds the step up, where no program does.
fn hold(stage: &Stage, step: &str) -> Option<Box<dyn Any>> {
    let (database, sql) = match step {
        "lock" => ("postgres", TAKE_LOCK),
        "snapshot" => (
            "app",
            "BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE;",
        ),
        _ => {
            let (program, script) = held(step);
            stage.arm(program, &script);
            return None;
        }
    };
    let mut session = stage.stack.session(database);
    session.say(sql);
    Some(Box::new(session))
}

/// A job of ours waits for what the test holds.
#[track_caller]
fn wait_until_locked(stage: &Stage, step: &str) {
    // The advisory lock is polled, never waited for: there the job is seen by its session.
    let sql = match step {
        "lock" => {
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stackwarden/%/backup-%' AND query LIKE '%pg_locks%'"
        }
        _ => {
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.application_name LIKE 'stackwarden/%'"
        }
    };
    wait_until(&format!("the job waits at {step}"), SOON, || {
        let asked = stage.stack.try_psql("postgres", sql);
        if asked.stdout.trim() == "0" || asked.code != 0 {
            Err(asked.said())
        } else {
            Ok(())
        }
    });
}
