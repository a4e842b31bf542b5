//! What a backup is: the manifest's and the proof's facts, and the level reached.

pub mod copy;
mod manifest;
mod series;
mod standing;
pub mod suspicion;
mod word;

pub use manifest::{Census, Counted, DatabaseFacts, Likeness, Manifest, Origin, Seal, Sha256Hex};
pub use series::{Content, Series};
#[cfg(test)]
pub(in crate::domain) use standing::tests::manifest as example;
#[cfg(test)]
pub(crate) use standing::tests::{backup as example_backup, proof as example_proof};
pub use standing::{Backup, Means, Proof, Standing, find_suspect, latest};
pub use word::{Decoded, Destination, Level, Packing, Reason, Recipient, Sealing};
