use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::board::{JobPicture, MigrationRuns, Pending};
use crate::domain::backup::Level;
use crate::domain::backup::suspicion::Suspicion;
use crate::domain::backup::{example_backup as taken, example_proof as judged_as};
use crate::domain::id::{JobId, ProjectName};
use crate::domain::job::JobReport;

pub(in crate::desk) fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(second, 0).unwrap()
}

pub(in crate::desk) fn steps() -> Steps {
    Steps {
        compose: "docker compose -p p".into(),
        sidecar: "stackwarden".into(),
        folder: "/srv/backups".into(),
    }
}

/// A backup taken at `second`, judged by proofs a minute later.
pub(in crate::desk) fn backup_at(second: i64, levels: &[Option<Level>]) -> Arc<Backup> {
    let mut proofs: Vec<Proof> = levels.iter().map(|level| judged_as(*level)).collect();
    for it in &mut proofs {
        it.at = at(second + 60);
    }
    let mut backup = taken(proofs);
    backup.manifest.snapshot_at = at(second);
    Arc::new(backup)
}

pub(in crate::desk) fn picture(state: SeriesPicture) -> Picture {
    let mut picture = Picture::new(ProjectName::new("p"), at(0));
    picture.folder = Reach::Reached;
    picture.disk_free = Some(ByteCount(1_000));
    let series = taken(Vec::new()).manifest.series;
    drop(picture.series.insert(series, state));
    picture
}

pub(in crate::desk) fn with_backups(backups: Vec<Arc<Backup>>) -> SeriesPicture {
    SeriesPicture {
        backups,
        ..SeriesPicture::default()
    }
}

fn conditions(picture: &Picture) -> Vec<(String, Condition)> {
    let seen = observe(picture, &steps(), at(9_000)).into_iter();
    seen.map(|it| (it.topic.to_string(), it.condition))
        .collect()
}

fn condition_of(picture: &Picture, topic: &str) -> Option<Condition> {
    let mut seen = conditions(picture).into_iter();
    seen.find(|(name, _)| name == topic).map(|(_, it)| it)
}

const BACKUP: &str = "backup of postgres/app";
const PROOF: &str = "proof of postgres/app";

#[test]
fn nothing_known_is_no_topic() {
    let fresh = Picture::new(ProjectName::new("p"), at(0));
    assert_eq!(conditions(&fresh), []);
    let never = picture(SeriesPicture::default());
    assert_eq!(condition_of(&never, BACKUP), None);
    assert_eq!(condition_of(&never, PROOF), None);
}

#[test]
fn a_suspect_backup_fails_with_the_command_that_accepts_it() {
    let mut backup = (*backup_at(100, &[])).clone();
    let reasons = vec!["no tables where there were 3".to_owned()];
    backup.manifest.suspicion = Some(Suspicion {
        predecessor: backup.manifest.id.clone(),
        reasons,
    });
    let seen = picture(with_backups(vec![Arc::new(backup)]));
    let Some(Condition::Failing { since, cause, step }) = condition_of(&seen, BACKUP) else {
        panic!("a suspect backup is no topic: {seen:?}")
    };
    assert_eq!(since, at(100));
    assert!(cause.contains("is suspect") && cause.contains("no tables where there were 3"));
    assert!(
        step.contains("backups --accept 19700101T000000Z-0000"),
        "{step}"
    );
    assert_eq!(sorrows(&seen).len(), 1);
}

#[test]
fn a_failed_backup_is_told_when_its_job_ended_and_a_newer_manifest_outdates_it() {
    let mut state = with_backups(vec![backup_at(100, &[])]);
    state.last_attempt = Some(at(200));
    state.last_error = Some("no space left".into());
    let mut seen = picture(state.clone());
    let Some(Condition::Failing { since, cause, step }) = condition_of(&seen, BACKUP) else {
        panic!()
    };
    assert_eq!((since, cause.as_str()), (at(200), "no space left"));
    let command = "docker compose -p p exec stackwarden /stackwarden backup postgres/app";
    assert_eq!(step, command);
    seen.put_job(JobPicture {
        id: JobId::new("j"),
        kind: JobKind::Backup,
        subject: "all databases".into(),
        asked_at: at(200),
        state: JobState::Running { since: at(200) },
        doing: None,
    });
    assert_eq!(condition_of(&seen, BACKUP), None);
    // The gate took one since.
    state.backups.push(backup_at(300, &[]));
    let since = condition_of(&picture(state), BACKUP);
    assert_eq!(since, Some(Condition::Well(at(300))));
}

