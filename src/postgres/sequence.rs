//! Reads the values of all sequences; they are judged by [`crate::domain::sequence`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::digest::{guarded, guarded_answer};
use super::failure::PostgresError;
use super::relation::Carriage;
use super::session::{Session, parse_row};
use crate::domain::sequence::{Handed, SequenceFact, SequenceValue, Wrapping};

const DEADLINE: Duration = Duration::from_mins(2);

/// Sequences read by one statement.
const CHUNK: usize = 100;

#[derive(Deserialize)]
struct Listed {
    oid: u32,
    name: String,
    increment: i64,
    wrapping: bool,
    extension: Option<String>,
    carriage: Carriage,
}

#[derive(Deserialize)]
struct Value {
    oid: u32,
    last: i64,
    is_called: bool,
}

const LIST: &str = "\
SELECT c.oid::pg_catalog.int8 AS oid, s.seqincrement AS increment, s.seqcycle AS wrapping,
  pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
  e.extension, COALESCE(e.carriage, 'carried') AS carriage
FROM pg_catalog.pg_sequence AS s
JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT x.extname AS extension,
    CASE WHEN c.oid = ANY (x.extconfig) THEN 'carried' ELSE 'omitted' END AS carriage
  FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS x ON x.oid = d.refobjid
  WHERE d.classid = 1259 AND d.objid = c.oid AND d.objsubid = 0
    AND d.refclassid = 3079 AND d.deptype = 'e' OFFSET 0
) AS e ON true
WHERE c.relpersistence <> 't' AND n.nspname <> 'information_schema'
  AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
ORDER BY c.oid";

/// Reads every sequence, in a session inside a transaction.
///
/// The list is the snapshot's, the values are those of now. One dropped since the snapshot, one the
/// role may not read, or one whose value `pg_dump` does not carry, has the reason in place of its value.
///
/// # Errors
/// A lost session or a passed deadline.
pub async fn sequences(session: &mut Session) -> Result<Vec<SequenceFact>, PostgresError> {
    let listed: Vec<Listed> = session.rows(LIST, DEADLINE).await?;
    let (listed, omitted): (Vec<Listed>, Vec<Listed>) = listed
        .into_iter()
        .partition(|one| one.carriage == Carriage::Carried);
    let chunks: Vec<&[Listed]> = listed.chunks(CHUNK).collect();
    let mut values = BTreeMap::new();
    for (chunk, answer) in chunks.iter().zip(read(session, &chunks).await?) {
        // One unreadable sequence fails its whole statement: each of them is read alone then.
        let singles: Vec<&[Listed]> = match answer {
            Ok(found) => {
                values.extend(found);
                continue;
            }
            Err(_) => chunk.chunks(1).collect(),
        };
        for (single, answer) in singles.iter().zip(read(session, &singles).await?) {
            match answer {
                Ok(found) => values.extend(found),
                Err(why) => values.extend(single.iter().map(|one| (one.oid, Err(why.clone())))),
            }
        }
    }
    let read = listed.into_iter().map(|one| {
        let gone = Err("it could not be read".to_owned());
        let value = values.remove(&one.oid).unwrap_or(gone);
        one.into_fact(value)
    });
    let omitted = omitted.into_iter().map(|one| {
        let extension = one.extension.as_deref().unwrap_or_default();
        let why =
            format!("pg_dump does not carry the value of this sequence of extension {extension}");
        one.into_fact(Err(why))
    });
    Ok(read.chain(omitted).collect())
}

type Values = Vec<(u32, Result<SequenceValue, String>)>;

async fn read(
    session: &mut Session,
    chunks: &[&[Listed]],
) -> Result<Vec<Result<Values, String>>, PostgresError> {
    let statements: Vec<_> = chunks
        .iter()
        .flat_map(|chunk| guarded(&statement(chunk)))
        .collect();
    let mut answers = session.batch(&statements, DEADLINE).await?.into_iter();
    let mut found = Vec::with_capacity(chunks.len());
    for _ in chunks {
        found.push(match guarded_answer(&mut answers)? {
            Err(error) => Err(error.to_string()),
            Ok(rows) => Ok(rows
                .iter()
                .map(|row| parse_row::<Value>(row).map(|value| (value.oid, Ok(value.place()))))
                .collect::<Result<_, _>>()?),
        });
    }
    Ok(found)
}

fn statement(chunk: &[Listed]) -> String {
    let parts: Vec<String> = chunk
        .iter()
        .map(|one| {
            format!(
                "SELECT {}::pg_catalog.int8 AS oid, last_value AS last, is_called FROM {}",
                one.oid, one.name
            )
        })
        .collect();
    parts.join("\nUNION ALL ")
}

impl Value {
    fn place(&self) -> SequenceValue {
        SequenceValue {
            last: self.last,
            handed: if self.is_called {
                Handed::Out
            } else {
                Handed::NotYet
            },
        }
    }
}

impl Listed {
    fn into_fact(self, value: Result<SequenceValue, String>) -> SequenceFact {
        SequenceFact {
            name: self.name,
            value,
            increment: self.increment,
            wrapping: if self.wrapping {
                Wrapping::Cyclic
            } else {
                Wrapping::Bounded
            },
            extension: self.extension,
        }
    }
}
