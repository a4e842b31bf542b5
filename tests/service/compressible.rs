//! A database that is much larger than its dump: the size of a file says little about the room its copy needs.

use crate::harness::Stack;

/// 600 MB of rows that shrink to next to nothing.
const LOGS: &str = "
CREATE TABLE log (id int, line text);
INSERT INTO log SELECT i, repeat('GET /health 200 ', 85) FROM generate_series(1, 400000) i;
";

#[test]
fn a_copy_far_larger_than_its_dump_is_proven_all_the_same() {
    let stack = Stack::builder("compressible").write();
    stack.up_database(&[("app", LOGS)]);
    stack.up();
    let proven = stack.wait_for_proof("app", "content");
    let stored = proven["size_bytes"].as_u64().expect("a size");
    assert!(
        stored < 20_000_000,
        "the test wants a small file: {proven:#}"
    );
    let live = stack.psql("app", "SELECT pg_table_size('log')");
    let live: u64 = live.parse().expect("a size");
    assert!(live > 550_000_000, "the test wants a large table: {live}");
}