#[test]
fn a_refuted_backup_stays_told_until_a_newer_one_is_proven() {
    let refuted = backup_at(100, &[None]);
    let fails = |state: SeriesPicture| {
        matches!(
            condition_of(&picture(state), PROOF),
            Some(Condition::Failing { .. })
        )
    };
    assert!(fails(with_backups(vec![refuted.clone()])));
    let unproven = with_backups(vec![refuted.clone(), backup_at(200, &[])]);
    assert_eq!(sorrows(&picture(unproven.clone())).len(), 1);
    assert!(fails(unproven));
    let proven = with_backups(vec![refuted, backup_at(200, &[Some(Level::Content)])]);
    assert_eq!(sorrows(&picture(proven.clone())), Vec::<String>::new());
    let well = condition_of(&picture(proven), PROOF);
    assert_eq!(well, Some(Condition::Well(at(260))));
}

#[test]
fn a_proof_that_could_not_be_made_is_told_but_does_not_make_the_backup_bad() {
    let mut state = with_backups(vec![
        backup_at(100, &[Some(Level::Content)]),
        backup_at(200, &[]),
    ]);
    state.proof_attempt = Some((at(300), 1));
    state.proof_error = Some("the scratch server did not start".into());
    let seen = picture(state);
    let failing = condition_of(&seen, PROOF);
    assert!(
        matches!(&failing, Some(Condition::Failing { since, .. }) if *since == at(300)),
        "{failing:?}"
    );
    assert_eq!(sorrows(&seen), Vec::<String>::new());
}

#[test]
fn a_folder_that_is_lost_or_nearly_full_is_told_with_what_to_type() {
    let mut seen = picture(with_backups(vec![backup_at(100, &[])]));
    assert_eq!(
        condition_of(&seen, "backup folder"),
        Some(Condition::Well(at(9_000)))
    );
    seen.disk_free = Some(ByteCount(0));
    let full = condition_of(&seen, "backup folder");
    assert!(
        matches!(&full, Some(Condition::Failing { cause, .. }) if cause.contains("will not fit")),
        "{full:?}"
    );
    seen.folder = Reach::Lost("it is not there".into());
    let Some(Condition::Failing { step, .. }) = condition_of(&seen, "backup folder") else {
        panic!()
    };
    assert_eq!(step, "df -h /srv/backups && ls -ld /srv/backups");
}

#[test]
fn a_gate_that_stayed_closed_is_told_until_it_opens() {
    let mut seen = picture(SeriesPicture::default());
    assert_eq!(condition_of(&seen, "gate"), None);
    let ended = |second, error: Option<&str>| GatePicture {
        at: at(second),
        error: error.map(str::to_owned),
    };
    seen.gate = Some(ended(
        50,
        Some("migrations wait for each other: a -> b -> a"),
    ));
    let told = condition_of(&seen, "gate");
    assert!(
        matches!(&told, Some(Condition::Failing { since, cause, .. }) if *since == at(50) && cause.contains("a -> b")),
        "{told:?}"
    );
    seen.gate = Some(ended(60, None));
    assert_eq!(condition_of(&seen, "gate"), Some(Condition::Well(at(60))));
}

#[test]
fn a_failed_migration_is_told_with_its_cause() {
    let ended = |outcome: &str| MigrationPicture {
        at: at(50),
        outcome: outcome.into(),
        before: None,
        after: None,
        took: Duration::ZERO,
        error: Some("code 1".into()),
        pending: Pending::Something,
        runs: MigrationRuns::default(),
    };
    let api = ServiceName::new("api");
    let failed = migration(&api, &ended("failed"), &steps());
    assert!(matches!(failed, Condition::Failing { cause, .. } if cause == "code 1"));
    let well = migration(&api, &ended("nothing-pending"), &steps());
    assert_eq!(well, Condition::Well(at(50)));
}

pub(in crate::desk) fn ended(id: &str, kind: JobKind, outcome: Outcome) -> JobPicture {
    let report = JobReport {
        outcome,
        parts: Vec::new(),
    };
    JobPicture {
        id: JobId::new(id),
        kind,
        subject: "postgres/app".into(),
        asked_at: at(1),
        state: JobState::Ended {
            at: at(2),
            took: Duration::ZERO,
            report,
        },
        doing: None,
    }
}
