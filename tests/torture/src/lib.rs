//! Tidings under torture: the real program is killed, its power is cut, its disk fills and its clock jumps, while clients
//! send and a simulated WeChat in this process loses replies. Afterwards what was acknowledged, what the store says and
//! what arrived are compared, message by message.

#![expect(clippy::print_stderr, reason = "progress goes there; the report is what the caller prints")]

mod binary;
mod clock;
mod compare;
mod engine;
mod folder;
mod full;
mod instant;
mod journal;
mod kill;
mod lane;
mod ledger;
mod load;
mod nodes;
mod power;
mod random;
mod report;
mod rest;
mod shim;
mod trouble;
mod world;

use std::path::PathBuf;

pub use report::{Report, Tally};
pub use trouble::Trouble;

/// What is done to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// SIGKILL at random moments.
    Kill,
    /// The power is cut at random moments; `deaf` if syncs do nothing, which must be noticed.
    Power {
        /// Whether syncs do nothing.
        deaf: bool,
    },
    /// The disk is full for a while.
    DiskFull,
    /// The wall clock jumps.
    Clock,
    /// Several engines share a database, and they, its connections and it are ended, paused and started.
    Nodes {
        /// How many.
        nodes: usize,
    },
}

/// How it is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kills, cuts, fillings or steps.
    pub rounds: u32,
    /// Repeats a run, as far as timing allows.
    pub seed: u64,
    /// The program; none for the `tidings` beside this one.
    pub binary: Option<PathBuf>,
    /// Whether the folder stays for a look.
    pub keep: bool,
}

/// Runs a scenario in a runtime of its own.
///
/// # Errors
///
/// [`Trouble`] if nothing can be said: no binary, an engine that does not start. What is lost or doubled is in the report.
pub fn run(scenario: Scenario, options: &Options) -> Result<Report, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(async {
        let scenario = async {
            match scenario {
                Scenario::Kill => Box::pin(kill::kill(options)).await,
                Scenario::DiskFull => Box::pin(full::full(options)).await,
                Scenario::Clock => Box::pin(clock::clock(options)).await,
                Scenario::Nodes { nodes } => Box::pin(nodes::nodes(options, nodes)).await,
                Scenario::Power { deaf } => Box::pin(power::power(options, deaf)).await,
            }
        };
        tokio::select! {
            report = scenario => report,
            // The engine ends with us, and its folder with it.
            _ = tokio::signal::ctrl_c() => Err(Trouble::new("interrupted")),
        }
    });
    runtime.shutdown_background();
    report
}
