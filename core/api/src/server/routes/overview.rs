//! Everything an operator looks at first.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, ScheduleState};

use super::answer::{Answer, json};
use super::channels::channels;
use crate::server::convert;
use crate::wire;

pub(super) async fn overview(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let counts = engine.counts().await?;
    let schedules = engine.schedules().await?.into_iter().filter(|view| view.state != ScheduleState::Removed);
    let webhooks = engine.webhooks().into_iter().map(convert::webhook);
    let nodes = if engine.is_shared() { engine.nodes().await? } else { Vec::new() };
    let overview = wire::Overview {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: engine.now().to_rfc3339(),
        started_at: engine.started_at().to_rfc3339(),
        draining: engine.is_draining(),
        states: convert::counts(&counts, None),
        late_outcomes: engine.late_outcomes(),
        store_problem: engine.store_problem(),
        channels: channels(&engine, &counts),
        schedules: schedules.map(convert::schedule).collect(),
        tokens: engine.tokens().into_iter().map(convert::token).collect(),
        webhooks: webhooks.filter(|webhook| webhook.state != "ok").collect(),
        nodes: nodes.into_iter().map(convert::node).collect(),
        recent: engine.recent().into_iter().filter_map(convert::change).collect(),
    };
    Ok(json(StatusCode::OK, &overview))
}
