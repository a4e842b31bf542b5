//! Who has to be restarted when a database was exchanged under it.
//!
//! `docker compose restart postgres` restarts postgres and those whose `depends_on` says `restart: true`. That is too
//! few here, since the database is another one now, and everything downstream would be too many. So: who depends on the
//! database's service directly, or through a service that is waited for until it completed (a gate, a migration);
//! from there on only along `restart: true`. What completes and what does not run is left alone.

use std::collections::BTreeSet;

use crate::domain::fleet::{Container, ContainerState, DependencyCondition, Fleet, Following};
use crate::domain::id::{ImageId, ServiceName};

/// The containers to restart, in the order of services; those of stackwarden's own image are none.
pub fn find<'a>(
    fleet: &'a Fleet,
    database: &ServiceName,
    own_image: Option<&ImageId>,
) -> Vec<&'a Container> {
    let completing = completing(fleet);
    let mut reached = BTreeSet::from([database]);
    loop {
        let before = reached.len();
        for container in &fleet.containers {
            let counts = container.depends_on.iter().any(|edge| {
                let passes = edge.service == *database || completing.contains(&edge.service);
                reached.contains(&edge.service) && (passes || edge.following == Following::Restarts)
            });
            if counts {
                reached.insert(&container.service);
            }
        }
        if before == reached.len() {
            break;
        }
    }
    let is_meant = |container: &&Container| {
        let service = &container.service;
        reached.contains(service)
            && service != database
            && !completing.contains(service)
            && container.state == ContainerState::Running
            && own_image != Some(&container.image_id)
    };
    fleet.containers.iter().filter(is_meant).collect()
}

/// The services that somebody waits for until they completed.
fn completing(fleet: &Fleet) -> BTreeSet<&ServiceName> {
    let edges = fleet.containers.iter().flat_map(|it| &it.depends_on);
    let completed = edges.filter(|edge| edge.condition == DependencyCondition::Completed);
    completed.map(|edge| &edge.service).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::fleet::{Dependency, DockerHealth, Environment, Lifetime};
    use crate::domain::id::{ContainerId, ProjectName};

    /// `name state: dependency …`; a dependency is a name, with `!` when it is waited for until it completed and `+`
    /// with `restart: true`.
    fn container(line: &str) -> Container {
        let (head, tail) = line.split_once(':').unwrap();
        let (name, state) = head.split_once(' ').unwrap();
        let dependency = |word: &str| Dependency {
            service: ServiceName::new(word.trim_end_matches(['!', '+'])),
            condition: if word.ends_with('!') {
                DependencyCondition::Completed
            } else {
                DependencyCondition::Healthy
            },
            following: if word.ends_with('+') {
                Following::Restarts
            } else {
                Following::Stays
            },
        };
        Container {
            id: ContainerId::new(name),
            name: name.to_owned(),
            service: ServiceName::new(name),
            image: name.to_owned(),
            image_id: ImageId::new(if name.starts_with("stackwarden") {
                "own"
            } else {
                name
            }),
            state: if state == "up" {
                ContainerState::Running
            } else {
                ContainerState::Exited(0)
            },
            health: DockerHealth::Absent,
            created: 0,
            restarts: 0,
            lifetime: Lifetime::Lasting,
            labels: BTreeMap::new(),
            environment: Environment::default(),
            networks: Vec::new(),
            depends_on: tail.split_whitespace().map(dependency).collect(),
        }
    }

    fn restarted(lines: &[&str]) -> Vec<String> {
        let containers = lines.iter().map(|line| container(line)).collect();
        let fleet = Fleet::new(ProjectName::new("p"), containers);
        let own = ImageId::new("own");
        let found = find(&fleet, &ServiceName::new("postgres"), Some(&own));
        found.iter().map(|it| it.name.clone()).collect()
    }

    #[test]
    fn who_depends_on_the_database_is_restarted_also_behind_the_gate() {
        let lines = [
            "postgres up:",
            "stackwarden up: postgres",
            "stackwarden-gate down: postgres",
            "api up: stackwarden-gate!",
            "bot up: redis postgres",
            "frontend up: api",
            "redis up:",
            "worker down: postgres",
        ];
        assert_eq!(restarted(&lines), ["api", "bot"]);
    }

    #[test]
    fn further_on_only_who_asks_for_it_is() {
        let lines = [
            "postgres up:",
            "api up: postgres",
            "web up: api+",
            "edge up: web",
            "cache up: web+",
        ];
        assert_eq!(restarted(&lines), ["api", "web", "cache"]);
    }

    #[test]
    fn a_migration_that_is_waited_for_is_passed_through_and_left_alone() {
        let lines = [
            "postgres up:",
            "migrate up: postgres",
            "seed down: migrate!",
            "api up: seed!",
        ];
        assert_eq!(restarted(&lines), ["api"]);
    }
}
