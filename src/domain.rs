//! The nouns of a stack and the decisions about them.
//!
//! Knows nothing of Docker, Postgres, files or the clock: `now` is always an argument, nothing here
//! performs I/O, and nothing here is `Serialize` (stored formats live in [`crate::store`]).

pub mod alarm;
pub mod backup;
pub mod bucket;
pub mod comparison;
pub mod database;
pub mod drill;
pub mod external;
pub mod failure;
pub mod fingerprint;
pub mod fleet;
pub mod foreign;
pub mod health;
pub mod id;
pub mod job;
pub mod label;
pub mod migration;
pub mod objective;
pub mod order;
pub mod policy;
pub mod progress;
pub mod raw_text;
pub mod reread;
pub mod restore;
pub mod retention;
pub mod room;
pub mod roster;
pub mod schedule;
pub mod sequence;
pub mod unit;
pub mod volume;
pub mod web;
