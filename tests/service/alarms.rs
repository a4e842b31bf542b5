//! People are told what fails and what is well again: once each, by a bot and a dead man's switch of the test's own.

use std::path::Path;

use serde_json::Value;

use crate::harness::{
    HttpAnswer, PROOF, Ran, SIDECAR, SOON, Stack, StackBuilder, docker, run, wait_until,
};

/// The bot's server with TLS on 8443, the switch without on 8080; every request is written down.
const OUTSIDE: &str = r#"
import http.server, json, ssl, threading
class Outside(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        with open("/outside/heard.jsonl", "a") as heard:
            heard.write(json.dumps({"line": self.command + " " + self.path, "body": body}) + "\n")
        is_bot = self.path.startswith("/bot")
        status = int(open("/outside/bot").read()) if is_bot and self.path.endswith("/sendMessage") else 200
        answer = {"ok": status == 200, "description": "Forbidden: the test says so"}
        answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    do_POST = do_GET
switch = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Outside)
threading.Thread(target=switch.serve_forever, daemon=True).start()
bot = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Outside)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/certs/outside.pem", "/certs/outside.key")
bot.socket = context.wrap_socket(bot.socket, server_side=True)
bot.serve_forever()
"#;

const SERVICE: &str = "image: python:3.13-slim
command: [python, /outside/outside.py]
stop_grace_period: 0s
volumes: ['./outside:/outside', './certs:/certs:ro']
labels: { stackwarden.health.required: 'false' }";

const BOT_SECRET: &str = "AAHhunter2";
const SWITCH_SECRET: &str = "check-hunter3";
const FAIL: &str = "POST /check-hunter3/fail";
const WELL: &str = "GET /check-hunter3";

pub fn described() -> StackBuilder {
    Stack::builder("alarms")
        .with_ports()
        .needs_image("python:3.13-slim")
        .service("outside", SERVICE)
        .file("outside/outside.py", OUTSIDE)
        .file("outside/bot", "200")
        .sidecar(|it| {
            it.environment("TELEGRAM_BOT_TOKEN", &format!("12345:{BOT_SECRET}"))
                .environment("ADMIN_TELEGRAM_IDS", "11")
                .environment("STACKWARDEN_TELEGRAM_API", "https://outside:8443")
                .environment(
                    "STACKWARDEN_PING_URL",
                    &format!("http://outside:8080/{SWITCH_SECRET}"),
                )
                .environment("SSL_CERT_FILE", "/certs/ca.pem")
                .environment("STACKWARDEN_LOG", "trace")
                .volume("./certs:/certs:ro")
        })
}

#[test]
fn failures_and_recoveries_are_told_once_and_a_channel_that_fails_is_named() {
    let stack = described().write();
    make_certificates(&stack.folder().join("certs"));
    let table = "CREATE TABLE t AS SELECT 1 AS a";
    stack.up_database(&[
        ("app", "CREATE DATABASE other"),
        ("app", table),
        ("other", table),
    ]);
    stack.up();
    for database in ["app", "other"] {
        drop(stack.wait_for_proof(database, "content"));
    }
    wait_for_pings(&stack, WELL, 1);
    assert_eq!(messages(&stack), Vec::<String>::new());

    one_job_that_fails_twice_is_one_message(&stack);
    a_restart_and_another_failure_repeat_nothing(&stack);
    the_recovery_is_told_once(&stack);
    a_refuted_backup_is_told_until_a_newer_one_is_proven(&stack);
    a_test_says_what_happened_by_channel(&stack);
    a_channel_that_fails_is_named_and_nothing_is_down(&stack);
    no_secret_is_shown(&stack);
}

