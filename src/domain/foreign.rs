//! Dumps that somebody else made: what a file is by its own bytes, and what may be concluded from it.

use std::fmt;

use super::fingerprint::lexer::{Token, statements, tokens};

/// How many bytes of a file's head tell what it is.
pub const HEAD: usize = 1_024;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An archive of `pg_dump -Fc`.
    Custom,
    /// An archive of `pg_dump -Ft`.
    Tar,
    /// A folder of `pg_dump -Fd`.
    Directory,
    /// A tar of something else.
    OtherTar,
    /// SQL of `pg_dump`: one database.
    Plain,
    /// SQL of `pg_dumpall`: a whole server.
    Cluster,
    /// Text that does not say what made it.
    Text,
    /// Something in a gzip stream.
    Gzip,
    /// Something in a zstd stream.
    Zstd,
    /// Nothing at all.
    Empty,
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Custom => "archive in pg_dump's custom format",
            Self::Tar => "archive in pg_dump's tar format",
            Self::Directory => "folder in pg_dump's directory format",
            Self::OtherTar => "tar file",
            Self::Plain => "SQL of pg_dump",
            Self::Cluster => "SQL of pg_dumpall",
            Self::Text => "SQL of unknown origin",
            Self::Gzip => "gzip stream",
            Self::Zstd => "zstd stream",
            Self::Empty => "empty file",
        })
    }
}

impl Shape {
    /// What the first bytes say; `None` for what is no dump of any kind.
    pub fn find(head: &[u8]) -> Option<Self> {
        if head.is_empty() {
            return Some(Self::Empty);
        }
        if head.starts_with(b"PGDMP") {
            return Some(Self::Custom);
        }
        if head.starts_with(&[0x1f, 0x8b]) {
            return Some(Self::Gzip);
        }
        if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Some(Self::Zstd);
        }
        if head.starts_with(b"toc.dat\0") {
            return Some(Self::Tar);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Some(Self::OtherTar);
        }
        // The head may end within a letter.
        let text = String::from_utf8_lossy(head);
        if head.contains(&0) || text.matches('\u{fffd}').count() > 3 {
            return None;
        }
        if text.contains("-- PostgreSQL database cluster dump") {
            Some(Self::Cluster)
        } else if text.contains("-- PostgreSQL database dump") {
            Some(Self::Plain)
        } else {
            Some(Self::Text)
        }
    }

    /// Whether it has to be unpacked to see what is in it.
    pub fn is_packed(self) -> bool {
        matches!(self, Self::Gzip | Self::Zstd)
    }
}

/// What a folder of `pg_dump -Fd` holds in any case.
pub const DIRECTORY_MARK: &str = "toc.dat";

/// Whether the last lines hold what `pg_dump`, or `pg_dumpall`, writes when it is through.
pub fn is_complete(shape: Shape, tail: &str) -> bool {
    let end = match shape {
        Shape::Cluster => "-- PostgreSQL database cluster dump complete",
        _ => "-- PostgreSQL database dump complete",
    };
    tail.lines().any(|line| line.trim_end() == end)
}

/// The role that a dumped server began with, as far as its roles tell: `known`, or `postgres`, or its first superuser.
/// `None` when no role among them is one.
pub fn find_bootstrap(globals: &str, known: &str) -> Option<String> {
    let superusers: Vec<String> = statements(globals)
        .iter()
        .filter_map(|statement| find_superuser(statement))
        .collect();
    let named = |name: &str| superusers.iter().find(|it| *it == name);
    named(known)
        .or_else(|| named("postgres"))
        .or_else(|| superusers.first())
        .cloned()
}

/// The name in `ALTER ROLE name WITH SUPERUSER …`.
fn find_superuser(statement: &str) -> Option<String> {
    let mut words = tokens(statement.strip_prefix("ALTER ROLE ")?);
    let name = match words.next()? {
        Token::Word(name) => name.to_owned(),
        Token::QuotedName(name) => {
            let inner = name.strip_prefix('"')?.strip_suffix('"')?;
            inner.replace("\"\"", "\"")
        }
        _ => return None,
    };
    words
        .any(|word| word == Token::Word("SUPERUSER"))
        .then_some(name)
}

