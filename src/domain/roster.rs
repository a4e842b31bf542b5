//! Who does what in the stack: every service's policies and every database server, read from the fleet.

use std::collections::BTreeMap;

use super::database::{BackupSwitch, Server, find_server};
use super::fleet::{Container, Fleet};
use super::id::{ContainerId, ImageId, ServiceName};
use super::label::table::MIGRATE;
use super::label::{LabelProblem, MigrationReading, Role, StackDefaults, read_labels};
use super::policy::{BackupPolicy, HealthPolicy};

/// What one service asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterService {
    /// Its migration.
    pub migration: MigrationReading,
    /// Its health.
    pub health: HealthPolicy,
}

/// A database server as jobs reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTarget {
    /// Its service.
    pub service: ServiceName,
    /// Its container.
    pub container: ContainerId,
    /// The image as the compose file names it.
    pub image: String,
    /// The image's id.
    pub image_id: ImageId,
    /// What its environment tells.
    pub server: Server,
}

impl ServerTarget {
    /// A server and the container it runs in.
    pub fn new(server: Server, container: &Container) -> Self {
        Self {
            service: container.service.clone(),
            container: container.id.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            server,
        }
    }
}

/// A database server and what is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterServer {
    /// How to reach it.
    pub target: ServerTarget,
    /// What is asked.
    pub policy: BackupPolicy,
}

/// The whole stack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// Every service.
    pub services: BTreeMap<ServiceName, RosterService>,
    /// Every database server that is backed up.
    pub servers: BTreeMap<ServiceName, RosterServer>,
    /// Every database server, those included that are not backed up.
    pub all_servers: BTreeMap<ServiceName, ServerTarget>,
    /// What is wrong with the labels.
    pub problems: Vec<LabelProblem>,
    /// Servers outside the stack that are called like a service of it, and are left out.
    pub clashes: Vec<ServiceName>,
}

impl Roster {
    /// What is wrong, one sentence each.
    pub fn complaints(&self) -> Vec<String> {
        let problems = self.problems.iter().map(ToString::to_string);
        let clashes = self.clashes.iter().map(|name| {
            format!("STACKWARDEN_EXTERNAL: {name} is the name of a service of this stack, so that server is not backed up; give it another name")
        });
        problems.chain(clashes).collect()
    }

    /// Adds a server outside the stack.
    pub(super) fn enter(&mut self, server: &RosterServer) {
        let name = server.target.service.clone();
        if self.services.contains_key(&name) {
            self.clashes.push(name);
            return;
        }
        self.all_servers.insert(name.clone(), server.target.clone());
        self.servers.insert(name, server.clone());
    }
}

/// Reads every service's newest container, and adds the servers outside the stack.
pub fn read_roster(fleet: &Fleet, defaults: &StackDefaults, outside: &[RosterServer]) -> Roster {
    let mut roster = Roster::default();
    for container in fleet.services() {
        let server = find_server(container);
        // psql comes in the server's own image: with `stackwarden.backup: "false"` it is a client that migrates.
        let is_client = server
            .as_ref()
            .is_some_and(|it| it.switch == BackupSwitch::Off)
            && container.labels.contains_key(MIGRATE);
        let server = server.filter(|_| !is_client);
        let role = if server.is_some() {
            Role::Database
        } else {
            Role::App
        };
        let (policies, problems) =
            read_labels(&container.service, &container.labels, role, defaults);
        roster.problems.extend(problems);
        let service = RosterService {
            migration: policies.migration,
            health: policies.health,
        };
        roster.services.insert(container.service.clone(), service);
        let Some(server) = server else { continue };
        let wanted = server.switch == BackupSwitch::On;
        let target = ServerTarget::new(server, container);
        roster
            .all_servers
            .insert(container.service.clone(), target.clone());
        if let Some(policy) = policies.backup.filter(|policy| wanted && policy.enabled) {
            roster
                .servers
                .insert(container.service.clone(), RosterServer { target, policy });
        }
    }
    for server in outside {
        roster.enter(server);
    }
    roster
}
