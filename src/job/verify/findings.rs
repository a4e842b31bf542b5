//! What the parts of a proof found out, put together.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::backup::{Level, Recipient};
use crate::domain::comparison::{Difference, ObjectComparison, ObjectKind};
use crate::domain::room::Shortage;
use crate::domain::unit::ByteCount;

/// How many differences are kept: the first one tells, a thousand tell no more.
const KEPT_DIFFERENCES: usize = 100;

/// What a proof found out.
#[derive(Debug, Default)]
pub(in crate::job) struct Findings {
    pub(in crate::job) level: Option<Level>,
    pub(in crate::job) reason: Option<String>,
    pub(in crate::job) awaits_room: Option<ByteCount>,
    pub(in crate::job) awaits_key: Option<BTreeSet<Recipient>>,
    pub(in crate::job) restore_took: Option<Duration>,
    pub(in crate::job) compared: Vec<ObjectComparison>,
    pub(in crate::job) differences: Vec<Difference>,
    /// That the archive's schema is not the recorded one.
    pub(in crate::job) other_schema: Option<Difference>,
}

impl Findings {
    pub(in crate::job) fn wrong_bytes(what: &str, file: &str) -> Self {
        let difference = Difference {
            kind: ObjectKind::File,
            name: file.to_owned(),
            what: what.to_owned(),
        };
        Self {
            differences: vec![difference],
            ..Self::default()
        }
    }

    pub(in crate::job) fn stepped_down(level: Level, reason: String) -> Self {
        Self {
            level: Some(level),
            reason: Some(reason),
            ..Self::default()
        }
    }

    /// Nothing is wrong that some free space would not cure.
    pub(in crate::job) fn without_room(shortage: Shortage) -> Self {
        let reason = format!("Docker's disk has too little room for a copy: {shortage}");
        Self {
            awaits_room: Some(shortage.needed),
            ..Self::stepped_down(Level::Archive, reason)
        }
    }

    /// Nothing is wrong that another key than these would not cure.
    pub(in crate::job) fn without_key(
        level: Level,
        reason: String,
        tried: BTreeSet<Recipient>,
    ) -> Self {
        Self {
            awaits_key: Some(tried),
            ..Self::stepped_down(level, reason)
        }
    }

    /// The same of a copy in a server of another major version: what is equal there is equal, and what differs may be the
    /// versions' doing, as a dump that is refused may be. So it refutes nothing.
    #[must_use]
    pub(in crate::job) fn across(self, dumped_from: u32, restored_into: u32) -> Self {
        match self.differences.first() {
            Some(first) if dumped_from != restored_into => {
                let reason = format!(
                    "it was dumped from PostgreSQL {dumped_from} and restored into {restored_into}, where it differs, which need not be its fault: {first}"
                );
                Self::stepped_down(Level::Archive, reason)
            }
            _ => self,
        }
    }

    pub(in crate::job) fn without(reason: &str) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    pub(in crate::job) fn differ(&mut self, differences: Vec<Difference>) {
        let room = KEPT_DIFFERENCES.saturating_sub(self.differences.len());
        self.differences.extend(differences.into_iter().take(room));
    }

    /// Adds what another comparison found; the first reason stays, the last level counts.
    pub(in crate::job) fn absorb(&mut self, other: Self) {
        self.level = other.level.or(self.level);
        self.reason = self.reason.take().or(other.reason);
        self.compared.extend(other.compared);
        self.differ(other.differences);
        self.other_schema = self.other_schema.take().or(other.other_schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_another_major_version_refutes_nothing() {
        let wrong = || Findings::wrong_bytes("refused", "x.dump");
        let here = wrong().across(17, 17);
        assert_eq!((here.differences.len(), here.level), (1, None));
        let elsewhere = wrong().across(15, 17);
        assert_eq!(
            (elsewhere.differences.len(), elsewhere.level),
            (0, Some(Level::Archive))
        );
        assert!(elsewhere.reason.unwrap().contains("from PostgreSQL 15"));
        let equal = Findings::stepped_down(Level::Content, "equal".to_owned()).across(15, 17);
        assert_eq!(equal.level, Some(Level::Content));
    }
}
