//! No secret is shown: a whole cycle with everything logged, good runs and failing ones, and then every place is searched
//! where somebody could read it.

use std::path::Path;

use serde_json::Value;

use crate::harness::{GATE, PROOF, SIDECAR, SOON, Stack, Watch, docker, names, wait_until};
use crate::harness_gate::{App, PASSWORD_IN_URL, with_gate};

const TOKEN: &str = "control-token-7b1d52c09e4f4a3c8d66";
const IN_A_FILE: &str = "vault-password-e81f0a7725cc";
const TELEGRAM: &str = "8412345678:telegram-token-AAHq3k9vT2";
/// As the harness gives it to the database, and as it stands in a URL.
const PASSWORD: &str = "a secret of the test";
const SECRETS: [&str; 5] = [TOKEN, IN_A_FILE, TELEGRAM, PASSWORD, PASSWORD_IN_URL];

/// A second server, whose password stands in a file.
const VAULT: &str = "
image: postgres:17
environment: { POSTGRES_USER: vault, POSTGRES_DB: vault, POSTGRES_PASSWORD_FILE: /run/secrets/password }
secrets: [password]
";

#[test]
fn no_secret_is_in_logs_arguments_helpers_files_answers_or_errors() {
    let mut stack = stack();
    let watch = Watch::begin(&stack);
    stack.up();
    let mut shown = vec![("the gate's log".to_owned(), stack.logs(GATE))];
    // A first backup waits for something to lose.
    let table = [
        "psql",
        "-U",
        "vault",
        "-c",
        "CREATE TABLE kept AS SELECT 1 AS one",
    ];
    wait_until("the vault holds a table", SOON, || {
        let made = stack.exec("vault", &table);
        if made.code == 0 {
            Ok(())
        } else {
            Err(made.said())
        }
    });
    wait_until("the vault is backed up", PROOF, || {
        let listed = stack.backups();
        match listed.iter().find(|it| it["database"] == "vault") {
            Some(_) => Ok(()),
            None => Err(format!("{listed:?}")),
        }
    });
    drop(stack.wait_for_proof("app", "content"));
    shown.extend(failing_runs(&mut stack));
    shown.extend(answers(&stack));
    shown.extend(seen_from_outside(&stack, watch));
    let log = stack.logs(SIDECAR);
    let is_talkative = log.contains("\"TRACE\"") || log.contains("\"DEBUG\"");
    assert!(is_talkative, "the log tells less than was asked for");
    shown.push(("the sidecar's log".to_owned(), log));
    shown.extend(files(&stack.backup_folder()));
    let leaks = shown.iter().filter_map(|(place, text)| leak(place, text));
    let leaks: Vec<String> = leaks.collect();
    assert!(leak("a planted one", &format!("x{TOKEN}y")).is_some());
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    assert!(
        shown.len() > 40,
        "only {} places were searched",
        shown.len()
    );
}

/// Gate, application, sidecar and two servers, each with secrets of its own, and everything logged.
fn stack() -> Stack {
    let app = App::idle().migrating(
        "CREATE TABLE once AS SELECT sha512(i::text::bytea) FROM generate_series(1, 60000) i",
    );
    let stack = with_gate(Stack::builder("secrets").with_ports())
        .gate(|it| {
            it.environment("STACKWARDEN_LOG", "trace")
                .environment("ADMIN_TELEGRAM_IDS", "4711")
                .environment("TELEGRAM_BOT_TOKEN", TELEGRAM)
        })
        .sidecar(|it| {
            it.environment("STACKWARDEN_LOG", "trace")
                .environment("STACKWARDEN_TOKEN", TOKEN)
                .environment("ADMIN_TELEGRAM_IDS", "4711")
                .environment("TELEGRAM_BOT_TOKEN", TELEGRAM)
        })
        .service("app", &app.yaml())
        .service("vault", VAULT)
        .needs_image("postgres:17")
        .top_level("secrets: { password: { file: ./password } }")
        .file("password", IN_A_FILE)
        .write();
    let rows = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100000) i";
    stack.up_database(&[("app", rows)]);
    stack
}

