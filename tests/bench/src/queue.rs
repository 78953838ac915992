//! `queue`: the store alone beside raw SQLite. Messages are accepted in batches; then each transaction settles what the
//! one before claimed, and claims the next, as the engine's writer does.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Map, Value, json};
use tidings_model::{
    AppName, ChannelName, CredentialFate, IdempotencyKey, Recipient, Settlement, SourceName, State, TemplateName,
    Timestamp,
};
use tidings_store::{
    Accepted, Batch, ChannelId, ClaimRequest, Claimed, CredentialIntake, Needs, NewCredential, NewMessage, Reader,
    Settle, SourceRule, TemplateId, Writer, fingerprint,
};

use crate::Common;
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::measure::{Spread, rate};
use crate::raw::Raw;
use crate::report::{Report, rounded};
use crate::workload::{APP, CHANNEL, Kind, SOURCE, TEMPLATE, data, form_id, key, recipient};

/// Messages accepted in one transaction.
const ACCEPT_BATCH: u32 = 500;
/// Messages claimed in one transaction.
const TICKS: [u32; 3] = [64, 256, 512];
/// The one that is the scenario's figure: as many as the pipeline has on their way.
const HEADLINE: u32 = 256;
/// How long a form_id lives.
const CREDENTIAL_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in each round, for each batch size.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
}

/// What the same messages took.
#[derive(Debug, Clone, Copy)]
struct Took {
    messages: u32,
    /// Taking credentials in; no time where there are none.
    permit: Duration,
    accept: Duration,
    work: Duration,
}

impl Took {
    fn accept_rate(&self) -> f64 {
        rate(self.messages.into(), self.accept)
    }

    fn work_rate(&self) -> f64 {
        rate(self.messages.into(), self.work)
    }

    fn whole_rate(&self) -> f64 {
        rate(self.messages.into(), self.accept + self.work)
    }
}

/// One batch size in one round.
struct Turn {
    tick: u32,
    raw: Took,
    free: Took,
    bound: Took,
}

pub(crate) async fn queue(args: QueueArgs) -> Result<(), Failure> {
    let mut turns = Vec::new();
    for number in 1..=args.common.rounds {
        for tick in TICKS {
            let raw = raw(&args, tick).await?;
            let free = ours(&args, tick, Kind::Free).await?;
            let bound = ours(&args, tick, Kind::Credentials).await?;
            eprintln!(
                "round {number}, {tick} at once: raw {:.0}/s, store {:.0}/s, with credentials {:.0}/s",
                raw.whole_rate(),
                free.whole_rate(),
                bound.whole_rate()
            );
            turns.push(Turn { tick, raw, free, bound });
        }
    }
    report(&args, &turns).tell(args.common.json)
}

async fn raw(args: &QueueArgs, tick: u32) -> Result<Took, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut raw = Raw::open(&folder).await?;
    let begun = Instant::now();
    for numbers in slices(args.messages) {
        raw.accept(numbers).await?;
    }
    let accept = begun.elapsed();
    let begun = Instant::now();
    let mut claimed = Vec::new();
    loop {
        claimed = raw.tick(&claimed, tick).await?;
        if claimed.is_empty() {
            break;
        }
    }
    let work = begun.elapsed();
    let ended = raw.ended().await?;
    check(ended == i64::from(args.messages), || format!("raw SQLite ended {ended} of {} messages", args.messages))?;
    Ok(Took { messages: args.messages, permit: Duration::ZERO, accept, work })
}

async fn ours(args: &QueueArgs, tick: u32, kind: Kind) -> Result<Took, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut store = Store::open(&folder, kind).await?;
    let begun = Instant::now();
    if kind == Kind::Credentials {
        for numbers in slices(args.messages) {
            store.permit(numbers).await?;
        }
    }
    let permit = begun.elapsed();
    let begun = Instant::now();
    for numbers in slices(args.messages) {
        store.accept(numbers).await?;
    }
    let accept = begun.elapsed();
    let begun = Instant::now();
    let mut claimed = Vec::new();
    loop {
        claimed = store.tick(claimed, tick).await?;
        if claimed.is_empty() {
            break;
        }
    }
    let work = begun.elapsed();
    store.close(args.messages).await?;
    Ok(Took { messages: args.messages, permit, accept, work })
}

