//! The two ports as curl on the host sees them, and a backup of which one part fails.

use serde_json::Value;

use crate::harness::{HttpAnswer, PROOF, SIDECAR, SOON, Stack, catch, run, wait_until};

#[test]
fn the_ports_answer_orders_and_monitors() {
    let stack = Stack::builder("control")
        .with_ports()
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_DATABASES", "app,missing"))
        .write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT generate_series(1, 100) i")]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    without_its_token_nothing_is_ordered(&stack);
    two_callers_get_one_job(&stack);
    one_failing_database_does_not_stop_the_others(&stack);
    monitors_get_what_they_expect(&stack);
    an_order_in_the_first_moment_is_carried_out(&stack);
}

/// Before the first look at Docker nothing is known, so that it would be an order for a database that there is not.
fn an_order_in_the_first_moment_is_carried_out(stack: &Stack) {
    stack.stop(SIDECAR);
    stack.start(SIDECAR);
    let order = r#"{"databases": ["postgres/app"]}"#;
    let post = || stack.control("POST", "/v1/backups", order);
    let answer = catch("the control port is open", SOON, post);
    assert_eq!(answer.status, 202, "{}", answer.body);
    let job = ended(stack, answer.header("location"));
    assert_eq!(job["state"], "succeeded", "{job:#}");
}

fn without_its_token_nothing_is_ordered(stack: &Stack) {
    let jobs = |stack: &Stack| {
        let jobs = stack
            .control("GET", "/v1/jobs", "")
            .expect("an answer")
            .json();
        jobs["jobs"].as_array().expect("jobs").len()
    };
    let before = jobs(stack);
    let wrong = [("Authorization", "Bearer 0123456789abcdef0123456789abcdef")];
    for headers in [&wrong[..], &[]] {
        let answer = stack
            .control_with("POST", "/v1/backups", headers, "")
            .expect("an answer");
        assert_eq!(answer.status, 401, "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["status"], 401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    assert_eq!(jobs(stack), before);
    // The public port knows no orders, with or without a token.
    assert_eq!(stack.public("/v1/backups").expect("an answer").status, 404);
}

/// A held lock keeps the first order running while the second comes.
fn two_callers_get_one_job(stack: &Stack) {
    let mut session = stack.session("app");
    session.say("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;");
    let order = r#"{"databases": ["postgres/app"]}"#;
    let post = || {
        stack
            .control("POST", "/v1/backups", order)
            .expect("an answer")
    };
    let (first, second) = (post(), post());
    for (answer, is_second) in [(&first, false), (&second, true)] {
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(
            answer.json()["already_running"],
            is_second,
            "{}",
            answer.body
        );
    }
    let location = first.header("location").to_owned();
    assert_eq!(second.header("location"), location);
    assert!(location.starts_with("/v1/jobs/"), "{location}");
    session.say("COMMIT;");
    let job = ended(stack, &location);
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let unknown = stack.control(
        "POST",
        "/v1/backups",
        r#"{"databases": ["postgres/nobody"]}"#,
    );
    let unknown = unknown.expect("an answer");
    assert_eq!(
        (unknown.status, unknown.header("content-type")),
        (404, "application/problem+json")
    );
}

fn ended(stack: &Stack, location: &str) -> Value {
    wait_until("the job ends", PROOF, || {
        let job = stack.control("GET", location, "")?.json();
        if job["ended_at"].is_string() {
            Ok(job)
        } else {
            Err(job.to_string())
        }
    })
}

fn one_failing_database_does_not_stop_the_others(stack: &Stack) {
    let taken = stack
        .stackwarden(&["--json", "backup"])
        .ended_with(3)
        .json();
    let outcome = |subject: &str| {
        let parts = taken["parts"].as_array().expect("parts");
        let part = parts.iter().find(|part| part["subject"] == subject);
        part.unwrap_or_else(|| panic!("no {subject}: {taken:#}"))
            .clone()
    };
    assert_eq!(taken["state"], "partial");
    assert_eq!(outcome("postgres/app")["outcome"], "succeeded");
    assert_eq!(outcome("postgres/globals")["outcome"], "succeeded");
    let missing = outcome("postgres/missing");
    assert_eq!(missing["outcome"], "failed");
    let why = missing["detail"].as_str().expect("a sentence");
    assert!(why.contains("missing"), "{why}");
    let databases = stack
        .control("GET", "/v1/databases", "")
        .expect("an answer")
        .json();
    let databases = databases["databases"]
        .as_array()
        .expect("databases")
        .clone();
    let shown = databases.iter().find(|it| it["database"] == "missing");
    let shown = shown.expect("the failing database is shown");
    assert!(shown["last_error"].is_string(), "{shown:#}");
}

fn monitors_get_what_they_expect(stack: &Stack) {
    let get = |path: &str| -> HttpAnswer { stack.public(path).expect("an answer") };
    let health = get("/health");
    assert_eq!(
        (health.status, health.header("content-type")),
        (200, "application/health+json")
    );
    assert_eq!(
        health.json()["checks"]["backups"][0]["warn"],
        1,
        "{}",
        health.body
    );
    assert!(
        !health.body.contains("missing"),
        "a summary without names: {}",
        health.body
    );
    assert_eq!(get("/livez").status, 200);
    let ready = get("/readyz");
    assert_eq!(
        (ready.status, ready.header("content-type")),
        (200, "application/json")
    );
    assert!(get("/").header("content-type").starts_with("text/html"));
    let metrics = get("/metrics");
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    drop(run("promtool", &["check", "metrics"], Some(&metrics.body)).ok());
    for line in [
        r#"stackwarden_backup_last_verified_timestamp_seconds{service="postgres",database="app",destination="disk",level="content"}"#,
        r#"stackwarden_backup_runs_total{service="postgres",database="missing",outcome="failed"}"#,
    ] {
        assert!(
            metrics.body.contains(line),
            "{line} is not in\n{}",
            metrics.body
        );
    }
    wait_until("no job is left", SOON, || {
        let body = get("/metrics").body;
        let running = body
            .lines()
            .find(|it| it.starts_with("stackwarden_job_in_progress{kind=\"backup\"}"));
        match running {
            Some(line) if line.ends_with(" 0") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
