//! stackwarden looks after what it has stored: everything is read again, and the newest backup is proven again.

use std::collections::BTreeSet;

use crate::harness::{Artefact, PROOF, SIDECAR, SOON, Stack, names, wait_until};

const ROWS: &str =
    "CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 500) i";
const ORPHAN: &str = "20200101T000000Z-abcd";

#[test]
fn fsck_names_a_flipped_byte_an_orphan_and_a_missing_file_and_removes_nothing() {
    let stack = Stack::builder("fsck").with_ports().write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    let sound = stack.stackwarden(&["backups", "--fsck"]).ended_with(0);
    let told = "postgres/app on disk: succeeded: 1 read again (";
    assert!(sound.stdout.contains(told), "{}", sound.said());
    assert!(
        sound.stdout.contains("postgres/globals on disk"),
        "{}",
        sound.said()
    );

    for _more in 0..2 {
        drop(stack.back_up());
        drop(stack.wait_for_proof("app", "content"));
    }
    let backups = stack.artefacts("app");
    let folder = stack.series_folder("app");
    flip_a_byte(&backups[0]);
    std::fs::remove_file(&backups[1].stored).expect("remove a file");
    let orphan = folder.join(format!("{ORPHAN}.dump"));
    std::fs::write(&orphan, "left behind").expect("write a file");
    std::fs::write(folder.join("20200101T000000Z-abce.json"), "{").expect("write a file");
    let before: BTreeSet<String> = names(&folder).into_iter().collect();

    let found = stack.stackwarden(&["backups", "--fsck"]).ended_with(3);
    let line = |part: &str| {
        let lines = found.stdout.lines().filter(|line| line.contains(part));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 1, "{part}: {}", found.said());
        lines[0].to_owned()
    };
    assert!(line("failed: altered: ").contains(&backups[0].id));
    assert!(line("failed: missing: ").contains(&backups[1].id));
    assert!(line("failed: orphan: ").contains(ORPHAN));
    assert!(line("failed: unreadable: ").contains("20200101T000000Z-abce.json"));
    assert!(line("postgres/app on disk: succeeded: 1 read again").contains("written"));
    let after: BTreeSet<String> = names(&folder).into_iter().collect();
    assert!(before.is_subset(&after), "{before:?} {after:?}");
    both_are_refuted_and_somebody_is_told(&stack, &backups);

    // Where no sidecar runs, and as JSON; what is known already is not written down twice.
    stack.stop(SIDECAR);
    let again = stack.stackwarden_once(&["--json", "backups", "--fsck"]);
    let parts = again.ended_with(3).json();
    let failed = parts.as_array().expect("parts").iter();
    assert_eq!(
        failed.filter(|it| it["outcome"] == "failed").count(),
        4,
        "{parts:#}"
    );
    assert_eq!(
        names(&folder).into_iter().collect::<BTreeSet<String>>(),
        after
    );
}

fn both_are_refuted_and_somebody_is_told(stack: &Stack, backups: &[Artefact]) {
    let listed = stack.backups_of("app");
    let standing = |id: &str| {
        let backup = listed.iter().find(|it| it["id"] == *id).expect("a backup");
        backup["standing"].clone()
    };
    assert_eq!(standing(&backups[0].id), "refuted", "{listed:#?}");
    assert_eq!(standing(&backups[1].id), "refuted", "{listed:#?}");
    assert_eq!(standing(&backups[2].id), "proven", "{listed:#?}");
    let said = stack.stackwarden(&["status"]).ok();
    for backup in &backups[..2] {
        let told = format!(
            "backup {} of postgres/app was good and is not any more",
            backup.id
        );
        assert!(said.contains(&told), "{said}");
    }
    let health = stack.public("/health").expect("an answer").json();
    assert_eq!(
        health["checks"]["backups"][0]["status"], "warn",
        "{health:#}"
    );
    // Reading the good bytes put right by hand lifts nothing by itself: only a restore does.
    let plan = stack.stackwarden(&["backups", "--plan"]).ok();
    assert!(
        plan.contains("roles: none of them is removed meanwhile"),
        "{plan}"
    );
}

