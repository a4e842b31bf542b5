//! The stored formats of manifest, proof and acceptance, `format: 1`.
//!
//! New fields may be added and none changes its meaning; readers ignore unknown fields and refuse a higher
//! format. The types here are the format; [`crate::domain::backup`] is what the program thinks in.

mod acceptance;
mod manifest;
mod proof;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

pub use acceptance::{decode_acceptance, encode_acceptance};
pub use manifest::{decode_manifest, encode_manifest};
pub use proof::{decode_proof, encode_proof};

/// The format that is written and the highest that is read.
pub const FORMAT: u32 = 1;

/// How much of a file is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Full,
    /// Without the list of tables: 12 000 of them would sit in memory for every backup.
    Summary,
}

/// Why a stored format could not be read.
#[derive(Debug, Error)]
pub enum CodecError {
    /// It is no JSON of the expected shape.
    #[error("its JSON does not have the expected shape")]
    Shape(#[source] serde_json::Error),
    /// It was written by a newer version.
    #[error("it has format {0}, this version reads up to {FORMAT}; use a newer stackwarden")]
    Newer(u32),
    /// A value makes no sense.
    #[error("its field {field} holds {value:?}, which this version does not know")]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Reads a file of this format. A newer one is refused by that and not by its shape.
fn read<T: DeserializeOwned>(bytes: &[u8], format: fn(&T) -> u32) -> Result<T, CodecError> {
    let read: Result<T, _> = serde_json::from_slice(bytes);
    let found = match &read {
        Ok(read) => Ok(format(read)),
        Err(_) => serde_json::from_slice(bytes).map(|it: FormatOnly| it.format),
    };
    match (read, found) {
        (_, Ok(found)) if found > FORMAT => Err(CodecError::Newer(found)),
        (Ok(read), _) => Ok(read),
        (Err(error), _) => Err(CodecError::Shape(error)),
    }
}

/// A list of which only the length is kept: each of its things is read as ever, and gone before the next one.
struct Counted<T> {
    count: u64,
    things: PhantomData<T>,
}

// Derived, it would ask the same of the things.
impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self {
            count: 0,
            things: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Counted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self::default())
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Counted<T> {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<T>()?.is_some() {
            self.count += 1;
        }
        Ok(self)
    }
}

fn unknown(field: &'static str, value: impl Into<String>) -> CodecError {
    CodecError::Value {
        field,
        value: value.into(),
    }
}

/// Writes a value that cannot fail to become JSON: plain structs with string keys.
fn to_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
