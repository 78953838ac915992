//! `schedules`: how late they fire, and what those cost that have nothing to do. Their times are read from the store, where
//! every firing says when it was decided and when its run had ended.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::Common;
use crate::child::PATIENCE;
use crate::engine::EngineProcess;
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::measure::{Spread, millis, percentile};
use crate::report::Report;
use crate::server::Provider;

/// Before a window is measured: what the start cost is over.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct SchedulesArgs {
    #[command(flatten)]
    common: Common,
    /// Schedules in the config.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    schedules: u32,
    /// Seconds of each window.
    #[arg(long, default_value_t = 65, value_parser = clap::value_parser!(u32).range(61..=600))]
    seconds: u32,
}

/// When the schedules of a window fire.
#[derive(Debug, Clone, Copy)]
enum Times {
    /// Once a day, spread over it: next to none in the window.
    Daily,
    /// Once a minute, spread over it.
    Spread,
    /// Once a minute, all at once.
    AtOnce,
}

/// What became of a window.
struct Window {
    /// From the nominal time to the decision, in order.
    late: Vec<Duration>,
    /// From the nominal time to the end of its run, in order.
    done: Vec<Duration>,
    /// Share of a core.
    cpu: f64,
    rss_mb: f64,
}

struct Round {
    idle: Window,
    spread: Window,
    at_once: Window,
}

pub(crate) async fn schedules(args: SchedulesArgs) -> Result<(), Failure> {
    let provider = Provider::start()?;
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let idle = window(&provider, &args, Times::Daily).await?;
        let spread = window(&provider, &args, Times::Spread).await?;
        let at_once = window(&provider, &args, Times::AtOnce).await?;
        let p99 = |window: &Window| millis(percentile(&window.late, 990));
        eprintln!(
            "round {number}: idle {:.2} % of a core; p99 late {:.1} ms spread, {:.1} ms at once",
            idle.cpu * 100.0,
            p99(&spread),
            p99(&at_once)
        );
        rounds.push(Round { idle, spread, at_once });
    }
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut report = Report::new("schedules");
    report.number("idle_percent", "engine with nothing due", "%", over(&|round| round.idle.cpu * 100.0));
    for (name, label, of) in [
        ("spread", "spread over a minute", (|round| &round.spread) as fn(&Round) -> &Window),
        ("at_once", "all at once", |round| &round.at_once),
    ] {
        let at = |took: &[Duration], per_mille| millis(percentile(took, per_mille));
        report.line(label, format!("{} firings a round", rounds.first().map_or(0, |round| of(round).late.len())));
        report.number(&format!("{name}_p50_ms"), "  late, median", "ms", over(&|round| at(&of(round).late, 500)));
        report.number(&format!("{name}_p99_ms"), "  late, 99 of 100", "ms", over(&|round| at(&of(round).late, 990)));
        report.number(
            &format!("{name}_done_p99_ms"),
            "  its run ended, 99 of 100",
            "ms",
            over(&|round| at(&of(round).done, 990)),
        );
        report.number(&format!("{name}_percent"), "  engine", "%", over(&|round| of(round).cpu * 100.0));
    }
    report.number("rss_mb", "most memory", "MB", over(&|round| round.at_once.rss_mb.max(round.spread.rss_mb)));
    report.condition("schedules", args.schedules);
    report.condition("seconds", args.seconds);
    report.tell(args.common.json)
}

async fn window(provider: &Provider, args: &SchedulesArgs, times: Times) -> Result<Window, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let file = folder.path().join("schedules.toml");
    std::fs::write(&file, config(args.schedules, times))?;
    let mut engine = EngineProcess::start_with(folder.path(), &provider.url, &file, PATIENCE)?;
    tokio::time::sleep(SETTLE).await;
    let before = engine.look()?.usage.cpu_seconds;
    let seconds = Duration::from_secs(args.seconds.into());
    tokio::time::sleep(seconds).await;
    let cpu = (engine.look()?.usage.cpu_seconds - before) / seconds.as_secs_f64();
    let rss_mb = engine.stop()?.usage.rss_mb;
    let (late, done) = told(&folder.path().join("tidings.db")).await?;
    if !matches!(times, Times::Daily) {
        check(late.len() >= args.schedules as usize, || {
            format!("{} of {} schedules fired within {} s", late.len(), args.schedules, args.seconds)
        })?;
    }
    Ok(Window { late, done, cpu, rss_mb })
}

fn config(schedules: u32, times: Times) -> String {
    let mut text = String::new();
    for number in 0..schedules {
        let cron = match times {
            Times::Daily => {
                let second = number * 86_399 / schedules;
                format!("{} {} {} * * *", second % 60, second / 60 % 60, second / 3600)
            }
            Times::Spread => format!("{} * * * * *", number % 60),
            Times::AtOnce => "0 * * * * *".to_owned(),
        };
        let more = format!("[schedules.s{number}]\ncron = \"{cron}\"\njob = \"purge_credentials\"\n");
        text.write_str(&more).expect("a string takes everything");
    }
    text
}

/// How late each firing was, and its end, each in order.
async fn told(file: &Path) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
    let mut connection: SqliteConnection = SqliteConnectOptions::new().filename(file).connect().await?;
    let sql = "SELECT f.decided_at - f.nominal_at, r.ended_at - f.nominal_at
               FROM firing AS f JOIN run AS r ON r.id = f.run_id WHERE f.verdict = 'fired' AND r.ended_at IS NOT NULL";
    let rows: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(&mut connection).await?;
    connection.close().await?;
    let sorted = |of: fn(&(i64, i64)) -> i64| {
        let mut took: Vec<Duration> =
            rows.iter().map(|row| Duration::from_millis(u64::try_from(of(row)).unwrap_or(0))).collect();
        took.sort_unstable();
        took
    };
    Ok((sorted(|row| row.0), sorted(|row| row.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_has_its_own_name_and_a_time_that_there_is() {
        for times in [Times::Daily, Times::Spread, Times::AtOnce] {
            let text = config(1000, times);
            assert_eq!(text.matches("[schedules.s").count(), 1000);
            for line in text.lines().filter_map(|line| line.strip_prefix("cron = ")) {
                tidings_model::cron::Cron::parse(line.trim_matches('"')).unwrap();
            }
        }
    }
}
