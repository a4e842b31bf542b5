//! From the picture to the wire; pure, and used by the CLI in place of a sidecar too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;

use super::{
    BackupWire, BackupsWire, BucketWire, CheckWire, ChecksWire, CopiesWire, CopyWire, DatabaseWire,
    DatabasesWire, DoingWire, HealthChecksWire, HealthWire, JobWire, JobsWire, MigrationWire,
    MigrationsWire, PartWire, ProofWire, ServiceWire, StackWire, VerifiedWire,
};
use crate::board::{BucketPicture, JobPicture, Pending, Picture, Reach, SeriesPicture};
use crate::domain::backup::{Backup, Counted, Destination, Proof, Series, Standing, copy, latest};
use crate::domain::health::{ServiceVerdict, Verdict, judge_stack};
use crate::domain::id::{BackupId, DatabaseRef, ServiceName};
use crate::domain::job::{JobPart, JobState};
use crate::domain::policy::Importance;
use crate::domain::progress::Doing;
use crate::domain::restore::known;
use crate::domain::unit::Timestamp;
use crate::http::series::shown_series;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything at a glance.
pub fn stack(picture: &Picture, now: Timestamp) -> StackWire {
    let verdicts = picture.service_verdicts(now);
    let services = verdicts
        .iter()
        .map(|(name, verdict)| service(picture, name, verdict));
    StackWire {
        project: picture.project.to_string(),
        verdict: picture.verdict(now).as_str().to_owned(),
        version: VERSION.to_owned(),
        started_at: time(picture.started_at),
        at: time(now),
        services: services.collect(),
        databases: databases(picture, now).databases,
        bucket: picture.bucket.as_ref().map(bucket),
        jobs: jobs(picture, now).jobs,
        concerns: picture.concerns(now),
    }
}

fn bucket(bucket: &BucketPicture) -> BucketWire {
    BucketWire {
        place: bucket.place.clone(),
        reach: reach_word(&bucket.reach).to_owned(),
        findings: bucket.findings.clone(),
    }
}

fn service(picture: &Picture, name: &ServiceName, verdict: &ServiceVerdict) -> ServiceWire {
    let container = picture.services.get(name).map(|it| &it.container);
    let importance = match verdict.importance {
        Importance::Required => "required",
        Importance::Optional => "optional",
    };
    ServiceWire {
        name: name.to_string(),
        verdict: verdict.verdict.as_str().to_owned(),
        importance: importance.to_owned(),
        reason: verdict.reason.clone(),
        image: container.map(|it| it.image.clone()).unwrap_or_default(),
        restarts: container.map(|it| it.restarts).unwrap_or_default(),
    }
}

/// Each database that is backed up, and how its backups stand.
pub fn databases(picture: &Picture, now: Timestamp) -> DatabasesWire {
    let series = shown_series(picture).into_iter();
    let databases = series.filter_map(|series| database(picture, &series, now));
    DatabasesWire {
        databases: databases.collect(),
    }
}

fn database(picture: &Picture, series: &Series, now: Timestamp) -> Option<DatabaseWire> {
    let name = series.content.database()?;
    let unknown = SeriesPicture::default();
    let state = picture.series.get(series).unwrap_or(&unknown);
    let server = picture.servers.get(&series.service);
    let newest = state.backups.last();
    let age = newest.map(|it| (now - it.manifest.snapshot_at).to_std().unwrap_or_default());
    let verified = state.backups.iter().rev().find(|it| it.is_verified());
    Some(DatabaseWire {
        service: series.service.to_string(),
        database: name.to_string(),
        server: reach_word(server.map_or(&Reach::Unknown, |it| &it.reach)).to_owned(),
        next_run: server.and_then(|it| it.next_run).map(time),
        last_attempt: state.last_attempt.map(time),
        last_error: state.last_error.clone(),
        kept: state.backups.len(),
        newest: newest.map(|it| backup(it)),
        age_seconds: age.map(|it| it.as_secs()),
        newest_verified: verified.map(|it| self::verified(it)),
        latest: latest(known(None, &state.backups, &state.copies)).map(self::verified),
        s3: picture.bucket.as_ref().map(|_| copies(state)),
    })
}

fn copies(state: &SeriesPicture) -> CopiesWire {
    let newest = state.copies.last();
    CopiesWire {
        kept: state.copies.len(),
        missing: copy::count_missing(&state.backups, &state.copies),
        newest: newest.map(|it| time(it.manifest.snapshot_at)),
        level: newest.and_then(|it| it.level()).map(|it| it.to_string()),
        standing: newest.map(|it| standing_word(it).to_owned()),
        error: state.copy_error.clone(),
    }
}

fn verified(backup: &Backup) -> VerifiedWire {
    VerifiedWire {
        id: backup.manifest.id.to_string(),
        at: time(backup.manifest.snapshot_at),
        level: backup.level().map_or_else(String::new, |it| it.to_string()),
    }
}

