//! Every kind of object that PostgreSQL 15 to 18 can hold: a right copy is proven at `content` without a false alarm, and
//! in a wrong one the change of each kind is named.
//!
//! The wrong copies damage themselves: what is restored last calls a function that acts only on another server.

use serde_json::Value;

use crate::harness::Stack;

const ROLES: &str = include_str!("kinds/roles.sql");
const SCHEMA: &str = include_str!("kinds/schema.sql");
const SETTINGS: &str = include_str!("kinds/settings.sql");
/// The databases whose copies are damaged, and how.
const DAMAGED: [(&str, &str); 3] = [
    ("values", include_str!("kinds/values.sql")),
    ("definitions", include_str!("kinds/definitions.sql")),
    ("rights", include_str!("kinds/rights.sql")),
];

#[test]
fn every_kind_of_object_is_proven_and_its_damage_named_on_15() {
    every_kind_is_proven_and_its_damage_named("postgres:15");
}

#[test]
fn every_kind_of_object_is_proven_and_its_damage_named_on_16() {
    every_kind_is_proven_and_its_damage_named("postgres:16");
}

#[test]
fn every_kind_of_object_is_proven_and_its_damage_named_on_17() {
    every_kind_is_proven_and_its_damage_named("postgres:17");
}

#[test]
fn every_kind_of_object_is_proven_and_its_damage_named_on_18() {
    every_kind_is_proven_and_its_damage_named("postgres:18");
}

fn every_kind_is_proven_and_its_damage_named(image: &str) {
    let major = image.rsplit(':').next().expect("a tag");
    let stack = Stack::builder(&format!("kinds{major}"))
        .postgres(|it| it.image(image))
        .write();
    stack.up_database(&[("app", ROLES), ("app", SCHEMA), ("app", SETTINGS)]);
    let major: u32 = major.parse().expect("a major version");
    for (database, text) in DAMAGED {
        let damages = damages(text, major);
        let create = format!("CREATE DATABASE {database}");
        drop(stack.psql("postgres", &create));
        drop(stack.psql(database, SCHEMA));
        drop(stack.psql(database, &damaging(&sql_of(&damages))));
        drop(stack.psql(database, SETTINGS));
    }
    stack.up();
    let proven = stack.wait_for_verdict("app");
    assert_eq!(proven["standing"], "proven", "{proven:#}");
    assert_eq!(proven["level"], "content", "{proven:#}");
    what_was_compared_is_named(&stack);
    let mut wrong = Vec::new();
    for (database, text) in DAMAGED {
        let refuted = stack.wait_for_verdict(database);
        assert_eq!(refuted["standing"], "refuted", "{refuted:#}");
        let types = type_tables(&stack, database);
        let expected = expected(&damages(text, major), &types);
        wrong.extend(which_differ_otherwise(
            database,
            &refuted["proof"]["differences"],
            &expected,
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What happens to the copy, and the start and a part of each difference that it has to give.
struct Damage {
    sql: String,
    differences: Vec<(String, String)>,
}

/// Reads a file of damages: statements, each followed by a line for each of its differences.
fn damages(text: &str, major: u32) -> Vec<Damage> {
    let mut found: Vec<Damage> = Vec::new();
    let mut sql = String::new();
    for line in text.lines().filter(|line| !line.starts_with("-- ")) {
        let Some(said) = line.strip_prefix("-->") else {
            sql = sql + line + "\n";
            continue;
        };
        let (since, said) = said
            .strip_prefix(" since ")
            .and_then(|it| it.split_once(':'))
            .unwrap_or(("0", said));
        let (start, part) = said.split_once(" … ").unwrap_or((said, ""));
        let is_known = since.parse::<u32>().expect("a major version") <= major;
        let difference = (start.trim().to_owned(), part.trim().to_owned());
        let sql = std::mem::take(&mut sql);
        match found.last_mut() {
            _ if !is_known => {}
            Some(last) if sql.is_empty() => last.differences.push(difference),
            _ => found.push(Damage {
                sql,
                differences: vec![difference],
            }),
        }
    }
    found
}

fn sql_of(damages: &[Damage]) -> String {
    damages.iter().map(|it| it.sql.as_str()).collect()
}

/// What makes a database damage its copies.
pub fn damaging(sql: &str) -> String {
    format!(
        "CREATE FUNCTION public.damage() RETURNS int LANGUAGE plpgsql AS $damage$
DECLARE it record;
BEGIN
    IF (SELECT h.system_identifier <> c.system_identifier FROM public.here h, pg_control_system() c) THEN
        {sql}
    END IF;
    RETURN 1;
END $damage$;
CREATE MATERIALIZED VIEW public.before_last AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW public.last_restored AS SELECT public.damage() AS done FROM public.before_last;
"
    )
}

/// The tables of single types that this server could make.
fn type_tables(stack: &Stack, database: &str) -> Vec<String> {
    let names = stack.psql(database, "SELECT name FROM k.types ORDER BY name");
    names.lines().map(|name| format!("k.type_{name}")).collect()
}

fn expected(damages: &[Damage], types: &[String]) -> Vec<(String, String)> {
    let of_types = || {
        types.iter().map(|table| {
            let start = format!("table {table}: holds other values");
            (start, String::new())
        })
    };
    let mut expected = Vec::new();
    for (start, part) in damages.iter().flat_map(|it| &it.differences) {
        match start.as_str() {
            "each type" => expected.extend(of_types()),
            _ => expected.push((start.clone(), part.clone())),
        }
    }
    expected
}

/// Each damage gives its difference, and nothing else is blamed; what is otherwise.
fn which_differ_otherwise(
    database: &str,
    differences: &Value,
    expected: &[(String, String)],
) -> Option<String> {
    let all = differences.as_array().expect("differences");
    let mut left: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    let mut missed = Vec::new();
    for (start, part) in expected {
        let is_it = |it: &&str| it.starts_with(start.as_str()) && it.contains(part.as_str());
        match left.iter().position(is_it) {
            Some(at) => drop(left.remove(at)),
            None => missed.push((start, part)),
        }
    }
    let is_right = missed.is_empty() && left.is_empty();
    (!is_right).then(|| format!("{database}\nmissed: {missed:?}\nunexpected: {left:#?}"))
}

fn what_was_compared_is_named(stack: &Stack) {
    let artefacts = stack.artefacts("app");
    let compared = artefacts[0].proofs()[0]["compared"].clone();
    let all = compared.as_array().expect("a list");
    let how = |name: &str| -> Vec<String> {
        let ours = all.iter().filter(|it| it["name"] == name);
        ours.map(|it| it["compared"].as_str().expect("a word").to_owned())
            .collect()
    };
    for table in type_tables(stack, "app") {
        assert_eq!(how(&table), ["digest"], "{table}");
    }
    for (name, compared) in [
        ("k.no_columns", "digest"),
        ("k.unlogged", "digest"),
        ("k.guarded", "digest"),
        ("large objects", "digest"),
        ("k.rising", "digest"),
        ("k.foreign_rows", "definition"),
        ("k.counted", "definition"),
        ("\"k fast\"", "definition"),
    ] {
        assert_eq!(how(name), [compared], "{name}");
    }
    let without_reason: Vec<&Value> = all
        .iter()
        .filter(|it| it["compared"] != "digest" && it["why"].is_null())
        .collect();
    assert!(without_reason.is_empty(), "{without_reason:#?}");
}
