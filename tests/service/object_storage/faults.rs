//! What hangs, is stopped or killed on its way into the bucket, out of it, or while it is tidied there.

use std::time::Instant;

use super::wire::{Fault, Plan};
use super::{BULK, Store, copy_of, wait_for_copy};
use crate::harness::{Background, PROOF, SIDECAR, SOON, Stack, StackBuilder, catch, wait_until};

/// Docker kills who takes longer to stop.
const TO_STOP: u64 = 10;

/// A stack that gives up sooner who says nothing.
pub(super) fn hasty(name: &str) -> StackBuilder {
    Stack::builder(name).sidecar(|it| it.environment("STACKWARDEN_SILENCE", "6s"))
}

/// Stops the sidecar in the middle of something.
#[track_caller]
pub(super) fn stop_in_time(stack: &Stack) {
    let begun = Instant::now();
    stack.stop(SIDECAR);
    let code = stack.inspect(SIDECAR, "{{.State.ExitCode}}");
    assert_eq!(code, "0", "{}", stack.logs(SIDECAR));
    assert!(begun.elapsed().as_secs() < TO_STOP, "{:?}", begun.elapsed());
}

#[track_caller]
fn start_again(stack: &Stack) {
    stack.start(SIDECAR);
    wait_until("the sidecar is back", SOON, || {
        let said = stack.stackwarden(&["healthcheck"]);
        if said.code == 0 {
            Ok(())
        } else {
            Err(said.said())
        }
    });
}

/// Waits until no job runs, so that what comes next is the only one.
#[track_caller]
fn wait_for_rest(stack: &Stack) {
    wait_until("the jobs end", PROOF, || {
        let status = stack.stackwarden_json(&["status"]);
        let jobs = status["jobs"].as_array().expect("jobs").clone();
        let mut open = jobs.iter().filter(|it| it["ended_at"].is_null());
        open.next().map_or(Ok(()), |job| Err(job.to_string()))
    });
}

#[track_caller]
fn every_copy_is_proven(stack: &Stack) {
    wait_until("every backup has its copy, read back", PROOF, || {
        let listed = stack.backups_of("app");
        let is_proven = |copy: &serde_json::Value| copy["standing"] == "proven";
        let mut lacking = listed
            .iter()
            .filter(|it| !copy_of(it).is_some_and(is_proven));
        lacking.next().map_or(Ok(()), |it| Err(it.to_string()))
    });
}

#[test]
fn a_copy_that_hangs_is_stopped_or_finds_no_room_costs_no_backup_and_is_made_good() {
    let store = Store::start();
    let stack = store.with(hasty("bucket-hang")).write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    drop(wait_for_copy(&stack, "app", "proven"));
    wait_for_rest(&stack);
    for (plan, sentence) in [
        (Plan::Parts(1, Fault::Full), "has no room left"),
        (Plan::Parts(2, Fault::Hang), "stood still for 6 s"),
    ] {
        store.wire.plan(plan);
        let asked = stack.stackwarden(&["backup"]).ended_with(3).said();
        assert!(
            asked.contains("on disk only") && asked.contains(sentence),
            "{plan:?}: {asked}"
        );
        assert_eq!(store.server.unfinished_parts(), 0, "{plan:?}");
        assert_eq!(store.manifests(&stack, "app"), 1, "{plan:?}");
    }
    assert_eq!(stack.artefacts("app").len(), 3);

    store.wire.plan(Plan::Parts(2, Fault::Hang));
    drop(stack.stackwarden_aside(&["backup"]));
    catch("a part is there and the next one hangs", PROOF, || {
        match (store.wire.parts(), store.server.unfinished_parts()) {
            (2.., 1..) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    });
    stop_in_time(&stack);
    assert_eq!(
        store.server.unfinished_parts(),
        0,
        "{}",
        stack.logs(SIDECAR)
    );
    assert_eq!(store.manifests(&stack, "app"), 1);

    store.wire.plan(Plan::Sound);
    start_again(&stack);
    every_copy_is_proven(&stack);
    assert_eq!(store.manifests(&stack, "app"), stack.artefacts("app").len());
}

fn databases(stack: &Stack) -> String {
    let sql =
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    stack.psql("postgres", sql)
}

const WHOLE: &str = "app postgres";

/// Whoever restores may not end before.
#[track_caller]
fn wait_for_copy_database(stack: &Stack, restore: Background) {
    let begun = catch("the copy is begun", PROOF, || {
        let all = databases(stack);
        match (all.contains("stackwarden_copy_"), restore.has_ended()) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(all),
        }
    });
    assert!(begun, "{}", restore.end().said());
}

#[test]
fn a_restore_from_a_bucket_that_hangs_is_stopped_or_killed_leaves_the_live_database_alone() {
    let store = Store::start();
    let stack = store.with(hasty("bucket-stall")).write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    let id = wait_for_copy(&stack, "app", "proven")["id"].clone();
    let id = id.as_str().expect("an id");
    wait_for_rest(&stack);
    let words = ["restore", id, "--into", "back", "--from", "s3"];
    // Half of the bytes come, and then nothing any more: of the reading that looks what has to be made, and of that which
    // fills the copy.
    for reading in [1, 2] {
        store.wire.plan(Plan::Dumps(reading, Fault::Stall));
        let told = stack.stackwarden_aside(&words);
        catch("its bytes stop coming", PROOF, || {
            let seen = store.wire.readings();
            if seen >= reading {
                Ok(())
            } else {
                Err(seen.to_string())
            }
        });
        stop_in_time(&stack);
        assert_eq!(databases(&stack), WHOLE, "{}", told.end().said());
        start_again(&stack);
    }

    store.wire.plan(Plan::Dumps(2, Fault::Stall));
    wait_for_copy_database(&stack, stack.stackwarden_aside(&words));
    stack.kill(SIDECAR);
    assert!(
        databases(&stack).contains("stackwarden_copy_"),
        "nobody was there to remove it"
    );
    start_again(&stack);
    wait_until("the next start removes it", SOON, || {
        let all = databases(&stack);
        if all == WHOLE { Ok(()) } else { Err(all) }
    });

    store.wire.plan(Plan::Dumps(2, Fault::Stall));
    let said = stack.stackwarden(&words).ended_with(1).said();
    assert!(said.contains("could not be read from the bucket"), "{said}");
    assert_eq!(databases(&stack), WHOLE);

    store.wire.plan(Plan::Sound);
    drop(stack.stackwarden(&words).ended_with(0));
    assert_eq!(stack.psql("back", "SELECT count(*) FROM bulk"), "4000");
}
