//! The fault table: each step of a backup and of a proof, and what goes wrong there.
//!
//! The database's image has its programs wrapped: each sources a script of its name first, if there is one. So a test
//! stops a step where it wants to, lets it fail, or fills the disk at that very moment. What is between two programs is hit
//! at the sidecar's own system calls ([`trap`]), or on its way to the engine ([`engine`]). The product is the one that
//! ships. `tests/architecture/faults.rs` holds the whole table and writes docs/faults.md.

mod backup;
mod disk;
mod engine;
mod proof;
mod restore;
mod stage;
mod standstill;
mod trap;
