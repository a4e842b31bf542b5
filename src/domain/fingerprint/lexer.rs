//! Cuts SQL text as `pg_dump` writes it into tokens, statements and logical lines.
//!
//! Knows quotes (`'…'`, `E'…'`, `"…"`, `$tag$…$tag$`) and line comments, so that nothing inside a text is
//! taken for syntax. Loses nothing: the tokens joined are the text.

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// Letters, digits, `_`, `$` and everything beyond ASCII.
    Word(&'a str),
    /// `"…"`
    QuotedName(&'a str),
    /// `'…'`, `E'…'` or `$tag$…$tag$`.
    Literal(&'a str),
    /// `-- …` up to the newline.
    Comment(&'a str),
    /// A run of blanks other than newlines.
    Blank(&'a str),
    /// One newline.
    Newline(&'a str),
    /// Any other single character.
    Symbol(&'a str),
}

impl<'a> Token<'a> {
    /// The text itself.
    pub fn text(self) -> &'a str {
        match self {
            Self::Word(text)
            | Self::QuotedName(text)
            | Self::Literal(text)
            | Self::Comment(text)
            | Self::Blank(text)
            | Self::Newline(text)
            | Self::Symbol(text) => text,
        }
    }
}

/// Cuts a text into tokens.
pub fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (token, tail) = next_token(first, rest);
        rest = tail;
        Some(token)
    })
}

fn next_token(first: char, rest: &str) -> (Token<'_>, &str) {
    if matches!(first, 'E' | 'e') && rest.chars().nth(1) == Some('\'') {
        return cut(rest, escaped_end(rest), Token::Literal);
    }
    match first {
        '\n' => cut(rest, 1, Token::Newline),
        '\'' => cut(rest, quoted_end(rest, '\''), Token::Literal),
        '"' => cut(rest, quoted_end(rest, '"'), Token::QuotedName),
        '$' => match dollar_end(rest) {
            Some(end) => cut(rest, end, Token::Literal),
            None => cut(rest, 1, Token::Symbol),
        },
        '-' if rest.starts_with("--") => {
            cut(rest, rest.find('\n').unwrap_or(rest.len()), Token::Comment)
        }
        blank if blank.is_whitespace() => {
            let end = rest.find(|c: char| c == '\n' || !c.is_whitespace());
            cut(rest, end.unwrap_or(rest.len()), Token::Blank)
        }
        letter if is_word(letter) => {
            let end = rest.find(|c: char| !is_word(c) && c != '$');
            cut(rest, end.unwrap_or(rest.len()), Token::Word)
        }
        other => cut(rest, other.len_utf8(), Token::Symbol),
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii()
}

fn cut<'a>(rest: &'a str, end: usize, wrap: fn(&'a str) -> Token<'a>) -> (Token<'a>, &'a str) {
    let (head, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    (wrap(head), tail)
}

/// End of `'…'` or `"…"`; a doubled quote is part of it.
fn quoted_end(rest: &str, quote: char) -> usize {
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != quote {
            continue;
        }
        if letters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    rest.len()
}

/// End of `E'…'`; a backslash takes the next letter with it.
fn escaped_end(rest: &str) -> usize {
    let mut letters = rest.char_indices().skip(2).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == '\'' && letters.next_if(|(_, next)| *next == '\'').is_none() {
            return at + 1;
        }
    }
    rest.len()
}

/// End of `$tag$…$tag$`, when it is one.
fn dollar_end(rest: &str) -> Option<usize> {
    let (tag, body) = rest.strip_prefix('$')?.split_once('$')?;
    let is_tag = tag.chars().all(is_word) && !tag.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return None;
    }
    let fence = format!("${tag}$");
    let end = body.find(&fence)?;
    Some(fence.len() + end + fence.len())
}

/// Statements without their semicolon, comments and surrounding blanks; psql's own lines (`\connect`,
/// `\restrict`) are left out.
pub fn statements(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut meta = false;
    for token in tokens(text) {
        match token {
            Token::Newline(_) if meta => meta = false,
            _ if meta => {}
            Token::Comment(_) => {}
            Token::Symbol("\\") if current.trim().is_empty() => meta = true,
            Token::Symbol(";") => found.push(std::mem::take(&mut current)),
            other => current.push_str(other.text()),
        }
    }
    found.push(current);
    found
        .iter()
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// Logical lines: a line break inside of a quoted text ends none. They are found while they are asked for, and a clone looks ahead.
pub fn lines(text: &str) -> Lines<'_> {
    Lines { rest: Some(text) }
}

/// The lines of a text, see [`lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let mut length = 0;
        for token in tokens(rest) {
            if matches!(token, Token::Newline(_)) {
                let (line, tail) = rest.split_at_checked(length)?;
                self.rest = tail.strip_prefix('\n');
                return Some(line);
            }
            length += token.text().len();
        }
        self.rest = None;
        Some(rest)
    }
}

/// Whether the first `ON` of a statement, outside of quotes, is followed by these words: `GRANT … ON TABLESPACE`.
pub fn is_on(statement: &str, object: &[&str]) -> bool {
    let mut words = tokens(statement).filter(|token| !matches!(token, Token::Blank(_)));
    words.any(|token| token == Token::Word("ON"))
        && object
            .iter()
            .all(|word| words.next() == Some(Token::Word(word)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stands_in_quotes_is_no_syntax() {
        let text = "COMMENT ON ROLE \"a;b\" IS 'x; -- y\nz''';\nDO $b$ ; $x$ $b$;\nSELECT E'it\\'s;', a$1;";
        assert_eq!(
            statements(text),
            [
                "COMMENT ON ROLE \"a;b\" IS 'x; -- y\nz'''",
                "DO $b$ ; $x$ $b$",
                "SELECT E'it\\'s;', a$1",
            ]
        );
        assert_eq!(lines("a 'b\nc'\nd").collect::<Vec<_>>(), ["a 'b\nc'", "d"]);
        assert_eq!(
            lines("\n-- it's\nx\n").collect::<Vec<_>>(),
            ["", "-- it's", "x", ""]
        );
        assert!(is_on("GRANT ALL ON TABLESPACE a TO b", &["TABLESPACE"]));
        assert!(!is_on("GRANT \"a ON TABLESPACE b\" TO c", &["TABLESPACE"]));
    }

    #[test]
    fn lines_of_psql_are_no_statements() {
        let text = "\\restrict abc\nCREATE ROLE a;\n\\connect \"x;y\"\n-- b;\nSELECT 1;\n\\unrestrict abc\n";
        assert_eq!(statements(text), ["CREATE ROLE a", "SELECT 1"]);
    }

    proptest! {
        #[test]
        fn tokens_joined_are_the_text(text in "[-a-zE'\"$\\\\;()é \n]{0,60}") {
            let joined: String = tokens(&text).map(Token::text).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
