//! What the board shows, as topics of alarms.
//!
//! Pure. Backups and proofs are judged by manifests and proof files, migrations by the journal: after a restart the
//! same picture gives the same topics.

use crate::board::{GatePicture, MigrationPicture, Picture, Reach, SeriesPicture};
use crate::domain::alarm::{Condition, Observation, Topic};
use crate::domain::backup::{Backup, Content, Proof, Series, Standing, find_suspect};
use crate::domain::id::ServiceName;
use crate::domain::job::{JobKind, JobState, Outcome};
use crate::domain::unit::{ByteCount, Timestamp};

/// What a person has to type, as far as it depends on where we run.
#[derive(Debug, Clone)]
pub struct Steps {
    /// `docker compose -p PROJECT`.
    pub compose: String,
    /// The sidecar's service.
    pub sidecar: String,
    /// The backup folder as the host names it.
    pub folder: String,
}

impl Steps {
    fn command(&self, words: &str) -> String {
        let Self {
            compose, sidecar, ..
        } = self;
        format!("{compose} exec {sidecar} /stackwarden {words}")
    }
}

/// Every topic of which something is known.
pub(super) fn observe(picture: &Picture, steps: &Steps, now: Timestamp) -> Vec<Observation> {
    let mut seen = Vec::new();
    let mut see = |topic, condition: Option<Condition>| {
        seen.extend(condition.map(|condition| Observation { topic, condition }));
    };
    // What one job finds out is told at its end, in one message.
    let is_backing_up = picture
        .jobs
        .iter()
        .any(|job| job.kind == JobKind::Backup && matches!(job.state, JobState::Running { .. }));
    for (series, state) in &picture.series {
        if !is_backing_up {
            let topic = Topic::Backup(series.clone());
            see(topic, backup(picture, series, state, steps));
        }
        see(Topic::Proof(series.clone()), proof(series, state, steps));
    }
    see(
        Topic::Gate,
        picture.gate.as_ref().map(|ended| gate(ended, steps)),
    );
    for (service, known) in &picture.services {
        let ended = picture.migrations.get(service);
        if let (Some(_), Some(ended)) = (&known.migration, ended) {
            let topic = Topic::Migration(service.clone());
            see(topic, Some(migration(service, ended, steps)));
        }
    }
    see(Topic::Folder, folder(picture, steps, now));
    seen
}

/// Why a backup job's success is not the whole truth, one sentence each: a failed series, a refuted or suspect backup.
pub(super) fn sorrows(picture: &Picture) -> Vec<String> {
    let mut found = Vec::new();
    for (series, state) in &picture.series {
        if let Some(why) = failed(state) {
            found.push(format!("{}: {why}", Topic::Backup(series.clone())));
        }
        if let Some((backup, proof)) = refuted(state) {
            let (id, why) = (&backup.manifest.id, reason(proof));
            found.push(format!("{} {id}: {why}", Topic::Proof(series.clone())));
        }
        if let Some(backup) = state.backups.last()
            && let Some(suspicion) = backup.suspicion()
        {
            let (id, reasons) = (&backup.manifest.id, suspicion.reasons.join("; "));
            found.push(format!(
                "{} {id} is suspect: {reasons}",
                Topic::Backup(series.clone())
            ));
        }
    }
    found
}

fn backup(
    picture: &Picture,
    series: &Series,
    state: &SeriesPicture,
    steps: &Steps,
) -> Option<Condition> {
    if let Some(why) = failed(state) {
        let words = match &series.content {
            Content::Database(_) => format!("backup {series}"),
            Content::Globals => "backup".to_owned(),
        };
        return Some(Condition::Failing {
            since: state.last_attempt.unwrap_or(picture.started_at),
            cause: why.to_owned(),
            step: steps.command(&words),
        });
    }
    let newest = state.backups.last()?;
    let taken_at = newest.manifest.snapshot_at;
    let backups = state.backups.iter().map(AsRef::as_ref);
    if let Some(suspect) = find_suspect(backups)
        && let Some(suspicion) = suspect.suspicion()
    {
        let id = &suspect.manifest.id;
        let reasons = suspicion.reasons.join("; ");
        return Some(Condition::Failing {
            since: suspect.manifest.snapshot_at,
            cause: format!(
                "backup {id} is suspect, and nothing of its series is removed until somebody decides: {reasons}"
            ),
            step: steps.command(&format!("backups --accept {id}")),
        });
    }
    Some(Condition::Well(taken_at))
}

