//! What every store must show, whatever it is made of: written against `Writer` and `Reader` alone.
//!
//! A test is a function of a fresh [`harness::Store`]; `for_every_store!` at the head of its file runs it on each kind
//! there is. A test that is not listed there is dead code, and does not compile. After every commit the harness
//! compares the counts that are kept with the rows that are.

#![expect(clippy::unwrap_used, reason = "the tests are functions that a macro calls, and a test may panic")]

/// Runs these tests on every kind of store.
macro_rules! for_every_store {
    ($($name:ident,)*) => {
        mod sqlite {
            use crate::harness::{Home, Store};
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(Store::new(Home::sqlite()).await).await;
                }
            )*
        }
        mod postgres {
            use crate::harness::{Home, Store};
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(Store::new(Home::postgres()).await).await;
                }
            )*
        }
    };
}

/// The same for those that several engines share.
macro_rules! for_every_server {
    ($($name:ident,)*) => {
        mod postgres {
            use crate::harness::{Home, Store};
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(Store::new(Home::postgres()).await).await;
                }
            )*
        }
    };
}

/// The same for those that are in a file.
macro_rules! for_every_file {
    ($($name:ident,)*) => {
        mod sqlite {
            use crate::harness::{Home, Store};
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(Store::new(Home::sqlite()).await).await;
                }
            )*
        }
    };
}

mod harness;

mod accept;
mod audit;
mod backup;
mod bulk;
mod claim;
mod clocks;
mod credentials;
mod crossed;
mod dead;
mod edges;
mod examine;
mod fence;
mod file;
mod growth;
mod intake;
mod keys;
mod lost;
mod moving;
mod nodes;
mod notices;
mod operate;
mod order;
mod reach;
mod read;
mod receipts;
mod recover;
mod retention;
mod runs;
mod schedule;
mod signpost;
mod suppression;
mod turn;
