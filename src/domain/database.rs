//! Which containers are Postgres servers, how to log in, and which database an application migrates.
//!
//! Knows the contracts of the images people use (official and its derivatives, Bitnami, Supabase) and
//! nothing of Docker or Postgres themselves. Invariants: a program that merely talks to Postgres is
//! never taken for a server; a password never shows itself.

pub mod image;
pub mod login;
pub mod migration;
pub mod secret;
pub mod url;

use std::collections::BTreeSet;

use self::image::Flavour;
use self::login::ServerLogin;
use super::external::Outside;
use super::fleet::{Container, Fleet};
use super::id::{ContainerId, ServiceName};
use super::label::table::BACKUP;

/// By what a server was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The name of its image.
    Image,
    /// The environment its image was built with.
    Environment,
    /// `stackwarden.backup: "true"`.
    Label,
    /// `STACKWARDEN_EXTERNAL` names it.
    External,
}

/// What `stackwarden.backup` says about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupSwitch {
    /// Nothing, or `true`.
    On,
    /// `false`: it is known, so that migrations find it, and never backed up.
    Off,
}

/// A Postgres server of the stack, or one outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its service.
    pub service: ServiceName,
    /// Its container.
    pub container: ContainerId,
    /// Names that lead to it inside the stack: service, container and aliases.
    pub hosts: BTreeSet<String>,
    /// How we know.
    pub evidence: Evidence,
    /// Whose contract its environment follows.
    pub flavour: Flavour,
    /// Whether it is backed up.
    pub switch: BackupSwitch,
    /// How to log in.
    pub login: ServerLogin,
    /// What is known of one that no container of the stack runs; `container` is then our own.
    pub outside: Option<Outside>,
}

/// The servers of a stack, one per service, in the order of names.
pub fn find_servers(fleet: &Fleet) -> Vec<Server> {
    fleet
        .services()
        .into_iter()
        .filter_map(find_server)
        .collect()
}

/// The server that a container is, if it is one.
pub fn find_server(container: &Container) -> Option<Server> {
    let wish = find_wish(container);
    let evidence = match wish {
        Some(BackupSwitch::On) => find_evidence(container).unwrap_or(Evidence::Label),
        Some(BackupSwitch::Off) | None => find_evidence(container)?,
    };
    let flavour = image::flavour(&container.image, &container.environment);
    let attached = container
        .networks
        .iter()
        .flat_map(|network| &network.aliases);
    let hosts = [
        container.service.as_str().to_owned(),
        container.name.clone(),
    ];
    Some(Server {
        service: container.service.clone(),
        container: container.id.clone(),
        hosts: hosts.into_iter().chain(attached.cloned()).collect(),
        evidence,
        flavour,
        switch: wish.unwrap_or(BackupSwitch::On),
        login: login::read_login(flavour, &container.environment),
        outside: None,
    })
}

/// What the label says; one that cannot be read says nothing here and is a problem elsewhere.
fn find_wish(container: &Container) -> Option<BackupSwitch> {
    match container.labels.get(BACKUP)?.trim() {
        "true" => Some(BackupSwitch::On),
        "false" => Some(BackupSwitch::Off),
        _ => None,
    }
}

fn find_evidence(container: &Container) -> Option<Evidence> {
    let environment = &container.environment;
    if image::is_client_image(&container.image) || points_elsewhere(container) {
        return None;
    }
    if image::is_server_image(&container.image) {
        return Some(Evidence::Image);
    }
    // An application carries POSTGRES_PASSWORD too; only an image of a server sets these two.
    let is_built_as_server = ["PGDATA", "PG_MAJOR"]
        .into_iter()
        .any(|name| environment.find(name).is_some());
    let is_set_up = [
        "POSTGRES_PASSWORD",
        "POSTGRES_PASSWORD_FILE",
        "POSTGRES_USER",
        "POSTGRES_DB",
        "POSTGRES_HOST_AUTH_METHOD",
        "POSTGRESQL_PASSWORD",
        "POSTGRESQL_PASSWORD_FILE",
    ]
    .into_iter()
    .any(|name| environment.find(name).is_some());
    (is_built_as_server && is_set_up).then_some(Evidence::Environment)
}

/// A container that is told where Postgres is, is a client, whatever image it runs; a path is a
/// server's own socket folder.
fn points_elsewhere(container: &Container) -> bool {
    ["PGHOST", "POSTGRES_HOST"].into_iter().any(|name| {
        container
            .environment
            .find(name)
            .is_some_and(|host| !host.starts_with('/') && !is_here(host, container))
    })
}

fn is_here(host: &str, container: &Container) -> bool {
    let own = [container.service.as_str(), container.name.as_str()];
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "0.0.0.0") || own.contains(&host)
}

#[cfg(test)]
mod tests;
