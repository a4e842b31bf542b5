//! `restore FILE --into`: dumps that somebody else made, whole, and within the new database alone.

use super::{databases, no_copy_is_left, refused, restored};
use crate::harness::{DATABASE, Stack, docker};

const TABLES: &str = "
CREATE ROLE writer;
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, CASE WHEN i % 7 > 0 THEN 'note ' || i END FROM generate_series(1, 5000) i;
CREATE TABLE empty (id int);
ALTER TABLE empty OWNER TO writer;
ALTER DATABASE app SET work_mem = '9MB';
";

#[test]
fn dumps_of_others_become_new_databases_and_reach_nothing_else() {
    let stack = Stack::builder("restore-foreign")
        .sidecar(|it| {
            it.volume("./elsewhere:/elsewhere:ro")
                .environment("STACKWARDEN_BACKUP_VERIFY", "archive")
        })
        .write();
    stack.up_database(&[("app", TABLES)]);
    stack.up();
    drop(stack.wait_for_backup("app"));
    make_dumps(&stack);
    every_good_dump_restores(&stack);
    every_bad_one_leaves_nothing(&stack);
    no_copy_is_left(&stack);
}

fn make_dumps(stack: &Stack) {
    let script = "set -e; mkdir -p /tmp/dumps; cd /tmp/dumps
pg_dump -U app -Fc -f custom.dump app
pg_dump -U app -Ft -f tar.dump app
pg_dump -U app -f plain.sql app
pg_dump -U app -C -f creating.sql app
pg_dumpall -U app -f cluster.sql
gzip -k plain.sql custom.dump
zstd -q plain.sql
head -c 2000 plain.sql.gz > broken.sql.gz
head -c 20000 plain.sql > broken.sql
head -c 6000 custom.dump > broken.dump
sed 's/writer/stranger/g' plain.sql > stranger.sql
printf 'CREATE TABLE by_hand (id int);\\nINSERT INTO by_hand VALUES (1), (2);\\n' > by_hand.sql
printf '%s\\n' 'CREATE TABLE x (id int);' '\\connect app' 'DROP TABLE orders;' > reaching.sql
gzip -k reaching.sql
head -c 3000 /bin/sh > program.dump
: > nothing.sql";
    drop(stack.exec(DATABASE, &["sh", "-c", script]).ok());
    let from = format!("{}:/tmp/dumps/.", stack.container(DATABASE));
    let to = stack.folder().join("elsewhere").display().to_string();
    std::fs::create_dir_all(&to).expect("make a folder");
    drop(docker(&["cp", &from, &to]).ok());
}

fn every_good_dump_restores(stack: &Stack) {
    for (number, (file, shape)) in [
        ("custom.dump", "archive in pg_dump's custom format"),
        ("tar.dump", "archive in pg_dump's tar format"),
        ("custom.dump.gz", "archive in pg_dump's custom format"),
        ("plain.sql", "SQL of pg_dump"),
        ("plain.sql.gz", "SQL of pg_dump"),
        ("plain.sql.zst", "SQL of pg_dump"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("copy_{number}");
        let said = restored(stack, &[&format!("/elsewhere/{file}"), "--into", &name]);
        for part in [
            format!(
                "{shape}, restored into the new database {name} without an error: 2 tables; level restore and no further"
            ),
            "table public.orders: succeeded: 5000 rows".to_owned(),
        ] {
            assert!(said.contains(&part), "{file}: {part}: {said}");
        }
        assert_eq!(
            stack.psql(&name, "SELECT count(*), count(note) FROM orders"),
            "5000|4286"
        );
        if shape.starts_with("archive") {
            assert_eq!(stack.psql(&name, "SHOW work_mem"), "9MB", "{file}");
        }
        drop(stack.psql("postgres", &format!("DROP DATABASE {name}")));
    }
    let said = restored(stack, &["/elsewhere/by_hand.sql", "--into", "by_hand"]);
    assert!(
        said.contains("nobody can tell whether it is whole"),
        "{said}"
    );
    drop(stack.psql("postgres", "DROP DATABASE by_hand"));
}

fn every_bad_one_leaves_nothing(stack: &Stack) {
    for (file, why) in [
        ("broken.sql.gz", "its stream is broken"),
        ("broken.sql", "it breaks off"),
        ("broken.dump", "pg_restore: "),
        ("stranger.sql", "role stranger is missing"),
        ("cluster.sql", "pg_dump, not pg_dumpall"),
        ("creating.sql", "dump it without -C"),
        ("reaching.sql", "reach beyond the new database"),
        ("reaching.sql.gz", "reach beyond the new database"),
        ("program.dump", "neither an archive of pg_dump nor SQL"),
        ("nothing.sql", "it is empty"),
    ] {
        let said = refused(stack, &[&format!("/elsewhere/{file}"), "--into", "bad"], 1);
        assert!(said.contains(why), "{file}: {why}: {said}");
        assert_eq!(databases(stack), ["app", "postgres"], "{file}");
    }
    assert_eq!(stack.psql("app", "SELECT count(*) FROM orders"), "5000");
}