/// The database that an archive's table of contents names.
pub fn find_database(listing: &str) -> Option<&str> {
    let named = |line: &'_ str| line.starts_with(';') && line.contains("dbname: ");
    let line = listing.lines().find(|line| named(line))?;
    let (_, name) = line.split_once("dbname: ")?;
    (!name.is_empty()).then_some(name)
}

/// The extensions that an archive's table of contents names.
pub fn find_extensions(listing: &str) -> Vec<String> {
    let named = listing
        .lines()
        .filter_map(|line| line.split_once(" EXTENSION - "));
    named
        .filter_map(|(_, rest)| rest.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The role that a restore missed: roles are in no dump of a database.
pub fn find_missing_role(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("role \"")?;
    let (name, _) = rest.split_once("\" does not exist")?;
    (!name.contains('\n')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_first_bytes_say_whatever_its_name() {
        let plain = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n";
        let cluster = b"--\n-- PostgreSQL database cluster dump\n--\n";
        let mut other_tar = b"dumps/".to_vec();
        other_tar.resize(257, 0);
        other_tar.extend(b"ustar  \0");
        for (head, wanted) in [
            (&b"PGDMP\x01\x0f"[..], Some(Shape::Custom)),
            (b"\x1f\x8b\x08\0", Some(Shape::Gzip)),
            (b"\x28\xb5\x2f\xfd\x04", Some(Shape::Zstd)),
            (b"toc.dat\0\0\0", Some(Shape::Tar)),
            (&other_tar, Some(Shape::OtherTar)),
            (plain, Some(Shape::Plain)),
            (cluster, Some(Shape::Cluster)),
            ("INSERT INTO é VALUES (1);".as_bytes(), Some(Shape::Text)),
            (b"", Some(Shape::Empty)),
            (b"\x7fELF\x02\x01\x01\0\0", None),
            (b"\xff\xd8\xff\xe0\xff\xff\xff", None),
        ] {
            assert_eq!(Shape::find(head), wanted, "{head:?}");
        }
        let cut = &"-- é".as_bytes()[..4];
        assert_eq!(Shape::find(cut), Some(Shape::Text));
    }

    #[test]
    fn the_trailer_is_a_line_of_its_own() {
        let whole = "x\n-- PostgreSQL database dump complete\n--\n\\unrestrict k\n";
        assert!(is_complete(Shape::Plain, whole));
        assert!(!is_complete(Shape::Cluster, whole));
        for cut in [
            "-- PostgreSQL database dump complet",
            "'-- PostgreSQL database dump complete'",
        ] {
            assert!(!is_complete(Shape::Plain, cut));
        }
        let server = "-- PostgreSQL database cluster dump complete\n";
        assert!(is_complete(Shape::Cluster, server));
    }

    #[test]
    fn the_role_that_a_server_began_with_is_one_of_its_superusers() {
        let globals = "CREATE ROLE app;\nALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SUPERUSER';\nALTER ROLE \"The \"\"Boss\"\"\" WITH SUPERUSER;\nALTER ROLE postgres WITH SUPERUSER;\n";
        let found = |known: &str| find_bootstrap(globals, known);
        assert_eq!(found("app").as_deref(), Some("postgres"));
        assert_eq!(found("The \"Boss\"").as_deref(), Some("The \"Boss\""));
        assert_eq!(find_bootstrap("ALTER ROLE a WITH LOGIN;", "a"), None);
    }

    #[test]
    fn what_a_restore_needs_is_read_from_what_is_said() {
        let listing = ";\n; Archive created at 2026\n;     dbname: naïve\n;     TOC Entries: 9\n;\n2; 3079 16 EXTENSION - timescaledb \n3; 0 0 COMMENT - EXTENSION timescaledb \n";
        assert_eq!(find_database(listing), Some("naïve"));
        assert_eq!(find_extensions(listing), ["timescaledb"]);
        let said = "ERROR:  role \"o'brien\" does not exist\nCommand was: …";
        assert_eq!(find_missing_role(said), Some("o'brien"));
        assert_eq!(
            find_missing_role("ERROR: relation \"x\" does not exist"),
            None
        );
    }
}
