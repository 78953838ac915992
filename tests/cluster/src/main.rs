//! `tidings-cluster`: the server that tests share, by hand and for `tests/run`.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for people and scripts")]

use std::process::ExitCode;

const HELP: &str = "\
The PostgreSQL that the tests of this workspace share.

Usage: tidings-cluster start|stop|url

  start  starts it if it does not run, and prints the address of its maintenance database
  stop   stops it and removes it; tests that run just then fail
  url    prints the address that tests use: that in TIDINGS_TEST_POSTGRES, or that of the shared one, started if need be
";

fn main() -> ExitCode {
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let done = match typed.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["start"] => tidings_cluster::start(),
        ["stop"] => tidings_cluster::stop().map(|was| if was { "stopped" } else { "none runs" }.to_owned()),
        ["url"] => tidings_cluster::server(),
        ["--help" | "-h" | "help"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("error: expected one of start, stop, url\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", error.whole());
            ExitCode::FAILURE
        }
    }
}
