//! What came back of a foreign dump: its databases, tables and rows.

use std::time::Duration;

use super::{Court, Judgement, STATEMENT};
use crate::domain::backup::Level;
use crate::domain::comparison::{Rows, TableFacts};
use crate::domain::foreign::Shape;
use crate::domain::id::DatabaseName;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::job::verify::VerifyError;
use crate::postgres::{PostgresError, Session, digest, foreign, relation, settings};

/// One batch of counts in the scratch.
const DEADLINE: Duration = Duration::from_hours(6);

impl Court<'_> {
    pub(super) async fn databases(&self) -> Result<Vec<DatabaseName>, VerifyError> {
        let mut session = self.session(&DatabaseName::new("template1")).await?;
        let databases = foreign::databases(&mut session, STATEMENT).await;
        databases.map_err(VerifyError::Session)
    }

    pub(super) async fn clear(&self) -> Result<(), VerifyError> {
        for database in self.databases().await? {
            if database.as_str() != "postgres" {
                self.administer(&foreign::drop_database(&database)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn count(
        &self,
        shape: Shape,
        made_up: &[String],
        doubt: Option<&str>,
    ) -> Result<Judgement, VerifyError> {
        self.context
            .progress
            .go_on(JobKind::Verify, Step::Comparing);
        let mut tables = Vec::new();
        for database in self.databases().await? {
            let mut session = self.session(&database).await?;
            let counted = count_tables(&mut session).await;
            let counted = counted.map_err(VerifyError::Session)?;
            tables.extend(counted.into_iter().map(|it| match shape {
                Shape::Cluster => (format!("{database}.{}", it.name), it.rows),
                _ => (it.name, it.rows),
            }));
        }
        let rows: u64 = tables.iter().map(|(_, rows)| exact(rows)).sum();
        let mut detail = format!(
            "{shape}, restored without an error: {} tables with {rows} rows; level restore and no further, since no \
             snapshot is known to compare with",
            tables.len()
        );
        if let Some(doubt) = doubt {
            detail.push_str("; ");
            detail.push_str(doubt);
        }
        if !made_up.is_empty() {
            detail.push_str("; roles that had to be made up: ");
            detail.push_str(&made_up.join(", "));
        }
        Ok(Judgement {
            shape: Some(shape),
            level: Some(Level::Restore),
            detail,
            tables,
        })
    }
}

pub(in crate::job) async fn count_tables(
    session: &mut Session,
) -> Result<Vec<TableFacts>, PostgresError> {
    settings::apply(session).await?;
    session
        .run("BEGIN TRANSACTION READ ONLY", STATEMENT)
        .await?;
    let relations = relation::relations(session).await?;
    digest::digest_tables(session, &relations.leaves, DEADLINE).await
}

fn exact(rows: &Rows) -> u64 {
    match rows {
        Rows::Exact(rows) => *rows,
        Rows::Absent(_) => 0,
    }
}
