//! The plans of the statements in the folders, for each of them and whatever the database knows of the rows: what a
//! statement reads grows with what it is asked for, never with the queue. A statement is in a folder, or it is not on the
//! hot path.

mod postgres;
mod sqlite;

#[path = "../contract/harness.rs"]
#[expect(dead_code, reason = "the contract's shorthand is not needed here")]
mod harness;
