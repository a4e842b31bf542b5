//! `kill -9` at every phase: nothing half is ever listed, what was left is gone after the next start, no dump of ours
//! goes on holding locks, and the next run succeeds.

use std::path::PathBuf;

use crate::harness::{DATABASE, PROOF, SIDECAR, SOON, Stack, catch, docker, names, wait_until};

/// 130 MB that no compressor shortens: dump, check and proof take seconds each, and the scratch server gets a volume.
const BULK: &str = "
CREATE TABLE bulk (id int PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE bulk ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO bulk
    SELECT i, (SELECT string_agg(sha512((i || '.' || j)::text::bytea), '') FROM generate_series(1, 128) j)
    FROM generate_series(1, 16000) i;
";
/// What a dump has written when it is surely under way and surely not done.
const UNDER_WAY: u64 = 2_000_000;
const SCRATCH: &str = "stackwarden-proof";

/// Backups are checked, not proven, so that no proof runs beside what a test looks at.
fn stack(test: &str) -> Stack {
    let stack = Stack::builder(test)
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "archive"))
        .write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    drop(stack.wait_for_backup("app"));
    wait_until("the first job ends", SOON, || nothing_runs(&stack));
    stack
}

#[test]
fn a_sidecar_killed_during_a_backup_leaves_nothing_behind() {
    let stack = stack("kill-sidecar");
    for phase in ["dump", "archive check"] {
        let before = complete(&stack);
        drop(stack.stackwarden_aside(&["backup"]));
        let leftover = catch(phase, PROOF, || match phase {
            "dump" => partial_dump(&stack),
            _ => unpublished_dump(&stack),
        });
        stack.kill(SIDECAR);
        eprintln!("killed during the {phase}: {}", leftover.display());
        assert_eq!(complete(&stack), before, "{phase}");
        let listed = stack.stackwarden_once(&["--json", "backups"]).json();
        let listed = listed.as_array().expect("a list").iter();
        let listed = listed.filter(|backup| backup["database"] == "app").count();
        assert_eq!(listed, before.len(), "{phase}");

        stack.start(SIDECAR);
        wait_until("the sidecar is back", SOON, || nothing_runs(&stack));
        assert!(
            !leftover.exists(),
            "{phase}: {} is still there",
            leftover.display()
        );
        no_session_of_ours_is_left(&stack);
        drop(stack.back_up());
        assert_eq!(complete(&stack).len(), before.len() + 1, "{phase}");
        everything_has_its_manifest(&stack);
    }
}

#[test]
fn a_sidecar_killed_during_a_proof_leaves_no_server_and_no_volume() {
    let stack = Stack::builder("kill-proof").write();
    stack.up_database(&[("app", BULK)]);
    stack.up();
    wait_until("the proof restores", PROOF, || {
        if stack.made_containers() != [SCRATCH] {
            return Err("no scratch server of ours".to_owned());
        }
        let restoring = docker(&["top", SCRATCH, "-eo", "pid,args"]);
        if restoring.stdout.contains("pg_restore") {
            Ok(())
        } else {
            Err(restoring.said())
        }
    });
    let before = complete(&stack);
    let format = "{{.Id}}{{range .Mounts}}{{if eq .Type \"volume\"}} {{.Name}}{{end}}{{end}}";
    let left = docker(&["inspect", "--format", format, SCRATCH]).ok();
    let left: Vec<&str> = left.split_whitespace().collect();
    stack.kill(SIDECAR);
    assert_eq!(
        stack.made_containers(),
        [SCRATCH],
        "nobody is there to remove it"
    );
    assert_eq!(
        complete(&stack),
        before,
        "a kill during a proof never loses a backup"
    );

    stack.start(SIDECAR);
    wait_until("the sidecar is back", SOON, || {
        let asked = stack.stackwarden(&["status"]);
        if asked.said().contains("postgres/app") {
            Ok(())
        } else {
            Err(asked.said())
        }
    });
    assert!(
        left.len() > 1,
        "so large a copy stands in a volume: {left:?}"
    );
    for thing in left {
        let found = docker(&["inspect", thing]);
        assert_ne!(found.code, 0, "{thing} is still there: {}", found.said());
    }
    // The proof that was cut off is made now, by itself.
    let proven = stack.wait_for_proof("app", "content");
    assert_eq!(proven["id"].as_str(), before.last().map(String::as_str));
    wait_until("the scratch server is gone", SOON, || {
        let made = stack.made_containers();
        if made.is_empty() {
            Ok(())
        } else {
            Err(format!("{made:?}"))
        }
    });
}