/// Every complete backup, or those of one database.
pub fn backups(picture: &Picture, only: Option<&DatabaseRef>) -> BackupsWire {
    let is_wanted = |series: &Series| {
        only.is_none_or(|only| {
            series.service == only.service && series.content.database() == Some(&only.database)
        })
    };
    let series = picture.series.iter().filter(|(it, _)| is_wanted(it));
    BackupsWire {
        backups: series.flat_map(|(_, state)| everywhere(state)).collect(),
        problems: picture.unread().cloned().collect(),
    }
}

/// A series' backups wherever they are, oldest first: one that is on disk is told as it stands there.
fn everywhere(state: &SeriesPicture) -> Vec<BackupWire> {
    let mut found: BTreeMap<&BackupId, BackupWire> = BTreeMap::new();
    let places = [
        (Destination::Disk, &state.backups),
        (Destination::S3, &state.copies),
    ];
    for (destination, backups) in places {
        for it in backups {
            let wire = found.entry(&it.manifest.id).or_insert_with(|| backup(it));
            wire.destinations.push(CopyWire {
                destination: destination.as_str().to_owned(),
                level: it.level().map(|level| level.to_string()),
                standing: standing_word(it).to_owned(),
            });
        }
    }
    found.into_values().collect()
}

fn standing_word(backup: &Backup) -> &'static str {
    match backup.standing() {
        Standing::Unproven => "unproven",
        Standing::Proven(_) => "proven",
        Standing::Refuted => "refuted",
    }
}

fn backup(backup: &Backup) -> BackupWire {
    let manifest = &backup.manifest;
    let database = manifest.series.content.database();
    BackupWire {
        id: manifest.id.to_string(),
        service: manifest.series.service.to_string(),
        content: database.map_or("globals", |_| "database").to_owned(),
        database: database.map(ToString::to_string),
        at: time(manifest.snapshot_at),
        reason: manifest.reason.as_str().to_owned(),
        level: backup.level().map(|level| level.to_string()),
        standing: standing_word(backup).to_owned(),
        size_bytes: manifest.stored_size.0,
        sha256: manifest.stored_sha256.0.clone(),
        file: manifest.file.clone(),
        revision: manifest.revision.as_ref().map(ToString::to_string),
        tables: match &manifest.counted {
            Counted::Exact(census) => Some(census.tables.len() as u64),
            Counted::Summary { tables } => Some(*tables),
            Counted::Absent(_) => None,
        },
        seconds: seconds(manifest.took),
        restore_line: manifest.restore_line.clone(),
        suspect: backup
            .suspicion()
            .map_or_else(Vec::new, |it| it.reasons.clone()),
        accepted_at: backup.acceptance.as_ref().map(|it| time(it.at)),
        proof: backup
            .refutation()
            .or(backup.newest_whole_proof())
            .or(backup.proofs.last())
            .map(proof),
        read_at: backup
            .proofs
            .iter()
            .rfind(|it| it.is_good())
            .map(|it| time(it.at)),
        destinations: Vec::new(),
    }
}

fn proof(proof: &Proof) -> ProofWire {
    ProofWire {
        at: time(proof.at),
        destination: proof.destination.clone(),
        level: proof.level.map(|level| level.to_string()),
        seconds: seconds(proof.took),
        restore_seconds: proof.restore_took.map(seconds),
        reason: proof.reason.clone(),
        differences: proof.differences.iter().map(ToString::to_string).collect(),
    }
}

/// Waiting, running and remembered jobs.
pub fn jobs(picture: &Picture, now: Timestamp) -> JobsWire {
    JobsWire {
        jobs: picture.jobs.iter().map(|it| job(it, now)).collect(),
    }
}

/// One job.
pub fn job(job: &JobPicture, now: Timestamp) -> JobWire {
    let mut wire = JobWire {
        id: job.id.to_string(),
        kind: job.kind.as_str().to_owned(),
        subject: job.subject.clone(),
        state: job.state.as_str().to_owned(),
        asked_at: time(job.asked_at),
        began_at: None,
        ended_at: None,
        seconds: None,
        parts: Vec::new(),
        doing: job.doing.as_ref().map(doing),
    };
    match &job.state {
        JobState::Queued => {}
        JobState::Running { since } => {
            wire.began_at = Some(time(*since));
            wire.seconds = Some(seconds((now - since).to_std().unwrap_or_default()));
        }
        JobState::Ended { at, took, report } => {
            wire.ended_at = Some(time(*at));
            wire.seconds = Some(seconds(*took));
            wire.parts = report.parts.iter().map(part).collect();
        }
    }
    wire
}

fn doing(doing: &Doing) -> DoingWire {
    DoingWire {
        subject: doing.subject.clone(),
        step: doing.step.as_str().to_owned(),
        bytes: doing.done.map(|it| it.0),
        of_bytes: doing.total.map(|it| it.0),
    }
}

