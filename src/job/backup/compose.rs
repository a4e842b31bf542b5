//! Puts the manifest together.

use std::time::Duration;

use super::TakeRequest;
use super::archive_check;
use super::attempt::Dumped;
use super::take::series;
use crate::domain::backup::{Level, Likeness, Manifest, Origin, Packing, Seal, Sealing};
use crate::domain::id::BackupId;
use crate::domain::volume::is_of_volume;
use crate::job::JobContext;
use crate::postgres::catalog::ServerFacts;
use crate::store::layout;

/// What the archive check and the roles add to a dump.
pub(super) struct Checked {
    /// What reading it back told; `None` when it was not read back.
    pub(super) archive: Option<archive_check::Checked>,
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
    let sealing = sealing(dumped.seal.as_ref());
    let file = layout::stored_name(&dumped.id, dumped.packing, sealing);
    let (schema, decoded) = match checked.archive {
        Some(archive) => (archive.schema, archive.decoded),
        None => (None, None),
    };
    let level = match decoded {
        Some(_) => request.level.min(Level::Archive),
        None => Level::Stream,
    };
    Manifest {
        id: dumped.id.clone(),
        series: series(context, request),
        reason: request.reason,
        snapshot_at: dumped.began_at,
        published_at: context.clock.now(),
        snapshot_lsn: dumped.snapshot.lsn.clone(),
        took: checked.took,
        likeness: is_of_volume(&request.target.service).then(|| likeness(&dumped.server)),
        restore_line: restore_line(&file, dumped.packing, sealing, Entry::of(request, dumped)),
        file,
        stored_size: dumped.stored.size,
        stored_sha256: dumped.stored.sha256.clone(),
        packing: dumped.packing,
        seal: dumped.seal.clone(),
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
        schema_fingerprint: schema,
        counted: dumped.counted.clone(),
        extent: dumped.extent,
        suspicion: None,
        globals: checked.globals,
        level,
        decoded,
    }
}

/// What a proof would ask the live server for. Settings that anybody may have made up are no part of it: applications keep
/// secrets in them.
fn likeness(server: &ServerFacts) -> Likeness {
    let settings = server.carried_settings.iter();
    let preloaded = settings
        .clone()
        .find(|(name, _)| name == "shared_preload_libraries");
    let is_meant = |name: &str| match name.split_once('.') {
        None => true,
        Some((prefix, _)) => preloaded.is_some_and(|(_, libraries)| libraries.contains(prefix)),
    };
    Likeness {
        bootstrap_user: server.bootstrap_user.clone(),
        encoding: server.encoding.clone(),
        settings: settings
            .filter(|(name, _)| is_meant(name))
            .cloned()
            .collect(),
        lock_table_size: server.lock_table_size,
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

/// How a file with this seal, or without one, is stored.
pub(super) fn sealing(seal: Option<&Seal>) -> Sealing {
    match seal {
        Some(_) => Sealing::Age,
        None => Sealing::Plain,
    }
}

/// The one line that restores the file with stock tools, as a superuser, into a server that lacks the database. `KEY` is the
/// file with the secret key of one of the recipients.
pub(super) fn restore_line(file: &str, packing: Packing, sealing: Sealing, entry: Entry) -> String {
    let (before, database) = match entry {
        Entry::Usual => ("", "postgres"),
        Entry::WithoutEncoding => (
            "createdb -T template0 -E SQL_ASCII --locale=C sql_ascii; ",
            "sql_ascii",
        ),
    };
    let open = format!("age -d -i KEY {file} | ");
    let restored = match (packing, sealing) {
        (Packing::InnerZstd | Packing::InnerGzip, Sealing::Plain) => {
            format!("pg_restore -C -d {database} {file}")
        }
        (Packing::InnerZstd | Packing::InnerGzip, Sealing::Age) => {
            format!("{open}pg_restore -C -d {database}")
        }
        (Packing::OuterZstd, Sealing::Plain) => {
            format!("zstd -dc {file} | pg_restore -C -d {database}")
        }
        (Packing::OuterZstd, Sealing::Age) => {
            format!("{open}zstd -dc | pg_restore -C -d {database}")
        }
        (Packing::PlainSql, Sealing::Plain) => format!("psql -d {database} -f {file}"),
        (Packing::PlainSql, Sealing::Age) => format!("{open}psql -d {database}"),
    };
    format!("{before}{restored}")
}
