//! What goes back to the caller: a decision turned into bytes, and spoiled on the way where a fault says so.

use std::sync::OnceLock;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::Serialize;

use crate::codes::Refusal;
use crate::faults::FaultKind;
use crate::limits::HUGE_BODY_BYTES;
use crate::options::ContentType;
use crate::token::Issued;

/// What was decided.
#[derive(Debug)]
pub(crate) enum Reply {
    Token(Issued),
    Accepted { msgid: Option<i64> },
    Refused { refusal: Refusal, rid: String },
}

impl Reply {
    pub(crate) fn errcode(&self) -> i64 {
        match self {
            Self::Token(_) | Self::Accepted { .. } => 0,
            Self::Refused { refusal, .. } => refusal.errcode,
        }
    }
}

/// Marks a response that must not be sent: the server closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut;

/// The response for a decision under a fault. `reply` is absent only where the fault let nothing be decided.
pub(crate) fn render(reply: Option<&Reply>, fault: Option<&FaultKind>, content_type: ContentType) -> Response<Body> {
    match fault {
        Some(FaultKind::ResetBeforeCommit | FaultKind::DropReply | FaultKind::Refuse) => cut(),
        Some(FaultKind::Status { status, body, .. }) => {
            let mut response = plain(body.clone());
            *response.status_mut() = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response
        }
        Some(FaultKind::Garbage { .. }) => plain(GARBAGE),
        Some(FaultKind::Huge { commit }) => {
            json(huge(reply.filter(|_| *commit).map_or(-1, Reply::errcode)), content_type)
        }
        Some(FaultKind::ControlCharacters) => {
            json(reply.map(|reply| with_control_characters(&text(reply))).unwrap_or_default(), content_type)
        }
        None | Some(FaultKind::Latency { .. } | FaultKind::Errcode { .. }) => {
            json(reply.map(text).unwrap_or_default(), content_type)
        }
    }
}

/// A response the server does not send but closes the connection for.
pub(crate) fn cut() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Cut);
    response
}

/// The JSON text of a reply. Token success carries no errcode (`wechat.md §0`).
fn text(reply: &Reply) -> String {
    #[derive(Serialize)]
    struct TokenText<'a> {
        access_token: &'a str,
        expires_in: i64,
    }
    #[derive(Serialize)]
    struct StatusText<'a> {
        errcode: i64,
        errmsg: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        msgid: Option<i64>,
    }
    let written = match reply {
        Reply::Token(issued) => serde_json::to_string(&TokenText {
            access_token: &issued.access_token,
            expires_in: issued.expires_in_seconds,
        }),
        Reply::Accepted { msgid } => serde_json::to_string(&StatusText { errcode: 0, errmsg: "ok", msgid: *msgid }),
        // wechat.md §0: an errmsg ends in a per-call id.
        Reply::Refused { refusal, rid } => serde_json::to_string(&StatusText {
            errcode: refusal.errcode,
            errmsg: &format!("{} rid: {rid}", refusal.errmsg),
            msgid: None,
        }),
    };
    written.expect("a struct of numbers and strings is always JSON")
}

fn json(body: impl Into<Body>, content_type: ContentType) -> Response<Body> {
    with_type(
        body,
        match content_type {
            ContentType::Json => "application/json; encoding=utf-8",
            ContentType::Text => "text/plain",
        },
    )
}

fn plain(body: impl Into<Body>) -> Response<Body> {
    with_type(body, "text/plain")
}

fn with_type(body: impl Into<Body>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const GARBAGE: &str = "<html><body><center><h1>nginx</h1></center></body>";

/// Raw control bytes inside the first string of the text, where strict parsers stop.
fn with_control_characters(text: &str) -> String {
    const RAW: &str = "\u{1}\u{b}\n\u{1f}";
    match text.split_once("\"errmsg\":\"") {
        Some((before, after)) => format!("{before}\"errmsg\":\"{RAW}{after}"),
        None => text.replacen('{', &format!("{{\"hint\":\"{RAW}\","), 1),
    }
}

/// Ten megabytes that say the truth: `errcode`, and an errmsg without end.
fn huge(errcode: i64) -> Bytes {
    static PADDING: OnceLock<String> = OnceLock::new();
    let padding = PADDING.get_or_init(|| "x".repeat(HUGE_BODY_BYTES));
    format!("{{\"errcode\":{errcode},\"errmsg\":\"{padding}\"}}").into()
}
