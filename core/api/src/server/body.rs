//! Bodies of requests: read as a whole into a bounded memory, or line by line.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use hyper::body::Frame;

use super::connection::Late;
use super::problem::{Refused, bodies_busy, body_late, too_large, unreadable};

/// So much of each body counts for nothing: the bound on connections bounds it, and small calls go on while large ones
/// are told to come again.
const FREE_BYTES: usize = 16 * 1024;

/// The memory that bodies have.
#[derive(Debug)]
pub(super) struct Memory {
    taken: AtomicUsize,
    bytes_max: usize,
}

/// A part of it, given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(super) fn of(bytes_max: usize) -> Arc<Memory> {
        Arc::new(Memory { taken: AtomicUsize::new(0), bytes_max })
    }
}

impl Held {
    fn nothing(memory: &Arc<Memory>) -> Held {
        Held { memory: Arc::clone(memory), bytes: 0 }
    }

    /// Holds what a body of so many bytes needs; false if there is no room.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.bytes);
        let before = self.memory.taken.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        more == 0 || before + more <= self.memory.bytes_max
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The whole body of a request, as it was read before its handler runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(pub(super) Bytes);

impl<S: Sync> FromRequestParts<S> for Sent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Sent, Infallible> {
        Ok(parts.extensions.remove().unwrap_or_default())
    }
}

/// What stands in a request's body when [`Sent`] has it. A handler that asks for the body itself is not told of an empty
/// one, but that nothing can be read.
#[derive(Debug)]
struct Taken;

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Err("the body was read before its handler, which has it as `Sent`".into())))
    }
}

/// Reads a request's body to its end, and hands it to the handler as [`Sent`].
pub(super) async fn take(request: &mut Request, bytes_max: usize, memory: &Arc<Memory>) -> Result<Held, Refused> {
    let body = std::mem::replace(request.body_mut(), Body::new(Taken));
    let (bytes, held) = whole(body, bytes_max, memory).await?;
    request.extensions_mut().insert(Sent(bytes));
    Ok(held)
}

/// Reads a body to its end. What is held is given back when the call is over.
async fn whole(mut body: Body, bytes_max: usize, memory: &Arc<Memory>) -> Result<(Bytes, Held), Refused> {
    let mut held = Held::nothing(memory);
    let declared = body.size_hint().lower();
    if declared > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    // Most bodies come in one piece, which is not copied.
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(data) = frame(&mut body).await {
        let data = data?;
        let so_far = first.len() + all.len() + data.len();
        if so_far > bytes_max {
            return Err(too_large(bytes_max));
        }
        if !held.grow_to(so_far) {
            return Err(bodies_busy());
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
            first = Bytes::new();
        }
        all.extend_from_slice(&data);
    }
    Ok((if all.is_empty() { first } else { all.into() }, held))
}

/// Why a body did not come to its end.
fn broken(error: &axum::Error) -> Refused {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Late>() {
            return body_late();
        }
        cause = error.source();
    }
    unreadable("the body broke off, or is not framed as HTTP has it")
}

/// A line of a body, with its number from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) number: u64,
    /// Its bytes without the line feed, or why there are none.
    pub(super) bytes: Result<Bytes, Refused>,
}

/// A body that is read line by line while it comes. Empty lines are counted and passed over.
pub(super) struct Lines {
    body: Body,
    cutter: Cutter,
    ended: bool,
}

impl Lines {
    pub(super) fn of(body: Body, line_bytes_max: usize) -> Lines {
        Lines { body, cutter: Cutter::new(line_bytes_max), ended: false }
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.ended
    }

    /// Waits for one more piece of the body, and adds the lines that it ended: none, perhaps. A body that breaks off
    /// says so in its last line. Nothing is lost if the wait is given up.
    pub(super) async fn more(&mut self, lines: &mut Vec<Line>) {
        match frame(&mut self.body).await {
            Some(Ok(piece)) => self.cutter.cut(&piece, lines),
            Some(Err(problem)) => {
                self.ended = true;
                self.cutter.broke_off(problem, lines);
            }
            None => {
                self.ended = true;
                self.cutter.end(lines);
            }
        }
    }
}

