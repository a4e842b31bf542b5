//! What a backup is watched for: whether it looks like its predecessor, whether there is room, how long it takes, and
//! whether it stands in somebody's way.

use serde_json::Value;

use crate::harness::{
    GATE, PROOF, SIDECAR, SOON, Service, Stack, catch, docker, names, wait_until,
};
use crate::harness_gate::{App, gate_log, with_gate};
use crate::slipped::wait_for_waiting_dump;

const ROWS: &str = "
CREATE TABLE customer (id int PRIMARY KEY, name text);
INSERT INTO customer SELECT i, 'customer ' || i FROM generate_series(1, 500) i;
CREATE TABLE bill AS SELECT * FROM customer;
";

/// Everything older than a second may go: only the newest verified backup stays by itself.
const KEEP_NOTHING: &str = "within=1s";

#[test]
fn an_emptied_database_is_suspect_keeps_its_past_and_never_becomes_latest() {
    let stack = Stack::builder("suspect")
        .with_ports()
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_KEEP", KEEP_NOTHING))
        .write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    let full = id_of(&stack.wait_for_proof("app", "content"));

    // Less than half goes: nobody is alarmed, and retention works.
    drop(stack.psql("app", "DELETE FROM bill WHERE id > 400"));
    drop(stack.back_up());
    assert_ne!(id_of(&stack.wait_for_proof("app", "content")), full);
    wait_until_pruned(&stack, &full);
    let trusted = id_of(&stack.wait_for_proof("app", "content"));
    let before = ids(&stack);

    let suspect = empty(&stack, &trusted);
    is_shown_as_suspect(&stack, &suspect);
    // `latest` passes both by, and nothing of the series was removed however old it is.
    assert_eq!(latest(&stack)["id"], trusted);
    let verify = ["verify", "latest", "postgres/app", "--level", "archive"];
    let told = stack.stackwarden(&verify).ended_with(0);
    assert!(told.stdout.contains(&trusted), "{}", told.said());
    let kept = ids(&stack);
    assert!(kept.starts_with(&before) && kept.len() == before.len() + 2);

    accept(&stack, &suspect, &trusted);
    assert_eq!(latest(&stack)["id"], suspect);
    wait_until_pruned(&stack, &trusted);
    let said = stack.public("/health").expect("an answer").json();
    assert_eq!(said["checks"]["backups"][0]["status"], "pass", "{said:#}");

    // Where no sidecar runs the command does it in place.
    drop(stack.psql("app", ROWS));
    drop(stack.back_up());
    drop(stack.psql("app", "DROP TABLE bill, customer"));
    drop(stack.back_up());
    let suspect = id_of(stack.backups_of("app").last().expect("a backup"));
    stack.stop(SIDECAR);
    drop(
        stack
            .stackwarden_once(&["backups", "--accept", &suspect])
            .ended_with(0),
    );
    let file = format!("{suspect}.accepted.json");
    assert!(names(&stack.series_folder("app")).contains(&file));
}

/// Takes backups until retention has removed this one.
#[track_caller]
fn wait_until_pruned(stack: &Stack, id: &String) {
    wait_until("an old backup is pruned", SOON, || {
        drop(stack.back_up());
        let ids = ids(stack);
        if ids.contains(id) {
            Err(format!("{ids:?}"))
        } else {
            Ok(())
        }
    });
}

/// First the rows go, then the tables; gives the id of the last backup.
fn empty(stack: &Stack, trusted: &str) -> String {
    for (change, reason) in [
        (
            "DROP TABLE bill; DELETE FROM customer",
            "but suspect: it holds 0 rows, ",
        ),
        ("DROP TABLE customer", "it holds no table, 2 before"),
    ] {
        drop(stack.psql("app", change));
        let told = stack.stackwarden(&["backup"]).ended_with(0);
        assert!(told.stdout.contains(reason), "{}", told.said());
    }
    let proven = stack.wait_for_proof("app", "content");
    assert_ne!(proven["suspect"], serde_json::json!([]), "{proven:#}");
    let manifest = stack.artefacts("app").pop().expect("a backup").manifest;
    assert_eq!(manifest["suspect"]["predecessor"], trusted, "{manifest:#}");
    assert_eq!(manifest["extent"]["tables"], 0);
    id_of(&proven)
}

