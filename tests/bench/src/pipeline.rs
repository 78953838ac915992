//! `pipeline`: the whole engine beside the bare loop, both to the same provider in the same run.

mod postgres;

use clap::{Args, ValueEnum};

use crate::Common;
use crate::bare;
use crate::child::PATIENCE;
use crate::engine::{EngineProcess, Told};
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::measure::{Spread, rate};
use crate::report::Report;
use crate::server::Provider;
use crate::usage::Usage;
use crate::workload::Kind;

/// Messages that warm the provider up, and whose time is nobody's.
const WARM_UP: u32 = 2000;

#[derive(Debug, Args)]
pub(crate) struct PipelineArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in each round.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Requests on their way at once, of the engine as of the bare loop.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    in_flight: u32,
    /// Send what needs no credential: a service account's template message.
    #[arg(long)]
    no_credentials: bool,
    /// Where the engine keeps its messages.
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// On PostgreSQL: messages that have ended before one of the measurements; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    done: u32,
    /// On PostgreSQL: leave graphile_worker out. Its program is built on the first run, from crates.io, in minutes.
    #[arg(long)]
    no_graphile: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    /// A file beside the engine.
    Sqlite,
    /// A server of its own for this run, which syncs what it commits.
    Postgres,
}

/// What one round found.
struct Round {
    bare: f64,
    /// What the loop's process used of the machine, and the provider's meanwhile.
    bare_cpu_seconds: f64,
    bare_provider_cpu_seconds: f64,
    engine: Told,
    accepted: Told,
    permitted: Option<Told>,
    /// What the provider's process used while the engine sent.
    provider_cpu_seconds: f64,
}

pub(crate) async fn pipeline(args: PipelineArgs) -> Result<(), Failure> {
    if args.store == Store::Postgres {
        return Box::pin(postgres::pipeline(args)).await;
    }
    let kind = Kind::of(args.no_credentials);
    let provider = Provider::start()?;
    bare::send(&provider, kind, WARM_UP.min(args.messages), args.in_flight as usize).await?;
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let round = round(&provider, &args, kind).await?;
        let (bare, ours) = (round.bare, round.engine.per_second());
        eprintln!("round {number}: bare loop {bare:.0}/s, engine {ours:.0}/s, ratio {:.3}", ours / bare);
        rounds.push(round);
    }
    report(&args, &rounds).tell(args.common.json)
}

async fn round(provider: &Provider, args: &PipelineArgs, kind: Kind) -> Result<Round, Failure> {
    provider.reset().await?;
    let (before, provider_before) = (Usage::now()?.cpu_seconds, provider.usage().await?.cpu_seconds);
    let took = bare::send(provider, kind, args.messages, args.in_flight as usize).await?;
    let bare_cpu_seconds = Usage::now()?.cpu_seconds - before;
    let bare_provider_cpu_seconds = provider.usage().await?.cpu_seconds - provider_before;
    let bare_bytes = provider.check("the bare loop", args.messages).await?.bytes;
    let bare = rate(args.messages.into(), took);

    provider.reset().await?;
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, kind, args.in_flight, None, PATIENCE)?;
    engine.pause()?;
    let permitted = match kind {
        Kind::Credentials => Some(engine.permit(1, args.messages)?),
        Kind::Free => None,
    };
    let accepted = engine.accept(1, args.messages)?;
    let provider_before = provider.usage().await?.cpu_seconds;
    let sent = engine.send(args.messages)?;
    let provider_cpu_seconds = provider.usage().await?.cpu_seconds - provider_before;
    let engine_bytes = provider.check("the engine", args.messages).await?.bytes;
    check(sent.standing.sent == i64::from(args.messages), || format!("not all were sent: {:?}", sent.standing))?;
    // Both send the same number of bytes, but for the number in a dedupe id.
    check(bare_bytes.abs_diff(engine_bytes) <= bare_bytes / 20, || {
        format!("the engine sent {engine_bytes} bytes, and the bare loop {bare_bytes}: the ratio would say nothing")
    })?;
    engine.stop()?;
    let engine = sent;
    Ok(Round { bare, bare_cpu_seconds, bare_provider_cpu_seconds, engine, accepted, permitted, provider_cpu_seconds })
}

fn report(args: &PipelineArgs, rounds: &[Round]) -> Report {
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let thousand = |seconds: f64| seconds * 1000.0 / f64::from(args.messages);
    let mut report = Report::new("pipeline");
    report.rate("per_second", "engine sends", over(&|round| round.engine.per_second()));
    report.rate("bare_per_second", "bare loop sends", over(&|round| round.bare));
    report.ratio("ratio_to_bare", "ratio", over(&|round| round.engine.per_second() / round.bare));
    report.rate("accept_per_second", "engine accepts, in batches", over(&|round| round.accepted.per_second()));
    if !args.no_credentials {
        let permitted = |round: &Round| round.permitted.as_ref().map_or(f64::NAN, Told::per_second);
        report.rate("credentials_per_second", "engine takes credentials in", over(&permitted));
    }
    for (name, label, seconds) in [
        ("cpu_s_per_1000", "engine's CPU for 1000 sends", (|round| round.engine.cpu_seconds) as fn(&Round) -> f64),
        ("provider_cpu_s_per_1000", "  the provider's meanwhile", |round| round.provider_cpu_seconds),
        ("bare_cpu_s_per_1000", "bare loop's CPU for 1000 sends", |round| round.bare_cpu_seconds),
        ("bare_provider_cpu_s_per_1000", "  the provider's meanwhile", |round| round.bare_provider_cpu_seconds),
    ] {
        report.number(name, label, "s", over(&|round| thousand(seconds(round))));
    }
    // Says on a machine that is busy with other things what the ratio would be on one that is not.
    let cpu_ratio = |round: &Round| {
        (round.bare_cpu_seconds + round.bare_provider_cpu_seconds)
            / (round.engine.cpu_seconds + round.provider_cpu_seconds)
    };
    report.ratio("cpu_ratio_to_bare", "ratio of the CPU of both sides", over(&cpu_ratio));
    report.number("rss_mb", "engine's memory, at most", "MB", over(&|round| round.engine.usage.rss_mb));
    report.condition("messages", args.messages);
    report.condition("rounds", args.common.rounds);
    report.condition("in_flight", args.in_flight);
    report.condition("credentials", !args.no_credentials);
    report
}
