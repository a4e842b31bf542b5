//! What nobody waits for: drills, and reading everything again.

use chrono::TimeDelta;

use super::{is_paused, series_of};
use crate::board::{BucketPicture, Picture, Reach, SeriesPicture, ServerPicture};
use crate::domain::backup::{Backup, Destination, Level, Series};
use crate::domain::id::BackupId;
use crate::domain::job::{JobKind, JobRequest, JobState};
use crate::domain::unit::Timestamp;
use crate::domain::{drill, reread};

/// Between two tries of reading a series that could not be read.
const READ_PAUSE: TimeDelta = TimeDelta::hours(6);

/// The next drill: the newest backup of a database, proven again.
pub(super) fn due_drill(picture: &Picture, now: Timestamp) -> Option<JobRequest> {
    let servers = picture.servers.values();
    let mut asked = servers
        .filter(|server| server.policy.enabled && server.policy.verify >= Level::Restore)
        .flat_map(|server| server.databases.iter().map(move |it| (server, it)));
    asked.find_map(|(server, database)| {
        let state = picture.series.get(&series_of(picture, database))?;
        if is_paused(state, now) {
            return None;
        }
        let (id, from) = drilled(server, state, now)?;
        Some(JobRequest::Verify {
            database: database.clone(),
            id,
            level: server.policy.verify,
            from: Some(from),
        })
    })
}

/// Which backup of a series, and from where: each destination has drills of its own.
fn drilled(
    server: &ServerPicture,
    state: &SeriesPicture,
    now: Timestamp,
) -> Option<(BackupId, Destination)> {
    let schedule = &server.policy.drill;
    let (disk, s3) = (Destination::Disk, Destination::S3);
    let backups = state.backups.iter().map(AsRef::as_ref);
    let copies = state.copies.iter().map(AsRef::as_ref);
    let on_disk = drill::find_due(schedule, backups, disk.as_str(), now).map(|it| (it, disk));
    let due: (&Backup, Destination) = match on_disk {
        Some(due) => due,
        None => (
            drill::find_due_copy(schedule, copies, s3.as_str(), now)?,
            s3,
        ),
    };
    Some((due.0.manifest.id.clone(), due.1))
}

/// The next backup to read again, while nothing else needs the disk: of every series that is stored, also of what is
/// not backed up any more.
pub(super) fn due_reread(picture: &Picture, now: Timestamp) -> Option<JobRequest> {
    let is_open = |state: &JobState| !matches!(state, JobState::Ended { .. });
    let mut jobs = picture.jobs.iter().filter(|job| is_open(&job.state));
    if jobs.any(|job| job.kind != JobKind::Accept) {
        return None;
    }
    let rests = |at: Option<Timestamp>| at.is_some_and(|at| at <= now && now < at + READ_PAUSE);
    let readable = picture
        .series
        .iter()
        .filter(|(_, state)| !rests(state.reread_failed));
    let readable: Vec<(&Series, &SeriesPicture)> = readable.collect();
    let is_listed = |it: &BucketPicture| it.reach == Reach::Reached;
    let in_bucket = || {
        picture.bucket.as_ref().filter(|it| is_listed(it))?;
        next_of(&readable, Destination::S3, now)
    };
    let (next, from) = next_of(&readable, Destination::Disk, now).or_else(in_bucket)?;
    Some(JobRequest::Reread {
        series: next.manifest.series.clone(),
        id: next.manifest.id.clone(),
        from,
    })
}

/// The next of one destination.
fn next_of<'a>(
    readable: &[(&'a Series, &'a SeriesPicture)],
    from: Destination,
    now: Timestamp,
) -> Option<(&'a Backup, Destination)> {
    // A manifest that names another series than its folder leads to files that are not its own.
    let backups = readable.iter().flat_map(|(series, state)| {
        let own = move |it: &&Backup| it.manifest.series == **series;
        let backups = match from {
            Destination::Disk => &state.backups,
            Destination::S3 => &state.copies,
        };
        backups.iter().map(AsRef::as_ref).filter(own)
    });
    let next = reread::find_next(backups, from.as_str(), now)?;
    Some((next, from))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::board::JobPicture;
    use crate::domain::backup::example_backup;
    use crate::domain::id::{JobId, ProjectName};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn what_is_stored_is_read_again_when_nothing_else_runs_and_not_at_once_after_a_failure() {
        let mut picture = Picture::new(ProjectName::new("p"), at(0));
        let stored = example_backup(Vec::new());
        let series = stored.manifest.series.clone();
        let state = SeriesPicture {
            backups: vec![Arc::new(stored.clone())],
            ..SeriesPicture::default()
        };
        picture.series.insert(series.clone(), state);
        let now = at(15 * 86_400);
        let wanted = JobRequest::Reread {
            series: series.clone(),
            id: stored.manifest.id.clone(),
            from: Destination::Disk,
        };
        assert_eq!(due_reread(&picture, at(13 * 86_400)), None);
        assert_eq!(due_reread(&picture, now), Some(wanted.clone()));
        let failed = |picture: &mut Picture, at| {
            picture.series.get_mut(&series).unwrap().reread_failed = Some(at);
        };
        failed(&mut picture, now - TimeDelta::hours(5));
        assert_eq!(due_reread(&picture, now), None);
        failed(&mut picture, now - TimeDelta::hours(6));
        assert_eq!(due_reread(&picture, now), Some(wanted));
        picture.put_job(JobPicture {
            id: JobId::new("j"),
            kind: JobKind::Backup,
            subject: String::new(),
            asked_at: now,
            state: JobState::Running { since: now },
            doing: None,
        });
        assert_eq!(due_reread(&picture, now), None);
    }

    #[test]
    fn what_is_in_the_bucket_is_read_again_too_while_it_can_be_listed() {
        let mut picture = Picture::new(ProjectName::new("p"), at(0));
        let copy = example_backup(Vec::new());
        let series = copy.manifest.series.clone();
        let state = SeriesPicture {
            copies: vec![Arc::new(copy.clone())],
            ..SeriesPicture::default()
        };
        picture.series.insert(series.clone(), state);
        let now = at(15 * 86_400);
        assert_eq!(due_reread(&picture, now), None);
        picture.bucket = Some(BucketPicture {
            reach: Reach::Reached,
            ..BucketPicture::new("b")
        });
        let wanted = JobRequest::Reread {
            series,
            id: copy.manifest.id,
            from: Destination::S3,
        };
        assert_eq!(due_reread(&picture, now), Some(wanted));
        assert_eq!(due_reread(&picture, at(13 * 86_400)), None);
    }
}
