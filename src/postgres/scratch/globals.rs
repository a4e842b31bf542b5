//! Roles of a live server, made fit for a scratch server of the same bootstrap user.

use super::super::quote;
use crate::domain::fingerprint::lexer::{is_on, statements};

/// Where the tablespaces of the live server are in the scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tablespaces {
    /// Each is a folder inside the scratch's own data.
    InPlace,
    /// They are left out: an older server knows no such folders. Everything is in the default one.
    LeftOut,
}

impl Tablespaces {
    /// What a server of this major version can do.
    pub fn of_major(major: u32) -> Self {
        if major >= 15 {
            Self::InPlace
        } else {
            Self::LeftOut
        }
    }
}

/// Globals for a scratch server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchGlobals {
    /// Statements to run with `ON_ERROR_STOP`.
    pub sql: String,
    /// The live server's tablespaces.
    pub tablespaces: Vec<String>,
}

/// Drops exactly the `CREATE ROLE` of the bootstrap user, which exists already (its `ALTER` stays), the
/// locations of tablespaces (or the tablespaces with what belongs to them), and psql's own lines.
pub fn filter_globals(sql: &str, bootstrap: &str, how: Tablespaces) -> ScratchGlobals {
    let existing = [
        format!("CREATE ROLE {bootstrap}"),
        format!("CREATE ROLE {}", quote::identifier(bootstrap)),
    ];
    let mut kept = String::new();
    let mut tablespaces = Vec::new();
    if how == Tablespaces::InPlace {
        kept.push_str("SET allow_in_place_tablespaces = on;\n");
    }
    for statement in statements(sql) {
        let mut statement = statement;
        if let Some(tail) = statement.strip_prefix("CREATE TABLESPACE ") {
            let name = tail.split(" OWNER ").next().unwrap_or(tail);
            tablespaces.push(name.to_owned());
            statement = without_location(&statement);
        }
        let is_left_out = how == Tablespaces::LeftOut && is_about_tablespace(&statement);
        if !existing.contains(&statement) && !is_left_out {
            kept.push_str(&statement);
            kept.push_str(";\n");
        }
    }
    ScratchGlobals {
        sql: kept,
        tablespaces,
    }
}

/// An empty location means a folder inside the data.
fn without_location(statement: &str) -> String {
    let head = statement.rsplit_once(" LOCATION ").map(|(head, _)| head);
    format!("{} LOCATION ''", head.unwrap_or(statement))
}

fn is_about_tablespace(statement: &str) -> bool {
    let starts = |word: &str| statement.starts_with(word);
    starts("CREATE TABLESPACE ")
        || starts("ALTER TABLESPACE ")
        || starts("COMMENT ON TABLESPACE ")
        || is_on(statement, &["TABLESPACE"])
            && (starts("GRANT ") || starts("REVOKE ") || starts("SECURITY LABEL "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_bootstrap_users_create_line_is_dropped() {
        let sql = "\\restrict k\nSET default_transaction_read_only = off;\n\nCREATE ROLE app;\nALTER ROLE app WITH SUPERUSER PASSWORD 'x;y';\nCREATE ROLE application;\nCREATE ROLE \"App\";\nCOMMENT ON ROLE app IS 'one\nCREATE ROLE app;\n';\n\\unrestrict k\n";
        let globals = filter_globals(sql, "app", Tablespaces::LeftOut);
        assert_eq!(
            globals.sql,
            "SET default_transaction_read_only = off;\nALTER ROLE app WITH SUPERUSER PASSWORD 'x;y';\nCREATE ROLE application;\nCREATE ROLE \"App\";\nCOMMENT ON ROLE app IS 'one\nCREATE ROLE app;\n';\n"
        );
        assert!(
            !filter_globals(sql, "App", Tablespaces::LeftOut)
                .sql
                .contains("CREATE ROLE \"App\"")
        );
    }

    #[test]
    fn tablespaces_become_folders_or_are_left_out_and_are_named() {
        let sql = "CREATE TABLESPACE \"fast one\" OWNER app LOCATION '/mnt/x;y';\nALTER TABLESPACE \"fast one\" SET (random_page_cost=1);\nGRANT ALL ON TABLESPACE \"fast one\" TO app;\nGRANT a TO b;\n";
        let globals = filter_globals(sql, "postgres", Tablespaces::LeftOut);
        assert_eq!(globals.tablespaces, ["\"fast one\""]);
        assert_eq!(globals.sql, "GRANT a TO b;\n");
        let globals = filter_globals(sql, "postgres", Tablespaces::InPlace);
        assert_eq!(globals.tablespaces, ["\"fast one\""]);
        assert_eq!(
            globals.sql,
            "SET allow_in_place_tablespaces = on;\nCREATE TABLESPACE \"fast one\" OWNER app LOCATION '';\nALTER TABLESPACE \"fast one\" SET (random_page_cost=1);\nGRANT ALL ON TABLESPACE \"fast one\" TO app;\nGRANT a TO b;\n"
        );
    }
}
