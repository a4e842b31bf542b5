//! The regular rounds: asks services how they are and servers what they hold, and shows it on the board.
//!
//! Scrapes and the page only read the board, so nothing here is ever triggered by a reader.

mod outside;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::board::{Board, Picture, Reach, ServerPicture, ServicePicture};
use crate::domain::backup::{Backup, Content, Reason, Series};
use crate::domain::failure::chain;
use crate::domain::health::{Answer, Reading};
use crate::domain::id::{ContainerId, DatabaseName, DatabaseRef, ServiceName};
use crate::domain::policy::{DatabaseSelection, ProbeTarget};
use crate::domain::unit::ByteCount;
use crate::job::server::{Seen, ServerError, WayIn};
use crate::job::{JobContext, Run, probe, server};

pub use outside::OutsideLookout;

/// How often the rounds look whether a probe's interval has passed.
const STEP: Duration = Duration::from_secs(1);
/// How often servers and container usage are asked.
const SLOW_ROUND: Duration = Duration::from_secs(30);
/// How soon a server that does not answer is asked again.
const RETRY_ROUND: Duration = Duration::from_secs(5);
/// Questions at the same time.
const AT_ONCE: usize = 8;

/// The task that looks after services and servers.
#[derive(Debug)]
pub struct Lookout {
    context: Arc<JobContext>,
    board: Board,
    run: Run,
    next_slow_round: Instant,
    /// Servers that refused us over the network: not tried again, or their log fills with refusals.
    refused: BTreeSet<ContainerId>,
}

