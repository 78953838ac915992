//! The record of changes.

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, Refusal};
use tidings_store::{AuditFilter, AuditRow};

use super::answer::{Answer, json};
use super::query::{Asked, cursor, limit, past};
use crate::wire;

pub(super) async fn list_audit(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let filter = AuditFilter {
        who: query.get("who").cloned(),
        act: query.get("act").cloned(),
        subject: query.get("subject").cloned(),
        since: past(&query, "since", engine.now())?,
        before: cursor(&query)?,
        limit: limit(&query)?,
    };
    let page = engine.reader().audit(&filter).await.map_err(Refusal::from)?;
    let items = page.rows.into_iter().map(change).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

pub(super) fn change(row: AuditRow) -> wire::AuditEntry {
    wire::AuditEntry {
        id: row.id.to_string(),
        at: row.at.to_rfc3339(),
        who: row.who,
        act: row.act,
        subject: row.subject,
        why: row.why,
        detail: row.detail,
        count: row.count,
    }
}
