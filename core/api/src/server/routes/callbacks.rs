//! What providers push: answered as their plugin says, after what it tells is on disk.

use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tidings_engine::{EngineHandle, Pushed};
use tidings_model::limits::PUSH_ANSWER_MAX;

use super::answer::Answer;
use crate::server::body::Sent;
use crate::server::problem::{push_late, push_refused};

/// Takes a push. Who may push, its signature says: the plugin checks it.
pub(super) async fn receive(
    Shared(engine): Shared<EngineHandle>,
    Path(app): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer<Response> {
    let header =
        |(name, value): (&HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    let pushed = Pushed {
        method: method.as_str().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: headers.iter().filter_map(header).collect(),
        body: body.into(),
    };
    // Where the store is slow the provider is told in time to come again.
    let reply = match tokio::time::timeout(PUSH_ANSWER_MAX, engine.receive(&app, pushed)).await {
        Ok(reply) => reply?,
        Err(_) => return Err(push_late()),
    };
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_REQUEST);
    if !status.is_success() {
        return Err(push_refused(status, &String::from_utf8_lossy(&reply.body)));
    }
    let kind = HeaderValue::from_str(&reply.content_type).unwrap_or(HeaderValue::from_static("text/plain"));
    Ok((status, [(header::CONTENT_TYPE, kind)], reply.body).into_response())
}
