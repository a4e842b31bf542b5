//! Text that a program wrote in an encoding nobody knows for sure, read without losing a byte.
//!
//! A dump is written in its database's encoding: LATIN1, EUC, or none at all. What is no UTF-8 is kept byte by byte as
//! NUL and two hexadecimal digits: NUL is the one letter that `PostgreSQL` can store nowhere. So two different texts never
//! read alike, and [`bytes()`] gives back what was read.

/// What stands before the digits of a byte, and in no text of a server.
const MARK: char = '\0';

/// Reads bytes as text.
pub fn read(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if !text.contains(MARK) => return text,
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace(MARK, "\u{0}00"));
        for byte in chunk.invalid() {
            let digits = format!("{byte:02x}");
            text.push(MARK);
            text.push_str(&digits);
        }
    }
    text
}

/// The bytes that were read.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split(MARK);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let marked = part.split_at_checked(2);
        let marked = marked.and_then(|(digits, rest)| {
            let byte = u8::from_str_radix(digits, 16).ok()?;
            Some((byte, rest))
        });
        // A mark without digits was not read by us; it stays what it is.
        let (byte, rest) = marked.unwrap_or((0, part));
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// The text for people: `\xe9` for a byte that is no letter.
pub fn shown(text: &str) -> String {
    text.replace(MARK, "\\x")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_of_another_encoding_stay_apart_and_are_shown_by_their_bytes() {
        let (acute, grave) = (read(b"caf\xe9".to_vec()), read(b"caf\xe8".to_vec()));
        assert_ne!(acute, grave);
        assert_eq!(shown(&acute), "caf\\xe9");
        assert_ne!(read(b"caf\\xe9".to_vec()), acute);
        assert_eq!(read("café".as_bytes().to_vec()), "café");
    }

    proptest! {
        #[test]
        fn what_was_read_is_given_back(given in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(bytes(&read(given.clone())), given);
        }

        #[test]
        fn text_stays_as_it_is(given in "[^\0]{0,40}") {
            prop_assert_eq!(read(given.clone().into_bytes()), given.clone());
            prop_assert_eq!(bytes(&given), given.into_bytes());
        }
    }
}
