//! Plugins: which there are.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::EngineHandle;

use super::answer::json;
use crate::server::convert;
use crate::wire;

pub(super) async fn list_plugins(Shared(engine): Shared<EngineHandle>) -> Response {
    let plugins: Vec<wire::Plugin> = engine.plugins().into_iter().map(convert::plugin).collect();
    json(StatusCode::OK, &plugins)
}
