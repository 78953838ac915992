//! `accepts`: many clients, each with one message at a time, and every message on disk before its 202: in this build and in
//! another by turns, so that what a change is worth can be told on a machine that is busy now and then.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Common;
use crate::engine::EngineProcess;
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::intake::{Seen, seen};
use crate::measure::{Spread, millis, percentile};
use crate::report::Report;
use crate::server::Provider;
use crate::usage::{Machine, Usage};

#[derive(Debug, Args)]
pub(crate) struct AcceptsArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in each round.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Clients at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// Another build of this program, whose engine takes turns with this one's.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// What one engine made in one round.
struct Turn {
    seen: Seen,
    cpu_seconds: f64,
    clients_cpu_seconds: f64,
    /// Parts of the machine's time: in which nobody ran, and in which others did.
    idle: f64,
    others: f64,
}

pub(crate) async fn accepts(args: AcceptsArgs) -> Result<(), Failure> {
    let provider = Provider::start()?;
    let own = std::env::current_exe()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 1..=args.common.rounds {
        // Who goes first takes turns as well.
        let ours_first = number % 2 == 1;
        if ours_first {
            ours.push(turn(&own, &provider, &args, number).await?);
        }
        if let Some(other) = &args.against {
            theirs.push(turn(other, &provider, &args, number).await?);
        }
        if !ours_first {
            ours.push(turn(&own, &provider, &args, number).await?);
        }
    }
    report(&args, &ours, &theirs).tell(args.common.json)
}

async fn turn(program: &Path, provider: &Provider, args: &AcceptsArgs, number: u32) -> Result<Turn, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let mut engine = EngineProcess::of(program, folder.path(), &provider.url)?;
    engine.pause()?;
    let url = engine.api()?;
    let (before, own, machine) = (engine.look()?, Usage::now()?, Machine::now()?);
    let seen = seen(&url, 1, args.messages, args.clients).await?;
    let (after, own_after, machine_after) = (engine.look()?, Usage::now()?, Machine::now()?);
    check(after.standing.queued == i64::from(args.messages), || {
        format!("{} messages were answered with 202, and the store has: {:?}", args.messages, after.standing)
    })?;
    engine.stop()?;
    let cpu_seconds = after.usage.cpu_seconds - before.usage.cpu_seconds;
    let clients_cpu_seconds = own_after.cpu_seconds - own.cpu_seconds;
    let whole = machine_after.seconds - machine.seconds;
    let idle = machine_after.idle_seconds - machine.idle_seconds;
    let others = (whole - idle - cpu_seconds - clients_cpu_seconds).max(0.0) / whole;
    let turn = Turn { seen, cpu_seconds, clients_cpu_seconds, idle: idle / whole, others };
    eprintln!(
        "round {number}: {}: {:.0}/s, {:.1} µs of processor time each, clients {:.1} µs; idle {:.0} %, others {:.0} %",
        program.display(),
        turn.seen.per_second,
        turn.micros(args.messages),
        turn.clients_cpu_seconds * 1e6 / f64::from(args.messages),
        turn.idle * 100.0,
        turn.others * 100.0
    );
    Ok(turn)
}

impl Turn {
    /// The engine's processor time for one message, in microseconds.
    fn micros(&self, messages: u32) -> f64 {
        self.cpu_seconds * 1e6 / f64::from(messages)
    }
}

fn report(args: &AcceptsArgs, ours: &[Turn], theirs: &[Turn]) -> Report {
    let mut report = Report::new("accepts");
    for (name, label, turns) in [("", "this build", ours), ("other_", "the other build", theirs)] {
        if turns.is_empty() {
            continue;
        }
        let over = |value: &dyn Fn(&Turn) -> f64| Spread::of(turns.iter().map(value));
        report.rate(&format!("{name}per_second"), label, over(&|turn| turn.seen.per_second));
        report.number(
            &format!("{name}cpu_us"),
            "  processor time each",
            "µs",
            over(&|turn| turn.micros(args.messages)),
        );
        for (end, label, per_mille) in [("p50_ms", "  a call, median", 500), ("p99_ms", "  99 of 100", 990)] {
            let times = over(&|turn| millis(percentile(&turn.seen.calls, per_mille)));
            report.number(&format!("{name}{end}"), label, "ms", times);
        }
        report.ratio(&format!("{name}idle"), "  the machine is idle", over(&|turn| turn.idle));
        report.ratio(&format!("{name}others"), "  others have it", over(&|turn| turn.others));
    }
    if !theirs.is_empty() {
        let over = |value: &dyn Fn(&Turn) -> f64| {
            Spread::of(ours.iter().zip(theirs).map(|(ours, theirs)| value(ours) / value(theirs)))
        };
        report.ratio("rate_ratio", "rate, this to the other", over(&|turn| turn.seen.per_second));
        report.ratio("cpu_ratio", "processor time, this to the other", over(&|turn| turn.cpu_seconds));
    }
    report.condition("messages", args.messages);
    report.condition("clients", args.clients);
    report.condition("rounds", args.common.rounds);
    report
}
