//! `kill -9` in the middle of a restore and of a swap: the application's database is there, old or new, and the next run
//! heals what was left.

use super::{databases, kept, no_copy_is_left, proven, restored};
use crate::harness::{DATABASE, PROOF, SIDECAR, SOON, Stack, catch, wait_until};

/// 65 MB that no compressor shortens: a restore takes seconds.
const BULK: &str = "
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 5000) i;
CREATE TABLE bulk (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE bulk ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO bulk
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 128) j)
    FROM generate_series(1, 8000) i;
";

fn answers(stack: &Stack) -> Result<(), String> {
    let asked = stack.stackwarden(&["--json", "status"]);
    if asked.said().contains("postgres") {
        Ok(())
    } else {
        Err(asked.said())
    }
}

/// The application can connect, and finds all of its rows.
#[track_caller]
fn the_application_works(stack: &Stack) {
    assert_eq!(stack.psql("app", "SELECT count(*) FROM orders"), "5000");
    let closed =
        "SELECT count(*) FROM pg_database WHERE NOT datallowconn AND datname <> 'template0'";
    assert_eq!(stack.psql("postgres", closed), "0");
}

fn has_copy(stack: &Stack) -> Result<(), String> {
    let all = databases(stack);
    if all.iter().any(|it| it.starts_with("stackwarden_copy_")) {
        Ok(())
    } else {
        Err(format!("{all:?}"))
    }
}

#[test]
fn a_sidecar_killed_in_a_restore_leaves_the_live_database_and_the_next_run_removes_the_copy() {
    // Nothing here needs a proof, and a proof of so much takes its time.
    let stack = Stack::builder("restore-kill")
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "archive"))
        .write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    let id = stack.wait_for_backup("app")["id"].to_string();
    let id = id.trim_matches('"');
    for words in [
        &["restore", id, "--into", "copy"][..],
        &["restore", id, "--swap", "--yes"],
    ] {
        drop(stack.stackwarden_aside(words));
        catch("the copy is there", PROOF, || has_copy(&stack));
        stack.kill(SIDECAR);
        the_application_works(&stack);
        assert!(has_copy(&stack).is_ok(), "nobody was there to remove it");
        stack.start(SIDECAR);
        wait_until("the sidecar is back", SOON, || answers(&stack));
        no_copy_is_left(&stack);
        the_application_works(&stack);
        assert_eq!(databases(&stack), ["app", "postgres"]);
    }
    // A command in place heals as well.
    drop(stack.stackwarden_aside(&["restore", id, "--into", "copy"]));
    catch("the copy is there", PROOF, || has_copy(&stack));
    stack.kill(SIDECAR);
    drop(
        stack
            .stackwarden_once(&["restore", id, "--swap", "--yes"])
            .ended_with(0),
    );
    no_copy_is_left(&stack);
    the_application_works(&stack);
    kept(&stack, "before");
}

#[test]
fn a_sidecar_killed_in_the_exchange_leaves_the_old_or_the_new_database() {
    let stack = Stack::builder("restore-kill-swap").write();
    stack.up_database(&[(
        "app",
        "CREATE TABLE orders AS SELECT generate_series(1, 5000) AS id",
    )]);
    stack.up();
    proven(&stack);
    // Whoever comments on a database holds a lock that a rename waits for.
    let mut commenting = stack.session("postgres");
    drop(commenting.say("BEGIN; COMMENT ON DATABASE app IS 'busy';"));
    drop(stack.stackwarden_aside(&["restore", "latest", "--swap", "--yes"]));
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'object' AND mode = 'AccessExclusiveLock'";
    catch("the rename waits", PROOF, || {
        match stack.psql("postgres", waiting).as_str() {
            "0" => Err("it does not".to_owned()),
            _ => Ok(()),
        }
    });
    stack.kill(SIDECAR);
    drop(commenting.say("ROLLBACK;"));
    // Begun, the transaction ends as a whole or not at all.
    wait_until("nobody waits any more", SOON, || {
        match stack.psql("postgres", waiting).as_str() {
            "0" => Ok(()),
            waiting => Err(waiting.to_owned()),
        }
    });
    the_application_works(&stack);
    stack.start(SIDECAR);
    wait_until("the sidecar is back", SOON, || answers(&stack));
    no_copy_is_left(&stack);
    the_application_works(&stack);
    restored(&stack, &["latest", "--swap", "--yes"]);
    restored(&stack, &["--undo", "--yes"]);
    the_application_works(&stack);
    restored(&stack, &["--drop", "--yes"]);
    assert_eq!(databases(&stack), ["app", "postgres"]);
}

#[test]
fn a_restore_that_is_stopped_or_broken_off_leaves_nothing_and_says_so() {
    let stack = Stack::builder("restore-stop").write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    proven(&stack);
    // Told to stop, it takes its copy away before it goes.
    let told = stack.stackwarden_aside(&["restore", "latest", "--swap", "--yes"]);
    catch("the copy is there", PROOF, || has_copy(&stack));
    stack.stop(SIDECAR);
    assert_eq!(
        databases(&stack),
        ["app", "postgres"],
        "{}",
        told.end().said()
    );
    stack.start(SIDECAR);
    wait_until("the sidecar is back", SOON, || answers(&stack));

    // The program that restores is killed.
    let told = stack.stackwarden_aside(&["restore", "latest", "--swap", "--yes"]);
    catch("pg_restore runs", PROOF, || {
        match stack.processes(DATABASE, "pg_restore -w").len() {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    let killed = catch("pg_restore is killed", PROOF, || {
        match stack.kill_processes(DATABASE, "pg_restore") {
            0 => Err("none".to_owned()),
            killed => Ok(killed),
        }
    });
    assert!(killed > 0);
    let said = told.end().ended_with(1).said();
    assert!(said.contains("the copy was removed"), "{said}");
    assert_eq!(databases(&stack), ["app", "postgres"]);

    // A manifest that tells of other rows: the copy is whole, and not what was backed up.
    let artefact = stack.artefacts("app").remove(0);
    let mut manifest = artefact.manifest.clone();
    let tables = manifest["tables"].as_array_mut().expect("tables");
    let orders = tables.iter_mut().find(|it| it["name"] == "public.orders");
    orders.expect("the table")["rows"] = 4999.into();
    artefact.write_manifest(&manifest);
    let said = stack.stackwarden(&["restore", &artefact.id, "--swap", "--yes"]);
    let said = said.ended_with(1).said();
    assert!(
        said.contains("public.orders") && said.contains("the copy is not what was backed up"),
        "{said}"
    );
    artefact.write_manifest(&artefact.manifest);

    // Somebody holds the database's name and does not let go.
    let mut commenting = stack.session("postgres");
    drop(commenting.say("BEGIN; COMMENT ON DATABASE app IS 'busy';"));
    let said = stack.stackwarden(&["restore", &artefact.id, "--swap", "--yes"]);
    let said = said.ended_with(1).said();
    assert!(said.contains("so nothing was changed"), "{said}");
    drop(commenting.say("ROLLBACK;"));
    no_copy_is_left(&stack);
    assert_eq!(databases(&stack), ["app", "postgres"]);
    the_application_works(&stack);
}
