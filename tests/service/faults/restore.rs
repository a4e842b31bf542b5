//! Faults in each step of a restore: whatever goes wrong, the live database is there, old or new, and the next restore
//! succeeds.

use super::stage::{FAIL, FILL, HOLD, Stage};
use crate::harness::{Background, HeldSession, SIDECAR, SOON, catch, wait_until};

const FILL_SPACE: &str = "dd if=/dev/zero of=/space/fill bs=64k 2>/dev/null || :";
const LATE: &str = "the restore was not done after 25s and was ended";
const SILENT: &str = "took no byte for 6s and was given up";
const UNSAFE: &str = "no backup of app could be taken first, so nothing was changed";

/// The program at each step of a restore, and how to know its call from others.
fn at(step: &str, action: &str) -> (&'static str, String) {
    let (program, given, pattern) = match step {
        "refusal" => ("psql", "$PGAPPNAME", "*/restore-*"),
        "safety backup" => ("pg_dump", "$*", "*--snapshot=*"),
        "copy" => ("pg_restore", "$*", "*--exit-on-error*"),
        "comparison" => ("pg_dump", "$*", "*stackwarden_copy_*"),
        other => panic!("no program is at {other}"),
    };
    (
        program,
        format!("case \"{given}\" in {pattern}) {action};; esac"),
    )
}

/// A stage, and the backup that is restored.
fn begin(test: &str) -> (Stage, String) {
    let stage = Stage::restoring(test);
    let id = stage.complete().pop().expect("a backup");
    (stage, id)
}

fn databases(stage: &Stage) -> String {
    let sql =
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    stage.stack.psql("postgres", sql)
}

/// The application's database is whole and can be used.
#[track_caller]
fn is_whole(stage: &Stage, case: &str) {
    let rows = stage.stack.psql("app", "SELECT count(*) FROM noise");
    assert_eq!(rows, "500", "{case}");
}

fn swap(id: &str) -> [&str; 4] {
    ["restore", id, "--swap", "--yes"]
}

#[track_caller]
fn assert_fails(stage: &Stage, id: &str, case: &str, sentence: &str) {
    let ran = stage.stack.stackwarden(&swap(id));
    assert_eq!(ran.code, 1, "{case}: {}", ran.said());
    assert!(ran.said().contains(sentence), "{case}: {}", ran.said());
}

/// Nothing of it is left, and the next one succeeds.
#[track_caller]
fn heals(stage: &Stage, id: &str, case: &str) {
    stage.disarm();
    wait_until(
        &format!("{case}: nothing is left"),
        SOON,
        || match databases(stage).as_str() {
            "app postgres" => Ok(()),
            other => Err(other.to_owned()),
        },
    );
    is_whole(stage, case);
    assert_eq!(stage.halves(), [""; 0], "{case}");
    let ran = stage.stack.stackwarden(&swap(id));
    assert_eq!(ran.code, 0, "{case}: {}", ran.said());
    is_whole(stage, case);
    put_away(stage, id, case);
    eprintln!("{case}: the next restore succeeded");
}

/// What a swap kept, and the backups that were taken before one.
#[track_caller]
fn put_away(stage: &Stage, id: &str, case: &str) {
    let dropped = stage.stack.stackwarden(&["restore", "--drop", "--yes"]);
    assert_eq!(dropped.code, 0, "{case}: {}", dropped.said());
    assert_eq!(databases(stage), "app postgres", "{case}");
    for other in stage.complete().iter().filter(|it| *it != id) {
        stage.remove(other);
    }
}

