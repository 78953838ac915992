//! Fences: an outcome that comes late, twice, or for somebody else changes nothing, and is told so.

use tidings_model::{CredentialFate, Event, MessageId, State};
use tidings_store::{Batch, Claimed, Settle};

use crate::harness::{BOUND, FREE, HOUR, NOON, Store, act, grant, outcome, permit, prepay};

for_every_store! {
    an_outcome_with_an_old_generation_changes_nothing,
    a_second_outcome_of_one_attempt_changes_nothing,
    a_second_outcome_leaves_a_kept_credential_where_it_is,
    of_two_outcomes_of_one_attempt_in_a_batch_the_first_counts,
    an_old_and_a_new_outcome_in_a_batch_are_told_apart,
    an_outcome_after_an_operator_acted_changes_nothing,
    a_late_outcome_that_says_none_is_left_leaves_the_sisters,
    an_outcome_of_no_message_changes_nothing,
    an_outcome_before_any_claim_changes_nothing,
    a_message_held_in_the_middle_of_an_attempt_stays_in_doubt_with_its_credential,
    attempts_that_say_something_are_kept_and_read_in_order,
}

/// All that an outcome could change.
async fn picture(store: &Store, id: MessageId) -> impl PartialEq + std::fmt::Debug + use<> {
    (store.reader.message(id).await.unwrap(), store.credentials().await)
}

async fn refused(store: &mut Store, settle: Settle) {
    let id = settle.message;
    let before = picture(store, id).await;
    assert_eq!(store.settle(vec![settle]).await, [false]);
    assert_eq!(picture(store, id).await, before);
}

/// Every end and every fate that an outcome could ask for.
fn every_outcome(claimed: &Claimed) -> Vec<Settle> {
    let fates = [
        CredentialFate::Keep,
        CredentialFate::GiveBack,
        CredentialFate::Spend,
        CredentialFate::Drop,
        CredentialFate::DropAll,
    ];
    let ends =
        [State::Sent, State::Scheduled, State::Queued, State::Failed, State::Unknown, State::Held, State::Expired];
    ends.into_iter().flat_map(|to| fates.map(|fate| outcome(claimed, to, fate))).collect()
}

async fn claimed_with(store: &mut Store, credential: tidings_store::NewCredential) -> Claimed {
    store.post(vec![credential]).await;
    store.accept_one(BOUND, "ann").await;
    store.claim_one(BOUND).await
}

async fn an_outcome_with_an_old_generation_changes_nothing(mut store: Store) {
    let old = claimed_with(&mut store, prepay("ann", "p")).await;
    store.settle(vec![outcome(&old, State::Queued, CredentialFate::GiveBack)]).await;
    let new = store.claim_one(BOUND).await;
    assert!(old.generation < new.generation);
    for late in every_outcome(&old) {
        refused(&mut store, late).await;
    }
    assert_eq!(store.settle(vec![outcome(&new, State::Sent, CredentialFate::Spend)]).await, [true]);
    assert_eq!(store.ledger().await, [(2, None)]);
}

async fn a_second_outcome_of_one_attempt_changes_nothing(mut store: Store) {
    let claimed = claimed_with(&mut store, prepay("ann", "p")).await;
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    for again in every_outcome(&claimed) {
        refused(&mut store, again).await;
    }
}

async fn a_second_outcome_leaves_a_kept_credential_where_it_is(mut store: Store) {
    let claimed = claimed_with(&mut store, prepay("ann", "p")).await;
    let mut kept = outcome(&claimed, State::Scheduled, CredentialFate::Keep);
    kept.settlement.due_at = Some(NOON.after(HOUR));
    store.settle(vec![kept]).await;
    for again in every_outcome(&claimed) {
        refused(&mut store, again).await;
    }
    assert_eq!(store.ledger().await, [(3, Some(claimed.message))]);
}

async fn of_two_outcomes_of_one_attempt_in_a_batch_the_first_counts(mut store: Store) {
    let claimed = claimed_with(&mut store, prepay("ann", "p")).await;
    let twice = vec![
        outcome(&claimed, State::Queued, CredentialFate::GiveBack),
        outcome(&claimed, State::Sent, CredentialFate::Spend),
        outcome(&claimed, State::Failed, CredentialFate::DropAll),
    ];
    assert_eq!(store.settle(twice).await, [true, false, false]);
    assert_eq!(store.state(claimed.message).await, State::Queued);
    assert_eq!(store.ledger().await, [(3, None)]);
    let attempts = store.reader.message(claimed.message).await.unwrap().unwrap().1;
    assert_eq!(attempts.len(), 1);
}

