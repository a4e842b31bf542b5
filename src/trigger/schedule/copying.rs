//! Which backup has to go into the bucket now, or be read back from there.

use chrono::TimeDelta;

use crate::board::{Picture, Reach, SeriesPicture};
use crate::domain::backup::copy::{Task, find_due, find_replaceable};
use crate::domain::id::BackupId;
use crate::domain::job::{JobKind, JobRequest, JobState};
use crate::domain::unit::Timestamp;

/// Pauses between tries of a copy that failed: 1, 2, 4 and so on, at last every 32 minutes.
const PAUSE: TimeDelta = TimeDelta::minutes(1);
const MOST_DOUBLINGS: u32 = 5;
/// After a copy that read back as other bytes as soon as it was written: the store itself is at fault, and whole dumps
/// are not sent to it over and over.
const REPLACE_PAUSE: TimeDelta = TimeDelta::hours(6);

/// The next copy to make, of one series after the other.
pub(super) fn due_copy(picture: &Picture, now: Timestamp) -> Option<JobRequest> {
    let bucket = picture.bucket.as_ref()?;
    // What a backup job publishes may still be on its way into the bucket along with it.
    if bucket.reach != Reach::Reached || is_backing_up(picture) {
        return None;
    }
    picture.series.iter().find_map(|(series, state)| {
        let (id, task) = due_of(state, now)?;
        Some(JobRequest::Copy {
            series: series.clone(),
            id: id.clone(),
            task,
        })
    })
}

fn is_backing_up(picture: &Picture) -> bool {
    let mut jobs = picture.jobs.iter();
    jobs.any(|job| job.kind == JobKind::Backup && !matches!(job.state, JobState::Ended { .. }))
}

fn due_of(state: &SeriesPicture, now: Timestamp) -> Option<(&BackupId, Task)> {
    if let Some((at, failures)) = state.copy_attempt
        && now < at + PAUSE * (1 << failures.saturating_sub(1).min(MOST_DOUBLINGS))
    {
        return None;
    }
    find_due(&state.backups, &state.copies).or_else(|| {
        let rests = |at| now < at + REPLACE_PAUSE;
        if state.copy_refuted.is_some_and(rests) {
            return None;
        }
        let id = find_replaceable(&state.backups, &state.copies)?;
        Some((id, Task::Replace))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::board::BucketPicture;
    use crate::domain::backup::{Level, example_backup, example_proof};
    use crate::domain::id::ProjectName;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    fn picture(reach: Reach) -> Picture {
        let mut picture = Picture::new(ProjectName::new("p"), at(0));
        picture.bucket = Some(BucketPicture {
            reach,
            ..BucketPicture::new("b")
        });
        let backup = example_backup(Vec::new());
        let series = backup.manifest.series.clone();
        let state = picture.series.entry(series).or_default();
        state.backups.push(Arc::new(backup));
        picture
    }

    fn state(picture: &mut Picture) -> &mut SeriesPicture {
        picture.series.values_mut().next().unwrap()
    }

    #[test]
    fn a_missing_copy_is_due_as_soon_as_the_bucket_was_listed() {
        assert_eq!(due_copy(&picture(Reach::Unknown), at(1)), None);
        assert_eq!(due_copy(&picture(Reach::Lost("x".into())), at(1)), None);
        assert!(due_copy(&picture(Reach::Reached), at(1)).is_some());
        let mut without = picture(Reach::Reached);
        without.bucket = None;
        assert_eq!(due_copy(&without, at(1)), None);
    }

    #[test]
    fn a_copy_is_due_until_it_was_read_back() {
        let mut picture = picture(Reach::Reached);
        state(&mut picture)
            .copies
            .push(Arc::new(example_backup(Vec::new())));
        assert!(due_copy(&picture, at(1)).is_some());
        let read = example_backup(vec![example_proof(Some(Level::Archive))]);
        state(&mut picture).copies = vec![Arc::new(read)];
        assert_eq!(due_copy(&picture, at(1)), None);
    }

    #[test]
    fn a_failed_copy_waits_longer_each_time() {
        let mut picture = picture(Reach::Reached);
        for (failures, minutes) in [(1, 1), (2, 2), (4, 8), (6, 32), (60, 32)] {
            state(&mut picture).copy_attempt = Some((at(0), failures));
            assert_eq!(due_copy(&picture, at(minutes * 60 - 1)), None);
            assert!(due_copy(&picture, at(minutes * 60)).is_some(), "{failures}");
        }
    }

    #[test]
    fn a_refuted_copy_is_replaced_and_not_over_and_over() {
        let mut picture = picture(Reach::Reached);
        let refuted = example_backup(vec![example_proof(None)]);
        state(&mut picture).copies = vec![Arc::new(refuted)];
        let task = |picture: &Picture, at| match due_copy(picture, at) {
            Some(JobRequest::Copy { task, .. }) => Some(task),
            _ => None,
        };
        assert_eq!(task(&picture, at(1)), Some(Task::Replace));
        state(&mut picture).copy_refuted = Some(at(1));
        assert_eq!(task(&picture, at(6 * 3600)), None);
        assert_eq!(task(&picture, at(6 * 3600 + 1)), Some(Task::Replace));
    }
}
