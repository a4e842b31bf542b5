//! Copies in a bucket: made in the same pass, read back, missing ones made good; a bucket that is away, lies or is cut
//! off in the middle costs no backup. The store is a real and strict one of the test's own, behind a line that breaks.

mod restore;
mod retention;
#[path = "../s3/server.rs"]
mod server;
mod upkeep;
#[expect(dead_code, reason = "the tests of the store itself break more")]
#[path = "../s3/wire.rs"]
mod wire;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{PROOF, SIDECAR, SOON, Stack, StackBuilder, catch, finish, wait_until};
use server::{BUCKET, KEY, SECRET, Server};
use wire::{Fault, Plan, Wire};

/// 30 MB that no compressor shortens: an upload of several parts.
const BULK: &str = "
CREATE TABLE bulk (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE bulk ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO bulk
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 128) j)
    FROM generate_series(1, 4000) i;
";
const PREFIX: &str = "eu/paris";

/// A store on the host, the line to it, and a folder for its objects.
struct Store {
    server: Server,
    wire: Wire,
    _folder: tempfile::TempDir,
}

impl Store {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start("127.0.0.1:0", folder.path());
        let wire = Wire::start(server.address);
        Self {
            server,
            wire,
            _folder: folder,
        }
    }

    /// The sidecar with this bucket; containers reach the host by its gateway.
    fn with(&self, stack: StackBuilder) -> StackBuilder {
        let endpoint = format!("http://store:{}", self.wire.address.port());
        stack.sidecar(|it| {
            it.lines("extra_hosts: ['store:host-gateway']")
                .environment("STACKWARDEN_S3_BUCKET", BUCKET)
                .environment("STACKWARDEN_S3_PREFIX", PREFIX)
                .environment("STACKWARDEN_S3_ENDPOINT", &endpoint)
                .environment("AWS_ACCESS_KEY_ID", KEY)
                .environment("AWS_SECRET_ACCESS_KEY", SECRET)
                .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
        })
    }

    /// Keys below one database's folder, sorted.
    fn keys(&self, stack: &Stack, database: &str) -> Vec<String> {
        let folder = format!("{PREFIX}/{}/postgres/{database}/", stack.project());
        let objects = self.server.objects();
        let keys = objects.iter().filter_map(|key| key.strip_prefix(&folder));
        keys.map(str::to_owned).collect()
    }

    fn manifests(&self, stack: &Stack, database: &str) -> usize {
        let keys = self.keys(stack, database);
        let stems = keys.iter().filter_map(|key| key.strip_suffix(".json"));
        stems.filter(|stem| !stem.contains(".proof-")).count()
    }
}

/// What `backups` says of the newest backup's copy.
fn copy_of(backup: &Value) -> Option<&Value> {
    let places = backup["destinations"].as_array()?;
    places.iter().find(|place| place["destination"] == "s3")
}

#[track_caller]
fn wait_for_copy(stack: &Stack, database: &str, standing: &str) -> Value {
    stack.wait_for_listed(database, PROOF, |backup| {
        copy_of(backup).is_some_and(|copy| copy["standing"] == standing)
    })
}

#[test]
fn every_backup_is_in_the_bucket_too_and_any_client_can_fetch_it() {
    let store = Store::start();
    let stack = store.with(Stack::builder("bucket").with_ports()).write();
    stack.up_database(&[
        ("app", BULK),
        ("app", "CREATE DATABASE \"o'brien\""),
        ("o'brien", "CREATE TABLE pub AS SELECT 'stout' AS ale"),
    ]);
    stack.up();
    let backup = wait_for_copy(&stack, "app", "proven");
    let copy = copy_of(&backup).expect("a copy");
    assert_eq!(copy["level"], "archive", "{backup:#}");
    wait_until(
        "roles and the other database are read back too",
        PROOF,
        || {
            let others = [
                store.keys(&stack, "globals"),
                store.keys(&stack, "o%27brien"),
            ];
            let has_proof = |keys: &Vec<String>| keys.iter().any(|key| key.contains(".proof-s3-"));
            if others.iter().all(has_proof) {
                Ok(())
            } else {
                Err(format!("{others:?}"))
            }
        },
    );

    let id = backup["id"].as_str().expect("an id");
    let keys = store.keys(&stack, "app");
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!(store.server.unfinished_parts(), 0);
    another_client_fetches(&store, &stack, &backup);

    let manual = stack.back_up();
    let parts = manual["parts"].as_array().expect("parts");
    assert!(
        parts.iter().all(|it| it["outcome"] == "succeeded"),
        "{manual:#}"
    );
    let detail = parts[0]["detail"].as_str().expect("a text");
    assert!(detail.contains("on disk and in the bucket"), "{detail}");

    the_metrics_tell_of_it(&stack);
    let status = stack.stackwarden(&["status"]).ok();
    assert!(
        status.contains("S3") && !status.contains("needs attention"),
        "{status}"
    );
    let logs = stack.logs(SIDECAR);
    assert!(
        !logs.contains(SECRET) && !logs.contains(KEY),
        "a key is in the log"
    );
    assert!(keys.contains(&format!("{id}.json")), "{keys:?}");
}

