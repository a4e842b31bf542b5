//! An application that keeps writing does not make a backup inexact, and a backup does not make the sidecar large.

use crate::harness::{DATABASE, SIDECAR, Stack, docker};

/// Several seconds of dump and digests, and two procedures that write until they are ended.
const LEDGER: &str = "
CREATE TABLE entry (id bigserial PRIMARY KEY, account int NOT NULL, amount numeric NOT NULL, note text);
INSERT INTO entry (account, amount, note)
    SELECT i % 1000, i * 0.01, repeat(md5(i::text), 6) FROM generate_series(1, 400000) i;
CREATE INDEX entry_account ON entry (account);
CREATE TABLE balance (account int PRIMARY KEY, amount numeric NOT NULL);
INSERT INTO balance SELECT i, 0 FROM generate_series(0, 999) i;
CREATE PROCEDURE insert_for_ever() LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        INSERT INTO entry (account, amount, note) SELECT i, 1, 'written' FROM generate_series(1, 20) i;
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE update_for_ever() LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        UPDATE balance SET amount = amount + 1 WHERE account = (random() * 999)::int;
        UPDATE entry SET amount = amount + 1 WHERE id = 1 + (random() * 399999)::bigint;
        DELETE FROM entry WHERE id = 1 + (random() * 399999)::bigint;
        COMMIT;
    END LOOP;
END $$;
";

#[test]
fn a_backup_under_writers_is_exact() {
    let stack = Stack::builder("writers").write();
    stack.up_database(&[("app", LEDGER)]);
    for procedure in ["insert_for_ever", "update_for_ever"] {
        let call = format!("CALL {procedure}()");
        let container = stack.container(DATABASE);
        let words = [
            "exec", "-d", &container, "psql", "-X", "-U", "app", "-d", "app", "-c", &call,
        ];
        drop(docker(&words).ok());
    }
    let before = highest(&stack);
    stack.up();
    let proven = stack.wait_for_verdict("app");
    let after = highest(&stack);
    let writers = stack.psql(
        "app",
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND state = 'active';
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL%'",
    );
    assert!(
        writers.starts_with('2'),
        "both still wrote when the proof ended: {writers}"
    );
    assert_eq!(proven["level"], "content", "{proven:#}");
    assert!(before < after, "{before} {after}");
    the_sequence_is_compared_within_an_interval(&stack);
    the_sidecar_stays_small(&stack);
}

fn highest(stack: &Stack) -> i64 {
    let id = stack.psql("app", "SELECT last_value FROM entry_id_seq");
    id.parse().expect("a number")
}

/// Sequences are not part of a snapshot: the dump's value lies between the two that were read around it.
fn the_sequence_is_compared_within_an_interval(stack: &Stack) {
    let artefacts = stack.artefacts("app");
    let manifest = &artefacts[0].manifest;
    let value = |when: &str| {
        let sequences = manifest[when].as_array().expect("sequences");
        let found = sequences
            .iter()
            .find(|it| it["name"] == "public.entry_id_seq");
        found.expect("the sequence")["last"]
            .as_i64()
            .expect("a value")
    };
    let (before, after) = (value("sequences_before"), value("sequences_after"));
    assert!(
        before < after,
        "writers wrote during the dump: {before} {after}"
    );
}

/// The contract's bar is 64 MB while backing up; what stays afterwards is printed.
fn the_sidecar_stays_small(stack: &Stack) {
    let pid = stack.inspect(SIDECAR, "{{.State.Pid}}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read /proc");
    let kilobytes = |key: &str| -> u64 {
        let line = status
            .lines()
            .find(|line| line.starts_with(key))
            .expect("a line");
        line.split_whitespace()
            .nth(1)
            .expect("a number")
            .parse()
            .expect("a number")
    };
    let (peak, all, anonymous) = (
        kilobytes("VmHWM:"),
        kilobytes("VmRSS:"),
        kilobytes("RssAnon:"),
    );
    eprintln!("sidecar after its backup: VmHWM {peak} kB, VmRSS {all} kB, RssAnon {anonymous} kB");
    assert!(peak < 64 * 1024, "VmHWM {peak} kB");
}
