//! Puts the manifest together.

use std::time::Duration;

use super::TakeRequest;
use super::attempt::Dumped;
use super::take::series;
use crate::domain::backup::{Level, Manifest, Origin, Packing, Sha256Hex};
use crate::domain::id::BackupId;
use crate::job::JobContext;
use crate::store::layout;

/// What the archive check and the roles add to a dump.
pub(super) struct Checked {
    /// Hash of the normalised schema text; `None` when it was not read back.
    pub(super) schema: Option<Sha256Hex>,
    /// The roles it restores on top of.
    pub(super) globals: Option<BackupId>,
    /// From the lock to now.
    pub(super) took: Duration,
}

/// The manifest of a dump that passed the archive check.
pub(super) fn manifest(
    context: &JobContext,
    request: &TakeRequest,
    dumped: &Dumped,
    checked: Checked,
) -> Manifest {
    let file = layout::stored_name(&dumped.id, dumped.packing);
    Manifest {
        id: dumped.id.clone(),
        series: series(context, request),
        reason: request.reason,
        snapshot_at: dumped.began_at,
        published_at: context.clock.now(),
        snapshot_lsn: dumped.snapshot.lsn.clone(),
        took: checked.took,
        restore_line: restore_line(&file, dumped.packing, Entry::of(request, dumped)),
        file,
        stored_size: dumped.stored.size,
        stored_sha256: dumped.stored.sha256.clone(),
        packing: dumped.packing,
        tool_version: dumped.tool_version.clone(),
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        origin: Origin {
            system_identifier: dumped.server.system_identifier.clone(),
            database_oid: dumped.database_oid,
            server_version_number: dumped.server.version_number,
            server_version: dumped.server.version.clone(),
            image_id: request.target.image_id.to_string(),
            image: request.target.image.clone(),
        },
        facts: Some(dumped.facts.clone()),
        revision: dumped.revision.clone(),
        schema_fingerprint: checked.schema,
        counted: dumped.counted.clone(),
        extent: dumped.extent,
        suspicion: None,
        globals: checked.globals,
        level: request.level.min(Level::Archive),
    }
}

/// Where stock tools begin to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// In the database that every server has.
    Usual,
    /// In one without an encoding, where no name is read as another: the name of the database, or of its owner, has letters
    /// beyond ASCII, and the database is not in UTF-8.
    WithoutEncoding,
}

impl Entry {
    fn of(request: &TakeRequest, dumped: &Dumped) -> Self {
        let facts = &dumped.facts;
        let is_usual = request.database.as_str().is_ascii() && facts.owner.is_ascii()
            || matches!(facts.encoding.as_str(), "UTF8" | "SQL_ASCII");
        if is_usual {
            Self::Usual
        } else {
            Self::WithoutEncoding
        }
    }
}

/// The one line that restores the file with stock tools, as a superuser, into a server that lacks the database.
pub(super) fn restore_line(file: &str, packing: Packing, entry: Entry) -> String {
    let (before, database) = match entry {
        Entry::Usual => ("", "postgres"),
        Entry::WithoutEncoding => (
            "createdb -T template0 -E SQL_ASCII --locale=C sql_ascii; ",
            "sql_ascii",
        ),
    };
    match packing {
        Packing::InnerZstd | Packing::InnerGzip => {
            format!("{before}pg_restore -C -d {database} {file}")
        }
        Packing::OuterZstd => format!("{before}zstd -dc {file} | pg_restore -C -d {database}"),
        Packing::PlainSql => format!("{before}psql -d {database} -f {file}"),
    }
}
