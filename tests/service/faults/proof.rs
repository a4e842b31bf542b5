//! Faults in each step of a proof. The scratch server's image is the one that the manifest names: a fault is one built in.

use serde_json::{Value, json};

use super::stage::{FAIL, HOLD_SCRATCH, Stage, image};
use crate::harness::{Artefact, DATABASE, PROOF, Ran, SIDECAR, docker, wait_until};

/// What a scratch server's folder is filled with, where it stands in memory: the second try stands on the host's disk.
const FILL_MEMORY: &str = "[ $(stat -f -c %T /stackwarden) != tmpfs ] || dd if=/dev/zero of=/stackwarden/fill bs=1M 2>/dev/null";

/// What no image with this program can ever do.
const UNFIT: &str =
    "echo \"initdb: error while loading shared libraries: libgone.so.1\" >&2; exit 127";

/// A session that the server ends, and a statement that it refuses, in the real program's words.
const ENDED: &str =
    "echo \"SELECT pg_terminate_backend(pg_backend_pid());\" | $real \"$@\"; exit $?";
const REFUSED: &str = "echo \"CREATE ROLE app;\" | $real \"$@\"; exit $?";
/// A server that loses the session of a restore, which is given a second for that.
const LOST: &str = "export PGOPTIONS=\"$PGOPTIONS -c post_auth_delay=1\"; (while :; do for p in /proc/[0-9]*; do grep -qs \"^postgres: app template1\" $p/cmdline \
    && kill -9 ${p#/proc/}; done; done) </dev/null >/dev/null 2>&1 & exec $real \"$@\"";

/// A step and how it fails, what it has to say, and whether that is a finding about the backup, which becomes a proof.
const ERRORS: [(&str, &str, &str, usize); 8] = [
    (
        "scratch start",
        FAIL,
        "the scratch server ended: injected fault",
        0,
    ),
    (
        "scratch start",
        UNFIT,
        "its image cannot run a scratch server",
        1,
    ),
    (
        "roles",
        FAIL,
        "could not restore the roles: code 1: injected fault",
        0,
    ),
    ("roles", ENDED, "could not restore the roles: code 2: ", 0),
    ("roles", REFUSED, "its roles cannot be created: ", 1),
    (
        "restore",
        LOST,
        "the scratch server could not restore: code 1: ",
        0,
    ),
    (
        "restore",
        FAIL,
        "pg_restore could not restore it: injected fault",
        1,
    ),
    (
        "compare",
        FAIL,
        "could not dump the schema of the copy: injected fault",
        0,
    ),
];

/// The program at each step of a proof, and how to know its call from others.
pub fn at(step: &str, action: &str) -> (&'static str, String) {
    match step {
        "scratch start" => ("initdb", action.to_owned()),
        "roles" => (
            "psql",
            format!("case \"$*\" in *\"-f -\"*) {action};; esac"),
        ),
        "restore" => (
            "pg_restore",
            format!("case \"$*\" in *\"-j \"*) {action};; esac"),
        ),
        "compare" => ("pg_dump", format!("case \"$*\" in *-s*) {action};; esac")),
        other => panic!("no program is at {other}"),
    }
}

/// Its first backup, once it is proven.
pub fn proven(stage: Stage) -> (Stage, Artefact) {
    drop(stage.stack.wait_for_proof("app", "content"));
    stage.wait_until_idle();
    let artefact = stage.stack.artefacts("app").pop().expect("a backup");
    (stage, artefact)
}

/// Lets the next proof's scratch server have this fault.
pub fn arm(artefact: &Artefact, fault: (&str, &str)) {
    let id = docker(&[
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        &image(Some(fault)),
    ])
    .ok();
    let mut manifest = artefact.manifest.clone();
    manifest["image_id"] = json!(id.trim());
    artefact.write_manifest(&manifest);
}

/// Asks for a proof at `content`.
pub fn verify(stage: &Stage, artefact: &Artefact) -> Ran {
    stage
        .stack
        .stackwarden(&["verify", &artefact.id, "--level", "content"])
}

fn listed(stage: &Stage) -> Value {
    stage.stack.backups_of("app").pop().expect("a backup")
}

/// Without the fault the next proof reaches `content`, and no scratch server is left.
#[track_caller]
pub fn heals(stage: &Stage, artefact: &Artefact, case: &str) {
    artefact.write_manifest(&artefact.manifest);
    assert_eq!(stage.stack.made_containers(), [""; 0], "{case}");
    let ran = verify(stage, artefact);
    assert_eq!(ran.code, 0, "{case}: {}", ran.said());
    wait_until(&format!("{case}: proven again"), PROOF, || {
        let backup = listed(stage);
        if backup["standing"] == "proven" && backup["level"] == "content" {
            Ok(())
        } else {
            Err(backup.to_string())
        }
    });
    assert_eq!(stage.halves(), [""; 0], "{case}");
    eprintln!("{case}: nothing was left, the next proof succeeded");
}

