//! `nodes`: several engines on one database. They are killed, paused past their lease and set going again, their
//! connections are terminated, the database is restarted; all under load.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tidings_cluster::{Cluster, DURABLE, Stop};

use crate::Options;
use crate::engine::Engine;
use crate::load::{Appetite, Load};
use crate::random::Random;
use crate::report::Report;
use crate::rest::{ALMOST_NEVER, drain, look_at_database};
use crate::trouble::{Outcome, Trouble};
use crate::world::{LEASE_S, World};

/// Rounds between two comparisons on the way.
const COMPARE_EVERY: u32 = 25;
/// One round in so many hundred is a pause past the lease, terminated connections, a restart of the database; the others
/// are kills.
const PAUSES: u64 = 30;
const TERMINATIONS: u64 = 20;
const RESTARTS: u64 = 10;
/// What is in the middle of an attempt in an engine that is gone is another's within the lease and so long.
const SETTLED_WITHIN: Duration = Duration::from_secs(LEASE_S + 5);
/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);

/// Messages in the middle of an attempt whose engine is gone.
const LEFT: &str = "SELECT count(*) FROM message AS m WHERE m.state = 3 AND m.node_id = $1";

/// What is done in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Pause,
    Terminate,
    Restart,
}

impl Blow {
    /// What each is called in the report, in their order.
    const NAMES: [&str; 4] = ["killed", "paused past the lease", "connections terminated", "database restarted"];

    fn draw(random: &mut Random) -> Blow {
        match random.between(0, 100) {
            at if at < PAUSES => Blow::Pause,
            at if at < PAUSES + TERMINATIONS => Blow::Terminate,
            at if at < PAUSES + TERMINATIONS + RESTARTS => Blow::Restart,
            _ => Blow::Kill,
        }
    }
}

pub(crate) async fn nodes(options: &Options, nodes: usize) -> Outcome<Report> {
    let mut random = Random::new(options.seed);
    let mut world = World::new(options, false, 4).await?;
    let cluster = Cluster::private(&std::env::temp_dir(), &DURABLE).map_err(|error| Trouble::new(error.whole()))?;
    let url = cluster.create_database("torture").map_err(|error| Trouble::new(error.whole()))?;
    world.share(url.clone(), nodes).await?;
    let mut report = Report { scenario: "nodes", seed: options.seed, ..Report::default() };
    let mut engines = Vec::new();
    for node in 0..nodes {
        engines.push(start(&world, node).await?);
    }
    // Which blows are dealt, in which order, follows from the seed alone.
    let mut dealer = random.fork();
    let appetite = Appetite { clients: 6, pause_ms: 12, padding: 0, operator: true };
    let load = Load::start(&world, appetite, &mut random);
    let (mut recoveries, mut idle, mut blows) = (Vec::new(), 0_u32, [0_u32; Blow::NAMES.len()]);
    while report.rounds < options.rounds {
        report.rounds += 1;
        tokio::time::sleep(Duration::from_millis(random.between(50, 600))).await;
        let node = usize::try_from(random.between(0, nodes as u64)).unwrap_or(0);
        let blow = Blow::draw(&mut dealer);
        blows[blow as usize] += 1;
        match blow {
            Blow::Kill => {
                let id = id_of(&url, node).await?;
                engines.remove(node).kill()?;
                match settled(&url, id, &mut report).await? {
                    Some(recovery) => recoveries.push(recovery),
                    None => idle += 1,
                }
                engines.insert(node, start(&world, node).await?);
            }
            // It stands still until others have what it had, whatever it has locked, and then some.
            Blow::Pause => {
                let id = id_of(&url, node).await?;
                engines[node].signal("STOP")?;
                let past = Duration::from_millis(LEASE_S * 1000 + random.between(200, 1500));
                let stood = Instant::now();
                match settled(&url, id, &mut report).await? {
                    Some(recovery) => recoveries.push(recovery),
                    None => idle += 1,
                }
                tokio::time::sleep(past.saturating_sub(stood.elapsed())).await;
                engines[node].signal("CONT")?;
            }
            Blow::Terminate => terminate(&url, &mut random).await?,
            Blow::Restart => {
                let how = if random.percent(50) { Stop::Immediate } else { Stop::Fast };
                cluster.restart(how).map_err(|error| Trouble::new(error.whole()))?;
            }
        }
        if report.rounds.is_multiple_of(COMPARE_EVERY) {
            for (node, engine) in engines.iter_mut().enumerate() {
                engine.ready(client(&world, node)).await?;
            }
            world.compare(&mut report, false, false).await?;
            eprintln!("round {}: {} accepted, {} arrived", report.rounds, report.accepted, report.arrived);
            if !report.is_good() {
                load.abandon();
                return Ok(report);
            }
        }
    }
    for (node, engine) in engines.iter_mut().enumerate() {
        engine.ready(client(&world, node)).await?;
    }
    load.finish(&mut report).await?;
    eprintln!("{} blows are dealt; everything comes to rest", report.rounds);
    rest(&world, engines, &url, &mut report).await?;
    report.figures.insert("gone with nothing on its way", f64::from(idle));
    report.recovered(recoveries);
    for (name, count) in Blow::NAMES.into_iter().zip(blows) {
        report.figures.insert(name, f64::from(count));
    }
    Ok(report)
}

