//! How fast the engine is, measured beside the least that could do the same, in one run.
//!
//! Each scenario has a peer that bounds it: the bare HTTP loop, raw SQLite, an API that stores nothing. Both take turns
//! in every round, and what is reported is the median of the rounds' own ratios: on a machine that is busy now and
//! then, a ratio means something where a rate does not.

#![expect(clippy::print_stderr, reason = "progress goes there; what was measured goes through `report`")]

mod accepts;
mod backlog;
mod bare;
mod caller;
mod child;
mod disk;
mod engine;
mod failure;
mod folder;
mod graphile;
mod hostile;
mod intake;
mod latency;
mod least;
mod measure;
mod neighbours;
mod pipeline;
mod plugin;
mod queue;
mod raw;
mod readers;
mod report;
mod schedules;
mod server;
mod standin;
mod tui;
mod usage;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::Failure;
use mimalloc::MiMalloc;

/// The allocator of the program that is measured; its peers have it as well.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How fast the engine is, beside the least that could do the same, in one run. Build it with `--release`.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// The whole engine (token, credential, render, send, settle) beside a bare HTTP loop.
    Pipeline(pipeline::PipelineArgs),
    /// The store alone (accept, claim, settle) beside raw SQLite, by batch size.
    Queue(queue::QueueArgs),
    /// Messages over the API: one by one beside an API that stores nothing, in bulk beside raw SQLite, and while others
    /// mean no good.
    Intake(intake::IntakeArgs),
    /// Messages over the API one by one, in this build and in another by turns.
    Accepts(accepts::AcceptsArgs),
    /// From a message's POST to its arrival at the provider, at a steady rate.
    Latency(latency::LatencyArgs),
    /// The engine with a long past and a long queue beside an empty one, and its start after a crash.
    Backlog(backlog::BacklogArgs),
    /// A call into a plugin file beside the same call linked in, and messages in flight in one.
    Plugin(plugin::PluginArgs),
    /// What a channel feels of a plugin that hangs, panics, floods the log or lies beside it.
    Neighbours(neighbours::NeighboursArgs),
    /// Who reads along with what happens: a thousand idle ones, and a slow one beside load.
    Readers(readers::ReadersArgs),
    /// How late thousands of schedules fire, spread and at once, and what they cost while nothing is due.
    Schedules(schedules::SchedulesArgs),
    /// The screen on a million messages and 5,000 changes a second: how soon a key is seen, what it takes when nothing
    /// happens.
    Tui(tui::TuiArgs),
    /// The screen under measurement, for that scenario.
    #[command(hide = true)]
    Screen(tui::ScreenArgs),
    /// The local provider, for the scenarios.
    #[command(hide = true)]
    Serve,
    /// The engine under measurement, for the scenarios.
    #[command(hide = true)]
    Engine(engine::EngineArgs),
}

/// What every scenario takes.
#[derive(Debug, Args)]
struct Common {
    /// Make the last line one JSON object.
    #[arg(long)]
    json: bool,
    /// How often everything is measured; what is reported is the median.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where the stores are made, in a folder that is removed afterwards [default: the temporary folder].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Both sides of the program speak TLS by the same library; a second choice would be refused and is not made.
    let _first = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(run(arguments.scenario));
    // A thread that still reads standard input must not hold the end up.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(1)
        }
    }
}

async fn run(scenario: Scenario) -> Result<(), Failure> {
    match scenario {
        Scenario::Pipeline(args) => Box::pin(pipeline::pipeline(args)).await,
        Scenario::Queue(args) => Box::pin(queue::queue(args)).await,
        Scenario::Intake(args) => Box::pin(intake::intake(args)).await,
        Scenario::Accepts(args) => Box::pin(accepts::accepts(args)).await,
        Scenario::Latency(args) => Box::pin(latency::latency(args)).await,
        Scenario::Backlog(args) => Box::pin(backlog::backlog(args)).await,
        Scenario::Plugin(args) => Box::pin(plugin::plugin(args)).await,
        Scenario::Neighbours(args) => Box::pin(neighbours::neighbours(args)).await,
        Scenario::Readers(args) => Box::pin(readers::readers(args)).await,
        Scenario::Schedules(args) => Box::pin(schedules::schedules(args)).await,
        Scenario::Tui(args) => Box::pin(tui::tui(args)).await,
        Scenario::Screen(args) => Box::pin(tui::screen(args)).await,
        Scenario::Serve => server::serve().await,
        Scenario::Engine(args) => Box::pin(engine::engine(args)).await,
    }
}
