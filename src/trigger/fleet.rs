//! What Docker shows: re-lists the project's containers at every event and every quarter of a minute.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::board::{Board, Picture, Reach, ServerPicture, ServicePicture, shows};
use crate::docker::Docker;
use crate::domain::failure::chain;
use crate::domain::fleet::Fleet;
use crate::domain::id::{ProjectName, ServiceName};
use crate::domain::label::StackDefaults;
use crate::domain::roster::{Roster, RosterServer, read_roster};

/// A lost event costs at most this long.
const PERIOD: Duration = Duration::from_secs(15);
/// Events come in bursts (a recreated service makes a dozen): the first is answered at once, and all that come
/// within this time of the answer by one more listing.
const SETTLE: Duration = Duration::from_millis(25);

/// The task that keeps the board's services true.
#[derive(Debug)]
pub struct FleetTrigger {
    /// The engine.
    pub docker: Docker,
    /// What is shown.
    pub board: Board,
    /// The Compose project.
    pub project: ProjectName,
    /// Defaults for what labels leave open.
    pub defaults: StackDefaults,
    /// The servers outside the stack.
    pub outside: Vec<RosterServer>,
}

impl FleetTrigger {
    /// Watches until `soft` is cancelled.
    pub async fn run(self, soft: CancellationToken) {
        // Subscribed before the first listing, so that nothing between the two is missed.
        let mut events = pin!(self.docker.events(&self.project));
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = period.tick() => {}
                Some(_hint) = events.next() => drain(&mut events),
                () = soft.cancelled() => return,
            }
            self.relist().await;
            tokio::time::sleep(SETTLE).await;
        }
    }

    async fn relist(&self) {
        match self.docker.list(&self.project).await {
            Ok(fleet) => self.show(&fleet),
            Err(error) => {
                let why = chain(&error);
                if self.board.read().docker != Reach::Lost(why.clone()) {
                    warn!(error = %why, "docker cannot be asked");
                }
                self.board
                    .update(|picture| picture.docker = Reach::Lost(why));
            }
        }
    }

    fn show(&self, fleet: &Fleet) {
        let picture = self.board.read();
        if picture.docker == Reach::Reached && shows(&picture, fleet) {
            return;
        }
        let roster = read_roster(fleet, &self.defaults, &self.outside);
        tell_problems(&picture, &roster);
        self.board
            .update(|picture| put_roster(picture, fleet, roster));
    }
}

/// Takes the hints that are there already: the listing to come answers them too.
fn drain(hints: &mut (impl Stream + Unpin)) {
    while let Some(Some(_hint)) = hints.next().now_or_never() {}
}

fn tell_problems(picture: &Picture, roster: &Roster) {
    for problem in roster.complaints() {
        if !picture.label_problems.contains(&problem) {
            warn!(problem = %problem, "a label or a setting has no effect");
        }
    }
}

fn put_roster(picture: &mut Picture, fleet: &Fleet, roster: Roster) {
    picture.docker = Reach::Reached;
    picture.label_problems = roster.complaints();
    let mut services: BTreeMap<ServiceName, ServicePicture> = BTreeMap::new();
    for container in fleet.services() {
        let Some(entry) = roster.services.get(&container.service) else {
            continue;
        };
        let shown = ServicePicture {
            container: container.clone(),
            health_policy: entry.health.clone(),
            migration: entry.migration.find_valid().cloned(),
            reading: None,
            usage: None,
        };
        services.insert(container.service.clone(), shown);
    }
    picture.put_services(services);
    let mut known = std::mem::take(&mut picture.servers);
    for (service, server) in roster.servers {
        let shown = match known.remove(&service) {
            Some(shown) if shown.target == server.target => ServerPicture {
                policy: server.policy,
                ..shown
            },
            _ => {
                info!(service = %service, image = %server.target.image, "postgres server found");
                ServerPicture::new(server.target, server.policy)
            }
        };
        picture.servers.insert(service, shown);
    }
}
