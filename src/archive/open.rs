//! Opening a stream that was sealed.

use std::io::{self, BufReader, Read};

use age::{DecryptError, Decryptor};
use thiserror::Error;

use super::Identity;

/// A piece as age seals it, so that a piece is one read.
const PIECE: usize = 64 * 1024 + 16;

/// Why sealed bytes do not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It is sealed for others. Says nothing about the bytes.
    #[error("it is sealed for other recipients than this identity")]
    OtherRecipients,
    /// It is no whole file of age's, or was changed.
    #[error("it is not as age sealed it: {0}")]
    Broken(String),
    /// The bytes could not be read.
    #[error("cannot read what is sealed")]
    Read(#[source] io::Error),
}

/// Opens a sealed file. What is read has been checked piece by piece; that it was all, its end tells.
///
/// # Errors
/// When the identity does not open it, or its head is broken. Reading ends with [`io::ErrorKind::InvalidData`] or
/// [`io::ErrorKind::UnexpectedEof`] where the bytes behind it are.
pub fn open<R: Read>(identity: &Identity, sealed: R) -> Result<impl Read + use<R>, OpenError> {
    let sealed = BufReader::with_capacity(PIECE, sealed);
    let opened = Decryptor::new_buffered(sealed).and_then(|it| it.decrypt(identity.keys()));
    opened.map_err(|error| match error {
        DecryptError::NoMatchingKeys => OpenError::OtherRecipients,
        DecryptError::Io(source) if !is_of_the_bytes(&source) => OpenError::Read(source),
        broken => OpenError::Broken(broken.to_string()),
    })
}

/// Sorts what reading an opened file ended with.
impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        if is_of_the_bytes(&error) {
            Self::Broken(error.to_string())
        } else {
            Self::Read(error)
        }
    }
}

fn is_of_the_bytes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;
    use age::x25519;
    use proptest::prelude::*;

    use super::*;
    use crate::archive::{Recipients, Sealer};

    fn pair() -> (Recipients, Identity) {
        let key = x25519::Identity::generate();
        let recipients = Recipients::parse(&key.to_public().to_string()).unwrap();
        let identity = Identity::parse(key.to_string().expose_secret()).unwrap();
        (recipients, identity)
    }

    fn sealed(recipients: &Recipients, chunks: &[&[u8]]) -> Vec<u8> {
        let mut sealer = Sealer::begin(recipients).unwrap();
        let mut given = Vec::new();
        for chunk in chunks {
            given.extend(sealer.push(chunk).unwrap().concat());
        }
        given.extend(sealer.finish().unwrap().concat());
        given
    }

    fn opened(identity: &Identity, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut plain = Vec::new();
        open(identity, sealed)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_was_sealed_opens_however_it_was_cut(sizes in proptest::collection::vec(0_usize..200_000, 0..5)) {
            let (recipients, identity) = pair();
            let chunks: Vec<Vec<u8>> = (1_u8..).zip(&sizes).map(|(byte, size)| vec![byte; *size]).collect();
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let sealed = sealed(&recipients, &chunks);
            prop_assert_eq!(opened(&identity, &sealed).unwrap(), chunks.concat());
        }
    }

    #[test]
    fn every_recipient_opens_it_and_nobody_else() {
        let (first, second, stranger) = (pair(), pair(), pair());
        let both = [first.0.names(), second.0.names()].concat();
        let both: Vec<String> = both.into_iter().map(|it| it.0).collect();
        let sealed = sealed(&Recipients::parse(&both.join(",")).unwrap(), &[b"PGDMP"]);
        assert_eq!(opened(&first.1, &sealed).unwrap(), b"PGDMP");
        assert_eq!(opened(&second.1, &sealed).unwrap(), b"PGDMP");
        let refused = opened(&stranger.1, &sealed);
        assert!(
            matches!(refused, Err(OpenError::OtherRecipients)),
            "{refused:?}"
        );
    }

    #[test]
    fn what_is_held_back_is_less_than_two_pieces() {
        let (recipients, _identity) = pair();
        let mut sealer = Sealer::begin(&recipients).unwrap();
        let (mut inside, mut outside) = (0, 0);
        for _ in 0..100 {
            inside += 10_000;
            outside += sealer.push(&[7; 10_000]).unwrap().concat().len();
            assert!(inside < outside + 2 * PIECE, "{inside} {outside}");
        }
    }

    #[test]
    fn a_truncated_or_changed_file_never_opens_to_its_end() {
        let (recipients, identity) = pair();
        let whole = sealed(&recipients, &[&vec![7; 150_000]]);
        let head = whole.len() - 150_000 - 3 * 16;
        for length in [
            0,
            10,
            head - 1,
            head,
            head + PIECE,
            head + 2 * PIECE,
            whole.len() - 1,
        ] {
            let refused = opened(&identity, &whole[..length]);
            assert!(
                matches!(refused, Err(OpenError::Broken(_))),
                "{length}: {refused:?}"
            );
        }
        for position in [0, head, head + PIECE + 5, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[position] ^= 1;
            let refused = opened(&identity, &changed);
            assert!(
                matches!(refused, Err(OpenError::Broken(_))),
                "{position}: {refused:?}"
            );
        }
        let mut longer = whole;
        longer.push(0);
        assert!(opened(&identity, &longer).is_err());
    }
}
