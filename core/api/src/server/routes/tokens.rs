//! Tokens: their state, and a fresh one.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::EngineHandle;

use super::answer::{Answer, json, reason};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::convert;
use crate::wire;

pub(super) async fn list_tokens(Shared(engine): Shared<EngineHandle>) -> Response {
    let tokens: Vec<wire::Token> = engine.tokens().into_iter().map(convert::token).collect();
    json(StatusCode::OK, &tokens)
}

pub(super) async fn refresh_token(
    Shared(engine): Shared<EngineHandle>,
    Path(app): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let by = acting.by(reason(&body)?)?;
    Ok(json(StatusCode::OK, &convert::token(engine.refresh_token(&app, &by).await?)))
}
