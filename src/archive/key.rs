//! For whom is sealed, and who opens: age's own keys.
//!
//! SSH keys and hardware keys are not read: they would bring RSA, and programs of others, into a static program.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use age::x25519;
use thiserror::Error;

use crate::domain::backup::{Recipient, Sealing};

/// How much of a wrong word is repeated.
const REPEATED: usize = 70;

/// Why a key cannot be used. The sentence never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// There is none in the text.
    #[error(
        "it holds no recipient; write public keys as age-keygen prints them (age1…), with commas"
    )]
    NoRecipient,
    /// One word is none.
    #[error(
        "{word:?} is no age recipient; write public keys as age-keygen prints them (age1…), with commas"
    )]
    NotARecipient {
        /// It.
        word: String,
    },
    /// A secret key stands where a public one belongs.
    #[error(
        "it holds a secret key, which does not belong here; write its public key, which `age-keygen -y FILE` prints, and keep the secret one elsewhere"
    )]
    SecretAsRecipient,
    /// An SSH key.
    #[error(
        "SSH keys are not read here; make an age key with age-keygen and write its public key (age1…)"
    )]
    Ssh,
    /// A plugin's or a newer kind of key.
    #[error(
        "{word:?} is of a kind that is not read here (a plugin's or a newer one); write public keys as age-keygen prints them (age1…)"
    )]
    OtherKind {
        /// It.
        word: String,
    },
    /// There is no secret key in the text.
    #[error("it holds no secret key; give it the file that age-keygen wrote (AGE-SECRET-KEY-1…)")]
    NoIdentity,
    /// A public key stands where a secret one belongs.
    #[error(
        "it holds a public key; give it the secret one, the file that age-keygen wrote (AGE-SECRET-KEY-1…)"
    )]
    PublicAsIdentity,
    /// The secret key is itself sealed with a passphrase.
    #[error(
        "its secret key is protected by a passphrase, and nobody is there to type it; decrypt it first: age -d FILE"
    )]
    Passphrase,
    /// A line is no secret key.
    #[error(
        "line {line} of it is no secret key of age; give it the file that age-keygen wrote (AGE-SECRET-KEY-1…)"
    )]
    NotAnIdentity {
        /// Which line, from 1.
        line: usize,
    },
}

/// For whom backups are sealed: one or more public keys.
#[derive(Clone)]
pub struct Recipients(Arc<Vec<x25519::Recipient>>);

impl Recipients {
    /// Reads public keys with commas or blanks between them.
    ///
    /// # Errors
    /// When one of them is no public key of age, or there is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let words = text.split(|letter: char| letter == ',' || letter.is_whitespace());
        let words = words.filter(|word| !word.is_empty());
        let mut keys: Vec<x25519::Recipient> = Vec::new();
        for word in words {
            let key = word.parse().map_err(|_why| not_a_recipient(word))?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(KeyError::NoRecipient);
        }
        Ok(Self(Arc::new(keys)))
    }

    /// As manifests name them.
    pub fn names(&self) -> Vec<Recipient> {
        self.0.iter().map(name).collect()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|key| key as &dyn age::Recipient)
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

fn name(key: &x25519::Recipient) -> Recipient {
    Recipient(key.to_string())
}

fn not_a_recipient(word: &str) -> KeyError {
    if is_secret(word) {
        return KeyError::SecretAsRecipient;
    }
    if word.starts_with("ssh-") || word.starts_with("AAAA") {
        return KeyError::Ssh;
    }
    let (is_plugin, word) = (is_other_kind(word), word.chars().take(REPEATED).collect());
    if is_plugin {
        KeyError::OtherKind { word }
    } else {
        KeyError::NotARecipient { word }
    }
}

/// Also where somebody wrote it in small letters, or into something else.
fn is_secret(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    word.contains("SECRET") || word.contains("AGE-PLUGIN")
}

/// `age1yubikey1…`, `age1tag1…`: bech32 has no `1` in its own letters.
fn is_other_kind(word: &str) -> bool {
    let rest = word.strip_prefix("age1");
    rest.is_some_and(|rest| rest.contains('1'))
}

/// Who opens: one or more secret keys.
#[derive(Clone)]
pub struct Identity(Arc<Vec<x25519::Identity>>);

