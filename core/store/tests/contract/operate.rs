//! Acts of operators: by the table of moves, and an answer for each.

use tidings_model::state::next;
use tidings_model::{CredentialFate, Event, MessageId, Refused, State, Timestamp};
use tidings_store::{Batch, MessageFilter, NewMessage, Operated, Operation};

use crate::harness::{BOUND, FREE, HOUR, NOON, Store, act, outcome, permit};

for_every_store! {
    every_act_on_every_state_follows_the_table_or_says_why_not,
    an_act_on_no_message_says_that_there_is_none,
    the_same_act_twice_in_a_batch_is_refused_the_second_time,
    different_acts_on_one_message_are_done_in_their_order,
    an_act_on_a_message_settled_in_the_same_commit_sees_its_outcome,
    a_retried_message_starts_from_the_beginning,
    a_retried_message_that_ran_out_of_time_has_time_again,
    a_message_retried_later_goes_at_its_own_time_and_not_before,
    a_message_retried_later_starts_from_the_beginning,
    a_message_whose_time_is_over_before_its_later_try_has_time_again,
    an_act_from_another_state_than_the_one_asked_for_changes_nothing,
    a_note_stands_with_the_message,
    what_an_act_moved_is_told_with_whose_message_it_is,
    a_message_held_and_released_keeps_its_credential_and_its_doubt,
}

const ACTS: [Event; 5] = [Event::Cancel, Event::Retry, Event::RetryLater, Event::Hold, Event::Release];

async fn operate(store: &mut Store, operations: Vec<Operation>) -> Vec<Operated> {
    store.commit(Batch { operations, ..Batch::default() }).await.operated
}

/// A message that stands in that state; `None` for the one state to which only a receipt leads.
async fn standing(store: &mut Store, state: State) -> Option<MessageId> {
    let id = match state {
        State::Scheduled => {
            let later = NewMessage { send_at: Some(NOON.after(HOUR)), ..store.message(FREE, "ann") };
            store.accept(vec![later]).await[0]
        }
        State::Queued => store.accept_one(BOUND, "ben").await,
        State::Waiting => {
            let id = store.accept_one(BOUND, "ann").await;
            store.claim(BOUND, 99).await;
            id
        }
        State::Sending => {
            store.accept_one(FREE, "ann").await;
            store.claim_one(FREE).await.message
        }
        State::Cancelled => {
            let id = store.accept_one(FREE, "ann").await;
            operate(store, vec![act(Event::Cancel, id)]).await;
            id
        }
        State::Delivered => return None,
        State::Held | State::Sent | State::Failed | State::Unknown | State::Expired => store.ended(state).await,
    };
    assert_eq!(store.state(id).await, state);
    Some(id)
}

async fn every_act_on_every_state_follows_the_table_or_says_why_not(mut store: Store) {
    for state in State::ALL {
        for event in ACTS {
            let Some(id) = standing(&mut store, state).await else { continue };
            // One that is retried later and is due at once would be queued by the end of the same commit.
            let answer =
                operate(&mut store, vec![Operation { due_at: Some(NOON.after(HOUR)), ..act(event, id) }]).await;
            match next(state, event) {
                Ok(to) => {
                    assert_eq!(answer, [Operated::Moved(to)]);
                    assert_eq!(store.state(id).await, to, "{state} on {event:?}");
                }
                Err(refused) => {
                    assert_eq!(answer, [Operated::Refused(refused)]);
                    assert_eq!(store.state(id).await, state, "{state} on {event:?}");
                }
            }
            let row = store.message_row(id).await;
            assert_eq!(row.finished_at.is_some(), row.state.is_terminal(), "{state} on {event:?}");
            // Out of the way of the next.
            operate(&mut store, vec![act(Event::Hold, id), act(Event::Cancel, id)]).await;
        }
    }
}

async fn an_act_on_no_message_says_that_there_is_none(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let nobody = MessageId(id.0 + 1);
    let acts = vec![act(Event::Cancel, nobody), act(Event::Cancel, id), act(Event::Retry, MessageId(-1))];
    let answers = operate(&mut store, acts).await;
    assert_eq!(answers, [Operated::NoSuchMessage, Operated::Moved(State::Cancelled), Operated::NoSuchMessage]);
}

