//! Many messages or credentials in one request: NDJSON in, a line out for each line in, while it comes.
//!
//! The body is cut into lines as it is read; lines are gathered to batches, and while one batch is written the next is
//! read. Nothing is read that could not be held: a caller that does not take its answers is not read on, and neither is
//! one that brings more than the store writes. So a million lines take the memory of a few thousand.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Frame;
use serde::Serialize;
use tidings_engine::{EngineHandle, trace};
use tidings_model::limits::{BULK_ROWS_MAX, IDEMPOTENCY_KEY_BYTES_MAX};
use tidings_store::CredentialIntake;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::{AbortHandle, JoinHandle};

use super::answer::{Answer, parse};
use super::credentials::refused_for;
use super::endpoint::NDJSON;
use super::query::{Asked, flag};
use crate::server::body::{Line, Lines};
use crate::server::problem::{Refused, bulk_busy, key_invalid, problem};
use crate::server::{convert, idempotency, intake};
use crate::wire;

/// Bytes of one line: a message's data in its widest spelling fits.
const LINE_BYTES_MAX: usize = 512 * 1024;
/// Bytes of the lines that go to the writer together, about: a line more than that at most.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Batches that are being written while the next is read.
const UNDER_WAY_MAX: usize = 2;
/// Requests of this kind at once: with the bounds above, what they hold together.
const CALLS_MAX: usize = 16;
/// Digits of a line's number, and the sign before them, in a key.
const NUMBER_BYTES_MAX: usize = 21;

static PLACES: Semaphore = Semaphore::const_new(CALLS_MAX);

fn place() -> Answer<SemaphorePermit<'static>> {
    PLACES.try_acquire().map_err(|_| bulk_busy(CALLS_MAX))
}

/// Messages; a line without a key of its own gets that of the header, with its number.
pub(super) async fn send_bulk(
    Shared(engine): Shared<EngineHandle>,
    Query(query): Asked,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let dry_run = flag(&query, "dry_run")?;
    let key: Option<Arc<str>> = idempotency::key(&headers)?.map(Into::into);
    if key.as_ref().is_some_and(|key| key.len() + NUMBER_BYTES_MAX > IDEMPOTENCY_KEY_BYTES_MAX) {
        let max = IDEMPOTENCY_KEY_BYTES_MAX - NUMBER_BYTES_MAX;
        return Err(key_invalid(format!("the key of a bulk gets the numbers of its lines: it takes 1 to {max} bytes")));
    }
    let named = trace::current();
    let send = move |lines| trace::carried(named, send_lines(engine.clone(), dry_run, key.clone(), lines));
    Ok(stream(body, place()?, send))
}

async fn send_lines(engine: EngineHandle, dry_run: bool, key: Option<Arc<str>>, lines: Vec<Line>) -> String {
    let mut submissions = Vec::with_capacity(lines.len());
    let mut replies: Vec<wire::BulkLine> = Vec::with_capacity(lines.len());
    for Line { number, bytes } in lines {
        let problem = match bytes.and_then(|bytes| parse::<wire::SendRequest>(&bytes)) {
            Ok(mut request) => {
                if request.key.is_none() {
                    request.key = key.as_ref().map(|key| format!("{key}-{number}"));
                }
                submissions.push((replies.len(), convert::submission(request)));
                None
            }
            Err(Refused(problem)) => Some(problem),
        };
        replies.push(wire::BulkLine { line: number, accepted: None, problem });
    }
    let (places, submissions): (Vec<usize>, Vec<_>) = submissions.into_iter().unzip();
    let answers = if dry_run { engine.dry_run(submissions).await } else { engine.submit(submissions).await };
    for (place, answer) in places.into_iter().zip(answers) {
        match answer {
            Ok(submitted) => replies[place].accepted = Some(convert::submitted(submitted)),
            Err(refusal) => replies[place].problem = Some(problem(&refusal)),
        }
    }
    told(&replies)
}

/// Credentials of one source. One that was posted before is no problem: the same lines may come again.
pub(super) async fn add_credentials_bulk(
    Shared(engine): Shared<EngineHandle>,
    Path(source): Path<String>,
    Query(query): Asked,
    body: Body,
) -> Answer<Response> {
    let app = query.get("app").cloned();
    // A source that nobody takes is told once, not for each line.
    engine.add_credentials(&source, app.as_deref(), Vec::new()).await?;
    let of: Arc<(String, Option<String>)> = Arc::new((source, app));
    Ok(stream(body, place()?, move |lines| add_lines(engine.clone(), Arc::clone(&of), lines)))
}

