//! Schedules: how they stand, what became of their times, and what operators do to them.

use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, Refusal};
use tidings_model::limits::NEXT_TIMES_MAX;

use super::answer::{Answer, json, parse, reason};
use super::query::{Asked, cursor, limit};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::convert;
use crate::server::problem::unreadable;
use crate::wire;

/// Next times of a schedule when the caller does not say.
const NEXT_DEFAULT: u32 = 5;

fn next(query: &std::collections::HashMap<String, String>) -> Answer<u32> {
    let Some(text) = query.get("next") else { return Ok(NEXT_DEFAULT) };
    match text.parse::<u32>() {
        Ok(count) if count <= NEXT_TIMES_MAX => Ok(count),
        _ => Err(unreadable(format!("`next` must be 0 to {NEXT_TIMES_MAX}"))),
    }
}

pub(super) async fn list_schedules(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let views = engine.schedules_in_detail(next(&query)?).await?;
    let schedules: Vec<wire::Schedule> = views.into_iter().map(convert::schedule).collect();
    Ok(json(StatusCode::OK, &schedules))
}

pub(super) async fn show_schedule(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    Query(query): Asked,
) -> Answer<Response> {
    let view = engine.schedule(&name, next(&query)?).await?;
    Ok(json(StatusCode::OK, &convert::schedule(view)))
}

pub(super) async fn list_firings(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    Query(query): Asked,
) -> Answer<Response> {
    // A schedule that nobody knows has no empty list.
    engine.schedule(&name, 0).await?;
    let page = engine.reader().firings(&name, cursor(&query)?, limit(&query)?).await.map_err(Refusal::from)?;
    let items = page.rows.into_iter().map(convert::firing).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

pub(super) async fn pause_schedule(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    engine.pause_schedule(&name, &acting.by(reason(&body)?)?).await?;
    shown(&engine, &name).await
}

pub(super) async fn resume_schedule(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    engine.resume_schedule(&name, &acting.by(reason(&body)?)?).await?;
    shown(&engine, &name).await
}

pub(super) async fn skip_schedule(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let request: wire::SkipRequest = parse(if body.is_empty() { b"{}" } else { &body })?;
    engine.skip_schedule(&name, request.count, &acting.by(request.reason)?).await?;
    shown(&engine, &name).await
}

pub(super) async fn run_schedule(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let run = engine.run_schedule(&name, &acting.by(reason(&body)?)?).await?;
    Ok(json(StatusCode::OK, &wire::RunReply { run: run.to_string() }))
}

pub(super) async fn backfill_schedule(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let request: wire::BackfillRequest = parse(&body)?;
    let now = engine.now();
    let past = |name: &str, text: &str| tidings_engine::config::past(name, text, now);
    let from = past("from", &request.from)?;
    let to = request.to.map(|to| past("to", &to)).transpose()?.unwrap_or(now);
    let by = acting.by(request.reason)?;
    let plan = engine.plan_backfill(&name, from, to).await?;
    if !request.plan {
        engine.backfill_schedule(&name, from, to, &by).await?;
    }
    let sample = plan.sample.iter().map(|at| at.to_rfc3339()).collect();
    let reply = wire::BackfillReply { plan: request.plan, times: plan.times, ran: plan.ran, sample };
    Ok(json(StatusCode::OK, &reply))
}

pub(super) async fn stop_backfill(
    Shared(engine): Shared<EngineHandle>,
    Path(name): Path<String>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    engine.end_backfill(&name, &acting.by(reason(&body)?)?).await?;
    shown(&engine, &name).await
}

async fn shown(engine: &EngineHandle, name: &str) -> Answer<Response> {
    Ok(json(StatusCode::OK, &convert::schedule(engine.schedule(name, NEXT_DEFAULT).await?)))
}
