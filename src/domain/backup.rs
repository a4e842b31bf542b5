//! What a backup is: the manifest's and the proof's facts, and the level reached.

use std::fmt;
use std::time::Duration;

use super::comparison::{Difference, ObjectComparison, TableFacts};
use super::id::{BackupId, DatabaseName, ProjectName, Revision, ServiceName};
use super::sequence::SequenceFact;
use super::unit::{ByteCount, Timestamp};

/// How far a backup is proven; never rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The dump program ended well and the stream was hashed.
    Stream,
    /// Read back from its destination: SHA-256 equal, fully decoded.
    Archive,
    /// Restored into a throw-away server without an error, schema fingerprint equal.
    Restore,
    /// Restored, and every table has the snapshot's number of rows.
    Rows,
    /// Restored, and every table has the snapshot's content digest.
    Content,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 5] = [
        Self::Stream,
        Self::Archive,
        Self::Restore,
        Self::Rows,
        Self::Content,
    ];

    /// The word users write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Archive => "archive",
            Self::Restore => "restore",
            Self::Rows => "rows",
            Self::Content => "content",
        }
    }

    /// Reads the word users write.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a backup was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its time had come (a missed one made good included).
    Schedule,
    /// None existed.
    First,
    /// Somebody asked.
    Manual,
    /// A Docker event asked.
    Event,
    /// A migration was about to run.
    PreMigration,
    /// A restore was about to run.
    PreRestore,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Schedule,
        Self::First,
        Self::Manual,
        Self::Event,
        Self::PreMigration,
        Self::PreRestore,
    ];

    /// The word in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::First => "first",
            Self::Manual => "manual",
            Self::Event => "event",
            Self::PreMigration => "pre-migration",
            Self::PreRestore => "pre-restore",
        }
    }

    /// Reads the word in manifests.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// How the stored bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// pg_dump compressed inside the archive with zstd: `.dump`.
    InnerZstd,
    /// A plain archive inside one zstd stream: `.dump.zst`.
    OuterZstd,
    /// pg_dump compressed inside the archive with gzip: `.dump`.
    InnerGzip,
    /// Plain SQL of the roles: `.sql`.
    PlainSql,
}

impl Packing {
    /// Every packing.
    pub const ALL: [Self; 4] = [
        Self::InnerZstd,
        Self::OuterZstd,
        Self::InnerGzip,
        Self::PlainSql,
    ];

    /// The word in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InnerZstd => "archive:zstd",
            Self::OuterZstd => "file:zstd",
            Self::InnerGzip => "archive:gzip",
            Self::PlainSql => "none",
        }
    }

    /// Reads the word in manifests.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|packing| packing.as_str() == word)
    }

    /// The ending of the stored file, dot included.
    pub fn extension(self) -> &'static str {
        match self {
            Self::InnerZstd | Self::InnerGzip => ".dump",
            Self::OuterZstd => ".dump.zst",
            Self::PlainSql => ".sql",
        }
    }
}

/// What series a backup belongs to: one database, or the roles of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// One database.
    Database(DatabaseName),
    /// Roles, their settings and tablespaces of the whole server.
    Globals,
}

impl Content {
    /// The database, when it is one.
    pub fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Database(name) => Some(name),
            Self::Globals => None,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => name.fmt(formatter),
            Self::Globals => formatter.write_str("globals"),
        }
    }
}

/// A series of backups: project, service, database or globals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The Compose project.
    pub project: ProjectName,
    /// The service of the server.
    pub service: ServiceName,
    /// What of it.
    pub content: Content,
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.service, self.content)
    }
}

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
    /// The globals backup this dump restores on top of.
    pub globals: Option<BackupId>,
    /// The level reached when it was published.
    pub level: Level,
    /// One line that restores the file with stock tools.
    pub restore_line: String,
}

/// The outcome of one verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Which backup.
    pub id: BackupId,
    /// From which destination: `disk`.
    pub destination: String,
    /// When it ended.
    pub at: Timestamp,
    /// How long the whole proof took.
    pub took: Duration,
    /// How long the restore alone took: the measured RTO of the database.
    pub restore_took: Option<Duration>,
    /// The writer's version.
    pub writer_version: String,
    /// The level reached, or `None` when the stored bytes are wrong.
    pub level: Option<Level>,
    /// Why the level is lower than asked for, when it is.
    pub reason: Option<String>,
    /// What was compared, object by object.
    pub compared: Vec<ObjectComparison>,
    /// Differences; empty when proven.
    pub differences: Vec<Difference>,
}

impl Proof {
    /// Whether the backup is as good as was found out: no difference and some level.
    pub fn is_good(&self) -> bool {
        self.level.is_some() && self.differences.is_empty()
    }
}

/// A backup as it stands in a destination: manifest plus all proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The manifest.
    pub manifest: Manifest,
    /// All proofs, oldest first.
    pub proofs: Vec<Proof>,
}

/// How a backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Complete and archived, no restore tried yet.
    Unproven,
    /// The newest proof reached this level.
    Proven(Level),
    /// The newest proof found a difference or wrong bytes.
    Refuted,
}

impl Backup {
    /// What the proofs since the last refutation reached; without one it is unproven.
    ///
    /// A later proof asked for at a lower level takes nothing away; one that found a difference does, until
    /// a newer one finds none.
    pub fn standing(&self) -> Standing {
        let refuted = self.proofs.iter().rposition(|proof| !proof.is_good());
        let since = refuted.map_or(0, |position| position + 1);
        let reached = self
            .proofs
            .iter()
            .skip(since)
            .filter_map(|proof| proof.level)
            .max();
        match (reached, refuted) {
            (Some(level), _) => Standing::Proven(level),
            (None, Some(_)) => Standing::Refuted,
            (None, None) => Standing::Unproven,
        }
    }

    /// Whether a proof at this level is still owed: never tried so far, and nobody said why it cannot be.
    pub fn owes_proof(&self, asked: Level) -> bool {
        let stepped_down = self
            .proofs
            .last()
            .is_some_and(|proof| proof.reason.is_some());
        match self.standing() {
            Standing::Unproven => true,
            Standing::Proven(level) => level < asked && !stepped_down,
            Standing::Refuted => false,
        }
    }

    /// The level that may be shown: the manifest's own until a proof says more or less.
    pub fn level(&self) -> Option<Level> {
        match self.standing() {
            Standing::Unproven => Some(self.manifest.level),
            Standing::Proven(level) => Some(level),
            Standing::Refuted => None,
        }
    }

    /// Verified means: restored (level `restore` or better) and equal.
    pub fn is_verified(&self) -> bool {
        matches!(self.standing(), Standing::Proven(level) if level >= Level::Restore)
    }
}

#[cfg(test)]
mod tests;
