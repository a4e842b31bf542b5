//! The command line as people and Compose meet it: the real binary, without any stack.
#![expect(
    clippy::unwrap_used,
    reason = "a program that cannot be started or a folder that cannot be made ends the test"
)]

mod arguments;
mod engine;
mod program;
mod settings;