#[test]
fn a_killed_dump_or_server_fails_the_backup_and_the_next_one_succeeds() {
    let stack = stack("kill-dump");
    let before = complete(&stack);
    let postmaster = "SELECT pg_postmaster_start_time()";
    let started = stack.psql("app", postmaster);

    let backup = stack.stackwarden_aside(&["backup"]);
    drop(catch("dump", PROOF, || partial_dump(&stack)));
    assert!(
        stack.kill_processes(DATABASE, "pg_dump") > 0,
        "pg_dump was still running"
    );
    let told = backup.end();
    assert_ne!(told.code, 0, "{}", told.said());
    assert!(
        told.stdout.contains("postgres/app: failed: pg_dump"),
        "{}",
        told.said()
    );
    assert_eq!(
        stack.psql("app", postmaster),
        started,
        "the server was not disturbed"
    );
    nothing_came_of_it(&stack, &before);

    let backup = stack.stackwarden_aside(&["backup"]);
    drop(catch("dump", PROOF, || partial_dump(&stack)));
    stack.kill(DATABASE);
    let told = backup.end();
    assert_ne!(told.code, 0, "{}", told.said());
    assert!(
        told.stdout.contains("postgres/app: failed: "),
        "{}",
        told.said()
    );
    stack.start(DATABASE);
    stack.wait_for_postgres();
    nothing_came_of_it(&stack, &before);
}

fn nothing_came_of_it(stack: &Stack, before: &[String]) {
    assert_eq!(complete(stack), before);
    assert_eq!(names(&stack.series_folder("app")).len(), 2 * before.len());
    no_session_of_ours_is_left(stack);
    wait_until("the next backup succeeds", PROOF, || {
        let next = stack.stackwarden(&["backup"]);
        if next.code == 0 {
            Ok(())
        } else {
            Err(next.said())
        }
    });
    everything_has_its_manifest(stack);
    let newest = stack.artefacts("app").pop().expect("a backup");
    for path in [newest.manifest_path, newest.stored] {
        std::fs::remove_file(path).expect("remove a backup");
    }
}

/// The ids of the backups of `app` that have a manifest, by the files alone.
fn complete(stack: &Stack) -> Vec<String> {
    let artefacts = stack.artefacts("app");
    artefacts.into_iter().map(|artefact| artefact.id).collect()
}

fn partial_dump(stack: &Stack) -> Result<PathBuf, String> {
    let folder = stack.series_folder("app");
    let names = names(&folder);
    let partial = names.iter().find(|name| name.ends_with(".dump.partial"));
    let path = folder.join(partial.ok_or_else(|| format!("{names:?}"))?);
    let size = std::fs::metadata(&path).map_or(0, |it| it.len());
    if size > UNDER_WAY {
        Ok(path)
    } else {
        Err(format!("{size} bytes"))
    }
}

fn unpublished_dump(stack: &Stack) -> Result<PathBuf, String> {
    let folder = stack.series_folder("app");
    let names = names(&folder);
    let is_unpublished = |name: &&String| {
        let id = name.strip_suffix(".dump");
        id.is_some_and(|id| !names.contains(&format!("{id}.json")))
    };
    let found = names.iter().find(is_unpublished);
    found
        .map(|name| folder.join(name))
        .ok_or_else(|| format!("{names:?}"))
}

fn everything_has_its_manifest(stack: &Stack) {
    assert!(unpublished_dump(stack).is_err() && partial_dump(stack).is_err());
    let listed = stack.backups();
    for backup in listed.iter().filter(|it| it["database"] == "app") {
        let id = backup["id"].as_str().expect("an id").to_owned();
        assert!(complete(stack).contains(&id), "{backup:#}");
    }
}

/// The sidecar answers, has cleaned, and works on nothing.
fn nothing_runs(stack: &Stack) -> Result<(), String> {
    let asked = stack.stackwarden(&["--json", "status"]);
    let status: serde_json::Value =
        serde_json::from_str(&asked.stdout).map_err(|_| asked.said())?;
    let jobs = status["jobs"].as_array().ok_or("no jobs")?;
    match jobs.iter().find(|job| job["ended_at"].is_null()) {
        Some(job) => Err(job.to_string()),
        None => Ok(()),
    }
}

/// Sessions with a table's lock, of a dump or of digests. The short questions of the rounds do not count.
fn no_session_of_ours_is_left(stack: &Stack) {
    let ours = "
SELECT a.application_name, l.mode, l.relation::regclass FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.application_name LIKE 'stackwarden/%' AND l.relation = 'public.bulk'::regclass";
    wait_until("no lock of ours is left", SOON, || {
        match stack.psql("app", ours).as_str() {
            "" => Ok(()),
            held => Err(held.to_owned()),
        }
    });
}
