//! Runs of schedules: how far they are and what they say; and whom a broadcast would reach.

use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, Refusal};
use tidings_model::{RunId, RunState};
use tidings_store::RunFilter;

use super::answer::{Answer, json, reason};
use super::query::{Asked, cursor, limit};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::convert;
use crate::server::problem::unreadable;
use crate::wire;

pub(super) async fn list_runs(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let state = query.get("run_state").map(|word| state(word)).transpose()?;
    let schedule = query.get("schedule").cloned();
    let filter = RunFilter { schedule, state, before: cursor(&query)?, limit: limit(&query)? };
    let page = engine.reader().runs_where(&filter).await.map_err(Refusal::from)?;
    let items = page.rows.into_iter().map(convert::run).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

pub(super) async fn show_run(
    Shared(engine): Shared<EngineHandle>,
    Path(id): Path<String>,
    Query(query): Asked,
) -> Answer<Response> {
    let run = engine.run(run_id(&id)?).await?;
    let after = cursor(&query)?.unwrap_or(0);
    let log = engine.reader().run_log(run.id, after, limit(&query)?).await.map_err(Refusal::from)?;
    Ok(json(StatusCode::OK, &convert::run_detail(run, log)))
}

pub(super) async fn cancel_run(
    Shared(engine): Shared<EngineHandle>,
    Path(id): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let run = engine.cancel_run(run_id(&id)?, &acting.by(reason(&body)?)?).await?;
    Ok(json(StatusCode::OK, &convert::run(run)))
}

pub(super) async fn preflight(Shared(engine): Shared<EngineHandle>, Path(name): Path<String>) -> Answer<Response> {
    Ok(json(StatusCode::OK, &convert::preflight(engine.preflight(&name).await?)))
}

fn state(word: &str) -> Answer<RunState> {
    RunState::from_name(word).ok_or_else(|| {
        let known: Vec<&str> = RunState::ALL.into_iter().map(RunState::as_str).collect();
        unreadable(format!("`run_state` is `{}`; expected one of {}", word.escape_debug(), known.join(", ")))
    })
}

pub(super) fn run_id(text: &str) -> Answer<RunId> {
    text.parse().map_err(|_| unreadable(format!("`{}` is no run; write it as in run_42", text.escape_debug())))
}
