//! The manifest's inner shapes: the database's properties, tables and sequences.

use serde::{Deserialize, Serialize};

use super::{CodecError, parse_id};
use crate::domain::backup::suspicion::{Extent, Suspicion};
use crate::domain::backup::{DatabaseFacts, Likeness};
use crate::domain::comparison::{Digest, Rows, TableFacts};
use crate::domain::sequence::{Handed, SequenceFact, SequenceValue, Wrapping};
use crate::domain::unit::ByteCount;

#[derive(Serialize, Deserialize)]
pub(super) struct FactsFormat {
    owner: String,
    encoding: String,
    collate: String,
    ctype: String,
    locale_provider: String,
    acl: Option<String>,
    settings: Vec<String>,
    connection_limit: i32,
    extensions: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TableFormat {
    name: String,
    rows: Option<u64>,
    digest: Option<String>,
    why: Option<String>,
    extension: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SequenceFormat {
    name: String,
    last: Option<i64>,
    called: Option<bool>,
    why: Option<String>,
    increment: i64,
    cycles: bool,
    extension: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ExtentFormat {
    tables: u64,
    rows: Option<u64>,
    database_bytes: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SuspicionFormat {
    predecessor: String,
    reasons: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LikenessFormat {
    bootstrap_user: String,
    encoding: String,
    settings: Vec<(String, String)>,
    lock_table_size: u64,
}

impl From<&Likeness> for LikenessFormat {
    fn from(likeness: &Likeness) -> Self {
        let likeness = likeness.clone();
        Self {
            bootstrap_user: likeness.bootstrap_user,
            encoding: likeness.encoding,
            settings: likeness.settings,
            lock_table_size: likeness.lock_table_size,
        }
    }
}

impl From<LikenessFormat> for Likeness {
    fn from(read: LikenessFormat) -> Self {
        Self {
            bootstrap_user: read.bootstrap_user,
            encoding: read.encoding,
            settings: read.settings,
            lock_table_size: read.lock_table_size,
        }
    }
}

impl From<Extent> for ExtentFormat {
    fn from(extent: Extent) -> Self {
        Self {
            tables: extent.tables,
            rows: extent.rows,
            database_bytes: extent.size.0,
        }
    }
}

impl From<ExtentFormat> for Extent {
    fn from(read: ExtentFormat) -> Self {
        Self {
            tables: read.tables,
            rows: read.rows,
            size: ByteCount(read.database_bytes),
        }
    }
}

impl From<&Suspicion> for SuspicionFormat {
    fn from(suspicion: &Suspicion) -> Self {
        Self {
            predecessor: suspicion.predecessor.to_string(),
            reasons: suspicion.reasons.clone(),
        }
    }
}

impl SuspicionFormat {
    pub(super) fn read(self) -> Result<Suspicion, CodecError> {
        Ok(Suspicion {
            predecessor: parse_id(&self.predecessor)?,
            reasons: self.reasons,
        })
    }
}

impl From<&DatabaseFacts> for FactsFormat {
    fn from(facts: &DatabaseFacts) -> Self {
        let facts = facts.clone();
        Self {
            owner: facts.owner,
            encoding: facts.encoding,
            collate: facts.collate,
            ctype: facts.ctype,
            locale_provider: facts.locale_provider,
            acl: facts.acl,
            settings: facts.settings,
            connection_limit: facts.connection_limit,
            extensions: facts.extensions,
        }
    }
}

impl From<FactsFormat> for DatabaseFacts {
    fn from(read: FactsFormat) -> Self {
        Self {
            owner: read.owner,
            encoding: read.encoding,
            collate: read.collate,
            ctype: read.ctype,
            locale_provider: read.locale_provider,
            acl: read.acl,
            settings: read.settings,
            connection_limit: read.connection_limit,
            extensions: read.extensions,
        }
    }
}

impl From<&TableFacts> for TableFormat {
    fn from(table: &TableFacts) -> Self {
        let (rows, why_rows) = match &table.rows {
            Rows::Exact(rows) => (Some(*rows), None),
            Rows::Absent(why) => (None, Some(why)),
        };
        let (digest, why_digest) = match &table.digest {
            Digest::V1(digest) => (Some(digest.clone()), None),
            Digest::Absent(why) => (None, Some(why)),
        };
        let why = why_rows.or(why_digest).cloned();
        Self {
            name: table.name.clone(),
            rows,
            digest,
            why,
            extension: table.extension.clone(),
        }
    }
}

impl From<&TableFormat> for TableFacts {
    fn from(read: &TableFormat) -> Self {
        let why = || {
            read.why
                .clone()
                .unwrap_or_else(|| "the manifest does not say why".to_owned())
        };
        Self {
            name: read.name.clone(),
            rows: read.rows.map_or_else(|| Rows::Absent(why()), Rows::Exact),
            digest: read
                .digest
                .clone()
                .map_or_else(|| Digest::Absent(why()), Digest::V1),
            extension: read.extension.clone(),
        }
    }
}

impl From<&SequenceFact> for SequenceFormat {
    fn from(sequence: &SequenceFact) -> Self {
        let value = sequence.value.as_ref().ok();
        Self {
            name: sequence.name.clone(),
            last: value.map(|value| value.last),
            called: value.map(|value| value.handed == Handed::Out),
            why: sequence.value.as_ref().err().cloned(),
            increment: sequence.increment,
            cycles: sequence.wrapping == Wrapping::Cyclic,
            extension: sequence.extension.clone(),
        }
    }
}

impl From<&SequenceFormat> for SequenceFact {
    fn from(read: &SequenceFormat) -> Self {
        let why = || {
            read.why
                .clone()
                .unwrap_or_else(|| "the manifest does not say why".to_owned())
        };
        let value = read
            .last
            .zip(read.called)
            .map(|(last, called)| SequenceValue {
                last,
                handed: if called { Handed::Out } else { Handed::NotYet },
            });
        Self {
            name: read.name.clone(),
            value: value.ok_or_else(why),
            increment: read.increment,
            wrapping: if read.cycles {
                Wrapping::Cyclic
            } else {
                Wrapping::Bounded
            },
            extension: read.extension.clone(),
        }
    }
}