#[test]
fn a_step_of_a_restore_that_fails_hangs_or_fills_the_disk_leaves_the_live_database_and_the_next_succeeds()
 {
    let (stage, id) = begin("faults-restore");
    for (case, action, sentence) in [
        ("refusal: hang", HOLD, LATE),
        ("safety backup: error", FAIL, UNSAFE),
        ("safety backup: hang", HOLD, UNSAFE),
        ("safety backup: disk full", FILL, UNSAFE),
        ("copy: hang", HOLD, SILENT),
        ("copy: disk full", FILL_SPACE, "No space left on device"),
        ("comparison: hang", HOLD, LATE),
    ] {
        let step = case.split(':').next().expect("a step");
        let before = stage.complete();
        let (program, script) = at(step, action);
        stage.arm(program, &script);
        assert_fails(&stage, &id, case, sentence);
        if matches!(step, "refusal" | "safety backup") {
            assert_eq!(stage.complete(), before, "{case}");
        }
        heals(&stage, &id, case);
    }
}

/// A swap that waits for whoever holds the database's name.
fn before_the_exchange(stage: &Stage, id: &str) -> (HeldSession, Background) {
    let mut holder = stage.stack.session("postgres");
    drop(holder.say("BEGIN; COMMENT ON DATABASE app IS 'busy';"));
    let swapping = stage.stack.stackwarden_aside(&swap(id));
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'object' AND mode = 'AccessExclusiveLock'";
    catch("the rename waits", SOON, || {
        match stage.stack.psql("postgres", waiting).as_str() {
            "0" => Err("it does not".to_owned()),
            _ => Ok(()),
        }
    });
    (holder, swapping)
}

#[test]
fn a_sidecar_stopped_or_killed_in_any_step_of_a_restore_leaves_the_live_database_and_the_next_succeeds()
 {
    let (stage, id) = begin("faults-unrestored");
    for step in ["refusal", "safety backup", "comparison"] {
        for ending in ["cancel", "kill -9"] {
            ended_in(&stage, &id, step, ending);
        }
    }
    stopped_in_the_exchange(&stage, &id);
}

#[track_caller]
fn ended_in(stage: &Stage, id: &str, step: &str, ending: &str) {
    let case = format!("{step}: {ending}");
    let before = stage.complete();
    let (program, script) = at(step, HOLD);
    stage.arm(program, &script);
    let restoring = stage.stack.stackwarden_aside(&swap(id));
    stage.wait_until_held();
    if ending == "cancel" {
        stage.stop_sidecar();
        // After a `down` nobody comes to remove it.
        assert_eq!(databases(stage), "app postgres", "{case}");
        assert_eq!(stage.halves(), [""; 0], "{case}");
    } else {
        stage.stack.kill(SIDECAR);
    }
    assert_ne!(restoring.end().code, 0, "{case}");
    is_whole(stage, &case);
    if step != "comparison" {
        assert_eq!(databases(stage), "app postgres", "{case}");
        assert_eq!(stage.complete(), before, "{case}");
    } else if ending == "kill -9" {
        assert!(databases(stage).contains("stackwarden_copy_"), "{case}");
    }
    stage.disarm();
    stage.stack.start(SIDECAR);
    stage.wait_until_idle();
    heals(stage, id, &case);
}

/// Told to stop, it says what became of it: one of both is there.
fn stopped_in_the_exchange(stage: &Stage, id: &str) {
    let case = "exchange: cancel";
    let (mut holder, swapping) = before_the_exchange(stage, id);
    let signals = || stage.stack.logs(SIDECAR).matches("SIGTERM").count();
    let before = signals();
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| stage.stop_sidecar());
        wait_until("it is told to stop", SOON, || match signals() {
            count if count > before => Ok(()),
            count => Err(count.to_string()),
        });
        drop(holder.say("ROLLBACK;"));
        stopping.join().expect("it stops in time");
    });
    drop(swapping.end());
    is_whole(stage, case);
    let all = databases(stage);
    eprintln!("{case}: {all}");
    assert!(!all.contains("stackwarden_copy_"), "{case}: {all}");
    stage.stack.start(SIDECAR);
    stage.wait_until_idle();
    if all != "app postgres" {
        put_away(stage, id, case);
    }
    heals(stage, id, case);
}
