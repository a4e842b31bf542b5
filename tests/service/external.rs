//! Databases outside the stack: a server of nobody's project, reached over TLS by a role that owns its database and no more.

mod gate;
mod server;
mod wrong;

use serde_json::{Value, json};

use crate::harness::{
    Artefact, PROOF, SIDECAR, SOON, Stack, StackBuilder, Watch, wait_until, with_clients,
};
use server::{PASSWORD, Server};

/// A stack whose sidecar has the programs, and these servers in a file.
fn stack(test: &str) -> StackBuilder {
    Stack::builder(test)
        .with_ports()
        .sidecar(|it| {
            it.image(&with_clients())
                .environment("STACKWARDEN_EXTERNAL_FILE", "/run/secrets/servers")
                .environment("STACKWARDEN_LOG", "trace")
                .volume("./certificates:/certificates:ro")
                .volume("./secrets:/run/secrets:ro")
        })
        .file("secrets/servers", "[]")
        .file("certificates/none", "")
}

/// Backups of one database outside, oldest first.
fn backups(stack: &Stack, server: &str, database: &str) -> Vec<Value> {
    let mut listed = stack.backups();
    listed.retain(|it| it["service"] == server && it["database"] == database);
    listed
}

/// Waits until the newest backup is proven at a level.
#[track_caller]
fn wait_for(stack: &Stack, server: &str, database: &str, level: &str) -> Value {
    wait_until(
        &format!("{server}/{database} is proven at {level}"),
        PROOF,
        || match backups(stack, server, database).pop() {
            Some(it) if it["standing"] == "proven" && it["level"] == level => Ok(it),
            other => Err(format!(
                "{other:?}\n{}",
                stack.stackwarden(&["status"]).said()
            )),
        },
    )
}

#[track_caller]
fn concern(stack: &Stack, server: &str, parts: &[&str]) {
    wait_until(&format!("status tells of {server}"), SOON, || {
        let said = stack.stackwarden(&["status"]).said();
        let begin = format!("{server}: ");
        let is_told =
            |line: &&str| line.contains(&begin) && parts.iter().all(|part| line.contains(part));
        match said.lines().find(is_told) {
            Some(_) => Ok(()),
            None => Err(said),
        }
    });
}

#[test]
fn a_database_outside_the_stack_is_backed_up_proven_and_restored_by_its_owner_over_tls() {
    let stack = stack("external").write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS i")]);
    let server = Server::start(&stack);
    let url = format!("postgres://shop@{}/shop?schema=public", server::HOST);
    let ca = "/certificates/ca.pem";
    let servers = json!([
        {"name": "shop-db", "url": url, "password_file": "/run/secrets/shop", "ca": ca, "image": "postgres:17"},
        {"name": "bare", "url": format!("{}?sslmode=require", server::url("shop", "locked"))},
        {"name": "books", "url": server::url("keeper", "ledger"), "ca": ca, "image": "postgres:17", "databases": "*"},
    ]);
    server::give(&stack, &servers);
    let watch = Watch::begin(&stack);
    stack.up();

    let proven = wait_for(&stack, "shop-db", "shop", "content");
    assert_eq!(
        proven["tables"], 3,
        "two tables and large objects: {proven:#}"
    );
    drop(wait_for(&stack, "bare", "locked", "archive"));
    let proof = proof_of(&stack, "bare", "locked");
    assert!(
        proof.contains("STACKWARDEN_EXTERNAL names none for it"),
        "{proof}"
    );
    drop(stack.wait_for_proof("app", "content"));

    it_is_shown_like_any_other(&stack);
    roles_come_without_passwords(&stack);
    what_may_not_be_asked_is_unknown(&stack);
    let taken = stack.stackwarden(&["backup", "shop-db/shop"]).ended_with(0);
    assert!(taken.said().contains("shop-db/shop"), "{}", taken.said());
    let id = proven["id"].as_str().expect("an id");
    drop(stack.stackwarden(&["verify", id]).ended_with(0));
    it_is_restored_beside(&stack, &server, id);
    it_is_swapped_where_the_login_may_enter_postgres(&stack, &server, id);
    no_password_is_shown(&stack, watch);
}

