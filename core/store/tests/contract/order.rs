//! The order in which two engines lock: neither ever waits for what the other, which waits for it, has.
//!
//! The server looks for two that wait for each other after an hour, so that whoever does does not end in time. A third
//! connection holds what both need, until they are seen to wait for it in the order that would have them meet.

use tidings_model::{CredentialFate, Event, State};
use tidings_store::{Batch, ChannelState, ClaimRequest, LaneRow, NewMessage, Withdrawal};

use crate::harness::{BOUND, FORM_ID, FREE, SECOND, SISTER, Store, act, key, outcome, pairs, permit, prepay, shop};
use crate::nodes::{commit, run, until_waiting};

for_every_server! {
    whoever_claims_waits_for_no_part_of_the_ledger,
    parts_of_the_ledger_are_locked_once_and_in_one_order,
    channels_are_locked_once_and_in_one_order,
    all_channels_that_claim_are_locked_before_a_permit_is,
    whoever_claims_waits_for_no_permit,
    whoever_wakes_waits_for_no_message_that_another_moves,
    who_was_not_woken_is_woken_soon,
    a_message_stays_queued_whose_permit_another_has_locked,
}

/// Two engines, of which the server tells neither that they wait for each other.
async fn two(store: Store) -> (Store, Store) {
    let now = store.now;
    let home = store.close().await;
    run(
        &mut home.connect().await,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = %L', current_database(), '1h'); END $$",
    )
    .await;
    let mut one = Store::new(home).await;
    one.now = now;
    let other = one.beside().await;
    (one, other)
}

/// Room in a channel whose bound holds for all engines together: it is locked.
fn bounded(store: &Store, channel: &str) -> ClaimRequest {
    ClaimRequest { in_flight_max: Some(99), ..store.room(channel, 9) }
}

async fn whoever_claims_waits_for_no_part_of_the_ledger(mut one: Store) {
    let id = one.accept_one(BOUND, "ann").await;
    let (mut one, mut other) = two(one).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM channel WHERE name = 'bound' FOR UPDATE").await;
    // The other has the channel first, and the one has ann's part of the ledger by then.
    let claim = Batch { claims: vec![bounded(&other, BOUND)], ..Batch::default() };
    let claims = vec![bounded(&one, BOUND)];
    let post = Batch { credentials: vec![permit("ann", "a")], claims, ..Batch::default() };
    let (mut looks, mut again) = (one.home.connect().await, one.home.connect().await);
    let (theirs, mine, ()) = tokio::join!(
        commit(&mut other, claim),
        async {
            until_waiting(&mut looks, 1).await;
            commit(&mut one, post).await
        },
        async {
            until_waiting(&mut again, 2).await;
            run(&mut third, "COMMIT").await;
        }
    );
    assert_eq!((theirs.claimed.len(), theirs.waiting.len()), (0, 0), "it stays queued");
    assert_eq!(pairs(&mine.claimed), [(id, "a".to_owned())]);
}

async fn parts_of_the_ledger_are_locked_once_and_in_one_order(mut one: Store) {
    one.post(vec![prepay("ann", "a"), prepay("ben", "b")]).await;
    let messages = ["ann", "ben"].map(|recipient| one.message(BOUND, recipient)).into();
    one.accept(messages).await;
    let claimed = one.claim(BOUND, 2).await;
    let (mut one, mut other) = two(one).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; INSERT INTO idempotency VALUES ('k', 1, 7, 0)").await;
    // Each has let go of one's permit, when it comes to bring the other's.
    let batch = |settles: usize, brings: &str, store: &Store| Batch {
        settles: vec![outcome(&claimed[settles], State::Sent, CredentialFate::Spend)],
        messages: vec![NewMessage { key: key("k"), ..store.message(FREE, "cid") }],
        credentials: vec![permit(brings, brings)],
        ..Batch::default()
    };
    let (mine, theirs) = (batch(0, "ben", &one), batch(1, "ann", &other));
    let (mine, theirs, ()) = tokio::join!(commit(&mut one, mine), commit(&mut other, theirs), async {
        until_waiting(&mut third, 2).await;
        run(&mut third, "ROLLBACK").await;
    });
    assert_eq!((mine.settled, theirs.settled), (vec![true], vec![true]));
    one.check().await;
}

async fn channels_are_locked_once_and_in_one_order(mut one: Store) {
    one.accept_one(FREE, "ann").await;
    one.accept_one(BOUND, "ann").await;
    one.post(vec![permit("ann", "a")]).await;
    let (mut one, mut other) = two(one).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM channel WHERE name = 'free' FOR UPDATE").await;
    let claims = [FREE, BOUND].map(|name| bounded(&other, name)).into();
    let claim = Batch { claims, ..Batch::default() };
    // Written is the last of them, and claimed from the first.
    let lanes = vec![LaneRow { channel: one.channel(BOUND), state: ChannelState::default() }];
    let write = Batch { lanes, claims: vec![bounded(&one, FREE)], ..Batch::default() };
    let (mut looks, mut again) = (one.home.connect().await, one.home.connect().await);
    let (theirs, _, ()) = tokio::join!(
        commit(&mut other, claim),
        async {
            until_waiting(&mut looks, 1).await;
            commit(&mut one, write).await
        },
        async {
            until_waiting(&mut again, 2).await;
            run(&mut third, "COMMIT").await;
        }
    );
    assert_eq!(theirs.claimed.len(), 2);
}

