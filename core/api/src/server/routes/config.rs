//! Config: reading it again.

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, Look};

use super::answer::{Answer, json};
use super::query::{Asked, flag};
use crate::server::convert;

pub(super) async fn reload(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let look = if flag(&query, "dry_run")? { Look::Only } else { Look::ToUse };
    Ok(json(StatusCode::OK, &convert::reloaded(engine.reload(look).await?)))
}
