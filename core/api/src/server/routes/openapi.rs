//! The description of the API, for callers' tools.

use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::endpoint::JSON;
use crate::server::openapi::document;

/// Open to anybody, as the manual is: it says nothing of what this engine holds.
pub(super) async fn openapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(document);
    (StatusCode::OK, [(header::CONTENT_TYPE, JSON)], TEXT.as_str()).into_response()
}
