//! Errors as RFC 9457 has them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidings_engine::{Class, Refusal};
use tidings_model::Scope;
use tidings_model::limits::REQUEST_BYTES_MAX;

use crate::wire::Problem;

/// When to come again after a 503 or a 507.
const RETRY_AFTER_S: &str = "2";

/// A no, on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused(pub(super) Problem);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused(problem(&refusal))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self.0).expect("a problem is JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A refusal as a problem: in an answer of its own, or in a line of a bulk answer.
pub(super) fn problem(refusal: &Refusal) -> Problem {
    let (status, title) = match refusal.class {
        Class::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "the request cannot be carried out"),
        Class::NotFound => (StatusCode::NOT_FOUND, "there is no such thing"),
        Class::Conflict => (StatusCode::CONFLICT, "the state does not allow it"),
        Class::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "not now"),
        Class::Full => (StatusCode::INSUFFICIENT_STORAGE, "the disk is full"),
    };
    make(refusal.code, status, title, refusal.detail.clone())
}

/// The request itself cannot be read.
pub(super) fn unreadable(detail: impl Into<String>) -> Refused {
    Refused(make("unreadable", StatusCode::BAD_REQUEST, "the request cannot be read", detail.into()))
}

/// There is no such path.
pub(super) fn no_route(path: &str) -> Refused {
    let detail = format!("there is no `{}`", path.escape_debug());
    Refused(make("no-route", StatusCode::NOT_FOUND, "there is no such thing", detail))
}

/// What the framework refused by itself (a body that is too large, a method that is not there), in our form.
pub(super) fn from_framework(status: StatusCode) -> Refused {
    let (code, detail) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("too-large", format!("the body is over {REQUEST_BYTES_MAX} bytes; send it in parts"))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method", "this path takes another method; the header `Allow` says which".to_owned())
        }
        _ => ("unreadable", format!("the request cannot be read ({status})")),
    };
    Refused(make(code, status, "the request cannot be read", detail))
}

/// The key is missing or wrong.
pub(super) fn unauthorised() -> Refused {
    let detail = "the API key is missing or wrong; it is sent as `Authorization: Bearer KEY`, by the command line from \
                  the variable TIDINGS_API_KEY, and stands in what `[api] key` names";
    Refused(make("unauthorised", StatusCode::UNAUTHORIZED, "who are you", detail.to_owned()))
}

/// The key is right, and the call is for the local socket.
pub(super) fn local_only() -> Refused {
    let detail = "this call writes a file on the engine's machine, and is taken over the local socket alone; \
                  there, `tidings backup FILE` makes it";
    Refused(make("local-only", StatusCode::FORBIDDEN, "not from here", detail.to_owned()))
}

/// The key is right, and not for this call.
pub(super) fn forbidden(name: &str, scope: Scope) -> Refused {
    let detail = format!("the key `{name}` lacks the scope `{scope}`, which this call needs; ask whoever made the key");
    Refused(make("scope", StatusCode::FORBIDDEN, "not with this key", detail))
}

fn make(code: &str, status: StatusCode, title: &str, detail: String) -> Problem {
    Problem { kind: format!("urn:tidings:problem:{code}"), title: title.to_owned(), status: status.as_u16(), detail }
}
