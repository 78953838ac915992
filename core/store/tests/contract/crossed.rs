//! What two engines do that cross: each had looked before the other wrote.

use tidings_model::{CredentialFate, Event, State};
use tidings_store::{Batch, Settle, Stepped, StoreError, Sweep};

use crate::harness::{BOUND, DAY, FREE, HOUR, Home, SECOND, Store, act, outcome, permit};
use crate::nodes::{begin_to_lose_answers, commit, end_all_others, lose_one_answer, run, until_waiting};
use crate::runs::{NAME, begin, step};

for_every_server! {
    a_permit_that_another_is_just_binding_is_not_removed,
    a_run_that_another_ends_meanwhile_accepts_nothing_more,
    a_clock_that_is_set_back_moves_what_its_own_engine_wrote,
    whatever_is_asked_finds_back_when_its_connection_has_ended,
    a_day_that_went_while_the_connection_was_lost_is_made_again,
    what_is_taken_over_while_another_writes_is_taken_over_at_once,
}

async fn a_permit_that_another_is_just_binding_is_not_removed(mut one: Store) {
    one.post(vec![permit("ann", "a"), permit("ben", "b")]).await;
    one.pass(DAY * 2);
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; UPDATE credential SET bound_to = 999 WHERE recipient = 'ann'").await;
    let sweeps = vec![Sweep::Credentials { after: 0 }];
    let swept = commit(&mut one, Batch { sweeps: sweeps.clone(), ..Batch::default() }).await.swept;
    assert_eq!((swept[0].removed, swept[0].unused), (1, 1), "ben's");
    run(&mut third, "COMMIT").await;
    let again = commit(&mut one, Batch { sweeps: sweeps.clone(), ..Batch::default() }).await.swept;
    assert_eq!((again[0].removed, one.credentials().await.len()), (0, 1), "it is ann's, on its way");
    run(&mut third, "UPDATE credential SET bound_to = NULL").await;
    let last = commit(&mut one, Batch { sweeps, ..Batch::default() }).await.swept;
    assert_eq!((last[0].removed, one.credentials().await.len()), (1, 0));
}

async fn a_run_that_another_ends_meanwhile_accepts_nothing_more(mut one: Store) {
    let now = one.now;
    let id = begin(&mut one, NAME, now).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; UPDATE run SET state = 3").await;
    let portion = step(&one, id, 1, &["ann", "ben"]);
    let (taken, ()) = tokio::join!(commit(&mut one, portion), async {
        until_waiting(&mut third, 1).await;
        run(&mut third, "COMMIT").await;
    });
    assert_eq!(taken.stepped, [Stepped::Over]);
    assert!(one.messages(&Default::default()).await.is_empty(), "nothing of it is sent");
}

/// Claims the one message that is queued, and has it tried again in two hours.
async fn try_later(store: &mut Store) -> Settle {
    let begun = std::time::Instant::now();
    let claimed = loop {
        if let Some(claimed) = store.claim(FREE, 1).await.pop() {
            break claimed;
        }
        assert!(begun.elapsed() < crate::nodes::SOON, "what another accepted is claimed");
    };
    let mut settle = outcome(&claimed, State::Scheduled, CredentialFate::Spend);
    settle.settlement.due_at = Some(store.now.after(HOUR * 2));
    assert_eq!(store.settle(vec![settle.clone()]).await, [true]);
    settle
}

async fn a_clock_that_is_set_back_moves_what_its_own_engine_wrote(mut one: Store) {
    let mut other = one.beside().await;
    one.accept_one(FREE, "ann").await;
    let mine = try_later(&mut one).await;
    one.accept_one(FREE, "ben").await;
    let theirs = try_later(&mut other).await;
    // It is another since, and remembers which one it was.
    let node = one.writer.lease().node();
    one.home.end_leases().await;
    one.accept_one(FREE, "cid").await;
    let mine_too = try_later(&mut one).await;
    assert_ne!(one.writer.lease().node(), node);
    commit(&mut one, Batch { set_back: Some(HOUR), ..Batch::default() }).await;
    let mut due = Vec::new();
    for settle in [&mine, &theirs, &mine_too] {
        due.push(one.message_row(settle.message).await.due_at);
    }
    assert_eq!(due, [one.now.after(HOUR), one.now.after(HOUR * 2), one.now.after(HOUR)]);
}

