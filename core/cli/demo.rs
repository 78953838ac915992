//! `tidings demo`: the whole thing on one machine, in a temporary folder: WeChat simulated, an engine, sample traffic.
//!
//! The simulated WeChat commits and then drops one reply in twenty, so what is shown is the hard case. At the end the
//! engine's word is compared with the log of what arrived, message by message: nothing may be lost, nothing doubled.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{ErrorKind, IsTerminal as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidings_api::client::{Address, Client};
use tidings_api::wire::{Counts, SendRequest};
use tidings_engine::Config;
use tidings_engine::config::LogFormat;
use tidings_engine::config::World;
use tidings_model::limits::PAGE_ROWS_MAX;
use tidings_wechat_sandbox::{Api, Control, DEFAULT_APPID, Fault, FaultKind, Options, Quotas, When, start};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing_subscriber::filter::LevelFilter;

use crate::args::DemoArgs;
use crate::run::{Begin, Running, load_text, told};
use crate::{Failure, Outcome, logging, output, screen};

/// Messages in one request.
const STEP: usize = 200;
/// What recipients and orders are called, in front of their number.
const OPENID: &str = "o-demo-";
const ORDER: &str = "order-";
/// One reply in so many is lost after its message arrived.
const DROPPED_EVERY: u64 = 20;
/// One recipient in so many has a permit only later: the message waits for it.
const LATE_EVERY: usize = 25;
/// How long the demo may take for each message before it gives up, and at least.
const PATIENCE_PER_MESSAGE: Duration = Duration::from_millis(20);
const PATIENCE_MIN: Duration = Duration::from_secs(60);
/// How often progress is told where each time is a line of its own.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Names that are tried for the temporary folder.
const FOLDER_TRIES_MAX: u32 = 16;

