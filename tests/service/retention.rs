//! What `backups --plan` says is what the next backup removes, and nothing goes behind a failure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{PROOF, SIDECAR, SOON, Stack, wait_until};

const ROWS: &str = "CREATE TABLE t AS SELECT 1 AS a";

/// Series and id of what is stored, or of what a plan says about it.
type Ids = BTreeSet<(String, String)>;

#[test]
fn the_plan_is_what_pruning_removes_behind_a_success_and_nothing_behind_a_failure() {
    let stack = Stack::builder("retention")
        .with_ports()
        .sidecar(|it| {
            // Named, so that one that takes no connection is missed and not left out.
            it.environment("STACKWARDEN_BACKUP_KEEP", "last=1")
                .environment("STACKWARDEN_BACKUP_DATABASES", "app,other")
        })
        .write();
    stack.up_database(&[
        ("app", "CREATE DATABASE other"),
        ("app", ROWS),
        ("other", ROWS),
    ]);
    stack.up();
    for database in ["app", "other"] {
        drop(stack.wait_for_proof(database, "content"));
    }
    // The first backups with their roles will be condemned once the second ones are proven.
    drop(stack.psql("app", "CREATE ROLE reader"));
    drop(stack.back_up());
    for database in ["app", "other"] {
        wait_for_two_proven(&stack, database);
    }
    let (before, plan) = (stored(&stack), plan(&stack));
    let condemned = of(&plan, "remove");
    let of_series = |series: &str| condemned.iter().filter(|(it, _)| it == series).count();
    assert_eq!(
        ["app", "other", "globals"].map(of_series),
        [1, 1, 1],
        "{plan:#}"
    );
    let kept = of(&plan, "keep");
    assert_eq!(kept.union(&condemned).cloned().collect::<Ids>(), before);
    every_door_tells_the_same(&stack, &condemned);

    // One database fails: nothing of it goes, nor any roles.
    stack.psql("app", "ALTER DATABASE other ALLOW_CONNECTIONS false");
    let partial = stack.stackwarden(&["backup"]).ended_with(3);
    assert!(
        partial.stdout.contains("postgres/other: failed"),
        "{}",
        partial.said()
    );
    let gone: Ids = before.difference(&stored(&stack)).cloned().collect();
    let wanted: Ids = condemned
        .iter()
        .filter(|(it, _)| it == "app")
        .cloned()
        .collect();
    assert_eq!(gone, wanted);

    // It succeeds again: the rest of the plan is carried out, as the plan says now.
    stack.psql("app", "ALTER DATABASE other ALLOW_CONNECTIONS true");
    let app = stack.wait_for_proof("app", "content");
    let (before, plan) = (stored(&stack), self::plan(&stack));
    drop(stack.back_up());
    let gone: Ids = before.difference(&stored(&stack)).cloned().collect();
    assert_eq!(gone, of(&plan, "remove"), "{plan:#}");
    assert!(
        gone.iter().any(|(series, _)| series == "globals"),
        "{gone:?}"
    );
    assert!(!gone.iter().any(|(_, id)| app["id"] == *id), "{gone:?}");
    what_was_removed_is_in_the_journal(&stack, &gone);
}

/// By command, by HTTP, and in place where no sidecar runs.
fn every_door_tells_the_same(stack: &Stack, condemned: &Ids) {
    let told = stack
        .stackwarden(&["backups", "--plan", "postgres/app"])
        .ok();
    assert!(
        told.contains("remove: ") && told.contains("keep: the newest, the newest verified"),
        "{told}"
    );
    assert!(!told.contains("postgres/other"), "{told}");
    let answer = stack
        .control("GET", "/v1/backups/plan", "")
        .expect("an answer");
    assert_eq!(of(&answer.json(), "remove"), *condemned);
    stack.stop(SIDECAR);
    let alone = stack.stackwarden_once(&["--json", "backups", "--plan"]);
    assert_eq!(of(&alone.ended_with(0).json(), "remove"), *condemned);
    stack.start(SIDECAR);
    wait_until("the sidecar knows its databases", SOON, || {
        let status = stack.stackwarden(&["--json", "status"]);
        let known = status.stdout.matches("\"server\": \"reached\"").count();
        if known == 2 {
            Ok(())
        } else {
            Err(status.said())
        }
    });
}

fn what_was_removed_is_in_the_journal(stack: &Stack, gone: &Ids) {
    let path = stack.backup_folder().join(".stackwarden/journal.jsonl");
    let journal = std::fs::read_to_string(path).expect("a journal");
    for (series, id) in gone {
        let told = journal.lines().any(|line| {
            line.contains("\"event\":\"removal\"")
                && line.contains(&format!("\"subject\":\"postgres/{series}\""))
                && line.contains(&format!("\"id\":\"{id}\""))
                && line.contains("\"outcome\":\"succeeded\"")
        });
        assert!(told, "{series} {id}: {journal}");
    }
}

fn wait_for_two_proven(stack: &Stack, database: &str) {
    wait_until("two proven backups", PROOF, || {
        let listed = stack.backups_of(database);
        let proven = listed.iter().filter(|it| it["standing"] == "proven");
        if proven.count() == 2 {
            Ok(())
        } else {
            Err(format!("{listed:#?}"))
        }
    });
}

fn plan(stack: &Stack) -> Value {
    let plan = stack.stackwarden_json(&["backups", "--plan"]);
    assert_eq!(plan["notes"], serde_json::json!([]), "{plan:#}");
    plan
}

fn of(plan: &Value, word: &str) -> Ids {
    let backups = plan["backups"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    backups
        .filter(|it| it["plan"] == word)
        .map(|it| {
            assert_eq!(it["destination"], "disk");
            assert_ne!(it["reasons"], serde_json::json!([]), "{it:#}");
            let series = text(&it["database"]).unwrap_or_else(|| "globals".to_owned());
            (series, text(&it["id"]).expect("an id"))
        })
        .collect()
}

fn stored(stack: &Stack) -> Ids {
    let series = ["app", "other", "globals"].into_iter();
    let ids = |name: &str| {
        let artefacts = stack.artefacts(name).into_iter();
        artefacts
            .map(|it| (name.to_owned(), it.id))
            .collect::<Vec<_>>()
    };
    series.flat_map(ids).collect()
}
