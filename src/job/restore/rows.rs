//! Compares a copy in the live server with what was dumped, as a proof does in a throw-away one.

use super::RestoreError;
use super::copy::Copied;
use super::site::{Site, said};
use crate::domain::backup::{Census, Counted, Level, Manifest};
use crate::domain::comparison::{Compared, Digest, ObjectComparison, ObjectKind};
use crate::domain::fingerprint::SchemaText;
use crate::domain::restore::outside::Placement;
use crate::job::verify::compare::{SchemaTexts, judge_rows, judge_schema};
use crate::job::verify::findings::Findings;
use crate::postgres::large_object::LARGE_OBJECTS;
use crate::postgres::scratch::schema_dump_command;

/// How good a copy is.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    level: Level,
    reason: Option<String>,
    tables: usize,
    notes: Vec<String>,
}

impl Verdict {
    /// In words.
    pub(super) fn told(&self) -> String {
        let Self { level, tables, .. } = self;
        let mut told = format!("proven at level {level}: {tables} tables");
        if let Some(reason) = &self.reason {
            told = format!("{told}, and no further: {reason}");
        }
        for note in &self.notes {
            told = format!("{told}; {note}");
        }
        told
    }
}

impl Site<'_> {
    /// Compares schema, rows, content and sequences.
    ///
    /// # Errors
    /// With the first difference, when there is one.
    pub(super) async fn judge(
        &self,
        manifest: &Manifest,
        copied: &Copied<'_>,
    ) -> Result<Verdict, RestoreError> {
        let dumped = manifest.origin.server_version_number / 10_000;
        let mut findings = Findings {
            level: Some(Level::Restore),
            ..Findings::default()
        };
        if dumped == self.facts.major() {
            findings.absorb(self.judge_schema(manifest, copied).await?);
        } else {
            let major = self.facts.major();
            let reason = format!(
                "it comes from PostgreSQL {dumped} and this is {major}, which writes schemas and digests otherwise"
            );
            findings.absorb(Findings::without(&reason));
        }
        match &manifest.counted {
            Counted::Exact(census) => {
                let mut census = census.clone();
                if dumped != self.facts.major() {
                    forget_digests(&mut census);
                }
                findings.absorb(self.judge_rows(manifest, copied, &census).await?);
            }
            Counted::Absent(why) => {
                findings.absorb(Findings::without(&format!("rows were not counted: {why}")));
            }
            Counted::Summary { .. } => findings.absorb(Findings::without("rows were not read")),
        }
        let other_schema = findings.other_schema.take();
        findings.differences.extend(other_schema);
        if let Some(first) = findings.differences.first() {
            return Err(RestoreError::Unlike {
                first: first.to_string(),
                others: findings.differences.len() - 1,
            });
        }
        Ok(verdict(findings))
    }

    async fn judge_schema(
        &self,
        manifest: &Manifest,
        copied: &Copied<'_>,
    ) -> Result<Findings, RestoreError> {
        let encoding = manifest.facts.as_ref().map(|facts| facts.encoding.as_str());
        let command = schema_dump_command(&self.login, copied.name, encoding, &self.application);
        let dumped = self.exec(command).await?;
        if !dumped.end().is_success() {
            return Err(RestoreError::Refused {
                said: format!("its schema could not be dumped: {}", said(&dumped.stderr)),
            });
        }
        let texts = SchemaTexts {
            expected: copied.schema.to_owned(),
            found: copied.outside.read_as_own(&dumped.stdout, copied.name),
        };
        let placement = copied.placement;
        let forget = move |expected: &mut SchemaText, found: &mut SchemaText| {
            expected.forget_outside();
            found.forget_outside();
            expected.forget_subscriptions();
            if placement == Placement::Default {
                expected.forget_tablespaces();
            }
        };
        Ok(judge_schema(manifest, texts, forget).await?)
    }

    async fn judge_rows(
        &self,
        manifest: &Manifest,
        copied: &Copied<'_>,
        census: &Census,
    ) -> Result<Findings, RestoreError> {
        let (mut first, mut second) =
            tokio::try_join!(self.connect(copied.name), self.connect(copied.name))?;
        let sessions = [&mut first.session, &mut second.session];
        Ok(judge_rows(manifest, sessions, census).await?)
    }
}

/// Digests of another major version cannot be compared; rows can.
fn forget_digests(census: &mut Census) {
    for table in &mut census.tables {
        table.digest = Digest::Absent("it comes from another major version".to_owned());
    }
}

fn verdict(findings: Findings) -> Verdict {
    let counted = |it: &&ObjectComparison| {
        it.kind == ObjectKind::Table
            && it.name != LARGE_OBJECTS
            && matches!(it.compared, Compared::Digest | Compared::Rows)
    };
    let extension = ObjectKind::Schema("EXTENSION".to_owned());
    let notes = findings.compared.iter().filter(|it| it.kind == extension);
    let notes = notes.filter_map(|it| Some(format!("extension {}: {}", it.name, it.why.as_ref()?)));
    Verdict {
        level: findings.level.unwrap_or(Level::Restore),
        tables: findings.compared.iter().filter(counted).count(),
        notes: notes.collect(),
        reason: findings.reason,
    }
}
