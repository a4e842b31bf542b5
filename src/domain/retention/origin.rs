//! Which backups of a series come from the server and database that are in place now.

use crate::domain::backup::Backup;
use crate::domain::id::BackupId;
use crate::domain::unit::Timestamp;

/// Splits into those that come from where the newest one comes from, and others. Once somebody has said that this
/// is the database now, what its server's predecessor left ages like the rest.
pub(super) fn split<'a>(past: &[&'a Backup]) -> (Vec<&'a Backup>, Vec<&'a Backup>) {
    let Some(newest) = past.iter().copied().max_by_key(|it| place(it)) else {
        return (Vec::new(), Vec::new());
    };
    let is_current = |it: &&Backup| is_same(it, newest) || is_bridged(it, newest, past);
    past.iter().copied().partition(is_current)
}

/// Whether both are of one server and database.
pub(super) fn is_same(left: &Backup, right: &Backup) -> bool {
    let (left, right) = (&left.manifest.origin, &right.manifest.origin);
    left.system_identifier == right.system_identifier && left.database_oid == right.database_oid
}

/// Whether somebody has said, after this backup was taken, that the newest one's server is in its place now.
fn is_bridged(backup: &Backup, newest: &Backup, past: &[&Backup]) -> bool {
    past.iter()
        .any(|it| it.acceptance.is_some() && is_same(it, newest) && place(it) > place(backup))
}

/// By what backups are ordered: snapshot, then id.
pub(super) fn place(backup: &Backup) -> (Timestamp, &BackupId) {
    (backup.manifest.snapshot_at, &backup.manifest.id)
}
