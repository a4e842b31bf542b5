//! A database as it is from outside: what `pg_dump -C` writes of it and of no object inside it. Owner, settings (of roles
//! in it too), grants, connection limit, comment.
//!
//! Knows the statements by their words; the name they are about is exchanged, nothing else of them.

use crate::domain::fingerprint::lexer::{Token, statements, tokens};
use crate::domain::id::DatabaseName;

/// What was written of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// Its name as the text quotes it.
    quoted: String,
    /// `CREATE DATABASE …`: encoding, locale, provider, tablespace.
    create: String,
    /// In their order: owner, settings, limit, grants with their grantors, labels. May hold secrets.
    statements: Vec<String>,
    /// `COMMENT ON DATABASE …`
    comment: Option<String>,
}

/// Where a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// In the tablespace that the text names.
    AsWritten,
    /// In the default one.
    Default,
}

impl Outside {
    /// Reads it from a schema text (`pg_dump -C -s`, `pg_restore -C -s -f -`); `None` when there is no database in it.
    pub fn find(text: &str) -> Option<Self> {
        let all = statements(text);
        let create = all.iter().find(|it| it.starts_with("CREATE DATABASE "))?;
        let mut outside = Self {
            quoted: name_in(create)?.to_owned(),
            create: create.clone(),
            statements: Vec::new(),
            comment: None,
        };
        let mut grantor: Option<&String> = None;
        for statement in &all {
            if statement.starts_with("SET SESSION AUTHORIZATION ") {
                grantor = Some(statement);
            } else if statement == "RESET SESSION AUTHORIZATION" {
                grantor = None;
            } else if outside.is_about(statement) {
                outside.take(statement, grantor);
            }
        }
        Some(outside)
    }

    fn is_about(&self, statement: &str) -> bool {
        let heads = [
            "ALTER DATABASE ",
            "ALTER ROLE ",
            "COMMENT ON DATABASE ",
            "GRANT ",
            "REVOKE ",
            "SECURITY LABEL ",
        ];
        heads.iter().any(|head| statement.starts_with(head))
            && name_in(statement) == Some(&self.quoted)
    }

    fn take(&mut self, statement: &str, grantor: Option<&String>) {
        if statement.starts_with("COMMENT ON DATABASE ") {
            self.comment = Some(statement.to_owned());
        } else if !statement.contains(" IS_TEMPLATE = ") {
            // A template could not be dropped, and nobody connects to one by mistake twice.
            self.statements.extend(grantor.cloned());
            self.statements.push(statement.to_owned());
            let reset = grantor.map(|_| "RESET SESSION AUTHORIZATION".to_owned());
            self.statements.extend(reset);
        }
    }

    /// The statement that makes an empty database like this one. Without quotes around, `name` must need none.
    pub fn create(&self, name: &str, placement: Placement) -> String {
        let create = match placement {
            Placement::AsWritten => self.create.as_str(),
            Placement::Default => self
                .create
                .rsplit_once(" TABLESPACE = ")
                .map_or(self.create.as_str(), |(head, _)| head),
        };
        renamed(create, name)
    }

    /// The statements that give another database the same outside, but for the comment.
    pub fn statements(&self, name: &str) -> Vec<String> {
        let all = self.statements.iter();
        all.map(|statement| renamed(statement, name)).collect()
    }

    /// The statement that gives another database the same comment.
    pub fn comment(&self, name: &str) -> Option<String> {
        let comment = self.comment.as_ref();
        comment.map(|statement| renamed(statement, name))
    }

