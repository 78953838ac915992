//! The loop that accepts connections, and what it bears from them.
//!
//! It has so many places. A caller that comes when all are taken gets the place of whoever has waited longest without
//! asking anything: first of those who never asked, then of those who asked before. When all are being served it is
//! told 503 at once. So a flood of connections costs a bounded amount of memory, and who asks is answered. An address may
//! have a bound of its own, and is then its own neighbour.
//!
//! HTTP/1.1 alone: a call is small, connections are kept, and HTTP/2 would bring streams and tables to bound beside
//! connections.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tidings_engine::config::ApiLimits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::calls::Calls;
use super::connection::{Answered, Awaited, CoarseClock, Phase, Watch, Watched};
use super::tls::Tls;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a connection that are read ahead, or gathered before they are written.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Between two looks at the connections: a quarter of the shortest wait, within these.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(250);
/// How long calls that are under way at a stop may take.
const DRAIN: Duration = Duration::from_secs(1);
/// After an accept that failed: out of file descriptors, most likely, and the next would fail as fast.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Callers who are being told that there is no place; more are let go without a word.
const REFUSING_MAX: usize = 64;
/// How long that may take.
const REFUSE_WAIT: Duration = Duration::from_secs(1);

/// What a caller is told for whom there is no place.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 191\r\n\r\n\
    {\"type\":\"urn:tidings:problem:busy\",\"title\":\"not now\",\"status\":503,\"detail\":\"every connection that the engine \
    takes is being served (`[api.limits] connections`); come again\",\"retryable\":true}\n";

/// Where callers come from.
pub(super) enum Listener {
    Tcp(TcpListener, Option<Tls>),
    Socket(UnixListener),
}

/// What a caller is told whose address has as many connections as it may.
const NO_PLACE_OF_ITS_OWN: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 205\r\n\r\n\
    {\"type\":\"urn:tidings:problem:busy\",\"title\":\"not now\",\"status\":503,\"detail\":\"every connection that one address \
    may have is being served for yours (`[api.limits] per_address`); come again\",\"retryable\":true}\n";

/// Serves until it is told to stop, and then lets what is under way finish for a moment.
pub(super) async fn serve(listener: Listener, calls: Calls, limits: ApiLimits, mut stop: watch::Receiver<bool>) {
    let mut door = Door::new(calls, limits);
    let mut look = tokio::time::interval(look_every(&limits));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = door.tasks.join_next_with_id() => door.forget(ended),
            _ = look.tick(), if !door.inside.is_empty() => door.look(),
            accepted = accept(&listener) => match accepted {
                Ok(stream) => door.let_in(stream),
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    door.drain().await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could say "stop" is gone, which says the same.
    drop(stop.wait_for(|stop| *stop).await);
}

fn look_every(limits: &ApiLimits) -> Duration {
    let shortest = limits.head.min(limits.idle).min(limits.answer);
    (shortest / 4).clamp(LOOK_MIN, LOOK_MAX)
}

/// A connection, whatever it came over.
enum Stream {
    Tcp(tokio::net::TcpStream, Neighbourhood),
    Tls(tokio::net::TcpStream, TlsAcceptor, Neighbourhood),
    Socket(tokio::net::UnixStream),
}

impl Stream {
    fn neighbourhood(&self) -> Option<Neighbourhood> {
        match self {
            Stream::Tcp(_, from) | Stream::Tls(_, _, from) => Some(*from),
            Stream::Socket(_) => None,
        }
    }
}

/// Who counts as one caller: an IPv4 address, or the /64 of an IPv6 address, which is one customer's (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Neighbourhood(u64, bool);

impl Neighbourhood {
    fn of(address: IpAddr) -> Neighbourhood {
        match address.to_canonical() {
            IpAddr::V4(address) => Neighbourhood(u64::from(address.to_bits()), false),
            IpAddr::V6(address) => {
                Neighbourhood(u64::try_from(address.to_bits() >> 64).expect("64 bits are left"), true)
            }
        }
    }
}

async fn accept(listener: &Listener) -> io::Result<Stream> {
    match listener {
        Listener::Tcp(listener, tls) => {
            let (stream, from) = listener.accept().await?;
            let from = Neighbourhood::of(from.ip());
            // Answers are small and awaited: none is held back for the next. A socket that refuses is merely slower.
            stream.set_nodelay(true).unwrap_or_default();
            Ok(match tls {
                Some(tls) => Stream::Tls(stream, tls.acceptor(), from),
                None => Stream::Tcp(stream, from),
            })
        }
        Listener::Socket(listener) => Ok(Stream::Socket(listener.accept().await?.0)),
    }
}

/// Who is inside.
struct Door {
    calls: Calls,
    limits: ApiLimits,
    clock: CoarseClock,
    inside: HashMap<Id, Inside>,
    /// How many of those inside are of one address, while that is bounded.
    neighbours: HashMap<Neighbourhood, usize>,
    /// The connections, and those who are being refused.
    tasks: JoinSet<()>,
    is_full: bool,
}

struct Inside {
    watch: Arc<Watch>,
    task: AbortHandle,
    from: Option<Neighbourhood>,
}

impl Door {
    fn new(calls: Calls, limits: ApiLimits) -> Door {
        let (inside, neighbours, tasks) = (HashMap::new(), HashMap::new(), JoinSet::new());
        Door { calls, limits, clock: CoarseClock::start(), inside, neighbours, tasks, is_full: false }
    }

    fn let_in(&mut self, stream: Stream) {
        self.clock.look();
        let from = stream.neighbourhood().filter(|_| self.limits.per_address.is_some());
        if let (Some(from), Some(most)) = (from, self.limits.per_address)
            && self.neighbours.get(&from).is_some_and(|count| *count >= most)
            && !self.make_place_beside(Some(from))
        {
            self.refuse(stream, NO_PLACE_OF_ITS_OWN);
            return;
        }
        if self.inside.len() >= self.limits.connections && !self.make_place() {
            self.refuse(stream, NO_PLACE);
            return;
        }
        let watch = Arc::new(Watch::new(&self.clock));
        let (calls, limits, seen) = (self.calls.clone(), self.limits, Arc::clone(&watch));
        let task = match stream {
            Stream::Tcp(stream, _) => self.tasks.spawn(converse(stream, calls, limits, seen)),
            Stream::Tls(stream, acceptor, _) => self.tasks.spawn(async move {
                // It has the time of a head; a caller that speaks no TLS is its own affair.
                match acceptor.accept(stream).await {
                    Ok(stream) => converse(stream, calls, limits, seen).await,
                    Err(error) => tracing::debug!("a connection did not become TLS: {error}"),
                }
            }),
            Stream::Socket(stream) => self.tasks.spawn(converse(stream, calls, limits, seen)),
        };
        if let Some(from) = from {
            *self.neighbours.entry(from).or_default() += 1;
        }
        self.inside.insert(task.id(), Inside { watch, task, from });
    }

    /// Takes the place of the connection whose caller has waited longest to ask; false if all are being served.
    fn make_place(&mut self) -> bool {
        if !self.is_full {
            self.is_full = true;
            tracing::warn!(
                connections = self.limits.connections,
                "every place for a connection is taken; those that ask nothing are closed for those that come"
            );
        }
        self.make_place_beside(None)
    }

    /// The same among those of one address, or of all.
    fn make_place_beside(&mut self, from: Option<Neighbourhood>) -> bool {
        let beside = self.inside.iter().filter(|(_, inside)| from.is_none() || inside.from == from);
        let waiting = beside.filter_map(|(id, inside)| match inside.watch.phase() {
            (Phase::Busy, _) => None,
            (_, since) => Some(((inside.watch.has_asked(), since, *id), *id)),
        });
        let Some((_, id)) = waiting.min_by_key(|(order, _)| *order) else { return false };
        self.close(id);
        true
    }

    fn close(&mut self, id: Id) {
        if let Some(inside) = self.leave(id) {
            inside.task.abort();
        }
    }

    fn leave(&mut self, id: Id) -> Option<Inside> {
        let inside = self.inside.remove(&id)?;
        forget_neighbour(&mut self.neighbours, &inside);
        Some(inside)
    }

    /// Tells a caller that there is no place, without waiting for it.
    fn refuse(&mut self, stream: Stream, why: &'static [u8]) {
        if self.tasks.len() >= self.limits.connections + REFUSING_MAX {
            return;
        }
        match stream {
            // To say it in TLS would cost what there is no place for.
            Stream::Tls(..) => return,
            Stream::Tcp(stream, _) => self.tasks.spawn(tell_no_place(stream, why)),
            Stream::Socket(stream) => self.tasks.spawn(tell_no_place(stream, why)),
        };
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.leave(id);
        self.is_full &= self.inside.len() >= self.limits.connections / 2;
    }

    /// Closes the connections whose callers had their time.
    fn look(&mut self) {
        let now = self.clock.look();
        let (limits, neighbours) = (self.limits, &mut self.neighbours);
        self.inside.retain(|_, inside| {
            let is_over = inside.watch.is_over(now, &limits);
            if is_over {
                inside.task.abort();
                forget_neighbour(neighbours, inside);
            }
            !is_over
        });
    }

    /// Lets calls that are under way finish, and nobody else ask.
    async fn drain(mut self) {
        for inside in self.inside.values() {
            inside.watch.close_after_answer();
        }
        let drained = async {
            loop {
                self.inside.retain(|_, inside| {
                    let is_waiting = matches!(inside.watch.phase().0, Phase::New | Phase::Idle);
                    if is_waiting {
                        inside.task.abort();
                    }
                    !is_waiting
                });
                if self.inside.is_empty() {
                    return;
                }
                if let Ok(Some(ended)) = tokio::time::timeout(LOOK_MIN, self.tasks.join_next_with_id()).await {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    self.inside.remove(&id);
                }
            }
        };
        // What is left is closed when the set is dropped.
        drop(tokio::time::timeout(DRAIN, drained).await);
    }
}

/// Answers what is asked on one connection, until it ends.
async fn converse<S>(stream: S, calls: Calls, limits: ApiLimits, watch: Arc<Watch>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&watch)));
    let service = service_fn(move |request: Request<Incoming>| {
        watch.asked();
        let request = request.map(|body| Awaited::body(body, &watch, &limits));
        let (answer, watch) = (calls.clone().answer(request), Arc::clone(&watch));
        async move {
            let mut response = answer.await;
            if watch.is_last() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Answered { body, watch }))
        }
    });
    let connection = http1::Builder::new()
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .header_read_timeout(None)
        .serve_connection(stream, service);
    if let Err(error) = connection.await {
        // The caller's affair: it went away, or spoke no HTTP.
        tracing::trace!("a connection ended: {error}");
    }
}

