//! What every store does, whatever its database: the steps of a transaction, and the looks of readers.

mod accept;
mod audit;
mod claim;
mod depth;
mod due;
mod floor;
mod keys;
mod moment;
mod moving;
mod nodes;
mod notice;
mod operate;
mod reach;
mod reader;
mod receipt;
mod row;
mod run;
mod schedule;
pub(crate) mod select;
mod settle;
mod signpost;
mod standing;
mod suppression;
mod sweep;
mod tally;
mod tick;
mod wake;
mod walk;
mod withdraw;
mod writer;

pub use moving::{MovedTable, Progress, migrate};
pub use reach::REACH_MANY_MAX;
pub use reader::Reader;
pub(crate) use writer::Home;
pub use writer::{Ids, Writer};
