//! Channels: what they are at, and an operator's pause.

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{ChannelView, EngineHandle};

use super::answer::{Answer, json, reason};
use crate::server::convert;
use crate::wire;

pub(super) fn channels(engine: &EngineHandle, counts: &tidings_store::Counts) -> Vec<wire::Channel> {
    let channel = |view: ChannelView| {
        let counts = convert::counts(counts, Some(view.name.as_str()));
        convert::channel(view, counts)
    };
    engine.channels().into_iter().map(channel).collect()
}

pub(super) async fn list_channels(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let counts = engine.counts().await?;
    Ok(json(StatusCode::OK, &channels(&engine, &counts)))
}

pub(super) async fn pause_channel(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Response> {
    let note = reason(&body)?.unwrap_or_else(|| "paused by an operator".to_owned());
    shown(&engine, engine.pause(&name, Some(note)).await?).await
}

pub(super) async fn resume_channel(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Response> {
    reason(&body)?;
    shown(&engine, engine.pause(&name, None).await?).await
}

async fn shown(engine: &EngineHandle, view: ChannelView) -> Answer<Response> {
    let counts = convert::counts(&engine.counts().await?, Some(view.name.as_str()));
    Ok(json(StatusCode::OK, &convert::channel(view, counts)))
}
