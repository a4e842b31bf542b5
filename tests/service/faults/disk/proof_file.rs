//! The file of a proof.

use super::{
    before_the_manifest, folder, left_and_swept, manifest_of, proves, stops, verify,
    wait_until_killed,
};
use crate::faults::stage::Stage;
use crate::faults::trap::{Fate, Trap};
use crate::harness::{Background, SOON, wait_until};

/// Each fault of it.
pub(super) fn proof_file(stage: &Stage) {
    let id = stage.complete().pop().expect("a backup");
    let proofs = || proofs_of(stage, &id);
    for calls in ["/^rename", "fsync"] {
        let (case, before) = (format!("proof file: error at {calls}"), proofs());
        let trap = trap_proof(stage, calls, Fate::Fails);
        let ran = verify(stage, &id);
        assert_is_proof(&trap, &case);
        drop(trap);
        assert_eq!(ran.code, 1, "{case}: {}", ran.said());
        assert!(ran.said().contains("os error 5"), "{case}: {}", ran.said());
        proof_heals(stage, &id, before, &case);
    }
    let (case, before) = ("proof file: hang", proofs());
    let trap = trap_proof(stage, "/^rename", Fate::Waits);
    let verifying = verify_aside(stage, &id);
    trap.wait_until_met();
    assert_is_proof(&trap, case);
    assert_eq!(proofs(), before, "{case}");
    drop(trap);
    assert_eq!(verifying.end().code, 0, "{case}");
    assert_eq!(proofs(), before + 1, "{case}");
    proof_heals(stage, &id, before + 1, case);
    for (case, fate) in [
        ("proof file: cancel", Fate::Waits),
        ("proof file: kill -9", Fate::Kills),
    ] {
        let before = proofs();
        let trap = trap_proof(stage, "/^rename", fate);
        let verifying = verify_aside(stage, &id);
        if fate == Fate::Waits {
            trap.wait_until_met();
            assert_is_proof(&trap, case);
            stops(stage, trap, case);
        } else {
            wait_until_killed(stage, case);
            assert_is_proof(&trap, case);
        }
        assert_ne!(verifying.end().code, 0, "{case}");
        assert_eq!(proofs(), before, "{case}");
        left_and_swept(stage, &stage.complete(), case);
        proof_heals(stage, &id, before, case);
    }
}

/// A backup and a proof at once, and the sidecar has two threads for all that is asked of it.
pub(super) fn jobs_that_wait_for_the_disk_hold_up_nobody_else(stage: &Stage) {
    let id = stage.complete().pop().expect("a backup");
    let (backup, new) = before_the_manifest(stage);
    let [partial, _] = manifest_of(stage, &new);
    // The proof's name has the second in it; its folder is synced behind it.
    let paths = [partial, folder(stage)];
    let trap = Trap::set(&stage.stack, "fsync", Fate::Waits, &paths);
    let verifying = verify_aside(stage, &id);
    stage.disarm();
    for name in [".json.partial", "/postgres/app>"] {
        wait_until(&format!("{name} waits"), SOON, || {
            let met = trap.met();
            if met.contains(name) { Ok(()) } else { Err(met) }
        });
    }
    drop(stage.stack.stackwarden(&["status"]).ended_with(0));
    drop(trap);
    drop(verifying.end().ended_with(0));
    drop(backup.end().ended_with(0));
    stage.remove(&new);
}

fn verify_aside(stage: &Stage, id: &str) -> Background {
    let words = ["verify", id, "--level", "archive"];
    stage.stack.stackwarden_aside(&words)
}

/// Its name has the second in it, so any file will do; that it was the proof's is looked for afterwards.
fn trap_proof(stage: &Stage, calls: &str, fate: Fate) -> Trap {
    Trap::set(&stage.stack, calls, fate, &[])
}

#[track_caller]
fn assert_is_proof(trap: &Trap, case: &str) {
    let met = trap.met();
    assert!(met.contains(".proof-disk-"), "{case}: {met}");
}

fn proofs_of(stage: &Stage, id: &str) -> usize {
    let start = format!("{id}.proof-disk-");
    let files = stage.files().into_iter();
    let files = files.filter(|name| name.starts_with(&start) && !name.ends_with(".partial"));
    files.count()
}

/// Nothing half is left, and the next proof is written.
#[track_caller]
fn proof_heals(stage: &Stage, id: &str, before: usize, case: &str) {
    assert_eq!(proofs_of(stage, id), before, "{case}");
    assert_eq!(stage.halves(), [""; 0], "{case}");
    proves(stage, id, case);
    assert_eq!(proofs_of(stage, id), before + 1, "{case}");
    assert_eq!(stage.halves(), [""; 0], "{case}");
    eprintln!("{case}: the next proof was written");
}