fn one_job_that_fails_twice_is_one_message(stack: &Stack) {
    connections(stack, "false");
    drop(failing_backup(stack));
    let told = wait_for_messages(stack, 1);
    let message = &told[0];
    for part in [
        "🔴",
        stack.project(),
        "<b>Backup of postgres/app</b> fails since 20",
        "<b>Backup of postgres/other</b> fails since 20",
        "exec stackwarden /stackwarden backup postgres/app</code>",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let failed = wait_for_pings(stack, FAIL, 1);
    let body = failed[0]["body"].as_str().expect("a text");
    assert!(
        body.contains("postgres/app: ") && body.contains("postgres/other: "),
        "{body}"
    );
}

fn a_restart_and_another_failure_repeat_nothing(stack: &Stack) {
    drop(docker(&["restart", &stack.container(SIDECAR)]).ok());
    wait_until("the sidecar is ready", SOON, || {
        let ready = stack.public("/readyz")?;
        if ready.status == 200 {
            Ok(())
        } else {
            Err(ready.body)
        }
    });
    drop(failing_backup(stack));
    wait_for_pings(stack, FAIL, 2);
    assert_eq!(messages(stack).len(), 1);
}

fn the_recovery_is_told_once(stack: &Stack) {
    connections(stack, "true");
    let before = pings(stack, WELL).len();
    drop(stack.stackwarden(&["backup"]).ok());
    let told = wait_for_messages(stack, 2);
    let message = &told[1];
    for part in [
        "✅",
        "<b>Backup of postgres/app</b> is well again; it had failed since 20",
        "<b>Backup of postgres/other</b> is well again",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    wait_for_pings(stack, WELL, before + 1);
}

fn a_refuted_backup_is_told_until_a_newer_one_is_proven(stack: &Stack) {
    drop(stack.wait_for_proof("app", "content"));
    let artefacts = stack.artefacts("app");
    let newest = artefacts.last().expect("a backup");
    let mut bytes = std::fs::read(&newest.stored).expect("read the dump");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest.stored, bytes).expect("write the dump");
    let failed = pings(stack, FAIL).len();
    drop(stack.stackwarden(&["verify", &newest.id]).ended_with(1));
    let told = wait_for_messages(stack, 3);
    for part in ["<b>Proof of postgres/app</b> fails", &newest.id, "SHA-256"] {
        assert!(told[2].contains(part), "{part}: {}", told[2]);
    }
    wait_for_pings(stack, FAIL, failed + 1);
    drop(stack.stackwarden(&["backup", "postgres/app"]).ok());
    let told = wait_for_messages(stack, 4);
    assert!(
        told[3].contains("<b>Proof of postgres/app</b> is well again"),
        "{}",
        told[3]
    );
}

fn a_test_says_what_happened_by_channel(stack: &Stack) {
    let well = stack.stackwarden(&["notify", "test"]).ended_with(0);
    assert!(
        well.stdout
            .contains("telegram: sent: a message went to 1 chats"),
        "{}",
        well.stdout
    );
    assert!(messages(stack).iter().any(|it| it.contains("🔔")));
    std::fs::write(stack.folder().join("outside/bot"), "403").expect("write a file");
    let half = stack
        .stackwarden(&["--json", "notify", "test"])
        .ended_with(3);
    let told = half.json();
    assert_eq!(told[0]["outcome"], "failed", "{told:#}");
    assert!(
        told[0]["detail"]
            .to_string()
            .contains("write to the bot first")
    );
    assert_eq!(told[1]["outcome"], "sent", "{told:#}");
    std::fs::write(stack.folder().join("outside/bot"), "200").expect("write a file");
    let untrusted = test_with(stack, "SSL_CERT_FILE=/certs/other.pem").ended_with(3);
    assert!(
        untrusted.stdout.contains("is not trusted"),
        "{}",
        untrusted.stdout
    );
}

fn test_with(stack: &Stack, variable: &str) -> Ran {
    let container = stack.container(SIDECAR);
    let words = [
        "exec",
        "-e",
        variable,
        &container,
        "/stackwarden",
        "notify",
        "test",
    ];
    docker(&words)
}

fn a_channel_that_fails_is_named_and_nothing_is_down(stack: &Stack) {
    stack.stop("outside");
    drop(stack.stackwarden(&["backup", "postgres/app"]).ok());
    let metric = "stackwarden_notification_channel_up{channel=\"ping\"} 0";
    let health = wait_until("the channel is named", PROOF, || {
        let metrics = stack.public("/metrics")?;
        if !metrics.body.contains(metric) {
            return Err(metrics.body);
        }
        stack.public("/health")
    });
    let health: &HttpAnswer = &health;
    assert_eq!(health.status, 200, "{}", health.body);
    let checks = &health.json()["checks"];
    assert_eq!(checks["notifications"][0]["status"], "warn", "{checks:#}");
    let status = stack.stackwarden(&["status"]).stdout;
    assert!(status.contains("  ping: "), "{status}");
}

fn no_secret_is_shown(stack: &Stack) {
    let mut shown = stack.logs(SIDECAR);
    for command in ["status", "config"] {
        shown.push_str(&stack.stackwarden(&[command]).said());
    }
    for secret in ["hunter2", "hunter3"] {
        let line = shown.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret is shown");
    }
}

fn connections(stack: &Stack, allowed: &str) {
    for database in ["app", "other"] {
        let sql = format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allowed}");
        drop(stack.psql("postgres", &sql));
    }
}

