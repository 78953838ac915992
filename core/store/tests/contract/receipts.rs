//! What providers tell after they took a message, and what recipients take back.

use tidings_model::limits::{RECEIPT_LIFE, RECEIPTS_WAITING_MAX};
use tidings_model::{AppName, CredentialFate, Event, MessageId, Recipient, SourceName, State};
use tidings_store::{Batch, Claimed, NewCredential, Receipt, Received, Settle, Withdrawal};

use crate::harness::{BOUND, FREE, GRANT, NOON, SECOND, Store, act, grant, outcome, pairs, permit, shop};

for_every_store! {
    a_receipt_moves_what_was_sent_and_the_counts_with_it,
    a_receipt_that_says_no_says_why,
    a_receipt_leaves_when_its_message_was_sent_and_a_no_outlives_a_retry,
    a_receipt_ends_the_doubt_about_a_message,
    of_receipts_that_come_again_or_contradict_the_first_counts,
    a_receipt_of_a_message_that_nobody_knows_waits_for_its_outcome,
    a_receipt_that_waits_outlives_a_crash,
    a_receipt_and_its_outcome_may_come_in_one_commit,
    an_outcome_that_comes_too_late_takes_no_receipt,
    a_receipt_is_of_a_message_of_its_own_app,
    a_receipt_moves_no_message_that_is_on_its_way_again,
    a_receipt_that_nobody_needs_leaves_by_age,
    of_too_many_receipts_the_oldest_leave,
    what_is_withdrawn_is_bound_to_nobody,
    what_was_given_after_the_withdrawal_stays,
    a_withdrawal_is_of_one_recipient_source_and_scope,
    a_withdrawal_may_be_of_one_grant_alone,
    what_is_on_its_way_is_not_withdrawn,
}

fn receipt(provider_id: &str, delivered: bool) -> Receipt {
    let detail = if delivered { String::new() } else { "user block".to_owned() };
    Receipt { app: shop(), provider_id: provider_id.to_owned(), delivered, detail, received_at: NOON }
}

fn accepted(claimed: &Claimed, to: State, provider_id: &str) -> Settle {
    let mut settle = outcome(claimed, to, CredentialFate::Spend);
    settle.settlement.provider_id = Some(provider_id.to_owned());
    settle
}

/// What became of the receipts, and which messages moved.
async fn receive(store: &mut Store, receipts: Vec<Receipt>) -> (Vec<Received>, Vec<(MessageId, State)>) {
    let receipts = receipts.into_iter().map(|receipt| Receipt { received_at: store.now, ..receipt }).collect();
    let committed = store.commit(Batch { receipts, ..Batch::default() }).await;
    (committed.received, committed.moved.into_iter().map(|moved| (moved.message, moved.to)).collect())
}

/// A message that the provider took under that name.
async fn sent(store: &mut Store, to: State, provider_id: &str) -> MessageId {
    store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    assert_eq!(store.settle(vec![accepted(&claimed, to, provider_id)]).await, [true]);
    claimed.message
}

async fn a_receipt_moves_what_was_sent_and_the_counts_with_it(mut store: Store) {
    let (id, other) = (sent(&mut store, State::Sent, "p1").await, sent(&mut store, State::Sent, "p2").await);
    store.pass(SECOND);
    let (received, moved) = receive(&mut store, vec![receipt("p1", true)]).await;
    assert_eq!((received, moved), (vec![Received::Moved], vec![(id, State::Delivered)]));
    let row = store.message_row(id).await;
    assert_eq!((row.state, row.reason, row.finished_at), (State::Delivered, None, Some(NOON.after(SECOND))));
    assert_eq!(store.state(other).await, State::Sent);
}

/// What happened to it and when, in seconds after noon.
async fn moments(store: &Store, id: MessageId) -> Vec<(String, i64)> {
    let moments = store.reader.moments(id).await.unwrap();
    moments.into_iter().map(|moment| (moment.what, (moment.at.0 - NOON.0) / 1000)).collect()
}

