//! `backlog`: the engine with a long past and a long queue beside the engine with neither, and how soon it is there after
//! a crash that left messages in the middle of an attempt.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _};
use tidings_model::{AppName, ChannelName, TemplateName};

use crate::Common;
use crate::child::PATIENCE;
use crate::engine::{EngineProcess, Told};
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::measure::Spread;
use crate::queue::now;
use crate::report::Report;
use crate::server::Provider;
use crate::workload::{APP, CHANNEL, Kind, TEMPLATE};

/// Messages in a queue that is not to run dry, beyond those that are counted: what is on its way when somebody looks.
const SPARE: u32 = 8192;
/// How long a start may take beside such a store.
const START_PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(crate) struct BacklogArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in the queue.
    #[arg(long, default_value_t = 250_000)]
    queued: u32,
    /// Messages that have ended.
    #[arg(long, default_value_t = 1_000_000)]
    done: u32,
    /// Messages sent in each round, with the backlog and without.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Messages that a crash left in the middle of an attempt, before each start.
    #[arg(long, default_value_t = 256)]
    orphans: u32,
    /// Requests of the engine on their way at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    in_flight: u32,
}

/// What one start of the engine found.
struct Turn {
    /// From the start of the process to its first word, by when nothing is `sending`.
    up: Duration,
    started: Told,
    sent: Told,
}

struct Round {
    empty: Turn,
    full: Turn,
}

pub(crate) async fn backlog(args: BacklogArgs) -> Result<(), Failure> {
    let needed = u64::from(args.common.rounds) * u64::from(args.messages + SPARE + args.orphans);
    check(u64::from(args.queued) >= needed, || {
        let rounds = args.common.rounds;
        format!(
            "{rounds} rounds need a queue of {needed}, and `--queued` is {}; give more, or fewer rounds",
            args.queued
        )
    })?;
    let provider = Provider::start()?;
    let folder = Folder::make(args.common.dir.as_deref())?;
    let begun = Instant::now();
    eprintln!("filling a store with {} messages that have ended and {} in the queue", args.done, args.queued);
    fill(&folder, &args).await?;
    let bytes = std::fs::metadata(folder.file())?.len();
    eprintln!("filled {} MB in {:.1} s", bytes / 1_000_000, begun.elapsed().as_secs_f64());

    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let empty = empty(&provider, &args).await?;
        crash(&folder.file(), args.orphans).await?;
        let full = turn(&provider, &folder, &args).await?;
        eprintln!(
            "round {number}: empty {:.0}/s, with the backlog {:.0}/s; up in {:.0} ms, {:.0} ms of them the engine's start",
            empty.sent.per_second(),
            full.sent.per_second(),
            full.up.as_secs_f64() * 1000.0,
            full.started.seconds * 1000.0
        );
        rounds.push(Round { empty, full });
    }
    report(&args, &rounds, bytes).tell(args.common.json)
}

/// The same messages in a store that holds nothing else. It is started anew once they are there, as the other is.
async fn empty(provider: &Provider, args: &BacklogArgs) -> Result<Turn, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let start =
        || EngineProcess::start(folder.path(), &provider.url, Kind::Credentials, args.in_flight, None, PATIENCE);
    let mut engine = start()?;
    engine.pause()?;
    engine.permit(1, args.messages + SPARE)?;
    engine.accept(1, args.messages + SPARE)?;
    engine.stop()?;
    turn(provider, &folder, args).await
}

async fn turn(provider: &Provider, folder: &Folder, args: &BacklogArgs) -> Result<Turn, Failure> {
    provider.reset().await?;
    let begun = Instant::now();
    let kind = Kind::Credentials;
    let mut engine = EngineProcess::start(folder.path(), &provider.url, kind, args.in_flight, None, START_PATIENCE)?;
    let up = begun.elapsed();
    let started = engine.started.clone();
    check(started.standing.sending == 0 && started.standing.other == 0, || {
        format!("the engine started, and did not settle what was on its way: {:?}", started.standing)
    })?;
    let sent = engine.send(args.messages)?;
    let arrived = sent.standing.sent - started.standing.sent;
    provider.check("the engine", u32::try_from(arrived)?).await?;
    engine.stop()?;
    Ok(Turn { up, started, sent })
}