/// The arguments of every process, and what the helpers' containers show.
fn seen_from_outside(stack: &Stack, watch: Watch) -> Vec<(String, String)> {
    let seen = watch.end();
    for program in ["pg_dump", "pg_restore", "pg_dumpall", "psql"] {
        let is_seen = seen.arguments.iter().any(|line| line.contains(program));
        assert!(
            is_seen,
            "no {program} in {} command lines",
            seen.arguments.len()
        );
    }
    let clone = format!("{}-app-stackwarden-migrate", stack.project());
    for helper in ["stackwarden-proof", &clone] {
        assert!(seen.helpers.contains_key(helper), "{helper} was not seen");
    }
    let arguments = seen.arguments.into_iter();
    let arguments = arguments.map(|line| ("the arguments of a process".to_owned(), line));
    let helpers = seen.helpers.into_iter().map(|(name, inspected)| {
        let place = format!("docker inspect {name}");
        (place, beyond_the_apps_own(stack, &inspected))
    });
    arguments.chain(helpers).collect()
}

/// The secret in a text, with what stands around it.
fn leak(place: &str, text: &str) -> Option<String> {
    let secret = SECRETS.into_iter().find(|secret| text.contains(secret))?;
    let line = text
        .lines()
        .find(|line| line.contains(secret))
        .unwrap_or_default();
    Some(format!(
        "{place} shows {secret:?}: {}",
        line.chars().take(400).collect::<String>()
    ))
}

/// A backup, a proof, a migration and a call that fail, and what they said.
fn failing_runs(stack: &mut Stack) -> Vec<(String, String)> {
    stack.psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS false");
    let backup = stack.stackwarden(&["backup", "postgres/app"]).ended_with(1);
    stack.psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS true");
    let artefact = stack.artefacts("app").pop().expect("a backup");
    let mut bytes = std::fs::read(&artefact.stored).expect("read the dump");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&artefact.stored, bytes).expect("write the dump");
    let proof = stack.stackwarden(&["verify", &artefact.id]).ended_with(1);
    let broken = App::idle().migrating("SELECT broken(");
    stack.change(|it| it.service("app", &broken.yaml()));
    let up = stack.try_up();
    assert_ne!(up.code, 0, "{}", up.said());
    let gate = stack.logs(GATE);
    let refused = stack
        .control_with(
            "GET",
            "/v1/backups",
            &[("Authorization", "Bearer wrong")],
            "",
        )
        .expect("an answer");
    assert_eq!(refused.status, 401);
    [
        ("a failed backup", backup.said()),
        ("a failed proof", proof.said()),
        ("a failed gate", gate),
        ("a refusal", refused.body),
    ]
    .map(|(place, text)| (place.to_owned(), text))
    .into()
}

/// What the two ports and the command line answer.
fn answers(stack: &Stack) -> Vec<(String, String)> {
    let bearer = format!("Bearer {TOKEN}");
    let mut found = Vec::new();
    for path in ["/", "/health", "/livez", "/readyz", "/metrics"] {
        found.push((path.to_owned(), stack.public(path).expect("an answer").body));
    }
    for path in ["stack", "databases", "backups", "jobs", "migrations"] {
        let path = format!("/v1/{path}");
        let answer = stack
            .control_with("GET", &path, &[("Authorization", &bearer)], "")
            .expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        found.push((path, answer.body));
    }
    for command in ["status", "backups", "config"] {
        found.push((command.to_owned(), stack.stackwarden(&[command]).said()));
        found.push((
            format!("{command} --json"),
            stack.stackwarden(&["--json", command]).said(),
        ));
    }
    found
}

/// Everything readable that was written into the backup folder. The token given by the environment is kept nowhere.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("read a file");
            found.push((
                path.display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
    }
    found
}

/// What a helper's container shows beyond what the application's own shows: a clone has its environment by design.
fn beyond_the_apps_own(stack: &Stack, inspected: &Value) -> String {
    let own = docker(&[
        "inspect",
        "--format",
        "{{json .Config.Env}}",
        &stack.container("app"),
    ])
    .json();
    let own: Vec<&Value> = own.as_array().expect("a list").iter().collect();
    let mut inspected = inspected.clone();
    if let Some(environment) = inspected[0]["Config"]["Env"].as_array_mut() {
        environment.retain(|variable| !own.contains(&variable));
    }
    serde_json::to_string_pretty(&inspected).expect("JSON")
}
