//! The marks of restores as they stand in `COMMENT ON DATABASE`: a sentence for people, then JSON for us.
//!
//! Format 1; readers ignore fields they do not know. What cannot be read is somebody else's comment.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::quote;
use crate::domain::id::{BackupId, DatabaseName, ProjectName};
use crate::domain::restore::mark::{Mark, Stage};
use crate::domain::restore::name::Side;

/// How every mark begins.
const PREFIX: &str = "stackwarden: ";
/// The word for a copy on its way.
const COPY: &str = "copy";

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    stage: String,
    project: String,
    of: String,
    backup: Option<String>,
    at: DateTime<Utc>,
    comment: Option<String>,
}

/// The comment that marks a database.
pub fn encode(mark: &Mark) -> String {
    let stored = Stored {
        format: 1,
        stage: match mark.stage {
            Stage::Copy => COPY.to_owned(),
            Stage::Aside(side) => side.as_str().to_owned(),
        },
        project: mark.project.to_string(),
        of: mark.of.to_string(),
        backup: mark.backup.as_ref().map(ToString::to_string),
        at: mark.at,
        comment: mark.comment.clone(),
    };
    // Strings with string keys always become JSON.
    let json = serde_json::to_string(&stored).unwrap_or_default();
    format!("{PREFIX}{} {json}", mark.sentence())
}

/// Reads a comment; `None` where it is no mark.
pub fn find(comment: &str) -> Option<Mark> {
    let rest = comment.strip_prefix(PREFIX)?;
    // The last one: within the JSON quotes are escaped, a name in the sentence may hold anything.
    let json = rest.get(rest.rfind("{\"format\":")?..)?;
    let stored: Stored = serde_json::from_str(json).ok()?;
    Some(Mark {
        stage: if stored.stage == COPY {
            Stage::Copy
        } else {
            Stage::Aside(Side::find(&stored.stage)?)
        },
        project: ProjectName::new(stored.project),
        of: DatabaseName::new(stored.of),
        backup: match stored.backup {
            Some(id) => Some(BackupId::parse(&id).ok()?),
            None => None,
        },
        at: stored.at,
        comment: stored.comment,
    })
}

/// The statement that marks a database.
pub fn mark_sql(database: &DatabaseName, mark: &Mark) -> String {
    comment_sql(database, Some(&encode(mark)))
}

/// The statement that gives a database a comment, or takes it away.
pub fn comment_sql(database: &DatabaseName, comment: Option<&str>) -> String {
    let text = comment.map_or_else(|| "NULL".to_owned(), quote::literal);
    let name = quote::identifier(database.as_str());
    format!("COMMENT ON DATABASE {name} IS {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(stage: Stage, comment: Option<&str>) -> Mark {
        Mark {
            stage,
            project: ProjectName::new("shop"),
            of: DatabaseName::new("o'brien {\"format\":"),
            backup: Some(BackupId::parse("20260121T020000Z-3f9c").unwrap()),
            at: "2026-01-21T02:00:00.5Z".parse().unwrap(),
            comment: comment.map(str::to_owned),
        }
    }

    #[test]
    fn a_mark_reads_back_whatever_names_and_comments_hold() {
        for stage in [
            Stage::Copy,
            Stage::Aside(Side::Before),
            Stage::Aside(Side::After),
        ] {
            for comment in [None, Some("it's {\"format\":1} \\ \n ours")] {
                let mark = mark(stage, comment);
                assert_eq!(find(&encode(&mark)), Some(mark));
            }
        }
        let file = Mark {
            backup: None,
            ..mark(Stage::Copy, None)
        };
        assert_eq!(find(&encode(&file)), Some(file));
    }

    #[test]
    fn other_comments_are_none_of_ours() {
        for comment in ["", "the shop", "stackwarden: is great", "{\"format\":1}"] {
            assert_eq!(find(comment), None, "{comment}");
        }
    }
}
