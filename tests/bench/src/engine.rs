//! The engine under measurement: a process of its own, so that its memory and its time are its own. It is told what to
//! do in JSON lines and answers each with what it took and where the messages stand.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use tidings_api::server;
use tidings_engine::config::{ApiLimits, World};
use tidings_engine::keys::{ConfigKey, KeyHash, KeyHolder};
use tidings_engine::{By, Config, Engine, EngineHandle, Registry, SystemClock};
use tidings_model::{Scopes, State};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::child::{Child, PATIENCE};
use crate::failure::{Failure, check};
use crate::neighbours;
use crate::usage::Usage;
use crate::workload::{CHANNEL, Kind, SOURCE, intake, submission};

/// The store in the engine's folder.
const SQLITE: &str = "sqlite://tidings.db";

/// What callers of the API show.
pub(crate) const KEY: &str = "bench-key";

/// Messages or credentials in one call while a store is filled.
const STEP: u32 = 500;
/// Callers at once while a store is filled: one is admitted while another is written.
pub(crate) const LOADERS: u32 = 8;
/// How often somebody looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The same where the store has to be asked.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// How long a stop waits for what is on its way.
const GRACE: Duration = Duration::from_secs(20);
/// Patience for each message, beside that for everything.
const PATIENCE_PER_MESSAGE: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    #[arg(long)]
    folder: PathBuf,
    /// The address of its store.
    #[arg(long, default_value = SQLITE)]
    store: String,
    #[arg(long)]
    provider: String,
    #[arg(long)]
    in_flight: u32,
    #[arg(long)]
    no_credentials: bool,
    #[arg(long)]
    beside: Option<PathBuf>,
    /// More config.
    #[arg(long)]
    more: Option<PathBuf>,
}

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Stop the channel from claiming.
    Pause,
    /// Take the credentials of these messages into the ledger.
    Permit { first: u32, count: u32 },
    /// Accept these messages, each under a key or none.
    Accept { first: u32, count: u32, keyed: bool },
    /// Let the channel claim until so many more are sent; then pause it, and wait for what is on its way.
    Send { count: u32 },
    /// Say where the messages stand.
    Look,
    /// Stop in order.
    Stop,
}

/// What it answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// How long it took.
    pub(crate) seconds: f64,
    /// How many messages that was.
    pub(crate) count: u32,
    /// User and system time that it cost.
    pub(crate) cpu_seconds: f64,
    /// What the process has used since it began.
    pub(crate) usage: Usage,
    pub(crate) standing: Standing,
    /// Where its API listens.
    pub(crate) api: Option<SocketAddr>,
    pub(crate) problem: Option<String>,
}

/// Where the messages stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) scheduled: i64,
    pub(crate) queued: i64,
    pub(crate) waiting: i64,
    pub(crate) sending: i64,
    pub(crate) sent: i64,
    /// Everything else: nothing that a benchmark wants to see.
    pub(crate) other: i64,
}

impl Told {
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.count) / self.seconds.max(1e-9)
    }
}

/// Runs until it is told to stop, or its standard input ends.
pub(crate) async fn engine(args: EngineArgs) -> Result<(), Failure> {
    // What a bad neighbour says is written, and not shown: there is much of it.
    let log = if args.beside.is_some() { BoxMakeWriter::new(io::sink) } else { BoxMakeWriter::new(io::stderr) };
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_target(false)
        .with_writer(log)
        .init();
    let mut config = config(&args)?;
    let holder = KeyHolder { name: "bench".into(), scopes: Scopes::ALL, expires_at: None, rate: None };
    config.api.keys.push(ConfigKey { hash: KeyHash::of(KEY), holder });
    let begun = Instant::now();
    let engine = Engine::start(config, Arc::new(SystemClock)).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let handle = engine.handle();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let limits = ApiLimits::default();
    let calls = server::Calls::keyed(handle.clone(), limits);
    let serving = tokio::spawn(server::serve_tcp(listener, calls, limits, None, stopped));
    let standing = standing(&handle).await?;
    say(&Told { seconds, usage: Usage::now()?, standing, api: Some(api), ..Told::default() })?;

    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        if matches!(order, Order::Stop) {
            let begun = Instant::now();
            stop.send_replace(true);
            engine.stop(GRACE).await?;
            drop(tokio::time::timeout(GRACE, serving).await);
            return say(&Told { seconds: begun.elapsed().as_secs_f64(), usage: Usage::now()?, ..Told::default() });
        }
        let told = obey(&handle, order).await;
        let told = told.unwrap_or_else(|failure| Told { problem: Some(failure.to_string()), ..Told::default() });
        say(&told)?;
    }
    Ok(())
}