/// By HTTP and by command; twice is no mistake, what is not suspect is.
fn accept(stack: &Stack, suspect: &str, trusted: &str) {
    let command = |id: &str| stack.stackwarden(&["backups", "--accept", id]);
    let refused = command(trusted).ended_with(1);
    assert!(
        refused.stdout.contains("is not suspect"),
        "{}",
        refused.said()
    );
    drop(command("yesterday").ended_with(2));
    let path = format!("/v1/backups/{suspect}/accept?database=postgres/app");
    let answer = stack.control("POST", &path, "").expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.body);
    let seen = stack.wait_for_listed("app", SOON, |backup| !backup["accepted_at"].is_null());
    assert_eq!(seen["suspect"], serde_json::json!([]));
    let file = format!("{suspect}.accepted.json");
    assert!(names(&stack.series_folder("app")).contains(&file));
    drop(command(suspect).ended_with(0));
}

#[test]
fn a_deliberate_big_delete_before_a_migration_does_not_close_the_gate() {
    let migrated = App::idle()
        .migrating("CREATE TABLE city (id int)")
        .label("stackwarden.migrate.backup", "always");
    let mut stack = with_gate(Stack::builder("suspect-gate"))
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "archive"))
        .write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(stack.wait_for_backup("app"));
    drop(stack.psql("app", "DROP TABLE customer, bill"));
    stack.change(|it| it.service("api", &migrated.yaml()));
    drop(stack.try_up().ok());
    let log = gate_log(&stack);
    assert_eq!(stack.inspect(GATE, "{{.State.ExitCode}}"), "0", "{log}");
    assert!(
        log.contains("the new backup is suspect") && log.contains("migrated"),
        "{log}"
    );
}