fn part(part: &JobPart) -> PartWire {
    PartWire {
        subject: part.subject.clone(),
        outcome: part.outcome.as_str().to_owned(),
        backup: part.backup.as_ref().map(ToString::to_string),
        detail: part.detail.clone(),
    }
}

/// The last migration of each service.
pub fn migrations(picture: &Picture) -> MigrationsWire {
    let migrations = picture.migrations.iter();
    let migrations = migrations.map(|(service, migration)| MigrationWire {
        service: service.to_string(),
        at: time(migration.at),
        outcome: migration.outcome.clone(),
        before: migration.before.clone(),
        after: migration.after.clone(),
        seconds: seconds(migration.took),
        pending: match migration.pending {
            Pending::Unknown => "unknown",
            Pending::Nothing => "nothing",
            Pending::Something => "something",
        }
        .to_owned(),
    });
    MigrationsWire {
        migrations: migrations.collect(),
    }
}

/// What is wrong with variables and labels.
pub(in crate::http) fn configuration_problems(picture: &Picture) -> impl Iterator<Item = &String> {
    picture.problems.iter().chain(&picture.label_problems)
}

/// What is wrong with the configuration and with us.
pub fn checks(picture: &Picture, now: Timestamp) -> ChecksWire {
    ChecksWire {
        problems: configuration_problems(picture).cloned().collect(),
        concerns: picture.concerns(now),
    }
}

/// The verdict and numbers, nothing a stranger could use.
pub fn health(picture: &Picture, now: Timestamp) -> HealthWire {
    let verdicts = picture.service_verdicts(now);
    let services = verdicts.values().map(|service| judge_stack([service]));
    let shown = shown_series(picture);
    let series = shown
        .iter()
        .filter_map(|it| Some((it, picture.series.get(it)?)))
        .map(|(series, state)| judge_series(picture, series, state, now));
    let configuration = configuration_problems(picture).map(|_| Verdict::Warn);
    let unreadable = picture.folder_problems.iter().map(|_| Verdict::Warn);
    let folder = unreadable.chain([reach(&picture.folder)]);
    HealthWire {
        status: picture.verdict(now).as_str().to_owned(),
        release_id: VERSION.to_owned(),
        checks: HealthChecksWire {
            services: [check(services)],
            databases: [check(picture.servers.values().map(|it| reach(&it.reach)))],
            backups: [check(series)],
            docker: [check([reach(&picture.docker)])],
            folder: [check(folder)],
            s3: [check(judge_bucket(picture))],
            configuration: [check(configuration)],
            notifications: [check(picture.channels.values().map(judge_channel))],
        },
    }
}

/// The bucket, and each series that lacks copies or whose newest one was refuted.
fn judge_bucket(picture: &Picture) -> Vec<Verdict> {
    let Some(bucket) = &picture.bucket else {
        return Vec::new();
    };
    let limits = bucket.limits.iter().chain(&bucket.problems);
    let judge = |state: &SeriesPicture| {
        let is_refuted = |it: &Arc<Backup>| it.standing() == Standing::Refuted;
        if state.copy_error.is_some() || state.copies.iter().any(is_refuted) {
            Verdict::Warn
        } else {
            Verdict::Pass
        }
    };
    let series = picture.series.values().map(judge);
    let limits = limits.map(|_| Verdict::Warn);
    series.chain(limits).chain([reach(&bucket.reach)]).collect()
}

fn judge_series(
    picture: &Picture,
    series: &Series,
    state: &SeriesPicture,
    now: Timestamp,
) -> Verdict {
    if picture.series_concerns(series, state, now).is_empty() {
        Verdict::Pass
    } else {
        Verdict::Warn
    }
}

/// A channel that nothing was sent by yet is not in doubt; one that fails is named, and nothing is down for it.
fn judge_channel(reach: &Reach) -> Verdict {
    match reach {
        Reach::Reached | Reach::Unknown => Verdict::Pass,
        Reach::Lost(_) => Verdict::Warn,
    }
}

fn reach(reach: &Reach) -> Verdict {
    match reach {
        Reach::Reached => Verdict::Pass,
        Reach::Unknown | Reach::Lost(_) => Verdict::Warn,
    }
}

fn reach_word(reach: &Reach) -> &'static str {
    match reach {
        Reach::Reached => "reached",
        Reach::Unknown => "unknown",
        Reach::Lost(_) => "lost",
    }
}

fn check(verdicts: impl IntoIterator<Item = Verdict>) -> CheckWire {
    let verdicts: Vec<Verdict> = verdicts.into_iter().collect();
    let of = |wanted| verdicts.iter().filter(|it| **it == wanted).count();
    let worst = verdicts.iter().max().copied().unwrap_or(Verdict::Pass);
    CheckWire {
        status: worst.as_str().to_owned(),
        pass: of(Verdict::Pass),
        warn: of(Verdict::Warn),
        fail: of(Verdict::Fail),
    }
}

/// RFC 3339 in UTC, to the second.
pub(super) fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// To the millisecond, so that bodies stay readable.
fn seconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}
