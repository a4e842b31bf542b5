//! `/metrics`: from the picture to samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;

use super::{Answer, Shared};
use crate::board::{
    MigrationPicture, Pending, Picture, Reach, SeriesPicture, ServerPicture, ServicePicture,
};
use crate::domain::backup::{Backup, Content, Destination, Level, Proof, Series};
use crate::domain::failure;
use crate::domain::health::{ServiceVerdict, Verdict};
use crate::domain::id::{BackupId, ServiceName};
use crate::domain::job::{JobKind, JobState};
use crate::domain::objective::find_recovery_time;
use crate::domain::reread::last_read;
use crate::domain::unit::Timestamp;
use crate::http::series::shown_series;
use crate::http::wire::configuration_problems;
use crate::observe::metrics::{self, Scrape, count, database_label, seconds};

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Answer {
    let (picture, now) = shared.now();
    let make = || answer(&shared, &picture, now);
    shared.metrics.get(&picture, now, make)
}

fn answer(shared: &Shared, picture: &Picture, now: Timestamp) -> Answer {
    let mut scrape = shared.api.metrics.scrape();
    put_stack(&mut scrape, picture, now);
    if let Some(free) = picture.disk_free {
        scrape.put(&metrics::DISK_FREE, [&shared.api.folder], count(free.0));
    }
    for (name, verdict) in picture.service_verdicts(now) {
        if let Some(service) = picture.services.get(name) {
            put_service(&mut scrape, service, &verdict);
            let migration = picture.migrations.get(name);
            put_migration(&mut scrape, service, migration);
        }
    }
    for (channel, reach) in &picture.channels {
        if *reach != Reach::Unknown {
            let up = f64::from(*reach == Reach::Reached);
            scrape.put(&metrics::CHANNEL_UP, [channel.as_str()], up);
        }
    }
    for server in picture.servers.values() {
        put_server(&mut scrape, server);
    }
    let proven_roles = proven_roles(picture);
    for series in shown_series(picture) {
        if is_bare(picture, &series) {
            continue;
        }
        put_series(&mut scrape, picture, &series, &proven_roles, now);
    }
    match scrape.finish() {
        Ok(text) => Answer {
            status: StatusCode::OK,
            kind: metrics::CONTENT_TYPE,
            body: Bytes::from(text),
        },
        Err(error) => {
            tracing::error!(error = failure::chain(&error), "cannot encode metrics");
            Answer {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                kind: metrics::CONTENT_TYPE,
                body: Bytes::new(),
            }
        }
    }
}

/// Not tried yet since there is nothing to lose: a zero would say that it never succeeded, and wake somebody.
fn is_bare(picture: &Picture, series: &Series) -> bool {
    let server = picture.servers.get(&series.service);
    server.is_some_and(|it| it.has_nothing_to_lose(&series.content))
        && !picture.series.contains_key(series)
}

fn put_stack(scrape: &mut Scrape<'_>, picture: &Picture, now: Timestamp) {
    let verdict = picture.verdict(now);
    for state in Verdict::ALL {
        let value = f64::from(state == verdict);
        scrape.put(&metrics::STACK_HEALTH, [state.as_str()], value);
    }
    let problems = count(configuration_problems(picture).count() as u64);
    scrape.put(&metrics::CONFIG_ERRORS, [], problems);
    for kind in JobKind::ALL {
        let jobs = picture.jobs.iter().filter(|job| job.kind == kind);
        let running = jobs.filter(|job| matches!(job.state, JobState::Running { .. }));
        let running = count(running.count() as u64);
        scrape.put(&metrics::JOBS_IN_PROGRESS, [kind.as_str()], running);
    }
}

