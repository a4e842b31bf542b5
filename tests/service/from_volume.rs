//! `backup --from-volume`: what an old, stopped stack has left becomes backups like any other, the old volume stays as it
//! is to the byte, and what was in it comes back in the new stack.

mod extended;
mod refused;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{
    DATABASE, PROOF, Ran, SIDECAR, SOON, Service, Stack, catch, docker, wait_until,
};

/// The old stack's superuser is called otherwise than the new one's.
const USER: &str = "recyclic";
const SHOP: &str = "
CREATE ROLE keeper LOGIN PASSWORD 'kept';
CREATE TABLE orders (id int PRIMARY KEY, note text, status varchar CHECK (status IN ('new', 'paid')));
INSERT INTO orders SELECT i, 'note ' || i, 'new' FROM generate_series(1, 5000) i;
ALTER TABLE orders OWNER TO keeper;
SELECT lo_from_bytea(0, 'a large object');
ALTER DATABASE recyclic SET work_mem = '7MB';
";
/// Settings that no throw-away server may obey.
const SETTINGS: [&str; 4] = [
    "ALTER SYSTEM SET shared_buffers = '900GB'",
    "ALTER SYSTEM SET archive_mode = on",
    "ALTER SYSTEM SET listen_addresses = '*'",
    "ALTER SYSTEM SET unix_socket_directories = '/nowhere'",
];
const ROWS: &str = "SELECT md5(string_agg(o::text, ',' ORDER BY id)), count(*) FROM orders o";
const OWNER: &str = "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'";
const PUB: &str = "SELECT md5(string_agg(p::text, ',' ORDER BY ale)) FROM pub p";

/// An old stack: its database alone, on a named volume.
fn old(test: &str, change: impl FnOnce(Service) -> Service) -> Stack {
    let stack = Stack::builder(test)
        .without_sidecar()
        .top_level("volumes: { data: {} }")
        .postgres(|it| {
            let it = it.environment("POSTGRES_USER", USER);
            change(
                it.environment("POSTGRES_DB", USER)
                    .volume("data:/var/lib/postgresql/data"),
            )
        })
        .write();
    drop(stack.compose(&["up", "-d", "--wait", DATABASE]).ok());
    stack
}

fn volume(stack: &Stack) -> String {
    format!("{}_data", stack.project())
}

#[track_caller]
fn asked(stack: &Stack, database: &str, sql: &str) -> String {
    let words = [
        "psql",
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        USER,
        "-d",
        database,
        "-c",
        sql,
    ];
    stack.exec(DATABASE, &words).ok().trim().to_owned()
}

fn image(stack: &Stack) -> String {
    stack.inspect(DATABASE, "{{.Config.Image}}")
}

/// Every file of a volume: its place, mode, owner, time, size and hash.
#[track_caller]
fn seen(stack: &Stack, image: &str) -> String {
    let mount = format!("{}:/v:ro", volume(stack));
    let look = "cd /v && find . -printf '%p %y %m %U:%G %T@ %s\\n' | sort && find . -type f -exec sha256sum {} + | sort";
    let words = [
        "run",
        "--rm",
        "-v",
        &mount,
        "--entrypoint",
        "sh",
        image,
        "-c",
        look,
    ];
    docker(&words).ok()
}

#[track_caller]
fn taken(stack: &Stack, volume: &str, image: &str) -> Ran {
    stack.stackwarden(&["backup", "--from-volume", volume, "--image", image])
}

/// Nothing that was made for it is left; the throw-away server of a proof goes a moment later.
#[track_caller]
fn nothing_is_left(stack: &Stack) {
    wait_until("everything throw-away is removed", SOON, || {
        let made = stack.made_containers();
        if made.is_empty() {
            Ok(())
        } else {
            Err(format!("{made:?}"))
        }
    });
}

