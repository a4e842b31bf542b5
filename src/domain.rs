//! The nouns of a stack and the decisions about them.
//!
//! Knows nothing of Docker, Postgres, files or the clock: `now` is always an argument, nothing here
//! performs I/O, and nothing here is `Serialize` (stored formats live in [`crate::store`]).

pub mod backup;
pub mod comparison;
pub mod database;
pub mod failure;
pub mod fingerprint;
pub mod fleet;
pub mod health;
pub mod id;
pub mod job;
pub mod label;
pub mod migration;
pub mod order;
pub mod policy;
pub mod retention;
pub mod roster;
pub mod schedule;
pub mod sequence;
pub mod unit;
