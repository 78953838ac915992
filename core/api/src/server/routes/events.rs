//! What happens, as server-sent events (the HTML standard, "Server-sent events").
//!
//! A stream holds its place in the engine's ring and nothing else. It is asked for more when its connection has room, so a
//! reader that does not read costs a few kilobytes, and is told what it missed when it reads again.

use std::convert::Infallible;
use std::ops::ControlFlow;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tidings_engine::EngineHandle;
use tidings_engine::events::{Begin, Content, EventFilter, EventReader, Gap};
use tidings_model::limits::EVENT_HEARTBEAT;
use tidings_model::time::Timestamp;
use tokio::time::timeout;

use super::answer::Answer;
use super::query::{Asked, flag};
use crate::server::problem::unreadable;
use crate::wire;

/// Bytes of events in one piece of a stream. A connection that is not read holds a handful of pieces at most.
const PIECE_BYTES: usize = 4 * 1024;

/// How long a client waits before it comes back, in milliseconds.
const COME_BACK_MS: u32 = 1000;

pub(super) async fn events(Shared(engine): Shared<EngineHandle>, query: Asked, headers: HeaderMap) -> Answer<Response> {
    let words = |name: &str| -> Vec<String> {
        let list = query.get(name).map(String::as_str).unwrap_or_default();
        list.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let (types, channels) = (words("types"), words("channel"));
    let filter = EventFilter::read(types.iter().map(String::as_str), channels).map_err(unreadable)?;
    let content = if flag(&query, "full")? { Content::Full } else { Content::Thin };
    let follow = !query.contains_key("follow") || flag(&query, "follow")?;
    let reader = engine.events(filter, begin(&headers, follow)?)?;
    let beginning = Some(format!("retry: {COME_BACK_MS}\nid: {}\n\n", reader.place()));
    let stream = Stream { reader, content, follow, beginning };
    let pieces = unfold(stream, async |mut stream| {
        let piece = stream.piece().await?;
        Some((Ok::<Bytes, Infallible>(piece.into()), stream))
    });
    // Proxies would otherwise gather events until a page of them is full.
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, [("x-accel-buffering", "no")], Body::from_stream(pieces)).into_response())
}

/// A client that comes back says what it was told last; another begins now, or with the oldest there is if it will not
/// wait for more.
fn begin(headers: &HeaderMap, follow: bool) -> Answer<Begin> {
    let Some(last) = headers.get("last-event-id") else {
        return Ok(if follow { Begin::Now } else { Begin::Oldest });
    };
    let place = last.to_str().ok().and_then(|text| text.parse().ok());
    place.map(Begin::Behind).ok_or_else(|| unreadable("`Last-Event-ID` is none of ours; leave it out to begin now"))
}

struct Stream {
    reader: EventReader,
    content: Content,
    /// Whether it waits for more when it has told what is there.
    follow: bool,
    beginning: Option<String>,
}

impl Stream {
    /// What goes out next; `None` at the end.
    async fn piece(&mut self) -> Option<String> {
        if let Some(beginning) = self.beginning.take() {
            return Some(beginning);
        }
        loop {
            if !self.follow && self.reader.is_done() {
                return None;
            }
            let mut piece = match timeout(EVENT_HEARTBEAT, self.reader.wait()).await {
                Ok(true) => String::new(),
                Ok(false) => return None,
                // It carries the place, so that a reader that wanted nothing of what happened comes back behind it.
                Err(_) => return Some(format!(":\nid: {}\n\n", self.reader.place())),
            };
            if let Some(gap) = self.reader.gap() {
                let data = serde_json::to_string(&told(gap)).expect("wire types are JSON");
                piece.push_str(&format!("event: gap\nid: {}\ndata: {data}\n\n", self.reader.place()));
            }
            let content = self.content;
            self.reader.read(|place, happened| {
                let (kind, data) = (happened.kind, happened.to_json(content));
                piece.push_str(&format!("event: {kind}\nid: {place}\ndata: {data}\n\n"));
                if piece.len() < PIECE_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }
}

fn told(gap: Gap) -> wire::Gap {
    wire::Gap {
        missed: gap.missed,
        since: gap.since.map(Timestamp::to_rfc3339),
        until: gap.until.map(Timestamp::to_rfc3339),
        reason: gap.reason.as_str().to_owned(),
    }
}
