//! How the process begins, becomes ready and ends: signals, supervised tasks, two cancellation tokens.
//!
//! Knows nothing else of ours. Invariants: the soft token is a child of the hard one, so hard implies
//! soft; tasks are spawned here and nowhere else, so that the early end of one of them is always seen
//! and ends the process with failure; nothing here calls `exit`.

mod readiness;

use std::any::Any;
use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use readiness::{Latch, Readiness, ReadyState};

/// How long work may tidy up after the hard token, before it is dropped where it stands.
const HARD_GRACE: Duration = Duration::from_secs(1);

/// A signal that asks us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// `SIGINT`
    Interrupt,
    /// `SIGTERM`
    Terminate,
}

impl StopSignal {
    /// The signal's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// 130 or 143, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Why the process cannot hear signals.
#[derive(Debug, Error)]
#[error("cannot listen for {name}")]
pub struct SignalError {
    name: &'static str,
    #[source]
    source: io::Error,
}

/// How a supervised task ended although nobody asked it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeathCause {
    /// It returned.
    Returned,
    /// It panicked, with this message.
    Panicked(String),
}

/// A supervised task that ended early.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("task {task} {}", match cause {
    DeathCause::Returned => "ended although nobody asked it to".to_owned(),
    DeathCause::Panicked(message) => format!("panicked: {message}"),
})]
pub struct Death {
    /// The task.
    pub task: &'static str,
    /// How it ended.
    pub cause: DeathCause,
}

/// How the life of `run` ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every task ended after it was asked to.
    Stopped(Option<StopSignal>),
    /// These tasks did not end in time and are dropped where they stand.
    Abandoned(Vec<&'static str>),
    /// A task ended early, or panicked while stopping.
    Died(Death),
}

impl Ending {
    /// 0 when everything ended as asked, else 1: SIGTERM is the ordinary end of a sidecar.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Stopped(_) => 0,
            Self::Abandoned(_) | Self::Died(_) => 1,
        }
    }
}

/// How a one-shot command ended.
#[derive(Debug)]
pub enum CommandEnd<T> {
    /// It came to its own end, undisturbed.
    Completed(T),
    /// A signal came; the result is there when the command still reached its end.
    Interrupted {
        /// Gives the exit code.
        signal: StopSignal,
        /// What the command returned, when it returned in time.
        result: Option<T>,
    },
    /// A supervised task died under it.
    Died {
        /// Which and how.
        death: Death,
    },
}

#[derive(Debug, Default)]
struct Record {
    signal: Option<StopSignal>,
    death: Option<Death>,
    alive: Vec<&'static str>,
    latched: BTreeSet<&'static str>,
}

