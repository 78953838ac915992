//! `latency`: from a message's POST to its arrival at the provider, at a steady rate. The loop is open: messages come at
//! their time whatever became of those before, so that a stall is felt by everyone who came meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::JoinSet;

use crate::Common;
use crate::bare;
use crate::child::PATIENCE;
use crate::disk;
use crate::engine::EngineProcess;
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::intake::post;
use crate::measure::{Spread, millis, percentile, rate};
use crate::report::Report;
use crate::server::{Provider, client, now_ns};
use crate::workload::Kind;

/// Messages that open connections and fetch the token, before the clock starts.
pub(crate) const WARM_UP: u32 = 64;
/// How long the last message may take to arrive.
const LAST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in each round.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// How many come in a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_second: u32,
    /// Requests of the engine on their way at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    in_flight: u32,
    /// Send what needs no credential: a service account's template message.
    #[arg(long)]
    no_credentials: bool,
}

/// When one message came, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    number: u32,
    /// When its time was.
    due: u64,
    /// Just before its POST.
    posted: u64,
    /// When its 202 was there.
    accepted: u64,
}

/// How long everything took, each in order.
pub(crate) struct Seen {
    pub(crate) from_post: Vec<Duration>,
    from_due: Vec<Duration>,
    pub(crate) from_accepted: Vec<Duration>,
    per_second: f64,
}

struct Round {
    bare: Seen,
    engine: Seen,
    rss_mb: f64,
    /// One sync of the disk, at that time.
    sync: Duration,
}

pub(crate) async fn latency(args: LatencyArgs) -> Result<(), Failure> {
    let kind = Kind::of(args.no_credentials);
    let provider = Provider::start()?;
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let bare = bare(&provider, &args, kind).await?;
        let (engine, rss_mb) = engine(&provider, &args, kind).await?;
        let p99 = |seen: &Seen| millis(percentile(&seen.from_post, 990));
        eprintln!("round {number}: p99 {:.2} ms, straight to the provider {:.2} ms", p99(&engine), p99(&bare));
        let sync = disk::sync(args.common.dir.as_deref())?;
        rounds.push(Round { bare, engine, rss_mb, sync });
    }
    report(&args, &rounds).tell(args.common.json)
}

/// The same messages, at the same times, straight to the provider.
async fn bare(provider: &Provider, args: &LatencyArgs, kind: Kind) -> Result<Seen, Failure> {
    let client = client(Some(PATIENCE))?;
    let url = bare::url(provider, kind);
    for number in 1..=WARM_UP {
        bare::one(client.clone(), &url, kind, number).await?;
    }
    provider.reset().await?;
    let sent = at_a_rate(args.messages, args.per_second, move |number| {
        let (client, url) = (client.clone(), url.clone());
        async move { bare::one(client, &url, kind, number).await }
    })
    .await?;
    provider.check("the bare loop", args.messages).await?;
    seen(sent, provider.arrivals().await?)
}

async fn engine(provider: &Provider, args: &LatencyArgs, kind: Kind) -> Result<(Seen, f64), Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, kind, args.in_flight, None, PATIENCE)?;
    let (warm_up, all) = (args.messages + 1..=args.messages + WARM_UP, args.messages + WARM_UP);
    if kind == Kind::Credentials {
        engine.permit(1, all)?;
    }
    let url = engine.api()?;
    let client = client(Some(PATIENCE))?;
    for number in warm_up {
        post(&client, &url, number).await?;
    }
    wait_until_sent(&mut engine, WARM_UP).await?;
    provider.reset().await?;
    let sent = at_a_rate(args.messages, args.per_second, move |number| {
        let (client, url) = (client.clone(), url.clone());
        async move { post(&client, &url, number).await.map(drop) }
    })
    .await?;
    wait_until_sent(&mut engine, all).await?;
    provider.check("the engine", args.messages).await?;
    let rss_mb = engine.stop()?.usage.rss_mb;
    Ok((seen(sent, provider.arrivals().await?)?, rss_mb))
}