async fn the_same_act_twice_in_a_batch_is_refused_the_second_time(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    for (event, to) in [(Event::Hold, State::Held), (Event::Cancel, State::Cancelled), (Event::Retry, State::Queued)] {
        let answers = operate(&mut store, vec![act(event, id), act(event, id)]).await;
        assert_eq!(answers, [Operated::Moved(to), Operated::Refused(Refused { state: to, event })]);
    }
    assert_eq!(store.messages(&MessageFilter::default()).await.len(), 1);
}

async fn different_acts_on_one_message_are_done_in_their_order(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let other_note = Operation { note: "for good".to_owned(), ..act(Event::Cancel, id) };
    let acts = vec![act(Event::Hold, id), act(Event::Release, id), other_note, act(Event::Hold, id)];
    let refused = Refused { state: State::Cancelled, event: Event::Hold };
    let moved = [State::Held, State::Queued, State::Cancelled].map(Operated::Moved);
    let answers = operate(&mut store, acts).await;
    assert_eq!(answers[..3], moved);
    assert_eq!(answers[3], Operated::Refused(refused));
}

async fn an_act_on_a_message_settled_in_the_same_commit_sees_its_outcome(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    let batch = Batch {
        settles: vec![outcome(&claimed, State::Sent, CredentialFate::Spend)],
        operations: vec![act(Event::Hold, id)],
        ..Batch::default()
    };
    let committed = store.commit(batch).await;
    let refused = Refused { state: State::Sent, event: Event::Hold };
    assert_eq!((committed.settled, committed.operated), (vec![true], vec![Operated::Refused(refused)]));
}

async fn a_retried_message_starts_from_the_beginning(mut store: Store) {
    for state in [State::Failed, State::Unknown, State::Expired, State::Cancelled] {
        let id = store.accept_one(FREE, "ann").await;
        let first = store.claim_one(FREE).await;
        if state == State::Cancelled {
            store.settle(vec![outcome(&first, State::Held, CredentialFate::Keep)]).await;
            operate(&mut store, vec![act(Event::Cancel, id)]).await;
        } else {
            store.settle(vec![outcome(&first, state, CredentialFate::Spend)]).await;
        }
        store.pass(HOUR);
        assert_eq!(operate(&mut store, vec![act(Event::Retry, id)]).await, [Operated::Moved(State::Queued)]);
        let again = store.claim_one(FREE).await;
        assert_eq!((again.message, again.attempts, again.rescues), (id, 0, 0), "from {state}");
        assert_eq!((again.ambiguous, again.first_try_at), (false, store.now), "from {state}");
        assert!(again.generation > first.generation + 1, "the fence rises with the act and with the claim");
        store.settle(vec![outcome(&again, State::Sent, CredentialFate::Spend)]).await;
    }
}

async fn a_retried_message_that_ran_out_of_time_has_time_again(mut store: Store) {
    for state in [State::Failed, State::Unknown, State::Expired, State::Cancelled] {
        let short = NewMessage { expires_at: Some(store.now.after(HOUR)), ..store.message(FREE, "ann") };
        let id = store.accept(vec![short]).await[0];
        if state == State::Cancelled {
            operate(&mut store, vec![act(Event::Cancel, id)]).await;
        } else {
            let claimed = store.claim_one(FREE).await;
            store.settle(vec![outcome(&claimed, state, CredentialFate::Spend)]).await;
        }
        store.pass(HOUR);
        assert_eq!(operate(&mut store, vec![act(Event::Retry, id)]).await, [Operated::Moved(State::Queued)]);
        assert_eq!(store.claim_one(FREE).await.message, id, "from {state}");
    }
    let long = NewMessage { expires_at: Some(store.now.after(HOUR)), ..store.message(FREE, "ann") };
    let id = store.accept(vec![long]).await[0];
    operate(&mut store, vec![act(Event::Cancel, id), act(Event::Retry, id)]).await;
    assert_eq!(store.message_row(id).await.expires_at, Some(store.now.after(HOUR)), "an end to come stays");
}

fn later(id: MessageId, due_at: Timestamp) -> Operation {
    Operation { due_at: Some(due_at), ..act(Event::RetryLater, id) }
}

async fn a_message_retried_later_goes_at_its_own_time_and_not_before(mut store: Store) {
    let (first, second) = (store.ended(State::Failed).await, store.ended(State::Failed).await);
    let acts = vec![later(first, NOON.after(HOUR)), later(second, NOON.after(HOUR * 2))];
    let committed = store.commit(Batch { operations: acts, ..Batch::default() }).await;
    assert_eq!(committed.operated, [Operated::Moved(State::Scheduled); 2]);
    assert_eq!(committed.next_due, Some(NOON.after(HOUR)), "the writer knows when to look again");
    assert!(store.claim(FREE, 9).await.is_empty());
    // Each time is on disk: a crash in between neither loses one nor sends them all at once.
    let mut store = store.crash().await;
    for id in [first, second] {
        store.pass(HOUR);
        assert_eq!(store.claim_one(FREE).await.message, id);
        assert!(store.claim(FREE, 9).await.is_empty());
    }
}

