//! `neighbours`: from a message's POST to its arrival at the provider, in a channel that nothing is wrong with, while a
//! plugin in a file misbehaves in the channel beside it. A plugin that behaves takes its turn in every round, and so does
//! none at all: the ratio to the good one is what the misbehaviour costs.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use reqwest::StatusCode;
use serde_json::json;

use crate::Common;
use crate::child::PATIENCE;
use crate::engine::{EngineProcess, KEY};
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::intake::post;
use crate::latency::{WARM_UP, at_a_rate, seen, wait_until_sent};
use crate::measure::{Spread, millis, percentile};
use crate::report::Report;
use crate::server::{Provider, client};
use crate::workload::Kind;

/// The plugin: a transport that does what the recipient's name says.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/plugins/broken_transport.c");
/// The contract's header, and where it is.
const HEADER_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/abi/include");
/// Requests of the good channel on their way at once.
const IN_FLIGHT: u32 = 256;

/// What the neighbour does, and to whom its messages go so that it does that.
const NEIGHBOURS: [(&str, &[&str]); 5] = [
    ("good", &["now"]),
    ("hangs", &["stuck"]),
    ("panics", &["panicked"]),
    ("floods", &["floods"]),
    ("lies", &["foreign", "twice", "small", "null detail", "not taken but answered"]),
];

#[derive(Debug, Args)]
pub(crate) struct NeighboursArgs {
    #[command(flatten)]
    common: Common,
    /// Messages of the good channel in each turn.
    #[arg(long, default_value_t = 2500, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// How many of them come in a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_second: u32,
    /// Messages of the neighbour's channel in a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    beside_per_second: u32,
}

/// How long messages of the good channel took in one turn, each in order.
struct Turn {
    p50_ms: f64,
    p99_ms: f64,
}

/// The turns of one round: alone, and beside each of [`NEIGHBOURS`].
struct Round {
    alone: Turn,
    beside: Vec<Turn>,
}

pub(crate) async fn neighbours(args: NeighboursArgs) -> Result<(), Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let file = compile(folder.path())?;
    let provider = Provider::start()?;
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let alone = turn(&provider, &args, None).await?;
        let mut beside = Vec::new();
        for (_, ways) in NEIGHBOURS {
            beside.push(turn(&provider, &args, Some((&file, ways))).await?);
        }
        let p99: Vec<String> =
            NEIGHBOURS.iter().zip(&beside).map(|((name, _), turn)| format!("{name} {:.2}", turn.p99_ms)).collect();
        eprintln!("round {number}: p99 in ms: alone {:.2}, beside one that is {}", alone.p99_ms, p99.join(", "));
        rounds.push(Round { alone, beside });
    }
    report(&args, &rounds).tell(args.common.json)
}

/// What an engine's config has beside the workload's own: the neighbour's channel.
pub(crate) fn config(file: &Path) -> String {
    format!(
        r#"
[plugins.broken-transport]
path = {file:?}

[apps.neighbour]
plugin = "broken-transport"

[channels.neighbour]
app       = "neighbour"
transport = "broken-transport.carry"
timeout   = "2s"

[templates.neighbour]
channel = "neighbour"
"#
    )
}

fn compile(folder: &Path) -> Result<PathBuf, Failure> {
    let file = folder.join("libbroken_transport.so");
    let mut compile = Command::new("cc");
    compile.args(["-std=gnu99", "-O1", "-fPIC", "-shared", "-pthread", "-I", HEADER_FOLDER, SOURCE, "-o"]).arg(&file);
    let output = compile.output().map_err(|error| Failure::new(format!("run the C compiler `cc`: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    check(output.status.success(), || format!("`cc` does not compile {SOURCE}: {said}"))?;
    Ok(file)
}

async fn turn(
    provider: &Provider,
    args: &NeighboursArgs,
    beside: Option<(&Path, &'static [&'static str])>,
) -> Result<Turn, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let file = beside.map(|(file, _)| file);
    let mut engine = EngineProcess::start(folder.path(), &provider.url, Kind::Free, IN_FLIGHT, file, PATIENCE)?;
    let (url, client) = (engine.api()?, client(Some(PATIENCE))?);
    for number in args.messages + 1..=args.messages + WARM_UP {
        post(&client, &url, number).await?;
    }
    wait_until_sent(&mut engine, WARM_UP).await?;
    provider.reset().await?;
    let good = {
        let (client, url) = (client.clone(), url.clone());
        at_a_rate(args.messages, args.per_second, move |number| {
            let (client, url) = (client.clone(), url.clone());
            async move { post(&client, &url, number).await.map(drop) }
        })
    };
    let sent = match beside {
        None => good.await?,
        Some((_, ways)) => {
            let messages = (args.messages * args.beside_per_second).div_ceil(args.per_second);
            let other = at_a_rate(messages, args.beside_per_second, move |number| {
                let way = ways[number as usize % ways.len()];
                let (client, url) = (client.clone(), url.clone());
                async move { post_beside(&client, &url, way).await }
            });
            let (sent, other) = tokio::join!(good, other);
            other?;
            sent?
        }
    };
    wait_until_sent(&mut engine, args.messages + WARM_UP).await?;
    provider.check("the engine", args.messages).await?;
    engine.stop()?;
    let took = seen(sent, provider.arrivals().await?)?.from_post;
    Ok(Turn { p50_ms: millis(percentile(&took, 500)), p99_ms: millis(percentile(&took, 990)) })
}

async fn post_beside(client: &reqwest::Client, url: &str, way: &str) -> Result<(), Failure> {
    let response = client
        .post(format!("{url}/v1/messages"))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {KEY}"))
        .body(json!({"template": "neighbour", "to": way}).to_string())
        .send()
        .await?;
    let status = response.status();
    check(status == StatusCode::ACCEPTED, || format!("a message of the neighbour's was answered with {status}"))
}

fn report(args: &NeighboursArgs, rounds: &[Round]) -> Report {
    let mut report = Report::new("neighbours");
    for (percentile, label, of) in
        [("p50", "median", (|turn| turn.p50_ms) as fn(&Turn) -> f64), ("p99", "99 of 100", |turn| turn.p99_ms)]
    {
        let alone = Spread::of(rounds.iter().map(|round| of(&round.alone)));
        report.number(&format!("alone_{percentile}_ms"), &format!("POST → arrival, {label}, alone"), "ms", alone);
        for (place, (name, _)) in NEIGHBOURS.iter().enumerate() {
            let took = Spread::of(rounds.iter().map(|round| of(&round.beside[place])));
            report.number(&format!("{name}_{percentile}_ms"), &format!("  beside one: {name}"), "ms", took);
            if place > 0 {
                let ratio = rounds.iter().map(|round| of(&round.beside[place]) / of(&round.beside[0]));
                report.ratio(&format!("{name}_{percentile}_ratio"), "    to the good one", Spread::of(ratio));
            }
        }
    }
    report.condition("messages", args.messages);
    report.condition("per_second", args.per_second);
    report.condition("beside_per_second", args.beside_per_second);
    report.condition("rounds", args.common.rounds);
    report
}
