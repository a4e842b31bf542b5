//! Retention in the bucket: behind a success, never what still stands on disk, and without a storm where it may not.

use std::collections::BTreeSet;

use serde_json::Value;

use super::wire::{Fault, Plan};
use super::{Store, copy_of};
use crate::harness::{PROOF, SIDECAR, SOON, Stack, catch, wait_until};

const ROWS: &str = "CREATE TABLE t AS SELECT i AS a FROM generate_series(1, 100) i";

impl Store {
    /// The ids of the manifests in one folder of the bucket.
    fn ids(&self, stack: &Stack, folder: &str) -> BTreeSet<String> {
        let keys = self.keys(stack, folder);
        let stems = keys.iter().filter_map(|key| key.strip_suffix(".json"));
        let stems = stems.filter(|stem| !stem.contains('.'));
        stems.map(str::to_owned).collect()
    }
}

fn on_disk(stack: &Stack, folder: &str) -> BTreeSet<String> {
    let artefacts = stack.artefacts(folder).into_iter();
    artefacts.map(|it| it.id).collect()
}

/// Waits until nothing is left to do: every backup of the databases has its copy, read back, with what is known of it.
#[track_caller]
fn wait_until_settled(store: &Store, stack: &Stack, mark: &str) {
    wait_until("every copy is read back and accompanied", PROOF, || {
        let keys = store.keys(stack, "app");
        let has = |id: &String, mark: &str| {
            let start = format!("{id}{mark}");
            keys.iter().any(|key| key.starts_with(&start))
        };
        let mut ids = on_disk(stack, "app").into_iter();
        match ids.find(|id| !has(id, ".proof-s3-") || !has(id, mark)) {
            Some(id) => Err(format!("{id} in {keys:#?}")),
            None => Ok(()),
        }
    });
}

fn rows(plan: &Value, destination: &str, word: &str) -> Vec<(String, String)> {
    let rows = plan["backups"].as_array().expect("a list").iter();
    let rows = rows.filter(|it| it["destination"] == destination && it["plan"] == word);
    rows.map(|it| {
        let reasons = it["reasons"].to_string();
        (it["id"].as_str().expect("an id").to_owned(), reasons)
    })
    .collect()
}

#[test]
fn the_bucket_keeps_what_stands_on_disk_and_gives_up_what_its_own_plan_condemns() {
    let store = Store::start();
    let stack = store.with(Stack::builder("bucket-keep")).sidecar(|it| {
        it.environment("STACKWARDEN_BACKUP_VERIFY", "content")
            .environment("STACKWARDEN_BACKUP_KEEP", "last=1")
    });
    let stack = stack.write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    wait_until_settled(&store, &stack, ".proof-disk-");
    let first = store.ids(&stack, "app");
    drop(stack.psql("app", "CREATE ROLE reader"));
    drop(stack.back_up());
    drop(stack.wait_for_proof("app", "content"));
    wait_until_settled(&store, &stack, ".proof-disk-");

    // The disk condemns the first; the bucket keeps it as long as it stands there.
    let plan = stack.stackwarden_json(&["backups", "--plan"]);
    let condemned: BTreeSet<String> = rows(&plan, "disk", "remove")
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert!(first.is_subset(&condemned), "{plan:#}");
    assert_eq!(rows(&plan, "s3", "remove"), [], "{plan:#}");
    let kept = rows(&plan, "s3", "keep");
    assert!(
        !kept.is_empty()
            && kept
                .iter()
                .all(|(_, why)| why.contains("it stands on disk"))
    );

    // The next success removes it on disk, and then in the bucket, with its roles, proofs and bytes.
    drop(stack.back_up());
    assert_eq!(on_disk(&stack, "app").len(), 2);
    for folder in ["app", "globals"] {
        assert_eq!(
            store.ids(&stack, folder),
            on_disk(&stack, folder),
            "{folder}"
        );
    }
    let keys = store.keys(&stack, "app");
    for id in &first {
        assert!(
            !keys.iter().any(|key| key.starts_with(id.as_str())),
            "{keys:?}"
        );
    }
    let path = stack.backup_folder().join(".stackwarden/journal.jsonl");
    let journal = std::fs::read_to_string(path).expect("a journal");
    let told = journal.lines().any(|line| {
        line.contains("\"event\":\"removal\"") && line.contains("\"destination\":\"s3\"")
    });
    assert!(told, "{journal}");
    // What was removed does not come back.
    wait_until_settled(&store, &stack, ".proof-disk-");
    assert_eq!(store.ids(&stack, "app"), on_disk(&stack, "app"));
}

/// With copies in the bucket such that the next success condemns the oldest, which the disk has given up already.
fn two_backups(store: &Store, test: &str) -> (Stack, String) {
    let stack = store
        .with(super::faults::hasty(test))
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_KEEP", "last=1"))
        .write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(stack.wait_for_backup("app"));
    wait_until_settled(store, &stack, ".dump");
    drop(stack.back_up());
    wait_until_settled(store, &stack, ".dump");
    let oldest = store.ids(&stack, "app").into_iter().next();
    let oldest = oldest.expect("a backup");
    (stack, oldest)
}