impl Lookout {
    /// Prepares the rounds.
    pub fn new(context: Arc<JobContext>, board: Board, run: Run) -> Self {
        Self {
            context,
            board,
            run,
            next_slow_round: Instant::now(),
            refused: BTreeSet::new(),
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
        self.ask_services(&picture).await;
        let newcomer = inside(&picture).any(|server| server.reach == Reach::Unknown);
        if newcomer || Instant::now() >= self.next_slow_round {
            let all_answered = self.ask_servers(&picture).await;
            self.ask_usage(&picture).await;
            let pause = if all_answered {
                SLOW_ROUND
            } else {
                RETRY_ROUND
            };
            self.next_slow_round = Instant::now() + pause;
        }
    }

    async fn ask_services(&self, picture: &Picture) {
        let now = self.context.clock.now();
        let due = picture.services.values().filter(|service| {
            service.health_policy.target != ProbeTarget::Docker
                && service.reading.as_ref().is_none_or(|reading| {
                    (now - reading.at).to_std().unwrap_or(Duration::MAX)
                        >= service.health_policy.interval
                })
        });
        let networks = picture_networks(picture, &self.context);
        let mut answers = Vec::new();
        for group in due.collect::<Vec<_>>().chunks(AT_ONCE) {
            let asked = group
                .iter()
                .map(|service| ask(networks.clone(), service).boxed());
            answers.extend(join_all(asked.collect::<Vec<_>>()).await);
        }
        if answers.is_empty() {
            return;
        }
        let now = self.context.clock.now();
        self.board.update(|picture| {
            for (name, (answer, took)) in answers {
                note_answer(
                    picture,
                    &name,
                    Reading {
                        at: now,
                        answer,
                        took,
                        failures: 0,
                    },
                );
            }
        });
    }

    async fn ask_servers(&mut self, picture: &Picture) -> bool {
        let mut all_answered = true;
        for server in inside(picture).filter(|server| server.policy.enabled) {
            let container = &server.target.container;
            let way = if self.refused.contains(container) {
                WayIn::Exec
            } else {
                WayIn::Network
            };
            let seen = look(&self.context, &self.run, picture, server, way).await;
            if seen.as_ref().is_ok_and(|seen| seen.way == WayIn::Exec) {
                self.refused.insert(container.clone());
            }
            // An empty database is looked at again soon: its first backup waits for its first table.
            all_answered &= seen.as_ref().is_ok_and(|seen| seen.empty.is_empty());
            show(&self.board, &server.service, seen);
        }
        all_answered
    }

    async fn ask_usage(&self, picture: &Picture) {
        let services: Vec<&ServicePicture> = picture.services.values().collect();
        let mut usages = Vec::new();
        for group in services.chunks(AT_ONCE) {
            let asked = group
                .iter()
                .map(|service| usage(&self.context, service).boxed());
            usages.extend(join_all(asked.collect::<Vec<_>>()).await);
        }
        let proof_room = self.context.find_proof_room();
        self.board.update(|picture| {
            picture.proof_room = proof_room;
            for (name, usage) in usages {
                if let Some(service) = picture.services.get_mut(&name) {
                    service.usage = usage;
                }
            }
        });
    }
}

/// The servers of the stack itself.
fn inside(picture: &Picture) -> impl Iterator<Item = &ServerPicture> {
    let servers = picture.servers.values();
    servers.filter(|server| server.target.server.outside.is_none())
}

async fn look(
    context: &JobContext,
    run: &Run,
    picture: &Picture,
    server: &ServerPicture,
    way: WayIn,
) -> Result<Seen, ServerError> {
    let may_be_empty = |database: &DatabaseName| !has_backup(picture, server, database);
    let question = server::Question { way, may_be_empty };
    let (target, selection) = (&server.target, &server.policy.databases);
    server::look(context, run, target, selection, question).await
}

fn show(board: &Board, service: &ServiceName, seen: Result<Seen, ServerError>) {
    board.update(|picture| {
        let Some(shown) = picture.servers.get_mut(service) else {
            return;
        };
        match seen {
            Ok(seen) => note_server(shown, seen),
            Err(error) => {
                shown.reach = Reach::Lost(chain(&error));
                name_what_is_asked_for(shown);
            }
        }
    });
}

/// A server outside the stack that has not answered since our start: its databases stand in its own settings, and that they
/// are not backed up must not go unseen.
fn name_what_is_asked_for(shown: &mut ServerPicture) {
    let DatabaseSelection::Named(named) = &shown.policy.databases else {
        return;
    };
    if shown.databases.is_empty() && shown.target.server.outside.is_some() {
        let service = &shown.service;
        let named = named.iter().cloned();
        shown.databases = named
            .map(|name| DatabaseRef::new(service.clone(), name))
            .collect();
    }
}

async fn ask(networks: Vec<String>, service: &ServicePicture) -> (ServiceName, (Answer, Duration)) {
    let question = probe::Question {
        container: &service.container,
        policy: &service.health_policy,
    };
    (
        service.container.service.clone(),
        probe::ask(&networks, question).await,
    )
}

/// A container that ended in between simply has no usage; its state tells the rest.
async fn usage(
    context: &JobContext,
    service: &ServicePicture,
) -> (ServiceName, Option<(f64, ByteCount)>) {
    let usage = context
        .docker
        .usage(&service.container.id)
        .await
        .ok()
        .flatten();
    (
        service.container.service.clone(),
        usage.map(|it| (it.cpu_seconds, it.memory)),
    )
}

/// The networks our own container is attached to.
fn picture_networks(picture: &Picture, context: &JobContext) -> Vec<String> {
    let own = context.own.as_ref().map(|own| &own.id);
    let ours = picture
        .services
        .values()
        .find(|service| Some(&service.container.id) == own);
    let networks = ours
        .into_iter()
        .flat_map(|service| &service.container.networks);
    networks
        .map(|attachment| attachment.network.clone())
        .collect()
}

fn note_answer(picture: &mut Picture, name: &ServiceName, mut reading: Reading) {
    let Some(service) = picture.services.get_mut(name) else {
        return;
    };
    let before = service
        .reading
        .as_ref()
        .map_or(0, |reading| reading.failures);
    reading.failures = match reading.answer {
        Answer::Good => 0,
        Answer::Bad(_) => before.saturating_add(1),
    };
    service.reading = Some(reading);
}

fn has_backup(picture: &Picture, server: &ServerPicture, database: &DatabaseName) -> bool {
    let series = Series {
        project: picture.project.clone(),
        service: server.service.clone(),
        content: Content::Database(database.clone()),
    };
    let regular = |backup: &Arc<Backup>| backup.manifest.reason != Reason::PreMigration;
    picture
        .series
        .get(&series)
        .is_some_and(|state| state.backups.iter().any(regular))
}

fn note_server(shown: &mut ServerPicture, seen: Seen) {
    shown.reach = Reach::Reached;
    shown.vitals = Some(seen.vitals);
    let service = shown.service.clone();
    let name = |name: DatabaseName| DatabaseRef::new(service.clone(), name);
    shown.databases = seen.databases.into_iter().map(name).collect();
    shown.empty = seen.empty.into_iter().map(name).collect();
}
