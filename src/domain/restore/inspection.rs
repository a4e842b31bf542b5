//! What SQL of somebody else does besides filling the database it is given to, seen as its bytes pass by.
//!
//! psql obeys commands that stand in the SQL: `\connect` would carry the rest into another database, `\!` runs programs. In a
//! throw-away server that harms nobody; in a live one such SQL is refused.

use crate::domain::foreign::{HEAD, Shape, is_complete};

/// How much of the end is kept: the trailer, and what newer versions write behind it.
const TAIL: usize = 2_048;
/// How much of a line tells whether it is a command.
const LINE: usize = 64;

/// Sees bytes and remembers what matters.
#[derive(Debug, Default)]
pub struct Inspection {
    head: Vec<u8>,
    tail: Vec<u8>,
    line: Vec<u8>,
    command: Option<String>,
}

impl Inspection {
    /// The next bytes.
    pub fn see(&mut self, chunk: &[u8]) {
        let missing = HEAD.saturating_sub(self.head.len());
        self.head.extend(chunk.iter().take(missing));
        self.tail.extend(chunk.iter().rev().take(TAIL).rev());
        let spare = self.tail.len().saturating_sub(TAIL);
        drop(self.tail.drain(..spare));
        for (index, piece) in chunk.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.end_line();
            }
            let missing = LINE.saturating_sub(self.line.len());
            self.line.extend(piece.iter().take(missing));
        }
    }

    fn end_line(&mut self) {
        if self.command.is_none() && is_command(&self.line) {
            self.command = Some(String::from_utf8_lossy(&self.line).trim_end().to_owned());
        }
        self.line.clear();
    }

    /// What the first bytes say; `None` for what is no dump of any kind.
    pub fn shape(&self) -> Option<Shape> {
        Shape::find(&self.head)
    }

    /// Whether the last lines hold what `pg_dump` writes when it is through.
    pub fn is_complete(&self) -> bool {
        let tail = String::from_utf8_lossy(&self.tail);
        self.shape().is_some_and(|shape| is_complete(shape, &tail))
    }

    /// The first command for psql that is more than a part of the data.
    pub fn find_command(&mut self) -> Option<&str> {
        self.end_line();
        self.command.as_deref()
    }
}

/// In the data of a COPY a line may begin with a backslash too: with `\N`, `\.` or an escaped letter. Of pg_dump's own
/// commands, these two change nothing.
fn is_command(line: &[u8]) -> bool {
    let harmless: [&[u8]; 2] = [b"restrict ", b"unrestrict "];
    match line {
        [b'\\', rest @ ..] => {
            let is_data = matches!(
                rest,
                [] | [
                    b'N' | b'b' | b'f' | b'n' | b't' | b'v' | b'\\' | b'.' | b'0'..=b'9',
                    ..
                ]
            );
            let is_escape = matches!(rest, [b'r'] | [b'r', b'\t', ..]);
            let is_harmless = harmless.iter().any(|word| rest.starts_with(word));
            !is_data && !is_escape && !is_harmless
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Option<String> {
        let mut inspection = Inspection::default();
        // However the bytes are cut.
        for chunk in text.as_bytes().chunks(3) {
            inspection.see(chunk);
        }
        inspection.find_command().map(str::to_owned)
    }

    #[test]
    fn commands_that_reach_beyond_the_database_are_seen() {
        for line in [
            "\\connect app",
            "\\c app",
            "\\! rm -rf /",
            "\\i other.sql",
            "\\copy t from 'x'",
            "\\gexec",
        ] {
            let text = format!("SELECT 1;\n{line}\nSELECT 2;\n");
            assert_eq!(command(&text).as_deref(), Some(line));
            assert_eq!(command(line).as_deref(), Some(line));
        }
    }

    #[test]
    fn data_and_pg_dumps_own_lines_are_no_commands() {
        let text = "\\restrict abc\nCOPY t FROM stdin;\n\\N\t1\n\\\\connect\t2\n\\t\\N\n\\.\n\nSELECT '\\connect';\n\\unrestrict abc\n";
        assert_eq!(command(text), None);
    }

    #[test]
    fn head_and_tail_are_those_of_the_whole() {
        let mut inspection = Inspection::default();
        inspection.see(b"--\n-- PostgreSQL database dump\n--\n");
        for _ in 0..1_000 {
            inspection.see(b"INSERT INTO t VALUES (1);\n");
        }
        assert!(!inspection.is_complete());
        inspection.see(b"--\n-- PostgreSQL database dump complete\n");
        inspection.see(b"--\n\n");
        assert!(inspection.is_complete());
        assert_eq!(inspection.shape(), Some(Shape::Plain));
    }
}
