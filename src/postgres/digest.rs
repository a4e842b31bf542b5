//! Digest v1: rows and content of a table, independent of the order of rows and columns.
//!
//! Pure statements, and their execution in batches. Each table runs in a savepoint that is rolled back,
//! which gives its lock back at once: a digest never holds more than one batch's locks.
//!
//! Comparable only within one major version. Source of every rule: the protocol of proof.

mod work;

use std::time::Duration;

use serde::Deserialize;

use super::failure::PostgresError;
use super::relation::{Carriage, Column, Hashing, LeafRelation};
use super::session::{Answer, Session, Statement, parse_row};
use crate::domain::comparison::{Digest, Rows, TableFacts};
use work::Pages;

pub use work::{Pace, PartFacts, Work};

const SAVE: &str = "SAVEPOINT stackwarden";
const GIVE_BACK: &str = "ROLLBACK TO SAVEPOINT stackwarden";

/// The statement that counts and digests a table, or some pages of it.
fn digest_statement(relation: &LeafRelation, pages: Pages) -> Result<String, String> {
    if relation.carriage == Carriage::Omitted {
        return Err(omitted(relation));
    }
    let digest = if relation.columns.is_empty() {
        "'0'::pg_catalog.text".to_owned()
    } else {
        let columns: Vec<String> = relation.columns.iter().map(expression).collect();
        digest_of(&columns.join(", "))
    };
    let (table, pages) = (&relation.name, page_condition(pages));
    Ok(format!(
        "SELECT pg_catalog.count(*) AS rows, {digest} AS digest FROM ONLY {table} AS q{pages}"
    ))
}

fn page_condition(pages: Pages) -> String {
    let place = |page: u32| format!("'({page},0)'::pg_catalog.tid");
    let behind = |page| format!(" WHERE q.ctid OPERATOR(pg_catalog.>=) {}", place(page));
    match pages {
        Pages::All => String::new(),
        Pages::From(page) => behind(page),
        Pages::Between(page, end) => {
            let end = place(end);
            format!("{} AND q.ctid OPERATOR(pg_catalog.<) {end}", behind(page))
        }
    }
}

/// The digest of all rows of a FROM clause, given the columns of one row.
///
/// The outer hash is needed: a record's own hash is a linear combination, so its plain sum does not see
/// values of one column exchanged between two rows.
pub(super) fn digest_of(columns: &str) -> String {
    format!(
        "COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.hash_record_extended(\
ROW({columns}), 0)::pg_catalog.text, 0)), 0)::pg_catalog.text"
    )
}

fn expression(column: &Column) -> String {
    let name = &column.name;
    match column.hashing {
        Hashing::Raw => format!("q.{name}"),
        Hashing::Collated => format!("q.{name} COLLATE pg_catalog.\"C\""),
        Hashing::Padded => {
            format!("pg_catalog.textin(pg_catalog.bpcharout(q.{name})) COLLATE pg_catalog.\"C\"")
        }
        Hashing::Printed => format!("pg_catalog.format('%L', q.{name}) COLLATE pg_catalog.\"C\""),
        Hashing::Cast => format!("q.{name}::pg_catalog.text COLLATE pg_catalog.\"C\""),
    }
}

fn omitted(relation: &LeafRelation) -> String {
    format!(
        "pg_dump does not carry the rows of this table of extension {}",
        relation.extension.as_deref().unwrap_or_default()
    )
}

/// Facts of a table that could not be counted.
pub fn unknown_facts(relation: &LeafRelation, why: &str) -> TableFacts {
    TableFacts {
        name: relation.name.clone(),
        rows: Rows::Absent(why.to_owned()),
        digest: Digest::Absent(why.to_owned()),
        extension: relation.extension.clone(),
    }
}

/// Counts and digests one batch in a session whose transaction holds the snapshot.
async fn digest_parts(
    session: &mut Session,
    batch: &[(&LeafRelation, Pages)],
    deadline: Duration,
) -> Result<Vec<TableFacts>, PostgresError> {
    let plans = batch
        .iter()
        .map(|(relation, pages)| digest_statement(relation, *pages));
    let plans: Vec<Result<String, String>> = plans.collect();
    let statements: Vec<Statement> = plans
        .iter()
        .flatten()
        .flat_map(|sql| guarded(sql))
        .collect();
    let mut answers = session.batch(&statements, deadline).await?.into_iter();
    let mut facts = Vec::with_capacity(batch.len());
    for ((relation, _pages), plan) in batch.iter().zip(plans) {
        facts.push(match plan {
            Err(why) => unknown_facts(relation, &why),
            Ok(_) => facts_of(relation, guarded_answer(&mut answers)?)?,
        });
    }
    Ok(facts)
}

