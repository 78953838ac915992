//! `power`: the power is cut at a random moment. A kill leaves the page cache, and with it everything that was ever
//! written; here the store is rebuilt from the shim's journal with what had been synced, and chance for the rest.

use std::time::Duration;

use crate::Options;
use crate::journal::{cut, image_of, read, write_out};
use crate::load::{Appetite, Load};
use crate::random::Random;
use crate::report::Report;
use crate::rest::{come_to_rest, look_at_file};
use crate::trouble::{Outcome, Trouble};
use crate::world::World;

/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) async fn power(options: &Options, deaf: bool) -> Outcome<Report> {
    let mut random = Random::new(options.seed);
    let world = World::new(options, true, 4).await?;
    let mut report = Report { scenario: "power", seed: options.seed, ..Report::default() };
    let appetite = Appetite { clients: 4, pause_ms: 12, padding: 0, operator: true };
    let load = Load::start(&world, appetite, &mut random);
    match cuts(options, deaf, &world, &mut random, &mut report).await {
        Ok(()) if report.is_good() => {}
        // What was lost is lost: there is no point in waiting for the rest.
        Ok(()) => {
            load.abandon();
            return Ok(report);
        }
        Err(trouble) => {
            load.abandon();
            return Err(trouble);
        }
    }
    let mut engine = world.spawn(None, false)?;
    engine.ready(&world.client).await?;
    load.finish(&mut report).await?;
    eprintln!("{} cuts are done; everything comes to rest", report.rounds);
    come_to_rest(&world, engine, &mut report, PATIENCE, false).await?;
    Ok(report)
}

async fn cuts(options: &Options, deaf: bool, world: &World, random: &mut Random, report: &mut Report) -> Outcome {
    let (mut unsynced, mut dropped, mut recoveries) = (0, 0, Vec::new());
    while report.rounds < options.rounds && report.is_good() {
        report.rounds += 1;
        let before = image_of(&world.store())?;
        let journal = world.path("journal");
        if journal.exists() {
            std::fs::remove_file(&journal)?;
        }
        let mut engine = world.spawn(Some(&journal), deaf)?;
        engine.ready(&world.client).await?;
        tokio::time::sleep(Duration::from_micros(random.between(50_000, 800_000))).await;
        engine.kill()?;

        let changes = read(&std::fs::read(&journal)?)?;
        if changes.is_empty() {
            return Err(Trouble::new("the shim saw nothing: is the program statically linked?"));
        }
        let (after, left) = cut(before, changes, random);
        unsynced += left.unsynced;
        dropped += left.dropped;
        write_out(&after, &world.store())?;
        // On a copy: a look writes what the log holds into the file, and that is for the engine to do.
        let copy = world.path("look");
        write_out(&after, &copy)?;
        if copy.join("tidings.db").exists() {
            look_at_file(&copy.join("tidings.db"), report).await;
        }

        let mut engine = world.spawn(None, false)?;
        match engine.ready(&world.client).await {
            Ok(recovery) => {
                recoveries.push(recovery);
                if let Err(trouble) = world.compare(report, false, false).await {
                    report.corrupted(format!(
                        "after cut {} the engine cannot read its store: {}",
                        report.rounds, trouble.0
                    ));
                }
                engine.kill()?;
            }
            Err(trouble) => report.corrupted(format!("after cut {}: {}", report.rounds, trouble.0)),
        }
        eprintln!(
            "cut {}: {} changes unsynced, {} of them gone; {} accepted so far, {} lost",
            report.rounds, left.unsynced, left.dropped, report.accepted, report.lost
        );
    }
    let figure = |count: usize| u32::try_from(count).map(f64::from).unwrap_or(f64::MAX);
    report.figures.insert("changes not synced at a cut", figure(unsynced));
    report.figures.insert("of them lost or torn", figure(dropped));
    report.recovered(recoveries);
    Ok(())
}
