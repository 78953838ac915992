//! The same on PostgreSQL: one engine, then two on one queue, then one with a long past, beside graphile_worker and the
//! least that is durable, all on one server of ours that syncs what it commits.

use std::path::{Path, PathBuf};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tidings_cluster::{Cluster, DURABLE, Database};

use super::{PipelineArgs, WARM_UP};
use crate::bare;
use crate::engine::{EngineProcess, LOADERS, Told};
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::graphile::{self, Graphile};
use crate::least;
use crate::measure::{Spread, rate};
use crate::report::Report;
use crate::server::Provider;
use crate::workload::Kind;

/// Messages at a time while a past is made.
const PAST_STEP: u32 = 50_000;

/// What all measurements have in common.
struct Ground<'a> {
    args: &'a PipelineArgs,
    kind: Kind,
    provider: Provider,
    cluster: Cluster,
    /// Where graphile_worker's program is.
    graphile: Option<PathBuf>,
}

/// What one measurement of the engine found.
struct Turn {
    /// One half of the messages, each under a key.
    accepted: Told,
    /// The other half, without keys: graphile_worker's jobs have none.
    accepted_without_keys: Told,
    sent: Told,
    /// The processor time that the second engine used meanwhile, if there was one.
    second_cpu_seconds: f64,
}

/// What graphile_worker did, in jobs a second.
struct GraphileRates {
    /// One caller adds them, each call after the other, as most programs would.
    added_by_one: f64,
    /// As many callers at once as the engine has.
    added_by_all: f64,
    sent: f64,
}

/// What one round found, in messages a second where nothing else is said.
struct Round {
    bare: f64,
    graphile: Option<GraphileRates>,
    least_accepts: f64,
    least: f64,
    one: Turn,
    two: Turn,
    past: Option<Turn>,
}

pub(super) async fn pipeline(args: PipelineArgs) -> Result<(), Failure> {
    let graphile = if args.no_graphile { None } else { Some(graphile::build()?) };
    let parent = args.common.dir.clone().unwrap_or_else(std::env::temp_dir);
    let cluster = Cluster::private(&parent, &DURABLE)?;
    let ground =
        Ground { kind: Kind::of(args.no_credentials), provider: Provider::start()?, cluster, graphile, args: &args };
    bare::send(&ground.provider, ground.kind, WARM_UP.min(args.messages), args.in_flight as usize).await?;
    let past = if args.done == 0 { None } else { Some(ground.past().await?) };
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let round = ground.round(number, past.as_ref()).await?;
        eprintln!(
            "round {number}: bare loop {:.0}/s, graphile_worker {:.0}/s, the least {:.0}/s, engine {:.0}/s, two {:.0}/s",
            round.bare,
            round.graphile(|rates| rates.sent),
            round.least,
            round.one.sent.per_second(),
            round.two.sent.per_second()
        );
        rounds.push(round);
    }
    report(&args, &rounds).tell(args.common.json)
}

impl Round {
    fn graphile(&self, rate: impl FnOnce(&GraphileRates) -> f64) -> f64 {
        self.graphile.as_ref().map_or(f64::NAN, rate)
    }
}

