//! The provider: a local server that reads each message as WeChat would and says yes. It keeps who arrived and when.
//!
//! It is a process of its own, so that the engine and what it is compared with send to the same one, and what it uses
//! of the machine is neither's.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidings_api::wire::{SendReply, SendRequest};
use tokio::net::TcpListener;

use crate::child::{Child, PATIENCE};
use crate::failure::{Failure, check};
use crate::usage::Usage;
use crate::workload::{Kind, number};

/// What the first line of its output says.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    port: u16,
}

/// What arrived since the last reset.
#[derive(Debug, Default)]
struct Log {
    /// Number of the message, and when, in nanoseconds since the Unix epoch.
    arrivals: Vec<(u32, u64)>,
    bytes: usize,
    /// What nobody of us would send.
    strange: u64,
}

/// The same, summed up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) arrived: u64,
    pub(crate) distinct: u64,
    pub(crate) strange: u64,
    pub(crate) bytes: usize,
}

type Shared = Arc<Mutex<Log>>;

fn look(log: &Shared) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Now on the clock that all processes of the machine share.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Serves until standard input ends.
pub(crate) async fn serve() -> Result<(), Failure> {
    let log = Shared::default();
    let router = Router::new()
        .route(Kind::Credentials.path(), post(take))
        .route(Kind::Free.path(), post(take))
        .route("/cgi-bin/stable_token", post(token))
        .route("/cgi-bin/token", get(token))
        .route("/v1/messages", post(accept))
        .route("/count", get(count))
        .route("/arrivals", get(arrivals))
        .route("/reset", post(reset))
        .route("/usage", get(usage))
        .with_state(log);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ready = Ready { port: listener.local_addr()?.port() };
    writeln!(io::stdout().lock(), "{}", serde_json::to_string(&ready)?)?;
    let ended = tokio::task::spawn_blocking(|| io::stdin().lock().read_to_end(&mut Vec::new()));
    tokio::select! {
        served = axum::serve(listener, router) => Ok(served?),
        _ = ended => Ok(()),
    }
}

async fn take(State(log): State<Shared>, body: Bytes) -> Json<Value> {
    let at = now_ns();
    let message = serde_json::from_slice::<Value>(&body).ok().and_then(|body| number(&body));
    let mut log = look(&log);
    log.bytes += body.len();
    match message {
        Some(message) => log.arrivals.push((message, at)),
        None => log.strange += 1,
    }
    Json(json!({"errcode": 0, "errmsg": "ok"}))
}

async fn token() -> Json<Value> {
    Json(json!({"access_token": "bench-token", "expires_in": 7200}))
}

/// What a server that stores nothing answers to the API's send call.
async fn accept(Json(_request): Json<SendRequest>) -> (StatusCode, Json<SendReply>) {
    let reply = SendReply { id: "msg_1".to_owned(), state: "queued".to_owned(), replayed: false, trace_id: None };
    (StatusCode::ACCEPTED, Json(reply))
}

async fn count(State(log): State<Shared>) -> Json<Count> {
    let log = look(&log);
    let distinct: HashSet<u32> = log.arrivals.iter().map(|(message, _)| *message).collect();
    let (arrived, distinct) = (log.arrivals.len() as u64, distinct.len() as u64);
    Json(Count { arrived, distinct, strange: log.strange, bytes: log.bytes })
}

async fn arrivals(State(log): State<Shared>) -> Json<Vec<(u32, u64)>> {
    Json(look(&log).arrivals.clone())
}

async fn reset(State(log): State<Shared>) {
    *look(&log) = Log::default();
}

async fn usage() -> Result<Json<Usage>, StatusCode> {
    Usage::now().map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// The server from outside.
pub(crate) struct Provider {
    client: reqwest::Client,
    pub(crate) url: String,
    /// Ends with this value.
    _process: Child,
}

impl Provider {
    pub(crate) fn start() -> Result<Provider, Failure> {
        let mut process = Child::spawn("serve", &[])?;
        let Ready { port } = process.answer(PATIENCE)?;
        // Its questions go over connections of their own: those of a measurement are that measurement's.
        let client = client(Some(Duration::from_secs(60)))?;
        Ok(Provider { client, url: format!("http://127.0.0.1:{port}"), _process: process })
    }

    pub(crate) async fn reset(&self) -> Result<(), Failure> {
        self.client.post(format!("{}/reset", self.url)).send().await?.error_for_status()?;
        Ok(())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = self.client.get(format!("{}{path}", self.url)).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    pub(crate) async fn arrivals(&self) -> Result<Vec<(u32, u64)>, Failure> {
        self.get("/arrivals").await
    }

    /// What its process has used since it began.
    pub(crate) async fn usage(&self) -> Result<Usage, Failure> {
        self.get("/usage").await
    }

    /// Makes sure that so many messages arrived, each of them once.
    pub(crate) async fn check(&self, who: &str, expected: u32) -> Result<Count, Failure> {
        let count: Count = self.get("/count").await?;
        let expected = u64::from(expected);
        check(count.arrived == expected && count.distinct == expected && count.strange == 0, || {
            let Count { arrived, distinct, strange, .. } = count;
            format!(
                "{who} sent {expected} messages, and {arrived} arrived, {distinct} of them different, {strange} \
                 unreadable; nothing was measured"
            )
        })?;
        Ok(count)
    }
}

/// The client of everything that is not the engine, as the peer's.
pub(crate) fn client(timeout: Option<Duration>) -> Result<reqwest::Client, Failure> {
    let builder = reqwest::Client::builder().pool_max_idle_per_host(512).no_proxy();
    let builder = match timeout {
        Some(timeout) => builder.timeout(timeout),
        None => builder,
    };
    Ok(builder.build()?)
}
