//! What an image's name and environment say.

use crate::domain::fleet::Environment;

/// Last parts of repositories that hold a server.
const SERVERS: [&str; 8] = [
    "postgres",
    "postgresql",
    "postgresql-repmgr",
    "postgis",
    "timescaledb",
    "timescaledb-ha",
    "pgvector",
    "pgvecto-rs",
];

/// Parts of names of images that talk to a server; many of them are built from a server's image.
const CLIENTS: [&str; 14] = [
    "exporter",
    "backup",
    "pgadmin",
    "bouncer",
    "postgrest",
    "pgpool",
    "pgweb",
    "adminer",
    "dump",
    "migrat",
    "client",
    "pgcat",
    "proxy",
    "operator",
];

/// Whose contract the environment of a server follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `postgres` and what is built from it.
    Official,
    /// `bitnami/postgresql`.
    Bitnami,
    /// `supabase/postgres`.
    Supabase,
}

/// The repository of an image reference: without registry, tag and digest.
fn repository(image: &str) -> &str {
    let undigested = image.split('@').next().unwrap_or(image);
    let last_slash = undigested.rfind('/').map_or(0, |at| at + 1);
    // A colon before the last slash belongs to the registry's port.
    match undigested.rfind(':') {
        Some(colon) if colon >= last_slash => undigested.get(..colon).unwrap_or(undigested),
        _ => undigested,
    }
}

fn last_part(image: &str) -> String {
    let repository = repository(image);
    repository
        .rsplit('/')
        .next()
        .unwrap_or(repository)
        .to_lowercase()
}

/// Whether the name is that of a server's image.
pub(super) fn is_server_image(image: &str) -> bool {
    SERVERS.contains(&last_part(image).as_str())
}

/// Whether the name is that of a program that talks to a server.
pub(super) fn is_client_image(image: &str) -> bool {
    let name = last_part(image);
    CLIENTS.iter().any(|part| name.contains(part))
}

/// Which contract holds.
pub(super) fn flavour(image: &str, environment: &Environment) -> Flavour {
    let repository = repository(image).to_lowercase();
    let has = |name: &str| environment.find(name).is_some();
    if repository.ends_with("supabase/postgres") {
        Flavour::Supabase
    } else if repository
        .split('/')
        .any(|part| part.starts_with("bitnami"))
        || (has("POSTGRESQL_PASSWORD") || has("POSTGRESQL_PASSWORD_FILE")) && !has("PG_MAJOR")
    {
        Flavour::Bitnami
    } else {
        Flavour::Official
    }
}
