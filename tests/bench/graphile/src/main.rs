//! graphile_worker, sending what `tidings-bench` has others send: it is told what to do in JSON lines on its standard
//! input, and answers each with how long that took. Its arguments: the database, where a message is posted, the body of
//! message 424242, how many are on their way at once.
//!
//! It works as its documentation has it for many small jobs: a local queue, completions in batches, jobs added 500 in a
//! call. The client and the allocator are those of the others who are measured.

use std::error::Error;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker, WorkerContext, WorkerOptions,
};
use mimalloc::MiMalloc;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The number in the body that stands for all.
const EXAMPLE: &str = "424242";
/// Jobs in one call.
const STEP: u32 = 500;
/// How often somebody looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Jobs that a worker fetches ahead, connections it has, and how often it asks and tells.
const FETCHED_AHEAD: usize = 5000;
const CONNECTIONS: u32 = 8;
const EVERY: Duration = Duration::from_millis(5);

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Deserialize)]
enum Order {
    /// Add jobs for these numbers, so many callers at once.
    Accept { first: u32, count: u32, callers: u32 },
    /// Run until so many were sent.
    Send { count: u32 },
}

#[derive(Serialize)]
struct Told {
    seconds: f64,
    count: u32,
}

/// What every job is given.
#[derive(Clone, Debug)]
struct Sender {
    client: reqwest::Client,
    url: String,
    sent: Arc<AtomicU32>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Message(Value);

impl TaskHandler for Message {
    const IDENTIFIER: &'static str = "send";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let sender = context.get_ext::<Sender>().ok_or("no sender")?.clone();
        sender.send(&self.0).await.map_err(|failure| failure.to_string())
    }
}

impl Sender {
    async fn send(&self, body: &Value) -> Result<(), Failure> {
        let body = serde_json::to_vec(body)?;
        let posted = self.client.post(&self.url).header("content-type", "application/json").body(body);
        let answer: Value = serde_json::from_slice(&posted.send().await?.bytes().await?)?;
        if answer["errcode"] != 0 {
            return Err(format!("the provider answered {answer}").into());
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, url, example, in_flight] = &arguments[..] else {
        return Err("expected a database, an address, a body, a number".into());
    };
    let sent = Arc::new(AtomicU32::new(0));
    let client = reqwest::Client::builder().pool_max_idle_per_host(512).no_proxy().build()?;
    let worker = WorkerOptions::default()
        .database_url(database)
        .max_pg_conn(CONNECTIONS)
        .concurrency(in_flight.parse()?)
        .poll_interval(EVERY)
        .complete_job_batch_delay(EVERY)
        .local_queue(LocalQueueConfig::default().with_size(FETCHED_AHEAD))
        .add_extension(Sender { client, url: url.clone(), sent: Arc::clone(&sent) })
        .listen_os_shutdown_signals(false)
        .define_job::<Message>()
        .init()
        .await?;
    let worker = Arc::new(worker);
    say(&Told { seconds: 0.0, count: 0 })?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let told = match serde_json::from_str(&line)? {
            Order::Accept { first, count, callers } => accept(&worker, example, first..first + count, callers).await?,
            Order::Send { count } => send(&worker, &sent, count).await?,
        };
        say(&told)?;
    }
    worker.request_shutdown();
    Ok(())
}

/// Adds a job for each number.
async fn accept(worker: &Arc<Worker>, example: &str, numbers: Range<u32>, callers: u32) -> Result<Told, Failure> {
    let (begun, end, next) = (Instant::now(), numbers.end, Arc::new(AtomicU32::new(numbers.start)));
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (worker, next, example) = (Arc::clone(worker), Arc::clone(&next), example.to_owned());
            tokio::spawn(async move {
                let utils = worker.create_utils();
                loop {
                    let from = next.fetch_add(STEP, Ordering::Relaxed);
                    if from >= end {
                        return Ok::<(), Failure>(());
                    }
                    let jobs: Result<Vec<RawJobSpec>, _> =
                        (from..end.min(from + STEP)).map(|number| job(&example, number)).collect();
                    utils.add_raw_jobs(&jobs?).await?;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(Told { seconds: begun.elapsed().as_secs_f64(), count: numbers.end - numbers.start })
}

fn job(example: &str, number: u32) -> Result<RawJobSpec, serde_json::Error> {
    let payload = serde_json::from_str(&example.replace(EXAMPLE, &number.to_string()))?;
    Ok(RawJobSpec { identifier: Message::IDENTIFIER.to_owned(), payload, spec: JobSpec::default() })
}

/// Lets the worker run until so many messages were sent. What it still has to write down by then is not waited for.
async fn send(worker: &Arc<Worker>, sent: &AtomicU32, count: u32) -> Result<Told, Failure> {
    let (begun, before) = (Instant::now(), sent.load(Ordering::Relaxed));
    let running = tokio::spawn({
        let worker = Arc::clone(worker);
        async move { worker.run().await.map_err(|failure| failure.to_string()) }
    });
    while sent.load(Ordering::Relaxed) - before < count {
        if running.is_finished() {
            running.await??;
            return Err("the worker ended before its time".into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    worker.request_shutdown();
    running.await??;
    Ok(Told { seconds, count })
}

fn say(told: &Told) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(told)?)?;
    Ok(())
}