async fn an_old_and_a_new_outcome_in_a_batch_are_told_apart(mut store: Store) {
    let old = claimed_with(&mut store, prepay("ann", "p")).await;
    store.settle(vec![outcome(&old, State::Queued, CredentialFate::GiveBack)]).await;
    let new = store.claim_one(BOUND).await;
    let both =
        vec![outcome(&old, State::Failed, CredentialFate::DropAll), outcome(&new, State::Sent, CredentialFate::Spend)];
    assert_eq!(store.settle(both).await, [false, true]);
    assert_eq!(store.state(new.message).await, State::Sent);
    assert_eq!(store.ledger().await, [(2, None)]);
}

async fn an_outcome_after_an_operator_acted_changes_nothing(mut store: Store) {
    let claimed = claimed_with(&mut store, prepay("ann", "p")).await;
    let operations = vec![act(Event::Hold, claimed.message)];
    store.commit(Batch { operations, ..Batch::default() }).await;
    for late in every_outcome(&claimed) {
        refused(&mut store, late).await;
    }
    assert_eq!(store.ledger().await, [(3, Some(claimed.message))]);
}

async fn a_late_outcome_that_says_none_is_left_leaves_the_sisters(mut store: Store) {
    store.post(vec![grant("ann"), grant("ann")]).await;
    let old = claimed_with(&mut store, grant("ann")).await;
    store.settle(vec![outcome(&old, State::Queued, CredentialFate::GiveBack)]).await;
    let new = store.claim_one(BOUND).await;
    refused(&mut store, outcome(&old, State::Queued, CredentialFate::DropAll)).await;
    assert_eq!(store.settle(vec![outcome(&new, State::Queued, CredentialFate::DropAll)]).await, [true]);
    assert_eq!(store.ledger().await, [(0, None); 3]);
}

async fn an_outcome_of_no_message_changes_nothing(mut store: Store) {
    let claimed = claimed_with(&mut store, permit("ann", "a")).await;
    let nobody = Settle { message: MessageId(9999), ..outcome(&claimed, State::Sent, CredentialFate::Spend) };
    assert_eq!(store.settle(vec![nobody]).await, [false]);
    assert_eq!(store.ledger().await, [(1, Some(claimed.message))]);
}

async fn an_outcome_before_any_claim_changes_nothing(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    let other = store.accept_one(FREE, "ann").await;
    for generation in [0, 1, -1, i64::MAX, i64::MIN] {
        let guess = Settle { message: other, generation, ..outcome(&claimed, State::Sent, CredentialFate::Spend) };
        refused(&mut store, guess).await;
    }
    assert_eq!(store.state(id).await, State::Sending);
}

async fn a_message_held_in_the_middle_of_an_attempt_stays_in_doubt_with_its_credential(mut store: Store) {
    let claimed = claimed_with(&mut store, permit("ann", "a")).await;
    store.post(vec![permit("ann", "b")]).await;
    store.pass(HOUR);
    let operations = vec![act(Event::Hold, claimed.message), act(Event::Release, claimed.message)];
    store.commit(Batch { operations, ..Batch::default() }).await;
    let again = store.claim_one(BOUND).await;
    assert!(again.ambiguous, "nobody saw what came of the first try");
    assert_eq!(again.first_try_at, NOON);
    assert_eq!(crate::harness::pairs(&[again]), [(claimed.message, "a".to_owned())]);
}

async fn attempts_that_say_something_are_kept_and_read_in_order(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    for round in 1..=3 {
        let claimed = store.claim_one(FREE).await;
        let to = if round == 3 { State::Sent } else { State::Scheduled };
        let mut settle = outcome(&claimed, to, CredentialFate::GiveBack);
        settle.settlement.detail = format!("answer {round}");
        settle.settlement.provider_id = Some(format!("p-{round}"));
        store.settle(vec![settle]).await;
    }
    let (row, attempts) = store.reader.message(id).await.unwrap().unwrap();
    let seen: Vec<_> = attempts.iter().map(|row| (row.generation, row.outcome.as_str(), row.detail.as_str())).collect();
    assert_eq!(seen, [(1, "retry", "answer 1"), (2, "retry", "answer 2"), (3, "accepted", "answer 3")]);
    assert_eq!((row.attempts, row.provider_id.as_deref()), (3, Some("p-3")));
    assert_eq!((row.finished_at, row.reason), (Some(NOON), None));
}
