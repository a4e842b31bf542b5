//! `verify FILE`: a dump that somebody else made is judged as far as it can be, and told how far that is.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{DATABASE, Ran, SIDECAR, Stack, docker};

const TABLES: &str = "
CREATE ROLE writer;
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 5000) i;
CREATE TABLE empty (id int);
ALTER TABLE empty OWNER TO writer;
GRANT SELECT ON orders TO writer;
";

#[test]
fn dumps_of_others_are_judged_as_far_as_they_can_be() {
    let stack = Stack::builder("foreign")
        .sidecar(|it| it.volume("./elsewhere:/elsewhere:ro"))
        .write();
    stack.up_database(&[("app", TABLES)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    make_dumps(&stack);

    every_good_dump_restores_and_its_rows_are_told(&stack);
    every_broken_dump_is_told_as_such(&stack);
    a_role_that_nobody_knows_is_made_up_and_named(&stack);
    a_backup_of_ours_gets_its_full_level(&stack);
    what_cannot_be_found_or_understood_is_one_sentence(&stack);
    without_a_sidecar_it_is_judged_in_place(&stack);
    assert_eq!(stack.made_containers(), Vec::<String>::new());
}

/// Dumps as people have them, in a folder that is mounted beside the backups.
fn make_dumps(stack: &Stack) {
    let script = "set -e; cd /tmp; mkdir -p dumps; cd dumps
pg_dump -U app -Fc -f custom.dump app
pg_dump -U app -Ft -f tar.dump app
pg_dump -U app -f plain.sql app
pg_dump -U app -C -f creating.sql app
pg_dumpall -U app -f cluster.sql
pg_dumpall -U app -g -f roles.sql
sed 's/\\bapp\\b/boss/g' cluster.sql > other_server.sql
head -c 20000 cluster.sql > broken_cluster.sql
pg_dump -U app -Fd -j 2 -f folder app
tar -cf folder.tar folder
mkdir no_dump; touch no_dump/notes
gzip -k plain.sql custom.dump
zstd -q plain.sql
head -c 2000 plain.sql.gz > broken.sql.gz
head -c 20000 plain.sql > broken.sql
head -c 6000 custom.dump > broken.dump
sed 's/5000\\tnote 5000/five thousand\\tnote/' plain.sql > wrong.sql
sed 's/writer/stranger/g' plain.sql > stranger.sql
echo 'CREATE TABLE by_hand (id int); INSERT INTO by_hand VALUES (1), (2);' > by_hand.sql
head -c 3000 /bin/sh > program.dump
: > nothing.sql";
    drop(stack.exec(DATABASE, &["sh", "-c", script]).ok());
    let from = format!("{}:/tmp/dumps/.", stack.container(DATABASE));
    let to = elsewhere(stack).display().to_string();
    std::fs::create_dir_all(&to).expect("make a folder");
    drop(docker(&["cp", &from, &to]).ok());
}

fn elsewhere(stack: &Stack) -> PathBuf {
    stack.folder().join("elsewhere")
}

fn judged(stack: &Stack, file: &str) -> Ran {
    stack.stackwarden(&["verify", &format!("/elsewhere/{file}")])
}

fn every_good_dump_restores_and_its_rows_are_told(stack: &Stack) {
    for (file, shape) in [
        ("custom.dump", "archive in pg_dump's custom format"),
        ("tar.dump", "archive in pg_dump's tar format"),
        ("folder", "folder in pg_dump's directory format"),
        ("custom.dump.gz", "archive in pg_dump's custom format"),
        ("plain.sql", "SQL of pg_dump"),
        ("creating.sql", "SQL of pg_dump"),
        ("plain.sql.gz", "SQL of pg_dump"),
        ("plain.sql.zst", "SQL of pg_dump"),
    ] {
        let said = judged(stack, file).ended_with(0).stdout;
        let sum = format!("{shape}, restored without an error: 2 tables with 5000 rows");
        for part in [
            sum.as_str(),
            "level restore and no further, since no snapshot is known",
            "table public.orders: succeeded: 5000 rows",
            "table public.empty: succeeded: 0 rows",
        ] {
            assert!(said.contains(part), "{file}: {part}: {said}");
        }
        assert!(!said.contains("made up"), "{file}: {said}");
    }
    for (file, database) in [("cluster.sql", "app"), ("other_server.sql", "boss")] {
        let said = judged(stack, file).ended_with(0).stdout;
        for part in [
            "SQL of pg_dumpall, restored without an error: 2 tables with 5000 rows; level restore"
                .to_owned(),
            format!("table {database}.public.orders: succeeded: 5000 rows"),
        ] {
            assert!(said.contains(&part), "{file}: {part}: {said}");
        }
        assert!(!said.contains("made up"), "{file}: {said}");
    }
    let roles = judged(stack, "roles.sql").ended_with(0).stdout;
    assert!(
        roles.contains("SQL of pg_dumpall, restored without an error: 0 tables"),
        "{roles}"
    );
    let by_hand = judged(stack, "by_hand.sql").ended_with(0).stdout;
    assert!(
        by_hand.contains("2 rows") && by_hand.contains("nobody can tell whether it is whole"),
        "{by_hand}"
    );
}

fn every_broken_dump_is_told_as_such(stack: &Stack) {
    for (file, why) in [
        ("broken.sql.gz", "its gzip stream is broken"),
        ("broken.sql", "it breaks off"),
        ("broken.dump", "it does not restore"),
        ("wrong.sql", "invalid input syntax for type integer"),
        ("broken_cluster.sql", "it breaks off: pg_dumpall ends"),
        ("folder.tar", "it is a tar file, but none that pg_dump made"),
        (
            "program.dump",
            "it is neither an archive of pg_dump nor SQL",
        ),
        ("nothing.sql", "it is empty"),
    ] {
        let said = judged(stack, file).ended_with(1).stdout;
        assert!(said.contains(why), "{file}: {why}: {said}");
        assert!(!said.contains("could not be judged"), "{file}: {said}");
    }
}

fn a_role_that_nobody_knows_is_made_up_and_named(stack: &Stack) {
    let said = judged(stack, "stranger.sql").ended_with(0).stdout;
    assert!(
        said.contains("roles that had to be made up: stranger"),
        "{said}"
    );
}

fn a_backup_of_ours_gets_its_full_level(stack: &Stack) {
    let artefacts = stack.artefacts("app");
    let artefact = artefacts.last().expect("a backup");
    let proofs = artefact.proofs().len();
    let below = artefact.stored.strip_prefix(stack.backup_folder());
    let below = below.expect("it is in the folder").display().to_string();
    // Below the backup folder, by its manifest, and as the host names it.
    for file in [
        below,
        format!(
            "/backups/{}/{DATABASE}/app/{}.json",
            stack.project(),
            artefact.id
        ),
        artefact.stored.display().to_string(),
    ] {
        let said = stack.stackwarden(&["verify", &file]).ended_with(0).stdout;
        assert!(said.contains("proven at level content"), "{file}: {said}");
    }
    assert_eq!(artefact.proofs().len(), proofs + 3);
    for level in ["archive", "restore", "rows", "content"] {
        let words = ["verify", artefact.id.as_str(), "--level", level];
        let said = stack.stackwarden(&words).ended_with(0).stdout;
        assert!(
            said.contains(&format!("proven at level {level}")),
            "{level}: {said}"
        );
    }
    let latest = [
        "verify",
        "latest",
        "--database",
        "postgres/app",
        "--level",
        "rows",
    ];
    drop(stack.stackwarden(&latest).ended_with(0));
}

fn what_cannot_be_found_or_understood_is_one_sentence(stack: &Stack) {
    let folder = judged(stack, "no_dump").ended_with(1).stdout;
    assert!(folder.contains("in which there is a toc.dat"), "{folder}");
    let missing = judged(stack, "none.dump").ended_with(1).stdout;
    assert!(missing.contains("mount its folder into"), "{missing}");
    for words in [
        &["verify", "latst"][..],
        &["verify", "latest", "--level", "everything"],
        &["verify", "latest", "app"],
    ] {
        let said = stack.stackwarden(words).ended_with(2);
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.said());
    }
    let other = ["verify", "/elsewhere/plain.sql", "--database", "mysql/app"];
    let said = stack.stackwarden(&other).ended_with(1).stderr;
    assert!(said.contains("no such database server here"), "{said}");
}

fn without_a_sidecar_it_is_judged_in_place(stack: &Stack) {
    stack.stop(SIDECAR);
    for (file, code) in [("plain.sql", 0), ("broken.dump", 1)] {
        let words = ["--json", "verify", &format!("/elsewhere/{file}")];
        let ran = stack.stackwarden_once(&words).ended_with(code);
        let parts: Vec<Value> = serde_json::from_str(&ran.stdout).expect("parts");
        let wanted = if code == 0 { "succeeded" } else { "failed" };
        assert_eq!(parts[0]["outcome"], wanted, "{parts:#?}");
    }
    let latest = stack.stackwarden_once(&["verify", "latest"]).ended_with(0);
    assert!(
        latest.stdout.contains("proven at level"),
        "{}",
        latest.stdout
    );
}
