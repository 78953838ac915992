//! The screen: what an operator sees of a running engine.
//!
//! It is a client of the API like everybody else: it knows the engine by its answers only. `state` is what it knows, with a
//! `page` for each thing there is to look at; a message changes it (`update`), and a frame is made of it (`view`). None of
//! them reads a clock or touches a terminal, so all are tested without one; `app` holds them together, `connection` calls
//! the engine.

mod acts;
mod app;
mod calls;
mod completion;
mod connection;
mod cursor;
mod dialog;
mod error;
mod filter;
mod input;
mod keys;
mod layout;
#[cfg(feature = "measure")]
pub mod measure;
mod message;
mod output;
mod page;
mod state;
mod terminal;
mod text;
mod theme;
mod time;
mod trend;
mod update;
mod view;
mod window;
mod words;

#[cfg(test)]
#[path = "../tests/case.rs"]
mod case;
#[cfg(test)]
#[path = "../tests/docs.rs"]
mod docs_tests;
#[cfg(test)]
#[path = "../tests/idle.rs"]
mod idle;
#[cfg(test)]
#[path = "../tests/screens.rs"]
mod screens;
#[cfg(test)]
#[path = "../tests/terminal.rs"]
mod terminal_tests;
#[cfg(test)]
#[path = "../tests/tmux.rs"]
mod tmux;
#[cfg(test)]
#[path = "../tests/update.rs"]
mod update_tests;

pub use app::{Options, run};
pub use error::TuiError;
pub use words::Language;
