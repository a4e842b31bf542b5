//! Copies in another independent and strict store, Ceph's gateway, in the stack's own network.
//!
//! `make stores` runs it: it is a bench target, since the store's image takes minutes to make; it stands here because it is
//! driven by the same harness.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "in a test a broken expectation is the answer, and its words belong on the screen"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests choose the image under test by the environment"
)]
#![expect(
    dead_code,
    unused_imports,
    reason = "the harness serves the other end-to-end tests too"
)]

mod harness;

use harness::{PROOF, SOON, Stack, docker, wait_until};

const IMAGE: &str = "stackwarden-test/ceph:rgw";
/// 30 MB that no compressor shortens: an upload of several parts.
const BULK: &str = "
CREATE TABLE bulk (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE bulk ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO bulk
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 128) j)
    FROM generate_series(1, 4000) i;
";

#[test]
fn ceph_takes_every_copy_and_gives_it_back() {
    let stack = Stack::builder("ceph")
        .needs_image(IMAGE)
        .service("store", &format!("image: {IMAGE}"))
        .sidecar(|it| {
            it.environment("STACKWARDEN_S3_BUCKET", "shop-backups")
                .environment("STACKWARDEN_S3_ENDPOINT", "http://store:8000")
                .environment("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST")
                .environment("AWS_SECRET_ACCESS_KEY", "secretsecretsecret")
                .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
        })
        .write();
    drop(stack.compose(&["up", "-d", "--wait", "store"]).ok());
    stack.up_database(&[("app", BULK)]);
    stack.up();
    for copies in 1..=2 {
        wait_until("the copies are read back", PROOF, || {
            let listed = stack.backups_of("app");
            let proven = listed.iter().filter(|backup| {
                let places = backup["destinations"].as_array().expect("a list");
                let mut places = places.iter();
                places.any(|it| it["destination"] == "s3" && it["level"] == "archive")
            });
            if proven.count() == copies {
                Ok(())
            } else {
                Err(format!("{listed:?}"))
            }
        });
        if copies == 1 {
            let report = stack.back_up();
            assert_eq!(report["state"], "succeeded", "{report:#}");
        }
    }
    // It does everything that backups use: nothing is to be said about it.
    wait_until("all is well", SOON, || {
        let status = stack.stackwarden(&["status"]).said();
        if status.contains("needs attention") {
            Err(status)
        } else {
            Ok(())
        }
    });
    // The roles' copies are read back after the databases'.
    let listed = wait_until("an independent client lists all proofs", SOON, || {
        let listed = list(&stack);
        match listed.matches(".proof-s3-").count() {
            4 => Ok(listed),
            _ => Err(listed),
        }
    });
    assert!(!listed.contains("probe"), "{listed}");
}

fn list(stack: &Stack) -> String {
    docker(&[
        "exec",
        &stack.container("store"),
        "s3cmd",
        "--config=/dev/null",
        "--no-ssl",
        "--access_key=AKIATESTTESTTEST",
        "--secret_key=secretsecretsecret",
        "--host=127.0.0.1:8000",
        "--host-bucket=127.0.0.1:8000",
        "ls",
        "--recursive",
        "s3://shop-backups",
    ])
    .ok()
}
