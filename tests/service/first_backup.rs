//! A stack without any label or variable: found, backed up, proven, and restorable with stock tools alone.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Artefact, FreshServer, Stack, names, run};

const SHOP: &str = "
CREATE TYPE state AS ENUM ('new', 'paid');
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE bill (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int NOT NULL REFERENCES customer,
    state state NOT NULL DEFAULT 'new',
    body jsonb NOT NULL
);
CREATE INDEX bill_customer ON bill (customer);
CREATE ROLE reader LOGIN PASSWORD 'reads';
GRANT SELECT ON bill TO reader;
INSERT INTO customer (name) SELECT 'customer ' || i FROM generate_series(1, 200) i;
INSERT INTO bill (customer, body)
    SELECT 1 + i % 200, jsonb_build_object('total', i * 0.5) FROM generate_series(1, 2000) i;
";
/// Everything that tells whether two copies hold the same.
const CONTENT: &str = "
SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customer c;
SELECT count(*), md5(string_agg(b::text, ',' ORDER BY id)) FROM bill b;
SELECT has_table_privilege('reader', 'bill', 'SELECT'), has_table_privilege('reader', 'bill', 'INSERT');
SELECT last_value, is_called FROM customer_id_seq;
";

#[test]
fn every_database_of_an_unlabelled_stack_is_backed_up_proven_and_restorable() {
    let stack = Stack::builder("first").write();
    // Whoever owns the folder owns what is written into it; only root can give a folder away.
    drop(chown(stack.backup_folder(), Some(1234), Some(5678)));
    stack.up_database(&[
        ("app", SHOP),
        ("app", "CREATE DATABASE \"My-App\""),
        ("app", "CREATE DATABASE \"o'brien\""),
        (
            "My-App",
            "CREATE TABLE \"Weird.Name\" AS SELECT 1 AS \"a b\"",
        ),
        (
            "o'brien",
            "CREATE TABLE pub (id int); INSERT INTO pub VALUES (1), (2)",
        ),
        ("app", "CREATE DATABASE \"naïve\""),
        (
            "naïve",
            "CREATE TABLE \"café\" AS SELECT 'é' || chr(255) AS \"ÿ\", 'ü'::name AS name",
        ),
        ("postgres", "CREATE TABLE here AS SELECT 'here' AS too"),
    ]);
    let begun = Instant::now();
    stack.up();
    for database in ["app", "My-App", "o'brien", "naïve", "postgres"] {
        let proven = stack.wait_for_proof(database, "content");
        assert_eq!(proven["reason"], "first", "{proven:#}");
    }
    eprintln!("five databases proven {:?} after `up`", begun.elapsed());

    let server = stack.backup_folder().join(stack.project()).join("postgres");
    assert_eq!(
        names(&server),
        [
            "My-App",
            "app",
            "globals",
            "na%C3%AFve",
            "o%27brien",
            "postgres"
        ]
    );
    for folder in names(&server) {
        the_folder_holds_one_backup(&stack, &server.join(folder));
    }
    the_manifest_tells_everything(&stack);
    stock_tools_restore_it(&stack, "postgres:17");
}

#[test]
fn a_first_backup_waits_for_the_first_table() {
    let stack = Stack::builder("first-table").write();
    stack.up_database(&[
        ("app", "CREATE DATABASE bare"),
        ("app", "CREATE DATABASE filled"),
        ("filled", SHOP),
    ]);
    stack.up();
    drop(stack.wait_for_proof("filled", "content"));
    for database in ["app", "bare"] {
        assert_eq!(
            stack.backups_of(database),
            [""; 0],
            "{database} holds nothing"
        );
    }
    drop(stack.psql("app", "CREATE TABLE late AS SELECT 7 AS seven"));
    let first = stack.wait_for_proof("app", "content");
    assert_eq!(first["reason"], "first", "{first:#}");
    let manifest = &stack.artefacts("app")[0].manifest;
    let tables = manifest["tables"].as_array().expect("tables");
    let late = tables.iter().find(|it| it["name"] == "public.late");
    assert_eq!(late.expect("the table")["rows"], 1, "{tables:?}");
    assert_eq!(stack.backups_of("bare"), [""; 0], "it still holds nothing");
    drop(
        stack
            .stackwarden(&["backup", "postgres/bare"])
            .ended_with(0),
    );
    drop(stack.wait_for_proof("bare", "content"));
}