/// Everywhere an owner looks.
fn is_shown_as_suspect(stack: &Stack, id: &str) {
    let listed = stack.stackwarden(&["backups"]).ok();
    assert!(listed.contains("SUSPECT, proven: content"), "{listed}");
    let hint = format!("stackwarden backups --accept {id}");
    assert!(listed.contains(&hint), "{listed}");
    let status = stack.stackwarden(&["status"]).ended_with(0).stdout;
    assert!(
        status.contains(&hint) && status.contains("of postgres/app is suspect"),
        "{status}"
    );
    let health = stack.public("/health").expect("an answer");
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!(health["status"], "warn", "{health:#}");
    assert_eq!(health["checks"]["backups"][0]["warn"], 1, "{health:#}");
    let page = stack.public("/").expect("a page").body;
    assert!(page.contains("badge warn\">suspect"), "{page}");
    let logs = stack.logs(SIDECAR);
    assert!(logs.contains("the new backup is suspect"), "{logs}");
    // The alert of unproven backups compares these two.
    let metrics = stack.public("/metrics").expect("metrics").body;
    let sample = |family: &str, labels: &str| {
        let begin =
            format!("stackwarden_{family}{{service=\"postgres\",database=\"app\",{labels}}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&begin));
        line.and_then(|value| value.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("no {begin}: {metrics}"))
    };
    let success = sample(
        "backup_last_success_timestamp_seconds",
        "destination=\"disk\"",
    );
    let verified = "destination=\"disk\",level=\"content\"";
    assert!(sample("backup_last_verified_timestamp_seconds", verified) < success);
}

fn id_of(backup: &Value) -> String {
    backup["id"].as_str().expect("an id").to_owned()
}

fn ids(stack: &Stack) -> Vec<String> {
    stack.artefacts("app").into_iter().map(|it| it.id).collect()
}

fn latest(stack: &Stack) -> Value {
    let status = stack.stackwarden_json(&["status"]);
    let databases = status["databases"].as_array().expect("databases").iter();
    let app = databases.clone().find(|it| it["database"] == "app");
    app.expect("app")["latest"].clone()
}

const SCRATCH: &str = "stackwarden-proof";
/// pg_dump takes its locks in the order in which tables were made: behind this one it waits with all others held.
const LAST: &str = "CREATE TABLE last_of_all (id int)";
const HOLD_LAST: &str = "BEGIN; LOCK TABLE last_of_all IN ACCESS EXCLUSIVE MODE;";

fn nothing_runs(stack: &Stack) -> Result<(), String> {
    let asked = stack.stackwarden(&["--json", "status"]);
    let status: Value = serde_json::from_str(&asked.stdout).map_err(|_| asked.said())?;
    let jobs = status["jobs"].as_array().ok_or("no jobs")?;
    match jobs.iter().find(|job| job["ended_at"].is_null()) {
        Some(job) => Err(job.to_string()),
        None => Ok(()),
    }
}

#[test]
fn a_dump_gives_way_to_a_waiting_alter_begins_again_and_in_the_end_gives_up() {
    let stack = Stack::builder("yield")
        .sidecar(|it| {
            it.environment("STACKWARDEN_BACKUP_VERIFY", "archive")
                .environment("STACKWARDEN_YIELD", "1s")
        })
        .write();
    stack.up_database(&[("app", ROWS), ("app", LAST)]);
    stack.up();
    drop(stack.wait_for_backup("app"));
    wait_until("the first job ends", SOON, || nothing_runs(&stack));

    let mut session = stack.session("app");
    session.say(HOLD_LAST);
    let backup = stack.stackwarden_aside(&["backup"]);
    wait_for_waiting_dump(&stack, "last_of_all");
    // It stands behind the dump, which nobody else lets go on before the ALTER is through.
    let alter = "ALTER TABLE customer ADD COLUMN note text DEFAULT 'hunter2'; SELECT 1";
    assert_eq!(stack.psql("app", alter), "1");
    session.say("COMMIT;");
    let told = backup.end().ended_with(0);
    assert!(told.stdout.contains("postgres/app"), "{}", told.said());
    let logs = stack.logs(SIDECAR);
    assert!(
        logs.contains("the dump gave way")
            && logs.contains("ALTER TABLE")
            && logs.contains("public.customer"),
        "{logs}"
    );
    assert!(!logs.contains("hunter2"), "{logs}");

    // Somebody who comes back each time: after the fourth the backup fails and says what stood behind it.
    let before = ids(&stack);
    session.say(HOLD_LAST);
    let backup = stack.stackwarden_aside(&["backup"]);
    for _ in 1..=4 {
        wait_for_waiting_dump(&stack, "last_of_all");
        drop(stack.psql("app", "TRUNCATE bill"));
    }
    let told = backup.end().ended_with(1);
    let sentence = "the dump gave way 4 times, each time after 1s in which TRUNCATE on public.bill waited for it";
    assert!(told.stdout.contains(sentence), "{}", told.said());
    assert_eq!(ids(&stack), before);
    let status = stack.stackwarden(&["status"]).ended_with(0).stdout;
    assert!(status.contains(sentence), "{status}");
    session.say("COMMIT;");
    drop(stack.back_up());
}

#[test]
fn a_backup_or_proof_that_takes_too_long_is_ended_and_leaves_nothing() {
    let stack = Stack::builder("deadline")
        .sidecar(|it| it.environment("STACKWARDEN_DEADLINE", "25s"))
        .write();
    stack.up_database(&[("app", ROWS), ("app", LAST)]);
    stack.up();
    // The proof of the first backup meets a server that stands still.
    catch("the proof has begun", PROOF, || {
        if stack.made_containers() != [SCRATCH] {
            return Err("no scratch server of ours".to_owned());
        }
        let paused = docker(&["pause", SCRATCH]);
        if paused.code == 0 {
            Ok(())
        } else {
            Err(paused.said())
        }
    });
    wait_until("the proof is told to be late", SOON, || {
        let logs = stack.logs(SIDECAR);
        if logs.contains("the proof was not done after 25s and was ended") {
            Ok(())
        } else {
            Err(logs)
        }
    });
    assert_eq!(stack.made_containers(), Vec::<String>::new());

    let before = ids(&stack);
    let mut session = stack.session("app");
    session.say(HOLD_LAST);
    let told = stack.stackwarden(&["backup"]).ended_with(1);
    let sentence = "the backup was not done after 25s and was ended during the dump";
    assert!(told.stdout.contains(sentence), "{}", told.said());
    let held = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE a.application_name LIKE 'stackwarden/%' AND l.relation = 'customer'::regclass";
    assert_eq!(
        stack.psql("app", held),
        "0",
        "the locks went with the deadline"
    );
    assert_eq!(ids(&stack), before);
    let files = names(&stack.series_folder("app"));
    assert!(
        !files.iter().any(|name| name.ends_with(".partial")),
        "{files:?}"
    );
    session.say("COMMIT;");
    drop(stack.back_up());
}

/// 20 MB that no compressor shortens.
const BULK: &str = "
CREATE TABLE bulk (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE bulk ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO bulk
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 128) j)
    FROM generate_series(1, 2500) i;
