//! The relations of a database as one snapshot sees them.
//!
//! Knows which relations hold rows of their own, how each column enters the digest, and which rows
//! `pg_dump` carries. One query for all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::failure::PostgresError;
use super::session::Session;

const DEADLINE: Duration = Duration::from_mins(2);

/// How a column enters digest v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Hashing {
    /// As it is: equality of its type is identity.
    #[serde(rename = "raw")]
    Raw,
    /// A text, under the C collation.
    #[serde(rename = "collated")]
    Collated,
    /// `char(n)`: its cast to text drops trailing blanks.
    #[serde(rename = "padded")]
    Padded,
    /// A type whose cast to text is a function that may lose something.
    #[serde(rename = "printed")]
    Printed,
    /// Any other, as its text under the C collation.
    #[serde(rename = "cast")]
    Cast,
}

/// A column that enters the digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Its name as the server quotes it.
    pub name: String,
    /// How it enters.
    pub hashing: Hashing,
}

/// Whether `pg_dump` carries a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Carriage {
    /// It does.
    #[serde(rename = "carried")]
    Carried,
    /// A table of an extension that does not mark it as configuration: its rows are not dumped.
    #[serde(rename = "omitted")]
    Omitted,
}

/// An ordinary table (a partition, an inheritance parent and an unlogged one included) without its
/// children.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LeafRelation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// `pg_class.relfilenode`; a TRUNCATE or a rewrite gives another.
    pub file_node: u32,
    /// `schema.table`, each part as `quote_ident` writes it.
    pub name: String,
    /// Pages by the last VACUUM, ANALYZE or CREATE INDEX; zero or less when never counted, zero where rows are not found by
    /// page (another access method than heap).
    pub pages: i64,
    /// The columns that enter the digest, in the order of their names in the C collation.
    pub columns: Vec<Column>,
    /// The extension it belongs to.
    pub extension: Option<String>,
    /// Whether its rows are in a dump.
    pub carriage: Carriage,
}

/// What of a database has a definition but no rows in a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum DefinitionKind {
    /// Its rows are on another server.
    #[serde(rename = "f")]
    ForeignTable,
    /// Its rows are made anew by a restore.
    #[serde(rename = "m")]
    MaterializedView,
}

/// An object whose definition alone is compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DefinitionOnly {
    /// What it is.
    pub kind: DefinitionKind,
    /// `schema.name`, quoted.
    pub name: String,
}

impl DefinitionKind {
    /// Why no more than the definition is compared.
    pub fn why(self) -> &'static str {
        match self {
            Self::ForeignTable => "a foreign table keeps its rows elsewhere",
            Self::MaterializedView => "a materialized view is computed anew by a restore",
        }
    }
}

/// All relations of one database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relations {
    /// Tables with rows of their own, in the order of names.
    pub leaves: Vec<LeafRelation>,
    /// Objects without dumped rows, in the order of names.
    pub definitions: Vec<DefinitionOnly>,
}

/// Conditions on `c` (`pg_class`) and `n` (`pg_namespace)`: what `pg_dump` takes for the user's.
const OURS: &str = "c.relpersistence <> 't' AND n.nspname <> 'information_schema' \
AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')";

/// How a column of type `t` enters; a domain is judged by the type it stands on.
const HASHING: &str = "\
CASE
        WHEN b.base IN (16, 17, 20, 21, 23, 26, 1082, 1114, 1184, 2950) THEN 'raw'
        WHEN b.base IN (25, 1043) THEN 'collated'
        WHEN b.base = 1042 THEN 'padded'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_cast AS k
          WHERE k.castsource = b.base AND k.casttarget = 25 AND k.castmethod = 'f') THEN 'printed'
        ELSE 'cast' END";

/// The type below a domain, or the type itself.
const BASE: &str = "\
CASE WHEN t.typtype <> 'd' THEN t.oid ELSE (
          WITH RECURSIVE walk(oid, kind, below) AS (
            SELECT t.oid, t.typtype, t.typbasetype
            UNION ALL
            SELECT u.oid, u.typtype, u.typbasetype
            FROM walk AS w JOIN pg_catalog.pg_type AS u ON u.oid = w.below WHERE w.kind = 'd')
          SELECT w.oid FROM walk AS w WHERE w.kind <> 'd') END AS base OFFSET 0";

