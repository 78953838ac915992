//! Credentials: what is in the ledger, and what callers post into it.

use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tidings_engine::{Class, EngineHandle, Refusal};
use tidings_model::limits::BULK_ROWS_MAX;
use tidings_store::{CredentialFilter, CredentialIntake};

use super::answer::{Answer, json};
use super::query::{Asked, cursor, flag, limit};
use crate::server::body::Sent;
use crate::server::problem::{Refused, unreadable};
use crate::server::{convert, intake};
use crate::wire;

pub(super) async fn list_credentials(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let usable = flag(&query, "usable")?;
    let filter = CredentialFilter {
        source: query.get("source").cloned(),
        recipient: query.get("recipient").cloned(),
        usable,
        before: cursor(&query)?,
        limit: limit(&query)?,
    };
    let page = engine.reader().credentials(&filter).await.map_err(Refusal::from)?;
    let items = page.rows.into_iter().map(convert::credential).collect();
    Ok(json(StatusCode::OK, &wire::Page { items, next: page.next.map(|next| next.to_string()) }))
}

/// As a mini-program sends it, a form post; or JSON, one object or an array of them.
pub(super) async fn add_credentials(
    Shared(engine): Shared<EngineHandle>,
    Path(source): Path<String>,
    Query(query): Asked,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer<Response> {
    let form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
        // A client that names no type calls everything a form, and no form begins as JSON does.
        && !matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    let intakes = if form { vec![intake::form(&body)?] } else { intake::json(&body)? };
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
        return Err(refused_for(&items.into_iter().next().and_then(|item| item.refused).unwrap_or_default()));
    }
    Ok(json(status, &wire::CredentialsReply { accepted, refused, items }))
}

/// One credential was not taken.
pub(super) fn refused_for(reason: &str) -> Refused {
    let detail = format!("the credential was refused: {reason}");
    Refusal { code: "credential-refused", class: Class::Invalid, detail }.into()
}
