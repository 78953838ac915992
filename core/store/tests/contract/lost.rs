//! A connection that is lost while the server goes on with what it was told: nobody looks what came of it before it is over.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tidings_model::State;
use tidings_store::{Batch, MessageFilter, Reader, StoreError};

use crate::harness::{FREE, Home, NOON, Store};
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

/// How many connections readers have.
const READERS: usize = 5;

/// After so long a reader is gone, whatever it still waits for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the places of readers may be nobody's after the way to the server fell silent: the bound of a connection
/// that is given back, and what those wait who try whether there are places.
const NOBODYS: Duration = Duration::from_secs(20);

async fn one_statement(reader: &Reader) -> Result<(), StoreError> {
    reader.counts().await.map(drop)
}

/// Several that see the same.
async fn one_look(reader: &Reader) -> Result<(), StoreError> {
    let filter = MessageFilter { newer_than: Some(NOON), ..MessageFilter::default() };
    reader.messages(&filter).await.map(drop)
}

/// As many reads at once as there are connections for.
async fn at_once(store: &Store, read: impl AsyncFn(&Reader) -> Result<(), StoreError>) -> Vec<Result<(), StoreError>> {
    let read = || Box::pin(read(&store.reader));
    let (a, b, c, d, e) = tokio::join!(read(), read(), read(), read(), read());
    vec![a, b, c, d, e]
}

async fn read_at_once(store: &Store) -> Vec<Result<(), StoreError>> {
    at_once(store, one_statement).await
}

async fn until_all_came_back(store: &Store) {
    while store.reader.at_rest() < READERS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads on every connection, over and over, until all are answered and come back.
async fn until_each_place_reads(store: &Store, read: impl AsyncFn(&Reader) -> Result<(), StoreError>, at: &str) {
    let begun = Instant::now();
    loop {
        let answered = tokio::time::timeout(PATIENCE, at_once(store, &read)).await;
        let all = answered.is_ok_and(|read| read.iter().all(Result::is_ok));
        if all && tokio::time::timeout(PATIENCE, until_all_came_back(store)).await.is_ok() {
            return;
        }
        let (rest, of) = (store.reader.at_rest(), begun.elapsed());
        assert!(of < NOBODYS, "{at}, {rest} of {READERS} places are there after {of:?}");
    }
}

/// Each connection falls silent before the first thing that is said on it, before the second, and so on to its return
/// and past that; and whoever reads is gone when no answer comes.
async fn fall_silent_at_each_word(read: impl AsyncFn(&Reader) -> Result<(), StoreError>) {
    let (home, proxy) = Home::postgres_far_away();
    let one = Store::new(home).await;
    until_each_place_reads(&one, &read, "before").await;
    for said in 0..10 {
        proxy.shut_each_after(said);
        until_each_place_reads(&one, &read, &format!("silent after {said}")).await;
    }
}

#[tokio::test]
async fn a_reader_keeps_no_place_from_others_at_whatever_word_its_connection_falls_silent() {
    fall_silent_at_each_word(one_statement).await;
}

#[tokio::test]
async fn a_look_keeps_no_place_from_others_at_whatever_word_its_connection_falls_silent() {
    fall_silent_at_each_word(one_look).await;
}

#[tokio::test]
async fn connections_that_are_silent_as_they_come_back_keep_no_place_from_others() {
    let (home, proxy) = Home::postgres_far_away();
    let one = Store::new(home).await;
    for round in 0..10 {
        until_each_place_reads(&one, one_look, &format!("round {round}")).await;
        let read = if round % 2 == 0 { at_once(&one, one_look).await } else { read_at_once(&one).await };
        // A little later each time: none of them has begun to come back, some have, all have.
        for _ in 0..2 * round {
            tokio::task::yield_now().await;
        }
        proxy.shut();
        assert!(read.iter().all(Result::is_ok), "{read:?}");
        proxy.open();
    }
    until_each_place_reads(&one, one_look, "at the end").await;
}

#[tokio::test]
async fn looks_that_are_dropped_while_the_server_falls_silent_keep_no_place_from_others() {
    let (home, proxy) = Home::postgres_far_away();
    let one = Store::new(home).await;
    until_each_place_reads(&one, one_look, "before").await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; LOCK TABLE message").await;
    tokio::select! {
        read = at_once(&one, one_look) => panic!("there is a lock: {read:?}"),
        () = until_waiting(&mut third, 5) => proxy.shut(),
    }
    run(&mut third, "COMMIT").await;
    proxy.open();
    until_each_place_reads(&one, one_look, "dropped").await;
}

/// sqlx waits for the beginning of a transaction as long as the kernel does.
#[tokio::test]
async fn a_look_whose_beginning_is_not_answered_ends_with_an_error() {
    let (home, proxy) = Home::postgres_far_away();
    let one = Store::new(home).await;
    until_each_place_reads(&one, one_look, "before").await;
    // What is said first is whether it is there.
    proxy.shut_each_after(1);
    let read = tokio::time::timeout(SOON, at_once(&one, one_look)).await.expect("it ends");
    assert!(read.iter().all(|read| read.as_ref().is_err_and(StoreError::is_away)), "{read:?}");
    until_each_place_reads(&one, one_look, "begun").await;
}

#[tokio::test]
async fn readers_whose_answers_are_lost_or_whose_connections_are_silent_keep_no_place_from_others() {
    let (home, proxy) = Home::postgres_far_away();
    let one = Store::new(home).await;
    assert!(read_at_once(&one).await.iter().all(Result::is_ok));
    // What falls silent while it is used is lost then; these rest, and are asked before they are lent.
    tokio::time::timeout(SOON, until_all_came_back(&one)).await.expect("all of them come back");
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
