//! The bearer token of the control port.
//!
//! Invariant: the token itself is not kept, only its SHA-256; comparing takes the same time wherever
//! two tokens differ and however long they are.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::problem::Problem;

const SHORTEST: usize = 16;

/// What the control port asks for.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(***)")
    }
}

/// Why a text is no token.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// Guessable.
    #[error(
        "the token has {0} characters; give at least 16, or none at all and one is made at start"
    )]
    Short(usize),
    /// It could never arrive in a header.
    #[error("the token holds blanks or characters outside ASCII; use letters and digits")]
    Unsendable,
}

impl Token {
    /// Takes a token from the settings; blanks around it are those of its file.
    ///
    /// # Errors
    /// When it is too short, or holds what no header can carry; retrying is useless.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unsendable);
        }
        if text.len() < SHORTEST {
            return Err(TokenError::Short(text.len()));
        }
        Ok(Self(digest(text)))
    }

    fn is(&self, offered: &str) -> bool {
        self.0.ct_eq(&digest(offered)).into()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Lets a request with the right token through.
pub(super) async fn require(State(token): State<Token>, request: Request, next: Next) -> Response {
    match judge(&token, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn judge(token: &Token, headers: &HeaderMap) -> Result<(), Problem> {
    let mut offers = headers.get_all(AUTHORIZATION).iter();
    let (Some(offer), None) = (offers.next(), offers.next()) else {
        let detail = "send the header `Authorization: Bearer TOKEN`; \
             the token is STACKWARDEN_TOKEN or the file `token` in the state folder";
        return Err(Problem::unauthorized(
            detail,
            "Bearer realm=\"stackwarden\"",
        ));
    };
    let offered = offer.to_str().ok().and_then(|text| {
        let (scheme, offered) = text.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(offered.trim())
    });
    match offered {
        Some(offered) if token.is(offered) => Ok(()),
        Some(_) | None => Err(Problem::unauthorized(
            "this is not the bearer token of this stack",
            "Bearer realm=\"stackwarden\", error=\"invalid_token\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_protects_nothing_is_refused() {
        assert_eq!(Token::parse(" \n").unwrap_err(), TokenError::Short(0));
        assert_eq!(Token::parse("short").unwrap_err(), TokenError::Short(5));
        let blank = Token::parse("sixteen letters and blanks");
        assert_eq!(blank.unwrap_err(), TokenError::Unsendable);
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::parse("0123456789abcdef\n").unwrap();
        assert_eq!(format!("{token:?}"), "Token(***)");
        assert!(token.is("0123456789abcdef"));
        assert!(!token.is("0123456789abcdeF") && !token.is(""));
    }
}
