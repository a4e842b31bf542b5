//! stackwarden looks after what is in the bucket as it does after the disk: everything is read again, bad copies are
//! written again, and the newest is restored from there now and then.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{PREFIX, Store, copy_of, wait_for_copy};
use crate::harness::{Artefact, PROOF, SIDECAR, Stack, wait_until};
use crate::sealed::{Key, opening, sealing};

const ROWS: &str =
    "CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 500) i";
const ORPHAN: &str = "20200101T000000Z-abcd.dump";

impl Store {
    /// Where the objects of one database are files.
    fn folder(&self, stack: &Stack, database: &str) -> PathBuf {
        let below = format!("{PREFIX}/{}/postgres/{database}", stack.project());
        self.server.bucket.join(below)
    }
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("read an object");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("write an object");
}

fn put_old(path: &Path) {
    std::fs::write(path, "left behind").expect("write an object");
    let file = File::options().append(true).open(path).expect("open it");
    let old = SystemTime::now().checked_sub(Duration::from_hours(48));
    let old = old.expect("a time");
    file.set_modified(old).expect("make it old");
}

#[test]
fn fsck_reads_the_bucket_too_and_what_is_bad_there_is_written_again() {
    let store = Store::start();
    let stack = store.with(Stack::builder("bucket-fsck")).write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(wait_for_copy(&stack, "app", "proven"));
    drop(stack.back_up());
    drop(wait_for_copy(&stack, "app", "proven"));
    all_are_read_back(&stack);
    let sound = stack.stackwarden(&["backups", "--fsck"]).ended_with(0);
    let told = "postgres/app on s3: succeeded: 2 read again (";
    assert!(sound.stdout.contains(told), "{}", sound.said());

    let backups = stack.artefacts("app");
    let folder = store.folder(&stack, "app");
    let object = |at: usize| {
        let name = backups[at].stored.file_name().expect("a name");
        folder.join(name)
    };
    flip_a_byte(&object(0));
    std::fs::remove_file(object(1)).expect("lose an object");
    put_old(&folder.join(ORPHAN));
    stack.stop(SIDECAR);
    let found = stack.stackwarden_once(&["backups", "--fsck"]).ended_with(3);
    for (at, word) in [(0, "altered"), (1, "missing")] {
        let id = &backups[at].id;
        let told = format!("postgres/app on s3 {id}: failed: {word}: ");
        let line = found.stdout.lines().find(|line| line.contains(&told));
        let line = line.unwrap_or_else(|| panic!("{}", found.said()));
        let follows = "the sidecar writes this copy again from the good file on disk";
        assert!(line.contains(follows), "{line}");
    }
    let orphan = format!("{ORPHAN} belongs to no manifest");
    assert!(found.stdout.contains(&orphan), "{}", found.said());
    let on_disk = "postgres/app on disk: succeeded: 2 read again (";
    assert!(found.stdout.contains(on_disk), "{}", found.said());
    assert!(folder.join(ORPHAN).exists(), "fsck removes nothing");

    stack.start(SIDECAR);
    wait_until("both are written again", PROOF, || {
        for (at, backup) in backups.iter().enumerate() {
            let there = std::fs::read(object(at)).unwrap_or_default();
            if there != std::fs::read(&backup.stored).expect("read a file") {
                return Err(format!("{} is not", backup.id));
            }
        }
        Ok(())
    });
    wait_until("everything is well, the orphan gone", PROOF, || {
        let found = stack.stackwarden(&["backups", "--fsck"]);
        if found.code == 0 && !folder.join(ORPHAN).exists() {
            Ok(())
        } else {
            Err(found.said())
        }
    });
    what_went_bad_on_disk_is_taken_from_the_bucket(&stack, &backups[0]);
}

fn all_are_read_back(stack: &Stack) {
    wait_until("all copies are read back", PROOF, || {
        let listed = stack.backups_of("app");
        let is_proven = |it: &Value| copy_of(it).is_some_and(|it| it["standing"] == "proven");
        if listed.iter().all(is_proven) {
            Ok(())
        } else {
            Err(format!("{listed:#?}"))
        }
    });
}

