//! What every answer is made with: JSON out, JSON in, the reason of an act.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::server::problem::{Refused, unreadable};
use crate::wire;

/// An answer, or a problem.
pub(super) type Answer<T> = Result<T, Refused>;

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("wire types are JSON");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| unreadable(format!("the body is not what was expected: {error}")))
}

/// The reason in the body of an act; a body is not needed.
pub(super) fn reason(body: &[u8]) -> Answer<Option<String>> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let request: wire::ActRequest = parse(body)?;
    Ok(request.reason.filter(|reason| !reason.is_empty()))
}
