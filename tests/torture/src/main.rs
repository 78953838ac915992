//! `tidings-torture`: what to do to the engine, and what came of it. Ends with 0 if nothing was lost, doubled where once
//! is promised, or corrupt; with 1 if something was; with 2 if the run could say nothing.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for people and scripts")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use tidings_torture::{Options, Scenario, run};

/// Tortures the engine and compares what it acknowledged, what it stored and what arrived.
///
/// The real program runs in a temporary folder against a simulated WeChat in this process, which loses one reply in
/// twenty after the message has arrived. Exit code 0: nothing was lost, nothing doubled where once is promised, nothing
/// corrupt. 1: something was, and the findings say what. 2: nothing can be said.
#[derive(Debug, Parser)]
#[command(name = "tidings-torture", version)]
struct Typed {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// SIGKILL at random moments under mixed load, again and again on the same store
    Kill(How),
    /// Power cuts under mixed load: what was not synced is lost, kept or torn, as chance has it
    Power {
        #[command(flatten)]
        how: How,
        /// Syncs do nothing, as with `synchronous = OFF`: this must end with 1
        #[arg(long)]
        deaf: bool,
    },
    /// The disk fills up under load and has room again after a while; a round is a filling
    DiskFull(How),
    /// Several engines on one PostgreSQL under load: SIGKILL, SIGSTOP past the lease and SIGCONT, terminated connections,
    /// a restart of the database; a round is one of them
    Nodes {
        #[command(flatten)]
        how: How,
        /// How many engines
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=8))]
        nodes: u8,
    },
    /// The wall clock jumps forth and back, by minutes to days, under load with schedules; a round is a step
    Clock(How),
}

#[derive(Debug, Args)]
struct How {
    /// How often
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Repeats a run, as far as timing allows; random if not given, and told
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The last line of standard output is one JSON object
    #[arg(long)]
    json: bool,
    /// The program; the `tidings` beside this one if not given, built first where cargo runs this
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Leave the folder with the store, the config and the engine's log
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let (scenario, how) = match Typed::parse().what {
        What::Kill(how) => (Scenario::Kill, how),
        What::DiskFull(how) => (Scenario::DiskFull, how),
        What::Clock(how) => (Scenario::Clock, how),
        What::Nodes { how, nodes } => (Scenario::Nodes { nodes: usize::from(nodes) }, how),
        What::Power { how, deaf } => (Scenario::Power { deaf }, how),
    };
    let seed = how.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    });
    eprintln!("seed {seed}");
    let options = Options { rounds: how.rounds, seed, binary: how.binary, keep: how.keep };
    match run(scenario, &options) {
        Ok(report) => {
            if how.json {
                eprint!("{}", report.text());
                println!("{}", report.json());
            } else {
                print!("{}", report.text());
            }
            ExitCode::from(u8::from(!report.is_good()))
        }
        Err(trouble) => {
            eprintln!("error: {}", trouble.0);
            ExitCode::from(2)
        }
    }
}