impl Ground<'_> {
    async fn round(&self, number: u32, past: Option<&Database>) -> Result<Round, Failure> {
        let messages = self.args.messages;
        self.provider.reset().await?;
        let took = bare::send(&self.provider, self.kind, messages, self.args.in_flight as usize).await?;
        let bare_bytes = self.provider.check("the bare loop", messages).await?.bytes;
        let graphile = match &self.graphile {
            Some(program) => Some(self.graphile(program).await?),
            None => None,
        };

        let database = self.fresh().await?;
        let in_flight = self.args.in_flight as usize;
        let least = least::run(database.url(), &self.provider, self.kind, messages, in_flight).await?;
        self.provider.check("the least", messages).await?;
        drop(database);

        let database = self.fresh().await?;
        let one = self.turn(&database, 1, 1).await?;
        let engine_bytes = self.provider.check("the engine", messages).await?.bytes;
        check(bare_bytes.abs_diff(engine_bytes) <= bare_bytes / 20, || {
            format!("the engine sent {engine_bytes} bytes, and the bare loop {bare_bytes}: the ratio would say nothing")
        })?;
        drop(database);

        let database = self.fresh().await?;
        let two = self.turn(&database, 2, 1).await?;
        self.provider.check("two engines", messages).await?;
        drop(database);

        let past = match past {
            Some(database) => {
                self.calm().await?;
                let turn = self.turn(database, 1, self.args.done + (number - 1) * messages + 1).await?;
                self.provider.check("the engine with a past", messages).await?;
                Some(turn)
            }
            None => None,
        };
        let (least_accepts, least) = (rate(messages.into(), least.accepted), rate(messages.into(), least.sent));
        let bare = rate(messages.into(), took);
        Ok(Round { bare, graphile, least_accepts, least, one, two, past })
    }

    async fn graphile(&self, program: &Path) -> Result<GraphileRates, Failure> {
        let (database, messages) = (self.fresh().await?, self.args.messages);
        let mut graphile = Graphile::start(program, database.url(), &self.provider, self.kind, self.args.in_flight)?;
        let half = messages.div_ceil(2);
        let by_one = graphile.accept(1, half, 1)?;
        let by_all = graphile.accept(1 + half, messages - half, LOADERS)?;
        let sent = graphile.send(messages)?;
        self.provider.check("graphile_worker", messages).await?;
        let (added_by_one, added_by_all) = (by_one.per_second(), by_all.per_second());
        Ok(GraphileRates { added_by_one, added_by_all, sent: sent.per_second() })
    }

    /// So many engines on one queue: the first takes all messages in, all of them send.
    async fn turn(&self, database: &Database, engines: usize, first: u32) -> Result<Turn, Failure> {
        self.provider.reset().await?;
        let messages = self.args.messages;
        let folders: Vec<Folder> =
            (0..engines).map(|_| Folder::make(self.args.common.dir.as_deref())).collect::<Result<_, _>>()?;
        let start = |folder: &Folder| {
            let (provider, in_flight) = (&self.provider.url, self.args.in_flight);
            EngineProcess::start_on(database.url(), folder.path(), provider, self.kind, in_flight)
        };
        let mut engine = start(&folders[0])?;
        let before = engine.pause()?.standing.sent;
        let mut others = folders[1..].iter().map(start).collect::<Result<Vec<_>, _>>()?;
        self.bring_permits(&mut engine, first, messages)?;
        let half = messages.div_ceil(2);
        let accepted = engine.accept(first, half)?;
        let accepted_without_keys = engine.accept_without_keys(first + half, messages - half)?;
        let idle = cpu_seconds(&mut others)?;
        let sent = engine.send(messages)?;
        let second_cpu_seconds = cpu_seconds(&mut others)? - idle;
        check(sent.standing.sent - before == i64::from(messages), || {
            format!("not all were sent: {:?}", sent.standing)
        })?;
        for other in others {
            other.stop()?;
        }
        engine.stop()?;
        Ok(Turn { accepted, accepted_without_keys, sent, second_cpu_seconds })
    }

    /// A database with messages that have ended, by the way that all of them go.
    async fn past(&self) -> Result<Database, Failure> {
        let database = self.fresh().await?;
        let folder = Folder::make(self.args.common.dir.as_deref())?;
        let (provider, in_flight) = (&self.provider.url, self.args.in_flight);
        let mut engine = EngineProcess::start_on(database.url(), folder.path(), provider, self.kind, in_flight)?;
        let mut first = 1;
        while first <= self.args.done {
            let count = PAST_STEP.min(self.args.done - first + 1);
            engine.pause()?;
            self.bring_permits(&mut engine, first, count)?;
            engine.accept(first, count)?;
            engine.send(count)?;
            self.provider.reset().await?;
            first += count;
            eprintln!("a past: {} of {} messages have ended", first - 1, self.args.done);
        }
        engine.stop()?;
        Ok(database)
    }

    fn bring_permits(&self, engine: &mut EngineProcess, first: u32, count: u32) -> Result<(), Failure> {
        if self.kind == Kind::Credentials {
            engine.permit(first, count)?;
        }
        Ok(())
    }

    /// An empty database, and nothing that another measurement left to be done.
    async fn fresh(&self) -> Result<Database, Failure> {
        self.provider.reset().await?;
        let database = Database::on(&self.cluster.url("postgres"))?;
        self.calm().await?;
        Ok(database)
    }

    /// Has the server write down now what it would write down while somebody measures.
    async fn calm(&self) -> Result<(), Failure> {
        let mut connection = PgConnection::connect(&self.cluster.url("postgres")).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}

