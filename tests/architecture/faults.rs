//! The fault table: each step of a backup, of a proof, of a restore and of what happens in the bucket, each kind of fault, what remains, and the test that shows it.
//!
//! docs/faults.md is written from it (`STACKWARDEN_BLESS=1`), and a cell may only name a test that there is: so neither the
//! page nor the tests can drift away alone.

use std::fmt::Write as _;
use std::fs;

use super::Checked;
use super::files::{assert_none, root};

/// What goes wrong, in the order of the columns.
const FAULTS: [&str; 5] = ["error", "hang", "cancel", "kill -9", "disk full"];

/// One cell.
enum Cell {
    /// What remains, and where it is shown: a file below tests/service and the test's name.
    Shown(&'static str, &'static str),
    /// Not shown by injecting it, and why not.
    Reason(&'static str),
}
use Cell::{Reason, Shown};

const FAILING: &str = "faults/backup::a_step_of_a_backup_that_fails_hangs_or_fills_the_disk_leaves_nothing_and_the_next_run_succeeds";
const ENDED: &str = "faults/backup::a_sidecar_stopped_or_killed_in_any_step_of_a_backup_leaves_nothing_that_the_next_start_does_not_clean";
const UNPROVEN: &str =
    "faults/proof::a_step_of_a_proof_that_fails_says_so_and_the_next_proof_succeeds";
const LEFT: &str =
    "faults/proof::a_sidecar_stopped_or_killed_in_any_step_of_a_proof_leaves_no_scratch_server";
const DEADLINE: &str =
    "watchdogs::a_backup_or_proof_that_takes_too_long_is_ended_and_leaves_nothing";
const LATE: &str = "nothing: ended after STACKWARDEN_DEADLINE, with its scratch server";
const SWEPT: &str = "a dump without manifest, which nobody lists; the next start sweeps it";
const PARTIAL: &str = "a partial file, which nobody lists; the next start sweeps it";
/// The same where no test hits the instant.
const LAID: &str = "a dump without manifest, which nobody lists; the next start sweeps it (the test lays the files itself: no test hits that instant)";
const NOTHING: &str = "nothing";
const GONE: &str = "nothing: told to stop, it ends within Docker's ten seconds and cleans first";
const ORPHAN: &str = "the scratch server, until the next start or the next proof on this host";

const BACKUP: [(&str, [Cell; 5]); 9] = [
    (
        "lock",
        [
            Shown(NOTHING, FAILING),
            Reason(
                "another holder of the lock is waited for 15 minutes and then named; a server that does not answer, 15 seconds",
            ),
            Shown(GONE, ENDED),
            Shown("nothing; its session ends with its exec", ENDED),
            Reason("writes nothing"),
        ],
    ),
    (
        "snapshot",
        [
            Shown(NOTHING, FAILING),
            Shown("nothing, after 30 seconds", FAILING),
            Shown(GONE, ENDED),
            Shown("nothing; its sessions end with their execs", ENDED),
            Reason("writes nothing"),
        ],
    ),
    (
        "dump begin",
        [
            Shown(NOTHING, FAILING),
            Shown(
                "nothing; ended after STACKWARDEN_SILENCE, pg_dump and its session too",
                FAILING,
            ),
            Shown(GONE, ENDED),
            Shown(PARTIAL, ENDED),
            Shown(NOTHING, FAILING),
        ],
    ),
    (
        "dump middle",
        [
            Shown(NOTHING, FAILING),
            Shown(
                "nothing; ended after STACKWARDEN_SILENCE, pg_dump and its session too",
                FAILING,
            ),
            Shown(GONE, ENDED),
            Shown(PARTIAL, ENDED),
            Shown(NOTHING, FAILING),
        ],
    ),
    (
        "dump end",
        [
            Shown(
                "nothing: all bytes came, and the exit code says that they are not the dump",
                FAILING,
            ),
            Shown("nothing; ended after STACKWARDEN_SILENCE", FAILING),
            Shown(GONE, ENDED),
            Shown(PARTIAL, ENDED),
            Reason("as in the middle: the bytes are written as they come"),
        ],
    ),
    (
        "archive check",
        [
            Shown("nothing: the dump is removed", FAILING),
            Shown("nothing; ended after STACKWARDEN_SILENCE", FAILING),
            Shown(GONE, ENDED),
            Shown(SWEPT, ENDED),
            Reason("writes nothing"),
        ],
    ),
    (
        "roles",
        [
            Shown(
                "the backup, without its roles; the job is partly done, and says so",
                FAILING,
            ),
            Reason("ended after 5 minutes, then as an error"),
            Shown(GONE, ENDED),
            Shown(SWEPT, ENDED),
            Shown(
                "nothing: where the roles do not fit, the manifest does not either",
                FAILING,
            ),
        ],
    ),
    (
        "manifest",
        [
            Shown("nothing: the dump is removed", FAILING),
            Reason(
                "a disk that stands still holds the process itself; when it is killed, as there",
            ),
            Reason("one write and one rename: it is before or after them"),
            Shown(LAID, ENDED),
            Shown(
                "nothing: the dump is removed, or it would keep the next one from fitting",
                FAILING,
            ),
        ],
    ),
    (
        "retention",
        [
            Reason(
                "bytes without manifest, named in the log: the manifest goes first; the next start sweeps them",
            ),
            Reason("a disk that stands still holds the process itself"),
            Reason("runs to its end: it only removes files"),
            Shown(
                "bytes or proofs without manifest, which nobody lists; the next start sweeps them (laid by the test itself)",
                ENDED,
            ),
            Reason("only gives room"),
        ],
    ),
];

const PROOF: [(&str, [Cell; 5]); 7] = [
    (
        "read back",
        [
            Shown("no proof: what could not be read was not judged", UNPROVEN),
            Reason("no proof: ended after STACKWARDEN_DEADLINE"),
            Shown(GONE, LEFT),
            Shown(NOTHING, LEFT),
            Reason("writes nothing"),
        ],
    ),
    (
        "scratch start",
        [
            Shown(
                "no proof, tried again; for what the image can never do, a proof at `archive` with the reason",
                UNPROVEN,
            ),
            Shown(LATE, DEADLINE),
            Shown(GONE, LEFT),
            Shown(ORPHAN, LEFT),
            Shown(
                "nothing: what does not fit into memory is begun again on disk",
                UNPROVEN,
            ),
        ],
    ),
    (
        "roles",
        [
            Shown(
                "no proof, tried again; where the server refuses a statement, a proof that refutes: these roles do not come back",
                UNPROVEN,
            ),
            Reason("as at the scratch start"),
            Shown(GONE, LEFT),
            Shown(ORPHAN, LEFT),
            Reason("as in the restore"),
        ],
    ),
    (
        "restore",
        [
            Shown(
                "a proof that refutes, in pg_restore's words; where its server went away, no proof, and tried again",
                UNPROVEN,
            ),
            Reason("as at the scratch start"),
            Shown(GONE, LEFT),
            Shown(ORPHAN, LEFT),
            Shown(
                "nothing: a copy that does not fit into memory is restored again on disk",
                UNPROVEN,
            ),
        ],
    ),
    (
        "compare",
        [
            Shown("no proof; tried again", UNPROVEN),
            Reason("as at the scratch start"),
            Shown(GONE, LEFT),
            Shown(ORPHAN, LEFT),
            Reason("writes next to nothing into the scratch server"),
        ],
    ),
    (
        "proof file",
        [
            Reason("as where the disk is full"),
            Reason("a disk that stands still holds the process itself"),
            Reason("one write and one rename: it is before or after them"),
            Reason("a partial file, swept as the manifest's is"),
            Shown("no proof; tried again", FAILING),
        ],
    ),
    (
        "removal",
        [
            Reason("named in the log; the next proof removes it"),
            Reason("one call to the engine, with its deadline; then as an error"),
            Reason("goes on to its end"),
            Reason("the scratch server, as in the steps before"),
            Reason("only gives room"),
        ],
    ),
];

const KILLED_RESTORE: &str = "restore/kills::a_sidecar_killed_in_a_restore_leaves_the_live_database_and_the_next_run_removes_the_copy";
const KILLED_SWAP: &str =
    "restore/kills::a_sidecar_killed_in_the_exchange_leaves_the_old_or_the_new_database";
const STOPPED_RESTORE: &str =
    "restore/kills::a_restore_that_is_stopped_or_broken_off_leaves_nothing_and_says_so";
const COPY: &str = "a database with the name and the mark of a copy, which nobody lists; the next start and the next restore remove it";
const UNTOUCHED: &str = "nothing: the live database was not touched";

const RESTORE: [(&str, [Cell; 5]); 5] = [
    (
        "refusal",
        [
            Shown(
                "nothing, not even a backup: what forbids a swap is looked for first",
                "restore/swap::what_forbids_a_swap_is_named_before_anything_is_changed",
            ),
            Reason("a server that does not answer: 30 seconds"),
            Reason("nothing has begun"),
            Reason("nothing has begun"),
            Shown(
                "nothing: room is looked for before anything is made",
                "restore/into::without_room_nothing_is_begun",
            ),
        ],
    ),
    (
        "safety backup",
        [
            Reason("nothing: as a backup that fails, and the swap ends there"),
            Reason("as in a backup"),
            Reason("as in a backup"),
            Reason("as in a backup"),
            Reason("as in a backup"),
        ],
    ),
    (
        "copy",
        [
            Shown(
                "nothing: the copy is removed, wrong bytes and dumps that do not restore included",
                "restore/foreign::dumps_of_others_become_new_databases_and_reach_nothing_else",
            ),
            Reason("the copy is removed after STACKWARDEN_DEADLINE"),
            Shown(UNTOUCHED, STOPPED_RESTORE),
            Shown(COPY, KILLED_RESTORE),
            Reason("as an error: the server takes the whole statement back, the copy is removed"),
        ],
    ),
    (
        "comparison",
        [
            Shown("nothing: the copy is removed", STOPPED_RESTORE),
            Reason("as in the copy"),
            Reason("as in the copy"),
            Reason("as in the copy"),
            Reason("writes nothing but statistics"),
        ],
    ),
    (
        "exchange",
        [
            Shown(
                "nothing: one transaction, taken back; the copy is removed",
                STOPPED_RESTORE,
            ),
            Reason(
                "a lock that is not given back is waited for three times 3 seconds, a session that does not end three times 5; then as an error",
            ),
            Reason("goes on to its end: milliseconds"),
            Shown(
                "the old or the new database, whole, open and under its name",
                KILLED_SWAP,
            ),
            Reason("as an error"),
        ],
    ),
];

const LINE: &str = "object_storage/restore::a_file_that_the_disk_lost_comes_from_the_bucket_and_nothing_is_published_from_other_bytes";
const AWAY: &str = "object_storage::a_bucket_that_is_away_costs_no_backup_and_is_made_good";
const UPLOAD: &str = "object_storage::a_sidecar_killed_during_an_upload_leaves_nothing_that_is_listed_and_the_next_start_heals";
const STOPPED_UPLOAD: &str = "object_storage/faults::a_copy_that_hangs_is_stopped_or_finds_no_room_costs_no_backup_and_is_made_good";
const STALLED: &str = "object_storage/faults::a_restore_from_a_bucket_that_hangs_is_stopped_or_killed_leaves_the_live_database_alone";
const HELD: &str =
    "object_storage/retention::a_store_that_hangs_while_it_is_tidied_holds_no_backup_and_no_stop";
const PRUNED: &str = "object_storage/retention::a_sidecar_killed_while_it_prunes_leaves_no_manifest_without_its_dump";

const BUCKET: [(&str, [Cell; 5]); 3] = [
    (
        "copy",
        [
            Shown("the backup on disk, which is copied later", AWAY),
            Shown(
                "the backup on disk; the upload is dropped and aborted after 20 seconds without a part, and made good later",
                STOPPED_UPLOAD,
            ),
            Shown(
                "nothing: told to stop, it ends within Docker's ten seconds and aborts the upload first; made good later",
                STOPPED_UPLOAD,
            ),
            Shown(
                "parts that nobody lists; the next start aborts their upload",
                UPLOAD,
            ),
            Shown(
                "the backup on disk; the store says that it has no room left, and is tried again",
                STOPPED_UPLOAD,
            ),
        ],
    ),
    (
        "restore from it",
        [
            Shown(
                "nothing: a line that is cut, a store that is away and other bytes are refused before anything has a name",
                LINE,
            ),
            Shown(
                "nothing: 20 seconds without a byte, four times; then as an error",
                STALLED,
            ),
            Shown(UNTOUCHED, STALLED),
            Shown(COPY, STALLED),
            Reason("as in a restore from disk; nothing is stored here"),
        ],
    ),
    (
        "retention in it",
        [
            Shown(
                "the backup, whole: one refusal ends the round, is said, and is tried behind the next backup",
                "object_storage/retention::a_key_that_may_not_remove_is_asked_once_said_clearly_and_made_good",
            ),
            Shown(
                "the backup, whole: 20 seconds, four times; then as an error",
                HELD,
            ),
            Shown(
                "as kill -9, between two requests; it ends within Docker's ten seconds",
                HELD,
            ),
            Shown(
                "bytes and proofs without manifest, which nobody lists; a start that finds them a day old removes them",
                PRUNED,
            ),
            Reason("only gives room"),
        ],
    ),
];

fn table(rows: &[(&str, [Cell; 5])]) -> String {
    let mut text = String::from("| step | fault | what remains | shown by |\n|---|---|---|---|\n");
    for (step, cells) in rows {
        for (fault, cell) in FAULTS.iter().zip(cells) {
            let (remains, by) = match cell {
                Shown(remains, by) => (
                    *remains,
                    format!("`{}`", by.split("::").next().unwrap_or(by)),
                ),
                Reason(reason) => (*reason, "not injected".to_owned()),
            };
            // Writing to a text does not fail.
            let _written = writeln!(text, "| {step} | {fault} | {remains} | {by} |");
        }
    }
    text
}

#[test]
fn the_page_of_faults_is_what_the_table_says() -> Checked {
    let path = root().join("docs/faults.md");
    let page = fs::read_to_string(&path)?;
    let (head, rest) = page
        .split_once("## A backup\n")
        .ok_or("docs/faults.md has no part `## A backup`")?;
    let tail = rest
        .find("\n## The engine")
        .ok_or("docs/faults.md has no part `## The engine`")?;
    let wanted = format!(
        "{head}## A backup\n\n{}\n## A proof\n\n{}\n## A restore\n\n{}\n## The bucket\n\n{}{}",
        table(&BACKUP),
        table(&PROOF),
        table(&RESTORE),
        table(&BUCKET),
        rest.get(tail..).unwrap_or_default()
    );
    if std::env::var_os("STACKWARDEN_BLESS").is_some() {
        fs::write(&path, &wanted)?;
        return Ok(());
    }
    assert!(
        page == wanted,
        "docs/faults.md is not what tests/architecture/faults.rs says; run the tests with STACKWARDEN_BLESS=1"
    );
    Ok(())
}

#[test]
fn every_cell_of_the_fault_table_names_a_test_that_there_is() -> Checked {
    let mut wrong = Vec::new();
    let all = BACKUP.iter().chain(&PROOF).chain(&RESTORE).chain(&BUCKET);
    let cells = all.flat_map(|(step, cells)| {
        FAULTS
            .iter()
            .zip(cells)
            .map(move |(fault, cell)| (step, fault, cell))
    });
    for (step, fault, cell) in cells {
        let Shown(_, test) = cell else { continue };
        let (file, name) = test
            .split_once("::")
            .ok_or("a test is written file::name")?;
        let source = fs::read_to_string(root().join(format!("tests/service/{file}.rs")))?;
        // Where a test has many cases, each has its name there: in one piece, or made of its two parts.
        let is_case = !file.starts_with("faults/")
            || source.contains(&format!("{step}: {fault}"))
            || (source.contains(&format!("\"{step}\""))
                && (source.contains(&format!("\"{fault}\""))
                    || source.contains(&format!("}}: {fault}"))));
        if !source.contains(&format!("#[test]\nfn {name}(")) || !is_case {
            wrong.push(format!("{step}: {fault}: {test}"));
        }
    }
    assert_none(
        &wrong,
        "the fault table names tests or cases that do not exist",
    );
    Ok(())
}