fn the_metrics_tell_of_it(stack: &Stack) {
    for family in [
        r#"stackwarden_backups_kept{service="postgres",database="app",destination="s3"} 2"#,
        r#"stackwarden_backup_last_success_timestamp_seconds{service="postgres",database="app",destination="s3"} 1"#,
        r#"stackwarden_backup_last_verified_timestamp_seconds{service="postgres",database="app",destination="s3",level="archive"}"#,
    ] {
        wait_until(family, PROOF, || {
            let metrics = stack.public("/metrics")?.body;
            if metrics.contains(family) {
                Ok(())
            } else {
                Err(metrics)
            }
        });
    }
}

/// s3cmd, which knows nothing of us, lists and downloads; `sha256sum` says the same as the manifest.
fn another_client_fetches(store: &Store, stack: &Stack, backup: &Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("s3://{BUCKET}/{PREFIX}/{}/postgres/app/", stack.project());
    let listed = s3cmd(store, &["ls", &url]);
    let file = backup["file"].as_str().expect("a file name");
    assert!(listed.contains(file), "{listed}");
    let path = folder.path().join("fetched");
    let shown = path.to_string_lossy().into_owned();
    drop(s3cmd(store, &["get", &format!("{url}{file}"), &shown]));
    let mut sum = Command::new("sha256sum");
    let said = finish(sum.arg(&path), None).ok();
    let wanted = backup["sha256"].as_str().expect("a hash");
    assert!(said.starts_with(wanted), "{said}");
    assert_same_file(&path, &stack.series_folder("app").join(file));
}

fn assert_same_file(one: &Path, other: &Path) {
    let same = std::fs::read(one).expect("read") == std::fs::read(other).expect("read");
    assert!(same, "{} differs from {}", one.display(), other.display());
}

#[track_caller]
fn s3cmd(store: &Store, arguments: &[&str]) -> String {
    let host = store.server.address.to_string();
    let mut command = Command::new("s3cmd");
    command.args(["--no-ssl", "--config=/dev/null", "--region=us-east-1"]);
    command.args(["--access_key", KEY, "--secret_key", SECRET]);
    command.args(["--host", &host, "--host-bucket", &host]);
    finish(command.args(arguments), None).ok()
}

