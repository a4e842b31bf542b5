//! Addresses on the web that we were given: where to connect, and a path that may hold a secret.

use std::fmt;

use thiserror::Error;

use super::database::secret::Secret;

/// Whether the way there is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why a text is no such address; the text itself is not shown, since it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WebAddressError {
    /// Not `http://` or `https://`.
    #[error("does not begin with https:// or http://")]
    Scheme,
    /// `user:password@`.
    #[error("holds a user before the host, which is not supported; leave out what stands before @")]
    User,
    /// No host, or no port that is one.
    #[error("names no host; write it as https://HOST/PATH or https://HOST:PORT/PATH")]
    Host,
    /// A blank, a control or a non-ASCII character.
    #[error("holds a blank or a character that no address may hold; encode it as %XX")]
    Letter,
}

/// An address as somebody wrote it, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress {
    /// How to get there.
    pub scheme: Scheme,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    path: Secret<String>,
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WebAddress({self})")
    }
}

/// Host and port only.
impl fmt::Display for WebAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.authority())
    }
}

impl WebAddress {
    /// Reads an address; a fragment is dropped.
    ///
    /// # Errors
    /// When it cannot be one; retrying is useless.
    pub fn parse(text: &str) -> Result<Self, WebAddressError> {
        let text = text.trim();
        let (scheme, rest) = [("https://", Scheme::Https), ("http://", Scheme::Http)]
            .into_iter()
            .find_map(|(word, scheme)| Some((scheme, strip_word(text, word)?)))
            .ok_or(WebAddressError::Scheme)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(WebAddressError::Letter);
        }
        if authority.contains('@') {
            return Err(WebAddressError::User);
        }
        let (host, port) = split_port(authority, scheme).ok_or(WebAddressError::Host)?;
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Self {
            scheme,
            host,
            port,
            path: Secret::new(path),
        })
    }

    /// Path and query.
    pub fn path(&self) -> &Secret<String> {
        &self.path
    }

    /// The whole address, its path included: for the one place that connects to it.
    pub fn url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let path = self.path.reveal().trim_end_matches('/');
        format!("{scheme}://{}{path}", self.authority())
    }

    /// The `Host` of a request.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.scheme.port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The address below this one; a query stays behind the path.
    #[must_use]
    pub fn below(&self, segment: &str) -> Self {
        let path = self.path.reveal();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (path.as_str(), String::new()),
        };
        let path = path.trim_end_matches('/');
        Self {
            path: Secret::new(format!("{path}/{segment}{query}")),
            ..self.clone()
        }
    }
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word)
        .then(|| text.get(word.len()..))
        .flatten()
}

fn split_port(authority: &str, scheme: Scheme) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (
                host,
                port.strip_prefix(':')
                    .or_else(|| port.is_empty().then_some(""))?,
            )
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let port = if port.is_empty() {
        scheme.port()
    } else {
        port.parse().ok()?
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_its_path_is_never_shown() {
        let address = WebAddress::parse("https://hc-ping.example/5f0c-secret?rid=1#x").unwrap();
        assert_eq!((address.scheme, address.port), (Scheme::Https, 443));
        assert_eq!(address.authority(), "hc-ping.example");
        assert_eq!(address.path().reveal(), "/5f0c-secret?rid=1");
        assert_eq!(
            address.below("fail").path().reveal(),
            "/5f0c-secret/fail?rid=1"
        );
        assert!(!format!("{address:?} {address}").contains("secret"));
        let own = WebAddress::parse("HTTP://[fd00::1]:8081").unwrap();
        assert_eq!(own.authority(), "[fd00::1]:8081");
        assert_eq!(
            own.below("bot1:A").below("getMe").path().reveal(),
            "/bot1:A/getMe"
        );
        assert_eq!(
            WebAddress::parse("http://push?x=1")
                .unwrap()
                .path()
                .reveal(),
            "/?x=1"
        );
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("hc-ping.example/x", WebAddressError::Scheme),
            ("ftp://x", WebAddressError::Scheme),
            ("", WebAddressError::Scheme),
            ("https://", WebAddressError::Host),
            ("https:///x", WebAddressError::Host),
            ("https://x:port/", WebAddressError::Host),
            ("https://[::1/x", WebAddressError::Host),
            ("https://user:word@x/y", WebAddressError::User),
            ("https://x/a b", WebAddressError::Letter),
        ] {
            assert_eq!(WebAddress::parse(text), Err(why), "{text}");
        }
    }
}
