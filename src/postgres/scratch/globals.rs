//! Roles of a live server, made fit for a scratch server of the same bootstrap user.

use super::super::quote;
use crate::domain::fingerprint::lexer::statements;

/// Globals for a scratch server, and what was left out of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchGlobals {
    /// Statements to run with `ON_ERROR_STOP`.
    pub sql: String,
    /// Tablespaces that are not made; everything is restored into the default one.
    pub tablespaces: Vec<String>,
}

/// Drops exactly the `CREATE ROLE` of the bootstrap user, which exists already (its `ALTER` stays), the
/// tablespaces with what belongs to them, and psql's own lines.
pub fn filter_globals(sql: &str, bootstrap: &str) -> ScratchGlobals {
    let existing = [
        format!("CREATE ROLE {bootstrap}"),
        format!("CREATE ROLE {}", quote::identifier(bootstrap)),
    ];
    let mut kept = String::new();
    let mut tablespaces = Vec::new();
    for statement in statements(sql) {
        if let Some(tail) = statement.strip_prefix("CREATE TABLESPACE ") {
            let name = tail.split(" OWNER ").next().unwrap_or(tail);
            tablespaces.push(name.to_owned());
        } else if !existing.contains(&statement) && !is_about_tablespace(&statement) {
            kept.push_str(&statement);
            kept.push_str(";\n");
        }
    }
    ScratchGlobals {
        sql: kept,
        tablespaces,
    }
}

fn is_about_tablespace(statement: &str) -> bool {
    let starts = |word: &str| statement.starts_with(word);
    starts("ALTER TABLESPACE ")
        || starts("COMMENT ON TABLESPACE ")
        || ((starts("GRANT ") || starts("REVOKE ")) && statement.contains(" ON TABLESPACE "))
        || (starts("SECURITY LABEL ") && statement.contains(" ON TABLESPACE "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_bootstrap_users_create_line_is_dropped() {
        let sql = "\\restrict k\nSET default_transaction_read_only = off;\n\nCREATE ROLE app;\nALTER ROLE app WITH SUPERUSER PASSWORD 'x;y';\nCREATE ROLE application;\nCREATE ROLE \"App\";\nCOMMENT ON ROLE app IS 'one\nCREATE ROLE app;\n';\n\\unrestrict k\n";
        let globals = filter_globals(sql, "app");
        assert_eq!(
            globals.sql,
            "SET default_transaction_read_only = off;\nALTER ROLE app WITH SUPERUSER PASSWORD 'x;y';\nCREATE ROLE application;\nCREATE ROLE \"App\";\nCOMMENT ON ROLE app IS 'one\nCREATE ROLE app;\n';\n"
        );
        assert!(
            !filter_globals(sql, "App")
                .sql
                .contains("CREATE ROLE \"App\"")
        );
    }

    #[test]
    fn tablespaces_are_left_out_and_named() {
        let sql = "CREATE TABLESPACE \"fast one\" OWNER app LOCATION '/mnt/x;y';\nALTER TABLESPACE \"fast one\" SET (random_page_cost=1);\nGRANT ALL ON TABLESPACE \"fast one\" TO app;\nGRANT a TO b;\n";
        let globals = filter_globals(sql, "postgres");
        assert_eq!(globals.tablespaces, ["\"fast one\""]);
        assert_eq!(globals.sql, "GRANT a TO b;\n");
    }
}