#[test]
fn a_step_of_a_proof_that_fails_says_so_and_the_next_proof_succeeds() {
    let (stage, artefact) = proven(Stage::proving("faults-proof"));
    let proofs = || artefact.proofs().len();
    for (step, fault, sentence, written) in ERRORS {
        let case = format!("{step}: error");
        let before = proofs();
        let (program, script) = at(step, fault);
        arm(&artefact, (program, &script));
        let ran = verify(&stage, &artefact);
        let told = format!("{}{}", ran.said(), listed(&stage)["proof"]);
        assert!(told.contains(sentence), "{case}: {sentence}: {told}");
        assert_eq!(proofs(), before + written, "{case}: {told}");
        heals(&stage, &artefact, &case);
    }
    let once_more = "does not fit into memory";
    for step in ["scratch start", "roles", "restore"] {
        let before = stage.stack.logs(SIDECAR).matches(once_more).count();
        let (program, script) = at(step, FILL_MEMORY);
        arm(&artefact, (program, &script));
        drop(verify(&stage, &artefact).ok());
        assert_eq!(listed(&stage)["level"], "content", "restored again on disk");
        let logs = stage.stack.logs(SIDECAR);
        assert_eq!(logs.matches(once_more).count(), before + 1, "{logs}");
        heals(&stage, &artefact, &format!("{step}: disk full"));
    }
    a_comparison_without_room_comes_to_its_end(&stage, &artefact);
    unreadable_bytes_are_no_verdict(&stage, &artefact);
}

fn a_comparison_without_room_comes_to_its_end(stage: &Stage, artefact: &Artefact) {
    let case = "compare: disk full";
    let (program, script) = at("compare", FILL_MEMORY);
    arm(artefact, (program, &script));
    drop(verify(stage, artefact).ok());
    assert_eq!(listed(stage)["level"], "content", "{case}");
    heals(stage, artefact, case);
}

fn unreadable_bytes_are_no_verdict(stage: &Stage, artefact: &Artefact) {
    let before = artefact.proofs().len();
    let aside = artefact.stored.with_extension("aside");
    in_folder(
        stage,
        &format!(
            "mv {} {} && mkdir {0}",
            name(&artefact.stored),
            name(&aside)
        ),
    );
    let ran = verify(stage, artefact);
    assert_eq!(ran.code, 1, "read back: error: {}", ran.said());
    assert!(ran.said().contains("Is a directory"), "{}", ran.said());
    assert_eq!(
        artefact.proofs().len(),
        before,
        "what could not be read was not judged"
    );
    in_folder(
        stage,
        &format!(
            "rmdir {0} && mv {1} {0}",
            name(&artefact.stored),
            name(&aside)
        ),
    );
    heals(stage, artefact, "read back: error");
}

#[test]
fn a_sidecar_stopped_or_killed_in_any_step_of_a_proof_leaves_no_scratch_server() {
    let (stage, artefact) = proven(Stage::proving("faults-unproven"));
    for step in ["read back", "scratch start", "roles", "restore", "compare"] {
        for ending in ["cancel", "kill -9"] {
            ended_in(&stage, &artefact, step, ending);
        }
    }
}

#[track_caller]
fn ended_in(stage: &Stage, artefact: &Artefact, step: &str, ending: &str) {
    let case = format!("{step}: {ending}");
    let before = artefact.proofs().len();
    let aside = artefact.stored.with_extension("aside");
    let is_read_back = step == "read back";
    if is_read_back {
        // A pipe that nobody writes to: the reader waits as it does for a network folder that is gone.
        in_folder(
            stage,
            &format!(
                "mv {} {} && mkfifo {0}",
                name(&artefact.stored),
                name(&aside)
            ),
        );
    } else {
        let (program, script) = at(step, HOLD_SCRATCH);
        arm(artefact, (program, &script));
    }
    let verifying = stage
        .stack
        .stackwarden_aside(&["verify", &artefact.id, "--level", "content"]);
    if is_read_back {
        wait_for_job(stage);
    } else {
        stage.wait_until_scratch_is_held();
    }
    if ending == "cancel" {
        stage.stop_sidecar();
        assert_eq!(
            stage.stack.made_containers(),
            [""; 0],
            "{case}: after a `down` nobody comes to remove it"
        );
    } else {
        stage.stack.kill(SIDECAR);
        let left = stage.stack.made_containers();
        assert_eq!(left.len(), usize::from(!is_read_back), "{case}: {left:?}");
    }
    assert_ne!(verifying.end().code, 0, "{case}");
    if is_read_back {
        in_folder(
            stage,
            &format!("rm {0} && mv {1} {0}", name(&artefact.stored), name(&aside)),
        );
    }
    artefact.write_manifest(&artefact.manifest);
    stage.stack.start(SIDECAR);
    stage.wait_until_idle();
    assert_eq!(artefact.proofs().len(), before, "{case}");
    heals(stage, artefact, &case);
}

#[track_caller]
fn wait_for_job(stage: &Stage) {
    wait_until("the proof runs", PROOF, || {
        let status = stage.stack.stackwarden_json(&["status"]);
        let jobs = status["jobs"].as_array().ok_or("no jobs")?;
        let runs = jobs
            .iter()
            .any(|job| job["kind"] == "verify" && job["state"] == "running");
        if runs {
            Ok(())
        } else {
            Err(status["jobs"].to_string())
        }
    });
}

/// The last part of a path.
pub fn name(path: &std::path::Path) -> String {
    path.file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}

/// Runs a script in the folder of the backups.
#[track_caller]
pub fn in_folder(stage: &Stage, script: &str) {
    let folder = format!("/stored/{}/postgres/app", stage.stack.project());
    drop(
        stage
            .stack
            .exec(DATABASE, &["sh", "-c", &format!("cd {folder} && {script}")])
            .ok(),
    );
}
