//! Plugin files, good ones and bad ones, compiled from `tests/fixtures/plugins` and met as the engine meets them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a measurement that is read")]

mod calls;
mod files;
mod fixture;
mod lines;
mod load;
mod transports;
