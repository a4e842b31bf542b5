//! The gate at every `up`: migrations in order, once, each behind a backup; the application waits.

use std::thread;

use crate::gate_kills::wait_for_open_transaction;
use crate::harness::{Artefact, GATE, SOON, Stack, docker, wait_until};
use crate::harness_gate::{
    API, App, Waiting, api_with, count, gate_lines, gate_log, gated, line, parse_time, state,
    time_of, written,
};

/// What `up` prints when the gate stayed closed.
pub const CLOSED: &str = "didn't complete successfully";

#[track_caller]
pub fn assert_open(stack: &Stack) {
    drop(stack.try_up().ok());
    assert_eq!(stack.inspect(GATE, "{{.State.ExitCode}}"), "0");
}

/// Brings the stack up, which the gate has to refuse with this code; gives its log.
#[track_caller]
pub fn assert_closed(stack: &Stack, code: &str) -> String {
    let ran = stack.try_up();
    let log = gate_log(stack);
    assert!(
        ran.code != 0 && ran.said().contains(CLOSED),
        "{}\n{log}",
        ran.said()
    );
    assert_eq!(stack.inspect(GATE, "{{.State.ExitCode}}"), code, "{log}");
    log
}

pub fn pre_migration(stack: &Stack) -> Vec<Artefact> {
    let mut artefacts = stack.artefacts("app");
    artefacts.retain(|it| it.manifest["reason"] == "pre-migration");
    artefacts
}

pub fn revision(stack: &Stack) -> String {
    stack.psql("app", "SELECT version_num FROM alembic_version")
}

#[test]
fn releases_of_a_real_application_pass_the_gate_or_stay_down() {
    let mut stack = gated("releases")
        .service("api", &App::api(API).yaml())
        .write();

    first_up_migrates_behind_a_backup(&stack);
    second_up_does_nothing(&stack);

    let good = api_with("0003", "0003_*.py");
    stack.change(|it| it.service("api", &App::api(&good).yaml()));
    a_good_revision_is_applied(&stack);

    let bad = api_with("0004", "000[34]_*.py");
    stack.change(|it| it.service("api", &App::api(&bad).yaml()));
    a_failing_revision_keeps_the_application_down(&stack);

    stack.change(|it| it.service("api", &App::api(&good).yaml()));
    assert_open(&stack);
    assert_eq!(state(&stack, "api"), "running");
    assert_eq!(count(&gate_lines(&stack), "nothing pending"), 1);
    assert_eq!(
        pre_migration(&stack).len(),
        3,
        "nothing was pending, so no backup"
    );
}

fn first_up_migrates_behind_a_backup(stack: &Stack) {
    assert_open(stack);
    assert_eq!(revision(stack), "0002_seed");
    let [backup] = pre_migration(stack).try_into().expect("one backup");
    assert_eq!(backup.manifest["revision"], serde_json::Value::Null);
    assert_eq!(backup.manifest["level"], "archive");
    assert!(backup.manifest["globals"].is_string());
    let lines = gate_lines(stack);
    let published = parse_time(backup.manifest["published_at"].as_str().expect("a time"));
    let first_words = lines
        .iter()
        .find(|line| line["message"] == "migration")
        .expect("alembic's words");
    assert!(published <= written(line(&lines, "migration begins")));
    assert!(published < written(first_words));
    let migrated = line(&lines, "migrated");
    assert_eq!(
        (&migrated["from"], &migrated["to"]),
        (&"none".into(), &"0002_seed".into())
    );
    assert!(time_of(stack, "api", "StartedAt") > time_of(stack, GATE, "FinishedAt"));
    assert_eq!(stack.made_containers(), [""; 0]);
}

fn second_up_does_nothing(stack: &Stack) {
    let begun = std::time::Instant::now();
    assert_open(stack);
    let up = begun.elapsed();
    let lines = gate_lines(stack);
    assert_eq!(line(&lines, "nothing pending")["revision"], "0002_seed");
    assert_eq!(pre_migration(stack).len(), 1);
    let (started, finished) = (
        stack.inspect(GATE, "{{.State.StartedAt}}"),
        stack.inspect(GATE, "{{.State.FinishedAt}}"),
    );
    let created = docker(&[
        "events",
        "--since",
        &started,
        "--until",
        &finished,
        "--filter",
        "event=create",
        "--filter",
        &format!("label=stackwarden.owned-by-project={}", stack.project()),
    ]);
    assert_eq!(
        created.ok(),
        "",
        "no clone is made to learn that nothing is pending"
    );
    let took = parse_time(&finished) - parse_time(&started);
    eprintln!(
        "an `up` with nothing pending: {} ms in the gate's container, {} ms in all",
        took.num_milliseconds(),
        up.as_millis()
    );
}

