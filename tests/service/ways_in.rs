//! A proven backup needs the database's own container and nothing else: no network, no valid password, no `postgres`.

use crate::harness::Stack;

/// A server that only its own socket reaches, on a network that the sidecar does not share.
const SOCKET_ONLY: &str = "
image: IMAGE
command: postgres -c listen_addresses=
environment: { POSTGRES_USER: app, POSTGRES_PASSWORD: a secret of the test, POSTGRES_DB: app }
networks: [database]
healthcheck:
  test: [CMD-SHELL, 'grep -q postgres /proc/1/comm && pg_isready -U app']
  interval: 1s
  retries: 120
";

#[test]
fn a_server_on_its_socket_alone_is_proven_without_a_shared_network() {
    let stack = Stack::builder("socket")
        .service("postgres", &SOCKET_ONLY.replace("IMAGE", "postgres:17"))
        .sidecar(|it| it.lines("networks: [operations]"))
        .top_level("networks: { database: {}, operations: {} }")
        .write();
    stack.up_database(&[
        ("app", "CREATE TABLE t AS SELECT 1 AS i"),
        ("app", "ALTER ROLE app PASSWORD 'another'"),
        ("template1", "DROP DATABASE postgres"),
    ]);
    stack.up();
    let proven = stack.wait_for_proof("app", "content");
    assert_eq!(proven["reason"], "first", "{proven:#}");
    let status = stack.stackwarden_json(&["status"]);
    assert_eq!(status["databases"][0]["server"], "reached", "{status:#}");
}

#[test]
fn a_password_of_the_environment_that_is_none_any_more_is_no_hindrance() {
    let stack = Stack::builder("password").write();
    stack.up_database(&[
        ("app", "CREATE TABLE t AS SELECT 1 AS i"),
        ("app", "ALTER ROLE app PASSWORD 'another'"),
    ]);
    stack.up();
    let proven = stack.wait_for_proof("app", "content");
    assert_eq!(proven["reason"], "first", "{proven:#}");
    let status = stack.stackwarden_json(&["status"]);
    assert_eq!(status["databases"][0]["server"], "reached", "{status:#}");
}
