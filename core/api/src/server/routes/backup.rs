//! A copy of the store.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::EngineHandle;

use super::answer::{Answer, json, parse};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::convert;
use crate::wire;

pub(super) async fn backup(Shared(engine): Shared<EngineHandle>, acting: Acting, Sent(body): Sent) -> Answer<Response> {
    let request: wire::BackupRequest = parse(&body)?;
    let made = engine.backup(std::path::Path::new(&request.path), &acting.by(None)?).await?;
    Ok(json(StatusCode::OK, &convert::backup(made)))
}
