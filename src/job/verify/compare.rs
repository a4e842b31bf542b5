//! Compares the restored copy with what was dumped: schema, roles, rows, content, sequences.

use std::time::Duration;

use super::scratch::{Scratch, expect_success};
use super::{Findings, VerifyError, database_of};
use crate::docker::ExecResult;
use crate::domain::backup::{Backup, Census, Level, Manifest};
use crate::domain::comparison::{
    Compared, Difference, ObjectComparison, ObjectKind, TableFacts, compare_extensions,
    compare_tables,
};
use crate::domain::fingerprint::{SchemaText, compare, compare_roles};
use crate::domain::sequence::{SequenceFact, compare_sequences};
use crate::job::JobContext;
use crate::postgres::digest::Work;
use crate::postgres::relation::{self, Relations};
use crate::postgres::scratch::{Tablespaces, archive_schema_command, schema_dump_command};
use crate::postgres::{PostgresError, Session, catalog, dump, large_object, sequence, settings};

/// One batch of digests in the scratch.
const DEADLINE: Duration = Duration::from_hours(6);

/// Reads the schema text of the archive; its end is judged by [`expect_schema`], after the restore's.
pub(super) async fn archive_schema(
    context: &JobContext,
    scratch: &Scratch,
) -> Result<ExecResult, VerifyError> {
    let command = archive_schema_command(&scratch.login, scratch.file);
    scratch.run(context, command, None).await
}

/// The text, when it could be read: where it could not, a restore has said more about it.
pub(super) fn expect_schema(read: ExecResult) -> Result<String, VerifyError> {
    expect_success("could not read the archive's schema", &read)?;
    Ok(read.stdout)
}

/// The archive's own schema text against that of the restored copy.
pub(super) async fn schema(
    context: &JobContext,
    backup: &Backup,
    scratch: &Scratch,
    expected: String,
) -> Result<Findings, VerifyError> {
    let database = database_of(backup);
    let facts = backup.manifest.facts.as_ref();
    let encoding = facts.map(|facts| facts.encoding.as_str());
    let command = schema_dump_command(&scratch.login, &database, encoding, &scratch.application);
    let found = scratch.run(context, command, None).await?;
    expect_success("could not dump the schema of the copy", &found)?;
    let tablespaces = scratch.plan.tablespaces();
    let texts = SchemaTexts {
        expected,
        found: found.stdout,
    };
    judge_schema(&backup.manifest, texts, move |expected, _found| {
        if tablespaces == Tablespaces::LeftOut {
            expected.forget_tablespaces();
        }
    })
    .await
}

/// The schema texts of an archive and of its copy.
pub(in crate::job) struct SchemaTexts {
    pub(in crate::job) expected: String,
    pub(in crate::job) found: String,
}

/// Compares both, after `forget` has taken out what this copy cannot have.
pub(in crate::job) async fn judge_schema(
    manifest: &Manifest,
    texts: SchemaTexts,
    forget: impl FnOnce(&mut SchemaText, &mut SchemaText) + Send + 'static,
) -> Result<Findings, VerifyError> {
    let recorded = manifest.schema_fingerprint.clone();
    let compared = tokio::task::spawn_blocking(move || {
        // One after the other, and each text is gone when it was read: with many tables it is megabytes.
        let mut expected = read_schema(texts.expected);
        let mut found = read_schema(texts.found);
        // Two empty texts would be equal.
        if expected.is_empty() || found.is_empty() {
            return None;
        }
        let hash = crate::store::hash_pieces(|take| expected.normalised(take));
        let is_other = recorded.is_some_and(|recorded| recorded != hash);
        forget(&mut expected, &mut found);
        Some((compare(&expected, &found), is_other))
    });
    let differences = compared.await.map_err(|_lost| VerifyError::Cancelled)?;
    let (differences, is_other) = differences.ok_or_else(|| VerifyError::Scratch {
        operation: "gave no schema",
        said: "the schema text of the archive or of the copy is empty".to_owned(),
    })?;
    let mut findings = Findings {
        // Told last: what differs in the copy says more than that the file is another one.
        other_schema: is_other.then(|| Difference {
            kind: ObjectKind::File,
            name: manifest.file.clone(),
            what: "its schema is not the one the manifest recorded".to_owned(),
        }),
        ..Findings::default()
    };
    findings.differ(differences);
    Ok(findings)
}

