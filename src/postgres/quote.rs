//! Quoting of names and texts for SQL, connection strings and configuration files.
//!
//! Knows the three grammars and nothing else.

/// A text as an SQL string literal, right under either value of `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A name as an SQL identifier, always in quotes.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value inside a libpq connection string.
pub fn connection_value(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A value inside `postgresql.conf`.
pub fn configuration_value(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_kept() {
        assert_eq!(literal("o'brien"), "'o''brien'");
        assert_eq!(literal("a\\b'c"), "E'a\\\\b''c'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(connection_value("o'b\\x y"), "'o\\'b\\\\x y'");
        assert_eq!(configuration_value("$user, 'a'"), "'$user, ''a'''");
    }
}
