//! A proof that stands still is ended after STACKWARDEN_DEADLINE; a scratch server that cannot be removed is by the next one.

use super::engine::{Line, Removal};
use super::proof::{arm, at, heals, in_folder, name, proven, verify};
use super::stage::{HOLD_SCRATCH, Stage};
use crate::harness::{Artefact, Background, SIDECAR, SOON, wait_until};

const LATE: &str = "the proof was not done after 20s and was ended";
const LEFT: &str = "the scratch server could not be removed; the next proof tries again";

#[test]
fn a_step_of_a_proof_that_hangs_is_ended_in_time_and_the_next_proof_succeeds() {
    let (stage, artefact) = proven(Stage::proving_with("faults-late", |it| {
        it.environment("STACKWARDEN_DEADLINE", "20s")
    }));
    for step in ["read back", "roles", "restore", "compare"] {
        let case = format!("{step}: hang");
        let before = artefact.proofs().len();
        let stored = name(&artefact.stored);
        if step == "read back" {
            // A pipe that nobody writes to: the reader waits as it does for a network folder that is gone.
            in_folder(&stage, &format!("mv {stored} aside && mkfifo {stored}"));
        } else {
            let (program, script) = at(step, HOLD_SCRATCH);
            arm(&artefact, (program, &script));
        }
        let ran = verify(&stage, &artefact);
        assert_eq!(ran.code, 1, "{case}: {}", ran.said());
        assert!(ran.said().contains(LATE), "{case}: {}", ran.said());
        assert_eq!(artefact.proofs().len(), before, "{case}");
        if step == "read back" {
            in_folder(&stage, &format!("rm {stored} && mv aside {stored}"));
        }
        heals(&stage, &artefact, &case);
    }
}

#[test]
fn a_scratch_server_that_is_not_removed_costs_no_proof_and_goes_with_the_next_one() {
    let (stage, line) = Stage::proving_behind_a_line("faults-removal");
    let (stage, artefact) = proven(stage);
    refused(&stage, &artefact, &line);
    unanswered(&stage, &artefact, &line);
    stopped(&stage, &artefact, &line);
    killed(&stage, &artefact, &line);
}

/// The proof holds, and the scratch server is there until the next one.
fn refused(stage: &Stage, artefact: &Artefact, line: &Line) {
    let (case, before) = ("removal: error", artefact.proofs().len());
    line.plan(Removal::Refused);
    drop(verify(stage, artefact).ok());
    line.plan(Removal::Sound);
    assert_eq!(stage.stack.made_containers().len(), 1, "{case}");
    assert_eq!(artefact.proofs().len(), before + 1, "{case}");
    let logs = stage.stack.logs(SIDECAR);
    assert!(
        logs.contains(LEFT) && logs.contains("injected fault"),
        "{logs}"
    );
    drop(verify(stage, artefact).ok());
    heals(stage, artefact, case);
}

/// The engine's word is waited for a minute; whatever it did, the proof holds.
fn unanswered(stage: &Stage, artefact: &Artefact, line: &Line) {
    let (case, before) = ("removal: hang", artefact.proofs().len());
    let told = stage.stack.logs(SIDECAR).matches(LEFT).count();
    line.plan(Removal::Unanswered);
    drop(verify(stage, artefact).ok());
    line.plan(Removal::Sound);
    assert_eq!(artefact.proofs().len(), before + 1, "{case}");
    let logs = stage.stack.logs(SIDECAR);
    assert_eq!(logs.matches(LEFT).count(), told + 1, "{logs}");
    heals(stage, artefact, case);
}

fn begin_and_hold(stage: &Stage, artefact: &Artefact, line: &Line) -> Background {
    line.plan(Removal::Held);
    let words = ["verify", &artefact.id, "--level", "content"];
    let verifying = stage.stack.stackwarden_aside(&words);
    line.wait_until_met();
    assert_eq!(stage.stack.made_containers().len(), 1);
    verifying
}

/// What is asked of the engine is waited for.
fn stopped(stage: &Stage, artefact: &Artefact, line: &Line) {
    let case = "removal: cancel";
    let verifying = begin_and_hold(stage, artefact, line);
    let signals = stage.stack.logs(SIDECAR).matches("SIGTERM").count();
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| stage.stop_sidecar());
        wait_until("it is told to stop", SOON, || {
            let logs = stage.stack.logs(SIDECAR);
            if logs.matches("SIGTERM").count() > signals {
                Ok(())
            } else {
                Err(logs)
            }
        });
        assert_eq!(stage.stack.made_containers().len(), 1, "{case}");
        line.plan(Removal::Sound);
        stopping.join().expect("it stops in time");
    });
    drop(verifying.end());
    assert_eq!(stage.stack.made_containers(), [""; 0], "{case}");
    stage.stack.start(SIDECAR);
    stage.wait_until_idle();
    heals(stage, artefact, case);
}

fn killed(stage: &Stage, artefact: &Artefact, line: &Line) {
    let (case, before) = ("removal: kill -9", artefact.proofs().len());
    let verifying = begin_and_hold(stage, artefact, line);
    stage.stack.kill(SIDECAR);
    assert_ne!(verifying.end().code, 0, "{case}");
    assert_eq!(stage.stack.made_containers().len(), 1, "{case}");
    assert_eq!(artefact.proofs().len(), before, "{case}");
    // Who held the request does not pass it on any more.
    line.forget();
    stage.stack.start(SIDECAR);
    stage.wait_until_idle();
    wait_until("the scratch server is gone", SOON, || {
        let made = stage.stack.made_containers();
        if made.is_empty() {
            Ok(())
        } else {
            Err(format!("{made:?}"))
        }
    });
    heals(stage, artefact, case);
}
