//! The order of migrations, and what a service waits for besides the gate.
//!
//! Knows Compose's graph of `depends_on` and the `.migrate.after` labels. Pure and stable: the same
//! stack gives the same order, services without a preference stand in the order of their names.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::fleet::{Dependency, Fleet};
use super::id::ServiceName;
use super::policy::MigrationPolicy;

/// Why the migrations have no order.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OrderError {
    /// A service names one that has no migration.
    #[error(
        "service {service} wants its migrations after those of {after}, which has no stackwarden.migrate label{}; correct stackwarden.migrate.after of {service}",
        hint.as_ref().map(|known| format!(" (did you mean {known}?)")).unwrap_or_default()
    )]
    Unknown {
        /// Whose label it is.
        service: ServiceName,
        /// The name nobody has.
        after: ServiceName,
        /// A service that looks like it.
        hint: Option<ServiceName>,
    },
    /// Services wait for each other; the first one is named again at the end.
    #[error(
        "migrations wait for each other: {}; remove one stackwarden.migrate.after",
        services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" -> ")
    )]
    Cycle {
        /// Each waits for the next.
        services: Vec<ServiceName>,
    },
}

/// Orders the services so that each one comes behind those its `.migrate.after` names.
///
/// # Errors
/// When a name is unknown or services wait for each other; retrying is useless.
pub fn order(
    migrations: &BTreeMap<ServiceName, MigrationPolicy>,
) -> Result<Vec<ServiceName>, OrderError> {
    for (service, policy) in migrations {
        if let Some(after) = policy
            .after
            .iter()
            .find(|name| !migrations.contains_key(name))
        {
            return Err(OrderError::Unknown {
                service: service.clone(),
                after: after.clone(),
                hint: closest(after, migrations.keys()),
            });
        }
    }
    let mut ordered: Vec<ServiceName> = Vec::new();
    let mut waiting: BTreeMap<&ServiceName, BTreeSet<&ServiceName>> = migrations
        .iter()
        .map(|(service, policy)| (service, policy.after.iter().collect()))
        .collect();
    while !waiting.is_empty() {
        let free = waiting
            .iter()
            .find(|(_, after)| after.is_empty())
            .map(|(service, _)| *service);
        let Some(free) = free else {
            return Err(OrderError::Cycle {
                services: find_cycle(&waiting),
            });
        };
        waiting.remove(free);
        for after in waiting.values_mut() {
            after.remove(free);
        }
        ordered.push(free.clone());
    }
    Ok(ordered)
}

/// Follows the first name of each service; every one left waits, so the walk must come back.
fn find_cycle(waiting: &BTreeMap<&ServiceName, BTreeSet<&ServiceName>>) -> Vec<ServiceName> {
    let mut walk: Vec<&ServiceName> = Vec::new();
    let mut here = waiting.keys().next().copied();
    while let Some(service) = here {
        if let Some(start) = walk.iter().position(|seen| *seen == service) {
            let round = walk.into_iter().skip(start).chain([service]);
            return round.cloned().collect();
        }
        walk.push(service);
        here = waiting
            .get(service)
            .and_then(|after| after.first())
            .copied();
    }
    walk.into_iter().cloned().collect()
}

