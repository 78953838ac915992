//! `intake`: many clients, each with one message at a time, and every message on disk before its 202; beside it the same
//! clients at an endpoint that reads the same JSON and stores nothing. Then many messages in one request, beside raw SQLite.
//! Then a few clients alone, and while others drip heads, send bodies without end, or take connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tidings_api::wire::{SendReply, SendRequest};

use crate::Common;
use crate::caller::Caller;
use crate::child::PATIENCE;
use crate::disk;
use crate::engine::{EngineProcess, KEY, Told};
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::hostile::{self, Act};
use crate::measure::{Spread, millis, percentile, rate};
use crate::queue::slices;
use crate::raw::Raw;
use crate::report::Report;
use crate::server::{Provider, client};
use crate::workload::{Kind, TEMPLATE, data, key, recipient};

#[derive(Debug, Args)]
pub(crate) struct IntakeArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in each round.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Clients at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// Requests whose heads never end, at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    half_open: u32,
    /// Connections that ask nothing, at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    crowd: u32,
}

/// Requests in bulk at once, and the lines of each.
const BULK_CALLERS: u32 = 2;
const BULK_LINES: u32 = 10_000;
/// Clients beside those that mean no good, and their messages: few and of each so many.
const REAL_CLIENTS: u32 = 8;
const REAL_MESSAGES: u32 = 4000;
/// How long those have to be there before the clients are measured.
const SETTLE: Duration = Duration::from_secs(2);

/// What the clients saw of one server.
pub(crate) struct Seen {
    pub(crate) per_second: f64,
    /// How long each call took, in order.
    pub(crate) calls: Vec<Duration>,
}

struct Round {
    bare: Seen,
    engine: Seen,
    used: Told,
    raw_bulk: f64,
    bulk: f64,
    /// The clients alone, and beside each act.
    quiet: Seen,
    beside: Vec<Seen>,
    /// The most memory before the acts and after them.
    before_mb: f64,
    after_mb: f64,
    /// One sync of the disk, at that time.
    sync: Duration,
}

pub(crate) async fn intake(args: IntakeArgs) -> Result<(), Failure> {
    let provider = Provider::start()?;
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let bare = seen(&provider.url, 1, args.messages, args.clients).await?;
        let (engine, used) = engine(&provider, &args).await?;
        let raw_bulk = raw_bulk(&args).await?;
        let bulk = bulk(&provider, &args).await?;
        let (quiet, beside, before_mb, after_mb) = hostile(&provider, &args).await?;
        eprintln!("round {number}: bulk {bulk:.0}/s, raw SQLite {raw_bulk:.0}/s");
        eprintln!(
            "round {number}: stores nothing {:.0}/s, engine {:.0}/s, ratio {:.3}",
            bare.per_second,
            engine.per_second,
            engine.per_second / bare.per_second
        );
        let sync = disk::sync(args.common.dir.as_deref())?;
        rounds.push(Round { bare, engine, used, raw_bulk, bulk, quiet, beside, before_mb, after_mb, sync });
    }
    report(&args, &rounds).tell(args.common.json)
}

async fn engine(provider: &Provider, args: &IntakeArgs) -> Result<(Seen, Told), Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, Kind::Free, 1, None, PATIENCE)?;
    engine.pause()?;
    let before = engine.look()?;
    let url = engine.api()?;
    let seen = seen(&url, 1, args.messages, args.clients).await?;
    let after = engine.look()?;
    check(after.standing.queued - before.standing.queued == i64::from(args.messages), || {
        format!("{} messages were answered with 202, and the store has: {:?}", args.messages, after.standing)
    })?;
    // The keys are in force: what comes again is no second message.
    let again = post(&client(Some(PATIENCE))?, &url, 1).await?;
    check(again.replayed && engine.look()?.standing == after.standing, || {
        format!("a message that came again was answered {again:?}")
    })?;
    engine.stop()?;
    let cpu_seconds = after.usage.cpu_seconds - before.usage.cpu_seconds;
    Ok((seen, Told { cpu_seconds, ..after }))
}

