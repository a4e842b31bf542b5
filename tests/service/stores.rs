//! Copies in other independent stores in the stack's own network: Ceph's gateway, which is strict, knows rights, locks,
//! versions and passing keys, and may have a wrong clock; Garage, which people who host themselves run; and rclone, which
//! says 200 and keeps other bytes.
//!
//! `make stores` runs it: it is a bench target, since the stores' images take minutes to make; it stands here because it is
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

#[path = "stores/garage.rs"]
mod garage;
mod harness;

use harness::{PROOF, SIDECAR, SOON, Stack, StackBuilder, docker, wait_until};
use serde_json::Value;

const CEPH: &str = "stackwarden-test/ceph:rgw";
const RCLONE: &str = "stackwarden-test/rclone:s3";
const BUCKET: &str = "shop-backups";
const KEY: &str = "AKIATESTTESTTEST";
/// Of somebody whom the bucket's owner allows what a test wants.
const OTHER_KEY: &str = "AKIAOTHEROTHEROT";
const SECRET: &str = "secretsecretsecret";
/// 30 MB that no compressor shortens: an upload of several parts.
const BULK: &str = "
CREATE TABLE bulk (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE bulk ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO bulk
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 128) j)
    FROM generate_series(1, 4000) i;
";
const ROWS: &str = "CREATE TABLE t AS SELECT i AS a FROM generate_series(1, 100) i";

/// A stack with this store, started, and with a sidecar that uses it with this key.
fn with_store(test: &str, image: &str, variables: &[&str], key: &str) -> StackBuilder {
    let variables = serde_json::to_string(variables).expect("JSON");
    let store = format!("image: {image}\nenvironment: {variables}");
    Stack::builder(test)
        .needs_image(image)
        .service("store", &store)
        .sidecar(|it| {
            it.environment("STACKWARDEN_S3_BUCKET", BUCKET)
                .environment("STACKWARDEN_S3_ENDPOINT", "http://store:8000")
                .environment("AWS_ACCESS_KEY_ID", key)
                .environment("AWS_SECRET_ACCESS_KEY", SECRET)
                .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
        })
}

#[track_caller]
fn up(stack: &Stack, sql: &str) {
    drop(stack.compose(&["up", "-d", "--wait", "store"]).ok());
    stack.up_database(&[("app", sql)]);
    stack.up();
}

/// What the store's owner does with it, by a client that knows nothing of us.
#[track_caller]
fn aws(stack: &Stack, words: &[&str]) -> String {
    let fixed = ["aws", "--endpoint-url", "http://127.0.0.1:8000"];
    stack.exec("store", &[&fixed[..], words].concat()).ok()
}

/// The keys of a bucket.
fn keys_in(stack: &Stack, bucket: &str) -> Vec<String> {
    let query = ["--output", "text", "--query", "Contents[].Key"];
    let words = ["s3api", "list-objects-v2", "--bucket", bucket];
    let said = aws(stack, &[&words[..], &query].concat());
    let keys = said.split_whitespace().filter(|key| *key != "None");
    keys.map(str::to_owned).collect()
}

/// What the other user may do in the bucket; to read what he wrote himself Ceph lets him in any case.
#[track_caller]
fn allow(stack: &Stack, actions: &[&str]) {
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/other"]}, "Action": actions,
        "Resource": [format!("arn:aws:s3:::{BUCKET}"), format!("arn:aws:s3:::{BUCKET}/*")],
    }]});
    let policy = policy.to_string();
    let words = [
        "s3api",
        "put-bucket-policy",
        "--bucket",
        BUCKET,
        "--policy",
        &policy,
    ];
    drop(aws(stack, &words));
}

#[track_caller]
fn wait_for_status(stack: &Stack, wanted: &str) -> String {
    wait_until(wanted, PROOF, || {
        let said = stack.stackwarden(&["status"]).said();
        if said.contains(wanted) {
            Ok(said)
        } else {
            Err(said)
        }
    })
}

fn copy_of(backup: &Value) -> Option<&Value> {
    let places = backup["destinations"].as_array()?;
    places.iter().find(|place| place["destination"] == "s3")
}

