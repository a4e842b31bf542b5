//! Twelve thousand tables on a server with default settings: its lock table is the narrow place.

use std::time::Instant;

use crate::harness::Stack;

const TABLES: u64 = 12_000;

/// In several transactions, since creating takes locks too.
const CREATE: &str = "
CREATE PROCEDURE create_tables() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..12000 LOOP
        EXECUTE format('CREATE TABLE t%s AS SELECT %s AS id, %L AS body', i, i, md5(i::text));
        IF i % 500 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
END $$;
CALL create_tables();
DROP PROCEDURE create_tables;
";

#[test]
fn twelve_thousand_tables_are_backed_up_and_proven_on_default_settings() {
    let stack = Stack::builder("tables").write();
    stack.up_database(&[("app", CREATE)]);
    assert_eq!(stack.psql("app", "SHOW max_locks_per_transaction"), "64");
    let begun = Instant::now();
    stack.up();
    let backup = stack.wait_for_backup("app");
    assert_eq!(
        backup["tables"].as_u64(),
        Some(TABLES + 1),
        "with the large objects: {backup:#}"
    );
    let backed_up = begun.elapsed();
    let proven = stack.wait_for_verdict("app");
    eprintln!(
        "{TABLES} tables: backed up {backed_up:?}, proven {:?} after `up`",
        begun.elapsed()
    );
    eprintln!(
        "dump and check {} s, proof {} s",
        backup["seconds"], proven["proof"]["seconds"]
    );
    assert_eq!(proven["level"], "content", "{proven:#}");
}
