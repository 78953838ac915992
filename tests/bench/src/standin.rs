//! A stand-in for an engine with a million messages in which thousands change every second: it speaks the API's own wire
//! types and its stream of events, and keeps nothing. A real engine that works this hard would take the cores that the
//! screen is measured on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Json;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::stream::{self, Stream, StreamExt as _};
use tidings_api::wire::{Change, Channel, Counts, Hello, Message, Overview, Page, Schedule, Token};
use tokio::net::TcpListener;

use crate::failure::Failure;

/// Messages before anything happens.
pub(crate) const MESSAGES: u64 = 1_000_000;
/// Events are told in so many batches a second, as they come from a store's transactions.
const BATCHES_PER_SECOND: u32 = 50;
const CHANNELS: u64 = 24;
const RECENT: u64 = 40;
/// Since when it runs: what is told in days does not change while it is looked at.
const RUNS_FOR: Duration = Duration::from_secs(40 * 86_400 + 7_200);

struct Load {
    per_second: AtomicU32,
    /// Changes up to when the rate was set last, and when that was.
    before: AtomicU64,
    since: std::sync::Mutex<Instant>,
    asked: AtomicU64,
}

/// The stand-in.
pub(crate) struct StandIn {
    pub(crate) url: String,
    load: Arc<Load>,
}

impl StandIn {
    pub(crate) async fn start() -> Result<StandIn, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let load = Arc::new(Load {
            per_second: AtomicU32::new(0),
            before: AtomicU64::new(0),
            since: std::sync::Mutex::new(Instant::now()),
            asked: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/v1/overview", get(|State(load): State<Arc<Load>>| async move { Json(load.overview()) }))
            .route("/v1/hello", get(|| async { Json(hello()) }))
            .route("/v1/messages", get(messages))
            .route("/v1/events", get(|State(load): State<Arc<Load>>| async move { Sse::new(events(load)) }))
            .with_state(Arc::clone(&load));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(StandIn { url, load })
    }

    /// From now on so many messages change in a second.
    pub(crate) fn change(&self, per_second: u32) {
        let changed = self.load.changed();
        if let Ok(mut since) = self.load.since.lock() {
            *since = Instant::now();
        }
        self.load.before.store(changed, Ordering::Relaxed);
        self.load.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Calls so far.
    pub(crate) fn asked(&self) -> u64 {
        self.load.asked.load(Ordering::Relaxed)
    }

    /// What the screen is given, to make frames of.
    pub(crate) fn sample(&self) -> (Overview, Page<Message>) {
        (self.load.overview(), self.load.page(MESSAGES, 100))
    }
}

impl Load {
    fn changed(&self) -> u64 {
        let elapsed = self.since.lock().map(|since| since.elapsed()).unwrap_or_default();
        let rate = u64::from(self.per_second.load(Ordering::Relaxed));
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.before.load(Ordering::Relaxed) + millis.saturating_mul(rate) / 1_000
    }

    fn newest(&self) -> u64 {
        MESSAGES + self.changed()
    }

    fn overview(&self) -> Overview {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let newest = self.newest();
        let channel = |number: u64| Channel {
            name: format!("channel-{number:02}"),
            app: "shop".to_owned(),
            transport: "wechat.template".to_owned(),
            state: if number == 3 { "paused" } else { "open" }.to_owned(),
            counts: counts(newest / CHANNELS),
            in_flight_max: 64,
            ..Channel::default()
        };
        let schedule = |number: u64| Schedule {
            name: format!("schedule-{number}"),
            cron: "0 9 * * 1-5".to_owned(),
            timezone: "Asia/Shanghai".to_owned(),
            job: "send digest".to_owned(),
            next_at: Some(at(Duration::ZERO, 86_400 * (number + 2) + 1_800)),
            ..Schedule::default()
        };
        Overview {
            version: "0.1.0".to_owned(),
            now: written(SystemTime::now()),
            started_at: at(RUNS_FOR, 0),
            states: counts(newest),
            channels: (1..=CHANNELS).map(channel).collect(),
            schedules: (1..=8).map(schedule).collect(),
            tokens: vec![Token { app: "shop".to_owned(), state: "valid".to_owned(), ..Token::default() }],
            recent: (0..RECENT).map(|age| change(newest - age)).collect(),
            ..Overview::default()
        }
    }

    fn page(&self, from: u64, limit: u64) -> Page<Message> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let items: Vec<Message> = (0..limit.min(from)).map(|age| message(from - age)).collect();
        let next = from.checked_sub(limit).filter(|next| *next > 0);
        Page { items, next: next.map(|next| next.to_string()) }
    }
}

async fn messages(State(load): State<Arc<Load>>, Query(query): Query<HashMap<String, String>>) -> Json<Page<Message>> {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let from = number("cursor").unwrap_or_else(|| load.newest());
    Json(load.page(from, number("limit").unwrap_or(100)))
}

/// Every change, as an engine tells them: a batch for each of its transactions.
fn events(load: Arc<Load>) -> impl Stream<Item = Result<Event, Infallible>> {
    let told = load.changed();
    stream::unfold((load, told), |(load, told)| async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1) / BATCHES_PER_SECOND).await;
            let changed = load.changed();
            if changed > told {
                let batch: Vec<_> = (told..changed).map(event).collect();
                return Some((stream::iter(batch), (load, changed)));
            }
        }
    })
    .flatten()
}