async fn all_channels_that_claim_are_locked_before_a_permit_is(mut one: Store) {
    let (first, second) = (one.accept_one(BOUND, "ann").await, one.accept_one(SISTER, "ann").await);
    one.post(vec![permit("ann", "a"), permit("ann", "b")]).await;
    let (mut one, mut other) = two(one).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM channel WHERE name = 'sister' FOR UPDATE").await;
    let claim = Batch { claims: vec![bounded(&other, SISTER)], ..Batch::default() };
    let claims = [BOUND, SISTER].map(|name| bounded(&one, name)).into();
    let both = Batch { claims, ..Batch::default() };
    let (mut looks, mut again) = (one.home.connect().await, one.home.connect().await);
    let (theirs, mine, ()) = tokio::join!(
        commit(&mut other, claim),
        async {
            until_waiting(&mut looks, 1).await;
            commit(&mut one, both).await
        },
        async {
            until_waiting(&mut again, 2).await;
            run(&mut third, "COMMIT").await;
        }
    );
    assert_eq!(pairs(&theirs.claimed), [(second, "a".to_owned())]);
    assert_eq!(pairs(&mine.claimed), [(first, "b".to_owned())]);
}

async fn whoever_claims_waits_for_no_permit(mut one: Store) {
    let id = one.accept_one(BOUND, "ann").await;
    one.post(vec![permit("ann", "a"), permit("ann", "b")]).await;
    let (mut one, mut other) = two(one).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM channel WHERE name = 'bound' FOR UPDATE").await;
    let claim = Batch { claims: vec![bounded(&other, BOUND)], ..Batch::default() };
    // One permit is taken back by who then waits for the channel.
    let withdrawals = vec![Withdrawal {
        app: shop(),
        source: tidings_model::SourceName::new(FORM_ID).unwrap(),
        recipient: tidings_model::Recipient::new("ann").unwrap(),
        scope: None,
        identity: Some("a".to_owned()),
        given_until: one.now,
    }];
    let withdraw = Batch { withdrawals, claims: vec![bounded(&one, BOUND)], ..Batch::default() };
    let (mut looks, mut again) = (one.home.connect().await, one.home.connect().await);
    let (theirs, mine, ()) = tokio::join!(
        commit(&mut other, claim),
        async {
            until_waiting(&mut looks, 1).await;
            commit(&mut one, withdraw).await
        },
        async {
            until_waiting(&mut again, 2).await;
            run(&mut third, "COMMIT").await;
        }
    );
    assert_eq!(pairs(&[mine.claimed, theirs.claimed].concat()), [(id, "b".to_owned())]);
    assert_eq!(one.ledger().await, [(0, None), (1, Some(id))]);
}

async fn whoever_wakes_waits_for_no_message_that_another_moves(mut one: Store) {
    let id = one.accept_one(BOUND, "ann").await;
    one.claim(BOUND, 1).await;
    let (mut one, mut other) = two(one).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT pg_advisory_xact_lock(7408, hashtext('ann') & 255)").await;
    // The other has ann's part of the ledger first, and the one has the message that waits by then.
    let post = |value| Batch { credentials: vec![permit("ann", value)], ..Batch::default() };
    let cancel = Batch { operations: vec![act(Event::Cancel, id)], ..post("b") };
    let (mut looks, mut again) = (one.home.connect().await, one.home.connect().await);
    let (_, _, ()) = tokio::join!(
        commit(&mut other, post("a")),
        async {
            until_waiting(&mut looks, 1).await;
            commit(&mut one, cancel).await
        },
        async {
            until_waiting(&mut again, 2).await;
            run(&mut third, "COMMIT").await;
        }
    );
    assert_eq!(one.state(id).await, State::Cancelled);
    commit(&mut other, Batch::default()).await;
    assert_eq!((one.state(id).await, one.ledger().await), (State::Cancelled, vec![(1, None), (1, None)]));
    one.check().await;
}

async fn who_was_not_woken_is_woken_soon(mut one: Store) {
    let id = one.accept_one(BOUND, "ann").await;
    one.claim(BOUND, 1).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM message WHERE state = 2 FOR UPDATE").await;
    let posted = one.post(vec![permit("ann", "a")]).await;
    assert_eq!(one.state(id).await, State::Waiting, "another is just moving it");
    let again = posted.next_due.expect("it is looked at again");
    assert!(again <= one.now.after(SECOND), "and soon");
    run(&mut third, "ROLLBACK").await;
    one.pass(SECOND);
    let committed = one.commit(Batch { claims: vec![one.room(BOUND, 1)], ..Batch::default() }).await;
    assert_eq!(pairs(&committed.claimed), [(id, "a".to_owned())]);
    assert_eq!(committed.next_due, None, "and then nobody is asked again");
}

async fn a_message_stays_queued_whose_permit_another_has_locked(mut one: Store) {
    one.post(vec![permit("ann", "a")]).await;
    let id = one.accept_one(BOUND, "ann").await;
    let mut third = one.home.connect().await;
    for taken in [false, true] {
        run(&mut third, "BEGIN; UPDATE credential SET uses_left = 0").await;
        let claimed = one.claim(BOUND, 9).await;
        assert_eq!((claimed.len(), one.state(id).await), (0, State::Queued), "nobody knows whether it has one");
        run(&mut third, if taken { "COMMIT" } else { "ROLLBACK" }).await;
        if !taken {
            let claimed = one.claim(BOUND, 9).await;
            assert_eq!(pairs(&claimed), [(id, "a".to_owned())]);
            one.settle(vec![outcome(&claimed[0], State::Queued, CredentialFate::GiveBack)]).await;
        }
    }
    assert_eq!(one.claim(BOUND, 9).await.len(), 0);
    assert_eq!(one.state(id).await, State::Waiting);
}
