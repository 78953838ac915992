//! The route table, readable as a list of what the API does, and what each route asks of the engine.

use std::collections::HashMap;
use std::str::FromStr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_engine::{EngineHandle, RetryMany};
use tidings_model::limits::{BULK_ROWS_MAX, PAGE_ROWS_MAX, REQUEST_BYTES_MAX};
use tidings_model::{Event, MessageId, State};
use tidings_store::{CredentialFilter, CredentialIntake, DeadFilter, MessageFilter};

use super::convert;
use super::problem::{Refused, from_framework, no_route, problem, unreadable};
use crate::wire;

/// Rows of a list when the caller does not say.
const PAGE_ROWS_DEFAULT: u32 = 50;

/// A file on the engine's machine is the business of who may open its socket; a key over TCP is not enough.
pub(super) const BACKUP: &str = "/v1/backup";

pub(super) fn routes(engine: EngineHandle) -> Router {
    Router::new()
        .route("/v1/overview", get(overview))
        .route("/v1/messages", get(list_messages).post(send_message))
        .route("/v1/messages/bulk", post(send_bulk))
        .route("/v1/messages/reasons", get(list_reasons))
        .route("/v1/messages/retry", post(retry_many))
        .route("/v1/messages/{id}", get(show_message))
        .route("/v1/messages/{id}/{act}", post(act_on_message))
        .route("/v1/credentials", get(list_credentials))
        .route("/v1/credentials/{source}", post(add_credentials))
        .route("/v1/channels", get(list_channels))
        .route("/v1/channels/{name}/{act}", post(act_on_channel))
        .route("/v1/plugins", get(list_plugins))
        .route("/v1/tokens", get(list_tokens))
        .route("/v1/tokens/{app}/refresh", post(refresh_token))
        .route("/v1/schedules", get(list_schedules))
        .route("/v1/runs", get(list_runs))
        .route(BACKUP, post(backup))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(missing)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(middleware::from_fn(no_idle_parameters))
        .layer(middleware::map_response(in_our_form))
        .with_state(engine)
}

/// A parameter that nobody reads is a mistake, not a silence: `?dry_run` at a path without one would send.
async fn no_idle_parameters(request: Request, next: Next) -> Result<Response, Refused> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    // Their handlers know their own.
    let reads =
        matches!(path, "/v1/messages" | "/v1/messages/reasons" | "/v1/runs") || path.starts_with("/v1/credentials");
    if query.is_empty() || reads || !path.starts_with("/v1/") {
        return Ok(next.run(request).await);
    }
    let name = query.split(['=', '&']).next().unwrap_or_default();
    Err(unreadable(format!("unknown parameter `{}`; this path takes none", name.escape_debug())))
}

/// Every error is a problem, whoever found it: the framework's own refusals too.
async fn in_our_form(response: Response) -> Response {
    let status = response.status();
    let ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let plain = status == StatusCode::SERVICE_UNAVAILABLE;
    if ours || plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut problem = from_framework(status).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert(header::ALLOW, allow);
    }
    problem
}

type Answer<T> = Result<T, Refused>;
type Asked = Query<HashMap<String, String>>;

