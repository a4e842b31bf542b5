//! What the outside sees of us while we work: log lines and metric series.
//!
//! Knows `domain` only. Invariants: label values come from configured names and enums, never from
//! free text; no log line and no series ever carries a secret.

pub mod logging;
pub mod metrics;