fn a_good_revision_is_applied(stack: &Stack) {
    assert_open(stack);
    assert_eq!(revision(stack), "0003_add_note");
    let [_, backup] = pre_migration(stack).try_into().expect("a second backup");
    assert_eq!(backup.manifest["revision"], "0002_seed");
    assert_eq!(backup.manifest["level"], "archive");
    let migrated = gate_lines(stack);
    let migrated = line(&migrated, "migrated");
    assert_eq!(
        (&migrated["from"], &migrated["to"]),
        (&"0002_seed".into(), &"0003_add_note".into())
    );
    assert_eq!(state(stack, "api"), "running");
    assert!(time_of(stack, "api", "StartedAt") > time_of(stack, GATE, "FinishedAt"));
}

fn a_failing_revision_keeps_the_application_down(stack: &Stack) {
    let fingerprint = "SELECT count(*), sum(hashtext(items::text)) FROM items";
    let before = stack.psql("app", fingerprint);
    let log = assert_closed(stack, "1");
    assert_eq!(state(stack, "api"), "created");
    let sentence = "the migration of api failed with code 1; its last words: ";
    assert!(log.contains(sentence), "{log}");
    assert!(
        log.contains("column \\\"price\\\" of relation \\\"items\\\" contains null values"),
        "{log}"
    );
    assert_eq!(revision(stack), "0003_add_note");
    assert_eq!(stack.psql("app", fingerprint), before);
    assert_eq!(
        stack.psql("app", "SELECT to_regclass('half_done') IS NULL"),
        "t"
    );
    let [_, _, backup] = pre_migration(stack).try_into().expect("a third backup");
    assert_eq!(backup.manifest["revision"], "0003_add_note");
    assert_eq!(stack.made_containers(), [""; 0]);
}

#[test]
fn migrations_run_one_after_the_other_in_the_order_of_their_labels() {
    let first = App::idle().migrating("CREATE TABLE first (id integer)");
    let second = App::idle()
        .migrating("CREATE TABLE second AS SELECT * FROM first")
        .label("stackwarden.migrate.after", "zulu");
    let third = App::idle()
        .migrating("CREATE TABLE third AS SELECT * FROM second")
        .label("stackwarden.migrate.after", "alpha, zulu");
    let stack = gated("order")
        .service("zulu", &first.yaml())
        .service("alpha", &second.yaml())
        .service("bravo", &third.yaml())
        .write();
    assert_open(&stack);
    let lines = gate_lines(&stack);
    let services: Vec<&str> = lines
        .iter()
        .filter(|line| line["message"] == "migrated")
        .filter_map(|line| line["event.service"].as_str())
        .collect();
    assert_eq!(services, ["zulu", "alpha", "bravo"], "{lines:#?}");
    // Each stands behind a backup that holds what came before it.
    let tables: Vec<usize> = pre_migration(&stack)
        .iter()
        .map(|it| it.manifest["tables"].as_array().expect("tables").len())
        .collect();
    assert_eq!(tables.len(), 3);
    assert!(tables.is_sorted() && tables[0] < tables[2], "{tables:?}");
}

