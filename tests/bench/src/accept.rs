//! `accept`: many clients, each with one message at a time, and every message on disk before its 202. Beside it the same
//! clients at an endpoint that reads the same JSON and stores nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tidings_api::wire::{SendReply, SendRequest};

use crate::Common;
use crate::child::PATIENCE;
use crate::disk;
use crate::engine::{EngineProcess, KEY, Told};
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::measure::{Spread, millis, percentile, rate};
use crate::report::Report;
use crate::server::{Provider, client};
use crate::workload::{Kind, TEMPLATE, data, key, recipient};

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in each round.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Clients at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
}

/// What the clients saw of one server.
struct Seen {
    per_second: f64,
    /// How long each call took, in order.
    calls: Vec<Duration>,
}

struct Round {
    bare: Seen,
    engine: Seen,
    used: Told,
    /// One sync of the disk, at that time.
    sync: Duration,
}

pub(crate) async fn accept(args: AcceptArgs) -> Result<(), Failure> {
    let provider = Provider::start()?;
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let bare = seen(&provider.url, &args).await?;
        let (engine, used) = engine(&provider, &args).await?;
        eprintln!(
            "round {number}: stores nothing {:.0}/s, engine {:.0}/s, ratio {:.3}",
            bare.per_second,
            engine.per_second,
            engine.per_second / bare.per_second
        );
        let sync = disk::sync(args.common.dir.as_deref())?;
        rounds.push(Round { bare, engine, used, sync });
    }
    report(&args, &rounds).tell(args.common.json)
}

async fn engine(provider: &Provider, args: &AcceptArgs) -> Result<(Seen, Told), Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, Kind::Free, 1, None, PATIENCE)?;
    engine.pause()?;
    let before = engine.look()?;
    let url = engine.api()?;
    let seen = seen(&url, args).await?;
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

async fn seen(url: &str, args: &AcceptArgs) -> Result<Seen, Failure> {
    let client = client(Some(PATIENCE))?;
    let next = Arc::new(AtomicU32::new(1));
    let begun = Instant::now();
    let clients: Vec<_> = (0..args.clients)
        .map(|_| {
            let (client, url, next, messages) = (client.clone(), url.to_owned(), Arc::clone(&next), args.messages);
            tokio::spawn(async move {
                let mut calls = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > messages {
                        return Ok::<_, Failure>(calls);
                    }
                    let begun = Instant::now();
                    let reply = post(&client, &url, number).await?;
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
    check(calls.len() as u64 == u64::from(args.messages), || "a client stopped before its time".to_owned())?;
    calls.sort_unstable();
    Ok(Seen { per_second: rate(args.messages.into(), took), calls })
}

/// Posts one message to an API, and reads the answer.
pub(crate) async fn post(client: &reqwest::Client, url: &str, number: u32) -> Result<SendReply, Failure> {
    let request = SendRequest {
        template: TEMPLATE.to_owned(),
        to: recipient(number),
        data: data(number),
        ..SendRequest::default()
    };
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

fn report(args: &AcceptArgs, rounds: &[Round]) -> Report {
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut report = Report::new("accept");
    report.rate("per_second", "engine accepts", over(&|round| round.engine.per_second));
    report.rate("bare_per_second", "an API that stores nothing", over(&|round| round.bare.per_second));
    report.ratio("ratio_to_bare", "ratio", over(&|round| round.engine.per_second / round.bare.per_second));
    for (name, label, per_mille) in [("p50_ms", "a call, median", 500), ("p99_ms", "a call, 99 of 100", 990)] {
        report.number(name, label, "ms", over(&|round| millis(percentile(&round.engine.calls, per_mille))));
        let bare = over(&|round| millis(percentile(&round.bare.calls, per_mille)));
        report.number(&format!("bare_{name}"), "  where nothing is stored", "ms", bare);
    }
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