#[track_caller]
fn wait_for_copy(stack: &Stack, standing: &str) -> Value {
    stack.wait_for_listed("app", PROOF, |backup| {
        copy_of(backup).is_some_and(|copy| copy["standing"] == standing)
    })
}

/// Backups are listed when nothing of them is missing: bytes, manifest, and that somebody read both back.
#[track_caller]
fn wait_for_copies(stack: &Stack, wanted: usize) {
    wait_until("the copies are read back", PROOF, || {
        let listed = stack.backups_of("app");
        let is_read = |it: &&Value| copy_of(it).is_some_and(|it| it["level"] == "archive");
        if listed.iter().filter(is_read).count() == wanted {
            Ok(())
        } else {
            Err(format!("{listed:?}"))
        }
    });
}

#[test]
fn ceph_takes_every_copy_and_gives_it_back() {
    let stack = with_store("ceph", CEPH, &[], KEY).write();
    up(&stack, BULK);
    wait_for_copies(&stack, 1);
    let report = stack.back_up();
    assert_eq!(report["state"], "succeeded", "{report:#}");
    wait_for_copies(&stack, 2);
    // It does everything that backups use: nothing is to be said about it.
    let status = wait_until("all is well", SOON, || {
        let status = stack.stackwarden(&["status"]).said();
        if status.contains("needs attention") {
            Err(status)
        } else {
            Ok(status)
        }
    });
    let found =
        "written, listed and read back; removed; uploaded in parts; not overwritten; clocks";
    assert!(status.contains(found), "{status}");
    // The roles' copies are read back after the databases'.
    let listed = wait_until("an independent client lists all proofs", SOON, || {
        let listed = keys_in(&stack, BUCKET);
        match listed
            .iter()
            .filter(|key| key.contains(".proof-s3-"))
            .count()
        {
            4 => Ok(listed),
            _ => Err(format!("{listed:?}")),
        }
    });
    assert!(
        !listed.iter().any(|key| key.contains("probe")),
        "{listed:?}"
    );
}

/// The store knows the token, and refuses a key that passes without it.
#[test]
fn a_passing_key_of_ceph_works_with_its_token_alone_and_the_bucket_in_the_hosts_name() {
    let mut stack = with_store("ceph-token", CEPH, &["DOMAIN=store"], KEY)
        .service(
            "store",
            &format!(
                "image: {CEPH}\nenvironment: [DOMAIN=store]\nnetworks: {{ default: {{ aliases: [{BUCKET}.store] }} }}"
            ),
        )
        .sidecar(|it| it.environment("STACKWARDEN_S3_PATH_STYLE", "false"))
        .write();
    drop(stack.compose(&["up", "-d", "--wait", "store"]).ok());
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["sts:GetSessionToken"], "Resource": ["*"]}]}"#;
    let words = [
        "iam",
        "put-user-policy",
        "--user-name",
        "test",
        "--policy-name",
        "passing",
        "--policy-document",
        policy,
    ];
    drop(aws(&stack, &words));
    let given = aws(&stack, &["--output", "json", "sts", "get-session-token"]);
    let given: Value = serde_json::from_str(&given).expect("JSON");
    let part = |name: &str| {
        given["Credentials"][name]
            .as_str()
            .expect("a key")
            .to_owned()
    };
    let (id, secret) = (part("AccessKeyId"), part("SecretAccessKey"));
    stack.change(|it| {
        it.sidecar(|it| {
            it.environment("AWS_ACCESS_KEY_ID", &id)
                .environment("AWS_SECRET_ACCESS_KEY", &secret)
        })
    });
    up(&stack, ROWS);
    drop(wait_for_status(&stack, "needs attention"));
    assert_eq!(keys_in(&stack, BUCKET), Vec::<String>::new());

    let token = part("SessionToken");
    stack.change(|it| it.sidecar(|it| it.environment("AWS_SESSION_TOKEN", &token)));
    stack.up();
    drop(wait_for_copy(&stack, "proven"));
    assert!(
        !stack.logs(SIDECAR).contains(&token),
        "the token is in the log"
    );
}