/// The process's life; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    hard: CancellationToken,
    soft: CancellationToken,
    tasks: TaskTracker,
    listeners: TaskTracker,
    record: Arc<watch::Sender<Record>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A life that hears no signals yet.
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        Self {
            soft: hard.child_token(),
            hard,
            tasks: TaskTracker::new(),
            listeners: TaskTracker::new(),
            record: Arc::new(watch::Sender::new(Record::default())),
        }
    }

    /// Hears SIGTERM and SIGINT from now on: the first cancels soft, the second hard.
    ///
    /// # Errors
    /// When the handlers cannot be installed; retrying is useless.
    pub fn listen(&self) -> Result<(), SignalError> {
        let install = |kind, name| signal(kind).map_err(|source| SignalError { name, source });
        let terminate = install(SignalKind::terminate(), "SIGTERM")?;
        let interrupt = install(SignalKind::interrupt(), "SIGINT")?;
        self.listeners
            .spawn(self.clone().heed(terminate, interrupt));
        Ok(())
    }

    /// Cancelled when work should reach its next safe point and end there.
    pub fn soft(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled when work has to end at once, tidying up only what would hurt others.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "no job needs more than the soft token yet")
    )]
    pub fn hard(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// Runs a task for as long as the process lives; its end before soft is cancelled, or its panic at
    /// any time, cancels soft and makes the ending a failure.
    ///
    /// # Cancellation
    /// The task sees the tokens by itself; it is dropped only with the process.
    pub fn supervise<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (soft, record) = (self.soft.clone(), Arc::clone(&self.record));
        record.send_modify(|record| record.alive.push(name));
        self.tasks.spawn(async move {
            let death = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(()) if soft.is_cancelled() => None,
                Ok(()) => Some(DeathCause::Returned),
                Err(payload) => Some(DeathCause::Panicked(panic_message(payload.as_ref()))),
            };
            let death = death.map(|cause| Death { task: name, cause });
            if let Some(death) = &death {
                tracing::error!(task.name = name, "{death}: stopping");
            }
            record.send_modify(|record| {
                if let Some(place) = record.alive.iter().position(|alive| *alive == name) {
                    record.alive.remove(place);
                }
                record.death = record.death.take().or(death.clone());
            });
            if death.is_some() {
                soft.cancel();
            }
        });
    }

    /// Holds readiness back until the latch is released.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.record.send_modify(|record| {
            record.latched.insert(name);
        });
        Latch::new(name, Arc::clone(&self.record))
    }

    /// What `/readyz` asks.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(self.soft.clone(), self.record.subscribe())
    }

    /// The life of `run`: waits until somebody asks to stop, then finishes.
    pub async fn run(&self, grace: Duration) -> Ending {
        self.soft.cancelled().await;
        self.finish(grace).await
    }

    /// Ends every supervised task: soft at once, hard after `grace` or at the second signal, and a
    /// second later whatever still runs is given up.
    pub async fn finish(&self, grace: Duration) -> Ending {
        self.soft.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.hard.cancelled() => {}
            () = tokio::time::sleep(grace) => {}
        }
        self.hard.cancel();
        let ended = tokio::time::timeout(HARD_GRACE, self.tasks.wait()).await;
        let record = self.record.borrow();
        match (&record.death, ended) {
            (Some(death), _) => Ending::Died(death.clone()),
            (None, Ok(())) => Ending::Stopped(record.signal),
            (None, Err(_elapsed)) => Ending::Abandoned(record.alive.clone()),
        }
    }

    /// The life of a one-shot command: runs `work` until it ends; after the first signal `work` has
    /// `grace` to reach its safe point (it sees the soft token), after that or a second signal a second
    /// to tidy up (it sees the hard token).
    ///
    /// # Cancellation
    /// `work` that outlasts both is dropped where it stands.
    pub async fn command<T>(
        &self,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> CommandEnd<T> {
        let mut work = pin!(work);
        tokio::select! {
            value = work.as_mut() => return self.end_command(Some(value)),
            () = self.soft.cancelled() => {}
        }
        tokio::select! {
            value = work.as_mut() => return self.end_command(Some(value)),
            () = self.hard.cancelled() => {}
            () = tokio::time::sleep(grace) => self.hard.cancel(),
        }
        let value = tokio::time::timeout(HARD_GRACE, work).await;
        self.end_command(value.ok())
    }

    fn end_command<T>(&self, result: Option<T>) -> CommandEnd<T> {
        let record = self.record.borrow();
        match (&record.death, record.signal, result) {
            (Some(death), _, _) => CommandEnd::Died {
                death: death.clone(),
            },
            (None, Some(signal), result) => CommandEnd::Interrupted { signal, result },
            (None, None, Some(value)) => CommandEnd::Completed(value),
            // Somebody of ours cancelled and the work did not heed it: as good as terminated.
            (None, None, None) => CommandEnd::Interrupted {
                signal: StopSignal::Terminate,
                result: None,
            },
        }
    }

    async fn heed(self, mut terminate: Signal, mut interrupt: Signal) {
        loop {
            let signal = tokio::select! {
                Some(()) = terminate.recv() => StopSignal::Terminate,
                Some(()) = interrupt.recv() => StopSignal::Interrupt,
                () = self.hard.cancelled() => return,
            };
            self.receive(signal);
        }
    }

    fn receive(&self, signal: StopSignal) {
        let mut is_first = false;
        self.record.send_modify(|record| {
            is_first = record.signal.is_none();
            record.signal = record.signal.or(Some(signal));
        });
        let name = signal.as_str();
        if is_first {
            tracing::info!(
                "{name}: stopping at the next safe point; a second signal stops at once"
            );
            self.soft.cancel();
        } else {
            tracing::warn!("{name} again: stopping at once");
            self.hard.cancel();
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    async fn until(token: CancellationToken) {
        token.cancelled().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_is_soft_and_the_second_hard() {
        let life = Lifecycle::new();
        life.supervise("desk", until(life.hard()));
        life.receive(StopSignal::Terminate);
        assert!(life.soft().is_cancelled() && !life.hard().is_cancelled());
        life.receive(StopSignal::Interrupt);
        assert!(life.hard().is_cancelled());
        let ending = life.run(GRACE).await;
        assert_eq!(ending, Ending::Stopped(Some(StopSignal::Terminate)));
        assert_eq!(ending.exit_code(), 0);
    }

    #[tokio::test]
    async fn a_real_signal_is_heard() {
        let life = Lifecycle::new();
        life.listen().unwrap();
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::INT).unwrap();
        let end = life.command(GRACE, until(life.soft())).await;
        let CommandEnd::Interrupted { signal, result } = end else {
            panic!("{end:?}");
        };
        assert_eq!((signal.exit_code(), result), (130, Some(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_early_ends_the_process_with_failure() {
        let life = Lifecycle::new();
        life.supervise("events", async {});
        life.supervise("server", until(life.soft()));
        let ending = life.run(GRACE).await;
        assert_eq!(ending.exit_code(), 1);
        let Ending::Died(death) = ending else {
            panic!("{ending:?}");
        };
        assert_eq!(death.cause, DeathCause::Returned);
        assert!(death.to_string().starts_with("task events ended"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_even_while_stopping() {
        let life = Lifecycle::new();
        let soft = life.soft();
        life.supervise("desk", async move {
            soft.cancelled().await;
            panic!("no safe point");
        });
        let ending = life.finish(GRACE).await;
        let cause = DeathCause::Panicked("no safe point".to_owned());
        let task = "desk";
        assert_eq!(ending, Ending::Died(Death { task, cause }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_heeds_nothing_is_given_up_by_name() {
        let life = Lifecycle::new();
        life.supervise("stuck", std::future::pending());
        let ending = life.finish(GRACE).await;
        assert_eq!(ending, Ending::Abandoned(vec!["stuck"]));
        assert_eq!(ending.exit_code(), 1);
        assert!(life.hard().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupted_command_may_tidy_up_and_its_result_is_not_lost() {
        let life = Lifecycle::new();
        let undisturbed = life.command(GRACE, async { 7 }).await;
        assert!(matches!(undisturbed, CommandEnd::Completed(7)));
        life.receive(StopSignal::Terminate);
        let hard = life.hard();
        let tidy = async {
            hard.cancelled().await;
            tokio::time::sleep(HARD_GRACE / 2).await;
            "tidied"
        };
        let end = life.command(GRACE, tidy).await;
        let CommandEnd::Interrupted { signal, result } = end else {
            panic!("{end:?}");
        };
        assert_eq!((signal.exit_code(), result), (143, Some("tidied")));
        let stuck = life.command(GRACE, std::future::pending::<()>()).await;
        assert!(matches!(
            stuck,
            CommandEnd::Interrupted { result: None, .. }
        ));
    }
}