fn failing_backup(stack: &Stack) -> Ran {
    let words = ["backup", "postgres/app", "postgres/other"];
    let ran = stack.stackwarden(&words);
    assert!(matches!(ran.code, 1 | 3), "{}", ran.said());
    ran
}

/// Everything that was said to the outside.
fn heard(stack: &Stack) -> Vec<Value> {
    let text = std::fs::read_to_string(stack.folder().join("outside/heard.jsonl"));
    let text = text.unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The texts of the bot's messages, in order; tests included.
fn messages(stack: &Stack) -> Vec<String> {
    let sent = heard(stack).into_iter().filter(|it| {
        let line = it["line"].as_str().unwrap_or_default();
        line == format!("POST /bot12345:{BOT_SECRET}/sendMessage")
    });
    let texts = sent.map(|it| {
        let body: Value =
            serde_json::from_str(it["body"].as_str().unwrap_or_default()).expect("JSON");
        assert_eq!(body["chat_id"], "11", "{body}");
        body["text"].as_str().expect("a text").to_owned()
    });
    texts.collect()
}

#[track_caller]
pub fn wait_for_messages(stack: &Stack, count: usize) -> Vec<String> {
    let told = wait_until(&format!("message {count}"), PROOF, || {
        let told = messages(stack);
        if told.len() >= count {
            Ok(told)
        } else {
            Err(format!("{told:#?}"))
        }
    });
    assert_eq!(told.len(), count, "{told:#?}");
    told
}

fn pings(stack: &Stack, line: &str) -> Vec<Value> {
    let mut all = heard(stack);
    all.retain(|it| it["line"] == line);
    all
}

#[track_caller]
fn wait_for_pings(stack: &Stack, line: &str, count: usize) -> Vec<Value> {
    wait_until(&format!("{line} {count} times"), SOON, || {
        let heard_so = pings(stack, line);
        if heard_so.len() >= count {
            Ok(heard_so)
        } else {
            Err(format!("{:#?}", heard(stack)))
        }
    })
}

/// An authority of the test's own, a certificate of it for `outside` and for a store's names, and an authority that signed nothing.
pub fn make_certificates(folder: &Path) {
    std::fs::create_dir_all(folder).expect("make a folder");
    let path = |name: &str| folder.join(name).display().to_string();
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    for authority in ["ca", "other"] {
        let (pem, secret) = (
            path(&format!("{authority}.pem")),
            path(&format!("{authority}.key")),
        );
        let subject = format!("/CN={authority} of a test");
        let words = [
            &[
                "req", "-x509", "-days", "2", "-subj", &subject, "-keyout", &secret, "-out", &pem,
            ][..],
            &key[..],
        ];
        drop(run("openssl", &words.concat(), None).ok());
    }
    let (request, secret) = (path("outside.csr"), path("outside.key"));
    let words = [
        "req",
        "-subj",
        "/CN=outside",
        "-keyout",
        &secret,
        "-out",
        &request,
    ];
    drop(run("openssl", &[&words[..], &key[..]].concat(), None).ok());
    let extension = path("outside.ext");
    std::fs::write(
        &extension,
        "subjectAltName=DNS:outside,DNS:store.test,DNS:*.store.test\n",
    )
    .expect("write a file");
    let (ca, ca_key, pem) = (path("ca.pem"), path("ca.key"), path("outside.pem"));
    let words = [
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-extfile",
        &extension,
        "-out",
        &pem,
    ];
    drop(run("openssl", &words, None).ok());
}
