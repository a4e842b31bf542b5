//! `restore --swap`, `--undo` and `--drop`: both sides keep every row that was committed to them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{SHOP, databases, kept, no_copy_is_left, outside, proven, refused, restored};
use crate::harness::{DATABASE, Ran, SIDECAR, SOON, Stack, docker, run, wait_until};

/// One row at a time, each by a session of its own; what was committed is written down after it was.
const WRITER: &str = r#"
i=0
while [ ! -e /tmp/enough ]; do
  i=$((i + 1))
  psql -qX -U app -d app -c "INSERT INTO orders VALUES (1000000 + $i, 'written', 'new')" >/dev/null 2>&1 && echo $((1000000 + i)) >> /tmp/written
done
touch /tmp/ended
"#;

fn written(stack: &Stack) -> BTreeSet<String> {
    let read = stack.exec(DATABASE, &["cat", "/tmp/written"]);
    read.stdout.lines().map(str::to_owned).collect()
}

fn rows(stack: &Stack, database: &str) -> BTreeSet<String> {
    let read = stack.psql(database, "SELECT id FROM orders WHERE id > 1000000");
    read.lines().map(str::to_owned).collect()
}

fn wait_for_writes(stack: &Stack) {
    let before = written(stack).len();
    wait_until("the writer writes", SOON, || {
        let now = written(stack).len();
        if now > before + 5 {
            Ok(())
        } else {
            Err(format!("{now}"))
        }
    });
}

#[test]
fn a_swap_and_its_undo_lose_no_committed_row_of_either_side() {
    let stack = Stack::builder("restore-swap")
        .service("api", "image: redis:7\ndepends_on: [postgres]")
        .service("edge", "image: redis:7\ndepends_on: [api]")
        .write();
    stack.up_database(&[("app", SHOP)]);
    stack.up();
    let id = proven(&stack);
    let before = outside(&stack, "app");
    let container = stack.container(DATABASE);
    drop(docker(&["exec", "-d", &container, "sh", "-c", WRITER]).ok());
    let mut idle = stack.session("app");
    drop(idle.say("BEGIN; SELECT count(*) FROM orders;"));
    wait_for_writes(&stack);

    it_swaps_and_restarts_who_depends_on_it(&stack, &id);
    let aside = kept(&stack, "before");
    assert_eq!(aside, format!("app_before_{id}"));
    assert_eq!(
        outside(&stack, "app"),
        before,
        "seen from outside it is as it was"
    );
    wait_for_writes(&stack);
    nothing_that_was_committed_is_lost(&stack, &aside);
    the_next_backup_is_trusted(&stack, &aside);

    let undone = restored(&stack, &["--undo", "--yes"]);
    assert!(
        undone.contains("as it was before the restore of"),
        "{undone}"
    );
    assert_eq!(outside(&stack, "app"), before);
    let after = kept(&stack, "after");
    assert!(!databases(&stack).contains(&aside));
    wait_for_writes(&stack);
    end_the_writer(&stack);
    nothing_that_was_committed_is_lost(&stack, &after);

    kept_ones_are_no_databases_of_ours(&stack, &after);
    let said = refused(&stack, &["--undo", "--yes"], 1);
    assert!(said.contains("nothing is kept of app"), "{said}");
    restored(&stack, &["--drop", "--yes", "--database", "postgres/app"]);
    assert_eq!(databases(&stack), ["app", "postgres"]);
    no_copy_is_left(&stack);
}

