//! Pushes on their way: at most so many at once, each tried as WeChat tries it, and what was answered.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::callback::{Callback, PushEvent, PushFormat};
use crate::limits::{PUSH_TRIES, PUSH_WAIT_MS, PUSHES_AT_ONCE_MAX, PUSHES_KEPT_MAX, PUSHES_WAITING_MAX};

/// A push and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// What was pushed.
    pub event: PushEvent,
    /// The status of the last answer; 0 where there was none in time.
    pub status: u16,
    /// The beginning of its body.
    pub answer: String,
    /// How often it was tried.
    pub tries: u32,
}

/// A push, written and signed.
#[derive(Debug)]
struct Job {
    event: PushEvent,
    /// `host:port`
    address: String,
    /// The whole request.
    request: Vec<u8>,
}

/// Where pushes are handed over, and what came of them.
#[derive(Debug)]
pub(crate) struct Pushes {
    callback: Mutex<Option<Arc<Callback>>>,
    jobs: mpsc::Sender<Job>,
    pushed: Mutex<VecDeque<Pushed>>,
}

/// The other end, for [`run`].
#[derive(Debug)]
pub(crate) struct Jobs(mpsc::Receiver<Job>);

impl Pushes {
    pub(crate) fn new(callback: Option<Callback>) -> (Pushes, Jobs) {
        let (jobs, receiver) = mpsc::channel(PUSHES_WAITING_MAX);
        let callback = Mutex::new(callback.map(Arc::new));
        (Pushes { callback, jobs, pushed: Mutex::default() }, Jobs(receiver))
    }

    pub(crate) fn set_callback(&self, callback: Option<Callback>) {
        *lock(&self.callback) = callback.map(Arc::new);
    }

    /// Whether anybody wants to be told.
    pub(crate) fn callback(&self) -> Option<Arc<Callback>> {
        lock(&self.callback).clone()
    }

    /// Signs an event and hands it over. What there is no room for is lost, as it is at WeChat's.
    pub(crate) fn push(&self, event: PushEvent, appid: &str, now_ms: i64, random: [u64; 3]) {
        let Some(callback) = self.callback() else { return };
        let (method, query, body) = callback.wire(&event, appid, now_ms, random);
        let rest = callback.url.trim_start_matches("http://");
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let kind = match callback.format {
            PushFormat::Xml => "text/xml",
            PushFormat::Json => "application/json",
        };
        let request = format!(
            "{method} {path}?{query} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        for _ in 0..callback.copies {
            let request = request.clone().into_bytes();
            drop(self.jobs.try_send(Job { event: event.clone(), address: address.clone(), request }));
        }
    }

    /// The last pushes that ended, oldest first.
    pub(crate) fn pushed(&self) -> Vec<Pushed> {
        lock(&self.pushed).iter().cloned().collect()
    }

    fn keep(&self, pushed: Pushed) {
        let mut kept = lock(&self.pushed);
        if kept.len() == PUSHES_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(pushed);
    }
}

/// Pushes what is handed over, until the sandbox stops.
pub(crate) async fn run(pushes: Arc<Pushes>, mut jobs: Jobs, mut stopped: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(PUSHES_AT_ONCE_MAX));
    loop {
        let job = tokio::select! {
            _ = stopped.changed() => return,
            job = jobs.0.recv() => job,
        };
        let (Some(job), Ok(place)) = (job, Arc::clone(&places).acquire_owned().await) else { return };
        let pushes = Arc::clone(&pushes);
        // It ends by itself: its tries are counted and each has a deadline.
        drop(tokio::spawn(async move {
            pushes.keep(deliver(job).await);
            drop(place);
        }));
    }
}

/// `wechat.md §5`: whoever does not answer within five seconds is pushed to again, three times in all. Whether an error is
/// as good as silence is not said; here it is.
async fn deliver(Job { event, address, request }: Job) -> Pushed {
    let mut pushed = Pushed { event, status: 0, answer: String::new(), tries: 0 };
    while pushed.tries < PUSH_TRIES {
        pushed.tries += 1;
        let exchange = tokio::time::timeout(Duration::from_millis(PUSH_WAIT_MS), exchange(&address, &request)).await;
        (pushed.status, pushed.answer) = match exchange {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => (0, error.to_string()),
            Err(_) => (0, "no answer in time".to_owned()),
        };
        if pushed.status != 0 && pushed.status < 500 {
            break;
        }
    }
    pushed
}

/// One request and its answer: the status and the beginning of the body.
async fn exchange(address: &str, request: &[u8]) -> io::Result<(u16, String)> {
    const ANSWER_BYTES_MAX: u64 = 16 * 1024;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"))?;
    Ok((status, body.to_owned()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is whole between any two lines.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