    /// A schema text of a copy, as if the copy were called like this database.
    pub fn read_as_own(&self, text: &str, copy: &DatabaseName) -> String {
        // In the head of its own entries a name is not quoted.
        let plain = unquoted(&self.quoted);
        let head = format!("-- Name: {copy}; Type: DATABASE");
        let lines = text.split('\n').map(|line| {
            let own = if line.starts_with(&head) {
                &plain
            } else {
                &self.quoted
            };
            line.replace(copy.as_str(), own)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A name as it is, without the quotes that SQL may want around it.
pub(super) fn unquoted(name: &str) -> String {
    let inner = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("\"\"", "\""))
}

/// Where the name behind the word `DATABASE` stands among a statement's tokens.
fn position(all: &[Token<'_>]) -> Option<usize> {
    let word = all.iter().position(|it| *it == Token::Word("DATABASE"))?;
    let names = all.iter().enumerate().skip(word + 1);
    let mut names = names.filter(|(_, token)| !matches!(token, Token::Blank(_)));
    let (at, token) = names.next()?;
    matches!(token, Token::Word(_) | Token::QuotedName(_)).then_some(at)
}

fn name_in(statement: &str) -> Option<&str> {
    let all: Vec<Token<'_>> = tokens(statement).collect();
    all.get(position(&all)?).map(|token| token.text())
}

fn renamed(statement: &str, name: &str) -> String {
    let all: Vec<Token<'_>> = tokens(statement).collect();
    let at = position(&all);
    let texts = all.iter().enumerate().map(|(index, token)| {
        if Some(index) == at {
            name
        } else {
            token.text()
        }
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"--
-- Name: My App; Type: DATABASE; Schema: -; Owner: o'brien
--

CREATE DATABASE "My App" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = icu TABLESPACE = fast;


ALTER DATABASE "My App" OWNER TO "o'brien";

\connect "My App"

--
-- Name: DATABASE "My App"; Type: COMMENT; Schema: -; Owner: o'brien
--

COMMENT ON DATABASE "My App" IS 'about DATABASE other; it''s';


ALTER DATABASE "My App" IS_TEMPLATE = true;
ALTER DATABASE "My App" CONNECTION LIMIT = 7;
ALTER DATABASE "My App" SET "app.text" TO 'DATABASE "My App"';
ALTER ROLE writer IN DATABASE "My App" SET statement_timeout TO '5s';
CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS $$ ALTER DATABASE "My App" RESET ALL; $$;
SET SESSION AUTHORIZATION lender;
GRANT ALL ON TABLE public.t TO reader;
RESET SESSION AUTHORIZATION;
REVOKE CONNECT,TEMPORARY ON DATABASE "My App" FROM PUBLIC;
GRANT CONNECT ON DATABASE "My App" TO lender WITH GRANT OPTION;
SET SESSION AUTHORIZATION lender;
GRANT CONNECT ON DATABASE "My App" TO reader;
RESET SESSION AUTHORIZATION;
"#;

    #[test]
    fn the_outside_is_found_among_everything_else_and_given_to_another() {
        let outside = Outside::find(TEXT).unwrap();
        let create = "CREATE DATABASE copy WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = icu";
        assert_eq!(outside.create("copy", Placement::Default), create);
        let placed = format!("{create} TABLESPACE = fast");
        assert_eq!(outside.create("copy", Placement::AsWritten), placed);
        assert_eq!(
            outside.statements("copy"),
            [
                "ALTER DATABASE copy OWNER TO \"o'brien\"",
                "ALTER DATABASE copy CONNECTION LIMIT = 7",
                "ALTER DATABASE copy SET \"app.text\" TO 'DATABASE \"My App\"'",
                "ALTER ROLE writer IN DATABASE copy SET statement_timeout TO '5s'",
                "REVOKE CONNECT,TEMPORARY ON DATABASE copy FROM PUBLIC",
                "GRANT CONNECT ON DATABASE copy TO lender WITH GRANT OPTION",
                "SET SESSION AUTHORIZATION lender",
                "GRANT CONNECT ON DATABASE copy TO reader",
                "RESET SESSION AUTHORIZATION",
            ]
        );
        let comment = "COMMENT ON DATABASE \"a\"\"b\" IS 'about DATABASE other; it''s'";
        assert_eq!(outside.comment("\"a\"\"b\"").as_deref(), Some(comment));
    }

    #[test]
    fn a_copys_text_reads_as_if_it_had_its_own_name() {
        let outside = Outside::find(TEXT).unwrap();
        let copy = DatabaseName::new("stackwarden_copy_010203040506");
        let text = TEXT
            .replace("\"My App\"", copy.as_str())
            .replace("My App", copy.as_str());
        let read = outside.read_as_own(&text, &copy);
        // In a literal the text of the copy would say its own name; no dump of one does.
        assert_eq!(read, TEXT);
    }

    #[test]
    fn what_creates_no_database_has_no_outside() {
        assert_eq!(Outside::find("CREATE TABLE t (a int);"), None);
        assert_eq!(Outside::find(""), None);
    }
}
