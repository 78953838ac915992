//! Whether the engine lives, and whether it takes work.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tidings_engine::EngineHandle;

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready while messages are taken and claimed; not while the engine stops.
pub(super) async fn readyz(Shared(engine): Shared<EngineHandle>) -> Response {
    if engine.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    // Anybody may ask: where the store is, is not for them.
    if engine.store_problem().is_some() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the disk is full\n").into_response();
    }
    match engine.counts().await {
        Ok(_) => "ready\n".into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
}
