//! What the journal tells: how migrations went, and what was tried last.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::board::{GatePicture, MigrationPicture, MigrationRuns, Pending};
use crate::domain::id::{Revision, ServiceName};
use crate::domain::migration::{LastGood, MigrationKey};
use crate::domain::unit::Timestamp;
use crate::journal::{Entry, Line};

/// The word for a migration that ran and ended well.
pub const SUCCEEDED: &str = "succeeded";
/// The word for a migration that had nothing to do.
pub const NOTHING_PENDING: &str = "nothing-pending";
/// The word for a migration that failed.
pub const FAILED: &str = "failed";

/// The last good run of each service's migration.
pub fn last_good(lines: &[Line]) -> BTreeMap<ServiceName, LastGood> {
    let mut found = BTreeMap::new();
    for line in lines {
        let Entry::Migration {
            service,
            outcome,
            key,
            after,
            ..
        } = &line.entry
        else {
            continue;
        };
        let service = ServiceName::new(service.clone());
        if outcome == FAILED {
            // After a failure nobody knows how far it came: the tool itself has to be asked.
            found.remove(&service);
        } else {
            let key = MigrationKey::from_journal(key.clone());
            let revision = after.clone().map(Revision::new);
            found.insert(
                service,
                LastGood {
                    key,
                    revision,
                    at: line.at,
                },
            );
        }
    }
    found
}

/// When anything was last migrated, successfully or not.
pub fn last_migrated(lines: &[Line]) -> Option<Timestamp> {
    let ran = lines.iter().rev().find(|line| {
        matches!(&line.entry, Entry::Migration { outcome, .. } if outcome != NOTHING_PENDING)
    });
    ran.map(|line| line.at)
}

/// How the gate got as far as the migrations, when it ever did not.
pub fn gate(lines: &[Line]) -> Option<GatePicture> {
    lines.iter().rev().find_map(|line| match &line.entry {
        Entry::Gate { error, .. } => Some(GatePicture {
            at: line.at,
            error: error.clone(),
        }),
        _ => None,
    })
}

/// The newest migration of each service, and how all of them ended.
pub fn migrations(lines: &[Line]) -> BTreeMap<ServiceName, MigrationPicture> {
    let mut found: BTreeMap<ServiceName, MigrationPicture> = BTreeMap::new();
    for line in lines {
        let Entry::Migration {
            service,
            outcome,
            before,
            after,
            seconds,
            error,
            ..
        } = &line.entry
        else {
            continue;
        };
        let service = ServiceName::new(service.clone());
        let mut runs: MigrationRuns = found.get(&service).map(|it| it.runs).unwrap_or_default();
        match outcome.as_str() {
            SUCCEEDED => runs.succeeded += 1,
            NOTHING_PENDING => runs.unchanged += 1,
            _ => runs.failed += 1,
        }
        let pending = if outcome == FAILED {
            Pending::Something
        } else {
            Pending::Nothing
        };
        let picture = MigrationPicture {
            at: line.at,
            outcome: outcome.clone(),
            before: before.clone(),
            after: after.clone(),
            took: Duration::try_from_secs_f64(*seconds).unwrap_or_default(),
            error: error.clone(),
            pending,
            runs,
        };
        found.insert(service, picture);
    }
    found
}
