//! Each step of a backup and of a proof.

use super::Cell::{self, Shown, Void};

const FAILING: &str = "faults/backup::a_step_of_a_backup_that_fails_hangs_or_fills_the_disk_leaves_nothing_and_the_next_run_succeeds";
const ENDED: &str = "faults/backup::a_sidecar_stopped_or_killed_in_any_step_of_a_backup_leaves_nothing_that_the_next_start_does_not_clean";
const UNPROVEN: &str =
    "faults/proof::a_step_of_a_proof_that_fails_says_so_and_the_next_proof_succeeds";
const LEFT: &str =
    "faults/proof::a_sidecar_stopped_or_killed_in_any_step_of_a_proof_leaves_no_scratch_server";
const DEADLINE: &str =
    "watchdogs::a_backup_or_proof_that_takes_too_long_is_ended_and_leaves_nothing";
const DISK: &str = "faults/disk::a_disk_that_fails_stands_still_or_ends_the_sidecar_leaves_no_half_of_a_backup_or_of_a_proof";
const STANDSTILL: &str =
    "faults/standstill::a_step_of_a_proof_that_hangs_is_ended_in_time_and_the_next_proof_succeeds";
const REMOVAL: &str = "faults/standstill::a_scratch_server_that_is_not_removed_costs_no_proof_and_goes_with_the_next_one";
const LATE: &str = "nothing: ended after STACKWARDEN_DEADLINE, with its scratch server";
const SWEPT: &str = "a dump without manifest, which nobody lists; the next start sweeps it";
const PARTIAL: &str = "a partial file, which nobody lists; the next start sweeps it";
const NOTHING: &str = "nothing";
const GONE: &str = "nothing: told to stop, it ends within Docker's ten seconds and cleans first";
const ORPHAN: &str = "the scratch server, until the next start or the next proof on this host";

pub(super) const BACKUP: [(&str, [Cell; 5]); 9] = [
    (
        "lock",
        [
            Shown(NOTHING, FAILING),
            Shown(
                "nothing: a server that does not answer is given up after 15 seconds (another holder of the lock is waited for, 15 minutes, and then named)",
                FAILING,
            ),
            Shown(GONE, ENDED),
            Shown("nothing; its session ends with its exec", ENDED),
            Void("writes nothing"),
        ],
    ),
    (
        "snapshot",
        [
            Shown(NOTHING, FAILING),
            Shown("nothing, after 30 seconds", FAILING),
            Shown(GONE, ENDED),
            Shown("nothing; its sessions end with their execs", ENDED),
            Void("writes nothing"),
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
            Shown(NOTHING, FAILING),
        ],
    ),
    (
        "archive check",
        [
            Shown("nothing: the dump is removed", FAILING),
            Shown("nothing; ended after STACKWARDEN_SILENCE", FAILING),
            Shown(GONE, ENDED),
            Shown(SWEPT, ENDED),
            Void("writes nothing"),
        ],
    ),
    (
        "roles",
        [
            Shown(
                "the backup, without its roles; the job is partly done, and says so",
                FAILING,
            ),
            Shown(
                "as an error: ended after 5 minutes, or after STACKWARDEN_SILENCE where that is shorter",
                FAILING,
            ),
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
            Shown(
                "nothing: the dump is removed; a backup that stands, and a job that says it failed, where the disk does not say that it keeps the name",
                DISK,
            ),
            Shown(
                "a dump without manifest, which nobody lists, for as long as the disk stands still; then the backup. Nobody else is held up",
                DISK,
            ),
            Shown(
                "a dump without manifest, as below: it ends within Docker's ten seconds and does not wait for the disk",
                DISK,
            ),
            Shown(SWEPT, DISK),
            Shown(
                "nothing: the dump is removed, or it would keep the next one from fitting",
                FAILING,
            ),
        ],
    ),
    (
        "retention",
        [
            Shown(
                "the backup, whole, where its manifest cannot be removed: the next run tries again; else bytes without manifest, named in the log, which the next start sweeps",
                DISK,
            ),
            Shown(
                "bytes without manifest, which nobody lists, for as long as the disk stands still; then nothing",
                DISK,
            ),
            Shown(
                "as below: it ends within Docker's ten seconds and does not wait for the disk",
                DISK,
            ),
            Shown(
                "bytes or proofs without manifest, which nobody lists; the next start sweeps them",
                DISK,
            ),
            Void("only gives room"),
        ],
    ),
];

pub(super) const PROOF: [(&str, [Cell; 5]); 7] = [
    (
        "read back",
        [
            Shown("no proof: what could not be read was not judged", UNPROVEN),
            Shown("no proof: ended after STACKWARDEN_DEADLINE", STANDSTILL),
            Shown(GONE, LEFT),
            Shown(NOTHING, LEFT),
            Void("writes nothing"),
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
            Shown(LATE, STANDSTILL),
            Shown(GONE, LEFT),
            Shown(ORPHAN, LEFT),
            Shown(
                "nothing: what does not fit into memory is begun again on disk",
                UNPROVEN,
            ),
        ],
    ),
    (
        "restore",
        [
            Shown(
                "a proof that refutes, in pg_restore's words; where its server went away, no proof, and tried again",
                UNPROVEN,
            ),
            Shown(LATE, STANDSTILL),
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
            Shown(LATE, STANDSTILL),
            Shown(GONE, LEFT),
            Shown(ORPHAN, LEFT),
            Shown(
                "the proof: where it needs room, the copy is restored again on disk",
                UNPROVEN,
            ),
        ],
    ),
    (
        "proof file",
        [
            Shown("no proof; tried again", DISK),
            Shown(
                "no proof for as long as the disk stands still; then the proof. Nobody else is held up",
                DISK,
            ),
            Shown(
                "as below: it ends within Docker's ten seconds and does not wait for the disk",
                DISK,
            ),
            Shown(PARTIAL, DISK),
            Shown("no proof; tried again", FAILING),
        ],
    ),
    (
        "removal",
        [
            Shown(
                "the proof, and the scratch server, named in the log; the next proof removes it",
                REMOVAL,
            ),
            Shown(
                "the proof: the engine's answer is waited for a minute, then as an error",
                REMOVAL,
            ),
            Shown("nothing: it goes on to its end", REMOVAL),
            Shown(ORPHAN, REMOVAL),
            Void("only gives room"),
        ],
    ),
];