#[test]
fn a_key_that_may_not_remove_is_asked_once_said_clearly_and_made_good() {
    let store = Store::start();
    let (stack, oldest) = two_backups(&store, "bucket-denied");
    store.wire.plan(Plan::Removals(1, Fault::Denied));
    let report = stack.back_up();
    assert_eq!(report["state"], "succeeded", "{report:#}");
    assert_eq!(store.wire.removals(), 1);
    assert!(!on_disk(&stack, "app").contains(&oldest));
    assert!(store.ids(&stack, "app").contains(&oldest));
    let status = stack.stackwarden(&["status"]).ok();
    assert!(status.contains("does not let this key remove"), "{status}");
    assert_eq!(store.wire.removals(), 1);

    store.wire.plan(Plan::Sound);
    wait_until_settled(&store, &stack, ".dump");
    drop(stack.back_up());
    assert!(!store.ids(&stack, "app").contains(&oldest));
    let status = stack.stackwarden(&["status"]).ok();
    assert!(!status.contains("does not let this key"), "{status}");
}

#[test]
fn a_sidecar_killed_while_it_prunes_leaves_no_manifest_without_its_dump() {
    let store = Store::start();
    let (stack, oldest) = two_backups(&store, "bucket-prune-kill");
    // The manifest goes, and the line hangs before the dump does.
    store.wire.plan(Plan::Removals(2, Fault::Hang));
    drop(stack.stackwarden_aside(&["backup"]));
    catch("the dump is about to be removed", PROOF, || {
        match store.wire.removals() {
            0 | 1 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    stack.kill(SIDECAR);
    let dump = format!("{oldest}.dump");
    let keys = store.keys(&stack, "app");
    assert!(!store.ids(&stack, "app").contains(&oldest), "{keys:?}");
    assert!(keys.iter().any(|key| key.starts_with(&dump)), "{keys:?}");

    store.wire.plan(Plan::Sound);
    stack.start(SIDECAR);
    wait_until("what is whole is listed, and only that", SOON, || {
        // Only the sidecar answers this; a listing is also made in place.
        let status = stack.stackwarden(&["status"]);
        if status.code != 0 {
            return Err(status.said());
        }
        let listed = stack.stackwarden(&["--json", "backups"]);
        let all: Vec<Value> = serde_json::from_str(&listed.stdout).map_err(|_no| listed.said())?;
        let of_app = all.iter().filter(|it| it["database"] == "app");
        let mut wrong = of_app.filter(|it| it["id"] == oldest.as_str() || copy_of(it).is_none());
        wrong.next().map_or(Ok(()), |it| Err(it.to_string()))
    });
    let report = stack.back_up();
    assert_eq!(report["state"], "succeeded", "{report:#}");
    let copies = store.ids(&stack, "app");
    assert!(on_disk(&stack, "app").is_subset(&copies) && !copies.contains(&oldest));
}

#[test]
fn a_store_that_hangs_while_it_is_tidied_holds_no_backup_and_no_stop() {
    let store = Store::start();
    let (stack, oldest) = two_backups(&store, "bucket-prune-hang");
    store.wire.plan(Plan::Removals(1, Fault::Hang));
    let report = stack.back_up();
    assert_eq!(report["state"], "succeeded", "{report:#}");
    // Asked for four times, and nothing else after it.
    assert_eq!(store.wire.removals(), 4);
    assert!(store.ids(&stack, "app").contains(&oldest));
    let status = stack.stackwarden(&["status"]).ok();
    assert!(status.contains("did not answer in time"), "{status}");

    // The manifest goes, the dump hangs, and we are told to stop.
    store.wire.plan(Plan::Removals(2, Fault::Hang));
    drop(stack.stackwarden_aside(&["backup"]));
    catch("the dump is about to be removed", PROOF, || {
        match store.wire.removals() {
            0 | 1 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    super::faults::stop_in_time(&stack);
    let keys = store.keys(&stack, "app");
    let dump = format!("{oldest}.dump");
    assert!(!store.ids(&stack, "app").contains(&oldest), "{keys:?}");
    assert!(keys.iter().any(|key| key.starts_with(&dump)), "{keys:?}");

    store.wire.plan(Plan::Sound);
    stack.start(SIDECAR);
    wait_until_settled(&store, &stack, ".dump");
    let report = stack.back_up();
    assert_eq!(report["state"], "succeeded", "{report:#}");
    let status = stack.stackwarden(&["status"]).ok();
    assert!(!status.contains("did not answer in time"), "{status}");
}

#[test]
fn a_copy_that_went_bad_in_the_bucket_is_written_again_from_the_disk() {
    let store = Store::start();
    let stack = store.with(Stack::builder("bucket-heal")).write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(super::wait_for_copy(&stack, "app", "proven"));
    let backup = stack.backups_of("app").pop().expect("a backup");
    let (id, file) = (backup["id"].clone(), backup["file"].clone());
    let key = format!(
        "{}/{}/postgres/app/{}",
        super::PREFIX,
        stack.project(),
        file.as_str().expect("a name")
    );
    let object = store.server.bucket.join(key);
    let good = std::fs::read(&object).expect("read an object");
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(&object, &bad).expect("spoil an object");
    let id = id.as_str().expect("an id");
    let refuted = stack.stackwarden(&["verify", id, "--from", "s3", "--level", "archive"]);
    let said = refuted.ended_with(1).said();
    assert!(said.contains("not those that were written"), "{said}");
    wait_until("it is written again and read back", PROOF, || {
        let now = std::fs::read(&object).unwrap_or_default();
        if now == good {
            Ok(())
        } else {
            Err(format!("{} bytes", now.len()))
        }
    });
    drop(super::wait_for_copy(&stack, "app", "proven"));
}