/// As many batches as one writer of raw SQLite takes in a second.
async fn raw_bulk(args: &IntakeArgs) -> Result<f64, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut raw = Raw::open(&folder).await?;
    let begun = Instant::now();
    for numbers in slices(args.messages) {
        raw.accept(numbers).await?;
    }
    Ok(rate(args.messages.into(), begun.elapsed()))
}

/// Many messages in each request, written while its answers are read.
async fn bulk(provider: &Provider, args: &IntakeArgs) -> Result<f64, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, Kind::Free, 1, None, PATIENCE)?;
    engine.pause()?;
    let url = engine.api()?;
    // Made before: it is not what is measured.
    let bodies: Vec<(u32, String)> = (1..=args.messages)
        .step_by(BULK_LINES as usize)
        .map(|first| {
            let last = args.messages.min(first + BULK_LINES - 1);
            let lines = (first..=last).map(|number| {
                let request = SendRequest { key: Some(key(number)), ..request(number) };
                serde_json::to_string(&request).expect("a request is JSON") + "\n"
            });
            (last + 1 - first, lines.collect())
        })
        .collect();
    let bodies = Arc::new(std::sync::Mutex::new(bodies));
    let client = client(Some(PATIENCE))?;
    let begun = Instant::now();
    let callers: Vec<_> = (0..BULK_CALLERS)
        .map(|_| {
            let (client, url, bodies) = (client.clone(), url.clone(), Arc::clone(&bodies));
            tokio::spawn(async move {
                loop {
                    let next = bodies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
                    let Some((lines, body)) = next else { return Ok::<_, Failure>(()) };
                    let call = client.post(format!("{url}/v1/messages/bulk")).bearer_auth(KEY).body(body);
                    let answer = call.send().await?.error_for_status()?.text().await?;
                    let accepted = answer.matches("\"queued\"").count();
                    check(accepted as u64 == u64::from(lines), || {
                        format!("{accepted} of {lines} lines were accepted")
                    })?;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let took = begun.elapsed();
    let standing = engine.look()?.standing;
    check(standing.queued == i64::from(args.messages), || format!("the store has {standing:?}"))?;
    engine.stop()?;
    Ok(rate(args.messages.into(), took))
}

fn acts(args: &IntakeArgs) -> [(&'static str, Act); 3] {
    [("half_open", Act::HalfOpen(args.half_open)), ("large_body", Act::LargeBody), ("crowd", Act::Crowd(args.crowd))]
}

/// A few clients alone, then beside each act.
async fn hostile(provider: &Provider, args: &IntakeArgs) -> Result<(Seen, Vec<Seen>, f64, f64), Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, Kind::Free, 1, None, PATIENCE)?;
    engine.pause()?;
    let url = engine.api()?;
    let messages = REAL_MESSAGES.min(args.messages);
    let quiet = seen(&url, 1, messages, REAL_CLIENTS).await?;
    let before = engine.look()?.usage.rss_mb;
    let mut beside = Vec::new();
    for (place, (_, act)) in (1..).zip(acts(args)) {
        let acting = hostile::begin(act, &url);
        // They are there, or at the door.
        tokio::time::sleep(SETTLE).await;
        beside.push(seen(&url, 1 + place * messages, messages, REAL_CLIENTS).await?);
        hostile::stop(acting).await;
    }
    let after = engine.look()?.usage.rss_mb;
    engine.stop()?;
    Ok((quiet, beside, before, after))
}

/// What these clients saw of one server, from the message of that number on.
pub(crate) async fn seen(url: &str, first: u32, messages: u32, clients: u32) -> Result<Seen, Failure> {
    let next = Arc::new(AtomicU32::new(first));
    let begun = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (url, next) = (url.to_owned(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut caller = Caller::connect(&url).await?;
                let mut calls = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + messages {
                        return Ok::<_, Failure>(calls);
                    }
                    let begun = Instant::now();
                    let answer = tokio::time::timeout(PATIENCE, caller.post(number)).await;
                    let reply = answer.map_err(|_| Failure::new("a call was not answered"))??;
                    calls.push(begun.elapsed());
                    check(!reply.replayed, || "a fresh message was known before".to_owned())?;
                }
            })
        })
        .collect();
    let mut calls = Vec::new();
    for client in clients {
        calls.append(&mut client.await??);
    }
    let took = begun.elapsed();
    check(calls.len() as u64 == u64::from(messages), || "a client stopped before its time".to_owned())?;
    calls.sort_unstable();
    Ok(Seen { per_second: rate(messages.into(), took), calls })
}