pub(crate) fn slices(messages: u32) -> impl Iterator<Item = std::ops::Range<u32>> {
    let first = (1..=messages).step_by(ACCEPT_BATCH as usize);
    first.map(move |first| first..(messages + 1).min(first + ACCEPT_BATCH))
}

/// The store, and what config would define.
struct Store {
    writer: Writer,
    reader: Reader,
    channel: ChannelId,
    template: TemplateId,
    needs: Option<Needs>,
}

impl Store {
    async fn open(folder: &Folder, kind: Kind) -> Result<Store, Failure> {
        let (mut writer, reader) = tidings_store::open(&folder.store()).await?;
        let ids =
            writer.define([(ChannelName::new(CHANNEL)?, AppName::new(APP)?)], [TemplateName::new(TEMPLATE)?]).await?;
        let (channel, template) = (ids.channels[CHANNEL], ids.templates[TEMPLATE]);
        let needs = match kind {
            Kind::Free => None,
            Kind::Credentials => Some(Needs {
                app: AppName::new(APP)?,
                sources: vec![SourceRule { source: SourceName::new(SOURCE)?, margin: Duration::ZERO }],
                scopes: vec![(template, "tpl".to_owned())],
            }),
        };
        Ok(Store { writer, reader, channel, template, needs })
    }

    async fn permit(&mut self, numbers: std::ops::Range<u32>) -> Result<(), Failure> {
        let now = now();
        let credential = |number| -> Result<NewCredential, Failure> {
            Ok(NewCredential {
                app: AppName::new(APP)?,
                source: SourceName::new(SOURCE)?,
                recipient: Recipient::new(recipient(number))?,
                scope: None,
                value: form_id(number),
                identity: Some(form_id(number)),
                uses: 1,
                expires_at: Some(now.after(CREDENTIAL_LIFE)),
                made_at: None,
            })
        };
        let credentials = numbers.map(credential).collect::<Result<_, _>>()?;
        let committed = self.writer.commit(&Batch { now, credentials, ..Batch::default() }).await?;
        let new = committed.credentials.iter().all(|one| matches!(one, CredentialIntake::New(_)));
        check(new, || "the store knew a fresh credential".to_owned())
    }

    async fn accept(&mut self, numbers: std::ops::Range<u32>) -> Result<(), Failure> {
        let message = |number| -> Result<NewMessage, Failure> {
            let data = Value::Object(data(number)).to_string();
            Ok(NewMessage {
                channel: self.channel,
                template: self.template,
                recipient: Recipient::new(recipient(number))?,
                key: Some(IdempotencyKey::new(key(number))?),
                body_hash: fingerprint(data.as_bytes()),
                data,
                send_at: None,
                expires_at: None,
                priority: 0,
                run: None,
                trace: None,
            })
        };
        let messages = numbers.map(message).collect::<Result<_, _>>()?;
        let committed = self.writer.commit(&Batch { now: now(), messages, ..Batch::default() }).await?;
        let new = committed.accepted.iter().all(|one| matches!(one, Accepted::New(_)));
        check(new, || "the store knew a fresh message".to_owned())
    }

    /// Settles what was claimed before and claims the next, in one transaction.
    async fn tick(&mut self, ended: Vec<Claimed>, limit: u32) -> Result<Vec<Claimed>, Failure> {
        let now = now();
        let settles: Vec<Settle> = ended.iter().map(|claimed| settle(claimed, now)).collect();
        let claims = vec![ClaimRequest {
            channel: self.channel,
            limit,
            in_flight_max: None,
            rate: None,
            needs: self.needs.clone(),
        }];
        let committed = self.writer.commit(&Batch { now, settles, claims, ..Batch::default() }).await?;
        check(committed.settled.iter().all(|applied| *applied), || "the store refused an outcome".to_owned())?;
        let bound = committed.claimed.iter().all(|claimed| claimed.credential.is_some() == self.needs.is_some());
        check(bound, || "the store claimed a message without its credential".to_owned())?;
        Ok(committed.claimed)
    }