#[test]
fn a_key_that_may_only_write_makes_no_copies_and_leaves_nothing_behind() {
    let stack = with_store("ceph-rights", CEPH, &[], OTHER_KEY).write();
    drop(stack.compose(&["up", "-d", "--wait", "store"]).ok());
    allow(&stack, &["s3:PutObject", "s3:AbortMultipartUpload"]);
    up(&stack, BULK);
    let said = wait_for_status(&stack, "lets this key write but not list");
    assert!(said.contains("give the key that right"), "{said}");
    drop(stack.wait_for_backup("app"));
    let report = stack.stackwarden(&["backup"]).ended_with(3).said();
    assert!(report.contains("on disk only"), "{report}");
    // It is tried every minute, and would leave an object each time.
    let minute = std::time::Instant::now();
    wait_until("two further tries", PROOF, || {
        if minute.elapsed().as_secs() > 130 {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    });
    let listed = keys_in(&stack, BUCKET);
    assert!(
        listed.len() == 1 && listed[0].contains(".stackwarden-probe-"),
        "{listed:?}"
    );
    assert_eq!(uploads(&stack), "", "parts were left");

    // Everything but removing: that is what a lifecycle rule may be for.
    allow(
        &stack,
        &[
            "s3:PutObject",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:AbortMultipartUpload",
        ],
    );
    let said = wait_for_status(&stack, "it does not let us remove anything");
    assert!(
        said.contains("so retention removes nothing there"),
        "{said}"
    );
    assert!(said.contains("not removed; uploaded in parts"), "{said}");
    wait_for_copies(&stack, 2);
    assert_eq!(uploads(&stack), "", "parts were left");
    let health = stack.stackwarden_json(&["status"]);
    assert_eq!(health["verdict"], "warn", "{health:#}");
}

fn uploads(stack: &Stack) -> String {
    let query = ["--output", "text", "--query", "Uploads[].Key"];
    let words = ["s3api", "list-multipart-uploads", "--bucket", BUCKET];
    let said = aws(stack, &[&words[..], &query].concat());
    said.trim().trim_start_matches("None").to_owned()
}

/// The owner locks what is written for a day. Retention goes on, what it removed is listed no more, and the locked bytes
/// stay where only the store's owner sees them.
#[test]
fn a_bucket_that_locks_what_is_written_is_told_and_retention_harms_nothing_in_it() {
    let stack = with_store("ceph-lock", CEPH, &[], KEY)
        .sidecar(|it| {
            it.environment("STACKWARDEN_S3_BUCKET", "shop-locked")
                .environment("STACKWARDEN_BACKUP_KEEP", "last=1")
        })
        .write();
    drop(stack.compose(&["up", "-d", "--wait", "store"]).ok());
    make_a_locking_bucket(&stack);
    up(&stack, BULK);
    wait_for_copies(&stack, 1);
    // The roles' copy is read back behind the database's.
    let said = wait_until("all is well", SOON, || {
        let said = stack.stackwarden(&["status"]).said();
        if said.contains("needs attention") {
            Err(said)
        } else {
            Ok(said)
        }
    });
    assert!(
        said.contains("it locks what is written (this until "),
        "{said}"
    );
    let first = stack.backups_of("app")[0]["id"].clone();
    let first = first.as_str().expect("an id");
    for wanted in [2, 2] {
        let report = stack.back_up();
        assert_eq!(report["state"], "succeeded", "{report:#}");
        wait_for_copies(&stack, wanted);
    }
    let listed = keys_in(&stack, LOCKED[1]);
    assert!(!listed.iter().any(|key| key.contains(first)), "{listed:?}");
    the_locked_bytes_are_there(&stack, first);
}

const LOCKED: [&str; 2] = ["--bucket", "shop-locked"];

#[track_caller]
fn make_a_locking_bucket(stack: &Stack) {
    let make = ["s3api", "create-bucket", "--object-lock-enabled-for-bucket"];
    drop(aws(stack, &[&make[..], &LOCKED].concat()));
    let rule = r#"{"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}"#;
    let lock = [
        "s3api",
        "put-object-lock-configuration",
        "--object-lock-configuration",
        rule,
    ];
    drop(aws(stack, &[&lock[..], &LOCKED].concat()));
}

#[track_caller]
fn the_locked_bytes_are_there(stack: &Stack, first: &str) {
    let versions = [
        "s3api",
        "list-object-versions",
        "--output",
        "text",
        "--query",
    ];
    let kept = aws(
        stack,
        &[&versions[..], &["Versions[].[Key,VersionId]"], &LOCKED].concat(),
    );
    let dump = kept
        .lines()
        .find(|line| line.contains(first) && line.contains(".dump"));
    let dump = dump.unwrap_or_else(|| panic!("the locked bytes are gone: {kept}"));
    let (key, version) = dump.trim().split_once('\t').expect("a key and a version");
    let remove = [
        "s3api",
        "delete-object",
        "--key",
        key,
        "--version-id",
        version,
    ];
    let fixed = ["aws", "--endpoint-url", "http://127.0.0.1:8000"];
    let refused = stack.exec("store", &[&fixed[..], &remove, &LOCKED].concat());
    assert!(
        refused.said().contains("AccessDenied"),
        "{}",
        refused.said()
    );
}

/// Beyond 15 minutes too, where stores refuse a signature: the next one is made by the store's own clock.
#[test]
fn a_store_whose_clock_is_wrong_is_told_and_used() {
    for (name, clock) in [("ceph-clock", "CLOCK=+5m"), ("ceph-late", "CLOCK=+20m")] {
        let stack = with_store(name, CEPH, &[clock], KEY).write();
        up(&stack, ROWS);
        let said = wait_for_status(&stack, "its clock and ours are");
        assert!(said.contains("set the host's clock"), "{said}");
        drop(wait_for_copy(&stack, "proven"));
    }
}

/// What clients do unless they are told not to: the checksum comes behind the body.
fn upload_as_others_do(stack: &Stack, key: &str, path: &std::path::Path) {
    use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
    use aws_sdk_s3::primitives::ByteStream;
    let address = stack.inspect(
        "store",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
    );
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(KEY, SECRET, None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}:8000"))
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let client = aws_sdk_s3::Client::from_conf(config.build());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let body = ByteStream::from_path(path).await.expect("a file");
        let put = client.put_object().bucket(BUCKET).key(key).body(body);
        drop(put.send().await.expect("the store says 200"));
    });
}

