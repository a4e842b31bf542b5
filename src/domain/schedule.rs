//! Stub.

/// A cron schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule;