/// A connection that is as quick as can be and keeps no promise: nothing else is there yet, and what it makes is thrown
/// away.
async fn connect(file: &Path) -> Result<SqliteConnection, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .pragma("cache_size", "-262144")
        .pragma("temp_store", "MEMORY");
    Ok(SqliteConnection::connect_with(&options).await?)
}

async fn fill(folder: &Folder, args: &BacklogArgs) -> Result<(), Failure> {
    let (mut writer, reader) = tidings_store::open(&folder.store()).await?;
    let ids = writer.define([(ChannelName::new(CHANNEL)?, AppName::new(APP)?)], [TemplateName::new(TEMPLATE)?]).await?;
    let (channel, template) = (ids.channels[CHANNEL], ids.templates[TEMPLATE]);
    drop(reader);
    writer.close().await?;

    let mut connection = connect(&folder.file()).await?;
    connection.execute("CREATE TEMP TABLE p (done INT, queued INT, channel INT, template INT, now INT)").await?;
    sqlx::query("INSERT INTO p VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(args.done)
        .bind(args.queued)
        .bind(channel.0)
        .bind(template.0)
        .bind(now().0)
        .execute(&mut connection)
        .await?;
    write(connection, include_str!("backlog.sql"), &folder.file()).await
}

/// Leaves so many messages in the middle of an attempt.
async fn crash(file: &Path, orphans: u32) -> Result<(), Failure> {
    let mut connection = connect(file).await?;
    connection.execute("CREATE TEMP TABLE p (orphans INT, channel INT, now INT)").await?;
    sqlx::query("INSERT INTO p SELECT ?1, id, ?3 FROM channel WHERE name = ?2")
        .bind(orphans)
        .bind(CHANNEL)
        .bind(now().0)
        .execute(&mut connection)
        .await?;
    write(connection, include_str!("orphans.sql"), file).await
}

/// Runs the statements, and puts the file on disk, so that nothing of it is written while somebody measures.
async fn write(mut connection: SqliteConnection, statements: &'static str, file: &Path) -> Result<(), Failure> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(statements).execute(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await?;
    File::open(file)?.sync_all()?;
    Ok(())
}

fn report(args: &BacklogArgs, rounds: &[Round], bytes: u64) -> Report {
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut report = Report::new("backlog");
    report.line("", format!("{} messages that have ended, {} in the queue", args.done, args.queued));
    report.rate("per_second", "engine sends, with the backlog", over(&|round| round.full.sent.per_second()));
    report.rate("bare_per_second", "engine sends, without", over(&|round| round.empty.sent.per_second()));
    let ratio = |round: &Round| round.full.sent.per_second() / round.empty.sent.per_second();
    report.ratio("ratio_to_bare", "ratio", over(&ratio));
    report.number("rss_mb", "memory at most, with the backlog", "MB", over(&|round| round.full.sent.usage.rss_mb));
    report.number("bare_rss_mb", "memory at most, without", "MB", over(&|round| round.empty.sent.usage.rss_mb));
    let up = |turn: &Turn| turn.up.as_secs_f64() * 1000.0;
    report.number("recovered_ms", "crash → the last orphan settled", "ms", over(&|round| up(&round.full)));
    report.number("bare_started_ms", "start of an empty engine", "ms", over(&|round| up(&round.empty)));
    report.condition("queued", args.queued);
    report.condition("done", args.done);
    report.condition("orphans", args.orphans);
    report.condition("messages", args.messages);
    report.condition("rounds", args.common.rounds);
    report.condition("in_flight", args.in_flight);
    report.condition("store_mb", bytes / 1_000_000);
    report
}
