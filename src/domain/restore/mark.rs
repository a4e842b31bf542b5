//! What is written on a database that a restore made or put aside: its COMMENT. Who reads it knows what may be
//! removed and what was there before.

use super::name::Side;
use crate::domain::id::{BackupId, DatabaseName, ProjectName};
use crate::domain::unit::Timestamp;

/// How far a marked database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is being restored; without a living restore it is a leftover.
    Copy,
    /// A swap put it aside.
    Aside(Side),
}

/// The mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How far it is.
    pub stage: Stage,
    /// Whose restore made it.
    pub project: ProjectName,
    /// The database that it is for, or was.
    pub of: DatabaseName,
    /// The backup that was restored; none for a file.
    pub backup: Option<BackupId>,
    /// When it was marked.
    pub at: Timestamp,
    /// Its own comment, which this mark stands in place of.
    pub comment: Option<String>,
}

impl Mark {
    /// Whether a swap of this database put it aside.
    pub fn is_aside(&self, of: &DatabaseName) -> bool {
        matches!(self.stage, Stage::Aside(_)) && self.of == *of
    }

    /// Whether an undo can put it back.
    pub fn is_before(&self, of: &DatabaseName) -> bool {
        self.stage == Stage::Aside(Side::Before) && self.of == *of
    }

    /// One sentence for whoever lists the databases.
    pub fn sentence(&self) -> String {
        let of = &self.of;
        let from = self
            .backup
            .as_ref()
            .map_or_else(|| "a file".to_owned(), |backup| format!("backup {backup}"));
        match self.stage {
            Stage::Copy => format!(
                "being restored from {from}; what a killed restore left is removed by itself"
            ),
            Stage::Aside(Side::Before) => format!(
                "{of} as it was before the restore of {from}; `stackwarden restore --undo` puts it back, `--drop` removes it"
            ),
            Stage::Aside(Side::After) => format!(
                "{of} as it was after the restore of {from}, which was undone; `stackwarden restore --drop` removes it"
            ),
        }
    }
}