/// The newest proof of a server's database, as it is written.
fn proof_of(stack: &Stack, server: &str, database: &str) -> String {
    let folder = stack.backup_folder().join(stack.project()).join(server);
    let folder = folder.join(database);
    let names = crate::harness::names(&folder);
    let proof = names.iter().rfind(|name| name.contains(".proof-"));
    let proof = proof.expect("a proof");
    std::fs::read_to_string(folder.join(proof)).expect("read a proof")
}

fn it_is_shown_like_any_other(stack: &Stack) {
    let status = stack.stackwarden_json(&["status"]);
    let databases = status["databases"].as_array().expect("databases");
    for (server, database) in [("shop-db", "shop"), ("bare", "locked"), ("books", "ledger")] {
        let one = databases.iter().find(|it| it["service"] == server);
        let one = one.unwrap_or_else(|| panic!("{status:#}"));
        assert_eq!(
            (&one["database"], &one["server"]),
            (&json!(database), &json!("reached")),
            "{one:#}"
        );
        assert!(one["next_run"].is_string(), "{one:#}");
    }
    let metrics = stack.public("/metrics").expect("an answer").body;
    for line in [
        "stackwarden_postgres_up{service=\"shop-db\"} 1",
        "stackwarden_postgres_up{service=\"bare\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}:\n{metrics}");
    }
    let labels = "service=\"shop-db\",database=\"shop\"";
    assert!(metrics.contains(labels), "{metrics}");
    let health = stack.public("/health").expect("an answer");
    assert_eq!(health.status, 200);
    assert_eq!(
        health.json()["checks"]["databases"][0]["status"],
        "pass",
        "{}",
        health.body
    );
}

/// The owner may read no password; without them the roles still come, and say so.
fn roles_come_without_passwords(stack: &Stack) {
    let folder = stack.backup_folder().join(stack.project());
    let folder = folder.join("shop-db/globals");
    let roles = Artefact::list(&folder).pop().expect("roles");
    let text = std::fs::read_to_string(&roles.stored).expect("read the roles");
    assert!(
        text.contains("CREATE ROLE shop") && !text.contains("PASSWORD"),
        "{text}"
    );
    assert!(
        text.starts_with("-- The roles come without their passwords"),
        "{text}"
    );
}

/// A refusal would have ended the transaction that holds the snapshot.
fn what_may_not_be_asked_is_unknown(stack: &Stack) {
    let identifier = |server: &str, database: &str| {
        let folder = stack.backup_folder().join(stack.project()).join(server);
        let newest = Artefact::list(&folder.join(database))
            .pop()
            .expect("a backup");
        newest.manifest["system_identifier"].clone()
    };
    assert_eq!(identifier("bare", "locked"), "unknown");
    assert_ne!(identifier("shop-db", "shop"), "unknown");
}

fn it_is_restored_beside(stack: &Stack, server: &Server, id: &str) {
    let rows = "SELECT (SELECT count(*) FROM orders), (SELECT sum(amount) FROM orders), (SELECT count(*) FROM pg_largeobject_metadata)";
    let before = server.psql("shop", rows);
    drop(server.psql("shop", "DELETE FROM orders WHERE id > 10"));
    let said = stack
        .stackwarden(&["restore", id, "--into", "look"])
        .ended_with(0)
        .said();
    assert!(
        said.contains("restored into the new database look, proven at level content"),
        "{said}"
    );
    assert_eq!(server.psql("look", rows), before);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'look'";
    assert_eq!(server.psql("postgres", owner), "shop");
}