fn put_service(scrape: &mut Scrape<'_>, service: &ServicePicture, verdict: &ServiceVerdict) {
    let name = service.container.service.as_str();
    let up = f64::from(verdict.verdict != Verdict::Fail);
    scrape.put(&metrics::SERVICE_UP, [name], up);
    for state in Verdict::ALL {
        let value = f64::from(state == verdict.verdict);
        scrape.put(&metrics::SERVICE_HEALTH, [name, state.as_str()], value);
    }
    let restarts = u64::try_from(service.container.restarts).unwrap_or_default();
    scrape.put(&metrics::SERVICE_RESTARTS, [name], count(restarts));
    if let Some(reading) = &service.reading {
        let took = reading.took.as_secs_f64();
        scrape.put(&metrics::PROBE_DURATION, [name], took);
    }
    if let Some((cpu_seconds, memory)) = service.usage {
        scrape.put(&metrics::CONTAINER_CPU, [name], cpu_seconds);
        scrape.put(&metrics::CONTAINER_MEMORY, [name], count(memory.0));
    }
}

fn put_migration(
    scrape: &mut Scrape<'_>,
    service: &ServicePicture,
    migration: Option<&MigrationPicture>,
) {
    if service.migration.is_none() && migration.is_none() {
        return;
    }
    let name = service.container.service.as_str();
    let runs = migration.map(|it| it.runs).unwrap_or_default();
    for (outcome, runs) in [
        ("succeeded", runs.succeeded),
        ("unchanged", runs.unchanged),
        ("failed", runs.failed),
    ] {
        scrape.put(&metrics::MIGRATION_RUNS, [name, outcome], count(runs));
    }
    let Some(migration) = migration else { return };
    let took = migration.took.as_secs_f64();
    scrape.put(&metrics::MIGRATION_DURATION, [name], took);
    if migration.pending != Pending::Unknown {
        let pending = f64::from(migration.pending == Pending::Something);
        scrape.put(&metrics::MIGRATION_PENDING, [name], pending);
    }
}

fn put_server(scrape: &mut Scrape<'_>, server: &ServerPicture) {
    let name = server.service.as_str();
    if server.reach != Reach::Unknown {
        let up = f64::from(server.reach == Reach::Reached);
        scrape.put(&metrics::POSTGRES_UP, [name], up);
    }
    // Figures of a server that does not answer any more would look alive.
    let Some(vitals) = server.vitals.filter(|_| server.reach == Reach::Reached) else {
        return;
    };
    for (family, value) in [
        (&metrics::POSTGRES_CONNECTIONS, vitals.connections),
        (&metrics::POSTGRES_MAX_CONNECTIONS, vitals.max_connections),
        (&metrics::POSTGRES_SIZE, vitals.size.0),
        (
            &metrics::POSTGRES_LONGEST_TRANSACTION,
            vitals.longest_transaction_seconds,
        ),
    ] {
        scrape.put(family, [name], count(value));
    }
}

type ProvenRoles<'a> = BTreeMap<&'a ServiceName, Timestamp>;

fn put_series(
    scrape: &mut Scrape<'_>,
    picture: &Picture,
    series: &Series,
    proven_roles: &ProvenRoles<'_>,
    now: Timestamp,
) {
    let unknown = SeriesPicture::default();
    let state = picture.series.get(series).unwrap_or(&unknown);
    let (service, database) = (series.service.as_str(), database_label(&series.content));
    let labels = [service, database.as_ref()];

    let newest = state.backups.last().map(|backup| &backup.manifest);
    let success = newest.map(|manifest| manifest.snapshot_at);
    let attempt = state.last_attempt.max(success);
    let instant = |at: Option<Timestamp>| at.map_or(0.0, seconds);
    scrape.put(&metrics::LAST_ATTEMPT, labels, instant(attempt));
    put_destination(scrape, series, Destination::Disk, &state.backups);
    if picture.bucket.is_some() {
        put_destination(scrape, series, Destination::S3, &state.copies);
    }
    if let Some(manifest) = newest {
        let size = count(manifest.stored_size.0);
        scrape.put(&metrics::BACKUP_SIZE, labels, size);
    }
    let server = picture.servers.get(&series.service);
    if let Some(next) = server.and_then(|server| server.next_run) {
        scrape.put(&metrics::NEXT_RUN, labels, seconds(next));
    }
    let places = [
        (Destination::Disk, &state.backups),
        (Destination::S3, &state.copies),
    ];
    for (place, backups) in places {
        let sound = backups.iter().filter(|it| it.refutation().is_none());
        if let Some(read) = sound
            .filter_map(|it| last_read(it, place.as_str(), now))
            .min()
        {
            let values = [service, database.as_ref(), place.as_str()];
            scrape.put(&metrics::OLDEST_READ, values, seconds(read));
        }
    }
    let proofs = state.backups.iter().flat_map(|backup| &backup.proofs);
    if let Some(took) = find_recovery_time(proofs) {
        scrape.put(&metrics::RESTORE_DURATION, labels, took.as_secs_f64());
    }
    if series.content == Content::Globals
        && let Some(at) = proven_roles.get(&series.service)
    {
        let disk = Destination::Disk.as_str();
        let values = [service, database.as_ref(), disk, Level::Restore.as_str()];
        scrape.put(&metrics::LAST_VERIFIED, values, seconds(*at));
    }
    scrape.put_backup_counts(&series.service, &series.content);
}

