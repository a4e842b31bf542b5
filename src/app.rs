//! Settings become components: the bill of materials of the sidecar, the gate and commands run by hand.

pub mod alarms;
pub mod gate;
pub mod ground;
pub mod history;
pub mod once;
pub mod run;