fn closest<'a>(
    wanted: &ServiceName,
    known: impl Iterator<Item = &'a ServiceName>,
) -> Option<ServiceName> {
    known
        .map(|name| {
            (
                strsim::damerau_levenshtein(wanted.as_str(), name.as_str()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.clone())
}

/// The conditions of a service that the gate can wait for: those that do not wait for the gate.
///
/// A service without a container (an inactive profile) is left out, as Compose leaves it out.
pub fn conditions_before_gate(
    fleet: &Fleet,
    service: &ServiceName,
    gate: &ServiceName,
) -> Vec<Dependency> {
    let Some(container) = fleet.find_service(service) else {
        return Vec::new();
    };
    container
        .depends_on
        .iter()
        .filter(|dependency| fleet.find_service(&dependency.service).is_some())
        .filter(|dependency| !waits_for(fleet, &dependency.service, gate))
        .cloned()
        .collect()
}

/// Whether a service starts only after the gate, directly or through others; the gate itself does.
pub fn waits_for(fleet: &Fleet, service: &ServiceName, gate: &ServiceName) -> bool {
    let mut seen: BTreeSet<&ServiceName> = BTreeSet::new();
    let mut open = vec![service];
    while let Some(next) = open.pop() {
        if next == gate {
            return true;
        }
        if !seen.insert(next) {
            continue;
        }
        if let Some(container) = fleet.find_service(next) {
            open.extend(
                container
                    .depends_on
                    .iter()
                    .map(|dependency| &dependency.service),
            );
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::fleet::{
        Container, ContainerState, DependencyCondition, DockerHealth, Environment,
    };
    use crate::domain::id::{ContainerId, ImageId, ProjectName};
    use crate::domain::policy::{BackupBefore, CommandLine, EntrypointPolicy};

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text)
    }

    fn migrations(edges: &[(&str, &[&str])]) -> BTreeMap<ServiceName, MigrationPolicy> {
        let policy = |after: &[&str]| MigrationPolicy {
            command: CommandLine(vec!["true".to_owned()]),
            after: after.iter().map(|text| name(text)).collect(),
            status: None,
            entrypoint: EntrypointPolicy::Keep,
            database: None,
            backup: BackupBefore::Auto,
            backup_max_age: Duration::ZERO,
            timeout: Duration::ZERO,
        };
        edges
            .iter()
            .map(|(service, after)| (name(service), policy(after)))
            .collect()
    }

    fn shown(edges: &[(&str, &[&str])]) -> String {
        match order(&migrations(edges)) {
            Ok(services) => services
                .iter()
                .map(ServiceName::as_str)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_service_comes_behind_those_it_names_and_names_decide_the_rest() {
        assert_eq!(shown(&[]), "");
        assert_eq!(shown(&[("b", &[]), ("a", &[]), ("c", &[])]), "a b c");
        assert_eq!(shown(&[("a", &["c"]), ("b", &[]), ("c", &["b"])]), "b c a");
    }

    #[test]
    fn an_unknown_service_is_named_with_a_hint() {
        let text = shown(&[("api", &["wroker"]), ("worker", &[])]);
        assert!(
            text.contains("service api") && text.contains("did you mean worker?"),
            "{text}"
        );
        assert!(!shown(&[("api", &["billing"])]).contains("did you mean"));
    }

    #[test]
    fn a_cycle_is_named_from_end_to_end() {
        assert!(shown(&[("a", &["b"]), ("b", &["a"])]).contains("a -> b -> a"));
        assert!(shown(&[("a", &["a"])]).contains("a -> a"));
        assert!(shown(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]).contains("b -> c -> b"));
    }

    fn fleet(edges: &[(&str, &[&str])]) -> Fleet {
        let dependency = |text: &&str| Dependency {
            service: name(text),
            condition: DependencyCondition::Healthy,
            following: crate::domain::fleet::Following::Stays,
        };
        let container = |(service, depends_on): &(&str, &[&str])| Container {
            id: ContainerId::new(*service),
            name: (*service).to_owned(),
            service: name(service),
            image: String::new(),
            image_id: ImageId::new(""),
            state: ContainerState::Created,
            health: DockerHealth::Absent,
            created: 0,
            lifetime: crate::domain::fleet::Lifetime::OneShot,
            restarts: 0,
            labels: BTreeMap::new(),
            environment: Environment::default(),
            networks: Vec::new(),
            depends_on: depends_on.iter().map(dependency).collect(),
        };
        Fleet {
            project: ProjectName::new("stack"),
            containers: edges.iter().map(container).collect(),
        }
    }

    #[test]
    fn the_gate_waits_for_what_does_not_wait_for_the_gate() {
        let fleet = fleet(&[
            (
                "api",
                &["postgres", "redis", "gate", "worker", "web", "absent"],
            ),
            ("worker", &["gate"]),
            ("web", &["worker"]),
            ("gate", &["postgres"]),
            ("redis", &[]),
            ("postgres", &[]),
        ]);
        let conditions = conditions_before_gate(&fleet, &name("api"), &name("gate"));
        let services: Vec<&str> = conditions
            .iter()
            .map(|each| each.service.as_str())
            .collect();
        assert_eq!(services, ["postgres", "redis"]);
        assert_eq!(
            conditions_before_gate(&fleet, &name("nobody"), &name("gate")),
            []
        );
    }

    proptest! {
        #[test]
        fn an_order_holds_every_service_once_and_respects_every_edge(
            edges in proptest::collection::btree_map(
                "[a-f]", proptest::collection::btree_set("[a-f]", 0..3), 0..6),
        ) {
            let borrowed: Vec<(&str, Vec<&str>)> = edges
                .iter()
                .map(|(service, after)| (service.as_str(), after.iter().map(String::as_str).collect()))
                .collect();
            let slices: Vec<(&str, &[&str])> =
                borrowed.iter().map(|(service, after)| (*service, after.as_slice())).collect();
            let migrations = migrations(&slices);
            match order(&migrations) {
                Ok(services) => {
                    prop_assert_eq!(services.len(), migrations.len());
                    for (place, service) in services.iter().enumerate() {
                        for after in &migrations[service].after {
                            prop_assert!(services[..place].contains(after));
                        }
                    }
                }
                Err(OrderError::Unknown { service, after, .. }) => {
                    prop_assert!(migrations[&service].after.contains(&after));
                    prop_assert!(!migrations.contains_key(&after));
                }
                Err(OrderError::Cycle { services }) => {
                    prop_assert_eq!(services.first(), services.last());
                    for pair in services.windows(2) {
                        prop_assert!(migrations[&pair[0]].after.contains(&pair[1]));
                    }
                }
            }
        }

        #[test]
        fn waiting_ends_in_any_graph(
            edges in proptest::collection::vec(("[a-e]", proptest::collection::vec("[a-f]", 0..4)), 0..6),
        ) {
            let borrowed: Vec<(&str, Vec<&str>)> = edges
                .iter()
                .map(|(service, after)| (service.as_str(), after.iter().map(String::as_str).collect()))
                .collect();
            let slices: Vec<(&str, &[&str])> =
                borrowed.iter().map(|(service, after)| (*service, after.as_slice())).collect();
            let fleet = fleet(&slices);
            for condition in conditions_before_gate(&fleet, &name("a"), &name("b")) {
                prop_assert!(!waits_for(&fleet, &condition.service, &name("b")));
            }
        }
    }
}