async fn a_message_retried_later_starts_from_the_beginning(mut store: Store) {
    for state in [State::Failed, State::Unknown, State::Expired] {
        let id = store.accept_one(FREE, "ann").await;
        let first = store.claim_one(FREE).await;
        store.settle(vec![outcome(&first, state, CredentialFate::Spend)]).await;
        operate(&mut store, vec![later(id, NOON)]).await;
        let again = store.claim_one(FREE).await;
        assert_eq!((again.message, again.attempts, again.rescues, again.ambiguous), (id, 0, 0, false), "from {state}");
        assert!(again.generation > first.generation + 1, "the fence rises with the act and with the claim");
        assert_eq!(store.settle(vec![outcome(&first, State::Sent, CredentialFate::Spend)]).await, [false]);
        store.settle(vec![outcome(&again, State::Sent, CredentialFate::Spend)]).await;
    }
}

async fn a_message_whose_time_is_over_before_its_later_try_has_time_again(mut store: Store) {
    for (due, end) in [(HOUR, Some(HOUR * 2)), (HOUR * 2, None), (HOUR * 3, None)] {
        let short = NewMessage { expires_at: Some(NOON.after(HOUR * 2)), ..store.message(FREE, "ann") };
        let id = store.accept(vec![short]).await[0];
        let claimed = store.claim_one(FREE).await;
        store.settle(vec![outcome(&claimed, State::Failed, CredentialFate::Spend)]).await;
        operate(&mut store, vec![later(id, NOON.after(due))]).await;
        assert_eq!(store.message_row(id).await.expires_at, end.map(|end| NOON.after(end)), "due after {due:?}");
    }
}

async fn an_act_from_another_state_than_the_one_asked_for_changes_nothing(mut store: Store) {
    let (failed, unknown) = (store.ended(State::Failed).await, store.ended(State::Unknown).await);
    let from = |id| Operation { from: Some(State::Failed), ..later(id, NOON) };
    let answers = operate(&mut store, vec![from(unknown), from(failed), from(failed)]).await;
    let refused = |state| Operated::Refused(Refused { state, event: Event::RetryLater });
    assert_eq!(answers, [refused(State::Unknown), Operated::Moved(State::Scheduled), refused(State::Scheduled)]);
    assert_eq!(store.state(unknown).await, State::Unknown);
}

async fn a_note_stands_with_the_message(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    operate(&mut store, vec![act(Event::Cancel, id)]).await;
    let row = store.message_row(id).await;
    assert_eq!((row.reason.as_deref(), row.detail.as_deref()), (Some("cancelled"), Some("by hand")));
}

async fn a_message_held_and_released_keeps_its_credential_and_its_doubt(mut store: Store) {
    store.post(vec![permit("ann", "a"), permit("ann", "b")]).await;
    let id = store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    store.settle(vec![outcome(&claimed, State::Held, CredentialFate::Keep)]).await;
    for event in [Event::Release, Event::Hold, Event::Retry] {
        operate(&mut store, vec![act(event, id)]).await;
    }
    let again = store.claim_one(BOUND).await;
    assert!(again.ambiguous);
    assert_eq!(again.credential.unwrap().credential, claimed.credential.unwrap().credential);
}

async fn what_an_act_moved_is_told_with_whose_message_it_is(mut store: Store) {
    let (kept, moved) = (store.ended(State::Sent).await, store.accept_one(FREE, "ben").await);
    let operations = vec![act(Event::Cancel, kept), act(Event::Cancel, moved), act(Event::Cancel, MessageId(99))];
    let told = store.commit(Batch { operations, ..Batch::default() }).await.moved;
    assert_eq!(told.len(), 1, "{told:?}");
    let one = &told[0];
    assert_eq!((one.message, one.recipient.as_str(), one.detail.as_str()), (moved, "ben", "by hand"));
    assert_eq!((one.channel, one.template), (store.channel(FREE), store.paid));
    assert_eq!((one.event, one.to), (Event::Cancel, State::Cancelled));
}
