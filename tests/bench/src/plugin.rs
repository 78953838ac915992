//! `plugin`: what the border of a plugin file costs. The WeChat transport linked in takes turns with the same code in a
//! file: on the caller's own thread, which is the border alone, and through the plugin's thread, as the engine calls it.
//! Then messages are held in flight in an asynchronous transport, all at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tidings_host::{FileHttpTransport, Loaded, PluginFile, direct, inspect, load};
use tidings_model::Outcome;
use tidings_sdk::{App, Delivery, HttpTransport, OwnedDelivery, Plugin, Response, Settings};

use crate::Common;
use crate::failure::{Failure, check};
use crate::measure::{Spread, rate};
use crate::report::Report;

/// The stage that is measured.
const STAGE: &str = "subscribe";
/// What WeChat answers when it takes a message.
const ANSWER: &[u8] = br#"{"errcode":0,"errmsg":"ok","msgid":1975255432156323841}"#;
/// How much more a call over the border may cost than one that is linked in.
const LIMIT_NS: f64 = 1000.0;
/// Calls measured at once: few, so that most slices end before the machine gives the processor to somebody else.
const SLICE: u32 = 50;
/// Callers that go through the plugin's thread at once: as many as the pipeline has on their way.
const CALLERS: u32 = 256;
/// How long a call may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct PluginArgs {
    #[command(flatten)]
    common: Common,
    /// Calls of each kind in each round.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// Messages held in flight at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    held: u32,
    /// Where the plugin files are [default: beside this program; build them with
    /// `cargo build --release -p tidings-wechat-file -p tidings-fixture-holds`].
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
}

/// Nanoseconds a call in one round.
struct Turn {
    linked: Call,
    direct: Call,
    pairs_per_second: f64,
    alone_us: f64,
}

/// What the two calls of one message cost.
#[derive(Clone, Copy)]
struct Call {
    request_ns: f64,
    read_ns: f64,
}

impl Call {
    /// Of both calls by themselves.
    fn median(slices: &[Call]) -> Call {
        let of = |value: fn(&Call) -> f64| Spread::of(slices.iter().map(value)).median;
        Call { request_ns: of(|call| call.request_ns), read_ns: of(|call| call.read_ns) }
    }
}

/// What it cost to hold messages.
struct Held {
    per_second: f64,
    threads: f64,
    bytes_each: f64,
}

pub(crate) async fn plugin(args: PluginArgs) -> Result<(), Failure> {
    let wechat = open(&args, "libtidings_wechat.so")?;
    let holds = open(&args, "libtidings_fixture_holds.so")?;
    let (mut turns, mut holdings) = (Vec::new(), Vec::new());
    for number in 1..=args.common.rounds {
        let turn = turn(&wechat, args.calls).await?;
        let held = hold(&holds, args.held).await?;
        eprintln!(
            "round {number}: linked {:.0} + {:.0} ns, file {:.0} + {:.0} ns; {:.0} pairs/s through the thread; {} held by \
             {:.0} threads more",
            turn.linked.request_ns,
            turn.linked.read_ns,
            turn.direct.request_ns,
            turn.direct.read_ns,
            turn.pairs_per_second,
            args.held,
            held.threads
        );
        turns.push(turn);
        holdings.push(held);
    }
    report(&args, &turns, &holdings).tell(args.common.json)
}

fn open(args: &PluginArgs, name: &str) -> Result<Arc<Loaded>, Failure> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_path_buf());
    let folder = args.files.clone().or_else(beside).unwrap_or_default();
    let file = PluginFile { path: folder.join(name), sha256: None };
    let advice = "build it with `cargo build --release -p tidings-wechat-file -p tidings-fixture-holds`";
    let loaded = inspect(&file).and_then(load);
    loaded.map_err(|refusal| Failure::new(format!("{refusal}; {advice}")))
}

