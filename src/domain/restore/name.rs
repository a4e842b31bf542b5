//! Names of databases that a restore makes or puts aside. PostgreSQL cuts a name at 63 bytes, silently.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::domain::id::{BackupId, DatabaseName};
use crate::domain::unit::hexadecimal;

/// `NAMEDATALEN` less one.
const LONGEST: usize = 63;

/// What the name of a copy begins with while it is restored. No quotes are needed around such a name.
const COPY: &str = "stackwarden_copy_";

/// Why a text can be no new database's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing at all, or a byte that no name may hold.
    #[error("a database needs a name; write --into NAME")]
    Empty,
    /// PostgreSQL would cut it.
    #[error(
        "{0:?} is longer than the 63 bytes that PostgreSQL keeps of a name; choose a shorter one"
    )]
    Long(String),
    /// It is ours.
    #[error("{0:?} is how stackwarden calls a database while it restores it; choose another name")]
    Reserved(String),
}

/// Reads the name for a new database.
///
/// # Errors
/// When PostgreSQL could not keep it as it is; asking again is useless.
pub fn parse(text: &str) -> Result<DatabaseName, NameError> {
    if text.is_empty() || text.contains('\0') {
        return Err(NameError::Empty);
    }
    if text.len() > LONGEST {
        return Err(NameError::Long(text.to_owned()));
    }
    if text.starts_with(COPY) {
        return Err(NameError::Reserved(text.to_owned()));
    }
    Ok(DatabaseName::new(text))
}

/// The name of a copy while it is restored.
pub fn copy(random: [u8; 6]) -> DatabaseName {
    DatabaseName::new(format!("{COPY}{}", hexadecimal(&random)))
}

/// Whether a database is called like a copy.
pub fn is_copy(name: &DatabaseName) -> bool {
    let random = name.as_str().strip_prefix(COPY);
    random.is_some_and(|it| it.len() == 12 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// On which side of a swap a database stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It was live before a restore.
    Before,
    /// It was live after a restore, until that was undone.
    After,
}

impl Side {
    /// The word in names and marks.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }

    /// Reads the word back.
    pub fn find(word: &str) -> Option<Self> {
        [Self::Before, Self::After]
            .into_iter()
            .find(|side| side.as_str() == word)
    }
}

/// `NAME_before_ID`, its head cut where the whole would be too long, and numbered where it is taken.
pub fn aside(
    of: &DatabaseName,
    side: Side,
    id: &BackupId,
    taken: &BTreeSet<DatabaseName>,
) -> DatabaseName {
    let tail = format!("_{}_{id}", side.as_str());
    let numbered = (2..).map(|number: u64| format!("{tail}_{number}"));
    let tails = std::iter::once(tail.clone()).chain(numbered);
    let mut names = tails.map(|tail| {
        let head = head(of.as_str(), LONGEST.saturating_sub(tail.len()));
        DatabaseName::new(format!("{head}{tail}"))
    });
    // The numbers never end.
    let free = names.find(|name| !taken.contains(name));
    free.unwrap_or_else(|| DatabaseName::new(tail))
}

/// As many whole letters as fit.
fn head(text: &str, bytes: usize) -> &str {
    let fits = |end: &usize| *end <= bytes;
    let ends = text
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8());
    let end = ends.take_while(fits).last().unwrap_or(0);
    text.split_at_checked(end).map_or("", |(head, _)| head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BackupId {
        BackupId::parse("20260121T020000Z-3f9c").unwrap()
    }

    #[test]
    fn what_is_put_aside_keeps_its_name_as_far_as_it_fits() {
        let name = |of: &str| {
            aside(
                &DatabaseName::new(of),
                Side::Before,
                &id(),
                &BTreeSet::new(),
            )
        };
        assert_eq!(name("app").as_str(), "app_before_20260121T020000Z-3f9c");
        for long in ["x".repeat(63), "é".repeat(31), "日本".repeat(10)] {
            let cut = name(&long);
            assert!(cut.as_str().len() <= LONGEST, "{cut}");
            assert!(cut.as_str().len() > LONGEST - 4, "{cut}");
            assert!(cut.as_str().ends_with("_before_20260121T020000Z-3f9c"));
        }
    }

    #[test]
    fn a_taken_name_is_numbered() {
        let of = DatabaseName::new("a".repeat(63));
        let mut taken = BTreeSet::new();
        for _ in 0..12 {
            let name = aside(&of, Side::After, &id(), &taken);
            assert!(name.as_str().len() <= LONGEST);
            assert!(taken.insert(name));
        }
    }

    #[test]
    fn a_copys_name_is_told_from_others_and_nobody_else_may_take_it() {
        let name = copy([1, 2, 3, 0xab, 0xcd, 0xef]);
        assert_eq!(name.as_str(), "stackwarden_copy_010203abcdef");
        assert!(is_copy(&name));
        for other in ["app", "stackwarden_copy_", "stackwarden_copy_of_mine"] {
            assert!(!is_copy(&DatabaseName::new(other)), "{other}");
        }
        assert!(matches!(parse(name.as_str()), Err(NameError::Reserved(_))));
        assert_eq!(parse(""), Err(NameError::Empty));
        assert!(matches!(parse(&"é".repeat(32)), Err(NameError::Long(_))));
        assert_eq!(parse("My App").unwrap().as_str(), "My App");
    }
}
