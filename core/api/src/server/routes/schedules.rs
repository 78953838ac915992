//! Schedules and their runs.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::EngineHandle;

use super::answer::{Answer, json};
use crate::server::convert;
use crate::wire;

pub(super) async fn list_schedules(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let schedules: Vec<wire::Schedule> = engine.schedules().await?.into_iter().map(convert::schedule).collect();
    Ok(json(StatusCode::OK, &schedules))
}
