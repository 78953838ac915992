//! The built program, from outside: each test has a folder, a config, a simulated WeChat and an engine of its own.
//!
//! What has to do with the store runs twice, by the list `on_each_store!` at the head of its file: with a file in the test's
//! folder, and with a database of its own in PostgreSQL. What is about files (their copies, rights and locks), or has nothing
//! to do with a store, runs once.
//!
//! What is compared with is WeChat's own log, not what the engine says of itself. Nothing waits for a time to pass;
//! every wait is for a condition and has a deadline. When a test ends, every process it started is gone, and no log may
//! tell of a panic.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

mod harness;

mod api;
mod audiences;
mod audit;
mod backup;
mod bulk;
mod by_hand;
mod callbacks;
mod check;
mod commands;
mod connections;
mod dead;
mod demo;
mod events;
mod failover;
mod faults;
mod files;
mod help;
mod intake;
mod keys;
mod lifecycle;
mod migrate;
mod nodes;
mod openapi;
mod outage;
mod pages;
mod plugin;
mod plugin_files;
mod plugins;
mod pooler;
mod reach;
mod recipes;
mod reload;
mod retention;
mod runs;
mod schedules;
mod screen;
mod secrets;
mod silence;
mod suppression;
mod tls;
#[path = "../../tui/tests/tmux.rs"]
mod tmux;
mod tokens;
mod traces;
mod transports;
mod trust;
mod watch;
mod webhooks;
