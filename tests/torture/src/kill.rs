//! `kill`: SIGKILL at a random moment, again and again, under load.

use std::time::Duration;

use crate::Options;
use crate::load::{Appetite, Load};
use crate::random::Random;
use crate::report::Report;
use crate::rest::come_to_rest;
use crate::trouble::Outcome;
use crate::world::World;

/// Rounds between two comparisons on the way.
const COMPARE_EVERY: u32 = 25;
/// One round in so many hundred is killed while it starts.
const KILLED_AT_START: u64 = 20;
/// After some kills nobody is there for a while, so that schedules have times to catch up with.
const LEFT_DOWN_EVERY: u32 = 15;
const LEFT_DOWN_FIRST: u32 = 5;
const LEFT_DOWN: Duration = Duration::from_millis(2200);
/// Long enough for a schedule to fire.
const FIRED_ONCE: Duration = Duration::from_millis(1200);
/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) async fn kill(options: &Options) -> Outcome<Report> {
    let mut random = Random::new(options.seed);
    let world = World::new(options, false, 4).await?;
    let mut report = Report { scenario: "kill", seed: options.seed, ..Report::default() };
    let appetite = Appetite { clients: 4, pause_ms: 12, padding: 0, operator: true };
    let load = Load::start(&world, appetite, &mut random);
    let (mut recoveries, mut at_start) = (Vec::new(), 0_u32);
    while report.rounds < options.rounds {
        report.rounds += 1;
        let left_down = report.rounds % LEFT_DOWN_EVERY == LEFT_DOWN_FIRST;
        let mut engine = world.spawn(None, false)?;
        if random.percent(KILLED_AT_START) && !left_down {
            // In the middle of opening, settling, or the first claims.
            tokio::time::sleep(Duration::from_micros(random.between(0, 40_000))).await;
            at_start += 1;
        } else {
            let recovery = engine.ready(&world.client).await?;
            if report.rounds > 1 {
                recoveries.push(recovery);
            }
            if report.rounds.is_multiple_of(COMPARE_EVERY) {
                world.compare(&mut report, false, false).await?;
                eprintln!("round {}: {} accepted, {} arrived", report.rounds, report.accepted, report.arrived);
                if !report.is_good() {
                    load.abandon();
                    engine.kill()?;
                    return Ok(report);
                }
            }
            if left_down {
                // Every schedule has fired then: what comes next has been missed, and not before its time.
                tokio::time::sleep(FIRED_ONCE).await;
            }
            tokio::time::sleep(Duration::from_micros(random.between(5_000, 500_000))).await;
        }
        engine.kill()?;
        if left_down {
            tokio::time::sleep(LEFT_DOWN).await;
        }
    }
    let mut engine = world.spawn(None, false)?;
    recoveries.push(engine.ready(&world.client).await?);
    // Long enough for every schedule to fire once more: a gap has two ends.
    tokio::time::sleep(FIRED_ONCE).await;
    load.finish(&mut report).await?;
    eprintln!("{} kills are done; everything comes to rest", report.rounds);
    come_to_rest(&world, engine, &mut report, PATIENCE, false).await?;
    report.recovered(recoveries);
    report.figures.insert("killed while starting", f64::from(at_start));
    Ok(report)
}