/// Subqueries by index for each table rather than joins: in a database that nobody has analysed yet,
/// joins over 12 000 tables were planned as loops of 18 s.
fn relations_sql() -> String {
    format!(
        "SELECT c.oid::pg_catalog.int8 AS oid, c.relfilenode::pg_catalog.int8 AS file_node,
  c.relkind AS kind, CASE WHEN c.relam = 2 THEN c.relpages ELSE 0 END AS pages,
  pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
  (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
        'name', pg_catalog.quote_ident(a.attname), 'hashing', {HASHING})
      ORDER BY a.attname::pg_catalog.text COLLATE pg_catalog.\"C\"), '[]')
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    CROSS JOIN LATERAL (SELECT {BASE}) AS b
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  ) AS columns,
  e.extension, COALESCE(e.carriage, 'carried') AS carriage
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT x.extname AS extension,
    CASE WHEN c.oid = ANY (x.extconfig) THEN 'carried' ELSE 'omitted' END AS carriage
  FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS x ON x.oid = d.refobjid
  WHERE d.classid = 1259 AND d.objid = c.oid AND d.objsubid = 0
    AND d.refclassid = 3079 AND d.deptype = 'e' OFFSET 0
) AS e ON true
WHERE c.relkind IN ('r', 'f', 'm') AND {OURS}
ORDER BY n.nspname::pg_catalog.text COLLATE pg_catalog.\"C\", c.relname::pg_catalog.text COLLATE pg_catalog.\"C\""
    )
}

/// Lists the relations as the session's snapshot sees them.
///
/// # Errors
/// As [`Session::rows`].
pub async fn relations(session: &mut Session) -> Result<Relations, PostgresError> {
    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum Row {
        #[serde(rename = "r")]
        Leaf(LeafRelation),
        #[serde(rename = "f")]
        Foreign { name: String },
        #[serde(rename = "m")]
        Materialized { name: String },
    }
    let rows: Vec<Row> = session.rows(&relations_sql(), DEADLINE).await?;
    let mut found = Relations::default();
    for row in rows {
        match row {
            Row::Leaf(leaf) => found.leaves.push(leaf),
            Row::Foreign { name } => found.definitions.push(DefinitionOnly {
                kind: DefinitionKind::ForeignTable,
                name,
            }),
            Row::Materialized { name } => found.definitions.push(DefinitionOnly {
                kind: DefinitionKind::MaterializedView,
                name,
            }),
        }
    }
    Ok(found)
}

/// The files of all tables as they are now: oid and relfilenode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look(BTreeMap<u32, u32>);

impl FromIterator<(u32, u32)> for Look {
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Reads every table's file in a session of its own, outside the snapshot's transaction.
///
/// # Errors
/// As [`Session::rows`].
pub async fn look(session: &mut Session) -> Result<Look, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
        file_node: u32,
    }
    let sql = format!(
        "SELECT c.oid::pg_catalog.int8 AS oid, c.relfilenode::pg_catalog.int8 AS file_node FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {OURS}"
    );
    let rows: Vec<Row> = session.rows(&sql, DEADLINE).await?;
    Ok(rows.iter().map(|row| (row.oid, row.file_node)).collect())
}

/// The tables that were emptied, rewritten or dropped between the snapshot and the look.
///
/// Neither is MVCC: such a table reads empty in the snapshot, in the dump and in the count alike. Tables
/// whose rows `pg_dump` does not carry are no matter.
pub fn slipped<'a>(
    relations: impl IntoIterator<Item = &'a LeafRelation>,
    look: &Look,
) -> Vec<&'a LeafRelation> {
    relations
        .into_iter()
        .filter(|relation| relation.carriage == Carriage::Carried)
        .filter(|relation| look.0.get(&relation.oid) != Some(&relation.file_node))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32, file_node: u32) -> LeafRelation {
        LeafRelation {
            oid,
            file_node,
            name: format!("public.t{oid}"),
            pages: 0,
            columns: Vec::new(),
            extension: None,
            carriage: Carriage::Carried,
        }
    }

    #[test]
    fn a_new_file_or_a_missing_table_has_slipped_and_a_new_table_has_not() {
        let known = [table(1, 10), table(2, 20), table(3, 30)];
        let look: Look = [(1, 10), (2, 99), (4, 40)].into_iter().collect();
        let names: Vec<_> = slipped(&known, &look)
            .iter()
            .map(|table| table.oid)
            .collect();
        assert_eq!(names, [2, 3]);
    }

    #[test]
    fn rows_that_are_not_dumped_cannot_slip() {
        let mut omitted = table(1, 10);
        omitted.carriage = Carriage::Omitted;
        assert!(slipped(&[omitted], &Look::default()).is_empty());
    }
}