async fn whatever_is_asked_finds_back_when_its_connection_has_ended(mut one: Store) {
    for round in 0..2 {
        end_all_others(&one.home).await;
        let mut failures = 0;
        loop {
            let asked = match round {
                0 => one.writer.channel_states().await.map(drop),
                _ => one.writer.define([], [tidings_model::TemplateName::new("paid").unwrap()]).await.map(drop),
            };
            match asked {
                Ok(()) => break,
                Err(error) => assert!(matches!(error, StoreError::Database { .. }), "{error}"),
            }
            failures += 1;
            assert!(failures < 20, "it connects anew");
        }
        assert!(failures > 0, "the connection had ended");
    }
    one.accept_one(FREE, "ann").await;
}

async fn a_day_that_went_while_the_connection_was_lost_is_made_again(mut one: Store) {
    one.ended(State::Sent).await;
    run(&mut one.home.connect().await, "DROP TABLE message_done_20231114; DELETE FROM tally").await;
    end_all_others(&one.home).await;
    let (now, mut failures) = (one.now, 0);
    while one.writer.commit(&Batch { now, ..Batch::default() }).await.is_err() {
        failures += 1;
        assert!(failures < 20, "it connects anew");
    }
    one.pass(SECOND);
    one.ended(State::Sent).await;
}

async fn what_is_taken_over_while_another_writes_is_taken_over_at_once(one: Store) {
    // The server's keeper has statements on their own fail that meet what another wrote.
    let (now, home) = (one.now, one.close().await);
    run(
        &mut home.connect().await,
        "DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), 'repeatable read');
         END $$",
    )
    .await;
    let mut one = Store::new(home).await;
    one.now = now;
    let id = one.accept_one(FREE, "ann").await;
    let mut other = one.beside().await;
    other.claim_one(FREE).await;
    assert!(one.writer.orphans().await.unwrap().is_empty(), "its lease holds");
    let mut third = one.home.connect().await;
    run(&mut third, "UPDATE node SET lease_until = 0 WHERE id = (SELECT max(id) FROM node)").await;
    run(
        &mut third,
        "BEGIN; LOCK TABLE node IN EXCLUSIVE MODE; UPDATE node SET version = 'another' WHERE lease_until = 0",
    )
    .await;
    let (orphans, ()) = tokio::join!(one.writer.orphans(), async {
        until_waiting(&mut third, 1).await;
        run(&mut third, "COMMIT").await;
    });
    let orphans = orphans.expect("it is asked again");
    assert_eq!(orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn a_claim_that_is_undone_gives_its_permit_back() {
    let mut one = Store::new(Home::postgres_alone()).await;
    let mut third = one.home.connect().await;
    let waits = one.accept_one(BOUND, "ann").await;
    one.claim(BOUND, 1).await;
    // It waits; another of hers takes the permit that comes.
    run(&mut third, "UPDATE message SET recipient = 'ann-2' WHERE state = 2").await;
    one.post(vec![permit("ann", "a")]).await;
    let id = one.accept_one(BOUND, "ann").await;
    begin_to_lose_answers(&one.home, &mut third).await;
    let batch = Batch { now: one.now, claims: vec![one.room(BOUND, 1)], ..Batch::default() };
    let (failed, ()) = tokio::join!(one.writer.commit(&batch), lose_one_answer(&mut third));
    assert!(failed.is_err(), "nobody heard of it");
    assert_eq!(one.ledger().await, [(1, Some(id))], "and it landed");
    run(&mut third, "UPDATE message SET recipient = 'ann' WHERE state = 2").await;
    one.commit(Batch { operations: vec![act(Event::Cancel, id)], ..Batch::default() }).await;
    assert_eq!((one.state(id).await, one.ledger().await), (State::Cancelled, vec![(1, None)]), "it was never used");
    let claimed = one.claim(BOUND, 1).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.message).collect::<Vec<_>>(), [waits], "whoever waited has it");
}
