//! `readers`: what those cost who read along with what happens: many that are idle, and one that does not read while
//! messages come.

use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Common;
use crate::child::PATIENCE;
use crate::engine::{EngineProcess, KEY};
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::measure::Spread;
use crate::report::Report;
use crate::server::Provider;
use crate::workload::Kind;

/// Bytes of the beginning of a stream: the head of the answer and the place it begins at.
const BEGINNING_BYTES_MAX: usize = 4096;
/// Before a window is measured: what opening the streams cost is over.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct ReadersArgs {
    #[command(flatten)]
    common: Common,
    /// Idle readers.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1024))]
    readers: u32,
    /// Seconds that are measured without and with them.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Messages accepted beside a reader that does not read.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
}

struct Round {
    /// Shares of a core.
    idle: f64,
    read: f64,
    /// Messages accepted in a second.
    alone: f64,
    beside: f64,
    rss_mb: f64,
}

pub(crate) async fn readers(args: ReadersArgs) -> Result<(), Failure> {
    let provider = Provider::start()?;
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let round = round(&provider, &args, number).await?;
        let (more, ratio) = ((round.read - round.idle) * 100.0, round.beside / round.alone);
        eprintln!("round {number}: {} readers cost {more:.2} % of a core; beside a slow one {ratio:.3}", args.readers);
        rounds.push(round);
    }
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut report = Report::new("readers");
    report.number("idle_percent", "engine without readers", "%", over(&|round| round.idle * 100.0));
    report.number("read_percent", "engine with idle readers", "%", over(&|round| round.read * 100.0));
    report.number("cost_percent", "what they cost", "%", over(&|round| (round.read - round.idle) * 100.0));
    report.rate("alone_per_second", "accepted, nobody reads", over(&|round| round.alone));
    report.rate("beside_per_second", "accepted beside a slow reader", over(&|round| round.beside));
    report.ratio("beside_ratio", "one of the other", over(&|round| round.beside / round.alone));
    report.number("rss_mb", "most memory", "MB", over(&|round| round.rss_mb));
    report.condition("readers", args.readers);
    report.condition("seconds", args.seconds);
    report.tell(args.common.json)
}

async fn round(provider: &Provider, args: &ReadersArgs, number: u32) -> Result<Round, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, Kind::Free, 1, None, PATIENCE)?;
    engine.pause()?;
    let address = engine.api()?.trim_start_matches("http://").to_owned();
    let window = Duration::from_secs(args.seconds.into());

    let idle = share(&mut engine, window).await?;
    let mut streams = Vec::new();
    for _ in 0..args.readers {
        streams.push(stream(&address).await?);
    }
    let read = share(&mut engine, window).await?;
    drop(streams);

    // By turns, so that neither always comes first.
    let mut rates = [0.0; 2];
    let order = if number.is_multiple_of(2) { [0, 1] } else { [1, 0] };
    for (turn, which) in (0_u32..).zip(order) {
        let slow = if which == 1 { Some(stream(&address).await?) } else { None };
        let told = engine.accept(turn * args.messages + 1, args.messages)?;
        rates[which] = told.per_second();
        drop(slow);
    }
    let rss_mb = engine.stop()?.usage.rss_mb;
    Ok(Round { idle, read, alone: rates[0], beside: rates[1], rss_mb })
}

/// The share of a core that the engine takes while nothing happens.
async fn share(engine: &mut EngineProcess, window: Duration) -> Result<f64, Failure> {
    tokio::time::sleep(SETTLE).await;
    let before = engine.look()?.usage.cpu_seconds;
    tokio::time::sleep(window).await;
    Ok((engine.look()?.usage.cpu_seconds - before) / window.as_secs_f64())
}

/// A stream that has begun, and that nobody reads on.
async fn stream(address: &str) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut beginning = Vec::new();
    let mut bytes = [0_u8; 1024];
    while !beginning.windows(4).any(|part| part == b"\nid:") {
        let count = stream.read(&mut bytes).await?;
        beginning.extend_from_slice(&bytes[..count]);
        check(count > 0 && beginning.len() < BEGINNING_BYTES_MAX, || {
            format!("no stream of events began: {}", String::from_utf8_lossy(&beginning))
        })?;
    }
    Ok(stream)
}
