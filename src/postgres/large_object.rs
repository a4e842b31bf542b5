//! Large objects of a database as one fact: number, and one digest over owner, rights, comment and content.

use std::time::Duration;

use super::digest::{Counted, digest_of, guarded, guarded_answer};
use super::failure::PostgresError;
use super::session::{Session, parse_row};
use crate::domain::comparison::{Digest, Rows, TableFacts};

/// The name under which the fact stands among the tables; no table has a blank outside quotes.
pub const LARGE_OBJECTS: &str = "large objects";

/// Bytes of one object hashed at once.
const CHUNK: u32 = 1_048_576;

/// One row per object. The size comes from a seek, since only superusers read `pg_largeobject`; holes in
/// an object read as zeros, as `pg_dump` reads them. Rights are exploded, since their order is no matter.
///
/// Handle and size stay in one scalar subquery: in a lateral join the planner may remember the size by
/// the handle (Memoize), which is the same number for every object.
fn statement() -> String {
    let whole = digest_of("o.oid, o.owner, o.rights, o.comment, o.size, o.content");
    let chunks = digest_of("k.start, pg_catalog.lo_get(o.oid, k.start, o.chunk)");
    format!(
        "SELECT pg_catalog.count(*) AS rows, {whole} AS digest FROM (
  SELECT o.oid, o.owner, o.rights, o.comment, o.size, (
      SELECT {chunks} FROM pg_catalog.generate_series(0, o.size - 1, o.chunk) AS k(start)
    ) COLLATE pg_catalog.\"C\" AS content
  FROM (
    SELECT m.oid, {CHUNK} AS chunk,
      pg_catalog.pg_get_userbyid(m.lomowner)::pg_catalog.text COLLATE pg_catalog.\"C\" AS owner,
      (SELECT pg_catalog.string_agg(pg_catalog.format('%s %s %s %s', r.grantor::pg_catalog.regrole,
          r.grantee::pg_catalog.regrole, r.privilege_type, r.is_grantable), ',' ORDER BY
          pg_catalog.pg_get_userbyid(r.grantor) COLLATE pg_catalog.\"C\",
          pg_catalog.pg_get_userbyid(r.grantee) COLLATE pg_catalog.\"C\", r.privilege_type COLLATE pg_catalog.\"C\")
        FROM pg_catalog.aclexplode(COALESCE(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) AS r
      ) COLLATE pg_catalog.\"C\" AS rights,
      pg_catalog.obj_description(m.oid, 'pg_largeobject') COLLATE pg_catalog.\"C\" AS comment,
      s.size
    FROM pg_catalog.pg_largeobject_metadata AS m
    CROSS JOIN LATERAL (SELECT pg_catalog.lo_open(m.oid, 262144) AS handle OFFSET 0) AS f
    CROSS JOIN LATERAL (SELECT pg_catalog.lo_lseek64(f.handle, 0, 2) AS size OFFSET 0) AS s
    CROSS JOIN LATERAL (SELECT pg_catalog.lo_close(f.handle + 0 * s.size::pg_catalog.int4) AS closed OFFSET 0) AS e
    WHERE e.closed = 0
  ) AS o
) AS o"
    )
}

/// Counts and digests all large objects, in a session whose transaction holds the snapshot.
///
/// # Errors
/// A lost session or a passed deadline; a missing right is an absent fact with its reason.
pub async fn digest_large_objects(
    session: &mut Session,
    deadline: Duration,
) -> Result<TableFacts, PostgresError> {
    let statements = guarded(&statement());
    let mut answers = session.batch(&statements, deadline).await?.into_iter();
    match guarded_answer(&mut answers)? {
        Ok(rows) => {
            let row = rows
                .first()
                .ok_or_else(|| PostgresError::answer("a digest without a row"))?;
            let counted: Counted = parse_row(row)?;
            Ok(counted.into_facts(LARGE_OBJECTS, None))
        }
        Err(error) => Ok(TableFacts {
            name: LARGE_OBJECTS.to_owned(),
            rows: Rows::Absent(error.to_string()),
            digest: Digest::Absent(error.to_string()),
            extension: None,
        }),
    }
}