#[test]
fn a_bucket_that_is_away_costs_no_backup_and_is_made_good() {
    let store = Store::start();
    store.wire.plan(Plan::From(1, Fault::CutBefore));
    let stack = store.with(Stack::builder("away").with_ports()).write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    drop(stack.wait_for_backup("app"));
    // Done in part: the disk's stands, and it is said what is missing.
    let asked = stack
        .stackwarden(&["--json", "backup"])
        .ended_with(3)
        .json();
    let detail = asked["parts"][0]["detail"].as_str().expect("a text");
    assert!(detail.contains("on disk only"), "{asked:#}");
    assert_eq!(stack.backups_of("app").len(), 2);
    assert_eq!(store.server.objects(), Vec::<String>::new());
    let health = stack.public("/health").expect("health");
    assert_eq!(health.status, 200);
    assert!(
        health.body.contains(r#""status":"warn""#),
        "{}",
        health.body
    );
    let status = stack.stackwarden(&["status"]).ok();
    assert!(status.contains("cannot be reached"), "{status}");

    store.wire.plan(Plan::Sound);
    wait_until("both backups are made good and read back", PROOF, || {
        let keys = store.keys(&stack, "app");
        let proofs = keys.iter().filter(|key| key.contains(".proof-s3-")).count();
        if proofs == 2 {
            Ok(())
        } else {
            Err(format!("{keys:?}"))
        }
    });
    wait_until("all is well", SOON, || {
        let status = stack.stackwarden(&["status"]).said();
        if status.contains("needs attention") {
            Err(status)
        } else {
            Ok(())
        }
    });
    assert_eq!(store.manifests(&stack, "app"), 2);
}

#[test]
fn a_store_that_gives_back_other_bytes_is_reported_as_not_proven() {
    let store = Store::start();
    store.wire.plan(Plan::Lying);
    let stack = store.with(Stack::builder("lying").with_ports()).write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS a")]);
    stack.up();
    let backup = wait_for_copy(&stack, "app", "refuted");
    // What lies on disk is as good as before.
    assert_eq!(backup["level"], "archive", "{backup:#}");
    assert_eq!(copy_of(&backup).expect("a copy")["level"], Value::Null);
    let status = stack.stackwarden(&["status"]).ok();
    assert!(status.contains("it is not what was written"), "{status}");
    let metrics = stack.public("/metrics").expect("metrics").body;
    let verified =
        r#"last_verified_timestamp_seconds{service="postgres",database="app",destination="s3""#;
    assert!(!metrics.contains(verified), "{metrics}");
}

#[test]
fn an_upload_that_hangs_is_stopped_or_finds_no_room_is_given_up_and_made_good() {
    let store = Store::start();
    let stack = store.with(Stack::builder("upload-hang")).write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    drop(wait_for_copy(&stack, "app", "proven"));
    for case in ["hang", "disk full", "cancel"] {
        let fault = match case {
            "disk full" => Fault::Full,
            _ => Fault::Hang,
        };
        let before = store.manifests(&stack, "app");
        store.wire.plan(Plan::Parts(2, fault));
        let backup = stack.stackwarden_aside(&["--json", "backup"]);
        if case == "cancel" {
            catch("the upload hangs", PROOF, || match store.wire.parts() {
                0 | 1 => Err("not yet".to_owned()),
                _ => Ok(()),
            });
            wait_until("the backup stands", SOON, || {
                match stack.artefacts("app").len() {
                    count if count > before => Ok(()),
                    count => Err(format!("{count}")),
                }
            });
            stack.stop(SIDECAR);
            assert_eq!(stack.inspect(SIDECAR, "{{.State.ExitCode}}"), "0");
            drop(backup.end());
        } else {
            let report = backup.end().ended_with(3).json();
            let detail = report["parts"][0]["detail"].as_str().expect("a text");
            assert!(detail.contains("on disk only"), "{case}: {report:#}");
            eprintln!("{case}: {detail}");
        }
        assert_eq!(store.manifests(&stack, "app"), before, "{case}");
        assert_eq!(store.server.unfinished_parts(), 0, "{case}: it is aborted");
        assert_eq!(stack.artefacts("app").len(), before + 1, "{case}");
        store.wire.plan(Plan::Sound);
        if case == "cancel" {
            stack.start(SIDECAR);
        }
        wait_until(&format!("{case}: it is made good"), PROOF, || {
            match store.manifests(&stack, "app") {
                count if count > before => Ok(()),
                _ => Err(format!("{:?}", store.keys(&stack, "app"))),
            }
        });
        assert_eq!(store.server.unfinished_parts(), 0, "{case}");
    }
}

#[test]
fn a_sidecar_killed_during_an_upload_leaves_nothing_that_is_listed_and_the_next_start_heals() {
    let store = Store::start();
    let stack = store.with(Stack::builder("upload-kill")).write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    drop(wait_for_copy(&stack, "app", "proven"));
    wait_until("the first jobs end", SOON, || {
        let status = stack.stackwarden_json(&["status"]);
        let jobs = status["jobs"].as_array().expect("jobs").clone();
        let open: Vec<&Value> = jobs.iter().filter(|it| it["ended_at"].is_null()).collect();
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!("{open:?}"))
        }
    });
    drop(stack.stackwarden_aside(&["backup"]));
    catch("parts are there", PROOF, || {
        match store.server.unfinished_parts() {
            0 => Err("none".to_owned()),
            _ => Ok(()),
        }
    });
    stack.kill(SIDECAR);
    assert_eq!(store.manifests(&stack, "app"), 1);
    stack.start(SIDECAR);
    wait_until("its parts are removed", SOON, || {
        match store.server.unfinished_parts() {
            0 => Ok(()),
            parts => Err(format!("{parts} parts")),
        }
    });
    let report = stack.back_up();
    assert_eq!(report["state"], "succeeded", "{report:#}");
    assert_eq!(store.manifests(&stack, "app"), stack.artefacts("app").len());
    assert_eq!(store.server.unfinished_parts(), 0);
}

/// The same object: sealed before it is written, so sealed wherever it goes.
#[test]
fn a_sealed_backup_is_sealed_in_the_bucket_too() {
    let store = Store::start();
    let key = finish(&mut Command::new("age-keygen"), None).ok();
    let public = key
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    let public = public.expect("a public key");
    let stack = store.with(Stack::builder("sealed-bucket"));
    let stack = stack.sidecar(|it| it.environment("STACKWARDEN_AGE_RECIPIENTS", public));
    let stack = stack.write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    let backup = wait_for_copy(&stack, "app", "proven");
    assert_eq!(copy_of(&backup).expect("a copy")["level"], "archive");
    let objects = store.server.objects();
    let data = objects.iter().filter(|key| !key.contains(".json"));
    let data: Vec<&String> = data.collect();
    assert!(data.len() >= 2, "{objects:?}");
    for object in data {
        assert!(
            object.ends_with(".dump.age") || object.ends_with(".sql.age"),
            "{object}"
        );
        let bytes = std::fs::read(store.server.bucket.join(object)).expect("read an object");
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{object}");
    }
    let file = backup["file"].as_str().expect("a file name");
    let key_of = format!("{PREFIX}/{}/postgres/app/{file}", stack.project());
    assert_same_file(
        &store.server.bucket.join(key_of),
        &stack.series_folder("app").join(file),
    );
}
