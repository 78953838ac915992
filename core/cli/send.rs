//! `tidings send`: one message, or a file of them with a progress bar.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidings_api::client::{Client, ClientError};
use tidings_api::wire::{BulkLine, SendRequest};
use tidings_engine::audience;
use tidings_model::limits::REQUEST_BYTES_MAX;
use tidings_store::{Fingerprint, fingerprint};

use crate::args::SendArgs;
use crate::bar::Bar;
use crate::connect::Reach;
use crate::{Failure, Outcome, output};

/// Rows in one request.
const ROWS_PER_REQUEST: usize = 500;
/// Data in one request, about: half of what the API takes, for names, keys and one row more.
const BYTES_PER_REQUEST: usize = REQUEST_BYTES_MAX / 2;
/// Refused rows that are told one by one; the rest are counted.
const REFUSALS_SHOWN: u64 = 20;
/// How long the engine may take no row before the command gives up: a restart is over by then.
const PATIENCE: Duration = Duration::from_secs(30);
/// The wait before rows that were not taken are sent again: doubled each time, up to a bound.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Bytes of a file that are in memory while its key is made.
const CHUNK_BYTES: u64 = 64 * 1024;

pub(crate) async fn send(reach: &Reach, args: SendArgs) -> Outcome {
    let client = reach.client()?;
    let data = data(&args.data)?;
    match &args.file {
        Some(file) => Box::pin(send_file(&client, &args, file, data)).await,
        None => send_one(&client, &args, data).await,
    }
}

async fn send_one(client: &Client, args: &SendArgs, data: Map<String, Value>) -> Outcome {
    let request = SendRequest { to: args.to.clone().unwrap_or_default(), ..request(args, data) };
    let reply = client.send(&request, args.dry_run).await?;
    if args.json {
        return output::json(&reply);
    }
    match (args.dry_run, reply.replayed) {
        (true, _) => output::line("it would be accepted; nothing was sent"),
        (false, true) => output::line(&format!("{} {} (the same request was accepted before)", reply.id, reply.state)),
        (false, false) => output::line(&format!("{} {}", reply.id, reply.state)),
    }
}

fn request(args: &SendArgs, data: Map<String, Value>) -> SendRequest {
    SendRequest {
        template: args.template.clone(),
        to: String::new(),
        data,
        send_at: args.at.clone(),
        expires_at: args.expires.clone(),
        priority: None,
        key: args.key.clone(),
    }
}

/// Reads `order.id=7` and the like.
fn data(pairs: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut data = Map::new();
    for pair in pairs {
        let (path, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("`--data {pair}`: write it as in `--data order.id=7`")))?;
        let mut steps = path.split('.').peekable();
        let mut table = &mut data;
        while let Some(step) = steps.next() {
            if steps.peek().is_none() {
                table.insert(step.to_owned(), value.into());
                break;
            }
            let inner = table.entry(step).or_insert_with(|| Value::Object(Map::new()));
            table = inner
                .as_object_mut()
                .ok_or_else(|| Failure::Usage(format!("`--data {pair}`: `{step}` is already a value")))?;
        }
    }
    Ok(data)
}

/// A row on its way to the engine, with its line in the file.
type Pending = (u64, SendRequest);

#[derive(Debug, Default, PartialEq)]
struct Tally {
    total: u64,
    read: u64,
    accepted: u64,
    repeated: u64,
    refused: u64,
    /// Whether something was sent twice, so that what was accepted before may be this command's own.
    again: bool,
}

impl Tally {
    /// Rows that nothing is known of yet.
    fn untaken(&self) -> u64 {
        self.total.saturating_sub(self.accepted + self.repeated + self.refused)
    }
}

