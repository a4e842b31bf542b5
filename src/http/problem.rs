//! Errors as `application/problem+json` (RFC 9457).

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::wire::ProblemWire;

/// An answer that says what is wrong and what to do.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    known: Vec<String>,
    /// Name and value; text, so that an answer stays small while it travels as an error.
    header: Option<(&'static str, &'static str)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            known: Vec::new(),
            header: None,
        }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 503, and when to come back.
    pub(super) fn unavailable(detail: impl Into<String>, retry_after: &'static str) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        problem.header = Some(("retry-after", retry_after));
        problem
    }

    /// 401 with the challenge.
    pub(super) fn unauthorized(detail: impl Into<String>, challenge: &'static str) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, detail);
        problem.header = Some(("www-authenticate", challenge));
        problem
    }

    /// Names what would have been right.
    pub(super) fn knowing(mut self, known: Vec<String>) -> Self {
        self.known = known;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let wire = ProblemWire {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            known: self.known,
        };
        let mut response = (self.status, axum::Json(wire)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// The answer to a path nobody serves.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

/// The answer to a method a path does not know; the router adds `Allow`.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{} does not know {method}; the header Allow says what it knows",
        uri.path()
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
