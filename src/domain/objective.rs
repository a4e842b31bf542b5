//! What a stack promises itself: how old its newest backup may be, and how long a restore may take.

use std::fmt;
use std::time::Duration;

use super::backup::{Backup, Proof, Standing};
use super::unit::{Timestamp, format_age};

/// The objectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objectives {
    /// `STACKWARDEN_RPO`
    pub recovery_point: Duration,
    /// `STACKWARDEN_RTO`
    pub recovery_time: Duration,
}

/// An objective that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// More would be lost than may be.
    Point {
        /// How old the newest backup is.
        age: Duration,
        /// How old it may be.
        objective: Duration,
    },
    /// A restore takes longer than it may.
    Time {
        /// How long the newest test restore took.
        took: Duration,
        /// How long it may take.
        objective: Duration,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point { age, objective } => write!(
                formatter,
                "the newest backup is {} old, and STACKWARDEN_RPO allows {}",
                in_hours(*age),
                in_hours(*objective)
            ),
            Self::Time { took, objective } => write!(
                formatter,
                "the last test restore took {}, and STACKWARDEN_RTO allows {}",
                in_hours(*took),
                in_hours(*objective)
            ),
        }
    }
}

impl Objectives {
    /// What one database's backups do not meet. Where there is none, its age counts from `since`, when we began to
    /// look.
    pub fn judge<'a>(
        &self,
        backups: impl IntoIterator<Item = &'a Backup>,
        since: Timestamp,
        now: Timestamp,
    ) -> Vec<Breach> {
        let all: Vec<&Backup> = backups.into_iter().collect();
        let sound = all.iter().filter(|it| it.standing() != Standing::Refuted);
        let taken = sound
            .map(|it| it.manifest.snapshot_at)
            .filter(|at| *at <= now);
        let age = now - taken.max().unwrap_or(since);
        let age = age.to_std().unwrap_or_default();
        let took = find_recovery_time(all.iter().flat_map(|it| &it.proofs)).unwrap_or_default();
        let point = Breach::Point {
            age,
            objective: self.recovery_point,
        };
        let time = Breach::Time {
            took,
            objective: self.recovery_time,
        };
        let is_late = (age > self.recovery_point).then_some(point);
        let is_slow = (took > self.recovery_time).then_some(time);
        is_late.into_iter().chain(is_slow).collect()
    }
}

/// Objectives are hours, and a day may hide almost another one.
fn in_hours(time: Duration) -> String {
    match time.as_secs() / 3_600 {
        0 => format_age(time),
        hours => format!("{hours}h"),
    }
}

/// How long the newest test restore took.
pub fn find_recovery_time<'a>(proofs: impl IntoIterator<Item = &'a Proof>) -> Option<Duration> {
    let restored = proofs
        .into_iter()
        .filter_map(|it| Some((it.at, it.restore_took?)));
    restored.max_by_key(|(at, _)| *at).map(|(_, took)| took)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::backup::{Level, example_backup, example_proof};

    #[test]
    fn the_newest_sound_backup_and_the_newest_restore_are_judged() {
        let objectives = Objectives {
            recovery_point: Duration::from_hours(24),
            recovery_time: Duration::from_hours(4),
        };
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let now = start + TimeDelta::hours(30);
        let taken = |hours: i64, level, restore_hours| {
            let mut proof = example_proof(level);
            proof.at = start + TimeDelta::hours(hours);
            proof.restore_took = Some(Duration::from_hours(restore_hours));
            let mut backup = example_backup(vec![proof]);
            backup.manifest.snapshot_at = start + TimeDelta::hours(hours);
            backup
        };
        let told = |backups: &[Backup]| -> Vec<String> {
            let breaches = objectives.judge(backups, start, now);
            breaches.iter().map(ToString::to_string).collect()
        };
        let good = Some(Level::Content);
        assert_eq!(told(&[taken(1, good, 9), taken(20, good, 1)]), [""; 0]);
        // A newer one that did not prove, and one of tomorrow, are none.
        let late = told(&[taken(5, good, 5), taken(29, None, 5), taken(40, good, 5)]);
        assert_eq!(
            late,
            [
                "the newest backup is 25h old, and STACKWARDEN_RPO allows 24h",
                "the last test restore took 5h, and STACKWARDEN_RTO allows 4h",
            ]
        );
        assert_eq!(told(&[]).len(), 1);
        assert_eq!(objectives.judge(&[], now, now), []);
    }
}
