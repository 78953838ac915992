//! Spans for a collector of OpenTelemetry: intake, attempt, token fetch. Nothing of it where config names no collector.
//!
//! The engine never waits for it: spans go into a bounded queue, a task sends them in batches, and what does not fit or is
//! not taken is dropped and counted.
//!
//! Written by hand over OTLP/HTTP in JSON, whose form is stable since OTLP 1.0: the crates of OpenTelemetry (three of them,
//! with protobuf or their own JSON below, and a runtime of spans beside the one we log by) are for programs that measure
//! themselves in a hundred places. Here are three.

mod otlp;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidings_model::Timestamp;
use tidings_model::trace::{SpanId, TraceId};
use tokio::sync::{mpsc, watch};

/// Spans that wait to be sent.
const QUEUE_MAX: usize = 4096;
/// Spans in one request.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stop waits for the last spans.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// One thing that was done, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: &'static str,
    pub(crate) kind: SpanKind,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    /// Names from config, ids and words; never a recipient.
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    /// Why it came to nothing, in a word.
    pub(crate) error: Option<&'static str>,
}

/// On which side of a call a span stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpanKind {
    Server,
    Client,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attribute {
    Text(String),
    Number(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Attribute {
        Attribute::Text(text.to_owned())
    }
}

/// Takes spans. Cheap to clone; does nothing where there is no collector.
#[derive(Debug, Clone, Default)]
pub(crate) struct Telemetry {
    way: Option<Way>,
}

#[derive(Debug, Clone)]
struct Way {
    spans: mpsc::Sender<Span>,
    counted: Arc<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    exported: AtomicU64,
    dropped: AtomicU64,
}

/// How many spans a collector took, and how many nobody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Taken by the collector.
    pub exported: u64,
    /// Dropped: there were too many, or the collector was not there.
    pub dropped: u64,
}

impl Telemetry {
    /// Takes a span, if there is a collector; it is not even made otherwise. Never waits.
    pub(crate) fn span(&self, make: impl FnOnce() -> Span) {
        if let Some(way) = &self.way
            && way.spans.try_send(make()).is_err()
        {
            way.counted.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there is a collector.
    pub(crate) fn is_on(&self) -> bool {
        self.way.is_some()
    }

    /// What became of spans; `None` where there is no collector.
    pub(crate) fn counted(&self) -> Option<Exported> {
        let counted = &self.way.as_ref()?.counted;
        let look = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some(Exported { exported: look(&counted.exported), dropped: look(&counted.dropped) })
    }
}

/// The task that sends them.
#[derive(Debug)]
pub(crate) struct Exporter {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Exporter {
    /// Sends to the collector at that address, as the store of that name.
    pub(crate) fn start(address: &str, instance: &str) -> Result<(Telemetry, Exporter), reqwest::Error> {
        let builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let client = builder.user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION"))).build()?;
        let (spans, receiver) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = watch::channel(false);
        let counted = Arc::<Counted>::default();
        let sending = Sending {
            client,
            address: address.to_owned(),
            instance: instance.to_owned(),
            receiver,
            counted: Arc::clone(&counted),
            is_away: false,
        };
        let task = tokio::spawn(sending.run(stopped));
        Ok((Telemetry { way: Some(Way { spans, counted }) }, Exporter { stop, task }))
    }

    /// Sends what is still there, if the collector takes it soon.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(LAST_WAIT, self.task).await.is_err() {
            tracing::debug!("the collector did not take the last spans in time");
        }
    }
}

struct Sending {
    client: reqwest::Client,
    address: String,
    instance: String,
    receiver: mpsc::Receiver<Span>,
    counted: Arc<Counted>,
    /// The last batch was not taken: said once, not for each.
    is_away: bool,
}

impl Sending {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let is_over = tokio::select! {
                count = self.receiver.recv_many(&mut batch, BATCH_MAX) => count == 0,
                // Whoever could say "stop" and is gone has said it.
                _ = stopped.wait_for(|stop| *stop) => true,
            };
            if is_over {
                self.receiver.close();
                while self.receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
                    self.send(&mut batch).await;
                }
                return;
            }
            // A moment for others to come along; a full batch does not wait.
            let deadline = tokio::time::Instant::now() + GATHER;
            while batch.len() < BATCH_MAX && !*stopped.borrow() {
                let room = BATCH_MAX - batch.len();
                let more = self.receiver.recv_many(&mut batch, room);
                tokio::select! {
                    more = tokio::time::timeout_at(deadline, more) => if !matches!(more, Ok(1..)) { break },
                    _ = stopped.changed() => break,
                }
            }
            self.send(&mut batch).await;
        }
    }

    async fn send(&mut self, batch: &mut Vec<Span>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let body = otlp::request(&self.instance, batch);
        batch.clear();
        let request = self.client.post(&self.address).header("content-type", "application/json").body(body);
        let trouble = match request.send().await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("HTTP {}", answer.status().as_u16())),
            Err(error) => Some(error.without_url().to_string()),
        };
        match trouble {
            None => {
                self.counted.exported.fetch_add(count, Ordering::Relaxed);
                self.is_away = false;
            }
            Some(trouble) => {
                self.counted.dropped.fetch_add(count, Ordering::Relaxed);
                if !self.is_away {
                    tracing::warn!("the collector at {} takes no spans: {trouble}; they are dropped", self.address);
                }
                self.is_away = true;
            }
        }
    }
}
