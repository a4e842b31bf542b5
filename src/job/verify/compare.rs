//! Compares the restored copy with what was dumped: schema, roles, rows, content, sequences.

use std::time::Duration;

use super::restore::RestoredCopy;
use super::scratch::{Scratch, expect_success};
use super::{Findings, VerifyError, database_of};
use crate::domain::backup::{Backup, Census, Level};
use crate::domain::comparison::{
    Compared, Difference, ObjectComparison, ObjectKind, TableFacts, compare_tables,
};
use crate::domain::fingerprint::{SchemaText, compare, compare_roles};
use crate::domain::sequence::{SequenceFact, compare_sequences};
use crate::job::JobContext;
use crate::postgres::relation::{self, LeafRelation, Relations};
use crate::postgres::scratch::{archive_schema_command, schema_dump_command};
use crate::postgres::{PostgresError, Session, digest, dump, large_object, sequence, settings};

/// One batch of digests in the scratch.
const DEADLINE: Duration = Duration::from_hours(6);
/// How many differences are kept: the first one tells, a thousand tell no more.
const KEPT_DIFFERENCES: usize = 100;

/// The archive's own schema text against that of the restored copy.
pub(super) async fn schema(
    context: &JobContext,
    backup: &Backup,
    scratch: &Scratch,
    restored: &RestoredCopy,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let expected = scratch
        .run(
            context,
            archive_schema_command(&scratch.login, scratch.file),
            None,
        )
        .await?;
    expect_success("could not read the archive's schema", &expected)?;
    let database = database_of(backup);
    let command = schema_dump_command(&scratch.login, &database, &scratch.application);
    let found = scratch.run(context, command, None).await?;
    expect_success("could not dump the schema of the copy", &found)?;
    let recorded = backup.manifest.schema_fingerprint.clone();
    let compared = tokio::task::spawn_blocking(move || {
        let expected = SchemaText::parse(&expected.stdout);
        let found = SchemaText::parse(&found.stdout);
        // Two empty texts would be equal.
        if expected.is_empty() || found.is_empty() {
            return None;
        }
        let differences = compare(&expected, &found);
        let hash = crate::store::hash_text(&expected.normalised_text());
        let is_other = recorded.is_some_and(|recorded| recorded != hash);
        Some((differences, is_other))
    });
    let differences = compared.await.map_err(|_lost| VerifyError::Cancelled)?;
    let (differences, is_other) = differences.ok_or_else(|| VerifyError::Scratch {
        operation: "gave no schema",
        said: "the schema text of the archive or of the copy is empty".to_owned(),
    })?;
    add_differences(findings, differences);
    // Told last: what differs in the copy says more than that the file is another one.
    findings.other_schema = is_other.then(|| Difference {
        kind: ObjectKind::File,
        name: backup.manifest.file.clone(),
        what: "its schema is not the one the manifest recorded".to_owned(),
    });
    for tablespace in &restored.tablespaces {
        findings.compared.push(ObjectComparison {
            kind: ObjectKind::Schema("TABLESPACE".to_owned()),
            name: tablespace.clone(),
            compared: Compared::Nothing,
            why: Some("the copy stands in the default tablespace".to_owned()),
        });
    }
    Ok(())
}

fn add_differences(findings: &mut Findings, differences: Vec<Difference>) {
    let room = KEPT_DIFFERENCES.saturating_sub(findings.differences.len());
    findings
        .differences
        .extend(differences.into_iter().take(room));
}

/// The roles that were backed up against those of the scratch.
pub(super) async fn roles(
    context: &JobContext,
    scratch: &Scratch,
    globals: &str,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let command = dump::roles_command(&scratch.login, &scratch.application);
    let found = scratch.run(context, command, None).await?;
    expect_success("could not dump the roles of the copy", &found)?;
    add_differences(findings, compare_roles(globals, &found.stdout));
    Ok(())
}