/// The next piece of a body.
async fn frame(body: &mut Body) -> Option<Result<Bytes, Refused>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    // Trailers are none of our business.
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|error| broken(&error)))
}

/// Cuts pieces into lines, wherever the pieces end.
struct Cutter {
    /// What came of the line under way.
    rest: Vec<u8>,
    line_bytes_max: usize,
    /// The line under way is too long: it is read on, and not kept.
    is_too_long: bool,
    number: u64,
}

impl Cutter {
    fn new(line_bytes_max: usize) -> Cutter {
        Cutter { rest: Vec::new(), line_bytes_max, is_too_long: false, number: 0 }
    }

    fn cut(&mut self, piece: &[u8], lines: &mut Vec<Line>) {
        let mut piece = piece;
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.keep(&piece[..end]);
            self.finish(lines);
            piece = &piece[end + 1..];
        }
        self.keep(piece);
    }

    /// A last line needs no line feed.
    fn end(&mut self, lines: &mut Vec<Line>) {
        if !self.rest.is_empty() || self.is_too_long {
            self.finish(lines);
        }
    }

    /// What came of the line under way is no line.
    fn broke_off(&mut self, problem: Refused, lines: &mut Vec<Line>) {
        self.rest.clear();
        lines.push(Line { number: self.number + 1, bytes: Err(problem) });
    }

    fn keep(&mut self, part: &[u8]) {
        if self.is_too_long || self.rest.len() + part.len() > self.line_bytes_max {
            (self.is_too_long, self.rest) = (true, Vec::new());
        } else {
            self.rest.extend_from_slice(part);
        }
    }

    fn finish(&mut self, lines: &mut Vec<Line>) {
        self.number += 1;
        if std::mem::take(&mut self.is_too_long) {
            lines.push(Line { number: self.number, bytes: Err(too_large(self.line_bytes_max)) });
        } else if !self.rest.trim_ascii().is_empty() {
            lines.push(Line { number: self.number, bytes: Ok(Bytes::copy_from_slice(&self.rest)) });
        }
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_wherever_the_pieces_end() {
        let text = b"one\n\n  \r\nmuch too long\nfive\r\n6";
        let cut = |pieces: &[&[u8]]| {
            let (mut cutter, mut lines) = (Cutter::new(8), Vec::new());
            pieces.iter().for_each(|piece| cutter.cut(piece, &mut lines));
            cutter.end(&mut lines);
            lines
        };
        let whole = cut(&[text]);
        let told: Vec<(u64, Option<&[u8]>)> =
            whole.iter().map(|line| (line.number, line.bytes.as_deref().ok())).collect();
        assert_eq!(told, [(1, Some(&b"one"[..])), (4, None), (5, Some(b"five\r")), (6, Some(b"6"))]);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                assert_eq!(cut(&[&text[..first], &text[first..second], &text[second..]]), whole, "{first}, {second}");
            }
        }
    }

    #[test]
    fn a_body_that_breaks_off_loses_the_line_under_way_and_says_so() {
        let (mut cutter, mut lines) = (Cutter::new(8), Vec::new());
        cutter.cut(b"one\ntw", &mut lines);
        cutter.broke_off(body_late(), &mut lines);
        cutter.end(&mut lines);
        let told: Vec<(u64, bool)> = lines.iter().map(|line| (line.number, line.bytes.is_ok())).collect();
        assert_eq!(told, [(1, true), (2, false)]);
    }

    #[test]
    fn small_bodies_take_no_memory_from_large_ones_and_all_is_given_back() {
        let memory = Memory::of(100);
        let mut large = Held::nothing(&memory);
        assert!(large.grow_to(FREE_BYTES + 100));
        let mut another = Held::nothing(&memory);
        assert!(another.grow_to(FREE_BYTES) && !another.grow_to(FREE_BYTES + 1));
        drop(large);
        drop(another);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }
}
