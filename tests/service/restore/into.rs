//! `restore --into`: a new database, equal to what was backed up, and nothing else touched.

use serde_json::Value;

use super::{SHOP, databases, no_copy_is_left, outside, proven, refused, restored};
use crate::harness::{DATABASE, SIDECAR, SOON, Stack, wait_until};

#[test]
fn a_backup_comes_back_beside_the_live_database_with_all_that_belongs_to_it() {
    let stack = Stack::builder("restore-into").with_ports().write();
    stack.up_database(&[("app", SHOP)]);
    stack.up();
    let id = proven(&stack);
    let before = outside(&stack, "app");
    drop(stack.psql("app", "DELETE FROM parts; DELETE FROM orders WHERE id > 10"));

    let said = restored(&stack, &["latest", "--into", "copy"]);
    assert!(
        said.contains(&format!("postgres/copy {id}: succeeded: restored into the new database copy, proven at level content: 2 tables")),
        "{said}"
    );
    assert_eq!(outside(&stack, "copy"), before);
    let rows = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM parts), (SELECT count(*) FROM pg_largeobject_metadata)";
    assert_eq!(stack.psql("copy", rows), "5000|2000|1");
    assert_eq!(
        stack.psql("app", rows),
        "10|0|1",
        "the live one is as it was"
    );
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'parts'";
    assert_eq!(stack.psql("copy", owner), "keeper");
    let analyzed = "SELECT reltuples FROM pg_class WHERE relname = 'orders'";
    assert_eq!(stack.psql("copy", analyzed), "5000");
    assert_eq!(databases(&stack), ["app", "copy", "postgres"]);

    every_wrong_wish_is_one_sentence(&stack, &id);
    it_is_ordered_over_http(&stack, &id);
    an_awkward_name_is_a_name(&stack, &id);
    another_projects_backup_brings_its_roles(&stack, &id);
    a_damaged_backup_leaves_nothing(&stack, &id);
    without_a_sidecar_it_is_done_in_place(&stack, &id);
    no_copy_is_left(&stack);
}

