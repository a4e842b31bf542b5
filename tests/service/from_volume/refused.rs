//! What cannot be backed up from a volume, each in one sentence and without a trace; through the sidecar and in place.

use super::{USER, asked, image, nothing_is_left, old, taken, takes_orders, volume};
use crate::harness::{DATABASE, Ran, SIDECAR, Stack, docker};

/// Changes what is in a volume, as somebody on the host would.
#[track_caller]
fn spoil(volume: &str, image: &str, script: &str) {
    let mount = format!("{volume}:/v");
    let words = [
        "run",
        "--rm",
        "-v",
        &mount,
        "--entrypoint",
        "sh",
        image,
        "-c",
        script,
    ];
    drop(docker(&words).ok());
}

#[test]
fn what_cannot_be_backed_up_from_a_volume_is_told_in_one_sentence() {
    let old = old("volume-bad", |it| {
        it.environment("PGDATA", "/var/lib/postgresql/data/pgdata")
    });
    drop(asked(
        &old,
        USER,
        "CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 50) i",
    ));
    let (image, volume) = (image(&old), volume(&old));
    old.stop(DATABASE);
    let new = Stack::builder("volume-refused").write();
    new.up_database(&[]);
    new.up();
    takes_orders(&new);
    wrong_names_are_told(&new, &volume, &image);
    new.stop(SIDECAR);
    in_place_it_works_where_there_is_room(&new, &volume, &image);
    a_spoilt_volume_is_told(&new, &volume, &image);
}

fn wrong_names_are_told(new: &Stack, volume: &str, image: &str) {
    let other = if image.contains("16") {
        "postgres:17"
    } else {
        "postgres:16"
    };
    for (volume, image, told) in [
        ("no_such_volume", image, "there is no volume no_such_volume"),
        (
            volume,
            "postgres:no-such-tag",
            "get it: docker pull postgres:no-such-tag",
        ),
        (
            volume,
            "redis:7",
            "image redis:7 has no server of PostgreSQL",
        ),
        (
            volume,
            other,
            "name an image of that version, such as postgres:",
        ),
    ] {
        let said = taken(new, volume, image).ended_with(1).said();
        assert!(
            said.contains(told) && !said.contains("panicked"),
            "{told}: {said}"
        );
        nothing_is_left(new);
    }
    let there = docker(&["volume", "inspect", "no_such_volume"]);
    assert_ne!(there.code, 0, "it was not made by looking for it");
    for words in [
        &["backup", "--from-volume", "/etc", "--image", "postgres:17"][..],
        &["backup", "--from-volume", "old_data"],
        &["backup", "--image", "postgres:17"],
        &[
            "backup",
            "postgres/app",
            "--from-volume",
            "old_data",
            "--image",
            "postgres:17",
        ],
    ] {
        drop(new.stackwarden(words).ended_with(2));
    }
}

/// Where no sidecar runs, with these options of `docker compose run`.
fn once(new: &Stack, options: &[&str], (volume, image): (&str, &str)) -> Ran {
    let run = ["run", "--rm", "-T", "--no-deps"];
    let from = ["backup", "--from-volume", volume, "--image", image];
    new.compose(&[&run[..], options, &[SIDECAR], &from].concat())
}

fn in_place_it_works_where_there_is_room(new: &Stack, volume: &str, image: &str) {
    let greedy = ["-e", "STACKWARDEN_PROOF_RESERVE=900000GB"];
    let said = once(new, &greedy, (volume, image)).ended_with(1).said();
    assert!(
        said.contains("too little room for a copy of volume"),
        "{said}"
    );
    let done = once(new, &[], (volume, image)).ended_with(0).stdout;
    assert!(done.contains("proven at level content"), "{done}");
    nothing_is_left(new);
}

fn a_spoilt_volume_is_told(new: &Stack, volume: &str, image: &str) {
    for (script, parts) in [
        (
            "echo 'no_such_setting = on' >> /v/pgdata/postgresql.conf",
            &["starts on a copy of volume", "no_such_setting"][..],
        ),
        (
            "ln -s /elsewhere /v/pgdata/pg_tblspc/16999",
            &["its data is also in /elsewhere"],
        ),
        (
            "rm -rf /v/*; mkdir -p /v/base; echo 17 > /v/PG_VERSION",
            &["holds no data of PostgreSQL"],
        ),
    ] {
        spoil(volume, image, script);
        let said = once(new, &[], (volume, image)).ended_with(1).said();
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        nothing_is_left(new);
    }
}