fn forget_neighbour(neighbours: &mut HashMap<Neighbourhood, usize>, inside: &Inside) {
    if let Some(from) = inside.from
        && let Some(count) = neighbours.get_mut(&from)
    {
        *count -= 1;
        if *count == 0 {
            neighbours.remove(&from);
        }
    }
}

async fn tell_no_place<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, why: &'static [u8]) {
    let tell = async {
        stream.write_all(why).await?;
        stream.shutdown().await?;
        // What was asked is read, or the answer may be lost with it.
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    drop(tokio::time::timeout(REFUSE_WAIT, tell).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_without_a_place_is_as_long_as_it_says() {
        for text in [NO_PLACE, NO_PLACE_OF_ITS_OWN] {
            let text = std::str::from_utf8(text).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{} bytes", body.len());
            let problem: crate::wire::Problem = serde_json::from_str(body).unwrap();
            assert_eq!((problem.status, problem.code()), (503, "busy"));
        }
    }

    #[test]
    fn an_address_is_a_neighbourhood_of_its_own_and_of_ipv6_its_64() {
        let of = |text: &str| Neighbourhood::of(text.parse().unwrap());
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        for (one, other) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8:0:1::1"), ("0.0.0.0", "::")] {
            assert_ne!(of(one), of(other), "{one}, {other}");
        }
    }
}