/// What these engines have used of the processors since they began.
fn cpu_seconds(engines: &mut [EngineProcess]) -> Result<f64, Failure> {
    let mut seconds = 0.0;
    for engine in engines {
        seconds += engine.look()?.usage.cpu_seconds;
    }
    Ok(seconds)
}

fn report(args: &PipelineArgs, rounds: &[Round]) -> Report {
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let one = |round: &Round| round.one.sent.per_second();
    let accepts = |round: &Round| round.one.accepted.per_second();
    let accepts_without_keys = |round: &Round| round.one.accepted_without_keys.per_second();
    let past = |round: &Round| round.past.as_ref().map_or(f64::NAN, |turn| turn.sent.per_second());
    let two = |round: &Round| round.two.sent.per_second();
    let mut report = Report::new("pipeline");
    report.rate("per_second", "engine sends", over(&one));
    report.rate("bare_per_second", "bare loop sends", over(&|round| round.bare));
    report.ratio("ratio_to_bare", "  ratio", over(&|round| one(round) / round.bare));
    report.rate("least_per_second", "the least that is durable sends", over(&|round| round.least));
    report.ratio("ratio_to_least", "  ratio", over(&|round| one(round) / round.least));
    if !args.no_graphile {
        let sent = |round: &Round| round.graphile(|rates| rates.sent);
        report.rate("graphile_per_second", "graphile_worker sends", over(&sent));
        report.ratio("ratio_to_graphile", "  ratio: of graphile sending", over(&|round| one(round) / sent(round)));
    }
    report.rate("accept_per_second", "engine accepts, in batches, each under a key", over(&accepts));
    report.rate("least_accept_per_second", "the least accepts", over(&|round| round.least_accepts));
    report.ratio("accept_ratio_to_least", "  ratio", over(&|round| accepts(round) / round.least_accepts));
    report.rate("accept_without_keys_per_second", "engine accepts, without keys", over(&accepts_without_keys));
    let ratio = |round: &Round| accepts_without_keys(round) / round.least_accepts;
    report.ratio("accept_without_keys_ratio_to_least", "  ratio", over(&ratio));
    if !args.no_graphile {
        for (name, ratio, label, callers) in [
            (
                "graphile_accept_per_second",
                "accept_ratio_to_graphile",
                "graphile_worker enqueues, one caller",
                (|rates| rates.added_by_one) as fn(&GraphileRates) -> f64,
            ),
            (
                "graphile_all_accept_per_second",
                "accept_ratio_to_graphile_all",
                "graphile_worker enqueues, as many callers as the engine's",
                |rates| rates.added_by_all,
            ),
        ] {
            let added = |round: &Round| round.graphile(callers);
            report.rate(name, label, over(&added));
            report.ratio(ratio, "  ratio: of graphile enqueue", over(&|round| accepts(round) / added(round)));
            let without_keys = |round: &Round| accepts_without_keys(round) / added(round);
            let name = format!("{ratio}_without_keys");
            report.ratio(&name, "  ratio: of graphile enqueue, without keys", over(&without_keys));
        }
    }
    report.rate("two_per_second", "two engines send", over(&two));
    report.ratio("two_ratio", "  ratio: two nodes / one node", over(&|round| two(round) / one(round)));
    let share =
        |round: &Round| round.two.second_cpu_seconds / (round.two.second_cpu_seconds + round.two.sent.cpu_seconds);
    report.ratio("second_share", "  the second's share of their CPU", over(&share));
    if args.done > 0 {
        report.rate("done_per_second", "engine sends, with a past", over(&past));
        report.ratio("done_ratio", "  ratio: with the done rows / without", over(&|round| past(round) / one(round)));
    }
    let cpu = |round: &Round| round.one.sent.cpu_seconds * 1000.0 / f64::from(args.messages);
    report.number("cpu_s_per_1000", "engine's CPU for 1000 sends", "s", over(&cpu));
    report.number("rss_mb", "engine's memory, at most", "MB", over(&|round| round.one.sent.usage.rss_mb));
    report.condition("store", "postgres");
    report.condition("messages", args.messages);
    report.condition("rounds", args.common.rounds);
    report.condition("in_flight", args.in_flight);
    report.condition("credentials", !args.no_credentials);
    report.condition("done", args.done);
    report
}
