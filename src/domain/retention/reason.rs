//! The closed list of reasons for which a backup stays.

use std::fmt;

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeepReason {
    /// It is the newest of its series.
    Newest,
    /// It is the newest verified one.
    NewestVerified,
    /// A backup of the series is suspect and nobody has decided.
    Suspect,
    /// The newest success is older than two intervals of the schedule: backups fail.
    BackupsFail,
    /// None of the series is verified.
    NoneVerified,
    /// It is verified, and the newest verified one is older than two intervals: proofs fail.
    ProofsFail,
    /// Nobody has tried to prove it yet.
    ProofOwed,
    /// Its date lies ahead of the clock, so its age is not known.
    Future,
    /// Its manifest names another database than its folder.
    Foreign,
    /// It was taken from another server or database than the newest one.
    OtherOrigin,
    /// Its acceptance speaks for older ones.
    Speaks,
    /// A database backup that stays restores on top of it.
    ReferredTo,
    /// A manifest of its service cannot be read, and may name it.
    Unreadable,
    /// It stands where this destination is filled from.
    Upstream,
    /// A manifest there cannot be read, and may be its own.
    UnreadableUpstream,
    /// The policy keeps nothing at all, which nobody means.
    NoRule,
    /// Younger than `within`.
    Within,
    /// It undoes a young migration or restore.
    Undo,
    /// Among the newest so many.
    Last,
    /// One of a day.
    Daily,
    /// One of a week.
    Weekly,
    /// One of a month.
    Monthly,
    /// One of a year.
    Yearly,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Newest => "the newest",
            Self::NewestVerified => "the newest verified",
            Self::Suspect => "a backup of the series is suspect and nobody has decided",
            Self::BackupsFail => "the newest success is older than two intervals of the schedule",
            Self::NoneVerified => "none of the series is verified",
            Self::ProofsFail => {
                "verified, and the newest verified is older than two intervals of the schedule"
            }
            Self::ProofOwed => "not proven yet",
            Self::Future => "dated in the future",
            Self::Foreign => "its manifest names another database than its folder",
            Self::OtherOrigin => "taken from another server or database than the newest",
            Self::Speaks => "its acceptance speaks for older ones",
            Self::ReferredTo => "a database backup restores on top of it",
            Self::Unreadable => "a manifest of its service cannot be read and may need it",
            Self::Upstream => "it stands on disk, and would be copied again",
            Self::UnreadableUpstream => {
                "a manifest of its service on disk cannot be read and may be its own"
            }
            Self::NoRule => "the policy keeps nothing",
            Self::Within => "within",
            Self::Undo => "undoes a young migration or restore",
            Self::Last => "last",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
}
