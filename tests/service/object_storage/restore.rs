//! Restores and proofs from the bucket: of what the disk has lost, and of everything on a machine that has nothing else.

use std::path::Path;

use serde_json::Value;

use super::server::BUCKET;
use super::wire::{Fault, Plan};
use super::{PREFIX, Store, copy_of, wait_for_copy};
use crate::harness::{DATABASE, PROOF, SIDECAR, SOON, Stack, catch, wait_until};
use crate::sealed::{Key, opening, sealing};

/// A database with an owner of its own, and something of everything that a dump of it does not carry.
const SHOP: &str = "
CREATE ROLE keeper LOGIN PASSWORD 'kept';
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 5000) i;
ALTER TABLE orders OWNER TO keeper;
ALTER DATABASE app SET work_mem = '7MB';
COMMENT ON DATABASE app IS 'the books';
";
const NOTES: &str =
    "CREATE TABLE notes AS SELECT i AS id, repeat('n', i) AS body FROM generate_series(1, 300) i";

/// Everything that has to come back, as one text.
fn told(stack: &Stack) -> String {
    let outside = "SELECT shobj_description(oid, 'pg_database'), (SELECT setconfig::text FROM pg_db_role_setting WHERE setdatabase = d.oid AND setrole = 0)
FROM pg_database d WHERE datname = 'app'";
    let orders = "SELECT md5(string_agg(o::text, ',' ORDER BY id)), (SELECT tableowner FROM pg_tables WHERE tablename = 'orders') FROM orders o";
    let notes = "SELECT md5(string_agg(n::text, ',' ORDER BY id)) FROM notes n";
    let role = "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'keeper'";
    [
        stack.psql("postgres", outside),
        stack.psql("app", orders),
        stack.psql("o'brien", notes),
        stack.psql("postgres", role),
    ]
    .join("\n")
}

fn with_shop(store: &Store, test: &str, key: Option<&Key>) -> Stack {
    let mut stack = store.with(Stack::builder(test));
    if let Some(key) = key {
        stack = opening(sealing(stack, &[key]), &[key]);
    }
    let stack = stack
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "content"))
        .write();
    stack.up_database(&[
        ("app", SHOP),
        ("app", "CREATE DATABASE \"o'brien\""),
        ("o'brien", NOTES),
    ]);
    stack
}