impl Identity {
    /// Reads what age-keygen writes: secret keys line by line, comments and empty lines between them.
    ///
    /// # Errors
    /// When a line is something else, or there is no key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (position, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(
                line.parse()
                    .map_err(|_why| not_an_identity(line, position + 1))?,
            );
        }
        if keys.is_empty() {
            return Err(KeyError::NoIdentity);
        }
        Ok(Self(Arc::new(keys)))
    }

    /// The public halves, as manifests name them.
    pub fn names(&self) -> BTreeSet<Recipient> {
        self.0.iter().map(|key| name(&key.to_public())).collect()
    }

    /// Whether it opens what is sealed for these.
    pub fn opens(&self, recipients: &[Recipient]) -> bool {
        let own = self.names();
        recipients.iter().any(|it| own.contains(it))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| key as &dyn age::Identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

fn not_an_identity(line: &str, number: usize) -> KeyError {
    if line.starts_with("-----BEGIN AGE") || line.starts_with("age-encryption.org/") {
        KeyError::Passphrase
    } else if line.starts_with("-----BEGIN") || line.starts_with("ssh-") {
        KeyError::Ssh
    } else if line.starts_with("age1") {
        KeyError::PublicAsIdentity
    } else {
        KeyError::NotAnIdentity { line: number }
    }
}

/// The keys of a process: for whom it seals, and what it can open.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// For whom new backups are sealed; `None` leaves them plain.
    pub recipients: Option<Recipients>,
    /// What opens sealed ones; `None` opens none.
    pub identity: Option<Identity>,
}

impl Keys {
    /// How new backups are stored.
    pub fn sealing(&self) -> Sealing {
        match self.recipients {
            Some(_) => Sealing::Age,
            None => Sealing::Plain,
        }
    }

    /// The public halves of what opens sealed backups here.
    pub fn openers(&self) -> BTreeSet<Recipient> {
        let names = self.identity.as_ref().map(Identity::names);
        names.unwrap_or_default()
    }

    /// The identity, where it opens what is sealed for the recipients of now.
    pub fn own_identity(&self) -> Option<&Identity> {
        let names = self.recipients.as_ref()?.names();
        self.identity
            .as_ref()
            .filter(|identity| identity.opens(&names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    // Both from age's own documentation; they belong to nobody.
    const SECRET: &str =
        "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

    fn refused(text: &str) -> String {
        Recipients::parse(text).unwrap_err().to_string()
    }

    fn no_identity(text: &str) -> String {
        Identity::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn recipients_are_read_with_commas_blanks_and_lines_and_each_counts_once() {
        let other = x25519::Identity::generate().to_public().to_string();
        let read = Recipients::parse(&format!("{PUBLIC}, {other}\n{PUBLIC}")).unwrap();
        let names: Vec<String> = read.names().into_iter().map(|it| it.0).collect();
        assert_eq!(names, [PUBLIC.to_owned(), other]);
    }

    #[test]
    fn a_wrong_recipient_says_what_to_write_and_never_shows_a_secret() {
        assert!(refused(" , ").contains("no recipient; write public keys"));
        assert!(refused(PUBLIC.trim_end_matches('p')).contains("is no age recipient"));
        assert!(refused("ssh-ed25519 AAAAC3Nza").contains("age-keygen"));
        assert!(refused("age1yubikey1qwerty").contains("a plugin's"));
        for secret in [
            SECRET.to_owned(),
            SECRET.to_lowercase(),
            format!("{PUBLIC},{SECRET}"),
        ] {
            let said = refused(&secret);
            assert!(said.contains("age-keygen -y"), "{said}");
            assert!(!said.to_uppercase().contains("GFPYY"), "{said}");
        }
    }

    #[test]
    fn an_identity_is_read_as_age_keygen_writes_it_and_knows_whom_it_opens_for() {
        let own = x25519::Identity::generate();
        let public = Recipient(own.to_public().to_string());
        let secret = age::secrecy::ExposeSecret::expose_secret(&own.to_string()).to_owned();
        let file = format!(
            "# created: today\n# public key: {}\n{secret}\n\n{SECRET}\n",
            public.0
        );
        let read = Identity::parse(&file).unwrap();
        assert!(read.opens(&[Recipient(PUBLIC.into()), public]));
        assert!(!read.opens(&[Recipient(PUBLIC.into())]));
        assert_eq!(format!("{read:?}"), "***");
    }

    #[test]
    fn a_wrong_identity_says_what_to_give_and_shows_nothing_of_it() {
        assert!(no_identity("# nothing\n").contains("holds no secret key"));
        assert!(no_identity(PUBLIC).contains("public key"));
        assert!(no_identity("-----BEGIN AGE ENCRYPTED FILE-----").contains("passphrase"));
        assert!(no_identity("-----BEGIN OPENSSH PRIVATE KEY-----").contains("SSH"));
        let said = no_identity(&format!("\n{SECRET}X"));
        assert!(said.contains("line 2") && !said.contains("GFPYY"), "{said}");
    }
}