#[test]
fn postgres_15_is_backed_up_through_zstd_proven_and_restorable() {
    let stack = Stack::builder("fifteen")
        .postgres(|it| it.image("postgres:15"))
        .write();
    stack.up_database(&[("app", SHOP)]);
    stack.up();
    let proven = stack.wait_for_proof("app", "content");
    let file = proven["file"].as_str().expect("a file name");
    assert!(file.ends_with(".dump.zst"), "{proven:#}");
    let artefacts = stack.artefacts("app");
    let manifest = &artefacts[0].manifest;
    assert!(
        manifest["pg_dump"]
            .as_str()
            .expect("text")
            .starts_with("15."),
        "{manifest:#}"
    );
    stock_tools_restore_it(&stack, "postgres:15");
}

/// One dump, its manifest, and for a database its proof: nothing else, nobody else's.
fn the_folder_holds_one_backup(stack: &Stack, folder: &Path) {
    let found = names(folder);
    let artefacts = Artefact::list(folder);
    let artefact = artefacts.first().expect("a backup");
    let is_database = !folder.ends_with("globals");
    let expected = if is_database { 3 } else { 2 };
    assert_eq!(found.len(), expected, "{found:?}");
    assert_eq!(artefact.proofs().len(), expected - 2, "{found:?}");
    let owner = std::fs::metadata(stack.backup_folder()).expect("the backup folder");
    for name in &found {
        assert!(name.starts_with(&artefact.id), "{found:?}");
        let file = std::fs::metadata(folder.join(name)).expect("a file");
        assert_eq!(file.mode() & 0o7777, 0o640, "{name}");
        assert_eq!(
            (file.uid(), file.gid()),
            (owner.uid(), owner.gid()),
            "{name}"
        );
    }
    let inside = std::fs::metadata(folder).expect("a folder");
    assert_eq!((inside.uid(), inside.gid()), (owner.uid(), owner.gid()));
    let stored = artefact.stored.display().to_string();
    let sum = run("sha256sum", &[&stored], None).ok();
    let sum = sum.split_whitespace().next().expect("a sum");
    assert_eq!(artefact.manifest["stored_sha256"], sum);
    let size = std::fs::metadata(&artefact.stored).expect("a file").len();
    assert_eq!(artefact.manifest["stored_bytes"], size);
}

fn the_manifest_tells_everything(stack: &Stack) {
    let artefacts = stack.artefacts("app");
    let globals = stack.artefacts("globals");
    let manifest = &artefacts[0].manifest;
    let told = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(manifest["format"], 1);
    assert_eq!(told("id"), artefacts[0].id);
    assert_eq!(told("project"), stack.project());
    assert_eq!(
        (told("service"), told("database")),
        ("postgres".into(), "app".into())
    );
    assert_eq!(
        (told("reason"), told("level")),
        ("first".into(), "archive".into())
    );
    assert_eq!(told("globals"), globals[0].id);
    let identity = stack.psql(
        "app",
        "SELECT system_identifier FROM pg_control_system();
         SELECT oid FROM pg_database WHERE datname = 'app'",
    );
    let here = format!(
        "{}\n{}",
        told("system_identifier"),
        manifest["database_oid"]
    );
    assert_eq!(here, identity);
    assert_eq!(told("image_id"), stack.inspect("postgres", "{{.Image}}"));
    assert_eq!(told("schema_fingerprint").len(), 64);
    assert_eq!(manifest["facts"]["owner"], "app");
    assert_eq!(manifest["facts"]["encoding"], "UTF8");
    let tables = manifest["tables"].as_array().expect("tables");
    let rows = |name: &str| -> Option<&Value> {
        tables
            .iter()
            .find(|it| it["name"] == name && it["digest"].is_string())
    };
    assert_eq!(rows("public.customer").expect("counted")["rows"], 200);
    assert_eq!(rows("public.bill").expect("counted")["rows"], 2000);
    let proof = &artefacts[0].proofs()[0];
    assert_eq!(
        (&proof["level"], &proof["destination"]),
        (&"content".into(), &"disk".into())
    );
}

/// What an owner does who has the folder and Postgres, and nothing else.
fn stock_tools_restore_it(stack: &Stack, image: &str) {
    let fresh = FreshServer::start(stack, image);
    for series in ["globals", "app"] {
        let artefacts = stack.artefacts(series);
        let line = artefacts[0].manifest["restore"].as_str().expect("a line");
        let folder = format!("{}/postgres/{series}", stack.project());
        let restored = fresh.shell(&folder, line).ended_with(0);
        assert!(
            !restored.stderr.contains("ERROR"),
            "{line}: {}",
            restored.stderr
        );
    }
    assert_eq!(fresh.psql("app", CONTENT), stack.psql("app", CONTENT));
}