/// The gate takes backups too, without this process being asked: a newer manifest outdates an error.
fn failed(state: &SeriesPicture) -> Option<&str> {
    let why = state.last_error.as_deref()?;
    let newest = state.backups.last().map(|it| it.manifest.snapshot_at);
    (newest <= state.last_attempt).then_some(why)
}

fn proof(series: &Series, state: &SeriesPicture, steps: &Steps) -> Option<Condition> {
    if let Some((backup, proof)) = refuted(state) {
        let id = &backup.manifest.id;
        return Some(Condition::Failing {
            since: proof.at,
            cause: format!("backup {id} does not prove: {}", reason(proof)),
            step: steps.command(&format!("verify {id} {series}")),
        });
    }
    let newest = state.backups.last()?;
    if let (Some(why), Some((at, _))) = (&state.proof_error, state.proof_attempt) {
        let id = &newest.manifest.id;
        return Some(Condition::Failing {
            since: at,
            cause: format!("backup {id} could not be proven: {why}"),
            step: steps.command(&format!("verify {id} {series}")),
        });
    }
    let (_, proof) = judged(state)?;
    Some(Condition::Well(proof.at))
}

/// The newest backup that a proof judged, when that found it wrong: a newer one that nobody proved yet is no better.
fn refuted(state: &SeriesPicture) -> Option<(&Backup, &Proof)> {
    judged(state).filter(|(backup, _)| backup.standing() == Standing::Refuted)
}

fn judged(state: &SeriesPicture) -> Option<(&Backup, &Proof)> {
    state.backups.iter().rev().find_map(|backup| {
        // That the bytes are still there says nothing about what they are worth.
        let proof = backup.refutation().or(backup.newest_whole_proof())?;
        Some((backup.as_ref(), proof))
    })
}

fn reason(proof: &Proof) -> String {
    let first = proof.differences.first().map(ToString::to_string);
    first
        .or_else(|| proof.reason.clone())
        .unwrap_or_else(|| "the stored bytes are wrong".to_owned())
}

/// What keeps it closed stands in its log as well; a migration that fails is a topic of its own.
fn gate(ended: &GatePicture, steps: &Steps) -> Condition {
    match &ended.error {
        None => Condition::Well(ended.at),
        Some(cause) => Condition::Failing {
            since: ended.at,
            cause: cause.clone(),
            step: format!("{} up -d", steps.compose),
        },
    }
}

fn migration(service: &ServiceName, ended: &MigrationPicture, steps: &Steps) -> Condition {
    if ended.outcome != Outcome::Failed.as_str() {
        return Condition::Well(ended.at);
    }
    let cause = ended.error.clone();
    Condition::Failing {
        since: ended.at,
        cause: cause.unwrap_or_else(|| format!("the migration of {service} failed")),
        step: format!("{} logs --tail 100", steps.compose),
    }
}

fn folder(picture: &Picture, steps: &Steps, now: Timestamp) -> Option<Condition> {
    let failing = |cause| Condition::Failing {
        since: now,
        cause,
        step: format!("df -h {0} && ls -ld {0}", steps.folder),
    };
    match &picture.folder {
        Reach::Unknown => None,
        Reach::Lost(why) => Some(failing(why.clone())),
        Reach::Reached => {
            let free = picture.disk_free?;
            let newest = picture.series.values().filter_map(|it| it.backups.last());
            let needed: u64 = newest.map(|it| it.manifest.stored_size.0).sum();
            if free.0 < needed {
                let needed = ByteCount(needed);
                return Some(failing(format!(
                    "{free} are free and the newest backups take {needed}; the next ones will not fit"
                )));
            }
            // Between the two nothing is said, or every small change would be told.
            (free.0 >= needed.saturating_add(needed / 4)).then_some(Condition::Well(now))
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
