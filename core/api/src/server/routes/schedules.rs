//! Schedules and their runs.

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, Refusal};

use super::answer::{Answer, json};
use super::query::{Asked, cursor, limit};
use crate::server::convert;
use crate::wire;

pub(super) async fn list_schedules(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let schedules: Vec<wire::Schedule> = engine.schedules().await?.into_iter().map(convert::schedule).collect();
    Ok(json(StatusCode::OK, &schedules))
}

pub(super) async fn list_runs(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let schedule = query.get("schedule").map(String::as_str);
    let page = engine.reader().runs(schedule, cursor(&query)?, limit(&query)?).await.map_err(Refusal::from)?;
    let items = page.rows.into_iter().map(convert::run).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}
