//! What is wrong with a server outside the stack, or with all of them: a sentence each, and nobody else suffers.

use serde_json::{Value, json};

use super::server::{HOST, PASSWORD_IN_URL, Server, give, url};
use super::{backups, concern, proof_of, stack, wait_for};
use crate::harness::{PROOF, SIDECAR, Stack, wait_until};

/// Another secret, that no server knows.
const WRONG: &str = "wrong-8c1f04d27a";

/// A server that is wrong in its own way, and what is said of it.
struct Case {
    name: &'static str,
    entry: Value,
    said: &'static [&'static str],
}

fn case(name: &'static str, mut entry: Value, said: &'static [&'static str]) -> Case {
    entry["name"] = json!(name);
    Case { name, entry, said }
}

fn cases() -> Vec<Case> {
    let (host, good) = (HOST, url("shop", "shop"));
    let at =
        |host: &str, port: u16| format!("postgres://shop:{PASSWORD_IN_URL}@{host}:{port}/shop");
    let plain = |url: String| json!({"url": url});
    let trusting = |url: String, ca: &str| json!({"url": url, "ca": ca});
    let proven = |image: &str| json!({"url": format!("{good}?sslmode=require"), "image": image});
    let nothing = format!("{}?sslmode=require", url("shop", "nothing"));
    let wrong = format!("postgres://shop:{WRONG}@{host}/shop");
    vec![
        case(
            "misnamed",
            trusting(at("other.example", 5432), "/certificates/ca.pem"),
            &["does not match host name", "nothing was sent to it"],
        ),
        case(
            "stranger",
            trusting(at(host, 5432), "/certificates/other.pem"),
            &["certificate verify failed", "nothing was sent to it"],
        ),
        case(
            "mistaken",
            plain(wrong),
            &[
                "password authentication failed",
                "correct user and password in STACKWARDEN_EXTERNAL",
            ],
        ),
        case(
            "closed",
            plain(at(host, 5999)),
            &["Connection refused", "is it running"],
        ),
        case(
            "silent",
            plain(at(host, 5998)),
            &["timeout expired", "is it running"],
        ),
        case(
            "nowhere",
            plain(at("nowhere.example", 5432)),
            &["could not translate host name"],
        ),
        case(
            "plain",
            plain(format!("{good}?sslmode=disable")),
            &["no encryption", "pg_hba.conf"],
        ),
        case(
            "missing",
            plain(nothing),
            &["does not exist", "correct url or databases"],
        ),
        case("imageless", proven("stackwarden-test/no-such-image:1"), &[]),
        case("old", proven("postgres:15"), &[]),
    ]
}

#[test]
fn what_is_wrong_with_one_server_is_one_sentence_and_hinders_no_other() {
    let stack = stack("external-wrong").needs_image("postgres:15").write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS i")]);
    let _server = Server::start(&stack);
    let cases = cases();
    let entries: Value = cases.iter().map(|it| it.entry.clone()).collect();
    give(&stack, &entries);
    stack.up();
    for case in cases.iter().filter(|it| !it.said.is_empty()) {
        concern(&stack, case.name, case.said);
    }
    wait_until("the proof without an image says so", PROOF, || {
        if stack
            .logs(SIDECAR)
            .contains("docker pull stackwarden-test/no-such-image:1")
        {
            Ok(())
        } else {
            Err(stack.stackwarden(&["backups"]).said())
        }
    });
    drop(wait_for(&stack, "old", "shop", "archive"));
    let proof = proof_of(&stack, "old", "shop");
    assert!(proof.contains("version 17 in this image"), "{proof}");
    for name in ["stranger", "mistaken", "closed"] {
        let failed = stack.stackwarden(&["backup", &format!("{name}/shop")]);
        let said = failed.ended_with(1).said();
        assert!(said.contains(name) && !said.contains(WRONG), "{said}");
    }
    // The stack's own database, and who serves it, notice nothing.
    drop(stack.wait_for_proof("app", "content"));
    let status = stack.stackwarden_json(&["status"]);
    let services = status["services"].as_array().expect("services");
    assert!(
        services.iter().all(|it| it["verdict"] == "pass"),
        "{status:#}"
    );
    assert_eq!(backups(&stack, "stranger", "shop"), Vec::<Value>::new());
}

#[test]
fn the_image_without_programs_says_which_one_is_needed() {
    let servers = format!(
        r#"[{{"name": "shop-db", "url": "postgres://shop:{WRONG}@db.example/shop"}}, {{"name": "postgres", "url": "postgres://shop@db.example/shop"}}]"#
    );
    let stack = Stack::builder("external-bare")
        .with_ports()
        .sidecar(|it| it.environment("STACKWARDEN_EXTERNAL", &servers))
        .write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS i")]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    concern(
        &stack,
        "shop-db",
        &[
            "this image has no PostgreSQL programs",
            "make image-with-clients",
        ],
    );
    let log = stack.logs(SIDECAR);
    assert!(
        log.contains("are not backed up: this image has no PostgreSQL programs"),
        "{log}"
    );
    let said = stack.stackwarden(&["status"]).said();
    assert!(
        said.contains("postgres is the name of a service of this stack"),
        "{said}"
    );
    let health = stack.public("/health").expect("an answer");
    assert_eq!(health.status, 200);
    assert_ne!(
        health.json()["checks"]["databases"][0]["status"],
        "pass",
        "{}",
        health.body
    );
    let failed = stack.stackwarden(&["backup", "shop-db/shop"]).ended_with(1);
    assert!(failed.said().contains("with-clients"), "{}", failed.said());
    assert!(!failed.said().contains(WRONG));
}
