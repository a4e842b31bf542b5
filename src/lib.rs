//! stackwarden: migrations behind a backup, backups proven by restoring them.
//!
//! Knowledge points only downwards; `tests/architecture.rs` holds the table of allowed edges.
// How deep the compiler asks whether a task may change threads: a backup holds an upload, a decoder and a scratch server.
#![recursion_limit = "256"]

pub(crate) mod app;
pub(crate) mod archive;
pub(crate) mod board;
pub mod cli;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod desk;
pub(crate) mod docker;
pub(crate) mod domain;
pub(crate) mod http;
pub(crate) mod job;
pub(crate) mod journal;
pub(crate) mod lifecycle;
mod notify;
pub(crate) mod observe;
pub(crate) mod postgres;
pub(crate) mod store;
pub(crate) mod trigger;