    /// Makes sure that every message was sent.
    async fn close(self, messages: u32) -> Result<(), Failure> {
        let counts = self.reader.counts().await?.messages;
        let in_state = |of: State| counts.iter().filter(|(_, state, _)| *state == of).map(|(.., count)| count).sum();
        let (sent, all): (i64, i64) = (in_state(State::Sent), counts.iter().map(|(.., count)| count).sum());
        check(sent == i64::from(messages) && all == sent, || format!("the store sent {sent} of {messages} messages"))?;
        drop(self.reader);
        self.writer.close().await?;
        Ok(())
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn settle(claimed: &Claimed, now: Timestamp) -> Settle {
    let settlement = Settlement {
        to: State::Sent,
        due_at: None,
        counts: true,
        ambiguous: false,
        credential: CredentialFate::Spend,
        lane: None,
        reason: None,
        detail: String::new(),
        provider_id: None,
    };
    let (message, generation) = (claimed.message, claimed.generation);
    let channel = claimed.channel;
    Settle {
        message,
        generation,
        channel,
        started_at: now,
        ended_at: now,
        outcome: "accepted",
        settlement,
        rescued: false,
    }
}

fn report(args: &QueueArgs, turns: &[Turn]) -> Report {
    let mut report = Report::new("queue");
    let over =
        |tick: u32, value: &dyn Fn(&Turn) -> f64| Spread::of(turns.iter().filter(|turn| turn.tick == tick).map(value));
    let all = |value: &dyn Fn(&Turn) -> f64| Spread::of(turns.iter().map(value));
    report.line("", format!("the store alone, {HEADLINE} claimed at once"));
    report.rate("per_second", "accept, claim, settle", over(HEADLINE, &|turn| turn.free.whole_rate()));
    report.rate("bare_per_second", "  raw SQLite", over(HEADLINE, &|turn| turn.raw.whole_rate()));
    let ratio = |turn: &Turn| turn.free.whole_rate() / turn.raw.whole_rate();
    report.ratio("ratio_to_bare", "  ratio", over(HEADLINE, &ratio));
    report.rate("accept_per_second", "accept, 500 at once", all(&|turn| turn.free.accept_rate()));
    report.rate("bare_accept_per_second", "  raw SQLite", all(&|turn| turn.raw.accept_rate()));
    let ratio = |turn: &Turn| turn.free.accept_rate() / turn.raw.accept_rate();
    report.ratio("accept_ratio_to_bare", "  ratio", all(&ratio));
    let credentials = |turn: &Turn| rate(turn.bound.messages.into(), turn.bound.permit);
    report.rate("credentials_per_second", "take credentials in", all(&credentials));
    let mut cases = Vec::new();
    for tick in TICKS {
        for (name, of) in [("", Turn::free as fn(&Turn) -> &Took), (" with credentials", Turn::bound)] {
            let work = over(tick, &|turn| of(turn).work_rate());
            let whole = over(tick, &|turn| of(turn).whole_rate());
            let raw = over(tick, &|turn| turn.raw.work_rate());
            let ratio = over(tick, &|turn| of(turn).work_rate() / turn.raw.work_rate());
            let text = format!(
                "{:>9.0} /s   whole {:>7.0} /s   raw {:>7.0} /s   ratio {:.3} ({:.3} … {:.3})",
                work.median, whole.median, raw.median, ratio.median, ratio.min, ratio.max
            );
            report.line(&format!("claim and settle, {tick} at once{name}"), text);
            cases.push(json!(Map::from_iter([
                ("batch".to_owned(), tick.into()),
                ("credentials".to_owned(), (!name.is_empty()).into()),
                ("claim_settle_per_second".to_owned(), rounded(work.median, 1)),
                ("whole_per_second".to_owned(), rounded(whole.median, 1)),
                ("bare_claim_settle_per_second".to_owned(), rounded(raw.median, 1)),
                ("claim_settle_ratio_to_bare".to_owned(), rounded(ratio.median, 3)),
            ])));
        }
    }
    report.condition("cases", cases);
    report.condition("messages", args.messages);
    report.condition("rounds", args.common.rounds);
    report.condition("batch", HEADLINE);
    report
}

impl Turn {
    fn free(&self) -> &Took {
        &self.free
    }

    fn bound(&self) -> &Took {
        &self.bound
    }
}