/// Counts and digests many tables in one session; `deadline` is for each batch.
///
/// # Errors
/// As [`Work::share`].
pub async fn digest_tables(
    session: &mut Session,
    relations: &[LeafRelation],
    deadline: Duration,
) -> Result<Vec<TableFacts>, PostgresError> {
    let work = Work::new(relations);
    let parts = work.share(session, deadline).await?;
    Ok(work.sum(parts))
}

/// A query inside its own savepoint.
pub(super) fn guarded(sql: &str) -> [Statement; 3] {
    [
        Statement::Run(SAVE.to_owned()),
        Statement::Rows(sql.to_owned()),
        Statement::Run(GIVE_BACK.to_owned()),
    ]
}

/// The answer to a [`guarded`] query; a savepoint that fails means there is no transaction at all.
pub(super) fn guarded_answer(
    answers: &mut impl Iterator<Item = Answer>,
) -> Result<Answer, PostgresError> {
    let missing = || PostgresError::answer("an answer is missing");
    answers.next().ok_or_else(missing)??;
    let answer = answers.next().ok_or_else(missing)?;
    answers.next().ok_or_else(missing)??;
    Ok(answer)
}

fn facts_of(relation: &LeafRelation, answer: Answer) -> Result<TableFacts, PostgresError> {
    match answer {
        Ok(rows) => {
            let row = rows
                .first()
                .ok_or_else(|| PostgresError::answer("a digest without a row"))?;
            let counted: Counted = parse_row(row)?;
            Ok(counted.into_facts(&relation.name, relation.extension.clone()))
        }
        Err(error) => Ok(unknown_facts(relation, &error.to_string())),
    }
}

/// One row of a digest statement.
#[derive(Deserialize)]
pub(super) struct Counted {
    rows: u64,
    digest: String,
}

impl Counted {
    pub(super) fn into_facts(self, name: &str, extension: Option<String>) -> TableFacts {
        TableFacts {
            name: name.to_owned(),
            rows: Rows::Exact(self.rows),
            digest: Digest::V1(self.digest),
            extension,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Vec<Column>) -> LeafRelation {
        LeafRelation {
            oid: 1,
            file_node: 1,
            name: "public.t".to_owned(),
            pages: 0,
            columns,
            extension: None,
            carriage: Carriage::Carried,
        }
    }

    fn column(name: &str, hashing: Hashing) -> Column {
        Column {
            name: name.to_owned(),
            hashing,
        }
    }

    #[test]
    fn every_kind_of_column_enters_by_its_own_rule() {
        let columns = vec![
            column("a", Hashing::Raw),
            column("\"B\"", Hashing::Collated),
            column("c", Hashing::Padded),
            column("d", Hashing::Printed),
            column("e", Hashing::Cast),
        ];
        let sql = digest_statement(&table(columns), Pages::All).unwrap();
        assert!(sql.contains(
            "ROW(q.a, q.\"B\" COLLATE pg_catalog.\"C\", \
             pg_catalog.textin(pg_catalog.bpcharout(q.c)) COLLATE pg_catalog.\"C\", \
             pg_catalog.format('%L', q.d) COLLATE pg_catalog.\"C\", \
             q.e::pg_catalog.text COLLATE pg_catalog.\"C\")"
        ));
        assert!(sql.ends_with("FROM ONLY public.t AS q"), "{sql}");
    }

    #[test]
    fn a_table_without_columns_is_counted() {
        let sql = digest_statement(&table(Vec::new()), Pages::All).unwrap();
        assert!(sql.contains("count(*)") && !sql.contains("ROW("), "{sql}");
    }

    #[test]
    fn a_part_is_read_by_its_pages_alone() {
        let read = |pages| digest_statement(&table(Vec::new()), pages).unwrap();
        let between = read(Pages::Between(8, 16));
        assert!(
            between.ends_with(
                "AS q WHERE q.ctid OPERATOR(pg_catalog.>=) '(8,0)'::pg_catalog.tid \
                 AND q.ctid OPERATOR(pg_catalog.<) '(16,0)'::pg_catalog.tid"
            ),
            "{between}"
        );
        assert!(read(Pages::From(16)).ends_with(">=) '(16,0)'::pg_catalog.tid"));
    }

    #[test]
    fn rows_that_are_not_dumped_get_no_digest_and_the_reason_names_the_extension() {
        let mut relation = table(Vec::new());
        relation.carriage = Carriage::Omitted;
        relation.extension = Some("postgis".to_owned());
        let why = digest_statement(&relation, Pages::All).unwrap_err();
        assert!(why.contains("postgis"));
    }
}
