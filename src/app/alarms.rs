//! The channels that are set up: their tasks in the sidecar, and their test by hand.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::info;

use super::ground::Ground;
use crate::board::{Board, Reach};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::desk::{Herald, Pinger, Steps};
use crate::docker::Docker;
use crate::domain::alarm::Channel;
use crate::domain::id::ProjectName;
use crate::job::tell::{Messenger, Pulse};
use crate::lifecycle::Lifecycle;

/// How long Docker may take to tell the project's name to a test.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the sidecar's service is called where nobody knows.
const SIDECAR: &str = "stackwarden";

/// Begins the tasks of the channels that are set up.
pub(super) fn begin(ground: &Ground, board: &Board, settings: &Settings, lifecycle: &Lifecycle) {
    let context = &ground.context;
    if let Some(messenger) = messenger(settings, &context.project) {
        begin_channel(board, Channel::Telegram);
        let herald = Herald {
            messenger,
            board: board.clone(),
            journal: ground.journal.clone(),
            context: Arc::clone(context),
            steps: steps(ground),
        };
        lifecycle.supervise("telegram", herald.run(lifecycle.soft()));
    }
    if let Some(pulse) = pulse(settings) {
        begin_channel(board, Channel::Ping);
        let pinger = Pinger::new(pulse, board.clone());
        lifecycle.supervise("ping", pinger.run(lifecycle.soft()));
    }
}

fn begin_channel(board: &Board, channel: Channel) {
    info!(channel = channel.as_str(), "alarms are told");
    board.update(|picture| drop(picture.channels.insert(channel, Reach::Unknown)));
}

fn messenger(settings: &Settings, project: &ProjectName) -> Option<Messenger> {
    let access = settings.telegram.clone()?;
    let roots = settings.roots.clone();
    Some(Messenger::new(access, roots, project.clone()))
}

fn pulse(settings: &Settings) -> Option<Pulse> {
    let address = settings.ping.clone()?;
    Some(Pulse::new(address, settings.roots.clone()))
}

fn steps(ground: &Ground) -> Steps {
    let context = &ground.context;
    let own = context.own.as_ref();
    let service = own.and_then(|own| own.service.as_ref());
    let root = context.store.root();
    let folder = context.host_path(root);
    Steps {
        compose: format!("docker compose -p {}", context.project),
        sidecar: service.map_or_else(|| SIDECAR.to_owned(), ToString::to_string),
        folder: folder.as_deref().unwrap_or(root).display().to_string(),
    }
}

/// How the test of one channel went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Which.
    pub channel: Channel,
    /// How far it works.
    pub reached: Reached,
    /// One sentence.
    pub detail: String,
}

/// How far a channel works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Everybody was told.
    All,
    /// Some were.
    Some,
    /// Nobody was.
    Nobody,
}

/// Sends a test by every channel that is set up; none when there is none.
pub async fn test(settings: &Settings) -> Vec<Tested> {
    let mut tested = Vec::new();
    let project = project(settings).await;
    if let Some(messenger) = messenger(settings, &project) {
        let delivery = messenger.test(SystemClock.now()).await;
        let reached = match (delivery.reached, delivery.failures.is_empty()) {
            (_, true) => Reached::All,
            (0, false) => Reached::Nobody,
            (_, false) => Reached::Some,
        };
        let mut words = vec![format!("a message went to {} chats", delivery.reached)];
        words.extend(delivery.failures);
        tested.push(Tested {
            channel: Channel::Telegram,
            reached,
            detail: words.join("; "),
        });
    }
    if let Some(pulse) = pulse(settings) {
        let (reached, detail) = match pulse.well().await {
            Ok(()) => {
                let detail = "the switch heard that all is well; its clock begins anew";
                (Reached::All, detail.to_owned())
            }
            Err(untold) => (Reached::Nobody, untold.why),
        };
        tested.push(Tested {
            channel: Channel::Ping,
            reached,
            detail,
        });
    }
    tested
}

/// The project as far as it can be known: a test of alarms must not need Docker.
async fn project(settings: &Settings) -> ProjectName {
    if let Some(project) = &settings.project {
        return project.clone();
    }
    let found = async {
        let docker = Docker::connect(Some(&settings.docker.to_string())).ok()?;
        docker.find_own().await.ok()??.project
    };
    let found = timeout(PATIENCE, found).await.ok().flatten();
    found.unwrap_or_else(|| ProjectName::new("unknown project"))
}
