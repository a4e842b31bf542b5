//! A TRUNCATE or a rewriting ALTER between snapshot and dump: not MVCC, so dump and count would agree on an empty table.
//!
//! The moment is hit from outside: a transaction holds the table exclusively, so that pg_dump waits for it with the
//! snapshot already taken; then the same transaction truncates or rewrites, and commits.

use serde_json::Value;

use crate::harness::{DATABASE, PROOF, SOON, Stack, wait_until};

const TABLES: &str = "
CREATE TABLE x (id int PRIMARY KEY, body text);
INSERT INTO x SELECT i, 'before ' || i FROM generate_series(1, 1000) i;
CREATE TABLE y AS SELECT * FROM x;
";
const LOCK: &str = "BEGIN; LOCK TABLE x IN ACCESS EXCLUSIVE MODE;";
const REPLACE: &str =
    "TRUNCATE x; INSERT INTO x SELECT i, 'after' FROM generate_series(1, 10) i; COMMIT;";

fn stack(test: &str) -> Stack {
    let stack = Stack::builder(test).write();
    stack.up_database(&[("app", TABLES)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    stack
}

#[test]
fn a_table_emptied_or_rewritten_between_snapshot_and_dump_is_dumped_again() {
    let stack = stack("slipped");
    for (table, change, rows) in [
        ("x", "TRUNCATE x", 0),
        (
            "x",
            "TRUNCATE x; INSERT INTO x SELECT i, 'after' FROM generate_series(1, 10) i",
            10,
        ),
        ("y", "ALTER TABLE y ALTER COLUMN id TYPE bigint", 1000),
        // pg_dump itself fails where the rewrite gave the index another identity.
        ("x", "ALTER TABLE x ALTER COLUMN id TYPE bigint", 10),
    ] {
        let mut session = stack.session("app");
        session.say(&format!(
            "BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;"
        ));
        let backup = stack.stackwarden_aside(&["backup"]);
        wait_for_waiting_dump(&stack, table);
        session.say(&format!("{change}; COMMIT;"));
        drop(session);
        let ended = backup.end();
        if ended.code != 0 {
            assert!(
                ended.stdout.contains("pg_dump failed"),
                "{change}: {}",
                ended.said()
            );
            drop(stack.back_up());
        }
        let proven = stack.wait_for_verdict("app");
        assert_eq!(proven["level"], "content", "{change}: {proven:#}");
        let artefacts = stack.artefacts("app");
        let newest = artefacts.last().expect("a backup");
        assert_eq!(proven["id"], newest.id);
        let counted = rows_of(&newest.manifest, &format!("public.{table}"));
        assert_eq!(counted, Some(rows), "{change}");
    }
    let logs = stack.logs("stackwarden");
    assert!(logs.contains("beginning again"), "{logs}");
}

#[test]
fn a_table_that_keeps_being_emptied_is_never_said_to_be_compared() {
    let stack = stack("slipping");
    let mut session = stack.session("app");
    session.say(LOCK);
    let backup = stack.stackwarden_aside(&["backup"]);
    for attempt in 1..=3 {
        wait_for_waiting_dump(&stack, "x");
        session.say(REPLACE);
        if attempt < 3 {
            // Granted as soon as the dump that saw it has been ended, before the next one begins.
            session.say(LOCK);
        }
    }
    drop(session);
    drop(backup.end().ended_with(0));
    let artefacts = stack.artefacts("app");
    let newest = artefacts.last().expect("a backup");
    let why = newest.manifest["not_counted"].as_str().unwrap_or_default();
    assert!(why.contains("public.x"), "{:#}", newest.manifest);
    let level = wait_until("the proof without counts", PROOF, || {
        let backup = stack.backups_of("app").pop().ok_or("no backup")?;
        match backup["proof"]["level"].as_str() {
            Some(level) if backup["id"] == newest.id => Ok(level.to_owned()),
            _ => Err(backup.to_string()),
        }
    });
    assert_eq!(level, "restore");
    let reason = stack.backups_of("app").pop().expect("a backup")["proof"]["reason"].to_string();
    assert!(reason.contains("rows were not counted"), "{reason}");
}

fn rows_of(manifest: &Value, table: &str) -> Option<u64> {
    let tables = manifest["tables"].as_array()?;
    tables.iter().find(|it| it["name"] == table)?["rows"].as_u64()
}

/// A pg_dump of ours waits for the lock: its snapshot is older than whatever comes now.
pub fn wait_for_waiting_dump(stack: &Stack, table: &str) {
    let waiting = format!(
        "
SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE NOT l.granted AND l.relation = 'public.{table}'::regclass AND a.query LIKE 'LOCK TABLE%'
    AND a.application_name LIKE 'stackwarden/%'"
    );
    wait_until("pg_dump waits for the table", SOON, || {
        let asked = stack.try_psql("app", &waiting);
        if asked.stdout.trim() == "1" {
            return Ok(());
        }
        let all =
            "SELECT application_name, state, wait_event, left(query, 80) FROM pg_stat_activity";
        Err(format!(
            "{}\n{}",
            asked.said(),
            stack.try_psql("app", all).said()
        ))
    });
    assert!(!stack.processes(DATABASE, "pg_dump").is_empty());
}