/// Rows, content and sequences.
pub(super) async fn census(
    context: &JobContext,
    backup: &Backup,
    scratch: &Scratch,
    expected: &Census,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let database = database_of(backup);
    let mut first = scratch.connect(context, &database).await?;
    let mut second = scratch.connect(context, &database).await?;
    let read = read_copy(&mut first, &mut second)
        .await
        .map_err(VerifyError::Session)?;
    let tables = compare_tables(&expected.tables, &read.tables);
    let sequences = compare_sequences(
        &expected.sequences_before,
        &expected.sequences_after,
        &read.sequences,
    );
    let (level, reason) = reached(&tables.compared);
    findings.level = Some(level);
    findings.reason = findings.reason.take().or(reason);
    findings.compared.extend(tables.compared);
    findings.compared.extend(sequences.compared);
    findings.compared.extend(definitions(&read.relations));
    add_differences(findings, tables.differences);
    add_differences(findings, sequences.differences);
    Ok(())
}

struct Copy {
    relations: Relations,
    tables: Vec<TableFacts>,
    sequences: Vec<SequenceFact>,
}

/// Digests in two sessions: the scratch has two cores at most and nobody else to serve.
async fn read_copy(first: &mut Session, second: &mut Session) -> Result<Copy, PostgresError> {
    for session in [&mut *first, &mut *second] {
        settings::apply(session).await?;
        session.run("BEGIN TRANSACTION READ ONLY", DEADLINE).await?;
    }
    let relations = relation::relations(first).await?;
    let sequences = sequence::sequences(first).await?;
    let (left, right) = halves(&relations.leaves);
    let (left, right) = tokio::try_join!(
        digest::digest_tables(first, &left, DEADLINE),
        digest::digest_tables(second, &right, DEADLINE),
    )?;
    let mut tables: Vec<TableFacts> = left.into_iter().chain(right).collect();
    tables.push(large_object::digest_large_objects(first, DEADLINE).await?);
    Ok(Copy {
        relations,
        tables,
        sequences,
    })
}

/// Deals the tables out by size, the larger half of each pair to either side in turn.
fn halves(leaves: &[LeafRelation]) -> (Vec<LeafRelation>, Vec<LeafRelation>) {
    let mut by_size: Vec<&LeafRelation> = leaves.iter().collect();
    by_size.sort_by_key(|leaf| std::cmp::Reverse(leaf.pages));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let (mut left_pages, mut right_pages) = (0, 0);
    for leaf in by_size {
        let weight = leaf.pages.max(1);
        if left_pages <= right_pages {
            left_pages += weight;
            left.push(leaf.clone());
        } else {
            right_pages += weight;
            right.push(leaf.clone());
        }
    }
    (left, right)
}

/// `content` only when every ordinary table got a digest; tables of extensions may lack one, and are named.
fn reached(compared: &[ObjectComparison]) -> (Level, Option<String>) {
    let short = |wanted: fn(Compared) -> bool| {
        compared
            .iter()
            .find(|it| !wanted(it.compared) && !is_named_extension(it))
    };
    let why = |it: &ObjectComparison| {
        format!(
            "{} {}: {}",
            it.kind,
            it.name,
            it.why.as_deref().unwrap_or("not compared")
        )
    };
    if let Some(it) = short(|compared| matches!(compared, Compared::Digest | Compared::Rows)) {
        return (Level::Restore, Some(why(it)));
    }
    if let Some(it) = short(|compared| compared == Compared::Digest) {
        return (Level::Rows, Some(why(it)));
    }
    (Level::Content, None)
}

fn is_named_extension(it: &ObjectComparison) -> bool {
    it.why.as_deref().is_some_and(|why| {
        why.contains("of extension ") || why.starts_with("belongs to extension ")
    })
}

fn definitions(relations: &Relations) -> impl Iterator<Item = ObjectComparison> + '_ {
    relations.definitions.iter().map(|object| ObjectComparison {
        kind: ObjectKind::Table,
        name: object.name.clone(),
        compared: Compared::Definition,
        why: Some(object.kind.why().to_owned()),
    })
}
