//! What a backup does beside its dump gives way to the dump, and to the database.

use serde_json::Value;

use crate::harness::{SOON, Stack, catch};

/// Enough to see everything at work at the same time.
const ROWS: &str = "CREATE TABLE t AS SELECT i, md5(i::text) || md5((i * 7)::text) AS m \
FROM generate_series(1, 1500000) AS i";

/// `SCHED_OTHER` and `SCHED_IDLE` of sched(7).
const ORDINARY: i64 = 0;
const IDLE: i64 = 5;

/// A process as proc(5) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    nice: i64,
    policy: i64,
}

fn standing(process: u32) -> Option<Standing> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold anything; what follows it begins with field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some(Standing {
        nice: field(19)?,
        policy: field(41)?,
    })
}

/// Waits for a process of the database's container that stands so.
fn wait_for(stack: &Stack, needle: &str, wanted: Standing) {
    catch(&format!("{needle} at {wanted:?}"), SOON, || {
        let found = stack.processes("postgres", needle).into_iter();
        let found: Vec<_> = found.filter_map(|(process, _)| standing(process)).collect();
        if found.contains(&wanted) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
}

fn decoded(stack: &Stack) -> Value {
    stack.wait_for_backup("app");
    stack.artefacts("app").remove(0).manifest["decoded"].clone()
}

#[test]
fn decoding_and_digests_give_way_to_the_dump() {
    let stack = Stack::builder("courtesy").write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    let (nice, policy) = (0, IDLE);
    wait_for(&stack, "pg_restore", Standing { nice, policy });
    let (nice, policy) = (10, ORDINARY);
    wait_for(&stack, "postgres: app app", Standing { nice, policy });
    assert_eq!(decoded(&stack), "stored");
}

#[test]
fn without_chrt_decoding_has_a_low_priority_and_is_made_all_the_same() {
    let stack = Stack::builder("nochrt")
        .postgres(|it| {
            it.lines("entrypoint: [sh, -c, 'rm /usr/bin/chrt; exec docker-entrypoint.sh postgres']")
        })
        .write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    let (nice, policy) = (10, ORDINARY);
    wait_for(&stack, "pg_restore", Standing { nice, policy });
    assert_eq!(decoded(&stack), "stored");
}
