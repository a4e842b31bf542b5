//! Roles of two servers, from `pg_dumpall --roles-only`.

use std::collections::BTreeSet;

use super::lexer::{Token, is_on, statements, tokens};
use crate::domain::comparison::{Difference, ObjectKind};
use crate::domain::failure::bounded;
use crate::domain::raw_text;

/// Longest statement shown in a difference.
const EXCERPT: usize = 160;

/// Compares the statements of both texts as sets. A password counts, and is never shown.
pub fn compare_roles(expected: &str, found: &str) -> Vec<Difference> {
    let expected = role_statements(expected);
    let found = role_statements(found);
    let missing = expected
        .difference(&found)
        .map(|statement| difference(statement, "is missing in the restored copy"));
    let extra = found
        .difference(&expected)
        .map(|statement| difference(statement, "is in the restored copy alone"));
    missing.chain(extra).collect()
}

fn role_statements(text: &str) -> BTreeSet<String> {
    statements(text)
        .into_iter()
        .filter(|statement| !statement.starts_with("SET ") && !is_about_tablespace(statement))
        .collect()
}

/// Globals hold tablespaces too; what stands in them is compared with the schema.
fn is_about_tablespace(statement: &str) -> bool {
    let starts = |word: &str| statement.starts_with(word);
    starts("CREATE TABLESPACE ")
        || starts("ALTER TABLESPACE ")
        || starts("COMMENT ON TABLESPACE ")
        || is_on(statement, &["TABLESPACE"])
            && (starts("GRANT ") || starts("REVOKE ") || starts("SECURITY LABEL "))
}

fn difference(statement: &str, what: &str) -> Difference {
    Difference {
        kind: ObjectKind::Role,
        name: raw_text::shown(role_name(statement).unwrap_or("-")),
        what: format!(
            "{:?} {what}",
            bounded(&raw_text::shown(&without_password(statement)), EXCERPT)
        ),
    }
}

/// The name after `ROLE`, or after `GRANT`.
fn role_name(statement: &str) -> Option<&str> {
    let mut words =
        tokens(statement).filter(|token| matches!(token, Token::Word(_) | Token::QuotedName(_)));
    words.find(|token| matches!(token, Token::Word("ROLE" | "GRANT")))?;
    words.next().map(Token::text)
}

/// The statement with `***` for the literal after `PASSWORD`.
fn without_password(statement: &str) -> String {
    let mut hide = false;
    tokens(statement)
        .map(|token| match token {
            Token::Word("PASSWORD") => {
                hide = true;
                token.text()
            }
            Token::Literal(_) if std::mem::take(&mut hide) => "'***'",
            other => other.text(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_password_is_a_difference_that_does_not_show_it() {
        let line = |password: &str| {
            format!(
                "ALTER ROLE \"my app\" WITH LOGIN PASSWORD '{password}' VALID UNTIL 'infinity';\n"
            )
        };
        let differences = compare_roles(&line("SCRAM-one"), &line("SCRAM-two"));
        assert_eq!(differences.len(), 2);
        for difference in &differences {
            assert_eq!(difference.name, "\"my app\"");
            assert!(!difference.what.contains("SCRAM"), "{difference}");
            assert!(difference.what.contains("infinity"), "{difference}");
        }
        assert!(compare_roles(&line("x"), &line("x")).is_empty());
    }

    #[test]
    fn the_order_of_roles_and_psqls_own_lines_are_no_difference() {
        let one = "\\restrict a\nSET x = on;\nCREATE ROLE a;\nCREATE ROLE b;\n\\unrestrict a\n";
        let two = "\\restrict b\nCREATE ROLE b;\nCREATE ROLE a;\n\\unrestrict b\n";
        assert!(compare_roles(one, two).is_empty());
    }

    #[test]
    fn tablespaces_among_the_globals_are_no_roles() {
        let globals = "CREATE TABLESPACE fast OWNER a LOCATION '/x';\nGRANT ALL ON TABLESPACE fast TO b;\nCREATE ROLE a;\n";
        assert!(compare_roles(globals, "CREATE ROLE a;\n").is_empty());
    }

    #[test]
    fn a_role_that_is_called_like_a_grant_on_a_tablespace_is_a_role() {
        let grant = "GRANT \"readers ON TABLESPACE fast\" TO app;";
        assert_eq!(compare_roles(grant, "").len(), 1);
    }

    #[test]
    fn a_missing_membership_names_the_role() {
        let differences = compare_roles("GRANT readers TO app;", "");
        assert_eq!(differences[0].name, "readers");
    }
}