";

#[test]
fn a_disk_that_would_be_full_is_said_before_anything_begins() {
    let stack = Stack::builder("no-room")
        .top_level(
            "volumes: { small: { driver_opts: { type: tmpfs, device: tmpfs, o: size=34m } } }",
        )
        .sidecar(|it| {
            it.without_volume("./backups")
                .volume("small:/backups")
                .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
        })
        .write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    drop(stack.wait_for_backup("app"));
    wait_until("the first job ends", SOON, || nothing_runs(&stack));
    let told = stack.stackwarden(&["backup"]).ended_with(1);
    assert!(
        told.stdout
            .contains("/backups has too little room for a backup of the size of the last one")
            && told.stdout.contains("nothing was begun"),
        "{}",
        told.said()
    );
    // Not even the roles were asked for.
    let logs = stack.logs(SIDECAR);
    assert!(!logs.contains("no space left"), "{logs}");
}

#[test]
fn a_proof_without_room_stays_at_archive_says_why_and_is_made_once_there_is_room() {
    // So little memory that the copy goes to the disk, and a reserve that no disk has.
    let reserved = |reserve: &'static str| {
        move |it: Service| {
            it.environment("STACKWARDEN_PROOF_MEMORY", "256MB")
                .environment("STACKWARDEN_PROOF_RESERVE", reserve)
        }
    };
    let mut stack = Stack::builder("proof-room")
        .sidecar(reserved("900000GB"))
        .write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    let stepped_down = stack.wait_for_verdict("app");
    assert_eq!(stepped_down["level"], "archive", "{stepped_down:#}");
    let proofs = stack.artefacts("app").pop().expect("a backup").proofs();
    let [proof] = proofs.as_slice() else {
        panic!("one proof: {proofs:#?}");
    };
    let reason = proof["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("too little room for a copy: ") && reason.contains("needed"),
        "{reason}"
    );
    assert!(proof["awaits_free_bytes"].as_u64().expect("bytes") > 900_000 << 30);
    let status = stack.stackwarden(&["status"]).ended_with(0).stdout;
    assert!(status.contains("is not restored yet: "), "{status}");
    let verified = stack.stackwarden(&["verify", stepped_down["id"].as_str().expect("an id")]);
    assert!(
        verified
            .ended_with(0)
            .stdout
            .contains("at level archive and no further: ")
    );
    assert_eq!(
        stack
            .artefacts("app")
            .pop()
            .expect("a backup")
            .proofs()
            .len(),
        2
    );
    assert_eq!(
        stack.backups_of("app").len(),
        1,
        "nobody asks again and again"
    );

    stack.change(|it| it.sidecar(reserved("1MB")));
    stack.up();
    assert_eq!(
        stack.wait_for_proof("app", "content")["id"],
        stepped_down["id"]
    );
}
