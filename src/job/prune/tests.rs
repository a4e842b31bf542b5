//! Pruning does what the plan says and no more, whatever the destination answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;

use super::*;
use crate::domain::backup::{Level, example_backup, example_proof};
use crate::domain::id::{DatabaseName, ProjectName, ServiceName};
use crate::domain::policy::KeepPolicy;
use crate::domain::schedule::{Schedule, Zone};
use crate::store::disk::Listing;

/// A destination that refuses some ids, as object lock does.
struct Locked(Vec<BackupId>, AtomicUsize);

impl Remover for Locked {
    async fn remove(&self, manifest: &Manifest) -> Result<(), Refusal> {
        self.1.fetch_add(1, Ordering::Relaxed);
        if self.0.contains(&manifest.id) {
            return Err(Refusal::One("the object is locked until 2027".to_owned()));
        }
        Ok(())
    }
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn series(database: &str) -> Series {
    Series {
        project: ProjectName::new("p"),
        service: ServiceName::new("postgres"),
        content: match database {
            "globals" => Content::Globals,
            name => Content::Database(DatabaseName::new(name)),
        },
    }
}

/// Verified backups of so many hours ago, oldest first; each restores on top of the roles of its hour.
fn shelf(database: &str, hours: &[i64]) -> (Series, Vec<Backup>) {
    let series = series(database);
    let backups = hours.iter().map(|hours| {
        let mut backup = example_backup(vec![example_proof(Some(Level::Content))]);
        let at = now() - TimeDelta::hours(*hours);
        backup.manifest.id = BackupId::build(at, [0, 0]);
        backup.manifest.snapshot_at = at;
        backup.manifest.series = series.clone();
        let is_database = series.content != Content::Globals;
        backup.manifest.globals = is_database.then(|| BackupId::build(at, [0, 0]));
        backup
    });
    let backups = backups.collect();
    (series, backups)
}

fn listing(shelves: Vec<(Series, Vec<Backup>)>) -> Listing {
    Listing {
        series: shelves.into_iter().collect(),
        ..Listing::default()
    }
}

async fn prune<R: Remover + Sync>(listing: &Listing, behind: &[&str], remover: &R) -> Pruned {
    let rules = Rules {
        keep: KeepPolicy {
            within: None,
            last: 1,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
        },
        verify: Level::Content,
        schedule: Schedule::parse("0 2 * * *", Zone::UTC).unwrap(),
    };
    let plan = PrunePlan {
        destination: "disk",
        stock: listing.stock(&ServiceName::new("postgres")),
        rules: &rules,
        behind: &behind.iter().map(|it| series(it)).collect(),
    };
    run(&plan, remover, now()).await
}

fn told(removed: &[Removed]) -> Vec<String> {
    let told = removed.iter();
    told.map(|it| format!("{} {} {}", it.destination, it.series, it.id))
        .collect()
}

#[tokio::test]
async fn roles_stay_with_a_backup_that_could_not_be_removed() {
    let hours = [30, 20, 10];
    let listing = listing(vec![shelf("app", &hours), shelf("globals", &hours)]);
    let id = |hours| BackupId::build(now() - TimeDelta::hours(hours), [0, 0]);
    let free = Locked(Vec::new(), AtomicUsize::new(0));
    let pruned = prune(&listing, &["app", "globals"], &free).await;
    let both = |hours| [id(hours), id(hours)];
    let gone: Vec<BackupId> = pruned.removed.iter().map(|it| it.id.clone()).collect();
    assert_eq!(gone, [both(30)[0].clone(), id(20), id(30), id(20)]);
    assert_eq!(
        told(&pruned.removed)[0],
        format!("disk postgres/app {}", id(30))
    );

    let locked = Locked(vec![id(30)], AtomicUsize::new(0));
    let listing = self::listing(vec![shelf("app", &hours), shelf("globals", &[30, 20, 10])]);
    let pruned = prune(&listing, &["app", "globals"], &locked).await;
    let refused = &pruned.refused[0];
    assert_eq!((refused.id.clone(), pruned.refused.len()), (id(30), 1));
    assert!(
        refused.reason.starts_with("cannot remove: ") && refused.reason.contains("locked until")
    );
    let gone: Vec<BackupId> = pruned.removed.iter().map(|it| it.id.clone()).collect();
    assert_eq!(gone, [id(20), id(20)]);
    // Its roles were not even tried.
    assert_eq!(locked.1.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn nothing_goes_of_a_series_that_was_not_just_backed_up() {
    let hours = [30, 20, 10];
    let shelves = || {
        ["app", "other", "globals"]
            .map(|it| shelf(it, &hours))
            .to_vec()
    };
    let free = Locked(Vec::new(), AtomicUsize::new(0));
    let listing = listing(shelves());
    let pruned = prune(&listing, &["app"], &free).await;
    assert!(pruned.removed.iter().all(|it| it.series == series("app")));
    assert_eq!(pruned.removed.len(), 2);
    // What the other one still has keeps its roles, however the plan judges it.
    let pruned = prune(&listing, &["app", "globals"], &free).await;
    assert!(pruned.removed.iter().all(|it| it.series == series("app")));
    assert_eq!(prune(&listing, &[], &free).await, Pruned::default());
}

/// A key that may write and not remove.
struct WriteOnly(AtomicUsize);

impl Remover for WriteOnly {
    async fn remove(&self, _manifest: &Manifest) -> Result<(), Refusal> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(Refusal::Every("the key may not remove".to_owned()))
    }
}

#[tokio::test]
async fn a_key_that_may_not_remove_is_asked_once() {
    let hours = [50, 40, 30, 20, 10];
    let listing = listing(vec![shelf("app", &hours), shelf("globals", &hours)]);
    let key = WriteOnly(AtomicUsize::new(0));
    let pruned = prune(&listing, &["app", "globals"], &key).await;
    assert_eq!(key.0.load(Ordering::Relaxed), 1);
    assert_eq!((pruned.removed.len(), pruned.refused.len()), (0, 1));
}
