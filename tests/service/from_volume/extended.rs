//! An old server with extensions: what it preloads is loaded, what it would do by itself is not done.

use super::{USER, asked, old, taken, takes_orders, volume};
use crate::harness::{Artefact, DATABASE, SOON, Stack, wait_until};

#[test]
fn what_an_old_server_preloaded_is_loaded_and_its_jobs_do_not_run() {
    let extended = "stackwarden-test/postgres:17-extended";
    let old = old("volume-extended", |it| {
        it.image(extended).lines(
            "command: postgres -c shared_preload_libraries=timescaledb,pg_cron -c cron.database_name=recyclic",
        )
    });
    for sql in [
        include_str!("../extensions/timescale.sql"),
        "CREATE EXTENSION pg_cron",
        "CREATE TABLE ticks (at timestamptz DEFAULT clock_timestamp())",
        "SELECT cron.schedule('tick', '1 second', 'INSERT INTO ticks DEFAULT VALUES')",
        "ALTER SYSTEM SET shared_preload_libraries = timescaledb, pg_cron",
        "ALTER SYSTEM SET cron.database_name = 'recyclic'",
    ] {
        drop(asked(&old, USER, sql));
    }
    wait_until("the job of the old server runs", SOON, || {
        match asked(&old, USER, "SELECT count(*) FROM ticks").as_str() {
            "0" => Err("no tick".to_owned()),
            _ => Ok(()),
        }
    });
    let volume = volume(&old);
    old.stop(DATABASE);
    let new = Stack::builder("volume-preload")
        .postgres(|it| it.image(extended))
        .write();
    new.up_database(&[]);
    new.up();
    takes_orders(&new);
    let said = taken(&new, &volume, extended).ended_with(0).stdout;
    assert!(said.contains("proven at level content"), "{said}");
    let folder = new.backup_folder().join(new.project());
    let folder = folder.join(format!("volume%3A{volume}/{USER}"));
    let artefact = Artefact::list(&folder).pop().expect("a backup");
    let tables = artefact.manifest["tables"].as_array().expect("tables");
    let ticks = tables.iter().find(|it| it["name"] == "public.ticks");
    let taken = ticks.expect("the table of ticks")["rows"].as_u64();
    let likeness = artefact.manifest["likeness"].to_string();
    assert!(
        likeness.contains("timescaledb") && likeness.contains(USER),
        "{likeness}"
    );
    let said = new
        .stackwarden(&["verify", &artefact.id])
        .ended_with(0)
        .stdout;
    assert!(said.contains("proven at level content"), "{said}");
    the_old_server_counts_the_same(&old, taken.expect("rows were counted"));
}

fn the_old_server_counts_the_same(old: &Stack, taken: u64) {
    // What the old server itself says, started again without its jobs.
    let words = [
        "run",
        "--rm",
        "-T",
        "--no-deps",
        "--entrypoint",
        "sh",
        DATABASE,
        "-c",
    ];
    let data = "/var/lib/postgresql/data";
    let single = format!(
        "chown -R postgres {data}; echo 'SELECT count(*) AS n FROM ticks' | gosu postgres postgres --single -D {data} -c max_worker_processes=0 {USER}"
    );
    let said = old.compose(&[&words[..], &[&single]].concat()).ok();
    let wanted = format!("n = \"{taken}\"");
    assert!(said.contains(&wanted), "{wanted}: {said}");
}
