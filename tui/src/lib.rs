//! The screen: what an operator sees of a running engine.
//!
//! It is a client of the API like everybody else: it knows the engine by its answers only. `state` is what it knows;
//! a message changes it (`update`), and a frame is made of it (`view`). None of the three reads a clock or touches a
//! terminal, so all are tested without one; `app` holds them together, `connection` calls the engine.

mod app;
mod connection;
mod error;
mod keys;
mod layout;
mod message;
mod state;
mod terminal;
mod text;
mod theme;
mod time;
mod update;
mod view;
mod words;

#[cfg(test)]
#[path = "../tests/screens.rs"]
mod screens;
#[cfg(test)]
#[path = "../tests/terminal.rs"]
mod terminal_tests;

pub use app::{Options, run};
pub use error::TuiError;
pub use words::Language;
