//! `disk-full`: the store's folder may take no more, while messages are on their way. What is on its way must reach its
//! outcome in the store, what is new must be refused in a clear sentence, nothing new may be claimed; and when there is
//! room again everything must go on by itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Map;
use tidings_api::client::ClientError;
use tidings_api::wire::SendRequest;
use tidings_wechat_sandbox::{Fault, FaultKind, When};

use crate::Options;
use crate::engine::Engine;
use crate::lane::Lane;
use crate::load::{Appetite, Load, code_of};
use crate::random::Random;
use crate::report::Report;
use crate::rest::come_to_rest;
use crate::trouble::{Outcome, Trouble};
use crate::world::World;

/// Room that is left when the bound comes.
const ROOM: u64 = 1 << 20;
/// Data beside what is said: a message fills a page and more.
const PADDING: usize = 6000;
/// The provider is slow here, so that many messages are on their way when the disk is full.
const LATENCY_MS: u64 = 250;
/// How long the folder may take to fill.
const FILLS_WITHIN: Duration = Duration::from_secs(30);
/// How long an outcome may take to be written with the disk full: a request's timeout, and some.
const SETTLES_WITHIN: Duration = Duration::from_secs(8);
/// How long what is settled is watched: nothing may be claimed then.
const STAYS: Duration = Duration::from_millis(1500);
/// How long sending may take to go on when there is room again.
const RESUMES_WITHIN: Duration = Duration::from_secs(10);
/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);
/// What a refusal for want of room says.
const REFUSAL: &str = "507 store_full";

pub(crate) async fn full(options: &Options) -> Outcome<Report> {
    let mut random = Random::new(options.seed);
    let world = World::new(options, true, LATENCY_MS).await?;
    // Every reply comes: here an outcome must be written, and it must be the true one.
    let slow = Fault { api: None, kind: FaultKind::Latency { ms: LATENCY_MS }, when: When::Every(1), times: None };
    world.control().set_faults(vec![slow])?;
    let mut report = Report { scenario: "disk-full", seed: options.seed, ..Report::default() };
    let mut engine = world.run().await?;
    let appetite = Appetite { clients: 3, pause_ms: 10, padding: PADDING, operator: false };
    let mut slowest = Duration::ZERO;
    while report.rounds < options.rounds && report.is_good() {
        report.rounds += 1;
        let load = Load::start(&world, appetite, &mut random);
        tokio::time::sleep(Duration::from_millis(random.between(300, 900))).await;
        let on_their_way = fill(&world, &mut report).await?;
        // An engine that nobody asks anything must write its outcomes all the same: it once waited to be asked.
        world.ledger.look().hushed = report.rounds % 2 == 1;
        let resumed = get_out(&world, &mut engine, &on_their_way, &mut report).await?;
        slowest = slowest.max(resumed);
        world.ledger.look().hushed = false;
        if !report.is_good() {
            // It may never come to rest, and what is wrong is known.
            load.abandon();
            break;
        }
        load.finish(&mut report).await?;
    }
    report.figures.insert("slowest first send after room came, ms", (slowest.as_secs_f64() * 1000.0).round());
    if !report.is_good() {
        return Ok(report);
    }
    come_to_rest(&world, engine, &mut report, PATIENCE, false).await?;
    Ok(report)
}

/// Lets the load fill the folder, and says what was on its way then.
async fn fill(world: &World, report: &mut Report) -> Outcome<BTreeSet<String>> {
    world.shim()?.set_quota(size_of(&world.store())? + ROOM)?;
    let refusal = first_refusal(world).await?;
    if refusal.replace('-', "_") != REFUSAL {
        report.broken(format!("a message was refused with `{refusal}` when the disk was full, not with `{REFUSAL}`"));
    }
    let on_their_way: BTreeSet<String> =
        world.messages(Some("sending")).await?.into_iter().map(|message| message.id).collect();
    eprintln!("filling {}: refused with `{refusal}`, {} on their way", report.rounds, on_their_way.len());
    Ok(on_their_way)
}

/// Waits for the outcomes of what was on its way, makes room, and waits for sending to go on.
async fn get_out(
    world: &World,
    engine: &mut Engine,
    on_their_way: &BTreeSet<String>,
    report: &mut Report,
) -> Outcome<Duration> {
    let begun = Instant::now();
    while world.client.overview().await?.states.sending > 0 && begun.elapsed() < SETTLES_WITHIN {
        tokio::time::sleep(LOOK).await;
    }
    let mut stuck = 0;
    for id in on_their_way {
        stuck += u32::from(world.client.message(id).await?.state == "sending");
    }
    if stuck > 0 {
        let all = on_their_way.len();
        report.broken(format!("of {all} messages on their way {stuck} have no outcome {SETTLES_WITHIN:?} after"));
    } else {
        let begun = Instant::now();
        while begun.elapsed() < STAYS {
            let sending = world.client.overview().await?.states.sending;
            if sending > 0 {
                report.broken(format!("{sending} messages were claimed with the disk full"));
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    if let Some(status) = engine.ended()? {
        return Err(Trouble::new(format!("the engine ended when the disk was full ({status}): {}", engine.tail())));
    }
    world.shim()?.set_quota(0)?;
    resumed(world, report).await
}

/// Waits for the load to be refused, and says how.
async fn first_refusal(world: &World) -> Outcome<String> {
    let begun = Instant::now();
    loop {
        let before = world.ledger.look().refused.clone();
        tokio::time::sleep(LOOK).await;
        let now = world.ledger.look().refused.clone();
        let new = now.into_iter().find(|(code, count)| before.get(code).is_none_or(|known| known < count));
        if let Some((code, _)) = new {
            return Ok(code);
        }
        if begun.elapsed() > FILLS_WITHIN {
            return Err(Trouble::new(format!("nothing was refused within {FILLS_WITHIN:?}; is the folder watched?")));
        }
    }
}

/// Sends a message until it is taken, waits until it is sent, and says how long both took.
async fn resumed(world: &World, report: &mut Report) -> Outcome<Duration> {
    let begun = Instant::now();
    let name = format!("room-{}", report.rounds);
    let number = world.ledger.intend(Lane::Service, &name, &format!("o-{name}"));
    let mut data = Map::new();
    data.insert("title".to_owned(), "hello".into());
    data.insert("order".to_owned(), name.clone().into());
    let request = SendRequest {
        template: Lane::Service.name().to_owned(),
        to: format!("o-{name}"),
        data,
        key: Some(name),
        // Before all that waited meanwhile.
        priority: Some(100),
        ..SendRequest::default()
    };
    let mut last = String::new();
    while begun.elapsed() < RESUMES_WITHIN {
        match world.client.send(&request, false).await {
            Ok(reply) => {
                world.ledger.accepted(number, &reply.id);
                last = world.client.message(&reply.id).await?.state;
                if last == "sent" {
                    eprintln!("goes on after {} ms", begun.elapsed().as_millis());
                    return Ok(begun.elapsed());
                }
            }
            Err(ClientError::Refused(problem)) => last = format!("{} {}", problem.status, problem.detail),
            Err(error) => last = code_of(&error),
        }
        tokio::time::sleep(LOOK).await;
    }
    report.broken(format!("{RESUMES_WITHIN:?} after there was room again a message is not sent: {last}"));
    Ok(begun.elapsed())
}

/// What the folder takes, as the shim counts it.
fn size_of(folder: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        if facts.is_file() && !entry.file_name().to_string_lossy().ends_with("-shm") {
            sum += facts.len().min(facts.blocks() * 512);
        }
    }
    Ok(sum)
}