fn read_schema(text: String) -> SchemaText {
    let schema = SchemaText::parse(&text);
    drop(text);
    schema
}

/// What of the server's tablespaces was compared.
pub(super) fn tablespaces(scratch: &Scratch, names: &[String]) -> Vec<ObjectComparison> {
    let (compared, why) = match scratch.plan.tablespaces() {
        Tablespaces::InPlace => (
            Compared::Definition,
            "in the copy it is a folder of the scratch server: its location was not compared",
        ),
        Tablespaces::LeftOut => (
            Compared::Nothing,
            "the copy stands in the default tablespace",
        ),
    };
    let spaces = names.iter().map(|name| ObjectComparison {
        kind: ObjectKind::Schema("TABLESPACE".to_owned()),
        name: name.clone(),
        compared,
        why: Some(why.to_owned()),
    });
    spaces.collect()
}

/// The roles that were backed up against those of the scratch.
pub(super) async fn roles(
    context: &JobContext,
    scratch: &Scratch,
    globals: Option<&str>,
) -> Result<Findings, VerifyError> {
    let Some(globals) = globals else {
        return Ok(Findings::without("no backup of the roles stands beside it"));
    };
    let command = dump::roles_command(&scratch.login, &scratch.application);
    let found = scratch.run(context, command, None).await?;
    expect_success("could not dump the roles of the copy", &found)?;
    let mut findings = Findings::default();
    findings.differ(compare_roles(globals, &found.stdout));
    Ok(findings)
}

/// Rows, content and sequences.
pub(super) async fn census(
    context: &JobContext,
    backup: &Backup,
    scratch: &Scratch,
    expected: &Census,
) -> Result<Findings, VerifyError> {
    let database = database_of(backup);
    let (mut first, mut second) = tokio::try_join!(
        scratch.connect(context, &database),
        scratch.connect(context, &database),
    )?;
    judge_rows(&backup.manifest, [&mut first, &mut second], expected).await
}

/// The same in any two sessions with a copy.
pub(in crate::job) async fn judge_rows(
    manifest: &Manifest,
    [first, second]: [&mut Session; 2],
    expected: &Census,
) -> Result<Findings, VerifyError> {
    let read = read_copy(first, second)
        .await
        .map_err(VerifyError::Session)?;
    let tables = compare_tables(&expected.tables, &read.tables);
    let sequences = compare_sequences(
        &expected.sequences_before,
        &expected.sequences_after,
        &read.sequences,
    );
    let (level, reason) = reached(&tables.compared);
    let mut findings = Findings {
        level: Some(level),
        reason,
        ..Findings::default()
    };
    findings.compared.extend(tables.compared);
    findings.compared.extend(sequences.compared);
    findings.compared.extend(definitions(&read.relations));
    let known = manifest.facts.as_ref();
    let known = known.map_or(&[] as &[String], |facts| &facts.extensions);
    findings
        .compared
        .extend(compare_extensions(known, &read.extensions));
    findings.differ(tables.differences);
    findings.differ(sequences.differences);
    Ok(findings)
}

struct Copy {
    relations: Relations,
    tables: Vec<TableFacts>,
    sequences: Vec<SequenceFact>,
    extensions: Vec<String>,
}

/// Digests in two sessions: the scratch has two cores at most and nobody else to serve.
async fn read_copy(first: &mut Session, second: &mut Session) -> Result<Copy, PostgresError> {
    for session in [&mut *first, &mut *second] {
        settings::apply(session).await?;
        session.run("BEGIN TRANSACTION READ ONLY", DEADLINE).await?;
    }
    let relations = relation::relations(first).await?;
    let sequences = sequence::sequences(first).await?;
    let extensions = catalog::database_facts(first).await?.extensions;
    let work = Work::new(&relations.leaves);
    let (left, right) =
        tokio::try_join!(work.share(first, DEADLINE), work.share(second, DEADLINE))?;
    let mut tables = work.sum(left.into_iter().chain(right));
    tables.push(large_object::digest_large_objects(first, DEADLINE).await?);
    Ok(Copy {
        relations,
        tables,
        sequences,
        extensions,
    })
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
