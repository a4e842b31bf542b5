//! Names and identifiers, each its own type so that none can stand in another's place.

use std::fmt;

use chrono::{NaiveDateTime, TimeDelta};
use thiserror::Error;

use super::unit::Timestamp;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Wraps a name that its source already guarantees.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// A Compose project.
    ProjectName;
    /// A service of a Compose project.
    ServiceName;
    /// A database inside a server, in its own spelling.
    DatabaseName;
    /// A Docker container's id (64 hexadecimal digits).
    ContainerId;
    /// A Docker image's id, not its tag.
    ImageId;
    /// A migration tool's revision as the tool itself writes it.
    Revision;
    /// One run of a job in this process.
    JobId;
}

/// How the ids of a gate's runs begin. The names of its sessions in Postgres contain them, so that a sidecar that starts
/// beside it can tell them from those of its own predecessor.
pub const GATE_RUN: &str = "gate";

/// A database as users name it: `service/database`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseRef {
    /// The service that runs the server.
    pub service: ServiceName,
    /// The database inside it.
    pub database: DatabaseName,
}

impl DatabaseRef {
    /// Joins both names.
    pub fn new(service: ServiceName, database: DatabaseName) -> Self {
        Self { service, database }
    }
}

impl fmt::Display for DatabaseRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.service, self.database)
    }
}

/// A backup's name: `20260121T020000Z-3f9c`, the snapshot's second in UTC and four random hex digits.
///
/// The order of ids is the order of time, whatever the folder's own order is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

const ID_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Why a text is no backup id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a backup id such as 20260121T020000Z-3f9c")]
pub struct BackupIdError(pub String);

impl BackupId {
    /// Builds the id of a backup begun at `at` with two random bytes.
    pub fn build(at: Timestamp, random: [u8; 2]) -> Self {
        let [high, low] = random;
        Self(format!("{}-{high:02x}{low:02x}", at.format(ID_FORMAT)))
    }

    /// The same, behind the newest one of its series: ids are the order of backups, and two of one second would stand in
    /// an order of chance.
    pub fn build_after(newest: Option<&Self>, at: Timestamp, random: [u8; 2]) -> Self {
        let id = Self::build(at, random);
        let stamp = at.format(ID_FORMAT).to_string();
        let taken = newest.and_then(|newest| newest.0.strip_prefix(&stamp)?.strip_prefix('-'));
        let taken = taken.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        match taken {
            Some(taken) if taken >= u16::from_be_bytes(random) => match taken.checked_add(1) {
                Some(next) => Self::build(at, next.to_be_bytes()),
                None => Self::build(at + TimeDelta::seconds(1), random),
            },
            _ => id,
        }
    }

    /// Reads an id back.
    ///
    /// # Errors
    /// When the text has another shape; retrying is useless.
    pub fn parse(text: &str) -> Result<Self, BackupIdError> {
        let wrong = || BackupIdError(text.to_owned());
        let (time, random) = text.split_once('-').ok_or_else(wrong)?;
        NaiveDateTime::parse_from_str(time, ID_FORMAT).map_err(|_not_a_time| wrong())?;
        let hex = random.len() == 4
            && random
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_built() {
        let at = "2026-01-21T02:00:00Z".parse().unwrap();
        let id = BackupId::build(at, [0x3f, 0x9c]);
        assert_eq!(id.to_string(), "20260121T020000Z-3f9c");
        assert_eq!(BackupId::parse(&id.to_string()), Ok(id));
    }

    #[test]
    fn two_of_one_second_stand_in_the_order_they_were_taken() {
        let at: Timestamp = "2026-01-21T02:00:00Z".parse().unwrap();
        for (taken, random) in [
            (0x71e3, 0x2c7d),
            (0x71e3, 0x71e3),
            (0x2c7d, 0x71e3),
            (0xffff, 7),
        ] {
            let first = BackupId::build(at, u16::to_be_bytes(taken));
            let second = BackupId::build_after(Some(&first), at, u16::to_be_bytes(random));
            assert!(second > first, "{first} {second}");
            assert_eq!(BackupId::parse(&second.0), Ok(second));
            // A clock set back makes no ids of the future.
            let before = at - TimeDelta::hours(1);
            let earlier = BackupId::build_after(Some(&first), before, u16::to_be_bytes(random));
            assert_eq!(earlier, BackupId::build(before, u16::to_be_bytes(random)));
        }
    }

    #[test]
    fn other_shapes_are_no_ids() {
        for text in [
            "",
            "20260121T020000Z",
            "20260121T020000Z-3F9C",
            "20261321T020000Z-3f9c",
            "../x-3f9c",
        ] {
            assert!(BackupId::parse(text).is_err(), "{text:?}");
        }
    }
}