fn client(world: &World, node: usize) -> &tidings_api::client::Client {
    world.shared.as_ref().map_or(&world.client, |shared| &shared.clients[node])
}

async fn start(world: &World, node: usize) -> Outcome<Engine> {
    let mut engine = world.spawn_node(node)?;
    engine.ready(client(world, node)).await?;
    Ok(engine)
}

/// The number that the engine of that name has now.
async fn id_of(url: &str, node: usize) -> Outcome<i64> {
    let mut connection = PgConnection::connect(url).await?;
    let sql = "SELECT coalesce(max(id), 0) FROM node WHERE name = $1";
    Ok(sqlx::query_scalar(sql).bind(format!("node-{node}")).fetch_one(&mut connection).await?)
}

/// How long it takes until nothing of that engine is in the middle of an attempt any more; `None` if nothing was when it was
/// killed, so that there was nothing to recover.
async fn settled(url: &str, node: i64, report: &mut Report) -> Outcome<Option<Duration>> {
    let begun = Instant::now();
    let mut connection = PgConnection::connect(url).await?;
    let mut had_any = false;
    loop {
        let left: i64 = sqlx::query_scalar(LEFT).bind(node).fetch_one(&mut connection).await?;
        if left == 0 {
            return Ok(had_any.then(|| begun.elapsed()));
        }
        had_any = true;
        if begun.elapsed() > SETTLED_WITHIN {
            report.broken(format!(
                "{left} messages of an engine that is gone are still its own after {SETTLED_WITHIN:?}"
            ));
            return Ok(Some(begun.elapsed()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Ends about half of the connections there are.
async fn terminate(url: &str, random: &mut Random) -> Outcome {
    let mut connection = PgConnection::connect(url).await?;
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let pids: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&mut connection).await?;
    for pid in pids {
        if random.percent(50) {
            sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut connection).await?;
        }
    }
    Ok(())
}

/// Everything to the end of a run: quiet, drained, compared, stopped, and the database looked at.
async fn rest(world: &World, engines: Vec<Engine>, url: &str, report: &mut Report) -> Outcome {
    for engine in engines {
        engine.stop().await?;
    }
    world.configure(ALMOST_NEVER)?;
    let engine = start(world, 0).await?;
    drain(world, PATIENCE).await?;
    world.compare(report, true, false).await?;
    engine.stop().await?;
    look_at_database(url, report).await;
    if world.log().contains("panicked at") {
        report.broken("an engine panicked; see engine.log with `--keep`");
    }
    Ok(())
}
