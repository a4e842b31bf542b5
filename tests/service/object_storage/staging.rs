//! Staging restores production's newest out of the bucket that both write to, and nothing of production's is touched.

use std::path::Path;
use std::time::SystemTime;

use super::{PREFIX, Store, wait_for_copy};
use crate::harness::{PROOF, SIDECAR, SOON, Stack, StackBuilder, wait_until};
use crate::sealed::{Key, opening, sealing};

const SHOP: &str = "
CREATE ROLE keeper LOGIN PASSWORD 'kept';
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 5000) i;
ALTER TABLE orders OWNER TO keeper;
ALTER DATABASE app SET work_mem = '7MB';
";
const ROWS: &str = "SELECT md5(string_agg(o::text, ',' ORDER BY id)), count(*) FROM orders o";
const OWNER: &str = "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'";

impl Store {
    /// Every object of a project: its key, when it was written, and its bytes.
    fn objects_of(&self, stack: &Stack) -> Vec<(String, SystemTime, Vec<u8>)> {
        let folder = format!("{PREFIX}/{}/", stack.project());
        let mut keys = self.server.objects();
        keys.retain(|key| key.starts_with(&folder));
        keys.sort();
        let read = |key: String| {
            let path = self.server.bucket.join(&key);
            let facts = std::fs::metadata(&path).expect("an object");
            let written = facts.modified().expect("a time");
            (key, written, std::fs::read(&path).expect("read an object"))
        };
        keys.into_iter().map(read).collect()
    }
}

fn proving(stack: StackBuilder) -> StackBuilder {
    stack.sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "content"))
}

#[test]
fn staging_takes_productions_newest_and_touches_nothing_of_it() {
    let store = Store::start();
    let production = proving(store.with(Stack::builder("prod"))).write();
    let staging = proving(store.with(Stack::builder("staging")));
    // Its keys stand elsewhere, so that production's prefix has to be named.
    let staging = staging.sidecar(|it| it.environment("STACKWARDEN_S3_PREFIX", "us"));
    let staging = staging.write();
    it_comes_over(&store, &production, &staging);
    it_comes_from_a_folder_that_both_have(&production, &staging);
}

#[test]
fn what_production_seals_staging_restores_with_the_identity() {
    let store = Store::start();
    let key = Key::make();
    let production = proving(store.with(Stack::builder("prod-sealed")));
    let production = sealing(opening(production, &[&key]), &[&key]).write();
    let staging = proving(store.with(Stack::builder("staging-opens")));
    let staging = opening(staging, &[&key]);
    let staging = staging.sidecar(|it| it.environment("STACKWARDEN_S3_PREFIX", "us"));
    it_comes_over(&store, &production, &staging.write());
}

fn it_comes_over(store: &Store, production: &Stack, staging: &Stack) {
    production.up_database(&[("app", SHOP)]);
    production.up();
    drop(wait_for_copy(production, "app", "proven"));
    wait_until("the roles and the proof from disk are there", PROOF, || {
        let keys = store.keys(production, "app");
        let is_proven = keys.iter().any(|key| key.contains(".proof-disk-"));
        match store.manifests(production, "globals") {
            1.. if is_proven => Ok(()),
            roles => Err(format!("{roles} of roles, {keys:?}")),
        }
    });
    let rows = production.psql("app", ROWS);
    production.stop(SIDECAR);
    let before = store.objects_of(production);

    staging.up_database(&[(
        "app",
        "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)",
    )]);
    staging.up();
    drop(staging.wait_for_proof("app", "content"));
    production_goes_into_staging(production, staging, &rows);
    // Retention and reading again are staging's own.
    drop(staging.stackwarden(&["backup"]).said());
    drop(staging.stackwarden(&["backups", "--fsck"]).said());
    drop(
        staging
            .stackwarden(&["restore", "--undo", "--yes", "--database", "postgres/app"])
            .ended_with(0),
    );
    assert_eq!(staging.psql("app", "SELECT sum(id) FROM orders"), "7");

    let after = store.objects_of(production);
    let keys = |objects: &[(String, SystemTime, Vec<u8>)]| {
        objects
            .iter()
            .map(|(key, ..)| key.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&after), keys(&before));
    assert!(
        after == before,
        "an object of production's was written again"
    );
}

fn production_goes_into_staging(production: &Stack, staging: &Stack, rows: &str) {
    let from = |words: &[&str]| {
        let of = ["--from-project", production.project(), "--from", "s3"];
        staging.stackwarden(&[&["restore", "latest"], &of[..], words].concat())
    };
    let nothing = from(&["--into", "check"]).ended_with(1).said();
    assert!(nothing.contains("name that with --prefix"), "{nothing}");
    let nowhere = from(&["--prefix", PREFIX, "--swap", "--yes"])
        .ended_with(2)
        .said();
    assert!(nowhere.contains("say in whose place it goes"), "{nowhere}");

    let into = from(&["--prefix", PREFIX, "--into", "check"])
        .ended_with(0)
        .stdout;
    let told = format!("it is a backup of postgres/app in {}", production.project());
    assert!(
        into.contains(&told) && into.contains("proven at level content"),
        "{into}"
    );
    assert!(into.contains("roles that were missing: keeper"), "{into}");
    assert_eq!(staging.psql("check", ROWS), rows);
    assert_eq!(staging.psql("check", OWNER), "keeper");

    let live = [
        "--prefix",
        PREFIX,
        "--swap",
        "--yes",
        "--database",
        "postgres/app",
    ];
    let swapped = from(&live).ended_with(0).stdout;
    assert!(swapped.contains(&told), "{swapped}");
    assert_eq!(staging.psql("app", ROWS), rows);
    assert_eq!(staging.psql("app", "SHOW work_mem"), "7MB");
}

/// The same folder on one host, as its neighbour sees it.
fn it_comes_from_a_folder_that_both_have(production: &Stack, staging: &Stack) {
    let from = production.backup_folder().join(production.project());
    let to = staging.backup_folder().join(production.project());
    copy_folder(&from, &to);
    let words = ["restore", "latest", "--from-project", production.project()];
    let words = [&words[..], &["--into", "beside", "--from", "disk"]].concat();
    drop(staging.stackwarden(&words).ended_with(0));
    assert_eq!(staging.psql("beside", ROWS), production.psql("app", ROWS));
    wait_until("nothing is on its way any more", SOON, || {
        let databases = staging.psql(
            "postgres",
            "SELECT string_agg(datname, ' ') FROM pg_database",
        );
        if databases.contains("stackwarden_copy") {
            Err(databases)
        } else {
            Ok(())
        }
    });
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("make a folder");
    for entry in std::fs::read_dir(from).expect("list a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copy a file");
        }
    }
}
