//! The program `tidings`: reads what was typed, does it, and ends with 0 (done), 1 (not done) or 2 (typed or configured
//! wrongly).

#![expect(clippy::print_stderr, reason = "what is not data goes there; data goes through `output`")]

mod args;
mod audit;
mod backup;
mod bar;
mod channels;
mod check;
mod connect;
mod credentials;
mod demo;
mod events;
mod keys;
mod local_zone;
mod logging;
mod messages;
mod migrate;
mod nodes;
mod output;
mod plugin;
mod reach;
mod reload;
mod run;
mod runs;
mod sandbox;
mod schedules;
mod screen;
mod send;
mod suppressions;
mod tokens;
mod webhooks;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use args::{Args, Command};

/// A call is many small allocations on one thread that are given back on another, which the system's allocator takes its
/// time over (docs/PERFORMANCE.md has the figure).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and did not work.
    Failed(String),
    /// What was typed or configured is wrong; everything to say has been said, or is said here.
    Usage(String),
}

impl<E: std::error::Error> From<E> for Failure {
    /// The error with its causes: each says only its own step.
    fn from(error: E) -> Failure {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Failure::Failed(text)
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<(), Failure>;

fn main() -> ExitCode {
    let args = Args::parse();
    // Both sides of the program speak TLS by the same library; a second choice would be refused and is not made.
    let _first = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(carry_out(args));
    // A broadcast that still reads its file must not hold the end up: it goes on at the next start.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => {
            eprintln!("error: {text}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(text)) => {
            if !text.is_empty() {
                eprintln!("error: {text}");
            }
            ExitCode::from(2)
        }
    }
}

async fn carry_out(args: Args) -> Outcome {
    let reach = args.reach();
    match args.command {
        Command::Demo(demo) => Box::pin(demo::demo(demo)).await,
        Command::Run(run) => Box::pin(run::run(&args.config, run)).await,
        Command::Check(check) => check::check(&args.config, &check).await,
        Command::Send(send) => send::send(&reach, send).await,
        Command::Credentials(command) => credentials::credentials(&reach, command).await,
        Command::Reachability(args) => reach::reachability(&reach, args).await,
        Command::Messages(command) => messages::messages(&reach, command).await,
        Command::Channels(command) => channels::channels(&reach, command).await,
        Command::Tokens(command) => tokens::tokens(&reach, command).await,
        Command::Keys(command) => keys::keys(&reach, command).await,
        Command::Openapi => output::line(&tidings_api::server::document()),
        Command::Schedules(command) => schedules::schedules(&reach, command).await,
        Command::Runs(command) => runs::runs(&reach, command).await,
        Command::Suppressions(command) => suppressions::suppressions(&reach, command).await,
        Command::Audit(command) => audit::audit(&reach, command).await,
        Command::Events(args) => events::events(&reach, args).await,
        Command::Webhooks(command) => webhooks::webhooks(&reach, command).await,
        Command::Nodes(args) => nodes::nodes(&reach, args).await,
        Command::Plugin(command) => plugin::plugin(&reach, command).await,
        Command::Reload(args) => reload::reload(&reach, args).await,
        Command::Backup(args) => backup::backup(&reach, args).await,
        Command::Migrate(args) => migrate::migrate(args).await,
        Command::Tui => screen::screen(&reach).await,
        Command::Sandbox(sandbox) => sandbox::sandbox(sandbox).await,
    }
}
