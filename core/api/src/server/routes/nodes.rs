//! Nodes: the engines that share the store.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::EngineHandle;

use super::answer::{Answer, json};
use crate::server::convert;
use crate::wire;

pub(super) async fn list_nodes(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let nodes: Vec<wire::Node> = engine.nodes().await?.into_iter().map(convert::node).collect();
    Ok(json(StatusCode::OK, &nodes))
}
