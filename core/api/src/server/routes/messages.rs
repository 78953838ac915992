//! Messages: one to send, lists of them, and what an operator does about them.

use std::str::FromStr as _;

use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tidings_engine::{BulkAct, BulkKind, Class, EngineHandle, Refusal};
use tidings_model::trace::TraceContext;
use tidings_model::{Event, MessageId, State};
use tidings_store::{BulkFilter, MessageFilter};

use super::answer::{Answer, json, parse, reason};
use super::query::{Asked, cursor, flag, limit, past};
use super::runs::run_id;
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::convert;
use crate::server::idempotency::Key;
use crate::server::problem::{key_invalid, unreadable};
use crate::server::timeline::timeline;
use crate::wire;

pub(super) async fn send_message(
    Shared(engine): Shared<EngineHandle>,
    Query(query): Asked,
    Key(key): Key,
    Sent(body): Sent,
) -> Answer<Response> {
    let dry_run = flag(&query, "dry_run")?;
    let mut request: wire::SendRequest = parse(&body)?;
    if let Some(key) = key {
        if request.key.as_ref().is_some_and(|other| *other != key) {
            return Err(key_invalid("the header `Idempotency-Key` and the member `key` are different keys"));
        }
        request.key = Some(key);
    }
    let submission = vec![convert::submission(request)];
    let mut answers = if dry_run { engine.dry_run(submission).await } else { engine.submit(submission).await };
    let reply = convert::submitted(answers.pop().expect("one answer for one message")?);
    let status = if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = json(status, &reply);
    if reply.replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    if !dry_run && let Ok(location) = HeaderValue::try_from(format!("/v1/messages/{}", reply.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn list_messages(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let state = query.get("state").map(|word| state_named(word)).transpose()?;
    if query.contains_key("reason") && state.is_none() {
        return Err(unreadable("`reason` needs a `state` beside it: a reason says why a message is where it is"));
    }
    let filter = MessageFilter {
        state,
        channel: query.get("channel").cloned(),
        template: query.get("template").cloned(),
        recipient: query.get("to").cloned(),
        reason: query.get("reason").cloned(),
        run: query.get("run").map(|text| run_id(text)).transpose()?,
        newer_than: past(&query, "newer_than", engine.now())?,
        older_than: past(&query, "older_than", engine.now())?,
        before: cursor(&query)?,
        limit: limit(&query)?,
    };
    let page = engine.reader().messages(&filter).await.map_err(Refusal::from)?;
    let items = page.rows.into_iter().map(|row| convert::message(row, Vec::new())).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

pub(super) async fn list_reasons(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let state = query.get("state").map(|word| state_named(word)).transpose()?;
    let (rows, more) = engine.reasons(state, query.get("channel").map(String::as_str)).await?;
    let items = rows.into_iter().map(convert::reason).collect();
    Ok(json(StatusCode::OK, &wire::Reasons { items, more }))
}

pub(super) async fn show_message(Shared(engine): Shared<EngineHandle>, Path(id): Path<String>) -> Answer<Response> {
    let id = message_id(&id)?;
    match engine.reader().message(id).await.map_err(Refusal::from)? {
        Some((row, attempts)) => {
            let named = row.trace.as_deref().and_then(TraceContext::read);
            let trace = engine.trace_of(id, named.as_ref());
            let acts = engine.reader().acts_on(id).await.map_err(Refusal::from)?;
            let moments = engine.reader().moments(id).await.map_err(Refusal::from)?;
            let (content, content_problem) = match engine.preview(&row).await {
                Ok(content) => (Some(content), None),
                Err(problem) => (None, Some(problem)),
            };
            let message = wire::Message {
                content,
                content_problem,
                timeline: timeline(&row, &attempts, &acts, &moments),
                trace_id: Some(trace.to_string()),
                acts: acts.into_iter().map(super::audit::change).collect(),
                ..convert::message(row, attempts)
            };
            Ok(json(StatusCode::OK, &message))
        }
        None => Err(Refusal {
            code: "message-unknown",
            class: Class::NotFound,
            detail: format!("there is no message {id}"),
        }
        .into()),
    }
}

pub(super) async fn cancel_message(
    engine: Shared<EngineHandle>,
    id: Path<String>,
    acting: Acting,
    body: Sent,
) -> Answer<Response> {
    act(engine, id, acting, body, Event::Cancel).await
}

pub(super) async fn retry_message(
    engine: Shared<EngineHandle>,
    id: Path<String>,
    acting: Acting,
    body: Sent,
) -> Answer<Response> {
    act(engine, id, acting, body, Event::Retry).await
}

pub(super) async fn hold_message(
    engine: Shared<EngineHandle>,
    id: Path<String>,
    acting: Acting,
    body: Sent,
) -> Answer<Response> {
    act(engine, id, acting, body, Event::Hold).await
}

pub(super) async fn release_message(
    engine: Shared<EngineHandle>,
    id: Path<String>,
    acting: Acting,
    body: Sent,
) -> Answer<Response> {
    act(engine, id, acting, body, Event::Release).await
}

async fn act(
    Shared(engine): Shared<EngineHandle>,
    Path(id): Path<String>,
    acting: Acting,
    Sent(body): Sent,
    event: Event,
) -> Answer<Response> {
    let by = acting.by(reason(&body)?)?;
    let id = message_id(&id)?;
    let state = engine.operate(id, event, &by).await?;
    Ok(json(StatusCode::OK, &wire::ActReply { id: id.to_string(), state: state.to_string() }))
}

pub(super) async fn cancel_many(engine: Shared<EngineHandle>, acting: Acting, body: Sent) -> Answer<Response> {
    act_on_many(engine, acting, body, BulkKind::Cancel).await
}

pub(super) async fn hold_many(engine: Shared<EngineHandle>, acting: Acting, body: Sent) -> Answer<Response> {
    act_on_many(engine, acting, body, BulkKind::Hold).await
}

pub(super) async fn release_many(engine: Shared<EngineHandle>, acting: Acting, body: Sent) -> Answer<Response> {
    act_on_many(engine, acting, body, BulkKind::Release).await
}

pub(super) async fn retry_many(engine: Shared<EngineHandle>, acting: Acting, body: Sent) -> Answer<Response> {
    act_on_many(engine, acting, body, BulkKind::Retry).await
}

/// A plan, or up to a bounded number of messages that are moved; the rest takes another call.
async fn act_on_many(
    Shared(engine): Shared<EngineHandle>,
    acting: Acting,
    Sent(body): Sent,
    kind: BulkKind,
) -> Answer<Response> {
    let wire::BulkRequest { filter, rate, note, plan, cursor } = parse(&body)?;
    if kind == BulkKind::Retry && filter.state.is_none() {
        return Err(unreadable("a retry needs a `state` in its filter: messages that are unknown may have arrived"));
    }
    if kind != BulkKind::Retry && rate.is_some() {
        return Err(unreadable("`rate` is for a retry: only there each message gets a time of its own"));
    }
    let past = |name: &str, text: Option<String>| {
        text.map(|text| tidings_engine::config::past(name, &text, engine.now())).transpose()
    };
    let newer_than = past("newer_than", filter.newer_than)?;
    let older_than = past("older_than", filter.older_than)?;
    let filter = BulkFilter {
        states: filter.state.map(|state| state_named(&state)).transpose()?.into_iter().collect(),
        channel: filter.channel,
        template: filter.template,
        recipient: filter.to,
        reason: filter.reason,
        run: filter.run.as_deref().map(run_id).transpose()?,
    };
    let asked = BulkAct { kind, filter, newer_than, older_than, rate, by: acting.by(note)?, cursor };
    if plan {
        return Ok(json(StatusCode::OK, &convert::bulk_plan(engine.plan_for_many(&asked).await?)));
    }
    Ok(json(StatusCode::OK, &convert::bulk_done(engine.act_on_many(&asked).await?)))
}

pub(super) fn message_id(text: &str) -> Answer<MessageId> {
    MessageId::from_str(text).map_err(|error| unreadable(error.to_string()))
}

pub(super) fn state_named(word: &str) -> Answer<State> {
    State::from_name(word).ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        unreadable(format!("`{}` is no state; there are: {}", word.escape_debug(), words.join(", ")))
    })
}
