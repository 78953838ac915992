//! Many messages in one request.

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use tidings_engine::EngineHandle;
use tidings_model::limits::BULK_ROWS_MAX;

use super::answer::{Answer, parse};
use crate::server::convert;
use crate::server::problem::{Refused, problem, unreadable};
use crate::wire;

/// NDJSON in, a line out for each line in; a bad line never stops the rest.
pub(super) async fn send_bulk(Shared(engine): Shared<EngineHandle>, body: Bytes) -> Answer<Response> {
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
