//! Errors as RFC 9457 has them.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidings_engine::{Class, Refusal};
use tidings_model::Scope;
use tidings_model::limits::PUSH_ANSWER_MAX;

use super::catalogue::{Kind, find};
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
    let kind = find(refusal.code).copied().unwrap_or_else(|| unlisted(refusal));
    make(kind, refusal.detail.clone())
}

/// A code that is not in the catalogue: a test finds it; what a caller can do about it is known all the same.
fn unlisted(refusal: &Refusal) -> Kind {
    let (status, title) = match refusal.class {
        Class::Invalid => (422, "the request cannot be carried out"),
        Class::NotFound => (404, "there is no such thing"),
        Class::Conflict => (409, "the state does not allow it"),
        Class::Forbidden => (403, "not with this key"),
        Class::Unavailable => (503, "not now"),
        Class::Full => (507, "the disk is full"),
    };
    Kind { code: refusal.code, status, title, remedy: "" }
}

/// The request itself cannot be read.
pub(super) fn unreadable(detail: impl Into<String>) -> Refused {
    listed("unreadable", detail)
}

/// The body is, or becomes, longer than the call takes.
pub(super) fn too_large(bytes_max: usize) -> Refused {
    listed("too-large", format!("it is over {bytes_max} bytes; send it in parts"))
}

/// The body did not come in time.
pub(super) fn body_late() -> Refused {
    listed("late", "the body stopped coming; `[api.limits] body` says how long each 16 KiB of it may take")
}

/// Other bodies have all the memory there is for them.
pub(super) fn bodies_busy() -> Refused {
    listed("busy", "the bodies of other calls take all the memory there is for them (`[api.limits] bodies_mib`)")
}

/// The key has made more calls than it may.
pub(super) fn too_fast(key: &str, count: u32, period: Duration, own: bool) -> Refused {
    let setting = if own { format!("[api.keys.{key}] rate") } else { "[api.limits] rate".to_owned() };
    let detail = format!("the key `{key}` may make {count} calls in {} s (`{setting}`)", period.as_secs_f64());
    listed("rate", detail)
}

/// Others bring lines.
pub(super) fn bulk_busy(calls_max: usize) -> Refused {
    listed("busy", format!("{calls_max} bulk calls are under way, and more are not taken at once"))
}

/// The header, or what it says with the body, is no key.
pub(super) fn key_invalid(detail: impl Into<String>) -> Refused {
    listed("key-invalid", detail)
}

/// A key that nobody would read: to ignore it would be to promise something.
pub(super) fn key_unread() -> Refused {
    listed("key-unread", "this call does not read the header `Idempotency-Key`")
}

/// There is no such path.
pub(super) fn no_route(path: &str) -> Refused {
    listed("no-route", format!("there is no `{}`", path.escape_debug()))
}

/// What the framework refused by itself (a body that is too large, a method that is not there), in our form.
pub(super) fn from_framework(status: StatusCode) -> Refused {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            listed("method", "this path takes another method; the header `Allow` says which")
        }
        _ => unreadable(format!("the request cannot be read ({status})")),
    }
}

/// The key is missing or wrong.
pub(super) fn unauthorised() -> Refused {
    let detail = "the API key is missing or wrong; it is sent as `Authorization: Bearer KEY`, by the command line from \
                  the variable TIDINGS_API_KEY; `tidings keys add` on the engine's machine makes one";
    listed("unauthorised", detail)
}

/// The key is right, and the call is for the local socket.
pub(super) fn local_only() -> Refused {
    let detail = "this call writes a file on the engine's machine, and is taken over the local socket alone; \
                  there, `tidings backup FILE` makes it";
    listed("local-only", detail)
}

/// The key is right, and not for this call.
pub(super) fn forbidden(name: &str, scope: Scope) -> Refused {
    let detail = format!("the key `{name}` lacks the scope `{scope}`, which this call needs; ask whoever made the key");
    listed("scope", detail)
}

/// What its provider pushed was not taken, by its plugin's status and words.
pub(super) fn push_refused(status: StatusCode, detail: &str) -> Refused {
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "push-unproved",
        StatusCode::PAYLOAD_TOO_LARGE => "too-large",
        _ => "push-malformed",
    };
    listed(code, detail)
}

/// A push could not be answered in time.
pub(super) fn push_late() -> Refused {
    let (code, seconds) = ("busy", PUSH_ANSWER_MAX.as_secs_f32());
    listed(code, format!("the push was not on disk within {seconds} seconds; push it again"))
}

fn listed(code: &str, detail: impl Into<String>) -> Refused {
    Refused(make(*find(code).expect("the server's own codes are in the catalogue"), detail.into()))
}

fn make(kind: Kind, detail: String) -> Problem {
    Problem {
        kind: Problem::kind_of(kind.code),
        title: kind.title.to_owned(),
        status: kind.status,
        detail,
        retryable: kind.is_retryable(),
        trace_id: tidings_engine::trace::current().map(|context| context.trace.to_string()),
    }
}
