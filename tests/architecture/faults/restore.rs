//! Each step of a restore, and of what happens in the bucket.

use super::Cell::{self, Reason, Shown, Void};

const NOTHING: &str = "nothing";
const KILLED_RESTORE: &str = "restore/kills::a_sidecar_killed_in_a_restore_leaves_the_live_database_and_the_next_run_removes_the_copy";
const KILLED_SWAP: &str =
    "restore/kills::a_sidecar_killed_in_the_exchange_leaves_the_old_or_the_new_database";
const STOPPED_RESTORE: &str =
    "restore/kills::a_restore_that_is_stopped_or_broken_off_leaves_nothing_and_says_so";
const COPY: &str = "a database with the name and the mark of a copy, which nobody lists; the next start and the next restore remove it";
const STEPS: &str = "faults/restore::a_step_of_a_restore_that_fails_hangs_or_fills_the_disk_leaves_the_live_database_and_the_next_succeeds";
const UNRESTORED: &str = "faults/restore::a_sidecar_stopped_or_killed_in_any_step_of_a_restore_leaves_the_live_database_and_the_next_succeeds";
const UNSAFE: &str = "nothing: no backup, and no restore";
const OVERDUE: &str = "nothing: the copy is removed after STACKWARDEN_DEADLINE";
const UNTOUCHED: &str = "nothing: the live database was not touched";

pub(super) const RESTORE: [(&str, [Cell; 5]); 5] = [
    (
        "refusal",
        [
            Shown(
                "nothing, not even a backup: what forbids a swap is looked for first",
                "restore/swap::what_forbids_a_swap_is_named_before_anything_is_changed",
            ),
            Shown(
                "nothing: a server that does not answer is given up after 30 seconds, or after STACKWARDEN_DEADLINE where that is shorter",
                STEPS,
            ),
            Shown(NOTHING, UNRESTORED),
            Shown(NOTHING, UNRESTORED),
            Shown(
                "nothing: room is looked for before anything is made",
                "restore/into::without_room_nothing_is_begun",
            ),
        ],
    ),
    (
        "safety backup",
        [
            Shown(UNSAFE, STEPS),
            Shown(UNSAFE, STEPS),
            Shown(UNSAFE, UNRESTORED),
            Shown(
                "what a backup leaves; the live database was not touched",
                UNRESTORED,
            ),
            Shown(UNSAFE, STEPS),
        ],
    ),
    (
        "copy",
        [
            Shown(
                "nothing: the copy is removed, wrong bytes and dumps that do not restore included",
                "restore/foreign::dumps_of_others_become_new_databases_and_reach_nothing_else",
            ),
            Shown(
                "nothing: the copy is removed after STACKWARDEN_SILENCE",
                STEPS,
            ),
            Shown(UNTOUCHED, STOPPED_RESTORE),
            Shown(COPY, KILLED_RESTORE),
            Shown("nothing: the copy is removed", STEPS),
        ],
    ),
    (
        "comparison",
        [
            Shown("nothing: the copy is removed", STOPPED_RESTORE),
            Shown(OVERDUE, STEPS),
            Shown(UNTOUCHED, UNRESTORED),
            Shown(COPY, UNRESTORED),
            Reason("nothing: a server without room begins no session; the copy is removed"),
        ],
    ),
    (
        "exchange",
        [
            Shown(
                "nothing: one transaction, taken back; the copy is removed",
                STOPPED_RESTORE,
            ),
            Shown(
                "nothing: a lock that is not given back is waited for three times 3 seconds (a session that does not end, three times 5); then as an error",
                STOPPED_RESTORE,
            ),
            Shown(
                "the old or the new database, whole: it goes on to its end",
                UNRESTORED,
            ),
            Shown(
                "the old or the new database, whole, open and under its name",
                KILLED_SWAP,
            ),
            Reason("as an error: one transaction, taken back"),
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

pub(super) const BUCKET: [(&str, [Cell; 5]); 3] = [
    (
        "copy",
        [
            Shown("the backup on disk, which is copied later", AWAY),
            Shown(
                "the backup on disk; the upload is dropped and aborted after 20 seconds without a part, or after STACKWARDEN_SILENCE where that is shorter, and made good later",
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
                "nothing: 20 seconds without a byte (or STACKWARDEN_SILENCE), four times; then as an error",
                STALLED,
            ),
            Shown(UNTOUCHED, STALLED),
            Shown(COPY, STALLED),
            Void("nothing is stored here; the server's own disk as in a restore from disk"),
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
                "the backup, whole: 20 seconds (or STACKWARDEN_SILENCE), four times; then as an error",
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
            Void("only gives room"),
        ],
    ),
];
