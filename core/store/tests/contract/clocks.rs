//! What the database's clock says, as each engine knows it: engines compare theirs with it.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use tidings_model::Timestamp;
use tidings_store::{Lease, NodeName};

use crate::harness::{HOUR, Home, Store};
use crate::nodes::SOON;

for_every_server! {
    a_node_knows_what_the_databases_clock_says_from_its_first_word_and_each_renewal,
}

/// Sets the clock by which the database tells the time, ahead or back.
async fn set_clock(home: &Home, ahead_ms: i64) {
    let set = format!(
        "CREATE OR REPLACE FUNCTION tidings_now() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE
         AS 'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + {ahead_ms}'"
    );
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut home.connect().await).await.unwrap();
}

/// Whether what a node believes of the clock is so, by what the clock says before and after.
async fn knows(home: &Home, lease: &Lease) -> bool {
    let mut third = home.connect().await;
    let ask = "SELECT tidings_now()";
    let before: i64 = sqlx::query_scalar(ask).fetch_one(&mut third).await.unwrap();
    let (says, within) = lease.database_clock().expect("there is a clock");
    let after: i64 = sqlx::query_scalar(ask).fetch_one(&mut third).await.unwrap();
    assert!(within < Duration::from_secs(30), "{within:?}");
    says.after(within) >= Timestamp(before) && says.before(within) <= Timestamp(after)
}

async fn a_node_knows_what_the_databases_clock_says_from_its_first_word_and_each_renewal(one: Store) {
    assert!(knows(&one.home, &one.writer.lease()).await);
    set_clock(&one.home, i64::try_from(HOUR.as_millis()).unwrap()).await;
    let name = NodeName { lease: Duration::from_millis(500), ..NodeName::default() };
    let (writer, _) = tidings_store::open_as(&one.home.url(), name).await.unwrap();
    assert!(knows(&one.home, &writer.lease()).await, "it was told when it joined");
    // Back, so that its lease goes on.
    set_clock(&one.home, 0).await;
    let begun = Instant::now();
    while !knows(&one.home, &writer.lease()).await {
        assert!(begun.elapsed() < SOON, "it is told with each renewal");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(writer);
}