fn what_went_bad_on_disk_is_taken_from_the_bucket(stack: &Stack, backup: &Artefact) {
    flip_a_byte(&backup.stored);
    let found = stack.stackwarden(&["backups", "--fsck"]).ended_with(3);
    let told = "a restore takes the copy in the bucket in its place";
    assert!(found.stdout.contains(told), "{}", found.said());
    let restored = stack.stackwarden(&["restore", &backup.id, "--into", "copy"]);
    drop(restored.ended_with(0));
    assert_eq!(stack.psql("copy", "SELECT count(*) FROM t"), "500");
}

#[test]
fn a_copy_that_nobody_can_write_again_is_told_as_such() {
    let store = Store::start();
    let stack = store.with(Stack::builder("bucket-lone")).write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(wait_for_copy(&stack, "app", "proven"));
    stack.stop(SIDECAR);
    let backup = stack.artefacts("app").pop().expect("a backup");
    let name = backup.stored.file_name().expect("a name");
    flip_a_byte(&store.folder(&stack, "app").join(name));
    std::fs::remove_dir_all(stack.series_folder("app")).expect("lose the folder");
    let found = stack.stackwarden_once(&["backups", "--fsck"]).ended_with(3);
    let told = "there is no good copy of it to replace it from: restore another backup";
    assert!(found.stdout.contains(told), "{}", found.said());
}

#[test]
fn a_drill_restores_the_newest_from_the_bucket_by_itself() {
    let store = Store::start();
    let stack = store
        .with(Stack::builder("bucket-drill"))
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "content"))
        .postgres(|it| it.label("stackwarden.backup.drill", "* * * * *"));
    let stack = stack.write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    let backup = stack.wait_for_listed("app", PROOF, |backup| {
        copy_of(backup).is_some_and(|copy| copy["level"] == "content")
    });
    let whole = proofs_there(&store, &stack);
    let whole: Vec<&Value> = whole.iter().filter(|it| it["level"] == "content").collect();
    assert!(!whole.is_empty(), "{backup:#}");
    assert_eq!(whole[0]["destination"], "s3");
    assert_eq!(whole[0]["id"], backup["id"]);
    assert!(whole[0]["restore_seconds"].as_f64().expect("seconds") > 0.0);
}

/// What was found out about the copies of `app`, oldest first.
fn proofs_there(store: &Store, stack: &Stack) -> Vec<Value> {
    let folder = store.folder(stack, "app");
    let keys = store.keys(stack, "app");
    let proofs = keys.iter().filter(|key| key.contains(".proof-s3-"));
    let read = proofs.filter_map(|key| std::fs::read_to_string(folder.join(key)).ok());
    read.filter_map(|text| serde_json::from_str(&text).ok())
        .collect()
}

/// Without an identity a drill reads the copy back and says why it goes no further; with one it restores it.
#[test]
fn a_drill_of_a_sealed_copy_goes_as_far_as_the_identity_lets_it() {
    let store = Store::start();
    let key = Key::make();
    let stack = sealing(store.with(Stack::builder("bucket-sealed-drill")), &[&key])
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "content"))
        .postgres(|it| it.label("stackwarden.backup.drill", "* * * * *"));
    let mut stack = stack.write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    let told = wait_until("a drill that says why", PROOF, || {
        let proofs = proofs_there(&store, &stack);
        let told = proofs.iter().find(|it| it["reason"].is_string()).cloned();
        told.ok_or(format!("{proofs:?}"))
    });
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.contains("STACKWARDEN_AGE_IDENTITY_FILE"), "{reason}");
    assert_eq!(
        (&told["level"], &told["not_opened_by"]),
        (&"archive".into(), &serde_json::json!([]))
    );
    let listed = stack.wait_for_listed("app", PROOF, |it| it["level"] == "content");
    assert_eq!(copy_of(&listed).expect("a copy")["standing"], "proven");
    let status = stack.stackwarden(&["status"]).ok();
    assert!(!status.contains("needs attention"), "{status}");

    stack.change(|it| opening(it, &[&key]));
    stack.up();
    let listed = stack.wait_for_listed("app", PROOF, |backup| {
        copy_of(backup).is_some_and(|copy| copy["level"] == "content")
    });
    assert_eq!(listed["id"], told["id"]);
}
