//! A disk that refuses, stands still or goes down with the sidecar: at a manifest, in retention, and at a proof's file.

mod proof_file;
mod retention;

use std::fs;
use std::time::Duration;

use super::stage::{HOLD, Stage};
use super::trap::{Fate, Trap};
use crate::harness::{Background, Ran, SIDECAR, SOON, catch, docker, wait_until};

/// Docker's own, after which it kills.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the sidecar sees the backups of the one database.
fn folder(stage: &Stage) -> String {
    format!("/backups/{}/postgres/app", stage.stack.project())
}

/// What a killed sidecar left is looked at before Docker starts it again.
fn stays_down(stage: &Stage) {
    let container = stage.stack.container(SIDECAR);
    drop(docker(&["update", "--restart", "no", &container]).ok());
}

#[test]
fn a_disk_that_fails_stands_still_or_ends_the_sidecar_leaves_no_half_of_a_backup_or_of_a_proof() {
    let mut stage = Stage::small("faults-disk");
    stays_down(&stage);
    for calls in ["write", "fsync", "/^rename"] {
        a_manifest_that_the_disk_refuses_is_none(&stage, calls);
    }
    a_name_that_may_not_last_is_said_and_stays(&stage);
    a_manifest_that_waits_is_not_listed_until_it_stands(&stage);
    proof_file::jobs_that_wait_for_the_disk_hold_up_nobody_else(&stage);
    a_sidecar_told_to_stop_does_not_wait_for_the_disk(&stage);
    for calls in ["fsync", "/^rename"] {
        a_kill_at_a_manifest_leaves_no_backup(&stage, calls);
    }
    proof_file::proof_file(&stage);
    retention::retention(&mut stage);
}

/// A backup that is stopped before its manifest, and its id.
fn before_the_manifest(stage: &Stage) -> (Background, String) {
    let before = stage.complete();
    stage.arm("pg_dumpall", HOLD);
    let backup = stage.stack.stackwarden_aside(&["backup", "postgres/app"]);
    stage.wait_until_held();
    let files = stage.files();
    let ids = files.iter().filter_map(|name| name.strip_suffix(".dump"));
    let id = ids.map(str::to_owned).find(|id| !before.contains(id));
    (backup, id.expect("a dump without manifest"))
}

fn manifest_of(stage: &Stage, id: &str) -> [String; 2] {
    let name = format!("{}/{id}.json", folder(stage));
    [format!("{name}.partial"), name]
}

/// What is listed is what the files say; so the sidecar answers as well.
#[track_caller]
fn lists(stage: &Stage, ids: &[String], case: &str) {
    wait_until(&format!("{case}: listed as it is"), SOON, || {
        let listed = stage.stack.backups_of("app");
        let listed: Vec<&str> = listed.iter().filter_map(|it| it["id"].as_str()).collect();
        if listed == ids {
            Ok(())
        } else {
            Err(format!("{listed:?} instead of {ids:?}"))
        }
    });
}

/// The next run succeeds, and leaves nothing but its backup.
#[track_caller]
fn heals(stage: &Stage, case: &str) {
    assert_eq!(stage.halves(), [""; 0], "{case}");
    let before = stage.complete();
    let ran = stage.back_up();
    assert_eq!(ran.code, 0, "{case}: {}", ran.said());
    let after = stage.complete();
    assert_eq!(after.len(), before.len() + 1, "{case}");
    lists(stage, &after, case);
    assert_eq!(stage.halves(), [""; 0], "{case}");
    stage.remove(after.last().expect("a backup"));
    eprintln!("{case}: the next run succeeded");
}

fn a_manifest_that_the_disk_refuses_is_none(stage: &Stage, calls: &str) {
    let case = format!("manifest: error at {calls}");
    let before = stage.complete();
    let (backup, id) = before_the_manifest(stage);
    let trap = Trap::set(&stage.stack, calls, Fate::Fails, &manifest_of(stage, &id));
    stage.disarm();
    let ran = backup.end();
    assert!(trap.met().contains("(INJECTED)"), "{case}: {}", trap.met());
    drop(trap);
    // The roles were backed up before it.
    assert_eq!(ran.code, 3, "{case}: {}", ran.said());
    assert!(ran.said().contains("os error 5"), "{case}: {}", ran.said());
    assert_eq!(stage.complete(), before, "{case}");
    lists(stage, &before, &case);
    heals(stage, &case);
}

