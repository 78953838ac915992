//! `tidings send`: one message, or a file of them with a progress bar.

use std::io::IsTerminal as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use tidings_api::client::{Client, ClientError};
use tidings_api::wire::{BulkLine, SendRequest};
use tidings_engine::audience;

use crate::args::SendArgs;
use crate::connect::Reach;
use crate::{Failure, Outcome, output};

/// Rows in one request.
const ROWS_PER_REQUEST: usize = 500;
/// Refused rows that are told one by one; the rest are counted.
const REFUSALS_SHOWN: u64 = 20;

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

#[derive(Default)]
struct Tally {
    read: u64,
    accepted: u64,
    repeated: u64,
    refused: u64,
}

async fn send_file(client: &Client, args: &SendArgs, file: &Path, common: Map<String, Value>) -> Outcome {
    // The first pass tells what is wrong with the file before anything is sent, and how long the bar is.
    let total = audience::rows(file)?.count();
    let key = match &args.key {
        Some(key) => key.clone(),
        None => file_key(args, file)?,
    };
    let mut bar = Bar::new(total);
    let mut tally = Tally::default();
    let mut batch: Vec<(u64, SendRequest)> = Vec::with_capacity(ROWS_PER_REQUEST);
    for (line, row) in audience::rows(file)? {
        tally.read += 1;
        match row {
            Ok(row) => {
                let mut data = common.clone();
                data.extend(row.data);
                let key = Some(format!("{key}-{line}"));
                batch.push((line, SendRequest { to: row.to, key, ..request(args, data) }));
            }
            Err(problem) => refuse(&mut tally, args, &bar, problem.line, &problem.problem)?,
        }
        if batch.len() == ROWS_PER_REQUEST {
            step(client, args, &mut batch, &mut tally, &bar).await?;
            bar.show(tally.read);
        }
    }
    step(client, args, &mut batch, &mut tally, &bar).await?;
    bar.finish();
    let Tally { read, accepted, repeated, refused } = tally;
    if args.json {
        output::json(&json!({"rows": read, "accepted": accepted, "repeated": repeated, "refused": refused}))?;
    } else {
        let what = if args.dry_run { "would be accepted" } else { "accepted" };
        output::line(&format!("{read} rows: {accepted} {what}, {repeated} accepted before, {refused} refused"))?;
        if repeated > 0 && args.key.is_none() {
            eprintln!("hint: this file was sent before; to send it once more, give another `--key`");
        }
    }
    if refused > 0 && accepted + repeated == 0 {
        return Err(Failure::Failed("no row could be sent".to_owned()));
    }
    Ok(())
}

/// Sends what has gathered. A request that did not get through is safe to make again: every row has its key.
async fn step(
    client: &Client,
    args: &SendArgs,
    batch: &mut Vec<(u64, SendRequest)>,
    tally: &mut Tally,
    bar: &Bar,
) -> Outcome {
    if batch.is_empty() {
        return Ok(());
    }
    let (lines, requests): (Vec<u64>, Vec<SendRequest>) = std::mem::take(batch).into_iter().unzip();
    let replies = if args.dry_run { dry_run(client, &requests).await? } else { client.send_bulk(&requests).await? };
    for (line, reply) in lines.into_iter().zip(replies) {
        match (reply.accepted, reply.problem) {
            (Some(accepted), _) => {
                if args.json {
                    output::json(
                        &json!({"line": line, "id": accepted.id, "state": accepted.state, "replayed": accepted.replayed}),
                    )?;
                }
                if accepted.replayed { tally.repeated += 1 } else { tally.accepted += 1 }
            }
            (None, Some(problem)) => refuse(tally, args, bar, line, &problem.detail)?,
            (None, None) => refuse(tally, args, bar, line, "the engine gave no answer")?,
        }
    }
    Ok(())
}

async fn dry_run(client: &Client, requests: &[SendRequest]) -> Result<Vec<BulkLine>, ClientError> {
    let mut replies = Vec::with_capacity(requests.len());
    for request in requests {
        let (accepted, problem) = match client.send(request, true).await {
            Ok(reply) => (Some(reply), None),
            Err(ClientError::Refused(problem)) => (None, Some(problem)),
            Err(error) => return Err(error),
        };
        replies.push(BulkLine { line: 0, accepted, problem });
    }
    Ok(replies)
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
    let text = std::fs::read(file)?;
    let content = tidings_store::fingerprint(&text);
    let how = format!("{} {:?} {:?} {:?}", args.template, args.data, args.at, args.expires);
    let how = tidings_store::fingerprint(how.as_bytes());
    Ok(format!("file-{content:016x}-{how:016x}"))
}

/// A progress bar on standard error, if that is a terminal.
struct Bar {
    total: u64,
    shown: bool,
}

impl Bar {
    const WIDTH: u64 = 30;

    fn new(total: usize) -> Bar {
        Bar { total: u64::try_from(total).unwrap_or(u64::MAX), shown: std::io::stderr().is_terminal() }
    }

    fn show(&self, done: u64) {
        if self.shown && self.total > 0 {
            let filled = usize::try_from(done.min(self.total) * Bar::WIDTH / self.total).unwrap_or(0);
            let rest = usize::try_from(Bar::WIDTH).unwrap_or(0) - filled;
            eprint!("\r[{}{}] {done} of {}", "#".repeat(filled), ".".repeat(rest), self.total);
        }
    }

    fn clear(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }

    fn finish(&mut self) {
        self.show(self.total);
        if self.shown {
            eprintln!();
        }
    }
}
