//! What nobody waits for: drills, and reading everything again.

use chrono::TimeDelta;

use super::{is_paused, series_of};
use crate::board::Picture;
use crate::domain::backup::{Backup, Destination, Level};
use crate::domain::job::{JobKind, JobRequest, JobState};
use crate::domain::unit::Timestamp;
use crate::domain::{drill, reread};

/// The only destination there is.
const DISK: &str = "disk";

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
        let backups = state.backups.iter().map(AsRef::as_ref);
        let due = drill::find_due(&server.policy.drill, backups, DISK, now);
        let due: &Backup = due.filter(|_| !is_paused(state, now))?;
        Some(JobRequest::Verify {
            database: database.clone(),
            id: due.manifest.id.clone(),
            level: server.policy.verify,
            from: Some(Destination::Disk),
        })
    })
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
    // A manifest that names another series than its folder leads to files that are not its own.
    let backups = readable.flat_map(|(series, state)| {
        let own = move |it: &&Backup| it.manifest.series == *series;
        state.backups.iter().map(AsRef::as_ref).filter(own)
    });
    let next: &Backup = reread::find_next(backups, DISK, now)?;
    Some(JobRequest::Reread {
        series: next.manifest.series.clone(),
        id: next.manifest.id.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::board::{JobPicture, SeriesPicture};
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
}
