//! Turns the outside into requests: the clock, and what Docker shows.
//!
//! Ticks and events carry no meaning of their own: each only wakes a look at the whole, and what is due is
//! decided from what stands on the board. A lost or doubled one costs time, never correctness.

pub mod fleet;
pub mod schedule;
