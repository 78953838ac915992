//! `clock`: the wall clock jumps, forth and back, by minutes, hours and days, under load. The provider's clock and
//! the monotonic one do not.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tidings_api::wire::SendRequest;

use crate::Options;
use crate::engine::Engine;
use crate::instant::seconds;
use crate::lane::Lane;
use crate::load::{Appetite, Load, post_permits};
use crate::random::Random;
use crate::report::Report;
use crate::rest::{come_to_rest, drain, quieten};
use crate::trouble::Outcome;
use crate::world::World;

/// The steps, one a round, round and round: the clock moves by so many seconds.
const STEPS_S: [i64; 10] = [90, -90, 3600, -3 * 3600, 86_400, -86_400, 5 * 60, 3 * 86_400, -4 * 86_400, -600];
/// Load after each step.
const LOADED: Duration = Duration::from_millis(1500);
/// How long a message may take that is sent right after a step.
const SOON: Duration = Duration::from_secs(5);
/// How long an idle engine is watched, and how much of that it may work.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_BUSY_MAX: Duration = Duration::from_millis(300);
/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn clock(options: &Options) -> Outcome<Report> {
    let mut random = Random::new(options.seed);
    let world = World::new(options, true, 4).await?;
    let mut report = Report { scenario: "clock", seed: options.seed, ..Report::default() };
    let mut engine = world.run().await?;
    let appetite = Appetite { clients: 2, pause_ms: 20, padding: 0, operator: true };
    let load = Load::start(&world, appetite, &mut random);
    let (mut shift_s, mut furthest_s, mut slowest, mut postponed) = (0_i64, 0_i64, Duration::ZERO, 0_u32);
    tokio::time::sleep(LOADED).await;
    while report.rounds < options.rounds {
        let step = STEPS_S[usize::try_from(report.rounds).unwrap_or(0) % STEPS_S.len()];
        report.rounds += 1;
        shift_s += step;
        furthest_s = furthest_s.max(shift_s);
        world.shift_clock(shift_s * 1000)?;
        let took = still_sends(&world, &engine, &format!("step-{}", report.rounds), step, &mut report).await?;
        slowest = slowest.max(took);
        eprintln!("step {} by {step} s: sending goes on after {} ms", report.rounds, took.as_millis());
        if step < 0 {
            postponed += between_attempts(&world).await?;
        }
        // At times it is killed in the new time, and must find its way from the file alone.
        if random.percent(25) {
            engine.kill()?;
            engine = world.run().await?;
        }
        tokio::time::sleep(LOADED).await;
    }
    load.finish(&mut report).await?;
    report.figures.insert("retries postponed by a step back", f64::from(postponed));
    report.figures.insert("slowest first send after a step, ms", (slowest.as_secs_f64() * 1000.0).round());
    // Quiet first: the schedules are work too.
    let engine = quieten(&world, engine).await?;
    // Whose time was named stands in a future that the clock has left: it comes again.
    world.shift_clock((furthest_s + 5) * 1000)?;
    let open = drain(&world, PATIENCE).await?;
    if open == 0 {
        is_idle(&engine, &mut report).await?;
    }
    come_to_rest(&world, engine, &mut report, PATIENCE, true).await?;
    Ok(report)
}

/// Sends a message through every channel that people send through, and waits until all are sent.
async fn still_sends(world: &World, engine: &Engine, name: &str, step: i64, report: &mut Report) -> Outcome<Duration> {
    let begun = Instant::now();
    let mut open = Vec::new();
    for lane in [Lane::Forms, Lane::Service, Lane::Grants, Lane::Payments] {
        let (order, to) = (format!("{name}-{}", lane.name()), format!("o-{name}-{}", lane.name()));
        post_permits(&world.client, world.control(), &world.ledger, lane, &[&to]).await?;
        let number = world.ledger.intend(lane, &order, &to);
        let data: Map<String, Value> =
            [("title".to_owned(), "hello".into()), ("order".to_owned(), order.clone().into())].into_iter().collect();
        let request =
            SendRequest { template: lane.name().to_owned(), to, data, key: Some(order), ..SendRequest::default() };
        let id = world.client.send(&request, false).await?.id;
        world.ledger.accepted(number, &id);
        open.push((lane, id));
    }
    while !open.is_empty() && begun.elapsed() < SOON {
        let mut still = Vec::new();
        for (lane, id) in open {
            // Between two attempts is on its way, too; a lost reply may have been met.
            let message = world.client.message(&id).await?;
            if !matches!(message.state.as_str(), "sent" | "unknown") {
                still.push((lane, id));
            }
        }
        open = still;
        tokio::time::sleep(LOOK).await;
    }
    for (lane, id) in open {
        let message = world.client.message(&id).await?;
        let (state, reason) = (message.state, message.reason.unwrap_or_default());
        report.broken(format!(
            "{SOON:?} after a step of {step} s, {id} in `{}` is {state} ({reason}), due {}; the engine: {}",
            lane.name(),
            message.due_at,
            engine.tail().lines().last().unwrap_or_default()
        ));
    }
    Ok(begun.elapsed())
}

/// How many messages wait between two attempts for a time that the step back has moved far away: the channels' longest
/// delay is under a second. A message whose time was named by its sender has no attempts.
async fn between_attempts(world: &World) -> Outcome<u32> {
    let Some(now) = seconds(&world.client.overview().await?.now) else { return Ok(0) };
    let is_far = |due: &str| seconds(due).is_some_and(|due| due > now + 30);
    let scheduled = world.messages(Some("scheduled")).await?;
    let far = scheduled.iter().filter(|message| message.reason.is_some() && is_far(&message.due_at)).count();
    Ok(u32::try_from(far).unwrap_or(u32::MAX))
}

/// An engine with nothing to do does nothing.
async fn is_idle(engine: &Engine, report: &mut Report) -> Outcome {
    let before = engine.busy()?;
    tokio::time::sleep(IDLE).await;
    let busy = engine.busy()?.saturating_sub(before);
    report.figures.insert("busy while idle, ms in two seconds", (busy.as_secs_f64() * 1000.0).round());
    if busy > IDLE_BUSY_MAX {
        report.broken(format!("the engine is idle and was busy for {busy:?} of {IDLE:?}"));
    }
    Ok(())
}
