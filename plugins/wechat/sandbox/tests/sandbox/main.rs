//! The sandbox from the outside: every behaviour through a real socket, every clock moved and never waited for.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

mod control;
mod faults;
mod phone;
mod pushes;
mod sends;
mod speed;
mod tokens;
