//! The rounds to servers outside the stack. They are rounds of their own: one that does not answer is waited for longer than
//! the services of the stack may wait to be asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{RETRY_ROUND, SLOW_ROUND, STEP, look, show};
use crate::board::{Board, Picture, Reach, ServerPicture};
use crate::domain::id::ServiceName;
use crate::job::server::WayIn;
use crate::job::{JobContext, Run, tidy};

/// The task that looks after servers outside the stack.
#[derive(Debug)]
pub struct OutsideLookout {
    context: Arc<JobContext>,
    board: Board,
    run: Run,
    next_round: Instant,
    /// Where leftovers of killed processes were looked for: once, as soon as the server answers.
    tidied: BTreeSet<ServiceName>,
}

impl OutsideLookout {
    /// Prepares the rounds.
    pub fn new(context: Arc<JobContext>, board: Board, run: Run) -> Self {
        Self {
            context,
            board,
            run,
            next_round: Instant::now(),
            tidied: BTreeSet::new(),
        }
    }

    /// Looks until `soft` is cancelled.
    pub async fn run(mut self, soft: CancellationToken) {
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = steps.tick() => {}
                () = soft.cancelled() => return,
            }
            tokio::select! {
                () = self.round() => {}
                () = soft.cancelled() => return,
            }
        }
    }

    async fn round(&mut self) {
        let picture = self.board.read();
        let newcomer = outside(&picture).any(|server| server.reach == Reach::Unknown);
        if !newcomer && Instant::now() < self.next_round {
            return;
        }
        let looks: Vec<_> = outside(&picture)
            .map(|server| self.ask(&picture, server).boxed())
            .collect();
        let answers = join_all(looks).await;
        let all_answered = answers.iter().all(|(_, calm)| *calm == Calm::Yes);
        let reached = answers
            .into_iter()
            .filter(|(_, calm)| *calm != Calm::Lost)
            .map(|(name, _)| name);
        self.tidied.extend(reached);
        let pause = if all_answered {
            SLOW_ROUND
        } else {
            RETRY_ROUND
        };
        self.next_round = Instant::now() + pause;
    }

    async fn ask(&self, picture: &Picture, server: &ServerPicture) -> (ServiceName, Calm) {
        let (context, run) = (&self.context, &self.run);
        let seen = look(context, run, picture, server, WayIn::Exec).await;
        let calm = match &seen {
            Err(_) => Calm::Lost,
            Ok(seen) if seen.empty.is_empty() => Calm::Yes,
            Ok(_) => Calm::Soon,
        };
        if calm != Calm::Lost && !self.tidied.contains(&server.service) {
            tidy::sessions(context, run, &server.target).await;
            tidy::copies(context, run, &server.target).await;
        }
        show(&self.board, &server.service, seen);
        (server.service.clone(), calm)
    }
}

/// When a server has to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calm {
    Yes,
    /// Something is about to change: the first table of an empty database.
    Soon,
    /// It does not answer.
    Lost,
}

fn outside(picture: &Picture) -> impl Iterator<Item = &ServerPicture> {
    let servers = picture.servers.values();
    servers.filter(|server| server.target.server.outside.is_some())
}
