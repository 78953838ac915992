//! Keys of callers: who has one, a new one, and one that is none any more.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, NewKey, Refusal};
use tidings_model::Scopes;

use super::answer::{Answer, json, parse, reason};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::caller::Caller;
use crate::server::convert;
use crate::wire;

/// What came after the first version, by name. A name is never taken back and never means another thing.
const FEATURES: [&str; 7] =
    ["bulk", "events", "webhooks", "suppressions", "reachability", "timeline", "lookup.recipient"];

pub(super) async fn hello(Shared(engine): Shared<EngineHandle>, Extension(caller): Extension<Caller>) -> Response {
    let hello = wire::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: engine.now().to_rfc3339(),
        caller: caller.name.to_string(),
        scopes: convert::scopes(caller.scopes),
        local: caller.local,
        expires_at: caller.expires_at.map(tidings_model::Timestamp::to_rfc3339),
        features: FEATURES.map(str::to_owned).into(),
    };
    json(StatusCode::OK, &hello)
}

pub(super) async fn list_keys(Shared(engine): Shared<EngineHandle>) -> Response {
    let keys: Vec<wire::Key> = engine.keys().into_iter().map(convert::key).collect();
    json(StatusCode::OK, &keys)
}

pub(super) async fn add_key(
    Shared(engine): Shared<EngineHandle>,
    Extension(caller): Extension<Caller>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let request: wire::KeyRequest = parse(&body)?;
    let scopes = Scopes::from_words(request.scopes.iter().map(String::as_str)).map_err(|word| {
        let detail = format!("`{}` is no scope; there are: {}", word.escape_debug(), Scopes::ALL);
        Refusal { code: "scope-unknown", class: tidings_engine::Class::Invalid, detail }
    })?;
    let new = NewKey { name: request.name, scopes, expires_at: request.expires_at };
    let (key, view) = engine.add_key(new, &caller.holder(), &acting.by(None)?).await?;
    Ok(json(StatusCode::CREATED, &wire::NewKey { key: key.reveal().to_owned(), made: convert::key(view) }))
}

pub(super) async fn revoke_key(
    Shared(engine): Shared<EngineHandle>,
    Extension(caller): Extension<Caller>,
    acting: Acting,
    Path(name): Path<String>,
    Sent(body): Sent,
) -> Answer<Response> {
    let by = acting.by(reason(&body)?)?;
    Ok(json(StatusCode::OK, &convert::key(engine.revoke_key(&name, &caller.holder(), &by).await?)))
}
