//! `tidings demo`: the whole thing on one machine, in a temporary folder: WeChat simulated, an engine, sample traffic.
//!
//! The simulated WeChat commits and then drops one reply in twenty, so what is shown is the hard case. At the end the
//! engine's word is compared with the log of what arrived: nothing may be lost, nothing doubled.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidings_api::client::{Address, Client};
use tidings_api::wire::{Counts, Overview, SendRequest};
use tidings_engine::Config;
use tidings_engine::config::World;
use tidings_wechat_sandbox::{Api, Control, DEFAULT_APPID, Fault, FaultKind, Options, Quotas, When, start};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing_subscriber::filter::LevelFilter;

use crate::args::DemoArgs;
use crate::run::{Running, load_text, told};
use crate::{Failure, Outcome, logging, output, screen};

/// Messages in one request.
const STEP: usize = 200;
/// One reply in so many is lost after its message arrived.
const DROPPED_EVERY: u64 = 20;
/// One recipient in so many has a permit only later: the message waits for it.
const LATE_EVERY: usize = 25;
/// How long the demo may take for each message before it gives up, and at least.
const PATIENCE_PER_MESSAGE: Duration = Duration::from_millis(20);
const PATIENCE_MIN: Duration = Duration::from_secs(60);

pub(crate) async fn demo(args: DemoArgs) -> Outcome {
    let on_screen = !args.headless && !args.json && std::io::stdout().is_terminal();
    let folder = Folder::make()?;
    if on_screen {
        logging::to_file(&folder.path.join("demo.log"), LevelFilter::INFO)?;
    } else {
        logging::to_stderr(LevelFilter::ERROR)?;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let sandbox = start(listener, sandbox_options()).await;
    let running = Running::start(config(&folder.path, &sandbox.base_url())?).await?;
    let client = Client::new(Address::Socket(running.socket.clone()), None)?;

    let begun = Instant::now();
    let report = if on_screen {
        let traffic = tokio::spawn(traffic(client.clone(), sandbox.control().clone(), args.messages, Pace::Watchable));
        let shown = screen::show(client.clone()).await;
        traffic.abort();
        shown.map(|()| None)
    } else {
        let traffic = tokio::spawn(traffic(client.clone(), sandbox.control().clone(), args.messages, Pace::Full));
        wait_until_done(&client, traffic, &args).await.map(Some)
    };
    let seconds = begun.elapsed().as_secs_f64();
    // What is compared is what the store says after everything on its way has ended.
    let orders = report.as_ref().ok().and_then(|report| report.clone());
    let summary = match orders {
        Some(orders) => Some(summary(&client, sandbox.control(), &orders, seconds).await?),
        None => None,
    };
    let left = running.stop(Duration::from_secs(5)).await?;
    sandbox.stop().await;
    report?;
    match summary {
        Some(summary) => summary.tell(args.json),
        None => {
            eprintln!("{}", told(left));
            Ok(())
        }
    }
}

/// A folder of its own that is gone afterwards.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make() -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("tidings-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary place is no reason to fail.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

fn sandbox_options() -> Options {
    let drop_reply =
        Fault { api: Some(Api::Template), kind: FaultKind::DropReply, when: When::Every(DROPPED_EVERY), times: None };
    let slow = Fault { api: None, kind: FaultKind::Latency { ms: 3 }, when: When::Every(1), times: None };
    Options { faults: vec![drop_reply, slow], quotas: Quotas::UNLIMITED, ..Options::default() }
}

fn config(folder: &Path, sandbox: &str) -> Result<Config, Failure> {
    let text = include_str!("demo.toml").replace("SANDBOX", sandbox);
    load_text("demo.toml", &text, folder, &World::process())
}

/// How fast sample messages come.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// As fast as they are taken.
    Full,
    /// As fast as a person can follow.
    Watchable,
}

/// The orders of the demo: a message of each, by the order number in its data.
type Orders = Vec<String>;

/// Posts permits as phones would, and sends a message for each order. The last permits come late.
async fn traffic(client: Client, control: Control, count: u32, pace: Pace) -> Result<Orders, Failure> {
    let numbers: Vec<u32> = (1..=count).collect();
    let mut orders = Orders::with_capacity(numbers.len());
    let mut late = Vec::new();
    let step = if pace == Pace::Full { STEP } else { 5 };
    for chunk in numbers.chunks(step) {
        let mut permits = Vec::with_capacity(chunk.len());
        let mut requests = Vec::with_capacity(chunk.len());
        for number in chunk {
            let openid = format!("o-demo-{number:06}");
            let order = format!("order-{number:06}");
            let form_ids = control.mint_form_ids(DEFAULT_APPID, &openid, 1)?;
            let permit = json!({"form_id": form_ids[0], "openId": openid});
            if usize::try_from(*number).is_ok_and(|number| number % LATE_EVERY == 0) {
                late.push(permit);
            } else {
                permits.push(permit);
            }
            requests.push(request(&openid, &order));
            orders.push(order);
        }
        client.add_credentials("wechat.form_id", None, &permits).await?;
        for line in client.send_bulk(&requests).await? {
            if let Some(problem) = line.problem {
                return Err(Failure::Failed(format!("the demo's own message was refused: {}", problem.detail)));
            }
        }
        if pace == Pace::Watchable {
            tokio::time::sleep(Duration::from_millis(250)).await;
            for permit in late.drain(..late.len() / 2) {
                client.add_credentials("wechat.form_id", None, &[permit]).await?;
            }
        }
    }
    for chunk in late.chunks(STEP) {
        client.add_credentials("wechat.form_id", None, chunk).await?;
    }
    Ok(orders)
}

