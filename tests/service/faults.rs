//! The fault table: each step of a backup and of a proof, and what goes wrong there.
//!
//! The database's image has its programs wrapped: each sources a script of its name first, if there is one. So a test
//! stops a step where it wants to, lets it fail, or fills the disk at that very moment, and the product is the one that
//! ships. `tests/architecture/faults.rs` holds the whole table and writes docs/faults.md.

mod backup;
mod proof;
mod stage;