fn it_swaps_and_restarts_who_depends_on_it(stack: &Stack, id: &str) {
    let started = |service: &str| stack.inspect(service, "{{.State.StartedAt}}");
    let (api, edge) = (started("api"), started("edge"));
    let swapped = stack.stackwarden(&["--json", "restore", "latest", "--swap", "--yes"]);
    let swapped = swapped.ended_with(0).json();
    let parts = swapped["parts"].as_array().expect("parts");
    let main = parts.iter().find(|part| part["backup"] == id);
    let detail = main.expect("the swap")["detail"]
        .as_str()
        .expect("a sentence");
    for part in [
        "swapped in, proven at level content: 2 tables",
        " ms and ",
        "sessions were ended",
        "those of today",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    eprintln!("{detail}");
    the_safety_backup_is_told_and_is_not_the_latest(stack, parts, id);
    let restarted =
        |part: &Value| part["subject"] == "service api" && part["detail"] == "restarted";
    assert!(parts.iter().any(restarted), "{parts:#?}");
    assert_ne!(
        started("api"),
        api,
        "who depends on the database is restarted"
    );
    assert_eq!(started("edge"), edge, "and nobody else");
}

/// That a swap gave the database another OID surprises nobody while the old one is kept, and that one is not backed up.
fn the_next_backup_is_trusted(stack: &Stack, aside: &str) {
    drop(stack.back_up());
    let newest = stack.backups_of("app").pop().expect("a backup");
    assert_eq!(newest["suspect"], serde_json::json!([]), "{newest:#}");
    let listed = stack.backups();
    assert!(
        !listed.iter().any(|it| it["database"] == aside),
        "{listed:#?}"
    );
}

fn end_the_writer(stack: &Stack) {
    drop(stack.exec(DATABASE, &["touch", "/tmp/enough"]).ok());
    wait_until("the writer ends", SOON, || {
        let ended = stack.exec(DATABASE, &["cat", "/tmp/ended"]);
        if ended.code == 0 {
            Ok(())
        } else {
            Err(ended.said())
        }
    });
}

fn the_safety_backup_is_told_and_is_not_the_latest(stack: &Stack, parts: &[Value], id: &str) {
    let listed = stack.backups_of("app");
    let newest = listed.last().expect("a backup");
    assert_eq!(newest["reason"], "pre-restore", "{newest:#}");
    assert!(
        parts.iter().any(|part| part["backup"] == newest["id"]),
        "{parts:#?}"
    );
    // Even when it is proven.
    let proof = stack.wait_for_proof("app", "content");
    assert_eq!(proof["id"], newest["id"]);
    let said = restored(stack, &["latest", "--into", "probe"]);
    assert!(said.contains(id), "{said}");
    drop(stack.psql("postgres", "DROP DATABASE probe"));
}

fn nothing_that_was_committed_is_lost(stack: &Stack, aside: &str) {
    let committed = written(stack);
    let (live, kept) = (rows(stack, "app"), rows(stack, aside));
    let lost: Vec<&String> = committed
        .iter()
        .filter(|it| !live.contains(*it) && !kept.contains(*it))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(
        !live.is_empty() && !kept.is_empty(),
        "the writer wrote to both"
    );
    assert!(
        live.is_disjoint(&kept) || !aside.contains("_before_"),
        "a row is on one side only"
    );
}

/// What swaps keep is neither backed up nor shown.
fn kept_ones_are_no_databases_of_ours(stack: &Stack, kept: &str) {
    let backed = stack.back_up();
    assert!(!backed.to_string().contains(kept), "{backed:#}");
    let shown = stack.stackwarden(&["status"]).said();
    assert!(!shown.contains(kept), "{shown}");
}

#[test]
fn what_forbids_a_swap_is_named_before_anything_is_changed() {
    let stack = Stack::builder("restore-forbidden")
        .postgres(|it| {
            it.lines("command: postgres -c max_prepared_transactions=5 -c wal_level=logical")
        })
        .write();
    stack.up_database(&[("app", SHOP)]);
    stack.up();
    proven(&stack);
    let swap = ["latest", "--swap", "--yes"];
    let forbid = [
        (
            "BEGIN; DELETE FROM parts; PREPARE TRANSACTION 'held'",
            "prepared transaction held",
            "ROLLBACK PREPARED 'held'",
        ),
        (
            "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')",
            "replication slot feed",
            "SELECT pg_drop_replication_slot('feed')",
        ),
        (
            "CREATE SUBSCRIPTION news CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
            "subscription news",
            "DROP SUBSCRIPTION news",
        ),
    ];
    for (make, named, unmake) in forbid {
        drop(stack.psql("app", make));
        let said = refused(&stack, &swap, 1);
        assert!(
            said.contains(named) && said.contains("nothing was changed"),
            "{said}"
        );
        assert_eq!(databases(&stack), ["app", "postgres"]);
        drop(stack.psql("app", unmake));
    }
    assert!(
        stack
            .backups()
            .iter()
            .all(|it| it["reason"] != "pre-restore"),
        "not even a backup was taken"
    );
    let said = refused(
        &stack,
        &[
            "latest",
            "--swap",
            "--yes",
            "--database",
            "postgres/postgres",
        ],
        1,
    );
    assert!(said.contains("no backup is proven"), "{said}");
    restored(&stack, &swap);
    kept(&stack, "before");
}

#[test]
fn after_a_down_a_swap_is_done_in_place() {
    let stack = Stack::builder("restore-down")
        .top_level("volumes: { data: {} }")
        .postgres(|it| it.volume("data:/var/lib/postgresql/data"))
        .write();
    stack.up_database(&[("app", SHOP)]);
    stack.up();
    let id = proven(&stack);
    let before = outside(&stack, "app");
    drop(stack.psql("app", "DROP TABLE orders CASCADE"));
    drop(stack.compose(&["down"]).ok());
    let said = stack
        .stackwarden_once(&["restore", "latest", "--swap", "--yes"])
        .ended_with(1)
        .said();
    assert!(said.contains("docker compose up -d --wait"), "{said}");

    stack.up_database(&[]);
    drop(
        stack
            .stackwarden_once(&["restore", "latest", "--swap", "--yes"])
            .ended_with(0),
    );
    assert_eq!(stack.psql("app", "SELECT count(*) FROM orders"), "5000");
    assert_eq!(outside(&stack, "app"), before);
    drop(
        stack
            .stackwarden_once(&["restore", "--undo", "--yes"])
            .ended_with(0),
    );
    let gone = "SELECT to_regclass('orders') IS NULL";
    assert_eq!(stack.psql("app", gone), "t");

    // The volumes are gone too: roles, settings and grants are in the backup alone.
    drop(stack.compose(&["down", "-v"]).ok());
    stack.up_database(&[]);
    drop(
        stack
            .stackwarden_once(&["restore", &id, "--swap", "--yes"])
            .ended_with(0),
    );
    assert_eq!(outside(&stack, "app"), before);
    assert_eq!(stack.psql("app", "SELECT count(*) FROM parts"), "2000");
    stack.up();
    wait_until("the sidecar is back", SOON, || {
        let asked = stack.stackwarden(&["--json", "backups"]);
        if asked.code == 0 {
            Ok(())
        } else {
            Err(asked.said())
        }
    });
    assert_eq!(stack.inspect(SIDECAR, "{{.State.Running}}"), "true");
}

/// What somebody at a terminal types is asked for by a program that makes one.
fn at_a_terminal(stack: &Stack, words: &str, typed: &str) -> Ran {
    let command = format!(
        "docker exec -it {} /stackwarden restore {words}",
        stack.container(SIDECAR)
    );
    run("script", &["-qec", &command, "/dev/null"], Some(typed))
}

#[test]
fn at_a_terminal_the_databases_name_has_to_be_typed() {
    let stack = Stack::builder("restore-asks").write();
    stack.up_database(&[(
        "app",
        "CREATE TABLE t AS SELECT generate_series(1, 10) AS id",
    )]);
    stack.up();
    proven(&stack);
    let refused = at_a_terminal(&stack, "latest --swap", "yes\n");
    assert_eq!(refused.code, 1, "{}", refused.said());
    for part in [
        "postgres/app is going to be replaced",
        "Type the database's name (app)",
        "nothing was changed",
    ] {
        assert!(refused.said().contains(part), "{part}: {}", refused.said());
    }
    assert_eq!(databases(&stack), ["app", "postgres"]);
    let done = at_a_terminal(&stack, "latest --swap", "app\n");
    assert_eq!(done.code, 0, "{}", done.said());
    kept(&stack, "before");
    let done = at_a_terminal(&stack, "--drop", "app\n");
    assert_eq!(done.code, 0, "{}", done.said());
    assert_eq!(databases(&stack), ["app", "postgres"]);
}
