use std::path::PathBuf;

use super::*;
use crate::desk::alarm::tests::{backup_at, ended, picture, with_backups};
use crate::domain::backup::Level;
use crate::domain::web::WebAddress;

fn pinger() -> Pinger {
    let address = WebAddress::parse("http://127.0.0.1:1/x").unwrap();
    let board = Board::new(picture(with_backups(Vec::new())));
    Pinger::new(Pulse::new(address, PathBuf::from("/none")), board)
}

fn is_failing(beat: Option<&Beat>) -> bool {
    matches!(beat, Some(Beat::Failing(_)))
}

#[test]
fn well_is_told_for_whole_backup_jobs_only_and_each_job_counts_once() {
    let mut pinger = pinger();
    let mut seen = picture(with_backups(vec![backup_at(100, &[])]));
    assert_eq!(pinger.hear(&seen), None);
    seen.put_job(ended("a", JobKind::Backup, Outcome::Succeeded));
    assert_eq!(pinger.hear(&seen), Some(Beat::Well));
    assert_eq!(pinger.hear(&seen), None);
    seen.put_job(ended("b", JobKind::Backup, Outcome::Partial));
    assert!(is_failing(pinger.hear(&seen).as_ref()));
    seen.put_job(ended("c", JobKind::Backup, Outcome::Cancelled));
    assert_eq!(pinger.hear(&seen), None);
    seen.put_job(ended("d", JobKind::Verify, Outcome::Failed));
    assert_eq!(pinger.hear(&seen), None);
}

#[test]
fn a_good_backup_job_beside_a_database_that_fails_is_not_told_as_well() {
    let mut pinger = pinger();
    let mut state = with_backups(vec![backup_at(100, &[])]);
    state.last_attempt = Some(crate::desk::alarm::tests::at(200));
    state.last_error = Some("server is gone".into());
    let mut seen = picture(state);
    seen.put_job(ended("a", JobKind::Backup, Outcome::Succeeded));
    let beat = pinger.hear(&seen);
    assert!(
        matches!(&beat, Some(Beat::Failing(why)) if why.contains("server is gone")),
        "{beat:?}"
    );
}

#[test]
fn a_refutation_is_told_at_once_and_outlives_the_next_good_job_until_a_proof() {
    let mut pinger = pinger();
    let refuted = backup_at(100, &[None]);
    let mut seen = picture(with_backups(vec![refuted.clone()]));
    seen.put_job(ended("a", JobKind::Verify, Outcome::Failed));
    assert!(is_failing(pinger.hear(&seen).as_ref()));
    let newer = vec![refuted.clone(), backup_at(200, &[])];
    let mut seen = picture(with_backups(newer));
    seen.put_job(ended("b", JobKind::Backup, Outcome::Succeeded));
    assert!(is_failing(pinger.hear(&seen).as_ref()));
    let proven = vec![refuted, backup_at(200, &[Some(Level::Content)])];
    let mut seen = picture(with_backups(proven));
    seen.put_job(ended("c", JobKind::Verify, Outcome::Succeeded));
    assert_eq!(pinger.hear(&seen), Some(Beat::Well));
    // A proof that puts nothing right tells nothing.
    seen.put_job(ended("d", JobKind::Verify, Outcome::Succeeded));
    assert_eq!(pinger.hear(&seen), None);
}
