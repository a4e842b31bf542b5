//! How a bucket is reached: encrypted, with an authority of one's own, its name in the host's, with a passing key.

use serde_json::Value;

use super::server::DOMAIN;
use super::wire::Heard;
use super::{BUCKET, KEY, SECRET, Store, copy_of, wait_for_copy};
use crate::alarms::make_certificates;
use crate::harness::{PROOF, SIDECAR, Stack, wait_until};

const TOKEN: &str = "a-token-that-passes";

/// A real TLS terminator before the store's line; the store sees the host that it was asked for.
fn terminator(port: u16) -> String {
    format!(
        "server {{
    listen 443 ssl;
    ssl_certificate /tls/outside.pem;
    ssl_certificate_key /tls/outside.key;
    client_max_body_size 0;
    location / {{
        proxy_pass http://line:{port};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection '';
        proxy_request_buffering off;
        proxy_buffering off;
    }}
}}
"
    )
}

/// A stack whose sidecar reaches the store through the terminator only.
fn behind_a_door(store: &Store) -> Stack {
    let door = format!(
        "image: nginx:stable
extra_hosts: ['line:host-gateway']
volumes: ['./tls:/tls:ro', './terminator.conf:/etc/nginx/conf.d/default.conf:ro']
networks: {{ default: {{ aliases: ['{DOMAIN}', '{BUCKET}.{DOMAIN}'] }} }}"
    );
    let stack = Stack::builder("bucket-tls")
        .needs_image("nginx:stable")
        .file("terminator.conf", &terminator(store.wire.address.port()))
        .service("door", &door)
        .sidecar(|it| {
            it.environment("STACKWARDEN_S3_BUCKET", BUCKET)
                .environment("STACKWARDEN_S3_ENDPOINT", &format!("https://{DOMAIN}"))
                .environment("STACKWARDEN_S3_PATH_STYLE", "false")
                .environment("AWS_ACCESS_KEY_ID", KEY)
                .environment("AWS_SECRET_ACCESS_KEY", SECRET)
                .environment("AWS_SESSION_TOKEN", TOKEN)
                .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
                .environment("SSL_CERT_FILE", "/tls/other.pem")
                .volume("./tls:/tls:ro")
        })
        .write();
    make_certificates(&stack.folder().join("tls"));
    drop(stack.compose(&["up", "-d", "--wait", "door"]).ok());
    stack
}

#[test]
fn a_bucket_behind_tls_is_trusted_by_its_own_authority_and_found_in_the_hosts_name() {
    let store = Store::start();
    let mut stack = behind_a_door(&store);
    stack.up_database(&[("app", super::BULK)]);
    stack.up();
    // It is not known by the authority that is trusted here: one sentence says what to do, and the disk has its backup.
    drop(stack.wait_for_backup("app"));
    let told = wait_until("the refusal is told", PROOF, || {
        let said = stack.stackwarden(&["status"]).said();
        let mut lines = said.lines();
        let told = lines.find(|line| line.contains("cannot be reached"));
        told.map(str::to_owned).ok_or(said)
    });
    assert!(
        told.contains("certificate") && told.contains("SSL_CERT_FILE"),
        "{told}"
    );
    let heard = store.wire.heard();
    assert_eq!(heard, [], "nobody is told anything before that");

    stack.change(|it| it.sidecar(|it| it.environment("SSL_CERT_FILE", "/tls/ca.pem")));
    stack.up();
    let copy = wait_for_copy(&stack, "app", "proven");
    assert_eq!(copy_of(&copy).expect("a copy")["level"], "archive");
    every_request_names_the_bucket_and_signs_the_token(&store);
    the_findings_are_told(&stack);
    let restored = stack.stackwarden(&["restore", &id_of(&copy), "--into", "copy", "--from", "s3"]);
    drop(restored.ended_with(0));
    assert_eq!(stack.psql("copy", "SELECT count(*) FROM bulk"), "4000");
    let logs = stack.logs(SIDECAR);
    assert!(
        !logs.contains(TOKEN) && !logs.contains(SECRET),
        "a key is in the log"
    );
}

#[track_caller]
fn every_request_names_the_bucket_and_signs_the_token(store: &Store) {
    let host = format!("{BUCKET}.{DOMAIN}");
    let heard = store.wire.heard();
    let is_as_meant = |it: &&Heard| {
        let mut signed = it.signed.split(';');
        it.host == host && it.token == TOKEN && signed.any(|name| name == "x-amz-security-token")
    };
    let other = heard.iter().find(|it| !is_as_meant(it));
    assert_eq!(other, None, "of {}", heard.len());
    assert!(heard.len() > 10, "{heard:?}");
}

fn id_of(backup: &Value) -> String {
    backup["id"].as_str().expect("an id").to_owned()
}

fn the_findings_are_told(stack: &Stack) {
    let status = stack.stackwarden(&["status"]).ok();
    let found =
        "written, listed and read back; removed; uploaded in parts; not overwritten; clocks";
    assert!(
        status.contains(&format!("bucket {BUCKET} at {DOMAIN}: {found}")),
        "{status}"
    );
    let told = stack.stackwarden_json(&["status"]);
    assert_eq!(told["bucket"]["reach"], "reached", "{told:#}");
}