fn request(openid: &str, order: &str) -> SendRequest {
    let mut data = Map::new();
    data.insert("title".to_owned(), "已付款 paid".into());
    data.insert("order".to_owned(), json!({"id": order, "total": "¥18.50"}));
    SendRequest {
        template: "order-paid".to_owned(),
        to: openid.to_owned(),
        data,
        key: Some(order.to_owned()),
        ..SendRequest::default()
    }
}

/// Until every message has ended, with progress on standard error.
async fn wait_until_done(
    client: &Client,
    mut traffic: JoinHandle<Result<Orders, Failure>>,
    args: &DemoArgs,
) -> Result<Orders, Failure> {
    let patience = PATIENCE_MIN.max(PATIENCE_PER_MESSAGE * args.messages);
    let deadline = tokio::time::Instant::now() + patience;
    let mut orders = None;
    loop {
        let overview = client.overview().await?;
        progress(&overview, args);
        if orders.is_some() && open(&overview.states) == 0 {
            break;
        }
        tokio::select! {
            sent = &mut traffic, if orders.is_none() => {
                let sent = sent.map_err(|error| Failure::Failed(format!("the sample traffic ended badly: {error}")))?;
                orders = Some(sent?);
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    orders.ok_or_else(|| Failure::Failed(format!("the sample traffic was not taken within {} s", patience.as_secs())))
}

/// Messages that have not ended.
fn open(counts: &Counts) -> i64 {
    counts.scheduled + counts.queued + counts.waiting + counts.sending
}

fn progress(overview: &Overview, args: &DemoArgs) {
    let counts = overview.states;
    let ended = if std::io::stderr().is_terminal() { '\r' } else { '\n' };
    eprint!(
        "sent {} of {}  queued {}  sending {}  waiting {}  to be tried again {}      {ended}",
        counts.sent, args.messages, counts.queued, counts.sending, counts.waiting, counts.scheduled
    );
}

/// What came of it, against the simulated WeChat's own log.
struct Summary {
    accepted: usize,
    counts: Counts,
    duplicates: u64,
    lost: u64,
    dropped: u64,
    seconds: f64,
}

async fn summary(client: &Client, control: &Control, orders: &Orders, seconds: f64) -> Result<Summary, Failure> {
    let mut arrived: HashMap<String, u64> = HashMap::new();
    let mut dropped = 0;
    for delivery in control.deliveries(0) {
        dropped += u64::from(delivery.reply == tidings_wechat_sandbox::ReplyFate::Dropped);
        *arrived.entry(order_of(&delivery.data)).or_default() += 1;
    }
    let counts = client.overview().await?.states;
    let duplicates = arrived.values().map(|count| count - 1).sum();
    // A message that did not arrive may only be one that the engine does not call sent.
    let missing =
        u64::try_from(orders.iter().filter(|order| !arrived.contains_key(*order)).count()).unwrap_or(u64::MAX);
    let told = open(&counts) + counts.held + counts.failed + counts.unknown + counts.expired + counts.cancelled;
    let lost = missing.saturating_sub(u64::try_from(told).unwrap_or(0));
    Ok(Summary { accepted: orders.len(), counts, duplicates, lost, dropped, seconds })
}

/// The order number of a delivery: what the demo's template puts into `keyword2`.
fn order_of(data: &Value) -> String {
    data["keyword2"]["value"].as_str().unwrap_or_default().to_owned()
}

impl Summary {
    fn tell(&self, as_json: bool) -> Outcome {
        let Summary { accepted, counts, duplicates, lost, dropped, seconds } = self;
        let waiting = open(counts) + counts.held;
        let (sent, failed, unknown) = (counts.sent + counts.delivered, counts.failed, counts.unknown);
        if as_json {
            // By hand, because the order of the members is part of what scripts were promised.
            output::line(&format!(
                "{{\"accepted\":{accepted},\"sent\":{sent},\"failed\":{},\"waiting\":{waiting},\"unknown\":{unknown},\
                 \"duplicates\":{duplicates},\"lost\":{lost},\"seconds\":{seconds:.3}}}",
                failed + counts.expired + counts.cancelled
            ))?;
        } else {
            output::line(&format!("accepted   {accepted}"))?;
            output::line(&format!("sent       {sent}"))?;
            output::line(&format!("failed     {failed}"))?;
            output::line(&format!("waiting    {waiting}"))?;
            output::line(&format!("unknown    {unknown}"))?;
            output::line(&format!(
                "in {seconds:.1} s, while {dropped} replies were lost after their message had arrived"
            ))?;
            output::line(&format!("compared with WeChat's own log: {duplicates} doubled, {lost} lost"))?;
        }
        if *duplicates > 0 || *lost > 0 {
            return Err(Failure::Failed(format!("{duplicates} doubled, {lost} lost")));
        }
        Ok(())
    }
}
