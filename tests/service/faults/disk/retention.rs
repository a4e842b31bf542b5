//! What retention removes.

use super::{
    folder, left_and_swept, lists, manifest_of, proves, stays_down, stops, wait_until_killed,
};
use crate::faults::stage::Stage;
use crate::faults::trap::{Fate, Trap};
use crate::harness::SIDECAR;

/// Each backup condemns the one before it.
pub(super) fn retention(stage: &mut Stage) {
    stage
        .stack
        .change(|it| it.sidecar(|it| it.environment("STACKWARDEN_BACKUP_KEEP", "within=1s")));
    stage.stack.up();
    stage.wait_until_idle();
    stays_down(stage);
    drop(stage.back_up().ended_with(0));
    assert_eq!(stage.complete().len(), 1);
    a_manifest_that_cannot_be_removed_stays_a_backup(stage);
    for (case, fate) in [
        ("retention: error", Fate::Fails),
        ("retention: hang", Fate::Waits),
    ] {
        bytes_that_cannot_be_removed_are_no_backup(stage, case, fate);
    }
    for (case, ending) in [
        ("retention: cancel", ".dump"),
        ("retention: kill -9", ".dump"),
        ("retention: kill -9", ".proof"),
    ] {
        a_sidecar_that_ends_while_it_removes_is_healed(stage, case, ending);
    }
}

fn only(stage: &Stage) -> String {
    let mut complete = stage.complete();
    assert_eq!(complete.len(), 1, "{complete:?}");
    complete.remove(0)
}

fn a_manifest_that_cannot_be_removed_stays_a_backup(stage: &Stage) {
    let case = "retention: error at the manifest";
    let old = only(stage);
    let trap = Trap::set(
        &stage.stack,
        "/^unlink",
        Fate::Fails,
        &manifest_of(stage, &old),
    );
    let ran = stage.back_up();
    drop(trap);
    drop(ran.ended_with(0));
    is_told(stage, &old, case);
    let both = stage.complete();
    assert_eq!(both.first(), Some(&old), "{case}");
    assert_eq!(both.len(), 2, "{case}");
    lists(stage, &both, case);
    proves(stage, &old, case);
    drop(stage.back_up().ended_with(0));
    lists(stage, &[only(stage)], case);
    assert_eq!(stage.halves(), [""; 0], "{case}");
}

/// The new backup is none the worse for it; the log and `status` name the old one.
#[track_caller]
fn is_told(stage: &Stage, id: &str, case: &str) {
    let logs = stage.stack.logs(SIDECAR);
    let mut lines = logs.lines();
    let told = lines.any(|line| line.contains("backup could not be removed") && line.contains(id));
    assert!(told, "{case}: {logs}");
    let status = stage.stack.stackwarden(&["status"]).ok();
    assert!(status.contains(id), "{case}: {status}");
}

fn bytes_that_cannot_be_removed_are_no_backup(stage: &Stage, case: &str, fate: Fate) {
    let old = only(stage);
    let dump = format!("{}/{old}.dump", folder(stage));
    let trap = Trap::set(&stage.stack, "/^unlink", fate, &[dump]);
    let backup = stage.stack.stackwarden_aside(&["backup", "postgres/app"]);
    trap.wait_until_met();
    if fate == Fate::Waits {
        assert_eq!(stage.halves(), [format!("{old}.dump")], "{case}");
        // It stands while the disk does, and what it removed already is none all the while.
        assert_ne!(only(stage), old, "{case}");
        drop(trap);
        drop(backup.end().ended_with(0));
    } else {
        let ran = backup.end();
        drop(trap);
        drop(ran.ended_with(0));
        is_told(stage, &old, case);
        assert_eq!(stage.halves(), [format!("{old}.dump")], "{case}");
        lists(stage, &[only(stage)], case);
        stage.stack.stop(SIDECAR);
        left_and_swept(stage, &[only(stage)], case);
    }
    lists(stage, &[only(stage)], case);
    drop(stage.back_up().ended_with(0));
    lists(stage, &[only(stage)], case);
    assert_eq!(stage.halves(), [""; 0], "{case}");
}

fn a_sidecar_that_ends_while_it_removes_is_healed(stage: &Stage, case: &str, ending: &str) {
    let old = only(stage);
    proves(stage, &old, case);
    let files = stage.files();
    let name = files
        .iter()
        .find(|name| name.starts_with(&format!("{old}{ending}")));
    let path = format!("{}/{}", folder(stage), name.expect("a file"));
    let fate = if case.ends_with("cancel") {
        Fate::Waits
    } else {
        Fate::Kills
    };
    let trap = Trap::set(&stage.stack, "/^unlink", fate, &[path]);
    let backup = stage.stack.stackwarden_aside(&["backup", "postgres/app"]);
    if fate == Fate::Waits {
        trap.wait_until_met();
        stops(stage, trap, case);
    } else {
        wait_until_killed(stage, case);
    }
    drop(backup.end());
    let new = only(stage);
    assert_ne!(new, old, "{case}");
    left_and_swept(stage, std::slice::from_ref(&new), case);
    drop(stage.back_up().ended_with(0));
    lists(stage, &[only(stage)], case);
    assert_eq!(stage.halves(), [""; 0], "{case}");
    eprintln!("{case}: the next run succeeded");
}