async fn missing(uri: Uri) -> Refused {
    no_route(uri.path())
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready while messages are taken and claimed; not while the engine stops.
async fn readyz(Shared(engine): Shared<EngineHandle>) -> Response {
    if engine.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    // Anybody may ask: where the store is, is not for them.
    if engine.store_problem().is_some() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the disk is full\n").into_response();
    }
    match engine.counts().await {
        Ok(_) => "ready\n".into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
}

async fn overview(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let counts = engine.counts().await?;
    let schedules = engine.schedules().await?.into_iter().map(convert::schedule).collect();
    let overview = wire::Overview {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: engine.now().to_rfc3339(),
        started_at: engine.started_at().to_rfc3339(),
        draining: engine.is_draining(),
        states: convert::counts(&counts, None),
        late_outcomes: engine.late_outcomes(),
        store_problem: engine.store_problem(),
        channels: channels(&engine, &counts),
        schedules,
        tokens: engine.tokens().into_iter().map(convert::token).collect(),
        recent: engine.recent().into_iter().map(|(change, channel)| convert::change(change, channel)).collect(),
    };
    Ok(json(StatusCode::OK, &overview))
}

fn channels(engine: &EngineHandle, counts: &tidings_store::Counts) -> Vec<wire::Channel> {
    let channel = |view: tidings_engine::ChannelView| {
        let counts = convert::counts(counts, Some(view.name.as_str()));
        convert::channel(view, counts)
    };
    engine.channels().into_iter().map(channel).collect()
}

async fn send_message(
    Shared(engine): Shared<EngineHandle>,
    Query(query): Asked,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let dry_run = flag(&query, "dry_run", &["dry_run"])?;
    let mut request: wire::SendRequest = parse(&body)?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| unreadable("`Idempotency-Key` is not visible ASCII"))?;
        request.key = Some(key.to_owned());
    }
    let submission = vec![convert::submission(request)];
    let mut answers = if dry_run { engine.dry_run(submission).await } else { engine.submit(submission).await };
    let reply = convert::submitted(answers.pop().expect("one answer for one message")?);
    let status = if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = json(status, &reply);
    if reply.replayed {
        response.headers_mut().insert("idempotency-replayed", header::HeaderValue::from_static("true"));
    }
    if !dry_run && let Ok(location) = format!("/v1/messages/{}", reply.id).parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// NDJSON in, a line out for each line in; a bad line never stops the rest.
