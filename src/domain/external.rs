//! Postgres servers outside the stack, as `STACKWARDEN_EXTERNAL` names them.
//!
//! Such a server has no container that we may enter, so every program that talks to it runs in our own one, over the
//! network. Invariant: nothing makes a connection less safe than its URL asks for.

pub mod address;

use std::collections::{BTreeMap, BTreeSet};

use self::address::Address;
use super::backup::Level;
use super::database::image::Flavour;
use super::database::login::{PasswordSource, ServerLogin, TextSource};
use super::database::{BackupSwitch, Evidence, Server};
use super::id::{ContainerId, DatabaseName, ImageId, ServiceName};
use super::label::StackDefaults;
use super::policy::{BackupPolicy, DatabaseSelection, KeepPolicy};
use super::roster::{RosterServer, ServerTarget};
use super::schedule::Schedule;

/// A server outside the stack, as somebody wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalServer {
    /// What stands for a service's name everywhere.
    pub name: ServiceName,
    /// How to reach it.
    pub address: Address,
    /// The image in which its backups are restored to prove them.
    pub image: Option<String>,
    /// What differs from the stack's defaults.
    pub wishes: Wishes,
}

/// What somebody asked for one server; the rest is the stack's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// When.
    pub schedule: Option<Schedule>,
    /// How long.
    pub keep: Option<KeepPolicy>,
    /// How far it is proven.
    pub verify: Option<Level>,
    /// Which databases; that of the URL otherwise.
    pub databases: Option<DatabaseSelection>,
}

/// What jobs know of a server that no container of the stack runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// How to reach it.
    pub address: Address,
    /// The image in which its backups are proven.
    pub image: Option<String>,
    /// The programs that talk to it.
    pub clients: Clients,
}

/// Where PostgreSQL's client programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// In our own container, in these major versions.
    Here(BTreeSet<u32>),
    /// Nowhere, and what to do.
    Missing(&'static str),
}

impl Clients {
    /// The major version whose programs dump a server: the oldest that is not older than the server, since an archive is
    /// restored by programs that are not older than those which wrote it.
    pub fn find_for(&self, server: u32) -> Option<u32> {
        match self {
            Self::Here(majors) => majors.range(server..).next().copied(),
            Self::Missing(_) => None,
        }
    }

    /// The newest: its sessions reach every server.
    pub fn newest(&self) -> Option<u32> {
        match self {
            Self::Here(majors) => majors.last().copied(),
            Self::Missing(_) => None,
        }
    }
}

/// Where the programs run.
#[derive(Debug, Clone)]
pub struct Station {
    /// Our own container, when we know it.
    pub container: Option<ContainerId>,
    /// What is in it.
    pub clients: Clients,
}

/// What the roster gains by servers outside the stack.
pub fn enter(
    servers: &[ExternalServer],
    defaults: &StackDefaults,
    station: &Station,
) -> Vec<RosterServer> {
    let mut hosts: BTreeMap<&str, usize> = BTreeMap::new();
    for server in servers {
        *hosts.entry(server.address.host.as_str()).or_default() += 1;
    }
    let entered = servers.iter().map(|server| {
        let host = server.address.host.as_str();
        // Of two servers on one host a URL's host does not tell which one a migration means.
        let is_alone = hosts.get(host) == Some(&1);
        RosterServer {
            target: target(server, station, is_alone.then(|| host.to_owned())),
            policy: policy(server, defaults),
        }
    });
    entered.collect()
}

fn policy(server: &ExternalServer, defaults: &StackDefaults) -> BackupPolicy {
    let wishes = &server.wishes;
    let of_url = || DatabaseSelection::Named(BTreeSet::from([server.address.database.clone()]));
    let schedule = wishes.schedule.as_ref().unwrap_or(&defaults.schedule);
    BackupPolicy {
        enabled: true,
        schedule: schedule.clone(),
        databases: wishes.databases.clone().unwrap_or_else(of_url),
        keep: wishes.keep.unwrap_or(defaults.keep),
        verify: wishes.verify.unwrap_or(defaults.verify),
        drill: defaults.drill.clone(),
    }
}

fn target(server: &ExternalServer, station: &Station, host: Option<String>) -> ServerTarget {
    let nowhere = || ContainerId::new("");
    let container = station.container.clone().unwrap_or_else(nowhere);
    let image = server.image.clone().unwrap_or_default();
    let address = &server.address;
    let login = ServerLogin {
        user: TextSource::Value(address.user.clone()),
        // Read where it is needed: a file's may have been changed since.
        password: PasswordSource::None,
        default_database: TextSource::Value(address.database.as_str().to_owned()),
    };
    ServerTarget {
        service: server.name.clone(),
        container: container.clone(),
        image_id: ImageId::new(image.clone()),
        image,
        server: Server {
            service: server.name.clone(),
            container,
            hosts: host.into_iter().chain([server.name.to_string()]).collect(),
            evidence: Evidence::External,
            flavour: Flavour::Official,
            switch: BackupSwitch::On,
            login,
            outside: Some(Outside {
                address: address.clone(),
                image: server.image.clone(),
                clients: station.clients.clone(),
            }),
        },
    }
}

