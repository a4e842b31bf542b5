//! An application whose database is outside the stack: the gate finds it by its URL, and takes a backup before it migrates.

use serde_json::json;

use super::server::{PASSWORD_IN_URL, Server, give};
use crate::harness::{Artefact, GATE, Stack, with_clients};
use crate::harness_gate::{API, App, with_gate};

#[test]
fn a_migration_outside_the_stack_has_its_backup_first() {
    let app = App::of(API).migrating("CREATE TABLE added AS SELECT 1 AS i");
    let url = format!("postgresql://shop:{PASSWORD_IN_URL}@db.example:5432/shop?sslmode=require");
    let app = app.yaml().replace(
        "postgresql://app:a%20secret%20of%20the%20test@postgres:5432/app",
        &url,
    );
    let app = format!(
        "{app}\ncommand: [sleep, infinity]\nstop_grace_period: 0s\nvolumes: ['./control:/control:ro']\n"
    );
    let stack = with_gate(Stack::builder("external-gate").without_sidecar())
        .gate(|it| {
            it.image(&with_clients())
                .environment("STACKWARDEN_EXTERNAL_FILE", "/run/secrets/servers")
                .volume("./secrets:/run/secrets:ro")
        })
        .service("app", &app)
        .file("secrets/servers", "[]")
        .file("certificates/none", "")
        .write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS i")]);
    let server = Server::start(&stack);
    give(&stack, &json!([{"name": "shop-db", "url": url}]));
    stack.up();
    let (code, log) = stack.gate_ended();
    assert_eq!(code, 0, "{log}");
    assert_eq!(server.psql("shop", "SELECT i FROM added"), "1");
    let folder = stack.backup_folder().join(stack.project());
    let taken = Artefact::list(&folder.join("shop-db/shop"));
    let reasons: Vec<&serde_json::Value> = taken.iter().map(|it| &it.manifest["reason"]).collect();
    assert_eq!(reasons, ["pre-migration"], "{log}");
    assert!(!stack.logs(GATE).contains(PASSWORD_IN_URL));
}