#[track_caller]
fn id_of(backup: &Value) -> String {
    backup["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_stack_whose_volumes_and_backup_folder_are_gone_comes_back_from_the_bucket() {
    comes_back_from_the_bucket("bucket-only", None);
}

#[test]
fn what_is_sealed_comes_back_from_a_bucket_and_an_identity_alone() {
    let key = Key::make();
    comes_back_from_the_bucket("bucket-sealed", Some(&key));
}

fn comes_back_from_the_bucket(test: &str, key: Option<&Key>) {
    let store = Store::start();
    let stack = with_shop(&store, test, key);
    stack.up();
    let app = id_of(&wait_for_copy(&stack, "app", "proven"));
    let notes = id_of(&wait_for_copy(&stack, "o'brien", "proven"));
    wait_for_company(&store, &stack);
    for folder in ["app", "globals"] {
        let keys = store.keys(&stack, folder);
        let sealed = keys.iter().filter(|it| it.contains(".age")).count();
        assert_eq!(sealed > 0, key.is_some(), "{keys:?}");
    }
    let before = told(&stack);
    everything_is_gone(&stack);
    drop(stack.compose(&["up", "-d", "--wait", DATABASE]).ok());
    assert!(
        !stack
            .try_psql("app", "TABLE orders")
            .said()
            .contains("note")
    );
    let damaged = store.put_newer_manifest(&stack);

    let listed = stack.stackwarden_once(&["--json", "backups"]);
    assert!(
        listed.stderr.contains("it has format 2"),
        "{}",
        listed.stderr
    );
    let listed = listed.json();
    for id in [&app, &notes] {
        let all = listed.as_array().expect("a list");
        let found = all.iter().find(|it| it["id"] == id.as_str());
        let found = found.unwrap_or_else(|| panic!("{id} in {listed:#}"));
        let places = found["destinations"].as_array().expect("places");
        assert_eq!(places.len(), 1, "{found:#}");
        assert_eq!(copy_of(found).expect("a copy")["level"], "archive");
    }
    let refused = stack.stackwarden_once(&["restore", &damaged, "--into", "other"]);
    let said = refused.ended_with(1).said();
    assert!(said.contains("it has format 2"), "{said}");

    for (id, of) in [(&app, "postgres/app"), (&notes, "postgres/o'brien")] {
        let words = ["restore", id, "--swap", "--yes", "--database", of];
        let restored = stack.stackwarden_once(&words).ended_with(0).said();
        eprintln!("{restored}");
    }
    assert_eq!(told(&stack), before);
    // What `latest` means is known from the bucket alone: read back there, restored and equal before.
    let of = "postgres/o'brien";
    let words = [
        "restore",
        "latest",
        "--into",
        "again",
        "--from",
        "s3",
        "--database",
        of,
    ];
    drop(stack.stackwarden_once(&words).ended_with(0));
    assert_eq!(stack.psql("again", "SELECT count(*) FROM notes"), "300");
}

/// Waits for the roles, and for the proof from disk beside the copy.
#[track_caller]
fn wait_for_company(store: &Store, stack: &Stack) {
    wait_until("roles and the proof from disk are there too", PROOF, || {
        let keys = store.keys(stack, "app");
        let is_proven = keys.iter().any(|key| key.contains(".proof-disk-"));
        match store.manifests(stack, "globals") {
            1.. if is_proven => Ok(()),
            roles => Err(format!("{roles} of roles, {keys:?}")),
        }
    });
}

/// As after a fire: volumes, containers and the folder.
fn everything_is_gone(stack: &Stack) {
    drop(stack.compose(&["down", "-v"]).ok());
    let folder = stack.backup_folder();
    std::fs::remove_dir_all(&folder).expect("remove the backups");
    std::fs::create_dir(&folder).expect("an empty folder");
}

impl Store {
    /// What a later version may have written; gives its id.
    fn put_newer_manifest(&self, stack: &Stack) -> String {
        let id = "20200101T000000Z-aaaa";
        let key = format!("{PREFIX}/{}/postgres/app/{id}.json", stack.project());
        let path = self.server.bucket.join(key);
        std::fs::write(path, r#"{"format": 2}"#).expect("write an object");
        id.to_owned()
    }
}

fn databases(stack: &Stack) -> String {
    let sql = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
    stack.psql("postgres", sql)
}

/// The sidecar answers, and works on nothing.
fn settled(stack: &Stack) -> Result<(), String> {
    let asked = stack.stackwarden(&["--json", "status"]);
    let status: Value = serde_json::from_str(&asked.stdout).map_err(|_no| asked.said())?;
    let jobs = status["jobs"].as_array().ok_or("no jobs")?;
    let mut open = jobs.iter().filter(|it| it["ended_at"].is_null());
    open.next().map_or(Ok(()), |job| Err(job.to_string()))
}

/// Stopped or killed while the bucket says nothing; then it is started again.
#[track_caller]
fn broken_off_while_it_waits(store: &Store, stack: &Stack, id: &str, ending: &str) {
    store.wire.plan(Plan::Dumps(Fault::Hang));
    let restoring = stack.stackwarden_aside(&["restore", id, "--into", "copy"]);
    catch("the dump is asked for", PROOF, || {
        match store.wire.dumps() {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    if ending == "cancel" {
        stack.stop(SIDECAR);
        assert_eq!(stack.inspect(SIDECAR, "{{.State.ExitCode}}"), "0");
    } else {
        stack.kill(SIDECAR);
    }
    assert_ne!(restoring.end().code, 0, "{ending}");
    store.wire.plan(Plan::Sound);
    stack.start(SIDECAR);
}

#[test]
fn a_file_that_the_disk_lost_comes_from_the_bucket_and_nothing_is_published_from_other_bytes() {
    let store = Store::start();
    let stack = with_shop(&store, "bucket-line", None);
    stack.up();
    let backup = wait_for_copy(&stack, "app", "proven");
    let id = id_of(&backup);
    wait_until("the first jobs end", PROOF, || settled(&stack));
    let before = databases(&stack);
    let file = backup["file"].as_str().expect("a file name");
    std::fs::remove_file(stack.series_folder("app").join(file)).expect("lose the file");

    for (plan, sentence) in [
        (Plan::Lying, "holds other bytes than were written"),
        (
            Plan::Dumps(Fault::Half),
            "could not be read from the bucket",
        ),
        (
            Plan::From(1, Fault::CutBefore),
            "could not be read from the bucket",
        ),
    ] {
        store.wire.plan(plan);
        let refused = stack.stackwarden(&["restore", &id, "--into", "copy"]);
        let said = refused.ended_with(1).said();
        assert!(said.contains(sentence), "{plan:?}: {said}");
        assert_eq!(databases(&stack), before, "{plan:?}");
    }

    for ending in ["cancel", "kill -9"] {
        broken_off_while_it_waits(&store, &stack, &id, ending);
        assert_eq!(databases(&stack), before, "{ending}");
        wait_until("the sidecar is back and idle", PROOF, || settled(&stack));
    }

    // It stands still once, and is asked again after 20 seconds.
    store.wire.plan(Plan::FirstDump(Fault::Hang));
    let restored = stack.stackwarden(&["restore", &id, "--into", "copy"]);
    drop(restored.ended_with(0));
    assert!(store.wire.dumps() > 1);
    let count = stack.psql("copy", "SELECT count(*) FROM orders");
    assert_eq!(count, "5000");
    let refused = stack.stackwarden(&["restore", &id, "--into", "other", "--from", "disk"]);
    drop(refused.ended_with(1));
    let wrong = stack.stackwarden(&["restore", &id, "--into", "other", "--from", "tape"]);
    assert!(wrong.ended_with(2).said().contains("write disk or s3"));

    it_is_proven_from_the_bucket(&store, &stack, &id);
}

fn it_is_proven_from_the_bucket(store: &Store, stack: &Stack, id: &str) {
    let proven = stack.stackwarden(&["verify", id, "--from", "s3", "--level", "content"]);
    let said = proven.ended_with(0).said();
    assert!(said.contains("proven at level content"), "{said}");
    wait_until("it is listed as proven there", SOON, || {
        let backups = stack.backups_of("app");
        let found = backups.iter().find(|it| it["id"] == id).cloned();
        match found.as_ref().and_then(copy_of) {
            Some(copy) if copy["level"] == "content" => Ok(()),
            _ => Err(format!("{found:?}")),
        }
    });
    assert_eq!(partial_files(&stack.backup_folder()), Vec::<String>::new());
    store.wire.plan(Plan::Lying);
    let refuted = stack.stackwarden(&["verify", id, "--from", "s3", "--level", "content"]);
    let said = refuted.ended_with(1).said();
    assert!(said.contains("not those that were written"), "{said}");
    assert_eq!(partial_files(&stack.backup_folder()), Vec::<String>::new());
    assert!(!stack.logs(SIDECAR).contains("panicked"));
}

fn partial_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("list a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "partial") {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn without_bucket_and_folder_the_reason_is_told() {
    let store = Store::start();
    store.wire.plan(Plan::From(1, Fault::CutBefore));
    let stack = store.with(Stack::builder("bucket-away")).write();
    drop(stack.compose(&["up", "-d", "--wait", DATABASE]).ok());
    for words in [&["backups"][..], &["restore", "latest", "--into", "copy"]] {
        let said = stack.stackwarden_once(words).ended_with(1).said();
        assert!(said.contains("the bucket cannot be listed"), "{said}");
        assert!(said.contains(BUCKET), "{said}");
    }
}

#[test]
fn an_accepted_backup_is_accepted_for_who_has_only_the_bucket() {
    let store = Store::start();
    let stack = store.with(Stack::builder("bucket-accept")).write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS a")]);
    stack.up();
    drop(wait_for_copy(&stack, "app", "proven"));
    drop(stack.psql("app", "DROP TABLE t"));
    drop(stack.back_up());
    let suspect = wait_for_copy(&stack, "app", "proven");
    assert_ne!(suspect["suspect"], serde_json::json!([]), "{suspect:#}");
    let id = id_of(&suspect);
    drop(
        stack
            .stackwarden(&["backups", "--accept", &id])
            .ended_with(0),
    );
    let name = format!("{id}.accepted.json");
    wait_until("the acceptance is in the bucket", PROOF, || {
        let keys = store.keys(&stack, "app");
        if keys.contains(&name) {
            Ok(())
        } else {
            Err(format!("{keys:?}"))
        }
    });
    everything_is_gone(&stack);
    let listed = stack.stackwarden_once(&["--json", "backups"]);
    let listed = listed.ended_with(0).json();
    let all = listed.as_array().expect("a list");
    let found = all.iter().find(|it| it["id"] == id.as_str());
    let found = found.expect("the accepted backup");
    assert_eq!(found["suspect"], serde_json::json!([]), "{found:#}");
    assert!(found["accepted_at"].is_string(), "{found:#}");
}

#[test]
fn an_empty_server_in_the_place_of_a_lost_one_is_never_what_latest_means() {
    let store = Store::start();
    let stack = with_shop(&store, "bucket-anew", None);
    stack.up();
    let id = id_of(&wait_for_copy(&stack, "app", "proven"));
    wait_for_company(&store, &stack);
    everything_is_gone(&stack);
    // Somebody starts everything first, and the application makes its tables.
    stack.up_database(&[("app", "CREATE TABLE orders (id int PRIMARY KEY, note text)")]);
    stack.up();
    let first = stack.wait_for_listed("app", PROOF, |it| it["id"] != id.as_str());
    assert!(
        first["suspect"].to_string().contains("another server"),
        "{first:#}"
    );
    let words = [
        "restore",
        "latest",
        "--into",
        "back",
        "--database",
        "postgres/app",
    ];
    let restored = stack.stackwarden(&words).ended_with(0).said();
    assert!(restored.contains(&id), "{restored}");
    assert_eq!(stack.psql("back", "SELECT count(*) FROM orders"), "5000");
}