/// The newest backup of one database of a volume.
#[track_caller]
fn listed(stack: &Stack, volume: &str, database: &str) -> Value {
    let service = format!("volume:{volume}");
    let all = stack.backups();
    let found = all
        .iter()
        .rfind(|it| it["service"] == service.as_str() && it["database"] == database);
    found
        .unwrap_or_else(|| panic!("no {service}/{database} in {all:#?}"))
        .clone()
}

#[test]
fn an_old_stack_of_which_only_the_volume_is_left_comes_back_in_the_new_one() {
    let old = old("volume-old", |it| it);
    drop(asked(&old, USER, SHOP));
    drop(asked(&old, USER, "CREATE DATABASE \"o'brien\""));
    drop(asked(
        &old,
        "o'brien",
        "CREATE TABLE pub AS SELECT 'stout ' || i AS ale FROM generate_series(1, 300) i",
    ));
    for setting in SETTINGS {
        drop(asked(&old, USER, setting));
    }
    let (image, volume) = (image(&old), volume(&old));
    let rows = asked(&old, USER, ROWS);
    let ales = asked(&old, "o'brien", PUB);
    let new = Stack::builder("volume-new").write();
    new.up_database(&[("app", "CREATE TABLE orders (id int)")]);
    new.up();
    drop(new.wait_for_proof("app", "content"));
    it_is_refused_while_the_old_stack_runs(&old, &new);

    // Cut off in the middle: what is in its log alone has to come too, and nobody may recover it in place.
    old.kill(DATABASE);
    let before = seen(&old, &image);
    assert!(before.contains("postmaster.pid"), "{before}");
    let said = taken(&new, &volume, &image).ended_with(0).stdout;
    assert_eq!(seen(&old, &image), before, "the old volume is as it was");
    for part in [
        format!("volume:{volume}/{USER}"),
        format!("volume:{volume}/o'brien"),
        format!("volume:{volume}/globals"),
        "proven at level content".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    assert!(
        !said.contains("/postgres "),
        "an empty postgres is none: {said}"
    );
    nothing_is_left(&new);
    it_stands_in_a_series_of_its_own(&new, &volume);
    it_is_proven_again_without_any_server_of_it(&new, &volume);
    it_goes_into_the_new_stack(&new, &volume, &rows);
    assert_eq!(new.psql("pub_back", PUB), ales);
}

fn it_is_refused_while_the_old_stack_runs(old: &Stack, new: &Stack) {
    let said = taken(new, &volume(old), &image(old)).ended_with(1).said();
    let container = old.container(DATABASE);
    let wanted = format!("is used by {container}");
    assert!(
        said.contains(&wanted) && said.contains("docker stop"),
        "{said}"
    );
    assert_eq!(asked(old, USER, "SELECT 1"), "1");
    nothing_is_left(new);
}

fn it_stands_in_a_series_of_its_own(new: &Stack, volume: &str) {
    let backup = listed(new, volume, USER);
    assert_eq!(backup["level"], "content", "{backup:#}");
    assert_eq!(backup["reason"], "manual");
    let folder = new.backup_folder().join(new.project());
    assert!(folder.join(format!("volume%3A{volume}/{USER}")).is_dir());
    // `latest` is still the live database's.
    let live = new.backups_of("app").pop().expect("a backup of app");
    let said = new.stackwarden(&["restore", "latest", "--into", "probe"]);
    let said = said.ended_with(0).stdout;
    assert!(said.contains(live["id"].as_str().expect("an id")), "{said}");
    drop(new.psql("postgres", "DROP DATABASE probe"));
    let status = new.stackwarden(&["status"]).ended_with(0).stdout;
    assert!(!status.contains("needs attention"), "{status}");
    let planned = new.stackwarden(&["backups", "--plan"]).ok();
    assert!(planned.contains("it was taken from a volume"), "{planned}");
}

fn it_is_proven_again_without_any_server_of_it(new: &Stack, volume: &str) {
    let id = listed(new, volume, USER)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let said = new.stackwarden(&["verify", &id]).ended_with(0).stdout;
    assert!(said.contains("proven at level content"), "{said}");
    nothing_is_left(new);
}

fn it_goes_into_the_new_stack(new: &Stack, volume: &str, rows: &str) {
    let id = listed(new, volume, USER)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    drop(
        new.stackwarden(&["restore", &id, "--into", "look"])
            .ended_with(0),
    );
    assert_eq!(new.psql("look", ROWS), rows);
    let nowhere = new.stackwarden(&["restore", &id, "--swap", "--yes"]);
    let said = nowhere.ended_with(1).said();
    assert!(said.contains("say in whose place it goes"), "{said}");
    let pubs = format!("volume:{volume}/o'brien");
    let words = [
        "restore",
        "latest",
        "--into",
        "pub_back",
        "--from-volume",
        volume,
        "--of",
        &pubs,
    ];
    drop(new.stackwarden(&words).ended_with(0));

    let swap = [
        "restore",
        &id,
        "--swap",
        "--yes",
        "--database",
        "postgres/app",
    ];
    let said = new.stackwarden(&swap).ended_with(0).stdout;
    assert!(
        said.contains(&format!("it is a backup of volume:{volume}/{USER}")),
        "{said}"
    );
    assert_eq!(new.psql("app", ROWS), rows);
    assert_eq!(new.psql("app", OWNER), "keeper");
    assert_eq!(new.psql("app", "SHOW work_mem"), "7MB");
    // The restored databases are the stack's own from now on, and may have their first backup by then.
    let undo = ["restore", "--undo", "--yes", "--database", "postgres/app"];
    drop(new.stackwarden(&undo).ended_with(0));
    assert_eq!(new.psql("app", "SELECT count(*) FROM orders"), "0");
}

#[test]
fn a_sidecar_killed_meanwhile_leaves_nothing_after_its_next_start() {
    let old = old("volume-kill", |it| it);
    drop(asked(
        &old,
        USER,
        "CREATE TABLE orders AS SELECT i AS id, repeat('x', 500) AS note FROM generate_series(1, 100000) i",
    ));
    let (image, volume) = (image(&old), volume(&old));
    old.stop(DATABASE);
    let new = Stack::builder("volume-killed").write();
    new.up_database(&[]);
    new.up();
    takes_orders(&new);
    let before = volumes();
    let name = format!("{}-stackwarden-volume", new.project());
    drop(new.stackwarden_aside(&["backup", "--from-volume", &volume, "--image", &image]));
    catch("the throw-away server is there", PROOF, || {
        let made = new.made_containers();
        if made.contains(&name) {
            Ok(())
        } else {
            Err(format!("{made:?}"))
        }
    });
    new.kill(SIDECAR);
    assert!(new.made_containers().contains(&name));
    new.start(SIDECAR);
    nothing_is_left(&new);
    wait_until("its copy is gone", SOON, || {
        let more: Vec<String> = volumes().difference(&before).cloned().collect();
        if more.is_empty() {
            Ok(())
        } else {
            Err(format!("{more:?}"))
        }
    });
    // And nothing of it is in the way.
    takes_orders(&new);
    let said = taken(&new, &volume, &image).ended_with(0).stdout;
    assert!(said.contains("proven at level content"), "{said}");
    nothing_is_left(&new);
}

/// Waits for the sidecar: until it answers, a command would be carried out in place, and hold the sidecar's lock.
#[track_caller]
fn takes_orders(stack: &Stack) {
    wait_until("the sidecar takes orders", SOON, || {
        let asked = stack.stackwarden(&["--json", "status"]);
        if asked.stdout.contains("\"project\"") {
            Ok(())
        } else {
            Err(asked.said())
        }
    });
}

/// Anonymous volumes that belong to containers of this test's stacks; others' come and go.
fn volumes() -> BTreeSet<String> {
    let filter = "label=stackwarden.owned-by-project";
    let listed = docker(&["ps", "-aq", "--filter", filter]).ok();
    let mounts = listed.lines().flat_map(|id| {
        let format = "{{range .Mounts}}{{.Name}} {{end}}";
        let said = docker(&["inspect", "--format", format, id]).stdout;
        said.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    mounts.collect()
}