pub(crate) async fn wait_until_sent(engine: &mut EngineProcess, messages: u32) -> Result<(), Failure> {
    let deadline = Instant::now() + LAST_WAIT;
    loop {
        let standing = engine.look()?.standing;
        if standing.sent == i64::from(messages) {
            return Ok(());
        }
        check(Instant::now() < deadline && standing.other == 0, || {
            format!("{messages} messages were accepted, and they stand so: {standing:?}; nothing was measured")
        })?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Makes every call at its time, however long those before it take.
pub(crate) async fn at_a_rate<W>(
    messages: u32,
    per_second: u32,
    call: impl Fn(u32) -> W + Send + Sync + 'static,
) -> Result<Vec<Sent>, Failure>
where
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let call = Arc::new(call);
    let (begun, begun_ns) = (tokio::time::Instant::now(), now_ns());
    let mut calls = JoinSet::new();
    for number in 1..=messages {
        let due_in = Duration::from_secs(1) * (number - 1) / per_second;
        tokio::time::sleep_until(begun + due_in).await;
        let call = Arc::clone(&call);
        let due = begun_ns + u64::try_from(due_in.as_nanos())?;
        calls.spawn(async move {
            let posted = now_ns();
            call(number).await?;
            Ok::<Sent, Failure>(Sent { number, due, posted, accepted: now_ns() })
        });
    }
    let mut sent = Vec::with_capacity(calls.len());
    while let Some(call) = calls.join_next().await {
        sent.push(call??);
    }
    Ok(sent)
}

pub(crate) fn seen(mut sent: Vec<Sent>, mut arrivals: Vec<(u32, u64)>) -> Result<Seen, Failure> {
    sent.sort_unstable_by_key(|sent| sent.number);
    arrivals.sort_unstable();
    let same = sent.iter().map(|sent| sent.number).eq(arrivals.iter().map(|(number, _)| *number));
    check(same, || "other messages arrived than were sent".to_owned())?;
    let from = |start: fn(&Sent) -> u64| {
        let pairs = sent.iter().zip(&arrivals);
        let mut took: Vec<Duration> =
            pairs.map(|(sent, (_, at))| Duration::from_nanos(at.saturating_sub(start(sent)))).collect();
        took.sort_unstable();
        took
    };
    let first = sent.iter().map(|sent| sent.posted).min().unwrap_or_default();
    let last = sent.iter().map(|sent| sent.posted).max().unwrap_or_default();
    let per_second = rate(sent.len() as u64, Duration::from_nanos(last - first));
    Ok(Seen {
        from_post: from(|sent| sent.posted),
        from_due: from(|sent| sent.due),
        from_accepted: from(|sent| sent.accepted),
        per_second,
    })
}

fn report(args: &LatencyArgs, rounds: &[Round]) -> Report {
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut report = Report::new("latency");
    report.rate("per_second", "messages came", over(&|round| round.engine.per_second));
    for (name, label, per_mille) in
        [("p50_ms", "median", 500), ("p99_ms", "99 of 100", 990), ("p999_ms", "999 of 1000", 999)]
    {
        let at = |took: &[Duration]| millis(percentile(took, per_mille));
        report.number(name, &format!("POST → arrival, {label}"), "ms", over(&|round| at(&round.engine.from_post)));
        let bare = over(&|round| at(&round.bare.from_post));
        report.number(&format!("bare_{name}"), "  straight to the provider", "ms", bare);
        let due = over(&|round| at(&round.engine.from_due));
        report.number(&format!("from_due_{name}"), "  from the time it was to come", "ms", due);
        let accepted = over(&|round| at(&round.engine.from_accepted));
        report.number(&format!("from_accepted_{name}"), "  from its 202 (0: it came before)", "ms", accepted);
    }
    report.number("disk_sync_ms", "one sync of the disk, median", "ms", over(&|round| millis(round.sync)));
    report.number("rss_mb", "engine's memory, at most", "MB", over(&|round| round.rss_mb));
    report.condition("messages", args.messages);
    report.condition("rounds", args.common.rounds);
    report.condition("in_flight", args.in_flight);
    report.condition("credentials", !args.no_credentials);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(number: u32, due: u64, posted: u64, accepted: u64) -> Sent {
        Sent { number, due, posted, accepted }
    }

    #[test]
    fn each_message_is_compared_with_its_own_arrival() {
        let seen = seen(vec![sent(2, 10, 12, 30), sent(1, 0, 5, 7)], vec![(1, 9), (2, 20)]).unwrap();
        let nanos = |took: &[u64]| took.iter().copied().map(Duration::from_nanos).collect::<Vec<_>>();
        assert_eq!(seen.from_post, nanos(&[4, 8]));
        assert_eq!(seen.from_due, nanos(&[9, 10]));
        assert_eq!(seen.from_accepted, nanos(&[0, 2]));
    }

    #[test]
    fn a_message_that_did_not_arrive_is_no_measurement() {
        assert!(seen(vec![sent(1, 0, 0, 0), sent(2, 0, 0, 0)], vec![(1, 1), (3, 1)]).is_err());
    }
}
