//! Giving way: a dump's locks make an ALTER wait, and behind the ALTER waits everybody who reads the table.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{BackupError, TakeRequest};
use crate::domain::failure::chain;
use crate::job::server::{self, ServerError};
use crate::job::{JobContext, Run};
use crate::postgres::ApplicationName;
use crate::postgres::blocked::{Blocked, blocked};

/// How often it is looked who waits.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// After each time it gave way a dump stays away for so many times what its waiter had to wait: long enough
/// for a migration of several statements, and longer each time, since somebody seems to be at work. With the
/// default of 10 s: half a minute, 100 seconds, 5 minutes.
const STAYS_AWAY: [u32; 3] = [3, 10, 30];

/// How long to stay away after having given way so many times; `None` when it was often enough.
pub(super) fn pause_after(times: usize, patience: Duration) -> Option<Duration> {
    let factor = STAYS_AWAY.get(times.checked_sub(1)?)?;
    Some(patience * *factor)
}

/// Ends as soon as somebody has waited for a table of this dump longer than `patience`; else never.
///
/// It looks through a session of its own, which may be dropped at any moment. Where it cannot look the dump
/// goes on without: that nobody is watched is no reason to lose a backup.
pub(super) async fn watch(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    patience: Duration,
) -> Blocked {
    match look_until_blocked(context, run, request, patience).await {
        Ok(blocked) => blocked,
        Err(error) => {
            tracing::warn!(
                database = %request.database, error = %chain(&error),
                "nobody looks whether this dump stands in somebody's way"
            );
            std::future::pending().await
        }
    }
}

async fn look_until_blocked(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    patience: Duration,
) -> Result<Blocked, ServerError> {
    let ours = ApplicationName::build(&context.project, run.id.as_str());
    let mut connected = server::connect(context, run, &request.target, &request.database).await?;
    let mut waiting: BTreeMap<i32, Instant> = BTreeMap::new();
    loop {
        let seen = blocked(&mut connected.session, &ours).await;
        let seen = seen.map_err(|source| connected.error(source))?;
        waiting.retain(|process, _since| seen.iter().any(|it| it.process == *process));
        for blocked in seen {
            let since = *waiting.entry(blocked.process).or_insert_with(Instant::now);
            if since.elapsed() >= patience {
                return Ok(blocked);
            }
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// What is told of a dump that gave way.
pub(super) fn gave_way(blocked: Blocked, waited: Duration) -> BackupError {
    BackupError::GaveWay {
        statement: blocked.statement,
        relation: blocked.relation,
        waited,
        times: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_that_gave_way_stays_away_longer_each_time_and_then_gives_up() {
        let pauses: Vec<Option<Duration>> = (0..=5)
            .map(|times| pause_after(times, Duration::from_secs(10)))
            .collect();
        let seconds = |count| Some(Duration::from_secs(count));
        let wanted = [None, seconds(30), seconds(100), seconds(300), None, None];
        assert_eq!(pauses, wanted);
    }
}