async fn a_receipt_leaves_when_its_message_was_sent_and_a_no_outlives_a_retry(mut store: Store) {
    let (yes, no) = (sent(&mut store, State::Sent, "p1").await, sent(&mut store, State::Sent, "p2").await);
    let doubt = sent(&mut store, State::Unknown, "p3").await;
    assert_eq!(moments(&store, yes).await, [], "its row says it all");
    store.pass(SECOND * 5);
    receive(&mut store, vec![receipt("p1", true), receipt("p2", false), receipt("p3", true)]).await;
    let told = |what: &str, seconds| (what.to_owned(), seconds);
    assert_eq!(moments(&store, yes).await, [told("sent", 0)]);
    assert_eq!(moments(&store, no).await, [told("sent", 0), told("bounced", 5)]);
    assert_eq!(moments(&store, doubt).await, [], "nobody knew that it was sent");
    store.commit(Batch { operations: vec![act(Event::Retry, no)], ..Batch::default() }).await;
    assert_eq!(moments(&store, no).await, [told("sent", 0), told("bounced", 5)]);
}

async fn a_receipt_that_says_no_says_why(mut store: Store) {
    let id = sent(&mut store, State::Sent, "p1").await;
    let committed = store.commit(Batch { receipts: vec![receipt("p1", false)], ..Batch::default() }).await;
    assert_eq!(committed.moved[0].reason, Some("bounced"));
    assert_eq!(committed.moved[0].recipient, "ann");
    let row = store.message_row(id).await;
    assert_eq!((row.state, row.reason.as_deref()), (State::Failed, Some("bounced")));
    assert_eq!(row.detail.as_deref(), Some("user block"));
}

async fn a_receipt_ends_the_doubt_about_a_message(mut store: Store) {
    for (delivered, to) in [(true, State::Delivered), (false, State::Failed)] {
        let name = to.as_str();
        let id = sent(&mut store, State::Unknown, name).await;
        assert!(store.message_row(id).await.ambiguous);
        assert_eq!(receive(&mut store, vec![receipt(name, delivered)]).await.1, [(id, to)]);
        assert!(!store.message_row(id).await.ambiguous);
    }
}

async fn of_receipts_that_come_again_or_contradict_the_first_counts(mut store: Store) {
    let id = sent(&mut store, State::Sent, "p1").await;
    let both = vec![receipt("p1", true), receipt("p1", true), receipt("p1", false)];
    let (received, moved) = receive(&mut store, both).await;
    assert_eq!(received, [Received::Moved, Received::Repeated, Received::Repeated]);
    assert_eq!(moved, [(id, State::Delivered)]);
    let before = store.message_row(id).await;
    store.pass(SECOND);
    for delivered in [true, false] {
        assert_eq!(receive(&mut store, vec![receipt("p1", delivered)]).await, (vec![Received::Repeated], vec![]));
    }
    assert_eq!(store.message_row(id).await, before);
}

async fn a_receipt_of_a_message_that_nobody_knows_waits_for_its_outcome(mut store: Store) {
    store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    assert_eq!(receive(&mut store, vec![receipt("p1", false)]).await, (vec![Received::Unknown], vec![]));
    // The first counts here, too.
    assert_eq!(receive(&mut store, vec![receipt("p1", true)]).await, (vec![Received::Repeated], vec![]));
    let settles = vec![accepted(&claimed, State::Sent, "p1")];
    let committed = store.commit(Batch { settles, ..Batch::default() }).await;
    assert_eq!(committed.moved.len(), 1);
    let row = store.message_row(claimed.message).await;
    assert_eq!((row.state, row.detail.as_deref()), (State::Failed, Some("user block")));
    // It waits no longer: the next message of that name has none.
    let next = sent(&mut store, State::Sent, "p1").await;
    assert_eq!(store.state(next).await, State::Sent);
}

