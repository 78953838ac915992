//! What stands behind the question mark. Which parameters a path reads, its line in the table says.

use std::collections::HashMap;

use axum::extract::Query;
use tidings_model::Timestamp;
use tidings_model::limits::PAGE_ROWS_MAX;

use super::answer::Answer;
use crate::server::problem::unreadable;

/// The parameters by name.
pub(super) type Asked = Query<HashMap<String, String>>;

/// Rows of a list when the caller does not say.
const PAGE_ROWS_DEFAULT: u32 = 50;

pub(super) fn flag(query: &HashMap<String, String>, name: &str) -> Answer<bool> {
    match query.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err(unreadable(format!("`{name}` is `{}`; expected true or false", other.escape_debug()))),
    }
}

pub(super) fn limit(query: &HashMap<String, String>) -> Answer<u32> {
    let Some(text) = query.get("limit") else { return Ok(PAGE_ROWS_DEFAULT) };
    match text.parse::<u32>() {
        Ok(limit) if (1..=PAGE_ROWS_MAX).contains(&limit) => Ok(limit),
        _ => Err(unreadable(format!("`limit` must be 1 to {PAGE_ROWS_MAX}"))),
    }
}

/// An instant of the past: RFC 3339, or how long ago, as in `2h`.
pub(super) fn past(query: &HashMap<String, String>, name: &str, now: Timestamp) -> Answer<Option<Timestamp>> {
    let Some(text) = query.get(name) else { return Ok(None) };
    Ok(Some(tidings_engine::config::past(name, text, now)?))
}

pub(super) fn cursor(query: &HashMap<String, String>) -> Answer<Option<i64>> {
    let Some(text) = query.get("cursor") else { return Ok(None) };
    text.parse::<i64>().map(Some).map_err(|_| unreadable("`cursor` is none of this list; begin without one"))
}