/// The message of that number.
pub(crate) fn request(number: u32) -> SendRequest {
    SendRequest { template: TEMPLATE.to_owned(), to: recipient(number), data: data(number), ..SendRequest::default() }
}

/// Posts one message to an API, and reads the answer.
pub(crate) async fn post(client: &reqwest::Client, url: &str, number: u32) -> Result<SendReply, Failure> {
    let request = request(number);
    let response = client
        .post(format!("{url}/v1/messages"))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {KEY}"))
        .header("idempotency-key", key(number))
        .body(serde_json::to_vec(&request)?)
        .send()
        .await?;
    let status = response.status();
    let body = response.bytes().await?;
    check(status == reqwest::StatusCode::ACCEPTED || status == reqwest::StatusCode::OK, || {
        format!("a message was answered with {status}: {}", String::from_utf8_lossy(&body))
    })?;
    Ok(serde_json::from_slice(&body)?)
}

fn report(args: &IntakeArgs, rounds: &[Round]) -> Report {
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut report = Report::new("intake");
    report.rate("per_second", "engine accepts", over(&|round| round.engine.per_second));
    report.rate("bare_per_second", "an API that stores nothing", over(&|round| round.bare.per_second));
    report.ratio("ratio_to_bare", "ratio", over(&|round| round.engine.per_second / round.bare.per_second));
    for (name, label, per_mille) in [("p50_ms", "a call, median", 500), ("p99_ms", "a call, 99 of 100", 990)] {
        report.number(name, label, "ms", over(&|round| millis(percentile(&round.engine.calls, per_mille))));
        let bare = over(&|round| millis(percentile(&round.bare.calls, per_mille)));
        report.number(&format!("bare_{name}"), "  where nothing is stored", "ms", bare);
    }
    report.rate("bulk_per_second", "bulk", over(&|round| round.bulk));
    report.rate("raw_bulk_per_second", "  raw SQLite", over(&|round| round.raw_bulk));
    report.ratio("bulk_ratio_to_raw", "  ratio", over(&|round| round.bulk / round.raw_bulk));
    let quiet = |round: &Round, per_mille| millis(percentile(&round.quiet.calls, per_mille));
    report.number("quiet_p50_ms", "few clients alone, median", "ms", over(&|round| quiet(round, 500)));
    report.number("quiet_p99_ms", "  99 of 100", "ms", over(&|round| quiet(round, 990)));
    for (place, (name, act)) in acts(args).into_iter().enumerate() {
        for (end, per_mille) in [("p50", 500), ("p99", 990)] {
            let times =
                |round: &Round| millis(percentile(&round.beside[place].calls, per_mille)) / quiet(round, per_mille);
            report.ratio(
                &format!("{name}_{end}_times"),
                &format!("  beside {act:?}, times as long, {end}"),
                over(&times),
            );
        }
    }
    report.number("hostile_before_mb", "memory before those", "MB", over(&|round| round.before_mb));
    report.number("hostile_after_mb", "  and at most after", "MB", over(&|round| round.after_mb));
    let cpu = |round: &Round| round.used.cpu_seconds;
    report.number("disk_sync_ms", "one sync of the disk, median", "ms", over(&|round| millis(round.sync)));
    report.number("rss_mb", "engine's memory, at most", "MB", over(&|round| round.used.usage.rss_mb));
    report.number(
        "cpu_s_per_1000",
        "engine's CPU for 1000 accepts",
        "s",
        over(&|round| cpu(round) * 1000.0 / f64::from(args.messages)),
    );
    report.condition("messages", args.messages);
    report.condition("rounds", args.common.rounds);
    report.condition("clients", args.clients);
    report
}
