//! What is told of a judged file: one part for the file, one for each of its tables.

use tracing::{info, warn};

use crate::domain::comparison::Rows;
use crate::domain::failure::chain;
use crate::domain::job::{JobPart, Outcome};
use crate::job::verify::{FilePlan, Judgement, VerifyError};

/// Tables that are told one by one; who has more looks for a few of them only.
const TOLD_TABLES: usize = 1_000;

/// A file that could be judged.
pub(super) fn judged(plan: &FilePlan, judgement: &Judgement) -> Vec<JobPart> {
    let file = plan.file.display().to_string();
    let outcome = if judgement.level.is_some() {
        info!(file, detail = judgement.detail, "file judged");
        Outcome::Succeeded
    } else {
        warn!(file, detail = judgement.detail, "file is no good dump");
        Outcome::Failed
    };
    let mut parts = vec![part(file, outcome, judgement.detail.clone())];
    let tables = judgement.tables.iter().take(TOLD_TABLES);
    parts.extend(tables.map(|(name, rows)| {
        let told = match rows {
            Rows::Exact(rows) => format!("{rows} rows"),
            Rows::Absent(why) => format!("not counted: {why}"),
        };
        part(format!("table {name}"), outcome, told)
    }));
    let more = judgement.tables.len().saturating_sub(TOLD_TABLES);
    if more > 0 {
        let told = "their rows are in the sum above".to_owned();
        parts.push(part(format!("{more} more tables"), outcome, told));
    }
    parts
}

/// A file that could not: that says nothing about it.
pub(super) fn unjudged(plan: &FilePlan, error: &VerifyError) -> JobPart {
    let file = plan.file.display().to_string();
    let why = chain(error);
    if matches!(error, VerifyError::Cancelled) {
        return part(file, Outcome::Cancelled, why);
    }
    warn!(file, error = %why, "file could not be judged");
    part(file, Outcome::Failed, format!("could not be judged: {why}"))
}

fn part(subject: String, outcome: Outcome, detail: String) -> JobPart {
    JobPart {
        subject,
        outcome,
        backup: None,
        detail,
    }
}
