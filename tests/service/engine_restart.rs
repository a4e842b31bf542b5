//! The Docker Engine restarted in mid-dump and in mid-proof.
//!
//! `tests/engine-restart` runs it on an engine of its own. It is a bench target, since `make check` has only the engine that
//! others live on; it stands here because it is driven by the same harness.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "in a test a broken expectation is the answer, and its words belong on the screen"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the script that starts the engine names it by the environment"
)]
#![expect(
    dead_code,
    unused_imports,
    reason = "the harness serves the other end-to-end tests too"
)]

mod harness;

use std::time::Instant;

use harness::{DATABASE, PROOF, SIDECAR, Stack, catch, docker, names, run, wait_until};

/// 60 MB that no compressor shortens.
const BULK: &str = "
CREATE TABLE bulk (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE bulk ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO bulk
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 128) j)
    FROM generate_series(1, 7500) i;
";
const SCRATCH: &str = "stackwarden-proof";

#[test]
fn an_engine_restarted_in_mid_dump_and_in_mid_proof_costs_that_job_only() {
    let engine = std::env::var("STACKWARDEN_TEST_ENGINE").expect("run it by tests/engine-restart");
    let stack = Stack::builder("engine")
        .postgres(|it| it.lines("restart: unless-stopped"))
        .write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    in_mid_dump(&stack, &engine);
    in_mid_proof(&stack, &engine);
}

fn in_mid_dump(stack: &Stack, engine: &str) {
    let before = stack.artefacts("app").len();
    let backup = stack.stackwarden_aside(&["backup", "postgres/app"]);
    catch("the dump is under way", PROOF, || {
        let names = names(&stack.series_folder("app"));
        if names.iter().any(|name| name.ends_with(".dump.partial")) {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    restart(engine);
    drop(backup.end());
    wait_until_idle(stack);
    assert_eq!(
        stack.artefacts("app").len(),
        before,
        "a dump that was cut off is no backup"
    );
    wait_until("nothing half is left", PROOF, || {
        let names = names(&stack.series_folder("app"));
        let dumps = names.iter().filter(|name| name.contains(".dump")).count();
        if dumps == before {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    drop(stack.back_up());
    drop(stack.wait_for_proof("app", "content"));
    assert_eq!(stack.backups_of("app").len(), before + 1);
    eprintln!("mid-dump: healed");
}

fn in_mid_proof(stack: &Stack, engine: &str) {
    let artefact = stack.artefacts("app").pop().expect("a backup");
    let before = artefact.proofs().len();
    let verifying = stack.stackwarden_aside(&["verify", &artefact.id, "--level", "content"]);
    wait_until("the proof restores", PROOF, || {
        let restoring = docker(&["top", SCRATCH, "-eo", "pid,args"]);
        if restoring.stdout.contains("pg_restore") {
            Ok(())
        } else {
            Err(restoring.said())
        }
    });
    restart(engine);
    drop(verifying.end());
    wait_until_idle(stack);
    assert_eq!(
        artefact.proofs().len(),
        before,
        "a proof that was cut off says nothing"
    );
    drop(
        stack
            .stackwarden(&["verify", &artefact.id, "--level", "content"])
            .ok(),
    );
    assert_eq!(stack.made_containers(), [""; 0]);
    let listed = stack.backups_of("app").pop().expect("a backup");
    assert_eq!(listed["standing"], "proven", "{listed:#}");
    eprintln!("mid-proof: healed");
}

#[track_caller]
fn restart(engine: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine-restart");
    let begun = Instant::now();
    drop(run(script, &["stop", engine], None).ok());
    drop(run(script, &["start", engine], None).ok());
    eprintln!("engine restarted in {:?}", begun.elapsed());
}

/// Both containers are back by their restart policy, and nothing is being worked on.
#[track_caller]
fn wait_until_idle(stack: &Stack) {
    wait_until("the sidecar is back", PROOF, || {
        let containers =
            [DATABASE, SIDECAR].map(|it| stack.inspect(it, "{{.State.Status}} {{.RestartCount}}"));
        let asked = stack.stackwarden(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_str(&asked.stdout)
            .map_err(|_| format!("{containers:?} {}", asked.said()))?;
        let jobs = status["jobs"].as_array().ok_or("no jobs")?;
        match jobs.iter().find(|job| job["ended_at"].is_null()) {
            Some(job) => Err(job.to_string()),
            None if status["databases"].as_array().is_none_or(Vec::is_empty) => Err(asked.stdout),
            None => Ok(()),
        }
    });
    stack.wait_for_postgres();
}