/// How the backups of a series stand in one place.
fn put_destination(
    scrape: &mut Scrape<'_>,
    series: &Series,
    destination: Destination,
    backups: &[Arc<Backup>],
) {
    let (service, database) = (series.service.as_str(), database_label(&series.content));
    let place = destination.as_str();
    let labels = [service, database.as_ref(), place];
    let newest = backups.last().map(|it| it.manifest.snapshot_at);
    scrape.put(&metrics::LAST_SUCCESS, labels, newest.map_or(0.0, seconds));
    scrape.put(&metrics::KEPT, labels, count(backups.len() as u64));
    for (level, at) in verified(backups) {
        let values = [service, database.as_ref(), place, level.as_str()];
        scrape.put(&metrics::LAST_VERIFIED, values, seconds(at));
    }
}

/// Per level the snapshot of the newest backup that stands at it and is not suspect: a proof of an emptied
/// database vouches for nothing, so that the alert of unproven backups tells of it too. The snapshot's time and not the
/// proof's: proving an old backup once more must not make a newer one look proven.
fn verified(backups: &[Arc<Backup>]) -> BTreeMap<Level, Timestamp> {
    let levels = backups
        .iter()
        .filter(|backup| backup.is_trusted())
        .filter_map(|backup| Some((backup.level()?, backup.manifest.snapshot_at)));
    let mut newest: BTreeMap<Level, Timestamp> = BTreeMap::new();
    for (level, at) in levels {
        let known = newest.entry(level).or_insert(at);
        *known = at.max(*known);
    }
    newest
}

/// Roles have no proof of their own: they are restored and compared under each database that names them.
fn proven_roles(picture: &Picture) -> ProvenRoles<'_> {
    let mut proven = ProvenRoles::new();
    let mut snapshots: BTreeMap<(&ServiceName, &BackupId), Timestamp> = BTreeMap::new();
    for (series, state) in &picture.series {
        if series.content == Content::Globals {
            let taken = state.backups.iter().map(|backup| &backup.manifest);
            snapshots.extend(taken.map(|it| ((&series.service, &it.id), it.snapshot_at)));
        }
    }
    for (series, state) in &picture.series {
        for roles in state.backups.iter().filter_map(|it| roles_under_proof(it)) {
            if let Some(at) = snapshots.get(&(&series.service, roles)) {
                let newest = proven.entry(&series.service).or_insert(*at);
                *newest = (*newest).max(*at);
            }
        }
    }
    proven
}

fn roles_under_proof(backup: &Backup) -> Option<&BackupId> {
    let restored = |proof: &Proof| proof.is_good() && proof.level >= Some(Level::Restore);
    let is_proven = backup.proofs.iter().any(restored);
    backup.manifest.globals.as_ref().filter(|_| is_proven)
}