async fn a_receipt_that_waits_outlives_a_crash(mut store: Store) {
    store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    receive(&mut store, vec![receipt("p1", true), receipt("p2", true)]).await;
    let mut store = store.crash().await;
    assert_eq!(store.settle(vec![accepted(&claimed, State::Sent, "p1")]).await, [true]);
    assert_eq!(store.state(claimed.message).await, State::Delivered);
    let mut store = store.crash().await;
    let again = sent(&mut store, State::Sent, "p1").await;
    assert_eq!(store.state(again).await, State::Sent, "it was used up before the crash");
    let other = sent(&mut store, State::Sent, "p2").await;
    assert_eq!(store.state(other).await, State::Delivered);
}

async fn a_receipt_and_its_outcome_may_come_in_one_commit(mut store: Store) {
    store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    let settles = vec![accepted(&claimed, State::Sent, "p1")];
    let batch = Batch { settles, receipts: vec![receipt("p1", true)], ..Batch::default() };
    assert_eq!(store.commit(batch).await.received, [Received::Moved]);
    assert_eq!(store.state(claimed.message).await, State::Delivered);
}

async fn an_outcome_that_comes_too_late_takes_no_receipt(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    receive(&mut store, vec![receipt("p1", true)]).await;
    // A crash was settled meanwhile, and the message goes out again.
    store.settle(vec![outcome(&claimed, State::Queued, CredentialFate::Keep)]).await;
    let again = store.claim_one(FREE).await;
    assert_eq!(store.settle(vec![accepted(&claimed, State::Sent, "p1")]).await, [false]);
    assert_eq!(store.state(id).await, State::Sending);
    assert_eq!(store.settle(vec![accepted(&again, State::Sent, "p1")]).await, [true]);
    assert_eq!(store.state(id).await, State::Delivered);
}

async fn a_receipt_is_of_a_message_of_its_own_app(mut store: Store) {
    let id = sent(&mut store, State::Sent, "p1").await;
    let other = || Receipt { app: AppName::new("other").unwrap(), ..receipt("p1", true) };
    assert_eq!(receive(&mut store, vec![other()]).await, (vec![Received::Unknown], vec![]));
    let next = sent(&mut store, State::Sent, "p1").await;
    assert_eq!(store.state(next).await, State::Sent, "the receipt that waits is another app's");
    assert_eq!(store.state(id).await, State::Sent);
    assert_eq!(receive(&mut store, vec![receipt("p1", true)]).await.1.len(), 2);
}

async fn a_receipt_moves_no_message_that_is_on_its_way_again(mut store: Store) {
    let id = sent(&mut store, State::Sent, "p1").await;
    receive(&mut store, vec![receipt("p1", false)]).await;
    let operations = vec![act(Event::Retry, id)];
    store.commit(Batch { operations, ..Batch::default() }).await;
    for state in [State::Queued, State::Sending] {
        assert_eq!(store.state(id).await, state);
        assert_eq!(receive(&mut store, vec![receipt("p1", true)]).await, (vec![Received::Repeated], vec![]));
        store.claim(FREE, 1).await;
    }
}

async fn a_receipt_that_nobody_needs_leaves_by_age(mut store: Store) {
    receive(&mut store, vec![receipt("p1", true)]).await;
    store.pass(RECEIPT_LIFE - SECOND);
    receive(&mut store, vec![receipt("p2", true)]).await;
    let young = sent(&mut store, State::Sent, "p1").await;
    assert_eq!(store.state(young).await, State::Delivered);
    store.pass(RECEIPT_LIFE);
    store.commit(Batch::default()).await;
    assert_eq!(receive(&mut store, vec![receipt("p2", false)]).await.0, [Received::Unknown], "the first has left");
    let mut store = store.crash().await;
    let old = sent(&mut store, State::Sent, "p2").await;
    assert_eq!(store.state(old).await, State::Failed, "on disk it has left, too");
}

async fn of_too_many_receipts_the_oldest_leave(mut store: Store) {
    for slice in (0..RECEIPTS_WAITING_MAX).collect::<Vec<_>>().chunks(2000) {
        let receipts = slice.iter().map(|number| receipt(&format!("p{number}"), true)).collect();
        receive(&mut store, receipts).await;
    }
    receive(&mut store, vec![receipt("one more", true)]).await;
    let mut store = store.crash().await;
    for (name, state) in [("p0", State::Sent), ("p1", State::Delivered), ("one more", State::Delivered)] {
        let id = sent(&mut store, State::Sent, name).await;
        assert_eq!(store.state(id).await, state, "{name}");
    }
}

