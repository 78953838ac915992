//! One connection as the loop that accepted it sees it: what its caller owes us, and since when.
//!
//! There is no timer for each call: a call notes in two atomics what it waits for, and the loop looks at all of them a
//! few times a second. Only a body that does not come at once has a timer of its own, because a late one is answered.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tidings_engine::config::ApiLimits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has to come, or go, within the waits of [`ApiLimits`]: less is no progress.
const PROGRESS_BYTES: usize = 16 * 1024;
/// How long we read on, and how much, after an answer to a request whose body we did not want: a connection that is
/// closed with bytes unread is reset, and the answer may be lost with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// The time of one loop, in milliseconds since it began, as of its last look.
#[derive(Debug, Clone)]
pub(super) struct CoarseClock {
    began: Instant,
    now: Arc<AtomicU64>,
}

impl CoarseClock {
    pub(super) fn start() -> CoarseClock {
        // From 1: a zero says "not".
        CoarseClock { began: Instant::now(), now: Arc::new(AtomicU64::new(1)) }
    }

    pub(super) fn look(&self) -> u64 {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX / 16) + 1;
        self.now.store(now, Ordering::Relaxed);
        now
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the first byte of its first request.
    New = 0,
    /// For the rest of a request's head.
    Head = 1,
    /// For the next request; at least one was answered.
    Idle = 2,
    /// For us.
    Busy = 3,
    /// For its caller to stop sending.
    Closing = 4,
}

impl Phase {
    const ALL: [Phase; 5] = [Phase::New, Phase::Head, Phase::Idle, Phase::Busy, Phase::Closing];
}

/// What is known of one connection, shared by its task and the loop.
#[derive(Debug)]
pub(super) struct Watch {
    clock: CoarseClock,
    /// The phase in the lowest three bits, and since when.
    phase: AtomicU64,
    /// Since when the caller takes nothing of what we write; zero if it does.
    stuck: AtomicU64,
    /// A body was not read to its end.
    unread: AtomicBool,
    /// The answer that is under way is the last.
    last: AtomicBool,
    /// A whole head came: the caller speaks HTTP.
    asked: AtomicBool,
}

impl Watch {
    pub(super) fn new(clock: &CoarseClock) -> Watch {
        let watch = Watch {
            clock: clock.clone(),
            phase: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            last: AtomicBool::new(false),
            asked: AtomicBool::new(false),
        };
        watch.turn(Phase::New);
        watch
    }

    pub(super) fn turn(&self, phase: Phase) {
        self.phase.store(self.clock.now() << 3 | phase as u64, Ordering::Relaxed);
    }

    /// A request came, and is for us to answer.
    pub(super) fn asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.turn(Phase::Busy);
    }

    pub(super) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The phase, and since when.
    pub(super) fn phase(&self) -> (Phase, u64) {
        let both = self.phase.load(Ordering::Relaxed);
        let place = usize::try_from(both & 7).expect("three bits");
        (Phase::ALL[place], both >> 3)
    }

    /// Says that no further call is taken on this connection.
    pub(super) fn close_after_answer(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Whether the caller had its time.
    pub(super) fn is_over(&self, now: u64, limits: &ApiLimits) -> bool {
        let past = |since: u64, wait: Duration| u128::from(now.saturating_sub(since)) >= wait.as_millis();
        let stuck = self.stuck.load(Ordering::Relaxed);
        if stuck != 0 && past(stuck, limits.answer) {
            return true;
        }
        match self.phase() {
            (Phase::New | Phase::Head, since) => past(since, limits.head),
            (Phase::Idle, since) => past(since, limits.idle),
            (Phase::Closing, since) => past(since, LINGER),
            (Phase::Busy, _) => false,
        }
    }
}