fn event(number: u64) -> Result<Event, Infallible> {
    let data = format!(
        r#"{{"type":"message.sent","timestamp":"{}","data":{{"id":"msg_{number}","channel":"channel-01","state":"sent"}}}}"#,
        written(SystemTime::now())
    );
    Ok(Event::default().id(number.to_string()).event("message.sent").data(data))
}

fn hello() -> Hello {
    Hello {
        caller: "bench".to_owned(),
        scopes: ["send", "collect", "read", "operate"].map(str::to_owned).to_vec(),
        ..Hello::default()
    }
}

fn counts(messages: u64) -> Counts {
    let messages = i64::try_from(messages).unwrap_or(i64::MAX);
    Counts { queued: messages / 50, sending: 64, sent: messages, failed: 37, unknown: 4, ..Counts::default() }
}

fn change(number: u64) -> Change {
    Change {
        at: at(Duration::from_secs(3_600), number % 60),
        id: format!("msg_{number}"),
        channel: format!("channel-{:02}", number % CHANNELS + 1),
        to: format!("oGx5b5-{number:08}"),
        state: if number.is_multiple_of(50) { "failed" } else { "sent" }.to_owned(),
        reason: number.is_multiple_of(50).then(|| "recipient_gone".to_owned()),
    }
}

fn message(number: u64) -> Message {
    let Change { id, channel, to, state, reason, .. } = change(number);
    // Only what the API always says is named; the rest is absent as it is in a list.
    serde_json::from_value(serde_json::json!({
        "id": id, "channel": channel, "template": "订单已付款", "to": to, "state": state, "priority": 0,
        "due_at": at(Duration::from_secs(7_200), 0), "attempts": 1, "ambiguous": false,
        "created_at": at(Duration::from_secs(86_400 * 3), 0), "reason": reason,
    }))
    .expect("a message of the wire")
}

/// An instant as the API writes it: so long before the stand-in began, and so many seconds later. It stays what it is.
fn at(ago: Duration, later: u64) -> String {
    static BEGAN: OnceLock<SystemTime> = OnceLock::new();
    let began = *BEGAN.get_or_init(SystemTime::now);
    written((began + Duration::from_secs(later)).checked_sub(ago).unwrap_or(began))
}

fn written(instant: SystemTime) -> String {
    let ms = instant.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    tidings_model::Timestamp(i64::try_from(ms).unwrap_or(i64::MAX)).to_rfc3339()
}
