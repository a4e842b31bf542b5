//! What happened, in order: an append-only file of JSON lines shared by the sidecar, the gate and commands
//! run by hand.
//!
//! One line per `write`, under a file lock; a torn last line (a kill in mid-write) is skipped when reading
//! and closed by the next write. State that matters is in manifests and in Postgres: the journal only tells
//! what was tried and how migrations went.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::unit::Timestamp;

/// The version of a line that is written; lines of a higher one are skipped.
const VERSION: u32 = 1;

/// Why the journal could not be used.
#[derive(Debug, Error)]
#[error("{operation} the journal {}; check that the state folder can be written to", .path.display())]
pub struct JournalError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Entry {
    /// A backup of one series ended.
    Backup {
        /// `service/database` or `service/globals`.
        subject: String,
        /// `succeeded`, `failed`, `cancelled`.
        outcome: String,
        /// Its id, when there is one.
        id: Option<String>,
        /// Why not.
        error: Option<String>,
    },
    /// A proof ended.
    Proof {
        /// `service/database`.
        subject: String,
        /// `succeeded`, `failed`, `cancelled`.
        outcome: String,
        /// The backup.
        id: String,
        /// What was found.
        detail: String,
    },
    /// A backup was copied into the bucket and read back, or that failed.
    Copy {
        /// `service/database` or `service/globals`.
        subject: String,
        /// `succeeded`, `failed`, `cancelled`.
        outcome: String,
        /// The backup.
        id: String,
        /// What was found.
        detail: String,
    },
    /// Somebody accepted a suspect backup, or tried to.
    Acceptance {
        /// `service/database`.
        subject: String,
        /// `succeeded`, `failed`.
        outcome: String,
        /// The backup.
        id: String,
        /// What was accepted, or why nothing was.
        detail: String,
    },
    /// Retention removed a backup, or could not.
    Removal {
        /// `service/database` or `service/globals`.
        subject: String,
        /// From where.
        destination: String,
        /// `succeeded`, `failed`.
        outcome: String,
        /// The backup.
        id: String,
        /// Why, or what kept it.
        detail: String,
    },
    /// A stored backup was read again.
    Reading {
        /// `service/database` or `service/globals`.
        subject: String,
        /// `succeeded`, `failed`, `cancelled`.
        outcome: String,
        /// The backup.
        id: String,
        /// What was found.
        detail: String,
    },
    /// A restore ended.
    Restore {
        /// `service/database`, or what was asked for.
        subject: String,
        /// `succeeded`, `failed`, `cancelled`.
        outcome: String,
        /// The backup that was restored.
        id: Option<String>,
        /// What was done, or why nothing.
        detail: String,
        /// How long it took.
        seconds: f64,
        /// How long nobody could connect, where names were exchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        downtime_seconds: Option<f64>,
    },
    /// A migration ended.
    Migration {
        /// The service.
        service: String,
        /// `succeeded`, `failed`, `nothing-pending`.
        outcome: String,
        /// What the run was made of: image content, command, configuration, database.
        key: String,
        /// Revision before.
        before: Option<String>,
        /// Revision after.
        after: Option<String>,
        /// How long the command ran.
        seconds: f64,
        /// Why it failed, when it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The gate stayed closed before any migration began, or opened again after that.
    Gate {
        /// `failed`, `succeeded`.
        outcome: String,
        /// Why it stayed closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A channel took a message about something that fails or is well again.
    Alarm {
        /// `telegram`.
        channel: String,
        /// About what.
        topic: String,
        /// `began`, `lasts`, `recovered`.
        change: String,
        /// Since when it fails.
        since: Timestamp,
    },
}

/// An entry with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// The handle of one journal file.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal in a state folder; nothing is touched yet.
    pub fn new(state_folder: &Path) -> Self {
        Self {
            path: state_folder.join("journal.jsonl"),
        }
    }

    /// Appends one line and syncs it.
    ///
    /// # Errors
    /// When the file cannot be written; the job it tells of is not undone by that.
    pub fn append(&self, at: Timestamp, entry: Entry) -> Result<(), JournalError> {
        let failed = |operation| move |source| self.error(operation, source);
        let line = Line {
            v: VERSION,
            at,
            entry,
        };
        let mut bytes = serde_json::to_vec(&line)
            .map_err(|error| self.error("encode a line of", error.into()))?;
        bytes.push(b'\n');
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true).mode(0o640);
        let mut file = options.open(&self.path).map_err(failed("open"))?;
        file.lock().map_err(failed("lock"))?;
        if ends_torn(&mut file).map_err(failed("read"))? {
            bytes.insert(0, b'\n');
        }
        file.write_all(&bytes).map_err(failed("write"))?;
        file.sync_data().map_err(failed("sync"))
    }

    /// Every line that can be read, oldest first; a journal that is not there is empty.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self) -> Result<Vec<Line>, JournalError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.error("read", source)),
        };
        let lines = bytes.split(|byte| *byte == b'\n');
        Ok(lines
            .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
            .filter(|line| line.v <= VERSION)
            .collect())
    }

    fn error(&self, operation: &'static str, source: io::Error) -> JournalError {
        JournalError {
            operation,
            path: self.path.clone(),
            source,
        }
    }
}

/// Whether the last line was cut off by a kill.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8; 1];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-01-21T02:00:00Z".parse().unwrap()
    }

    fn entry(id: &str) -> Entry {
        Entry::Proof {
            subject: "postgres/app".into(),
            outcome: "succeeded".into(),
            id: id.into(),
            detail: "content".into(),
        }
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        assert!(journal.read().unwrap().is_empty());
        journal.append(at(), entry("a")).unwrap();
        let path = folder.path().join("journal.jsonl");
        let whole = std::fs::read(&path).unwrap();
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..whole.len() / 2]);
        std::fs::write(&path, torn).unwrap();
        journal.append(at(), entry("b")).unwrap();
        let entries: Vec<Entry> = journal
            .read()
            .unwrap()
            .into_iter()
            .map(|line| line.entry)
            .collect();
        assert_eq!(entries, [entry("a"), entry("b")]);
    }

    #[test]
    fn writers_at_the_same_time_keep_every_line_whole() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &'static str| {
            let journal = Journal::new(folder.path());
            move || (0..50).for_each(|_| journal.append(at(), entry(name)).unwrap())
        };
        std::thread::scope(|scope| {
            scope.spawn(write("a"));
            scope.spawn(write("b"));
        });
        assert_eq!(Journal::new(folder.path()).read().unwrap().len(), 100);
    }
}
