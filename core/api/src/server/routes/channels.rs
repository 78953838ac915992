//! Channels: what they are at, and an operator's pause.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{ChannelView, EngineHandle};

use super::answer::{Answer, json, reason};
use crate::server::acting::Acting;
use crate::server::body::Sent;
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
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let by = acting.by(reason(&body)?)?;
    shown(&engine, engine.pause(&name, &by).await?).await
}

pub(super) async fn resume_channel(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let by = acting.by(reason(&body)?)?;
    shown(&engine, engine.resume(&name, &by).await?).await
}

async fn shown(engine: &EngineHandle, view: ChannelView) -> Answer<Response> {
    let counts = convert::counts(&engine.counts().await?, Some(view.name.as_str()));
    Ok(json(StatusCode::OK, &convert::channel(view, counts)))
}
