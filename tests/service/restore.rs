//! `restore`: beside the live database, in its place, back, and what is kept in between. Whatever is asked, killed or
//! refused, the application's database is there as it was or as it was wanted.

mod foreign;
mod into;
mod kills;
mod swap;

use crate::harness::{Ran, SOON, Stack, wait_until};

/// A database with everything that a dump of its objects does not carry.
const SHOP: &str = "
CREATE ROLE keeper LOGIN PASSWORD 'kept';
CREATE ROLE readers;
GRANT readers TO keeper;
CREATE TABLE orders (id int PRIMARY KEY, note text, status varchar CHECK (status IN ('new', 'paid')));
INSERT INTO orders SELECT i, 'note ' || i, 'new' FROM generate_series(1, 5000) i;
CREATE TABLE parts (id bigserial PRIMARY KEY, order_id int REFERENCES orders, body jsonb);
INSERT INTO parts (order_id, body) SELECT i, jsonb_build_object('n', i) FROM generate_series(1, 2000) i;
CREATE VIEW paid AS SELECT * FROM orders WHERE status IN ('paid');
ALTER TABLE parts OWNER TO keeper;
GRANT SELECT ON orders TO readers;
SELECT lo_from_bytea(0, 'a large object');
ALTER DATABASE app SET work_mem = '7MB';
ALTER ROLE keeper IN DATABASE app SET statement_timeout = '77s';
ALTER DATABASE app CONNECTION LIMIT 55;
REVOKE TEMPORARY ON DATABASE app FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE app TO keeper WITH GRANT OPTION;
COMMENT ON DATABASE app IS 'the shop''s \"books\"';
";

/// What a database is from outside, as the catalogue has it, whatever it is called.
fn outside(stack: &Stack, database: &str) -> String {
    let sql = format!(
        "SELECT pg_get_userbyid(d.datdba), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(d.datacl) a), d.datconnlimit, shobj_description(d.oid, 'pg_database'),
  pg_encoding_to_char(d.encoding), d.datcollate, d.datallowconn,
  (SELECT array_agg(s.setrole::regrole::text || ' ' || s.setconfig::text ORDER BY s.setrole::regrole::text) FROM pg_db_role_setting s
   WHERE s.setdatabase = d.oid)
FROM pg_database d WHERE d.datname = '{database}'"
    );
    stack.psql("postgres", &sql)
}

/// The databases of the server that are no templates.
fn databases(stack: &Stack) -> Vec<String> {
    let sql = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1";
    let listed = stack.psql("postgres", sql);
    listed.lines().map(str::to_owned).collect()
}

/// The only database that a swap put aside on this side.
#[track_caller]
fn kept(stack: &Stack, side: &str) -> String {
    let all = databases(stack);
    let start = format!("app_{side}_");
    let mut kept = all.iter().filter(|name| name.starts_with(&start));
    let one = kept
        .next()
        .unwrap_or_else(|| panic!("none {side}: {all:?}"));
    assert_eq!(kept.next(), None, "{all:?}");
    one.clone()
}

/// A restore that has to succeed; gives what it printed.
#[track_caller]
fn restored(stack: &Stack, words: &[&str]) -> String {
    let ran = stack.stackwarden(&[&["restore"], words].concat());
    ran.ended_with(0).stdout
}

/// A restore that has to be refused, with one sentence.
#[track_caller]
fn refused(stack: &Stack, words: &[&str], code: i32) -> String {
    let ran: Ran = stack.stackwarden(&[&["restore"], words].concat());
    let ran = ran.ended_with(code);
    assert!(!ran.said().contains("panicked"), "{}", ran.said());
    ran.said()
}

/// Nothing of a restore is on its way.
#[track_caller]
fn no_copy_is_left(stack: &Stack) {
    wait_until("no copy is left", SOON, || {
        let all = databases(stack);
        if all.iter().any(|name| name.starts_with("stackwarden_copy_")) {
            Err(format!("{all:?}"))
        } else {
            Ok(())
        }
    });
}

/// A backup of `app` that is proven.
fn proven(stack: &Stack) -> String {
    let proven = stack.wait_for_proof("app", "content");
    proven["id"].as_str().expect("an id").to_owned()
}