async fn send_file(client: &Client, args: &SendArgs, file: &Path, common: Map<String, Value>) -> Outcome {
    // The first pass tells what is wrong with the file before anything is sent, and how long the bar is.
    let total = u64::try_from(audience::rows(file)?.count()).unwrap_or(u64::MAX);
    // Made in any case: a file that cannot be read to its end is found here, before half of it is sent.
    let content = file_key(args, file)?;
    let key = args.key.clone().unwrap_or(content);
    let call = async |requests: &[SendRequest]| client.send_bulk(requests, args.dry_run).await;
    let mut bar = Bar::new(total);
    let mut tally = Tally { total, ..Tally::default() };
    let mut batch: Vec<Pending> = Vec::with_capacity(ROWS_PER_REQUEST);
    let mut bytes = 0;
    for (line, row) in audience::rows(file)? {
        tally.read += 1;
        match row {
            Ok(row) => {
                let mut data = common.clone();
                data.extend(row.data);
                bytes += data.values().map(|value| value.to_string().len()).sum::<usize>();
                let key = Some(format!("{key}-{line}"));
                batch.push((line, SendRequest { to: row.to, key, ..request(args, data) }));
            }
            Err(problem) => refuse(&mut tally, args, &bar, problem.line, &problem.problem)?,
        }
        if batch.len() == ROWS_PER_REQUEST || bytes >= BYTES_PER_REQUEST {
            bytes = 0;
            step(&call, args, std::mem::take(&mut batch), &mut tally, &bar, PATIENCE).await?;
            bar.show(tally.read);
        }
    }
    step(&call, args, batch, &mut tally, &bar, PATIENCE).await?;
    bar.finish();
    let Tally { read, accepted, repeated, refused, again, .. } = tally;
    if args.json {
        output::json(&json!({"rows": read, "accepted": accepted, "repeated": repeated, "refused": refused}))?;
    } else {
        let what = if args.dry_run { "would be accepted" } else { "accepted" };
        output::line(&format!("{read} rows: {accepted} {what}, {repeated} accepted before, {refused} refused"))?;
        if repeated > 0 && !again && args.key.is_none() {
            eprintln!("hint: this file was sent before; to send it once more, give another `--key`");
        }
    }
    match (refused, accepted + repeated) {
        (0, _) => Ok(()),
        (_, 0) => Err(Failure::Failed("no row could be sent".to_owned())),
        _ => {
            eprintln!("{refused} of {read} rows were refused");
            Ok(())
        }
    }
}