fn flip_a_byte(artefact: &Artefact) {
    let mut bytes = std::fs::read(&artefact.stored).expect("read a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&artefact.stored, bytes).expect("write a file");
}

#[test]
fn what_rested_for_two_weeks_is_read_again_by_itself_roles_included() {
    // No drill comes first.
    let stack = Stack::builder("reread")
        .postgres(|it| it.label("stackwarden.backup.drill", "0 0 1 1 *"))
        .write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    stack.stop(SIDECAR);
    // As if it were written, and proven, three weeks ago.
    for series in ["app", "globals"] {
        for artefact in stack.artefacts(series) {
            let mut manifest = artefact.manifest.clone();
            manifest["published_at"] = "2026-01-01T00:00:00Z".into();
            artefact.write_manifest(&manifest);
        }
        let folder = stack.series_folder(series);
        for name in names(&folder)
            .into_iter()
            .filter(|it| it.contains(".proof-"))
        {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).expect("read a proof");
            let mut proof: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            proof["at"] = "2026-01-01T00:01:00Z".into();
            std::fs::write(&path, proof.to_string()).expect("write a proof");
        }
    }
    flip_a_byte(&stack.artefacts("globals")[0]);
    stack.start(SIDECAR);
    // A share a day: of two backups one is read, and what turns out wrong does not use the share up.
    let proofs = |series: &str| stack.artefacts(series)[0].proofs();
    wait_until("the longest unread are read again", SOON, || {
        let (app, roles) = (proofs("app"), proofs("globals"));
        if app.len() == 2 && roles.len() == 1 {
            Ok(())
        } else {
            Err(format!("{app:#?} {roles:#?}"))
        }
    });
    let read = proofs("app").pop().expect("a proof");
    assert_eq!(
        (&read["level"], &read["destination"]),
        (&"archive".into(), &"disk".into())
    );
    assert!(proofs("globals")[0]["level"].is_null());
    // A lower level takes nothing away.
    let listed = stack.backups_of("app").pop().expect("a backup");
    assert_eq!(
        (&listed["standing"], &listed["level"]),
        (&"proven".into(), &"content".into())
    );
    let read_at = listed["read_at"].as_str().expect("a time");
    let proven_at = read["at"].as_str().expect("a time");
    assert!(
        proven_at.starts_with(read_at.trim_end_matches('Z')),
        "{listed:#}"
    );
}

#[test]
fn a_drill_proves_the_newest_backup_again_and_objectives_are_judged() {
    let stack = Stack::builder("drill")
        .with_ports()
        .postgres(|it| it.label("stackwarden.backup.drill", "* * * * *"))
        .sidecar(|it| it.environment("STACKWARDEN_RPO", "1s"))
        .write();
    stack.up_database(&[("app", ROWS)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    let first = stack.artefacts("app")[0].clone();
    wait_until("a drill", PROOF, || {
        let proofs = first.proofs();
        match proofs.get(1) {
            Some(again) => {
                assert_eq!(again["level"], "content", "{again:#}");
                assert!(again["restore_seconds"].as_f64().expect("seconds") > 0.0);
                Ok(())
            }
            None => Err(format!("{proofs:#?}")),
        }
    });
    let metrics = stack.public("/metrics").expect("metrics").body;
    let measured = "stackwarden_restore_duration_seconds{service=\"postgres\",database=\"app\"} ";
    assert!(metrics.contains(measured), "{metrics}");
    let read = "stackwarden_backup_oldest_read_timestamp_seconds{service=\"postgres\",database=\"app\",destination=\"disk\"} ";
    assert!(metrics.contains(read), "{metrics}");
    let said = stack.stackwarden(&["status"]).ok();
    assert!(
        said.contains("old, and STACKWARDEN_RPO allows 1s"),
        "{said}"
    );
    let health = stack.public("/health").expect("an answer");
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["status"], "warn");
}
