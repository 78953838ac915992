//! Every earlier schema is brought to the present one with everything that is in it.

mod postgres;
mod sqlite;

#[path = "../contract/harness.rs"]
#[expect(dead_code, reason = "most of the contract's shorthand is not needed here")]
mod harness;
