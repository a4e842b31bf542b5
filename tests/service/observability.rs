//! What the sidecar shows of a stack while it runs: verdicts, metrics, logs.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::{
    GATE, HttpAnswer, SIDECAR, SOON, Service, Stack, StackBuilder, catch, docker, wait_until,
};
use crate::harness_gate::{App, with_gate};

/// From what happens to `/health` that tells it, on a machine with other work.
const EVENT_TO_HEALTH: Duration = Duration::from_secs(5);

/// Answers 200 with whatever `control/status` holds.
const SERVER: &str = r#"
import http.server
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('{"status": "%s"}' % open("/control/status").read().strip()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("0.0.0.0", 8000), Health).serve_forever()
"#;

const ONE_STATE: &str = "image: python:3.13-slim
command: [sleep, infinity]
stop_signal: SIGKILL
volumes: ['./control:/control:ro']
healthcheck: { test: [CMD, test, -f, /control/well], interval: 500ms, retries: 1 }";

fn asked_by_http(required: &str) -> String {
    format!(
        "image: python:3.13-slim
command: [python, /control/server.py]
stop_grace_period: 0s
volumes: ['./control:/control:ro']
labels:
  stackwarden.health: http://localhost:8000/health
  stackwarden.health.interval: 1s
  stackwarden.health.failures: '2'
  stackwarden.health.required: '{required}'"
    )
}

fn watched(test: &str) -> StackBuilder {
    Stack::builder(test)
        .with_ports()
        .needs_image("python:3.13-slim")
        .file("control/server.py", SERVER)
        .file("control/well", "")
        .file("control/status", "ok")
}

fn control(stack: &Stack, name: &str) -> PathBuf {
    stack.folder().join("control").join(name)
}

fn health(stack: &Stack) -> Result<HttpAnswer, String> {
    stack.public("/health")
}

/// Waits for a verdict of the whole stack.
#[track_caller]
fn wait_for_verdict(stack: &Stack, verdict: &str) -> HttpAnswer {
    wait_until(&format!("/health says {verdict}"), SOON, || {
        let answer = health(stack)?;
        if answer.json()["status"] == verdict {
            Ok(answer)
        } else {
            Err(answer.body)
        }
    })
}

/// Asks without pause until the verdict is there; gives how long after `since` that was.
#[track_caller]
fn time_to_verdict(stack: &Stack, verdict: &str, happened: impl Fn() -> Option<f64>) -> f64 {
    let address = docker(&["port", &stack.container(SIDECAR), "9180"]).ok();
    let address = address.lines().next().expect("an address");
    let seen = catch(&format!("/health says {verdict}"), SOON, || {
        let body = fetch(address);
        let seen = now();
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        (status["status"] == verdict).then_some(seen).ok_or(body)
    });
    seen - happened().expect("it happened")
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs_f64()
}

/// The body of `/health`, without starting a program for it.
fn fetch(address: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("connect");
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default()
}

/// When the engine said this of the service's container, in seconds since 1970.
fn event(stack: &Stack, service: &str, event: &str, since: f64) -> Option<f64> {
    let listed = docker(&[
        "events",
        "--since",
        &format!("{since:.3}"),
        "--until",
        &format!("{:.3}", now()),
        "--filter",
        &format!("container={}", stack.container(service)),
        "--format",
        "{{.TimeNano}} {{.Status}}",
    ]);
    let lines = listed.ok();
    let found = lines.lines().find(|line| line.ends_with(event))?;
    let nanos: f64 = found.split(' ').next()?.parse().ok()?;
    Some(nanos / 1e9)
}

#[test]
fn health_follows_the_containers_at_once() {
    let stack = watched("follows").service("app", ONE_STATE).up();
    let well = wait_for_verdict(&stack, "pass");
    assert_eq!(well.status, 200);
    assert_eq!(well.header("content-type"), "application/health+json");

    let begun = now();
    fs::remove_file(control(&stack, "well")).expect("remove a file");
    let unhealthy = time_to_verdict(&stack, "fail", || {
        event(&stack, "app", "health_status: unhealthy", begun)
    });
    assert_eq!(health(&stack).expect("an answer").status, 503);

    let begun = now();
    fs::write(control(&stack, "well"), "").expect("write a file");
    let healthy = time_to_verdict(&stack, "pass", || {
        event(&stack, "app", "health_status: healthy", begun)
    });

    let begun = now();
    stack.stop("app");
    let stopped = time_to_verdict(&stack, "fail", || event(&stack, "app", "die", begun));

    eprintln!(
        "event to /health: unhealthy {unhealthy:.3} s, healthy {healthy:.3} s, stopped {stopped:.3} s"
    );
    for seconds in [unhealthy, healthy, stopped] {
        assert!(seconds < EVENT_TO_HEALTH.as_secs_f64(), "{seconds}");
    }
    let ran = stack.stackwarden(&["status"]);
    assert_eq!(ran.code, 4, "{}", ran.said());
    assert!(
        ran.stdout.contains("it ended with code 137"),
        "{}",
        ran.stdout
    );
    assert_eq!(stack.stackwarden_json(&["status"])["verdict"], "fail");
}

