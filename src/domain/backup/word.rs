//! The closed vocabularies of backups: how far one is proven, why it was taken, how it is packed.

use std::fmt;

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

/// Where backups rest; a bounded label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// The backup folder.
    Disk,
    /// A bucket of object storage.
    S3,
}

impl Destination {
    /// Every destination.
    pub const ALL: [Self; 2] = [Self::Disk, Self::S3];

    /// Reads the word.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// The word in proofs, metrics and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::S3 => "s3",
        }
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

    /// The ending of the packed file, dot included; see [`Sealing::extension`] for what comes behind it.
    pub fn extension(self) -> &'static str {
        match self {
            Self::InnerZstd | Self::InnerGzip => ".dump",
            Self::OuterZstd => ".dump.zst",
            Self::PlainSql => ".sql",
        }
    }
}

/// Whether the packed bytes are stored as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// As they are.
    Plain,
    /// Sealed with age for recipients: `.age` behind the name.
    Age,
}

impl Sealing {
    /// What stands behind the packed file's ending, dot included.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Age => ".age",
        }
    }
}

/// A public key that a backup is sealed for: `age1…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient(pub String);

/// What was decoded when a backup was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// What the storage gave back.
    Stored,
    /// The stream of the very pass that was sealed and stored; what the storage gave back was compared by its hash.
    Stream,
}

impl Decoded {
    /// The word in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Stream => "stream",
        }
    }

    /// Reads the word in manifests.
    pub fn find(word: &str) -> Option<Self> {
        [Self::Stored, Self::Stream]
            .into_iter()
            .find(|it| it.as_str() == word)
    }
}