pub(crate) async fn demo(args: DemoArgs) -> Outcome {
    let on_screen = !args.headless && !args.json && std::io::stdout().is_terminal();
    let folder = Folder::make()?;
    if on_screen {
        logging::to_file(&folder.path.join("demo.log"), LevelFilter::INFO, LogFormat::Text)?;
    } else {
        logging::to_stderr(LevelFilter::ERROR, LogFormat::Text)?;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let sandbox = start(listener, sandbox_options()).await;
    let running = Running::start(config(&folder.path, &sandbox.base_url())?, Begin::AsItWas).await?;
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
    // Whoever leaves the screen leaves when he likes: what was accepted until then is what there is to compare.
    let accepted = report.as_ref().ok().and_then(|report| report.as_ref().map(Orders::len));
    let summary = summary(&client, sandbox.control(), accepted, seconds).await;
    let left = running.stop(Duration::from_secs(5)).await?;
    sandbox.stop().await;
    let ended = report?.is_some();
    let summary = summary?;
    summary.tell(args.json)?;
    if ended {
        return summary.verdict();
    }
    eprintln!("{}", told(left));
    summary.comparison.verdict()
}

/// A folder of its own that is gone afterwards.
struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The temporary place is everybody's: the name cannot be foreseen, what is there already is not used, and nobody
    /// else looks in.
    fn make() -> Result<Folder, Failure> {
        let place = std::env::temp_dir();
        let mut tries = 0;
        loop {
            let path = place.join(format!("tidings-demo-{:016x}", RandomState::new().build_hasher().finish()));
            tries += 1;
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < FOLDER_TRIES_MAX => {}
                Err(error) => return Err(Failure::Failed(format!("make folder `{}`: {error}", path.display()))),
            }
        }
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
            let (openid, order) = names(*number);
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
        for line in client.send_bulk(&requests, false).await? {
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

/// A recipient and his order.
fn names(number: u32) -> (String, String) {
    (format!("{OPENID}{number:06}"), format!("{ORDER}{number:06}"))
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
    let mut progress = Progress::new(args.messages);
    let mut orders = None;
    let last = loop {
        let overview = client.overview().await?;
        if orders.is_some() && open(&overview.states) == 0 {
            break overview;
        }
        progress.show(&overview.states, Instant::now());
        tokio::select! {
            sent = &mut traffic, if orders.is_none() => {
                let sent = sent.map_err(|error| Failure::Failed(format!("the sample traffic ended badly: {error}")))?;
                orders = Some(sent?);
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            () = tokio::time::sleep_until(deadline) => break overview,
        }
    };
    progress.finish(&last.states);
    orders.ok_or_else(|| Failure::Failed(format!("the sample traffic was not taken within {} s", patience.as_secs())))
}

/// Messages that have not ended.
fn open(counts: &Counts) -> i64 {
    counts.scheduled + counts.queued + counts.waiting + counts.sending
}

/// Progress on standard error: a line that changes where that is a terminal, a line now and then where it is not.
struct Progress {
    messages: u32,
    terminal: bool,
    told: Option<Instant>,
}

impl Progress {
    fn new(messages: u32) -> Progress {
        Progress { messages, terminal: std::io::stderr().is_terminal(), told: None }
    }

    fn show(&mut self, counts: &Counts, now: Instant) {
        if self.is_due(now) {
            let end = if self.terminal { '\r' } else { '\n' };
            eprint!("{}      {end}", self.line(counts));
        }
    }

    /// The last word, due or not.
    fn finish(&self, counts: &Counts) {
        eprintln!("{}      ", self.line(counts));
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.terminal || self.told.is_none_or(|told| now.duration_since(told) >= PROGRESS_INTERVAL);
        if due {
            self.told = Some(now);
        }
        due
    }

    fn line(&self, counts: &Counts) -> String {
        format!(
            "sent {} of {}  queued {}  sending {}  waiting {}  to be tried again {}",
            counts.sent, self.messages, counts.queued, counts.sending, counts.waiting, counts.scheduled
        )
    }
}

/// What came of it, against the simulated WeChat's own log.
struct Summary {
    accepted: u64,
    counts: Counts,
    comparison: Comparison,
    dropped: u64,
    seconds: f64,
}

/// The engine's word against the log of what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Comparison {
    /// Arrivals beyond the first of an order.
    duplicates: u64,
    /// Messages that the engine calls sent and that did not arrive, and accepted ones that it does not have.
    lost: u64,
}

/// Compares order by order: what one message lacks, another that arrived although the engine does not know it (an
/// unknown one) must not make up for. `known` is how many messages the engine has, in whatever state.
fn compare(accepted: u64, known: u64, called_sent: &[String], arrived: &HashMap<String, u64>) -> Comparison {
    let missing = called_sent.iter().filter(|order| !arrived.contains_key(*order)).count();
    Comparison {
        duplicates: arrived.values().map(|count| count - 1).sum(),
        lost: u64::try_from(missing).unwrap_or(u64::MAX).saturating_add(accepted.saturating_sub(known)),
    }
}

/// Asks the engine and the log. Without a number of accepted orders the engine's own is taken.
async fn summary(
    client: &Client,
    control: &Control,
    accepted: Option<usize>,
    seconds: f64,
) -> Result<Summary, Failure> {
    let counts = client.overview().await?.states;
    // Before the log is read: what is called sent by now has arrived by then.
    let called_sent = called_sent(client).await?;
    let mut arrived: HashMap<String, u64> = HashMap::new();
    let mut dropped = 0;
    for delivery in control.deliveries(0) {
        dropped += u64::from(delivery.reply == tidings_wechat_sandbox::ReplyFate::Dropped);
        *arrived.entry(order_of(&delivery.data)).or_default() += 1;
    }
    let known = all(&counts);
    let accepted = accepted.map_or(known, |accepted| u64::try_from(accepted).unwrap_or(u64::MAX));
    let comparison = compare(accepted, known, &called_sent, &arrived);
    Ok(Summary { accepted, counts, comparison, dropped, seconds })
}

/// Messages in any state.
fn all(counts: &Counts) -> u64 {
    let Counts { held, sent, delivered, failed, unknown, expired, cancelled, .. } = counts;
    let ended = held + sent + delivered + failed + unknown + expired + cancelled;
    u64::try_from(open(counts) + ended).unwrap_or(0)
}

/// The orders whose messages the engine calls sent or delivered.
async fn called_sent(client: &Client) -> Result<Vec<String>, Failure> {
    let mut orders = Vec::new();
    for state in ["sent", "delivered"] {
        let mut query = vec![("state", state.to_owned()), ("limit", PAGE_ROWS_MAX.to_string())];
        loop {
            let page = client.messages(&query).await?;
            orders.extend(page.items.iter().map(|message| order_for(&message.to)));
            let Some(next) = page.next else { break };
            query.truncate(2);
            query.push(("cursor", next));
        }
    }
    Ok(orders)
}

/// The order that a recipient of the demo is told of; each has one of his own.
fn order_for(openid: &str) -> String {
    openid.strip_prefix(OPENID).map_or_else(|| openid.to_owned(), |number| format!("{ORDER}{number}"))
}

/// The order number of a delivery: what the demo's template puts into `keyword2`.
fn order_of(data: &Value) -> String {
    data["keyword2"]["value"].as_str().unwrap_or_default().to_owned()
}

impl Summary {
    fn tell(&self, as_json: bool) -> Outcome {
        let Summary { accepted, counts, comparison: Comparison { duplicates, lost }, dropped, seconds } = self;
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
        Ok(())
    }

    /// Everything ended, and ended once.
    fn verdict(&self) -> Outcome {
        self.comparison.verdict()?;
        match open(&self.counts) {
            0 => Ok(()),
            open => Err(Failure::Failed(format!("{open} messages had not ended after {:.0} s", self.seconds))),
        }
    }
}

impl Comparison {
    fn verdict(self) -> Outcome {
        match self {
            Comparison { duplicates: 0, lost: 0 } => Ok(()),
            Comparison { duplicates, lost } => Err(Failure::Failed(format!("{duplicates} doubled, {lost} lost"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn check(accepted: u64, known: u64, called_sent: &[&str], arrived: &[&str], expected: (u64, u64)) {
        let called_sent: Vec<String> = called_sent.iter().map(|order| (*order).to_owned()).collect();
        let mut log: HashMap<String, u64> = HashMap::new();
        for order in arrived {
            *log.entry((*order).to_owned()).or_default() += 1;
        }
        let Comparison { duplicates, lost } = compare(accepted, known, &called_sent, &log);
        assert_eq!((duplicates, lost), expected, "{called_sent:?} against {arrived:?}");
    }

    #[test]
    fn a_message_is_lost_if_it_is_called_sent_and_did_not_arrive() {
        check(2, 2, &["a", "b"], &["b", "a"], (0, 0));
        check(2, 2, &["a", "b"], &["a"], (0, 1));
        check(2, 2, &["a"], &["a"], (0, 0));
        check(2, 2, &["a", "b"], &["a", "a", "a"], (2, 1));
    }

    #[test]
    fn a_lost_message_is_not_hidden_by_an_unknown_one_that_arrived() {
        // `a` is called sent and is not there; `b` is called unknown and is. By counts alone nothing is missing.
        check(2, 2, &["a"], &["b"], (0, 1));
    }

    #[test]
    fn an_accepted_message_that_the_engine_does_not_have_is_lost() {
        check(3, 2, &["a", "b"], &["a", "b"], (0, 1));
        check(3, 2, &["a", "b"], &["a", "b", "c"], (0, 1));
    }

    #[test]
    fn a_recipient_and_a_delivery_name_the_same_order() {
        let (openid, order) = names(7);
        assert_eq!((openid.as_str(), order.as_str()), ("o-demo-000007", "order-000007"));
        assert_eq!(order_for(&openid), order);
        assert_eq!(order_for("somebody"), "somebody");
    }

    #[test]
    fn messages_that_have_not_ended_are_a_failure() {
        let good = Comparison { duplicates: 0, lost: 0 };
        let check = |counts: Counts, comparison: Comparison, expected: Option<&str>| {
            let summary = Summary { accepted: 9, counts, comparison, dropped: 0, seconds: 60.2 };
            match (summary.verdict(), expected) {
                (Ok(()), None) => {}
                (Err(Failure::Failed(text)), Some(expected)) => assert_eq!(text, expected),
                (outcome, _) => panic!("{outcome:?}, not {expected:?}"),
            }
        };
        let ended = Counts { sent: 5, failed: 1, unknown: 2, held: 1, ..Counts::default() };
        check(ended, good, None);
        let open = Counts { sent: 5, queued: 1, sending: 1, waiting: 1, scheduled: 1, ..Counts::default() };
        check(open, good, Some("4 messages had not ended after 60 s"));
        check(ended, Comparison { duplicates: 1, lost: 2 }, Some("1 doubled, 2 lost"));
        assert_eq!(all(&ended), 9);
        assert_eq!(all(&open), 9);
    }

    #[test]
    fn progress_that_is_not_on_a_terminal_is_told_once_a_second() {
        let begun = Instant::now();
        let due = |terminal: bool| {
            let mut progress = Progress { messages: 1, terminal, told: None };
            (0..20).filter(|tick| progress.is_due(begun + Duration::from_millis(200) * *tick)).count()
        };
        assert_eq!((due(false), due(true)), (4, 20));
    }

    #[test]
    fn the_folder_is_new_and_its_owners_alone_and_gone_afterwards() {
        let (one, other) = (Folder::make().unwrap(), Folder::make().unwrap());
        assert_ne!(one.path, other.path);
        assert_eq!(std::fs::metadata(&one.path).unwrap().permissions().mode() & 0o777, 0o700);
        let path = one.path.clone();
        drop(one);
        assert!(!path.exists());
    }
}