#[test]
fn a_service_that_was_stopped_cleanly_is_down_all_the_same() {
    let clean = "image: python:3.13-slim
command: [python, -c, 'import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()']
restart: unless-stopped";
    let stack = watched("clean-stop").service("app", clean).up();
    wait_for_verdict(&stack, "pass");
    stack.stop("app");
    assert_eq!(stack.inspect("app", "{{.State.ExitCode}}"), "0");
    let answer = wait_for_verdict(&stack, "fail");
    assert_eq!(answer.status, 503);
    assert_eq!(stack.stackwarden(&["status"]).code, 4);
}

#[test]
fn an_application_that_calls_itself_unhealthy_is_believed() {
    let stack = watched("believed")
        .service("app", &asked_by_http("true"))
        .up();
    wait_for_verdict(&stack, "pass");
    fs::write(control(&stack, "status"), "unhealthy").expect("write a file");
    wait_for_verdict(&stack, "fail");
    let status = stack.stackwarden(&["status"]);
    assert_eq!(status.code, 4);
    assert!(
        status
            .stdout
            .contains("its health answer says status \"unhealthy\""),
        "{}",
        status.stdout
    );
    fs::write(control(&stack, "status"), "UP").expect("write a file");
    wait_for_verdict(&stack, "pass");
    assert_eq!(stack.stackwarden(&["status"]).code, 0);
}

#[test]
fn an_optional_service_only_degrades_the_stack() {
    let stack = watched("optional")
        .service("app", &asked_by_http("false"))
        .up();
    wait_for_verdict(&stack, "pass");
    stack.stop("app");
    let answer = wait_for_verdict(&stack, "warn");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json()["checks"]["services"][0]["warn"],
        1,
        "{}",
        answer.body
    );
    let status = stack.stackwarden_json(&["status"]);
    let services = status["services"].as_array().expect("services");
    let app = services
        .iter()
        .find(|it| it["name"] == "app")
        .expect("the app");
    assert_eq!(
        (&app["verdict"], &app["importance"]),
        (&"fail".into(), &"optional".into())
    );
    assert_eq!(stack.stackwarden(&["status"]).code, 0);
}

#[test]
fn logs_are_json_and_keep_secrets_even_at_debug() {
    const TOKEN: &str = "a-token-nobody-may-read-0123456789";
    let app = App::idle().migrating("CREATE TABLE once (id integer)");
    let loud = |it: Service| {
        it.environment("STACKWARDEN_LOG", "trace")
            .environment("STACKWARDEN_TOKEN", TOKEN)
    };
    let stack = with_gate(Stack::builder("logs").with_ports())
        .service("app", &app.yaml())
        .gate(loud)
        .sidecar(loud)
        .up();
    stack.wait_for_backup("app");
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(
        stack
            .control_with("GET", "/v1/stack", &headers, "")
            .expect("an answer")
            .status,
        200
    );
    stack.back_up();
    drop(stack.stackwarden(&["status"]).ok());
    for service in [SIDECAR, GATE] {
        let log = stack.logs(service);
        assert!(
            log.contains("\"level\":\"DEBUG\""),
            "{service} is not at debug"
        );
        for secret in ["a secret of the test", "a%20secret", TOKEN] {
            assert!(!log.contains(secret), "{service} shows {secret:?}: {log}");
        }
        for line in log.lines() {
            let parsed: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for field in ["timestamp", "level", "service", "target", "message"] {
                assert!(parsed[field].is_string(), "{field}: {line}");
            }
        }
    }
    let served =
        ["/", "/health", "/metrics"].map(|path| stack.public(path).expect("an answer").body);
    for body in served {
        assert!(!body.contains("a secret of the test") && !body.contains(TOKEN));
    }
}

#[test]
fn every_metric_family_is_there_from_the_first_scrape() {
    let stack = Stack::builder("families").with_ports().up();
    let first = wait_until("the first scrape", SOON, || stack.public("/metrics"));
    assert_eq!(first.status, 200);
    let source = include_str!("../../src/observe/metrics/family.rs");
    let declared: Vec<(&str, &str)> = source.lines().filter_map(declaration).collect();
    assert!(declared.len() >= 30, "{declared:?}");
    for (name, kind) in declared {
        let line = format!("# TYPE stackwarden_{name} {kind}");
        assert!(
            first.body.lines().any(|it| it == line),
            "{line} is missing:\n{}",
            first.body
        );
        let help = format!("# HELP stackwarden_{name} ");
        assert!(first.body.lines().any(|it| it.starts_with(&help)), "{help}");
    }
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
        assert!(first.body.contains(name), "{name}");
    }
}

/// `LAST = Gauge "name" [labels]`, as the table of families has it.
fn declaration(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.trim().split_once(" = ")?;
    let (kind, rest) = rest.split_once(" \"")?;
    let kind = match kind {
        "Gauge" => "gauge",
        "Counter" => "counter",
        "Histogram" => "histogram",
        _ => return None,
    };
    Some((rest.split('"').next()?, kind))
}