/// A real store that lies: it answers 200 and keeps another content of the right length.
#[test]
fn what_rclone_keeps_in_place_of_a_copy_is_not_verified_and_written_again() {
    let stack = with_store("rclone", RCLONE, &[], KEY).write();
    up(&stack, ROWS);
    let backup = wait_for_copy(&stack, "proven");
    let (id, file) = (&backup["id"], &backup["file"]);
    let (id, file) = (id.as_str().expect("an id"), file.as_str().expect("a name"));
    let good = stack.series_folder("app").join(file);
    let key = format!("{}/postgres/app/{file}", stack.project());
    let object = format!("/objects/{BUCKET}/{key}");
    let sum = |path: &str| stack.exec("store", &["sha256sum", path]).ok();
    let written = sum(&object);
    let wanted = backup["sha256"].as_str().expect("a hash");
    assert!(written.starts_with(wanted), "{written}");

    upload_as_others_do(&stack, &key, &good);
    let size = stack.exec("store", &["stat", "-c", "%s", &object]).ok();
    let length = std::fs::metadata(&good).expect("a file").len();
    assert_eq!(size.trim(), length.to_string());
    assert_ne!(sum(&object), written, "this store does not lie any more");
    let said = stack.stackwarden(&["verify", id, "--from", "s3", "--level", "archive"]);
    let said = said.ended_with(1).said();
    assert!(said.contains("not those that were written"), "{said}");
    wait_until("it is written again and read back", PROOF, || {
        let now = sum(&object);
        if now == written { Ok(()) } else { Err(now) }
    });
    drop(wait_for_copy(&stack, "proven"));
}

#[test]
fn a_store_that_takes_no_parts_and_overwrites_is_told_and_costs_no_backup() {
    let stack = with_store("rclone-parts", RCLONE, &[], KEY).write();
    up(&stack, BULK);
    let said = wait_for_status(&stack, "it does not refuse to overwrite");
    assert!(said.contains("it takes no uploads in parts"), "{said}");
    drop(stack.wait_for_backup("app"));
    let said = stack.stackwarden(&["backup"]).ended_with(3).said();
    assert!(said.contains("on disk only"), "{said}");
    assert_eq!(stack.artefacts("app").len(), 2);
}