/// Sends what has gathered, and again what was not taken. That is safe however the first try went: every row has its
/// key.
async fn step(
    call: impl AsyncFn(&[SendRequest]) -> Result<Vec<BulkLine>, ClientError>,
    args: &SendArgs,
    mut batch: Vec<Pending>,
    tally: &mut Tally,
    bar: &Bar,
    patience: Duration,
) -> Outcome {
    let mut back_off = BackOff::new(patience);
    while !batch.is_empty() {
        let (lines, requests): (Vec<u64>, Vec<SendRequest>) = batch.into_iter().unzip();
        let sent = requests.len();
        let reason;
        (batch, reason) = match call(&requests).await {
            Ok(replies) => settle(args, lines.into_iter().zip(requests), replies, tally, bar)?,
            Err(error) if is_passing(&error) => {
                let (Failure::Failed(reason) | Failure::Usage(reason)) = Failure::from(error);
                (lines.into_iter().zip(requests).collect(), reason)
            }
            Err(error) => return Err(error.into()),
        };
        if batch.is_empty() {
            break;
        }
        tally.again = true;
        if batch.len() < sent {
            back_off = BackOff::new(patience);
        }
        let Some(wait) = back_off.next(Instant::now()) else {
            bar.clear();
            return Err(Failure::Failed(given_up(args, tally, &reason)));
        };
        if wait == WAIT_MAX && !back_off.told {
            back_off.told = true;
            bar.clear();
            eprintln!("waiting for the engine: {}", output::clean(&reason));
        }
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

/// Counts what was answered for good; what was not is given back, with the reason.
fn settle(
    args: &SendArgs,
    rows: impl Iterator<Item = Pending>,
    replies: Vec<BulkLine>,
    tally: &mut Tally,
    bar: &Bar,
) -> Result<(Vec<Pending>, String), Failure> {
    let mut again = (Vec::new(), "the engine gave no answer".to_owned());
    let mut replies = replies.into_iter();
    for (line, request) in rows {
        match replies.next().map(|reply| (reply.accepted, reply.problem)) {
            Some((Some(accepted), _)) => {
                if args.json {
                    output::json(
                        &json!({"line": line, "id": accepted.id, "state": accepted.state, "replayed": accepted.replayed}),
                    )?;
                }
                if accepted.replayed { tally.repeated += 1 } else { tally.accepted += 1 }
            }
            Some((None, Some(problem))) if problem.status == NOT_NOW => {
                again.0.push((line, request));
                again.1 = problem.detail;
            }
            Some((None, Some(problem))) => refuse(tally, args, bar, line, &problem.detail)?,
            None | Some((None, None)) => again.0.push((line, request)),
        }
    }
    Ok(again)
}

/// The status of "not now": the engine is busy, its store is, or it stops.
const NOT_NOW: u16 = 503;

/// Whether the same call may go through a little later.
fn is_passing(error: &ClientError) -> bool {
    match error {
        // What is no address now will be none later.
        ClientError::Unreachable { source, .. } => !source.is_builder(),
        ClientError::Refused(problem) => problem.status == NOT_NOW,
        ClientError::Foreign { .. } => false,
    }
}

fn given_up(args: &SendArgs, tally: &Tally, reason: &str) -> String {
    let (untaken, total) = (tally.untaken(), tally.total);
    if args.dry_run {
        format!("{untaken} of {total} rows were not checked: {reason}")
    } else {
        format!("{untaken} of {total} rows were not taken: {reason}\nhint: the same command goes on where it stopped")
    }
}

/// How long to wait before each new try. The patience is counted from the first failure, not from the last success: a
/// call that itself took long is tried again at least once.
struct BackOff {
    patience: Duration,
    since: Option<Instant>,
    wait: Duration,
    told: bool,
}

impl BackOff {
    fn new(patience: Duration) -> BackOff {
        BackOff { patience, since: None, wait: WAIT_MIN, told: false }
    }

    /// The wait before the next try; nothing when it would be over the patience.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let wait = self.wait;
        self.wait = (wait * 2).min(WAIT_MAX);
        (now.duration_since(since) + wait <= self.patience).then_some(wait)
    }
}

fn refuse(tally: &mut Tally, args: &SendArgs, bar: &Bar, line: u64, problem: &str) -> Outcome {
    tally.refused += 1;
    if args.json {
        return output::json(&json!({"line": line, "problem": problem}));
    }
    bar.clear();
    match tally.refused {
        1..=REFUSALS_SHOWN => eprintln!("line {line}: {}", output::clean(problem)),
        n if n == REFUSALS_SHOWN + 1 => eprintln!("more rows are refused; `--json` tells each"),
        _ => {}
    }
    Ok(())
}

/// A key for a file that has none: the same for the same template, file and content, so that a second try after a
/// broken connection doubles nothing.
fn file_key(args: &SendArgs, file: &Path) -> Result<String, Failure> {
    let content = content(file).map_err(|error| Failure::Failed(format!("read `{}`: {error}", file.display())))?;
    let how = format!("{} {:?} {:?} {:?}", args.template, args.data, args.at, args.expires);
    let how = fingerprint(how.as_bytes());
    Ok(format!("file-{content:016x}-{how:016x}"))
}

/// The fingerprint of a file, which may be larger than the memory.
fn content(file: &Path) -> std::io::Result<i64> {
    let mut file = File::open(file)?;
    let mut content = Fingerprint::default();
    let mut chunk = Vec::new();
    while file.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk)? > 0 {
        content.add(&chunk);
        chunk.clear();
    }
    Ok(content.finish())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use clap::Parser as _;
    use tidings_api::client::Address;
    use tidings_api::wire::{Problem, SendReply};

    use super::*;
    use crate::args::{Args, Command};

    type Answer = Result<Vec<BulkLine>, ClientError>;

    fn args(more: &[&str]) -> SendArgs {
        let typed = ["tidings", "send", "notice", "--file", "rows.csv"].iter().chain(more);
        match Args::try_parse_from(typed).unwrap().command {
            Command::Send(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn problem(status: u16) -> Problem {
        let detail = format!("a problem of status {status}");
        Problem {
            kind: "urn:tidings:problem:x".to_owned(),
            title: "x".to_owned(),
            status,
            detail,
            retryable: false,
            trace_id: None,
        }
    }

    fn refused(status: u16) -> BulkLine {
        BulkLine { line: 0, accepted: None, problem: Some(problem(status)) }
    }

    fn taken(replayed: bool) -> BulkLine {
        let reply = SendReply { id: "msg_1".to_owned(), state: "queued".to_owned(), replayed, trace_id: None };
        BulkLine { line: 0, accepted: Some(reply), problem: None }
    }

    /// Sends rows to an engine that answers by the script. What came of it, and the rows of each call.
    async fn send_rows(rows: u64, script: Vec<Answer>, patience: Duration) -> (Outcome, Tally, Vec<Vec<String>>) {
        let calls = RefCell::new(Vec::new());
        let script = RefCell::new(script.into_iter());
        let call = async |requests: &[SendRequest]| {
            calls.borrow_mut().push(requests.iter().map(|request| request.to.clone()).collect::<Vec<_>>());
            script.borrow_mut().next().expect("the script has an answer for each call")
        };
        let batch =
            (1..=rows).map(|row| (row, SendRequest { to: row.to_string(), ..SendRequest::default() })).collect();
        let mut tally = Tally { total: rows, read: rows, ..Tally::default() };
        let bar = Bar { total: rows, shown: false };
        let outcome = step(call, &args(&[]), batch, &mut tally, &bar, patience).await;
        (outcome, tally, calls.into_inner())
    }

    #[tokio::test]
    async fn a_row_that_met_a_busy_engine_is_sent_again_and_one_refused_for_good_is_not() {
        // Such rows were once counted as refused, and the command ended with 0.
        let script =
            vec![Ok(vec![taken(false), refused(503), refused(422), refused(503)]), Ok(vec![taken(false), taken(true)])];
        let (outcome, tally, calls) = send_rows(4, script, PATIENCE).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(tally, Tally { total: 4, read: 4, accepted: 2, repeated: 1, refused: 1, again: true });
        assert_eq!(calls, [vec!["1", "2", "3", "4"], vec!["2", "4"]]);
    }

    #[tokio::test]
    async fn a_call_that_did_not_get_through_is_made_again() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let nobody = Client::new(Address::Socket("/nonexistent/tidings.sock".into()), None).unwrap();
        let unreachable = nobody.send_bulk(&[], false).await.unwrap_err();
        assert!(matches!(unreachable, ClientError::Unreachable { .. }), "{unreachable:?}");
        let script = vec![Err(unreachable), Err(ClientError::Refused(problem(503))), Ok(vec![taken(true)])];
        let (outcome, tally, calls) = send_rows(1, script, PATIENCE).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!((tally.repeated, calls.len()), (1, 3));
    }

    #[tokio::test]
    async fn a_row_without_an_answer_is_sent_again() {
        let empty = BulkLine { line: 3, accepted: None, problem: None };
        let script = vec![Ok(vec![taken(false), empty]), Ok(vec![taken(false), taken(false)])];
        let (outcome, tally, calls) = send_rows(3, script, PATIENCE).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!((tally.accepted, calls[1].clone()), (3, vec!["2".to_owned(), "3".to_owned()]));
    }

    #[tokio::test]
    async fn who_gives_up_says_how_many_rows_are_left_and_how_to_go_on() {
        let script = vec![Ok(vec![taken(false), refused(503), refused(503)])];
        let (outcome, ..) = send_rows(3, script, Duration::ZERO).await;
        let Err(Failure::Failed(text)) = outcome else { panic!("{outcome:?}") };
        assert!(text.starts_with("2 of 3 rows were not taken: a problem of status 503"), "{text}");
        assert!(text.contains("the same command goes on where it stopped"), "{text}");
    }

    #[tokio::test]
    async fn what_will_not_pass_by_itself_is_not_waited_for() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::new(Address::Url("no address".to_owned()), None).unwrap();
        for error in [ClientError::Refused(problem(401)), client.send_bulk(&[], false).await.unwrap_err()] {
            let (outcome, _, calls) = send_rows(1, vec![Err(error)], PATIENCE).await;
            assert!(outcome.is_err() && calls.len() == 1, "{outcome:?}");
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end_with_the_patience() {
        let mut back_off = BackOff::new(PATIENCE);
        let begun = Instant::now();
        let mut waited = Duration::ZERO;
        let mut waits = Vec::new();
        while let Some(wait) = back_off.next(begun + waited) {
            waits.push(wait.as_millis());
            waited += wait;
        }
        assert_eq!(waits[..7], [100, 200, 400, 800, 1600, 2000, 2000]);
        assert!(waited <= PATIENCE && waited + WAIT_MAX > PATIENCE, "{waited:?}");
        // One call that took all the time is no reason to give up at once.
        assert_eq!(BackOff::new(PATIENCE).next(begun + PATIENCE * 2), Some(WAIT_MIN));
    }

    #[test]
    fn the_key_of_a_file_is_that_of_its_whole_content() {
        let path = std::env::temp_dir().join(format!("tidings-send-{}.csv", std::process::id()));
        let text: Vec<u8> = (0..CHUNK_BYTES * 2 + 100).map(|n| n.to_le_bytes()[1]).collect();
        std::fs::write(&path, &text).unwrap();
        let found = content(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found, fingerprint(&text));
    }
}
