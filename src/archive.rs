//! Sealing with age, the format of age-encryption.org: keys, and the two ways through.
//!
//! Knows [`crate::domain`] only, and no file and no socket: bytes come in and go out. Invariants: a secret key never
//! shows itself; memory is bounded by pieces of 64 KiB, whatever the size of what is sealed; bytes that do not open are
//! never handed out as if they did.

mod key;
mod open;
mod seal;

pub use key::{Identity, Keys, Recipients};
pub use open::{OpenError, open};
pub use seal::{SealError, Sealer};