fn config(args: &EngineArgs) -> Result<Config, Failure> {
    let kind = Kind::of(args.no_credentials);
    let mut text = kind.config(&args.store, &args.provider, args.in_flight);
    text.extend(args.beside.as_deref().map(neighbours::config));
    if let Some(more) = &args.more {
        text.push_str(&std::fs::read_to_string(more)?);
    }
    let registry = Registry::new([tidings_wechat::plugin()]);
    Config::read("bench.toml", &text, args.folder.clone(), &registry, &World::process()).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(problems.join("\n"))
    })
}

fn orders() -> mpsc::Receiver<Order> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(order) = serde_json::from_str(&line) else { return };
            if sender.blocking_send(order).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(told: &Told) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{}", serde_json::to_string(told)?)?;
    Ok(())
}

async fn obey(handle: &EngineHandle, order: Order) -> Result<Told, Failure> {
    let (before, begun) = (Usage::now()?, Instant::now());
    let (count, took) = match order {
        Order::Pause => {
            pause(handle).await?;
            (0, begun.elapsed())
        }
        Order::Permit { first, count } => {
            load(handle, first, count, permit).await?;
            (count, begun.elapsed())
        }
        Order::Accept { first, count, keyed } => {
            load(handle, first, count, move |handle, numbers| accept(handle, numbers, keyed)).await?;
            (count, begun.elapsed())
        }
        Order::Send { count } => send(handle, count).await?,
        Order::Look | Order::Stop => (0, begun.elapsed()),
    };
    let (usage, standing) = (Usage::now()?, standing(handle).await?);
    let cpu_seconds = usage.cpu_seconds - before.cpu_seconds;
    Ok(Told { seconds: took.as_secs_f64(), count, cpu_seconds, usage, standing, ..Told::default() })
}

fn bench() -> Result<By, Failure> {
    Ok(By::new("bench", None)?)
}

async fn pause(handle: &EngineHandle) -> Result<(), Failure> {
    handle.pause(CHANNEL, &bench()?).await?;
    Ok(())
}

