//! Coming to rest: everything gets what it still needs, until nothing is open; then the engine stops, and the file it
//! leaves is looked at.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::engine::Engine;
use crate::lane::Lane;
use crate::load::{mend_failed, post_permits};
use crate::report::Report;
use crate::trouble::{Outcome, Trouble};
use crate::world::World;

/// Between two looks at what is open.
const LOOK: Duration = Duration::from_millis(150);
/// The line of schedules that are to be quiet.
pub(crate) const ALMOST_NEVER: &str = "@every 7200h";

/// Stops the engine and starts it with quiet schedules: what they began goes on, and nothing new begins.
pub(crate) async fn quieten(world: &World, engine: Engine) -> Outcome<Engine> {
    engine.stop().await?;
    world.configure(ALMOST_NEVER)?;
    world.run().await
}

/// Gives every message what it needs until all have ended. Says how many have not after so long.
pub(crate) async fn drain(world: &World, patience: Duration) -> Outcome<u64> {
    let begun = Instant::now();
    loop {
        let counts = world.client.overview().await?.states;
        let open = counts.scheduled + counts.queued + counts.waiting + counts.sending + counts.held + counts.failed;
        let running = world.client.runs(&[]).await?.items.iter().filter(|run| run.state == "running").count();
        if open == 0 && running == 0 {
            return Ok(0);
        }
        if begun.elapsed() > patience {
            return Ok(u64::try_from(open).unwrap_or(0));
        }
        if counts.waiting > 0 {
            let mut waiting: BTreeMap<Lane, Vec<String>> = BTreeMap::new();
            for message in world.messages(Some("waiting")).await? {
                if let Some(lane) = Lane::from_name(&message.channel) {
                    waiting.entry(lane).or_default().push(message.to);
                }
            }
            for (lane, whose) in waiting {
                for part in whose.chunks(200) {
                    let part: Vec<&str> = part.iter().map(String::as_str).collect();
                    post_permits(&world.client, world.control(), &world.ledger, lane, &part).await?;
                }
            }
        }
        if counts.held > 0 {
            for message in world.messages(Some("held")).await? {
                // It may have been let go meanwhile.
                drop(world.client.act(&message.id, "release", None).await);
            }
        }
        if counts.failed > 0 {
            mend_failed(&world.client, world.control(), &world.ledger).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Everything to the end of a run: quiet, drained, compared, stopped, and the file looked at.
pub(crate) async fn come_to_rest(
    world: &World,
    engine: Engine,
    report: &mut Report,
    patience: Duration,
    clock_moved: bool,
) -> Outcome {
    let engine = quieten(world, engine).await?;
    drain(world, patience).await?;
    world.compare(report, true, clock_moved).await?;
    engine.stop().await?;
    look_at_file(&world.store().join("tidings.db"), report).await;
    let log = world.log();
    // `3 outcomes came too late and changed nothing`, once for each transaction that met some.
    let late: u32 = log
        .lines()
        .filter_map(|line| line.split_once(" outcomes came too late")?.0.rsplit(' ').next()?.parse::<u32>().ok())
        .sum();
    report.figures.insert("outcomes that met the fence", f64::from(late));
    if log.contains("panicked at") {
        report.broken("the engine panicked; see engine.log with `--keep`");
    }
    Ok(())
}

/// What must be true of the file itself. Nobody else may have it open.
pub(crate) async fn look_at_file(path: &Path, report: &mut Report) {
    match wrong_in(path).await {
        Ok(wrong) => wrong.into_iter().for_each(|wrong| report.corrupted(wrong)),
        Err(error) => report.corrupted(format!("the store cannot be read: {}", error.0)),
    }
}

/// The same of a database.
pub(crate) async fn look_at_database(url: &str, report: &mut Report) {
    let look = async {
        let mut connection = sqlx::PgConnection::connect(url).await?;
        let mut wrong = Vec::new();
        for check in CHECKS.iter().skip(1) {
            wrong.extend(sqlx::query_scalar::<_, String>(*check).fetch_all(&mut connection).await?);
        }
        Ok::<_, Trouble>(wrong)
    };
    match look.await {
        Ok(wrong) => wrong.into_iter().for_each(|wrong| report.corrupted(wrong)),
        Err(error) => report.corrupted(format!("the store cannot be read: {}", error.0)),
    }
}

/// Questions whose answer is a sentence for each thing that is wrong; the first is SQLite's alone.
const CHECKS: [&str; 4] = [
    "SELECT 'integrity_check: ' || integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    "SELECT 'schedule ' || schedule || ' ran twice for ' || nominal_at FROM run
     GROUP BY schedule, nominal_at HAVING count(*) > 1",
    "SELECT 'message ' || bound_to || ' has two credentials' FROM credential WHERE bound_to IS NOT NULL
     GROUP BY bound_to HAVING count(*) > 1",
    "SELECT 'the tally of channel ' || channel_id || ', state ' || state || ' is wrong by ' || sum(n) FROM (
         SELECT channel_id, state, count(*) AS n FROM message GROUP BY channel_id, state
         UNION ALL SELECT channel_id, state, -count FROM tally
     ) AS counted GROUP BY channel_id, state HAVING sum(n) <> 0",
];

async fn wrong_in(path: &Path) -> Outcome<Vec<String>> {
    // After a kill the log must be read in, and that writes: so it is opened for writing, and nothing is written.
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    let mut connection: SqliteConnection = options.connect().await?;
    let mut wrong = Vec::new();
    for check in CHECKS {
        wrong.extend(sqlx::query_scalar::<_, String>(check).fetch_all(&mut connection).await?);
    }
    connection.close().await?;
    Ok(wrong)
}
