//! End to end: real Compose stacks on the real Docker Engine, driven from outside as their owners drive them.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "in a test a broken expectation is the answer, and its words belong on the screen"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests choose the image under test by the environment"
)]

mod harness;
mod harness_gate;

mod alarms;
mod alarms_gate;
mod bad_input;
mod beside;
mod compressible;
mod control;
mod corruptions;
mod courtesy;
mod demo;
mod encodings;
mod extensions;
mod external;
mod faults;
mod first_backup;
mod foreign;
mod from_volume;
mod fsck;
mod gate;
mod gate_kills;
mod kills;
mod kinds;
mod many_tables;
mod object_storage;
mod observability;
mod proof_catches;
mod restore;
mod retention;
mod sealed;
mod secrets;
mod slipped;
mod two_stacks;
mod watchdogs;
mod ways_in;
mod writers;
