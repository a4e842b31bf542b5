//! The facts of one stored artefact, as its manifest holds them.

use std::time::Duration;

use super::series::Series;
use super::suspicion::{Extent, Suspicion};
use super::word::{Decoded, Level, Packing, Reason, Recipient, Sealing};
use crate::domain::comparison::TableFacts;
use crate::domain::id::{BackupId, Revision};
use crate::domain::sequence::SequenceFact;
use crate::domain::unit::{ByteCount, Timestamp};

/// SHA-256 of some bytes, lowercase hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256Hex(pub String);

/// Which server and database the bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `pg_control_system().system_identifier`; changes with every initdb.
    pub system_identifier: String,
    /// `pg_database.oid`; 0 for globals.
    pub database_oid: u32,
    /// `server_version_num`, such as 170010.
    pub server_version_number: u32,
    /// `server_version` as shown.
    pub server_version: String,
    /// The container image the server ran in, by id.
    pub image_id: String,
    /// The image as the compose file names it.
    pub image: String,
}

/// What a throw-away server has to be like that proves a backup of which no live server tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Likeness {
    /// The role that initdb made.
    pub bootstrap_user: String,
    /// Encoding of the server's own names.
    pub encoding: String,
    /// What is preloaded, and the settings of what is.
    pub settings: Vec<(String, String)>,
    /// Room in the lock table.
    pub lock_table_size: u64,
}

/// What pg_database and the catalogue say of the dumped database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseFacts {
    /// Owner role.
    pub owner: String,
    /// Encoding, such as UTF8.
    pub encoding: String,
    /// `datcollate`.
    pub collate: String,
    /// `datctype`.
    pub ctype: String,
    /// `c`, `i` or `b`.
    pub locale_provider: String,
    /// `datacl` as text.
    pub acl: Option<String>,
    /// Per-database and per-role settings.
    pub settings: Vec<String>,
    /// `datconnlimit`.
    pub connection_limit: i32,
    /// Extensions as `name version`.
    pub extensions: Vec<String>,
}

/// Rows, digests and sequences of one database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Every table's facts, and those of the large objects.
    pub tables: Vec<TableFacts>,
    /// Sequences before the dump: they are no part of a snapshot.
    pub sequences_before: Vec<SequenceFact>,
    /// Sequences after the dump.
    pub sequences_after: Vec<SequenceFact>,
}

/// What is known of the rows at the dump's own snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// Of the very snapshot that was dumped.
    Exact(Census),
    /// No counts, and why not.
    Absent(String),
    /// Only how many tables there are: what a listing keeps in memory of [`Counted::Exact`].
    Summary {
        /// Number of tables.
        tables: u64,
    },
}

/// How a stored file is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Each of them alone opens it.
    pub recipients: Vec<Recipient>,
    /// Size of what was sealed.
    pub plain_size: ByteCount,
}

/// The facts of one stored artefact; written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its id.
    pub id: BackupId,
    /// Its series.
    pub series: Series,
    /// Why it was taken.
    pub reason: Reason,
    /// When the snapshot was taken (globals: when the dump began).
    pub snapshot_at: Timestamp,
    /// When the manifest was written.
    pub published_at: Timestamp,
    /// `pg_current_wal_lsn()` at the snapshot.
    pub snapshot_lsn: Option<String>,
    /// How long dump and archive check took.
    pub took: Duration,
    /// Name of the stored file beside the manifest.
    pub file: String,
    /// Size as stored.
    pub stored_size: ByteCount,
    /// SHA-256 as stored.
    pub stored_sha256: Sha256Hex,
    /// How it is packed.
    pub packing: Packing,
    /// How it is sealed; `None` for one that is stored as it is packed.
    pub seal: Option<Seal>,
    /// `pg_dump --version`'s number.
    pub tool_version: String,
    /// Our own version.
    pub writer_version: String,
    /// Where the bytes came from.
    pub origin: Origin,
    /// The database's own properties; `None` for globals.
    pub facts: Option<DatabaseFacts>,
    /// The migration revision in the database, when a known tool keeps one.
    pub revision: Option<Revision>,
    /// Hash of the normalised schema text.
    pub schema_fingerprint: Option<Sha256Hex>,
    /// Rows and digests.
    pub counted: Counted,
    /// How much the database held; `None` for globals.
    pub extent: Option<Extent>,
    /// Why it does not look like its predecessor, when it does not.
    pub suspicion: Option<Suspicion>,
    /// The globals backup this dump restores on top of.
    pub globals: Option<BackupId>,
    /// The level reached when it was published.
    pub level: Level,
    /// What was decoded to reach it; `None` where nothing was, or an older version did not say.
    pub decoded: Option<Decoded>,
    /// What a server that proves it has to be like; only where none lives that tells it.
    pub likeness: Option<Likeness>,
    /// One line that restores the file with stock tools.
    pub restore_line: String,
}

impl Manifest {
    /// Whether the stored bytes are sealed.
    pub fn sealing(&self) -> Sealing {
        if self.seal.is_some() {
            Sealing::Age
        } else {
            Sealing::Plain
        }
    }
}