/// A stream that notes when its caller begins a request, and when it stops taking what we write.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
    /// Bytes that were taken since it is stuck.
    taken: usize,
    /// Bytes that were read after the end.
    lingered: usize,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Watched<S> {
        Watched { stream, watch, taken: 0, lingered: 0 }
    }

    fn wrote(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let stuck = &self.watch.stuck;
        match &result {
            Poll::Pending if stuck.load(Ordering::Relaxed) == 0 => {
                self.taken = 0;
                stuck.store(self.watch.clock.now(), Ordering::Relaxed);
            }
            Poll::Ready(Ok(taken)) => {
                self.taken += taken;
                // Less is not enough: a caller that takes a byte at a time would keep us for ever.
                if self.taken >= PROGRESS_BYTES {
                    self.taken = 0;
                    stuck.store(0, Ordering::Relaxed);
                }
            }
            _ => {}
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() && buffer.filled().len() > before && matches!(self.watch.phase().0, Phase::New | Phase::Idle)
        {
            match self.watch.phase() {
                // The first head has its time from the connection's begin.
                (Phase::New, since) => self.watch.phase.store(since << 3 | Phase::Head as u64, Ordering::Relaxed),
                _ => self.watch.turn(Phase::Head),
            }
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called once everything is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready() {
            self.watch.stuck.store(0, Ordering::Relaxed);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.phase().0 != Phase::Closing {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.watch.unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            this.watch.turn(Phase::Closing);
        }
        let mut bytes = [0; 8 * 1024];
        while this.lingered < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => this.lingered += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The body of a request, which has to come.
#[derive(Debug)]
pub(super) struct Awaited {
    body: Incoming,
    watch: Arc<Watch>,
    wait: Duration,
    /// What is left of the wait; the time that we do not ask for more does not count.
    left: Duration,
    /// Bytes since the wait began.
    came: usize,
    ended: bool,
    /// Since when nothing has come, and when that is over.
    pending: Option<(Instant, Pin<Box<tokio::time::Sleep>>)>,
}

/// A body that did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub(super) struct Late;

impl Awaited {
    /// The body of a request, as a handler takes it.
    pub(super) fn body(body: Incoming, watch: &Arc<Watch>, limits: &ApiLimits) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        let (wait, watch) = (limits.body, Arc::clone(watch));
        Body::new(Awaited { body, watch, wait, left: wait, came: 0, ended: false, pending: None })
    }
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let left = this.left;
            let (_, sleep) = this.pending.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
            ready!(sleep.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Box::new(Late))));
        };
        if let Some((since, _)) = this.pending.take() {
            this.left = this.left.saturating_sub(since.elapsed());
        }
        if let Some(Ok(frame)) = &frame {
            this.came += frame.data_ref().map_or(0, Bytes::len);
            if this.came >= PROGRESS_BYTES {
                (this.came, this.left) = (0, this.wait);
            }
        }
        this.ended |= frame.is_none();
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.watch.unread.store(true, Ordering::Relaxed);
        }
    }
}

/// The body of an answer: when it is gone, the connection waits for its caller again.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) body: Body,
    pub(super) watch: Arc<Watch>,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.watch.turn(Phase::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(watch: &Watch, phase: Phase, now: u64) {
        watch.phase.store(now << 3 | phase as u64, Ordering::Relaxed);
    }

    #[test]
    fn each_phase_has_its_own_wait_and_work_of_ours_has_none() {
        let limits = ApiLimits::default();
        let watch = Watch::new(&CoarseClock::start());
        for (phase, wait) in [
            (Phase::New, limits.head),
            (Phase::Head, limits.head),
            (Phase::Idle, limits.idle),
            (Phase::Closing, LINGER),
        ] {
            at(&watch, phase, 7);
            let end = 7 + u64::try_from(wait.as_millis()).unwrap();
            assert!(!watch.is_over(end - 1, &limits) && watch.is_over(end, &limits), "{phase:?}");
        }
        at(&watch, Phase::Busy, 7);
        assert!(!watch.is_over(1 << 40, &limits));
        watch.stuck.store(7, Ordering::Relaxed);
        let end = 7 + u64::try_from(limits.answer.as_millis()).unwrap();
        assert!(!watch.is_over(end - 1, &limits) && watch.is_over(end, &limits));
    }
}