fn it_is_swapped_where_the_login_may_enter_postgres(stack: &Stack, server: &Server, id: &str) {
    let refused = stack
        .stackwarden(&["restore", id, "--swap", "--yes"])
        .ended_with(1);
    assert!(
        refused
            .said()
            .contains("GRANT CONNECT ON DATABASE postgres"),
        "{}",
        refused.said()
    );
    let ledger = wait_for(stack, "books", "ledger", "content");
    let id = ledger["id"].as_str().expect("an id");
    let rows = "SELECT count(*) FROM entries";
    drop(server.psql("ledger", "DELETE FROM entries WHERE i > 10"));
    drop(
        stack
            .stackwarden(&["restore", id, "--swap", "--yes"])
            .ended_with(0),
    );
    assert_eq!(server.psql("ledger", rows), "100");
    let undo = ["restore", "--undo", "--database", "books/ledger", "--yes"];
    drop(stack.stackwarden(&undo).ended_with(0));
    assert_eq!(server.psql("ledger", rows), "10");
}

/// Neither arguments, nor `docker inspect`, nor a log with everything in it.
fn no_password_is_shown(stack: &Stack, watch: Watch) {
    let seen = watch.end();
    let is_seen = |program: &str| {
        let mut lines = seen.arguments.iter();
        lines.any(|line| line.contains(program) && line.contains("sslmode='verify-full'"))
    };
    assert!(
        is_seen("pg_dump") && is_seen("psql"),
        "nothing was looked at"
    );
    let log = stack.logs(SIDECAR);
    assert!(
        log.contains("\"TRACE\"") || log.contains("\"DEBUG\""),
        "the log tells less than was asked for"
    );
    let mut shown = vec![
        log,
        stack.inspect(SIDECAR, "{{json .}}"),
        stack.stackwarden(&["config"]).said(),
    ];
    shown.extend(seen.arguments);
    shown.extend(seen.helpers.values().map(Value::to_string));
    shown.push(stack.public("/metrics").expect("an answer").body);
    for text in shown {
        let at = [PASSWORD, server::PASSWORD_IN_URL]
            .into_iter()
            .find_map(|it| text.find(it));
        assert!(
            at.is_none(),
            "{}",
            text.get(at.unwrap_or(0).saturating_sub(200)..)
                .unwrap_or(&text)
        );
    }
    let kept = stack
        .exec(
            SIDECAR,
            &[
                "sh",
                "-c",
                "stat -c '%a %U' /dev/shm/stackwarden-*/* /dev/shm/stackwarden-*",
            ],
        )
        .ok();
    let modes: Vec<&str> = kept
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert!(
        modes.contains(&"600") && modes.iter().all(|mode| matches!(*mode, "600" | "700")),
        "{kept}"
    );
    let zombies = stack
        .exec(
            SIDECAR,
            &["sh", "-c", "cat /proc/[0-9]*/stat | grep -c ' Z ' || true"],
        )
        .ok();
    assert_eq!(zombies.trim(), "0", "programs that ended were left behind");
}

#[test]
fn a_server_older_than_the_programs_is_proven_in_their_version() {
    let stack = stack("external-older").needs_image("postgres:15").write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS i")]);
    let _server = Server::start_of(&stack, "postgres:15");
    let url = server::url("shop", "shop");
    let ca = "/certificates/ca.pem";
    server::give(
        &stack,
        &json!([{"name": "shop-db", "url": url, "ca": ca, "image": "postgres:17"}]),
    );
    stack.up();
    drop(wait_for(&stack, "shop-db", "shop", "content"));
    let folder = stack.backup_folder().join(stack.project());
    let newest = Artefact::list(&folder.join("shop-db/shop"))
        .pop()
        .expect("a backup");
    let of = |key: &str| newest.manifest[key].as_str().unwrap_or_default().to_owned();
    assert!(
        of("server").starts_with("15.") && of("pg_dump").starts_with("17."),
        "{:#}",
        newest.manifest
    );
}