async fn add_lines(engine: EngineHandle, of: Arc<(String, Option<String>)>, lines: Vec<Line>) -> String {
    let (mut places, mut intakes) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
    let mut replies: Vec<wire::CredentialLine> = Vec::with_capacity(lines.len());
    for Line { number, bytes } in lines {
        let problem = match bytes.and_then(|bytes| intake::object(&bytes)) {
            Ok(intake) => {
                places.push(replies.len());
                intakes.push(intake);
                None
            }
            Err(Refused(problem)) => Some(problem),
        };
        replies.push(wire::CredentialLine { line: number, problem, ..wire::CredentialLine::default() });
    }
    match engine.add_credentials(&of.0, of.1.as_deref(), intakes).await {
        Ok(answers) => {
            for (place, answer) in places.into_iter().zip(answers) {
                let reply = &mut replies[place];
                match answer {
                    Ok(CredentialIntake::New(id)) => reply.id = Some(id.to_string()),
                    Ok(CredentialIntake::Repeated) => reply.repeated = true,
                    Err(reason) => reply.problem = Some(refused_for(&reason).0),
                }
            }
        }
        Err(refusal) => places.into_iter().for_each(|place| replies[place].problem = Some(problem(&refusal))),
    }
    told(&replies)
}

/// Values as lines of JSON.
fn told(replies: &[impl Serialize]) -> String {
    let mut out = String::with_capacity(replies.len() * 64);
    for reply in replies {
        out.push_str(&serde_json::to_string(reply).expect("a reply is JSON"));
        out.push('\n');
    }
    out
}

/// Answers with what the work says of each batch of lines, in their order.
fn stream<W, F>(body: Body, place: SemaphorePermit<'static>, work: W) -> Response
where
    W: Fn(Vec<Line>) -> F + Send + 'static,
    F: Future<Output = String> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        let _place = place;
        carry(Lines::of(body, LINE_BYTES_MAX), work, sender).await;
    });
    let answers = Answers { receiver, task: task.abort_handle() };
    ([(header::CONTENT_TYPE, NDJSON)], Body::new(answers)).into_response()
}

/// Reads lines, has them worked on, and hands the answers over.
async fn carry<W, F>(mut input: Lines, work: W, answers: mpsc::Sender<Result<Bytes, Broken>>)
where
    W: Fn(Vec<Line>) -> F,
    F: Future<Output = String> + Send + 'static,
{
    let mut under_way: VecDeque<JoinHandle<String>> = VecDeque::new();
    let mut lines: Vec<Line> = Vec::new();
    loop {
        let is_full = lines.len() >= BULK_ROWS_MAX || bytes_of(&lines) >= BATCH_BYTES_MAX;
        let is_enough = is_full || input.is_over();
        // A caller that waits for the answer to its last line before it sends the next gets it.
        if !lines.is_empty() && (under_way.is_empty() || (is_enough && under_way.len() < UNDER_WAY_MAX)) {
            let rest = lines.split_off(lines.len().min(BULK_ROWS_MAX));
            under_way.push_back(tokio::spawn(work(std::mem::replace(&mut lines, rest))));
            continue;
        }
        if under_way.is_empty() && input.is_over() {
            return;
        }
        tokio::select! {
            done = first(&mut under_way), if !under_way.is_empty() => {
                under_way.pop_front();
                let answer = done.map(Bytes::from).map_err(|_| Broken);
                let is_broken = answer.is_err();
                // Who does not take the answer is not read on; who is gone is not either.
                if answers.send(answer).await.is_err() || is_broken {
                    return;
                }
            }
            () = input.more(&mut lines), if !input.is_over() && !is_full => {}
        }
    }
}

async fn first(under_way: &mut VecDeque<JoinHandle<String>>) -> Result<String, tokio::task::JoinError> {
    under_way.front_mut().expect("looked at before").await
}

fn bytes_of(lines: &[Line]) -> usize {
    lines.iter().filter_map(|line| line.bytes.as_ref().ok()).map(Bytes::len).sum()
}

/// A batch was lost to a panic: the answer is cut off, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
struct Broken;

/// The answers as a body. Who goes away has no more read of what it brought; what was read is worked on.
struct Answers {
    receiver: mpsc::Receiver<Result<Bytes, Broken>>,
    task: AbortHandle,
}

impl HttpBody for Answers {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.receiver.poll_recv(cx).map(|answer| answer.map(|answer| answer.map(Frame::data)))
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.task.abort();
    }
}
