//! Recipients who are told nothing.

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, NewSuppression, Refusal};
use tidings_store::{SuppressionFilter, SuppressionRow};

use super::answer::{Answer, json, parse};
use super::query::{Asked, limit};
use crate::server::acting::Acting;
use crate::server::body::Sent;
use crate::server::problem::unreadable;
use crate::wire;

pub(super) async fn list_suppressions(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let after = query.get("cursor").map(|text| {
        serde_json::from_str(text).map_err(|_| unreadable("`cursor` is none of this list; begin without one"))
    });
    let filter = SuppressionFilter {
        app: query.get("app").cloned(),
        recipient: query.get("recipient").cloned(),
        after: after.transpose()?,
        limit: limit(&query)?,
    };
    let (rows, next) = engine.reader().suppressions(&filter, engine.now()).await.map_err(Refusal::from)?;
    let next = next.map(|next| serde_json::to_string(&next).expect("two texts are JSON"));
    Ok(json(StatusCode::OK, &wire::Page { items: rows.into_iter().map(shown).collect(), next }))
}

pub(super) async fn add_suppression(
    Shared(engine): Shared<EngineHandle>,
    acting: Acting,
    Sent(body): Sent,
) -> Answer<Response> {
    let request: wire::SuppressionRequest = parse(&body)?;
    let new = NewSuppression { app: request.app, recipient: request.recipient, expires_at: request.expires_at };
    let done = engine.suppress(new, &acting.by(request.reason)?).await?;
    let reply = wire::SuppressionReply { suppression: shown(done.row), cancelled: done.cancelled };
    Ok(json(StatusCode::OK, &reply))
}

pub(super) async fn remove_suppression(
    Shared(engine): Shared<EngineHandle>,
    acting: Acting,
    Query(query): Asked,
) -> Answer<Response> {
    let named = |name: &str| query.get(name).ok_or_else(|| unreadable(format!("`{name}` is missing: say whom")));
    let by = acting.by(query.get("why").cloned())?;
    let row = engine.unsuppress(named("app")?, named("recipient")?, &by).await?;
    Ok(json(StatusCode::OK, &shown(row)))
}

fn shown(row: SuppressionRow) -> wire::Suppression {
    wire::Suppression {
        app: row.app,
        recipient: row.recipient,
        reason: row.reason,
        who: row.who,
        created_at: row.created_at.to_rfc3339(),
        expires_at: row.expires_at.map(tidings_model::Timestamp::to_rfc3339),
    }
}