async fn turn(wechat: &Arc<Loaded>, calls: u32) -> Result<Turn, Failure> {
    let app = app();
    let content = content();
    let (linked, file) = (tidings_wechat::plugin(), direct(wechat));
    let (linked, file) = (stage(&linked)?, stage(&file)?);
    let (mut of_linked, mut of_file) = (Vec::new(), Vec::new());
    // A slice of each by turns: what else the machine does meanwhile is met by both.
    for _ in 0..(calls / SLICE).max(1) {
        of_linked.push(measure(linked, &app, &content)?);
        of_file.push(measure(file, &app, &content)?);
    }
    let (linked, direct) = (Call::median(&of_linked), Call::median(&of_file));
    let transport = wechat
        .open_http_transport(STAGE, &Arc::new(app))
        .map_err(|error| Failure::new(format!("open the stage: {error:?}")))?;
    let begun = Instant::now();
    let each = (calls / CALLERS).max(1);
    let callers = (0..CALLERS).map(|_| tokio::spawn(pairs(transport.clone(), content.clone(), each)));
    for caller in join_all(callers).await {
        caller.map_err(|error| Failure::new(format!("a caller broke down: {error}")))??;
    }
    let pairs_per_second = rate(u64::from(each * CALLERS), begun.elapsed());
    let alone = (calls / 20).max(1);
    let begun = Instant::now();
    pairs(transport, content, alone).await?;
    let alone_us = begun.elapsed().as_secs_f64() * 1e6 / f64::from(alone * 2);
    Ok(Turn { linked, direct, pairs_per_second, alone_us })
}

/// The same two calls as an attempt makes, one message after the other.
async fn pairs(transport: FileHttpTransport, content: Map<String, Value>, count: u32) -> Result<(), Failure> {
    let failed = |trouble| Failure::new(format!("a call failed: {trouble}"));
    for _ in 0..count {
        transport.request(owned(content.clone())).await.map_err(failed)?;
        let outcome = transport.read(200, None, ANSWER.to_vec(), PATIENCE).await.map_err(failed)?;
        check(matches!(outcome, Outcome::Accepted { .. }), || "the answer was not read as a success".to_owned())?;
    }
    Ok(())
}

fn stage(plugin: &Plugin) -> Result<&dyn HttpTransport, Failure> {
    let found = plugin.http_transports.iter().find(|(name, _)| *name == STAGE);
    found.map(|(_, stage)| &**stage).ok_or_else(|| Failure::new("the plugin has no such stage"))
}

/// One slice.
fn measure(stage: &dyn HttpTransport, app: &App, content: &Map<String, Value>) -> Result<Call, Failure> {
    let delivery = Delivery {
        app,
        token: "75_a-token-as-long-as-wechat-makes-them-or-thereabouts-0123456789",
        credential: None,
        recipient: "oABCD1234567890abcdefghijklm",
        content,
        dedupe_id: "tidings-0123456789abcdef-42",
    };
    let begun = Instant::now();
    for _ in 0..SLICE {
        std::hint::black_box(stage.request(&delivery)).map_err(Failure::new)?;
    }
    let request_ns = begun.elapsed().as_secs_f64() * 1e9 / f64::from(SLICE);
    let begun = Instant::now();
    for _ in 0..SLICE {
        let outcome = std::hint::black_box(stage.read(app, &Response::new(200, ANSWER)));
        check(matches!(outcome, Outcome::Accepted { .. }), || "the answer was not read as a success".to_owned())?;
    }
    let read_ns = begun.elapsed().as_secs_f64() * 1e9 / f64::from(SLICE);
    Ok(Call { request_ns, read_ns })
}

