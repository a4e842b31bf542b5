//! What a job is doing right now, for whoever waits for it.

use super::unit::ByteCount;

/// The steps that take long enough to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// pg_dump writes.
    Dumping,
    /// The written file is read and decoded.
    Checking,
    /// The stored file is read.
    Reading,
    /// The throw-away server starts, or another proof on this host is waited for.
    Starting,
    /// The dump is restored into it.
    Restoring,
    /// The copy is compared, or counted.
    Comparing,
    /// A backup is taken of what a restore is going to replace.
    Securing,
    /// The copy takes the live database's place.
    Swapping,
    /// The file goes into the bucket.
    Copying,
    /// An old server's data is copied, and recovered in the copy.
    Reviving,
}

impl Step {
    /// Words for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dumping => "dumping",
            Self::Checking => "checking what was written",
            Self::Reading => "reading what is stored",
            Self::Starting => "starting the throw-away server",
            Self::Restoring => "restoring",
            Self::Comparing => "comparing",
            Self::Securing => "taking a backup of what is there",
            Self::Swapping => "swapping",
            Self::Copying => "copying into the bucket",
            Self::Reviving => "copying the old data",
        }
    }
}

/// A job's present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    /// `service/database`, or a file.
    pub subject: String,
    /// What.
    pub step: Step,
    /// So many bytes so far, where they pass by us.
    pub done: Option<ByteCount>,
    /// Of so many; of a dump that is a guess, from the last one.
    pub total: Option<ByteCount>,
}
