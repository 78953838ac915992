//! Webhooks of ours: how they stand, a try, and an operator's go on.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::EngineHandle;

use super::answer::{Answer, json, reason};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::convert;
use crate::wire;

pub(super) async fn list_webhooks(Shared(engine): Shared<EngineHandle>) -> Response {
    let webhooks: Vec<wire::Webhook> = engine.webhooks().into_iter().map(convert::webhook).collect();
    json(StatusCode::OK, &webhooks)
}

pub(super) async fn resume_webhook(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let by = acting.by(reason(&body)?)?;
    Ok(json(StatusCode::OK, &convert::webhook(engine.resume_webhook(&name, &by).await?)))
}

pub(super) async fn test_webhook(Shared(engine): Shared<EngineHandle>, Path(name): Path<String>) -> Answer<Response> {
    let tested = engine.test_webhook(&name).await?;
    let took_ms = u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX);
    Ok(json(StatusCode::OK, &wire::WebhookTest { taken: tested.taken, answer: tested.found, took_ms }))
}