fn every_wrong_wish_is_one_sentence(stack: &Stack, id: &str) {
    let long = "x".repeat(64);
    let cases: [(&[&str], i32, &str); 13] = [
        (
            &["latest", "--into", "app"],
            1,
            "database app exists already",
        ),
        (&["latest", "--into", "template1"], 1, "exists already"),
        (&["latest", "--into", &long], 2, "63 bytes"),
        (
            &["latest", "--into", "stackwarden_copy_1"],
            2,
            "choose another name",
        ),
        (&["latest", "--into", ""], 2, "needs a name"),
        (&["latst", "--into", "x"], 2, "nor `latest`"),
        (&["--into", "x"], 2, "name what to restore"),
        (
            &["20200121T020000Z-3f9c", "--into", "x"],
            1,
            "there is no backup",
        ),
        (&["./none.dump", "--into", "x"], 1, "mount its folder into"),
        (
            &["latest", "--into", "x", "--database", "app"],
            2,
            "names no database",
        ),
        (
            &["latest", "--into", "x", "--database", "mysql/app"],
            1,
            "no backup is proven",
        ),
        (
            &["latest", "--into", "x", "--at", "2020-01-01T00:00:00Z"],
            1,
            "was taken before",
        ),
        (&[id, "--swap"], 2, "add --yes"),
    ];
    for (words, code, part) in cases {
        let said = refused(stack, words, code);
        assert!(said.contains(part), "{words:?}: {said}");
        let sentences = said.lines().filter(|line| line.contains("stackwarden: "));
        assert!(sentences.count() <= 1, "{words:?}: {said}");
    }
    for words in [&["latest"][..], &["latest", "--into", "x", "--swap"]] {
        refused(stack, words, 2);
    }
    assert_eq!(databases(stack), ["app", "copy", "postgres"]);
    // Now is not younger than the newest.
    let now = stack.psql(
        "app",
        "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    );
    let said = restored(stack, &["latest", "--at", &now, "--into", "as_of_now"]);
    assert!(said.contains(id), "{said}");
}

fn it_is_ordered_over_http(stack: &Stack, id: &str) {
    let body = format!(r#"{{"mode":"into","backup":"{id}","name":"over_http"}}"#);
    let accepted = stack
        .control("POST", "/v1/restores", &body)
        .expect("an answer");
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let location = accepted.header("location").to_owned();
    let job: Value = wait_until("the job ends", SOON, || {
        let job = stack.control("GET", &location, "")?.json();
        if job["ended_at"].is_null() {
            Err(job.to_string())
        } else {
            Ok(job)
        }
    });
    assert_eq!(
        (&job["state"], &job["kind"]),
        (&"succeeded".into(), &"restore".into()),
        "{job:#}"
    );
    for (body, status) in [
        (r#"{"mode":"into","backup":"latest"}"#, 400),
        (r#"{"mode":"sideways"}"#, 400),
        (r#"{"mode":"swap","backup":"20200121T020000Z-3f9c"}"#, 404),
        (r#"{"mode":"swap","backup":"latest","yes":true}"#, 400),
    ] {
        let answer = stack
            .control("POST", "/v1/restores", body)
            .expect("an answer");
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
}

fn an_awkward_name_is_a_name(stack: &Stack, id: &str) {
    let name = "o'Brien \"and\" sons; é";
    restored(stack, &[id, "--into", name]);
    assert!(databases(stack).contains(&name.to_owned()));
    assert_eq!(stack.psql(name, "SELECT count(*) FROM orders"), "5000");
}

/// Staging restores what production's folder holds, by its path: the manifest and the roles beside it are read.
fn another_projects_backup_brings_its_roles(stack: &Stack, id: &str) {
    let production = stack.backup_folder().join("production");
    let own = stack.backup_folder().join(stack.project());
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&own, &production])
        .status();
    assert!(copied.expect("cp runs").success());
    for database in databases(stack) {
        if database != "app" && database != "postgres" {
            let quoted = database.replace('"', "\"\"");
            // The sidecar may just look into it, or take its first backup.
            let sql = format!("DROP DATABASE \"{quoted}\" WITH (FORCE)");
            drop(stack.psql("postgres", &sql));
        }
    }
    drop(stack.psql(
        "app",
        "DROP OWNED BY keeper, readers; DROP ROLE keeper, readers",
    ));
    let said = restored(stack, &[&production_file(stack, id), "--into", "staging"]);
    assert!(
        said.contains(
            "proven at level content: 2 tables; roles that were missing: keeper, readers"
        ),
        "{said}"
    );
    let granted = "SELECT pg_has_role('keeper', 'readers', 'member'), has_table_privilege('readers', 'orders', 'SELECT')";
    assert_eq!(stack.psql("staging", granted), "t|t");
    let manifest = format!("production/{DATABASE}/app/{id}.json");
    restored(stack, &[&manifest, "--into", "staging_too"]);
}

/// The stored file of a backup in the other project's folder, below the backup folder.
fn production_file(stack: &Stack, id: &str) -> String {
    let artefacts = stack.artefacts("app");
    let artefact = artefacts.iter().find(|it| it.id == id).expect("the backup");
    let name = artefact.stored.file_name().expect("a name");
    format!("production/{DATABASE}/app/{}", name.to_string_lossy())
}

fn a_damaged_backup_leaves_nothing(stack: &Stack, id: &str) {
    let before = databases(stack);
    let below = production_file(stack, id);
    let file = stack.backup_folder().join(&below);
    let mut bytes = std::fs::read(&file).expect("read a dump");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("write a dump");
    let said = refused(stack, &[&below, "--into", "damaged"], 1);
    assert!(said.contains("SHA-256 differs"), "{said}");
    assert_eq!(databases(stack), before);
}

fn without_a_sidecar_it_is_done_in_place(stack: &Stack, id: &str) {
    stack.stop(SIDECAR);
    let ran = stack.stackwarden_once(&["--json", "restore", id, "--into", "in_place"]);
    let parts: Vec<Value> = serde_json::from_str(&ran.ended_with(0).stdout).expect("parts");
    assert_eq!(parts[0]["outcome"], "succeeded", "{parts:#?}");
    assert_eq!(
        stack.psql("in_place", "SELECT count(*) FROM orders"),
        "5000"
    );
}

#[test]
fn without_room_nothing_is_begun() {
    let stack = Stack::builder("restore-room")
        .postgres(|it| it.lines("tmpfs: [\"/var/lib/postgresql/data:size=170m\"]"))
        .write();
    stack.up_database(&[(
        "app",
        "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id",
    )]);
    stack.up();
    proven(&stack);
    for words in [
        &["latest", "--into", "copy"][..],
        &["latest", "--swap", "--yes"],
    ] {
        let said = refused(&stack, words, 1);
        assert!(said.contains("too little room for a copy"), "{said}");
    }
    assert_eq!(databases(&stack), ["app", "postgres"]);
    assert_eq!(
        stack.backups_of("app").len(),
        1,
        "not even a backup was taken"
    );
}