async fn send_bulk(Shared(engine): Shared<EngineHandle>, body: Bytes) -> Answer<Response> {
    let text = std::str::from_utf8(&body).map_err(|_| unreadable("the body is not UTF-8"))?;
    let lines: Vec<(u64, &str)> = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
    if lines.len() > BULK_ROWS_MAX {
        return Err(unreadable(format!("{} lines in one request; at most {BULK_ROWS_MAX}", lines.len())));
    }
    let mut submissions = Vec::with_capacity(lines.len());
    let mut replies: Vec<wire::BulkLine> = Vec::with_capacity(lines.len());
    for (line, text) in lines {
        let problem = match parse::<wire::SendRequest>(text.as_bytes()) {
            Ok(request) => {
                submissions.push((replies.len(), convert::submission(request)));
                None
            }
            Err(Refused(problem)) => Some(problem),
        };
        replies.push(wire::BulkLine { line, accepted: None, problem });
    }
    let (places, submissions): (Vec<usize>, Vec<_>) = submissions.into_iter().unzip();
    for (place, answer) in places.into_iter().zip(engine.submit(submissions).await) {
        match answer {
            Ok(submitted) => replies[place].accepted = Some(convert::submitted(submitted)),
            Err(refusal) => replies[place].problem = Some(problem(&refusal)),
        }
    }
    let mut out = String::new();
    for reply in &replies {
        out.push_str(&serde_json::to_string(reply).expect("a reply is JSON"));
        out.push('\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], out).into_response())
}

async fn list_messages(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    known(&query, &["state", "reason", "channel", "template", "to", "limit", "cursor"])?;
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
        before: cursor(&query)?,
        limit: limit(&query)?,
    };
    let page = engine.reader().messages(&filter).await.map_err(tidings_engine::Refusal::from)?;
    let items = page.rows.into_iter().map(|row| convert::message(row, Vec::new())).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

async fn list_reasons(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    known(&query, &["state", "channel"])?;
    let state = query.get("state").map(|word| state_named(word)).transpose()?;
    let (rows, more) = engine.reasons(state, query.get("channel").map(String::as_str)).await?;
    let items = rows.into_iter().map(convert::reason).collect();
    Ok(json(StatusCode::OK, &wire::Reasons { items, more }))
}

async fn show_message(Shared(engine): Shared<EngineHandle>, Path(id): Path<String>) -> Answer<Response> {
    let id = message_id(&id)?;
    match engine.reader().message(id).await.map_err(tidings_engine::Refusal::from)? {
        Some((row, attempts)) => Ok(json(StatusCode::OK, &convert::message(row, attempts))),
        None => Err(tidings_engine::Refusal {
            code: "message-unknown",
            class: tidings_engine::Class::NotFound,
            detail: format!("there is no message {id}"),
        }
        .into()),
    }
}

async fn act_on_message(
    Shared(engine): Shared<EngineHandle>,
    Path((id, act)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Response> {
    let event = match act.as_str() {
        "cancel" => Event::Cancel,
        "retry" => Event::Retry,
        "hold" => Event::Hold,
        "release" => Event::Release,
        _ => return Err(no_route(&format!("/v1/messages/{id}/{act}"))),
    };
    let note = reason(&body)?.unwrap_or_else(|| format!("{act} by an operator"));
    let id = message_id(&id)?;
    let state = engine.operate(id, event, &note).await?;
    Ok(json(StatusCode::OK, &wire::ActReply { id: id.to_string(), state: state.to_string() }))
}

/// A plan, or up to a bounded number of messages that get their times; the rest takes another call.
async fn retry_many(Shared(engine): Shared<EngineHandle>, body: Bytes) -> Answer<Response> {
    let request: wire::RetryRequest = parse(&body)?;
    let wire::RetryFilter { state, channel, reason, template } = request.filter;
    let filter = DeadFilter { state: state_named(&state)?, channel, reason, template };
    let note = request.note.filter(|note| !note.is_empty());
    let asked = RetryMany { filter, rate: request.rate, note, cursor: request.cursor };
    if request.plan {
        return Ok(json(StatusCode::OK, &convert::retry_plan(engine.plan_retry(&asked).await?)));
    }
    Ok(json(StatusCode::OK, &convert::retried(engine.retry_many(&asked).await?)))
}

async fn list_credentials(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let usable = flag(&query, "usable", &["source", "recipient", "usable", "limit", "cursor"])?;
    let filter = CredentialFilter {
        source: query.get("source").cloned(),
        recipient: query.get("recipient").cloned(),
        usable,
        before: cursor(&query)?,
        limit: limit(&query)?,
    };
    let page = engine.reader().credentials(&filter).await.map_err(tidings_engine::Refusal::from)?;
    let items = page.rows.into_iter().map(convert::credential).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

/// As a mini-program sends it, a form post; or JSON, one object or an array of them.
async fn add_credentials(
    Shared(engine): Shared<EngineHandle>,
    Path(source): Path<String>,
    Query(query): Asked,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    known(&query, &["app"])?;
    let form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
        // A client that names no type calls everything a form, and no form begins as JSON does.
        && !matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    let intakes = if form { vec![super::intake::form(&body)?] } else { super::intake::json(&body)? };
    if intakes.len() > BULK_ROWS_MAX {
        return Err(unreadable(format!("{} credentials in one request; at most {BULK_ROWS_MAX}", intakes.len())));
    }
    let answers = engine.add_credentials(&source, query.get("app").map(String::as_str), intakes).await?;
    let items: Vec<wire::CredentialResult> = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(CredentialIntake::New(id)) => wire::CredentialResult { id: Some(id.to_string()), refused: None },
            Ok(CredentialIntake::Repeated) => {
                wire::CredentialResult { id: None, refused: Some("it was posted before".to_owned()) }
            }
            Err(reason) => wire::CredentialResult { id: None, refused: Some(reason) },
        })
        .collect();
    let accepted = items.iter().filter(|item| item.id.is_some()).count();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let (accepted, refused) = (count(accepted), count(items.len() - accepted));
    // One that is refused is a refused request; of many, each has its own line.
    let status = if accepted == 0 && items.len() == 1 { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    if status != StatusCode::OK {
        let reason = items.into_iter().next().and_then(|item| item.refused).unwrap_or_default();
        return Err(tidings_engine::Refusal {
            code: "credential-refused",
            class: tidings_engine::Class::Invalid,
            detail: format!("the credential was refused: {reason}"),
        }
        .into());
    }
    Ok(json(status, &wire::CredentialsReply { accepted, refused, items }))
}

async fn list_channels(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let counts = engine.counts().await?;
    Ok(json(StatusCode::OK, &channels(&engine, &counts)))
}

async fn act_on_channel(
    Shared(engine): Shared<EngineHandle>,
    Path((name, act)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Response> {
    let note = reason(&body)?;
    let paused = match act.as_str() {
        "pause" => Some(note.unwrap_or_else(|| "paused by an operator".to_owned())),
        "resume" => None,
        _ => return Err(no_route(&format!("/v1/channels/{name}/{act}"))),
    };
    let view = engine.pause(&name, paused).await?;
    let counts = convert::counts(&engine.counts().await?, Some(view.name.as_str()));
    Ok(json(StatusCode::OK, &convert::channel(view, counts)))
}

async fn list_plugins(Shared(engine): Shared<EngineHandle>) -> Response {
    let plugins: Vec<wire::Plugin> = engine.plugins().into_iter().map(convert::plugin).collect();
    json(StatusCode::OK, &plugins)
}

async fn list_tokens(Shared(engine): Shared<EngineHandle>) -> Response {
    let tokens: Vec<wire::Token> = engine.tokens().into_iter().map(convert::token).collect();
    json(StatusCode::OK, &tokens)
}

async fn refresh_token(Shared(engine): Shared<EngineHandle>, Path(app): Path<String>) -> Answer<Response> {
    Ok(json(StatusCode::OK, &convert::token(engine.refresh_token(&app).await?)))
}

async fn list_schedules(Shared(engine): Shared<EngineHandle>) -> Answer<Response> {
    let schedules: Vec<wire::Schedule> = engine.schedules().await?.into_iter().map(convert::schedule).collect();
    Ok(json(StatusCode::OK, &schedules))
}

async fn list_runs(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    known(&query, &["schedule", "limit", "cursor"])?;
    let schedule = query.get("schedule").map(String::as_str);
    let page =
        engine.reader().runs(schedule, cursor(&query)?, limit(&query)?).await.map_err(tidings_engine::Refusal::from)?;
    let items = page.rows.into_iter().map(convert::run).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

async fn backup(Shared(engine): Shared<EngineHandle>, body: Bytes) -> Answer<Response> {
    let request: wire::BackupRequest = parse(&body)?;
    let made = engine.backup(std::path::Path::new(&request.path)).await?;
    Ok(json(StatusCode::OK, &convert::backup(made)))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_string(value).expect("wire types are JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| unreadable(format!("the body is not what was expected: {error}")))
}

/// The reason in the body of an act; a body is not needed.
fn reason(body: &[u8]) -> Answer<Option<String>> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let request: wire::ActRequest = parse(body)?;
    Ok(request.reason.filter(|reason| !reason.is_empty()))
}

fn message_id(text: &str) -> Answer<MessageId> {
    MessageId::from_str(text).map_err(|error| unreadable(error.to_string()))
}

fn state_named(word: &str) -> Answer<State> {
    State::from_name(word).ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        unreadable(format!("`{}` is no state; there are: {}", word.escape_debug(), words.join(", ")))
    })
}

/// A parameter that nobody reads is a mistake, not a silence.
fn known(query: &HashMap<String, String>, names: &[&str]) -> Answer<()> {
    match query.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(unreadable(format!("unknown parameter `{}`; known: {}", name.escape_debug(), names.join(", "))))
        }
    }
}

fn flag(query: &HashMap<String, String>, name: &str, names: &[&str]) -> Answer<bool> {
    known(query, names)?;
    match query.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err(unreadable(format!("`{name}` is `{}`; expected true or false", other.escape_debug()))),
    }
}

fn limit(query: &HashMap<String, String>) -> Answer<u32> {
    let Some(text) = query.get("limit") else { return Ok(PAGE_ROWS_DEFAULT) };
    match text.parse::<u32>() {
        Ok(limit) if (1..=PAGE_ROWS_MAX).contains(&limit) => Ok(limit),
        _ => Err(unreadable(format!("`limit` must be 1 to {PAGE_ROWS_MAX}"))),
    }
}

fn cursor(query: &HashMap<String, String>) -> Answer<Option<i64>> {
    let Some(text) = query.get("cursor") else { return Ok(None) };
    text.parse::<i64>().map(Some).map_err(|_| unreadable("`cursor` is none of this list; begin without one"))
}