#[test]
fn labels_that_cannot_be_obeyed_keep_the_gate_closed() {
    let app = || App::idle().migrating("CREATE TABLE IF NOT EXISTS once (id integer)");
    let after = |name: &str| app().label("stackwarden.migrate.after", name);
    let cases = [
        (
            after("beta"),
            after("alpha"),
            "migrations wait for each other: alpha -> beta -> alpha",
        ),
        (
            after("betta"),
            app(),
            "no stackwarden.migrate label (did you mean beta?)",
        ),
        (
            app().label("stackwarden.migrate", "\"alembic upgrade head\""),
            app(),
            "service alpha: label stackwarden.migrate: the quotation marks became part of the value",
        ),
        (
            app().label("stackwarden.migrate", "alembic 'upgrade head"),
            app(),
            "service alpha: label stackwarden.migrate: ",
        ),
        (
            app().label("stackwarden.migrate.afer", "beta"),
            app(),
            "label stackwarden.migrate.afer: no such label, did you mean stackwarden.migrate.after?",
        ),
        (
            app().label("stackwarden.migrate.database", "postgress/app"),
            app(),
            "names postgress/app, but postgress is no Postgres service of this stack (it has postgres)",
        ),
    ];
    let mut stack = gated("labels").write();
    for (alpha, beta, sentence) in cases {
        stack.change(|it| {
            it.service("alpha", &alpha.yaml())
                .service("beta", &beta.yaml())
        });
        let log = assert_closed(&stack, "2");
        assert!(log.contains(sentence), "{sentence}:\n{log}");
        assert_eq!(state(&stack, "alpha"), "created", "{sentence}");
        assert_eq!(state(&stack, "beta"), "created", "{sentence}");
    }
    assert_eq!(
        stack.psql("app", "SELECT to_regclass('once') IS NULL"),
        "t",
        "nothing ran"
    );
    // A list keeps the quotation marks that a map would not.
    let yaml = app().label("stackwarden.migrate", "").yaml();
    let list = yaml.replace(
        "labels: {\"stackwarden.migrate\":\"\"}",
        "labels: ['stackwarden.migrate=\"alembic upgrade head\"']",
    );
    assert_ne!(yaml, list);
    stack.change(|it| it.service("alpha", &list).service("beta", &app().yaml()));
    let log = assert_closed(&stack, "2");
    assert!(log.contains("in a list: - label=value"), "{log}");
}

#[test]
fn the_entrypoint_and_the_status_command_are_minded() {
    let shell = |app: App| app.lines("entrypoint: [sh, -c]").yaml();
    let app = || App::idle().migrating("CREATE TABLE once (id integer)");
    let mut stack = gated("entrypoint").service("app", &shell(app())).write();
    let log = assert_closed(&stack, "1");
    assert!(log.contains("would run only the first word of the command; set the label stackwarden.migrate.entrypoint: clear"), "{log}");
    assert_eq!(stack.made_containers(), [""; 0]);

    let cleared = || app().label("stackwarden.migrate.entrypoint", "clear");
    // Its status command runs without the entrypoint, whatever that is, and says that nothing is to do.
    let settled = cleared().done_when("SELECT true");
    stack.change(|it| it.service("app", &shell(settled)));
    assert_open(&stack);
    assert_eq!(count(&gate_lines(&stack), "nothing pending"), 1);
    assert_eq!(stack.psql("app", "SELECT to_regclass('once') IS NULL"), "t");

    let pending = cleared().done_when("SELECT to_regclass('once') IS NOT NULL");
    stack.change(|it| it.service("app", &shell(pending)));
    assert_open(&stack);
    assert_eq!(count(&gate_lines(&stack), "migrated"), 1);
    // A second run would fail: the table is there.
    assert_open(&stack);
    assert_eq!(count(&gate_lines(&stack), "nothing pending"), 1);
}

#[test]
fn two_gates_at_once_run_the_migration_once() {
    let app = App::idle()
        .migrating("CREATE TABLE once (id integer)")
        .done_when("SELECT to_regclass('once') IS NOT NULL");
    let stack = gated("two-gates").service("app", &app.yaml()).write();
    drop(stack.compose(&["create"]).ok());
    drop(stack.compose(&["up", "-d", "--wait", "postgres"]).ok());
    let gate = || stack.compose(&["run", "--rm", "-T", "--no-deps", GATE]);
    let (one, two) = thread::scope(|scope| {
        let waiting = Waiting::begin(&stack);
        let (one, two) = (scope.spawn(gate), scope.spawn(gate));
        wait_for_open_transaction(&stack);
        wait_until("the other gate asks for the lock", SOON, || {
            let asked = stack.try_psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND application_name LIKE 'stackwarden/%'");
            if asked.stdout.trim() == "2" {
                Ok(())
            } else {
                Err(asked.said())
            }
        });
        waiting.end();
        (one.join().expect("a gate"), two.join().expect("a gate"))
    });
    let said = one.ok() + &two.ok();
    assert_eq!(
        said.matches("\"message\":\"migrated\"").count(),
        1,
        "{said}"
    );
    assert_eq!(
        said.matches("\"message\":\"nothing pending\"").count(),
        1,
        "{said}"
    );
    assert_eq!(pre_migration(&stack).len(), 1);
    assert_eq!(stack.made_containers(), [""; 0]);
}

