//! Roles that a restore needs and that the server lacks, from a backup of the roles.
//!
//! Roles that are there stay untouched. A role that nothing in the archive names stays away: somebody may have dropped it
//! for good, with its password.

use std::collections::BTreeSet;

use super::outside::unquoted;
use crate::domain::fingerprint::lexer::{Token, statements, tokens};

/// What has to be executed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MissingRoles {
    /// The roles that are made.
    pub names: BTreeSet<String>,
    /// The statements, in the order of the backup. They hold passwords.
    pub statements: Vec<String>,
}

/// Chooses from a text of `pg_dumpall --globals-only` what makes the roles in `needed` that are not in `existing`.
pub fn find_missing(
    globals: &str,
    needed: &BTreeSet<String>,
    existing: &BTreeSet<String>,
) -> MissingRoles {
    let all = statements(globals);
    let mut names = created(&all);
    names.retain(|name| needed.contains(name) && !existing.contains(name));
    let is_known = |name: &String| names.contains(name) || existing.contains(name);
    let is_meant = |statement: &&String| {
        let words = names_of(statement);
        match words.as_slice() {
            // A membership needs both, and is new when one of them is.
            [Word::Grant, Word::Name(of), Word::To, Word::Name(to), ..] => {
                is_known(of) && is_known(to) && (names.contains(of) || names.contains(to))
            }
            [Word::Role, Word::Name(name), ..] => names.contains(name),
            _ => false,
        }
    };
    let meant = all.iter().filter(is_meant).cloned().collect();
    MissingRoles {
        names,
        statements: meant,
    }
}

/// All roles of such a text.
pub fn find_created(globals: &str) -> BTreeSet<String> {
    created(&statements(globals))
}

fn created(all: &[String]) -> BTreeSet<String> {
    let names = all.iter().filter_map(|it| it.strip_prefix("CREATE ROLE "));
    names.map(|name| unquoted(name.trim())).collect()
}

/// Everything in a schema text that could be the name of a role: its names, and the owners in the heads of entries.
pub fn find_named(schema: &str) -> BTreeSet<String> {
    let owners = schema.lines().filter_map(|line| {
        let (_, owner) = line.strip_prefix("-- ")?.rsplit_once("; Owner: ")?;
        Some(
            owner
                .split("; Tablespace: ")
                .next()
                .unwrap_or(owner)
                .to_owned(),
        )
    });
    let names = tokens(schema).filter_map(|token| match token {
        Token::Word(name) => Some(name.to_owned()),
        Token::QuotedName(name) => Some(unquoted(name)),
        _ => None,
    });
    owners.chain(names).collect()
}

#[derive(PartialEq, Eq)]
enum Word {
    Role,
    Grant,
    To,
    Name(String),
    Other,
}

/// The head of a statement about roles; whatever else it is begins with another word.
fn names_of(statement: &str) -> Vec<Word> {
    let words = tokens(statement).filter(|token| !matches!(token, Token::Blank(_)));
    let mut words = words.take(6);
    let Some(Token::Word(first)) = words.next() else {
        return Vec::new();
    };
    let name = |token: Option<Token<'_>>| match token {
        Some(Token::Word(name)) => Word::Name(name.to_owned()),
        Some(Token::QuotedName(name)) => Word::Name(unquoted(name)),
        _ => Word::Other,
    };
    match first {
        "CREATE" | "ALTER" if words.next() == Some(Token::Word("ROLE")) => {
            vec![Word::Role, name(words.next())]
        }
        "COMMENT" if words.nth(1) == Some(Token::Word("ROLE")) => {
            vec![Word::Role, name(words.next())]
        }
        "GRANT" => {
            let of = name(words.next());
            if words.next() == Some(Token::Word("TO")) {
                vec![Word::Grant, of, Word::To, name(words.next())]
            } else {
                Vec::new()
            }
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBALS: &str = r#"\restrict x
SET default_transaction_read_only = off;
CREATE ROLE app;
ALTER ROLE app WITH SUPERUSER PASSWORD 'one';
CREATE ROLE "My Writer";
ALTER ROLE "My Writer" WITH LOGIN PASSWORD 'SCRAM;two';
COMMENT ON ROLE "My Writer" IS 'it''s; me';
ALTER ROLE "My Writer" SET search_path TO 'a';
CREATE ROLE readers;
ALTER ROLE readers WITH NOLOGIN;
CREATE ROLE gone;
ALTER ROLE gone WITH LOGIN PASSWORD 'three';
GRANT readers TO "My Writer" WITH INHERIT TRUE GRANTED BY app;
GRANT readers TO gone;
GRANT app TO old_hand;
GRANT SET ON PARAMETER work_mem TO "My Writer";
CREATE TABLESPACE fast OWNER "My Writer" LOCATION '/x';
"#;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn only_needed_roles_are_made_and_nothing_is_done_to_those_that_are_there() {
        let needed = set(&["app", "My Writer", "readers"]);
        let missing = find_missing(GLOBALS, &needed, &set(&["app"]));
        assert_eq!(missing.names, set(&["My Writer", "readers"]));
        assert_eq!(
            missing.statements,
            [
                "CREATE ROLE \"My Writer\"",
                "ALTER ROLE \"My Writer\" WITH LOGIN PASSWORD 'SCRAM;two'",
                "COMMENT ON ROLE \"My Writer\" IS 'it''s; me'",
                "ALTER ROLE \"My Writer\" SET search_path TO 'a'",
                "CREATE ROLE readers",
                "ALTER ROLE readers WITH NOLOGIN",
                "GRANT readers TO \"My Writer\" WITH INHERIT TRUE GRANTED BY app",
            ]
        );
        let all = set(&["app", "My Writer", "readers", "gone"]);
        assert_eq!(find_missing(GLOBALS, &all, &all), MissingRoles::default());
    }

    #[test]
    fn a_membership_needs_both_of_its_roles() {
        let missing = find_missing(GLOBALS, &set(&["readers"]), &set(&["app"]));
        assert_eq!(missing.statements.len(), 2, "{missing:?}");
    }

    #[test]
    fn owners_and_whatever_a_statement_names_may_be_roles() {
        let text = "--\n-- Name: t; Type: TABLE; Schema: public; Owner: the owner; Tablespace: fast\n--\nCREATE TABLE t (a int);\nGRANT SELECT ON t TO \"a \"\"b\"\"\";\nCREATE POLICY p ON t TO writer;\n";
        let named = find_named(text);
        for role in ["the owner", "a \"b\"", "writer"] {
            assert!(named.contains(role), "{role}: {named:?}");
        }
    }
}
