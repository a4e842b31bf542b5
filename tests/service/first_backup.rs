//! A stack without any label or variable: found, backed up, proven, restorable with stock tools.

use crate::harness::Stack;

#[test]
fn harness_smoke() {
    let stack = Stack::builder("smoke").up();
    stack.wait_for_postgres();
    stack.psql("app", "CREATE TABLE t AS SELECT generate_series(1,1000) AS i;");
    let proven = stack.wait_for_proof("app", "content");
    eprintln!("{proven:#}");
}