async fn hold(holds: &Arc<Loaded>, held: u32) -> Result<Held, Failure> {
    let Value::Object(settings) = json!({"hold": held}) else { return Err(Failure::new("settings are an object")) };
    let app = Arc::new(App { name: "bench".to_owned(), settings: Settings::new(settings) });
    let transport =
        holds.open_transport("messages", &app).map_err(|error| Failure::new(format!("open the stage: {error:?}")))?;
    let (threads, memory) = (threads()?, resident_bytes()?);
    let begun = Instant::now();
    let first = (1..held).map(|_| transport.deliver(owned(Map::new())));
    let mut first = Box::pin(join_all(first));
    // All but the last are on their way, and none can be answered before it.
    let waiting = async {
        while holds.counters().in_flight < u64::from(held) - 1 && begun.elapsed() < PATIENCE {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut first => return Err(Failure::new("messages were answered before all of them were there")),
        () = waiting => {}
    }
    let (more_threads, more_memory) = (self::threads()? - threads, resident_bytes()? - memory);
    let last = transport.deliver(owned(Map::new())).await;
    let outcomes = first.await;
    let accepted = |outcome: &Outcome| matches!(outcome, Outcome::Accepted { .. });
    check(outcomes.iter().chain([&last]).all(accepted), || "a message that was held was not accepted".to_owned())?;
    Ok(Held {
        per_second: rate(held.into(), begun.elapsed()),
        threads: more_threads,
        bytes_each: more_memory / f64::from(held),
    })
}

/// Threads of this process.
fn threads() -> Result<f64, Failure> {
    Ok(std::fs::read_dir("/proc/self/task")?.count() as f64)
}

fn resident_bytes() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.map(|pages| pages * 4096.0).ok_or_else(|| Failure::new("read the process's own size in /proc"))
}

/// Without settings: what stands for the engine on the caller's own thread looks its instance up by them, and the engine
/// does not.
fn app() -> App {
    App { name: "bench".to_owned(), settings: Settings::default() }
}

fn content() -> Map<String, Value> {
    let content = json!({
        "template_id": "SUB0001-order-shipped",
        "page": "pages/order/show?id=20260131-0001",
        "state": "formal",
        "lang": "zh_CN",
        "data": {"character_string1": "20260131-0001", "thing2": "您的订单已发货", "amount3": "￥18.50"},
    });
    content.as_object().cloned().unwrap_or_default()
}

fn owned(content: Map<String, Value>) -> OwnedDelivery {
    OwnedDelivery {
        token: "75_a-token-as-long-as-wechat-makes-them-or-thereabouts-0123456789".to_owned(),
        credential: None,
        recipient: "oABCD1234567890abcdefghijklm".to_owned(),
        content,
        dedupe_id: "tidings-0123456789abcdef-42".to_owned(),
        timeout: PATIENCE,
    }
}

fn report(args: &PluginArgs, turns: &[Turn], holdings: &[Held]) -> Report {
    let of = |value: fn(&Turn) -> f64| Spread::of(turns.iter().map(value));
    let held = |value: fn(&Held) -> f64| Spread::of(holdings.iter().map(value));
    let more_request = of(|turn| turn.direct.request_ns - turn.linked.request_ns);
    let more_read = of(|turn| turn.direct.read_ns - turn.linked.read_ns);
    let mut report = Report::new("plugin");
    report.number("linked_request_ns", "request, linked in", "ns", of(|turn| turn.linked.request_ns));
    report.number("file_request_ns", "request, in a file", "ns", of(|turn| turn.direct.request_ns));
    report.number("more_request_ns", "  the border", "ns", more_request);
    report.number("linked_read_ns", "read, linked in", "ns", of(|turn| turn.linked.read_ns));
    report.number("file_read_ns", "read, in a file", "ns", of(|turn| turn.direct.read_ns));
    report.number("more_read_ns", "  the border", "ns", more_read);
    let worst = more_request.median.max(more_read.median);
    let verdict = if worst <= LIMIT_NS { "kept" } else { "missed" };
    report.line("at most", format!("{LIMIT_NS:>9.0} ns   more a call: {verdict}"));
    report.rate("pairs_per_second", "both, through its thread, 256 at once", of(|turn| turn.pairs_per_second));
    report.number("alone_us", "a call through its thread, alone", "us", of(|turn| turn.alone_us));
    report.rate("held_per_second", "messages held, all at once", held(|held| held.per_second));
    report.number("held_threads", "  threads more", "", held(|held| held.threads));
    report.number("held_bytes_each", "  memory for each", "B", held(|held| held.bytes_each));
    report.condition("limit_ns", LIMIT_NS);
    report.condition("kept", worst <= LIMIT_NS);
    report.condition("held", args.held);
    report.condition("calls", args.calls);
    report.condition("rounds", args.common.rounds);
    report
}