impl Outside {
    /// The database in which sessions begin where `postgres` may not be entered.
    pub fn entry(&self) -> &DatabaseName {
        &self.address.database
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::address::parse_address;
    use super::*;
    use crate::domain::id::ProjectName;
    use crate::domain::label::MigrationReading;
    use crate::domain::label::value::parse_keep;
    use crate::domain::policy::{HealthPolicy, Importance, ProbeTarget};
    use crate::domain::roster::{Roster, RosterService};
    use crate::domain::schedule::Zone;

    fn server(name: &str, url: &str) -> ExternalServer {
        ExternalServer {
            name: ServiceName::new(name),
            address: parse_address(url).unwrap(),
            image: Some("postgres:17".to_owned()),
            wishes: Wishes::default(),
        }
    }

    fn entered(servers: &[ExternalServer]) -> Vec<RosterServer> {
        let project = ProjectName::new("stack");
        let defaults = StackDefaults {
            schedule: Schedule::nightly(&project, Zone::UTC).unwrap(),
            drill: Schedule::weekly(&project, Zone::UTC).unwrap(),
            keep: parse_keep("last=3").unwrap(),
            verify: Level::Rows,
            databases: DatabaseSelection::All,
            zone: Zone::UTC,
        };
        let station = Station {
            container: Some(ContainerId::new("own")),
            clients: Clients::Here(BTreeSet::from([17])),
        };
        enter(servers, &defaults, &station)
    }

    #[test]
    fn a_server_outside_has_the_stacks_defaults_and_the_database_of_its_url() {
        let mut wishing = server("shop", "postgres://app@db.example/shop");
        wishing.wishes.verify = Some(Level::Archive);
        let entered = entered(&[server("other", "postgres://app@10.0.0.2/other"), wishing]);
        let [other, shop] = entered.as_slice() else {
            panic!("two servers");
        };
        assert_eq!(
            (other.policy.verify, shop.policy.verify),
            (Level::Rows, Level::Archive)
        );
        assert_eq!(shop.policy.keep.last, 3);
        let only = DatabaseSelection::Named(BTreeSet::from([DatabaseName::new("shop")]));
        assert_eq!(shop.policy.databases, only);
        assert_eq!(shop.target.container.as_str(), "own");
        let hosts: Vec<&str> = shop
            .target
            .server
            .hosts
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(hosts, ["db.example", "shop"]);
    }

    #[test]
    fn a_host_with_two_servers_tells_of_neither() {
        let entered = entered(&[
            server("one", "postgres://app@db:1/a"),
            server("two", "postgres://app@db:2/a"),
        ]);
        assert!(
            entered
                .iter()
                .all(|it| !it.target.server.hosts.contains("db"))
        );
    }

    #[test]
    fn a_name_of_a_service_of_the_stack_is_no_name_for_another_server() {
        let entered = entered(&[server("shop", "postgres://app@db/shop")]);
        let mut roster = Roster::default();
        roster.enter(&entered[0]);
        assert!(
            roster.clashes.is_empty() && roster.servers.len() == 1 && roster.all_servers.len() == 1
        );
        let mut roster = Roster::default();
        let service = RosterService {
            migration: MigrationReading::Absent,
            health: HealthPolicy {
                target: ProbeTarget::Docker,
                importance: Importance::Required,
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                failures: 1,
            },
        };
        roster.services.insert(ServiceName::new("shop"), service);
        roster.enter(&entered[0]);
        assert!(roster.servers.is_empty());
        let complaints = roster.complaints();
        assert!(
            complaints[0].contains("shop is the name of a service"),
            "{complaints:?}"
        );
    }

    #[test]
    fn the_oldest_programs_that_are_not_older_than_the_server_dump_it() {
        let clients = Clients::Here(BTreeSet::from([15, 17, 18]));
        for (server, chosen) in [
            (13, Some(15)),
            (15, Some(15)),
            (16, Some(17)),
            (18, Some(18)),
            (19, None),
        ] {
            assert_eq!(clients.find_for(server), chosen, "{server}");
        }
        assert_eq!(clients.newest(), Some(18));
        assert_eq!(Clients::Missing("none").find_for(15), None);
    }
}
