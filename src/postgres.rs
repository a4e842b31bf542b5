//! `PostgreSQL`: sessions, catalogue, snapshot, digests, dump and restore commands, lock and scratch.
//!
//! The only module that knows tokio-postgres, psql and the `pg_*` programs. It runs no program: it
//! yields [`CommandSpec`]s and parses what the programs say; the job layer joins them to Docker.
//! Depends on [`crate::domain`] alone.
//!
//! Invariants: a password travels in an environment or in the protocol, never in an argument; every
//! name in a statement was quoted by the server or by [`quote`]; every session that counts or
//! compares runs under [`settings::apply`].

pub mod blocked;
pub mod catalog;
pub mod command;
pub mod digest;
pub mod dump;
pub mod failure;
pub mod foreign;
pub mod large_object;
pub mod leftover;
pub mod lock;
pub mod mark;
pub mod nice;
pub mod quote;
pub mod relation;
pub mod restore;
pub mod revision;
pub mod revival;
pub mod scratch;
pub mod sequence;
pub mod session;
pub mod settings;
pub mod snapshot;
pub mod vitals;

pub use command::{ApplicationName, CommandSpec, Login, Network, Password, psql_command};
pub use failure::{Condition, PostgresError, classify_stderr};
pub use session::{NetworkTarget, Session};