#[test]
fn the_backup_before_a_migration_is_as_fresh_as_the_labels_ask() {
    let app = |table: &str| App::idle().migrating(&format!("CREATE TABLE {table} (id integer)"));
    let never = app("one").label("stackwarden.migrate.backup", "never");
    let mut stack = gated("freshness").service("app", &never.yaml()).write();
    assert_open(&stack);
    assert_eq!(
        count(
            &gate_lines(&stack),
            "migrating without a backup, as stackwarden.migrate.backup says"
        ),
        1
    );
    assert_eq!(stack.artefacts("app").len(), 0);

    let command = ["run", "--rm", "-T", "--no-deps", GATE, "backup"];
    drop(stack.compose(&command).ok());
    let by_hand = stack.artefacts("app");
    assert_eq!(by_hand.len(), 1);
    stack.change(|it| it.service("app", &app("two").yaml()));
    assert_open(&stack);
    let lines = gate_lines(&stack);
    let fresh = line(&lines, "a fresh backup stands before the migration");
    assert_eq!(fresh["backup.id"], by_hand[0].id.as_str());
    assert_eq!(stack.artefacts("app").len(), 1);

    // That backup does not hold what the last migration did: it serves no second one.
    stack.change(|it| it.service("app", &app("three").yaml()));
    assert_open(&stack);
    assert_eq!(pre_migration(&stack).len(), 1);

    drop(stack.compose(&command).ok());
    let old = app("four").label("stackwarden.migrate.backup.max-age", "1s");
    let taken = stack.artefacts("app").last().expect("a backup").manifest["snapshot_at"].clone();
    wait_until("the backup to be older than a second", SOON, || {
        let age = format!("SELECT now() - {taken} > interval '1 second'").replace('"', "'");
        (stack.psql("app", &age) == "t")
            .then_some(())
            .ok_or_else(|| age.clone())
    });
    stack.change(|it| it.service("app", &old.yaml()));
    assert_open(&stack);
    assert_eq!(pre_migration(&stack).len(), 2, "older than a second");

    drop(stack.compose(&command).ok());
    let always = app("five").label("stackwarden.migrate.backup", "always");
    stack.change(|it| it.service("app", &always.yaml()));
    assert_open(&stack);
    assert_eq!(pre_migration(&stack).len(), 3);
}

#[test]
fn the_gate_waits_for_what_the_service_itself_waits_for() {
    let slow = "image: recyclic-api:demo\nstop_grace_period: 0s\ncommand: [sh, -c, 'sleep 4; touch /tmp/well; exec sleep infinity']\nhealthcheck: { test: [CMD, test, -f, /tmp/well], interval: 300ms, retries: 100 }\n";
    let chore =
        |code: u8| format!("image: recyclic-api:demo\ncommand: [sh, -c, 'sleep 1; exit {code}']\n");
    // `later` itself waits for the gate: to wait for it would be to wait for ever.
    let later = App::idle();
    let app = App::idle()
        .migrating("CREATE TABLE once (id integer)")
        .waits_for("slow", "service_healthy")
        .waits_for("chore", "service_completed_successfully")
        .waits_for("later", "service_started");
    let mut stack = gated("conditions")
        .service("slow", slow)
        .service("chore", &chore(0))
        .service("later", &later.yaml())
        .service("app", &app.yaml())
        .write();
    assert_open(&stack);
    let lines = gate_lines(&stack);
    let begins = written(line(&lines, "migration begins"));
    let slow_began = time_of(&stack, "slow", "StartedAt");
    assert!(
        begins > slow_began + chrono::TimeDelta::seconds(4),
        "{begins} {slow_began}"
    );
    assert!(begins > time_of(&stack, "chore", "FinishedAt"));
    assert!(begins < time_of(&stack, "later", "StartedAt"));

    stack.change(|it| it.service("chore", &chore(3)));
    let log = assert_closed(&stack, "1");
    assert!(
        log.contains("service app waits for chore, which ended with code 3"),
        "{log}"
    );
}