fn withdrawal(store: &Store, recipient: &str) -> Withdrawal {
    Withdrawal {
        app: shop(),
        source: SourceName::new(GRANT).unwrap(),
        recipient: Recipient::new(recipient).unwrap(),
        scope: Some("scope-paid".to_owned()),
        identity: None,
        given_until: store.now,
    }
}

async fn withdraw(store: &mut Store, withdrawal: Withdrawal) {
    store.commit(Batch { withdrawals: vec![withdrawal], ..Batch::default() }).await;
}

async fn uses(store: &Store) -> Vec<i64> {
    store.ledger().await.into_iter().map(|(uses, _)| uses).collect()
}

async fn what_is_withdrawn_is_bound_to_nobody(mut store: Store) {
    store.post(vec![grant("ann"), grant("ann"), grant("ben")]).await;
    let all = withdrawal(&store, "ann");
    withdraw(&mut store, all).await;
    assert_eq!(uses(&store).await, [0, 0, 1]);
    let id = store.accept_one(BOUND, "ann").await;
    assert!(store.claim(BOUND, 9).await.is_empty());
    assert_eq!(store.state(id).await, State::Waiting);
}

async fn what_was_given_after_the_withdrawal_stays(mut store: Store) {
    let of_then = withdrawal(&store, "ann");
    let given = |before: u32, later: u32| NewCredential {
        made_at: Some(NOON.before(SECOND * before).after(SECOND * later)),
        ..grant("ann")
    };
    store.pass(SECOND * 10);
    // All of them come after the withdrawal was made; its own time is what counts, and theirs.
    store.post(vec![given(1, 0), given(0, 0), given(0, 1), grant("ann")]).await;
    for _ in 0..2 {
        withdraw(&mut store, of_then.clone()).await;
        assert_eq!(uses(&store).await, [0, 0, 1, 1]);
    }
}

async fn a_withdrawal_is_of_one_recipient_source_and_scope(mut store: Store) {
    let scoped = |scope: Option<&str>| NewCredential { scope: scope.map(str::to_owned), ..grant("ann") };
    let shipped = scoped(Some("scope-shipped"));
    let other = NewCredential { app: AppName::new("other").unwrap(), ..grant("ann") };
    store.post(vec![shipped, scoped(None), permit("ann", "form"), other, grant("ann")]).await;
    let paid = withdrawal(&store, "ann");
    withdraw(&mut store, paid.clone()).await;
    assert_eq!(uses(&store).await, [1, 1, 1, 1, 0]);
    withdraw(&mut store, Withdrawal { scope: None, ..paid }).await;
    assert_eq!(uses(&store).await, [0, 0, 1, 1, 0], "without a scope it is of all there are");
}

async fn a_withdrawal_may_be_of_one_grant_alone(mut store: Store) {
    let named = |identity: &str| NewCredential { identity: Some(identity.to_owned()), ..grant("ann") };
    store.post(vec![named("a"), named("b"), grant("ann")]).await;
    let one = Withdrawal { identity: Some("b".to_owned()), ..withdrawal(&store, "ann") };
    withdraw(&mut store, one).await;
    assert_eq!(uses(&store).await, [1, 0, 1]);
}

async fn what_is_on_its_way_is_not_withdrawn(mut store: Store) {
    store.post(vec![grant("ann"), NewCredential { uses: 2, ..grant("ann") }]).await;
    let id = store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    assert_eq!(pairs(std::slice::from_ref(&claimed))[0].0, id);
    let all = withdrawal(&store, "ann");
    withdraw(&mut store, all).await;
    let ledger = store.ledger().await;
    assert_eq!(ledger.iter().filter(|row| row.1 == Some(id)).count(), 1);
    assert_eq!(ledger.iter().map(|row| row.0).filter(|uses| *uses > 0).count(), 1, "{ledger:?}");
    assert_eq!(store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await, [true]);
}