/// Hands these numbers to several callers, a slice at a time.
async fn load<F, W>(handle: &EngineHandle, first: u32, count: u32, work: F) -> Result<(), Failure>
where
    F: Fn(EngineHandle, std::ops::Range<u32>) -> W + Copy + Send + 'static,
    W: Future<Output = Result<(), Failure>> + Send,
{
    let end = first + count;
    let next = Arc::new(AtomicU32::new(first));
    let callers: Vec<_> = (0..LOADERS)
        .map(|_| {
            let (handle, next) = (handle.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let from = next.fetch_add(STEP, Ordering::Relaxed);
                    if from >= end {
                        return Ok::<(), Failure>(());
                    }
                    work(handle.clone(), from..end.min(from + STEP)).await?;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

async fn permit(handle: EngineHandle, numbers: std::ops::Range<u32>) -> Result<(), Failure> {
    for answer in handle.add_credentials(SOURCE, None, numbers.map(intake).collect()).await? {
        answer.map_err(|refusal| Failure::new(format!("a credential was refused: {refusal}")))?;
    }
    Ok(())
}

async fn accept(handle: EngineHandle, numbers: std::ops::Range<u32>, keyed: bool) -> Result<(), Failure> {
    let submission = |number| {
        let mut submission = submission(number);
        submission.key = submission.key.filter(|_| keyed);
        submission
    };
    for answer in handle.submit(numbers.map(submission).collect()).await {
        let submitted = answer?;
        check(!submitted.replayed, || "a message was accepted before: the store was not fresh".to_owned())?;
    }
    Ok(())
}

/// How many were sent in which time. More than were asked for may be: what counts is what there was when somebody looked.
async fn send(handle: &EngineHandle, count: u32) -> Result<(u32, Duration), Failure> {
    let before = standing(handle).await?;
    let begun = Instant::now();
    handle.resume(CHANNEL, &bench()?).await?;
    // Asking the store costs some of what is measured: where all of the queue is to go it is asked only at the end.
    let all = before.queued == i64::from(count);
    let (sent, took) = loop {
        tokio::time::sleep(if all { LOOK_EVERY } else { ASK_EVERY }).await;
        if all && in_flight(handle) > 0 {
            continue;
        }
        let now = standing(handle).await?;
        check(now.other == before.other && now.waiting == 0, || {
            format!("messages did not end as sent: {now:?}; nothing was measured")
        })?;
        if now.sent - before.sent >= i64::from(count) {
            break (now.sent - before.sent, begun.elapsed());
        }
    };
    pause(handle).await?;
    // A place is free before the outcome is on disk: what is on its way is over when the store says so.
    while standing(handle).await?.sending > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok((u32::try_from(sent)?, took))
}

fn in_flight(handle: &EngineHandle) -> u32 {
    handle.channels().iter().map(|channel| channel.in_flight).sum()
}

async fn standing(handle: &EngineHandle) -> Result<Standing, Failure> {
    let mut standing = Standing::default();
    let ours = handle.counts().await?.messages.into_iter().filter(|(channel, ..)| channel == CHANNEL);
    for (_, state, count) in ours {
        *match state {
            State::Scheduled => &mut standing.scheduled,
            State::Queued => &mut standing.queued,
            State::Waiting => &mut standing.waiting,
            State::Sending => &mut standing.sending,
            State::Sent => &mut standing.sent,
            _ => &mut standing.other,
        } += count;
    }
    Ok(standing)
}

/// What every engine is started with.
fn arguments(folder: &Path, provider: &str, kind: Kind, in_flight: u32) -> Vec<String> {
    let mut arguments = vec![
        format!("--folder={}", folder.display()),
        format!("--provider={provider}"),
        format!("--in-flight={in_flight}"),
    ];
    if kind == Kind::Free {
        arguments.push("--no-credentials".to_owned());
    }
    arguments
}

/// The engine from outside.
pub(crate) struct EngineProcess {
    process: Child,
    /// What it said when it had started.
    pub(crate) started: Told,
}

impl EngineProcess {
    pub(crate) fn start(
        folder: &Path,
        provider: &str,
        kind: Kind,
        in_flight: u32,
        beside: Option<&Path>,
        patience: Duration,
    ) -> Result<EngineProcess, Failure> {
        let mut arguments = arguments(folder, provider, kind, in_flight);
        arguments.extend(beside.map(|file| format!("--beside={}", file.display())));
        let mut process = Child::spawn("engine", &arguments)?;
        let started = process.answer(patience)?;
        Ok(EngineProcess { process, started })
    }

    /// One whose store is elsewhere, and may be that of others too.
    pub(crate) fn start_on(
        store: &str,
        folder: &Path,
        provider: &str,
        kind: Kind,
        in_flight: u32,
    ) -> Result<EngineProcess, Failure> {
        let mut arguments = arguments(folder, provider, kind, in_flight);
        arguments.push(format!("--store={store}"));
        let mut process = Child::spawn("engine", &arguments)?;
        let started = process.answer(PATIENCE)?;
        Ok(EngineProcess { process, started })
    }

    /// One of another build of this program, that has nothing to send.
    pub(crate) fn of(program: &Path, folder: &Path, provider: &str) -> Result<EngineProcess, Failure> {
        let mut command = Command::new(program);
        command.arg("engine").args(arguments(folder, provider, Kind::Free, 1));
        let mut process = Child::run("engine", command)?;
        let started = process.answer(PATIENCE)?;
        Ok(EngineProcess { process, started })
    }

    /// One that has nothing to send, with more config.
    pub(crate) fn start_with(
        folder: &Path,
        provider: &str,
        more: &Path,
        patience: Duration,
    ) -> Result<EngineProcess, Failure> {
        let mut arguments = arguments(folder, provider, Kind::Free, 1);
        arguments.push(format!("--more={}", more.display()));
        let mut process = Child::spawn("engine", &arguments)?;
        let started = process.answer(patience)?;
        Ok(EngineProcess { process, started })
    }

    /// Where its API is.
    pub(crate) fn api(&self) -> Result<String, Failure> {
        let address = self.started.api.ok_or_else(|| Failure::new("the engine did not say where its API is"))?;
        Ok(format!("http://{address}"))
    }

    pub(crate) fn pause(&mut self) -> Result<Told, Failure> {
        self.tell(&Order::Pause, 0)
    }

    pub(crate) fn permit(&mut self, first: u32, count: u32) -> Result<Told, Failure> {
        self.tell(&Order::Permit { first, count }, count)
    }

    pub(crate) fn accept(&mut self, first: u32, count: u32) -> Result<Told, Failure> {
        self.tell(&Order::Accept { first, count, keyed: true }, count)
    }

    /// The same without idempotency keys.
    pub(crate) fn accept_without_keys(&mut self, first: u32, count: u32) -> Result<Told, Failure> {
        self.tell(&Order::Accept { first, count, keyed: false }, count)
    }

    pub(crate) fn send(&mut self, count: u32) -> Result<Told, Failure> {
        self.tell(&Order::Send { count }, count)
    }

    pub(crate) fn look(&mut self) -> Result<Told, Failure> {
        self.tell(&Order::Look, 0)
    }

    /// Stops it in order; what it says last is its usage in all.
    pub(crate) fn stop(mut self) -> Result<Told, Failure> {
        self.tell(&Order::Stop, 0)
    }

    fn tell(&mut self, order: &Order, messages: u32) -> Result<Told, Failure> {
        let told: Told = self.process.ask(order, PATIENCE + PATIENCE_PER_MESSAGE * messages)?;
        match told.problem {
            None => Ok(told),
            Some(problem) => Err(Failure::new(format!("the engine: {problem}"))),
        }
    }
}
