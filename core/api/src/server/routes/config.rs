//! Config: reading it again.

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, Look};

use super::answer::{Answer, json, reason};
use super::query::{Asked, flag};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::convert;

pub(super) async fn reload(
    Shared(engine): Shared<EngineHandle>,
    Query(query): Asked,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let by = acting.by(reason(&body)?)?;
    let look = if flag(&query, "dry_run")? { Look::Only } else { Look::ToUse };
    Ok(json(StatusCode::OK, &convert::reloaded(engine.reload(look, &by).await?)))
}
