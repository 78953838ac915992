//! A connection that is lost while the server goes on with what it was told: nobody looks what came of it before it is over.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tidings_model::State;
use tidings_store::{Batch, StoreError};

use crate::harness::{FREE, Home, Store};
use crate::nodes::{SOON, an_outcome_that_will_wait, begin_to_lose_answers, run, until_waiting};

/// Ends when somebody who takes orphans over waits for a standby that never comes.
async fn until_taking_over(third: &mut PgConnection) {
    let begun = Instant::now();
    let taking = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%lapsed%')";
    while !sqlx::query_scalar::<_, bool>(taking).fetch_one(&mut *third).await.unwrap() {
        assert!(begun.elapsed() < SOON, "somebody takes over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What it takes over landed behind the back of the next one that looked, which found it locked, and was nobody's for good.
#[tokio::test]
async fn what_the_server_is_still_at_work_on_is_waited_for_when_its_connection_is_lost() {
    let (home, proxy) = Home::postgres_far_away();
    let mut one = Store::new(home).await;
    let id = one.accept_one(FREE, "ann").await;
    one.claim_one(FREE).await;
    let mut one = one.crash().await;
    let mut third = one.home.connect().await;
    begin_to_lose_answers(&one.home, &mut third).await;

    let (failed, ()) = tokio::join!(one.writer.orphans(), async {
        until_taking_over(&mut third).await;
        proxy.cut();
    });
    assert!(failed.is_err(), "the connection is lost");
    let refused = one.writer.orphans().await;
    assert!(matches!(&refused, Err(error @ StoreError::Underway { .. }) if error.is_away()), "{refused:?}");

    run(&mut third, "ALTER SYSTEM RESET synchronous_standby_names").await;
    run(&mut third, "SELECT pg_reload_conf()").await;
    let orphans = one.writer.orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn a_transaction_that_waits_for_a_word_that_cannot_come_is_ended_before_the_next_begins() {
    let (home, proxy) = Home::postgres_far_away();
    let mut one = Store::new(home).await;
    let (settle, mut third) = an_outcome_that_will_wait(&mut one).await;
    let batch = Batch { now: one.now, settles: vec![settle.clone()], ..Batch::default() };

    let (failed, ()) = tokio::join!(one.writer.commit(&batch), async {
        until_waiting(&mut third, 1).await;
        // The server goes on, and nobody hears its answer.
        proxy.shut();
        run(&mut third, "COMMIT").await;
    });
    assert!(failed.as_ref().is_err_and(StoreError::is_away), "{failed:?}");

    proxy.open();
    assert_eq!(one.writer.commit(&batch).await.unwrap().settled, [true], "the one before was rolled back");
    let log = one.home.server_log();
    assert!(log.contains("terminating connection due to administrator command"), "nobody waited for its end: {log}");
    assert!(!log.contains("idle-in-transaction timeout"), "{log}");
    assert_eq!((one.state(settle.message).await, one.ledger().await), (State::Queued, vec![(2, None)]));
}

/// As many reads at once as there are connections for.
async fn read_at_once(store: &Store) -> Vec<Result<(), StoreError>> {
    let read = || Box::pin(async { store.reader.counts().await.map(drop) });
    let (a, b, c, d, e) = tokio::join!(read(), read(), read(), read(), read());
    vec![a, b, c, d, e]
}

#[tokio::test]
async fn readers_whose_answers_are_lost_or_whose_connections_are_silent_keep_no_place_from_others() {
    let (home, proxy) = Home::postgres_far_away();
    let one = Store::new(home).await;
    assert!(read_at_once(&one).await.iter().all(Result::is_ok));
    // Nobody uses them while they fall silent, sqlx neither: it asks each that comes back whether it is there.
    let begun = Instant::now();
    while one.reader.at_rest() < 5 {
        assert!(begun.elapsed() < SOON, "all of them come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.shut();
    proxy.open();
    let read = read_at_once(&one).await;
    assert!(read.iter().all(Result::is_ok), "each is made anew: {read:?}");

    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; LOCK TABLE tally").await;
    let (read, ()) = tokio::join!(read_at_once(&one), async {
        until_waiting(&mut third, 5).await;
        proxy.shut();
        run(&mut third, "COMMIT").await;
    });
    assert!(read.iter().all(|read| read.as_ref().is_err_and(StoreError::is_away)), "{read:?}");
    proxy.open();
    let begun = Instant::now();
    while !read_at_once(&one).await.iter().all(Result::is_ok) {
        assert!(begun.elapsed() < SOON, "there are places again");
    }
}

/// Whoever listens says nothing, so nothing of his is ever without an acknowledgement: he would have listened for good.
#[tokio::test]
async fn a_node_hears_the_bell_again_when_the_way_to_its_server_fell_silent_and_is_open() {
    let (home, proxy) = Home::postgres_far_away();
    let mut one = Store::new(home).await;
    let mut other = Store::new(one.home.near()).await;
    let rung = one.writer.rung();
    let hears = async |other: &mut Store| {
        other.accept_one(FREE, "ann").await;
        tokio::time::timeout(Duration::from_millis(200), rung.notified()).await.is_ok()
    };
    (one.is_alone, other.is_alone) = (false, false);
    let begun = Instant::now();
    while !hears(&mut other).await {
        assert!(begun.elapsed() < SOON, "it hears the other");
    }
    proxy.shut();
    while hears(&mut other).await {
        assert!(begun.elapsed() < SOON, "it hears nothing");
    }
    proxy.open();
    while !hears(&mut other).await {
        assert!(begun.elapsed() < SOON, "it hears the other again");
    }
}