/// The manifest has its name and the disk does not say that it keeps it: a failure that leaves a whole backup.
fn a_name_that_may_not_last_is_said_and_stays(stage: &Stage) {
    let case = "manifest: error at the folder's fsync";
    let before = stage.complete();
    let (backup, id) = before_the_manifest(stage);
    let trap = Trap::set(&stage.stack, "fsync", Fate::Fails, &[folder(stage)]);
    stage.disarm();
    let ran = backup.end();
    drop(trap);
    assert_eq!(ran.code, 3, "{case}: {}", ran.said());
    assert!(ran.said().contains("os error 5"), "{case}: {}", ran.said());
    let after = stage.complete();
    assert_eq!(after.len(), before.len() + 1, "{case}");
    lists(stage, &after, case);
    proves(stage, &id, case);
    stage.remove(&id);
    heals(stage, case);
}

#[track_caller]
fn proves(stage: &Stage, id: &str, case: &str) {
    let ran = verify(stage, id);
    assert_eq!(ran.code, 0, "{case}: {}", ran.said());
}

fn verify(stage: &Stage, id: &str) -> Ran {
    stage
        .stack
        .stackwarden(&["verify", id, "--level", "archive"])
}

fn a_manifest_that_waits_is_not_listed_until_it_stands(stage: &Stage) {
    let case = "manifest: hang";
    let before = stage.complete();
    let (backup, id) = before_the_manifest(stage);
    let trap = Trap::set(&stage.stack, "fsync", Fate::Waits, &manifest_of(stage, &id));
    stage.disarm();
    trap.wait_until_met();
    let listed = stage.stack.backups_of("app");
    assert!(listed.iter().all(|it| it["id"] != *id), "{listed:?}");
    assert_eq!(stage.complete(), before, "{case}");
    assert_eq!(
        stage.halves(),
        [format!("{id}.dump"), format!("{id}.json.partial")]
    );
    drop(trap);
    let ran = backup.end();
    assert_eq!(ran.code, 0, "{case}: {}", ran.said());
    let after = stage.complete();
    assert_eq!(after.last(), Some(&id), "{case}");
    lists(stage, &after, case);
    stage.remove(&id);
    heals(stage, case);
}

/// Ends within Docker's ten seconds, by itself, although the disk still stands still.
#[track_caller]
fn stops(stage: &Stage, trap: Trap, case: &str) {
    let container = stage.stack.container(SIDECAR);
    let process = stage.stack.inspect(SIDECAR, "{{.State.Pid}}");
    let stopping = Background::docker(&["stop", &container]);
    // A traced process is gone for Docker only when its tracer is.
    catch(&format!("{case}: it ends"), PATIENCE, || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        if status.is_empty() || status.contains("State:\tZ") {
            Ok(())
        } else {
            Err(status)
        }
    });
    drop(trap);
    drop(stopping.end().ok());
    let code = stage.stack.inspect(SIDECAR, "{{.State.ExitCode}}");
    assert_eq!(code, "1", "{case}: {}", stage.stack.logs(SIDECAR));
}

fn a_sidecar_told_to_stop_does_not_wait_for_the_disk(stage: &Stage) {
    let case = "manifest: cancel";
    let before = stage.complete();
    let (backup, id) = before_the_manifest(stage);
    let paths = manifest_of(stage, &id);
    let trap = Trap::set(&stage.stack, "/^rename", Fate::Waits, &paths);
    stage.disarm();
    trap.wait_until_met();
    stops(stage, trap, case);
    assert_ne!(backup.end().code, 0, "{case}");
    left_and_swept(stage, &before, case);
    heals(stage, case);
}

/// No backup more than before; what is left of one goes with the next start.
#[track_caller]
fn left_and_swept(stage: &Stage, before: &[String], case: &str) {
    assert_eq!(stage.complete(), before, "{case}");
    eprintln!("{case}: left {:?}", stage.halves());
    assert_ne!(stage.halves(), [""; 0], "{case}: it was too late");
    starts_again(stage);
    wait_until(&format!("{case}: swept"), SOON, || {
        let halves = stage.halves();
        if halves.is_empty() {
            Ok(())
        } else {
            Err(format!("{halves:?}"))
        }
    });
    lists(stage, before, case);
}

fn starts_again(stage: &Stage) {
    stage.stack.start(SIDECAR);
    stage.wait_until_idle();
}

#[track_caller]
fn wait_until_killed(stage: &Stage, case: &str) {
    wait_until(&format!("{case}: it is gone"), SOON, || {
        match stage
            .stack
            .inspect(SIDECAR, "{{.State.Status}} {{.State.ExitCode}}")
            .as_str()
        {
            "exited 137" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
}

fn a_kill_at_a_manifest_leaves_no_backup(stage: &Stage, calls: &str) {
    let case = format!("manifest: kill -9 at {calls}");
    let before = stage.complete();
    let (backup, id) = before_the_manifest(stage);
    let trap = Trap::set(&stage.stack, calls, Fate::Kills, &manifest_of(stage, &id));
    stage.disarm();
    wait_until_killed(stage, &case);
    drop(trap);
    assert_ne!(backup.end().code, 0, "{case}");
    left_and_swept(stage, &before, &case);
    heals(stage, &case);
}
