//! Extensions: their data comes back and is compared, what no dump carries is named, and an image that cannot serve is no
//! reason to doubt a backup.

use serde_json::Value;

use crate::harness::{DATABASE, Stack, docker};
use crate::kinds::damaging;

/// Built from packages by `make images`; the stock image has none of these extensions.
const EXTENDED: &str = "stackwarden-test/postgres:17-extended";
const SCHEMA: &str = include_str!("extensions/schema.sql");
const CRON: &str = include_str!("extensions/cron.sql");
const TIMESCALE: &str = include_str!("extensions/timescale.sql");

/// A value of each extension's type changes: the table, and what happens to its copy.
const DAMAGES: [(&str, &str); 11] = [
    ("public.one_citext", "UPDATE public.one_citext SET v = 'A'"),
    (
        "public.one_hstore",
        "UPDATE public.one_hstore SET v = 'a=>\"1 \"'",
    ),
    ("public.one_ltree", "UPDATE public.one_ltree SET v = 'a.B'"),
    ("public.one_seg", "UPDATE public.one_seg SET v = '1.00'"),
    (
        "public.one_isbn",
        "UPDATE public.one_isbn SET v = '9780306406157'",
    ),
    (
        "public.one_vector",
        "UPDATE public.one_vector SET v = '[1,2,3.0000002]'",
    ),
    (
        "public.one_geometry",
        "UPDATE public.one_geometry SET v = public.ST_MakePoint(1, 2e-300)",
    ),
    (
        "public.one_geography",
        "UPDATE public.one_geography SET v = public.ST_MakePoint(1, 2.0000001)::public.geography",
    ),
    ("public.item", "DELETE FROM public.item WHERE id = 3"),
    ("streets.node", "DELETE FROM streets.node"),
    ("partman.ours", "UPDATE partman.ours SET one = 2"),
];

#[test]
fn what_extensions_hold_is_proven_at_content_and_its_damage_named() {
    let stack = Stack::builder("extensions")
        .postgres(|it| {
            it.image(EXTENDED).lines(
                "command: postgres -c shared_preload_libraries=timescaledb,pg_cron,pgaudit -c cron.database_name=app -c pgaudit.log=all",
            )
        })
        .write();
    let sql: Vec<&str> = DAMAGES.iter().map(|(_, sql)| *sql).collect();
    let damage = damaging(&(sql.join(";\n") + ";"));
    let chunk = "UPDATE _timescaledb_internal._hyper_1_2_chunk SET value = 0 WHERE device = 3;";
    stack.up_database(&[
        ("app", "CREATE DATABASE metrics"),
        ("app", "CREATE DATABASE damaged"),
        ("app", "CREATE DATABASE damaged_metrics"),
        ("app", SCHEMA),
        ("app", CRON),
        ("damaged", SCHEMA),
        ("damaged", &damage),
        ("metrics", TIMESCALE),
        ("damaged_metrics", TIMESCALE),
        ("damaged_metrics", &damaging(chunk)),
    ]);
    stack.up();
    for database in ["app", "metrics"] {
        let proven = stack.wait_for_verdict(database);
        assert_eq!(proven["standing"], "proven", "{proven:#}");
        assert_eq!(proven["level"], "content", "{proven:#}");
    }
    members_that_no_dump_carries_are_named(&stack);
    let mut tables: Vec<&str> = DAMAGES.iter().map(|(table, _)| *table).collect();
    only_these_tables_differ(&stack, "damaged", &mut tables);
    let mut chunk = ["_timescaledb_internal._hyper_1_2_chunk"];
    only_these_tables_differ(&stack, "damaged_metrics", &mut chunk);
}

fn members_that_no_dump_carries_are_named(stack: &Stack) {
    let compared = stack.artefacts("app")[0].proofs()[0]["compared"].clone();
    let find = |name: &str| -> Value {
        let mut all = compared.as_array().expect("a list").iter();
        let found = all.find(|it| it["name"] == name);
        found.expect("it is named").clone()
    };
    for name in ["public.given_away", "public.given_sequence"] {
        let why = find(name)["why"].to_string();
        assert!(why.contains("extension hstore"), "{name}: {why}");
    }
    // Configuration of extensions is carried, and compared like any other table.
    for name in [
        "cron.job",
        "partman.part_config",
        "topology.topology",
        "public.spatial_ref_sys",
    ] {
        assert_eq!(find(name)["compared"], "digest", "{:#}", find(name));
    }
}

#[track_caller]
fn only_these_tables_differ(stack: &Stack, database: &str, tables: &mut [&str]) {
    let refuted = stack.wait_for_verdict(database);
    assert_eq!(refuted["standing"], "refuted", "{refuted:#}");
    let differences = refuted["proof"]["differences"].as_array().expect("a list");
    let mut named: Vec<&str> = differences
        .iter()
        .filter_map(|it| it.as_str()?.strip_prefix("table ")?.split_once(": "))
        .map(|(table, _)| table)
        .collect();
    named.sort_unstable();
    tables.sort_unstable();
    assert_eq!(named, tables, "{differences:#?}");
    assert_eq!(named.len(), differences.len(), "{differences:#?}");
}

#[test]
fn what_an_image_cannot_serve_is_said_and_the_level_steps_down() {
    let mut stack = Stack::builder("unserved").write();
    stack.up_database(&[("app", "CREATE TABLE t AS SELECT 1 AS i")]);
    // Files that somebody put into the container, and that its image does not have.
    let put = "cd \"$(pg_config --sharedir)/extension\" && echo \"default_version = '1'\" > homemade.control && echo 'CREATE TABLE ours ();' > homemade--1.sql";
    let shared = stack.exec(DATABASE, &["sh", "-c", put]);
    assert_eq!(shared.code, 0, "{}", shared.said());
    drop(stack.psql("app", "CREATE EXTENSION homemade"));
    stack.up();
    the_level_is_archive(&stack, "homemade");

    // An image that lost a program; the data lives on in its volume.
    let remove = "rm \"$(dirname \"$(readlink -f \"$(command -v postgres || ls /usr/lib/postgresql/*/bin/postgres)\")\")/initdb\"";
    drop(stack.exec(DATABASE, &["sh", "-c", remove]).ok());
    let image = format!("stackwarden-test/{}/postgres:lost", stack.project());
    drop(docker(&["commit", &stack.container(DATABASE), &image]).ok());
    stack.change(|it| it.postgres(|it| it.image(&image)));
    stack.up();
    stack.wait_for_postgres();
    drop(stack.stackwarden(&["backup"]).ended_with(0));
    the_level_is_archive(&stack, "initdb");
}

#[track_caller]
fn the_level_is_archive(stack: &Stack, because: &str) {
    let proven = stack.wait_for_verdict("app");
    assert_eq!(proven["standing"], "proven", "{proven:#}");
    assert_eq!(proven["level"], "archive", "{proven:#}");
    let artefacts = stack.artefacts("app");
    let proofs = artefacts.last().expect("a backup").proofs();
    let reason = proofs[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains(because), "{reason}");
}
