//! Claiming: who goes, in which order, and how many.

use tidings_model::rate::{Arrival, Rate};
use tidings_model::{CredentialFate, MessageId, State};
use tidings_store::{Batch, ClaimRequest, NewMessage};

use crate::harness::{BOUND, DAY, FREE, HOUR, NOON, SECOND, Store, ids, outcome, pairs, permit};

for_every_store! {
    after_the_clock_was_set_back_a_retry_keeps_its_delay_and_what_was_asked_for_keeps_its_time,
    claims_go_by_priority_then_due_time_then_id,
    claims_with_credentials_go_by_priority_then_due_time_then_id,
    no_more_are_claimed_than_there_is_room_for,
    no_room_claims_nothing,
    a_message_is_claimed_once,
    a_claim_carries_everything_an_attempt_needs,
    channels_are_claimed_apart,
    a_message_is_accepted_and_claimed_in_one_commit,
    an_outcome_makes_room_for_the_next_attempt_of_the_same_message,
    a_rate_bounds_the_claims_and_its_state_survives_a_restart,
    a_rate_that_allows_nothing_writes_no_state,
    only_what_was_claimed_is_charged_to_the_rate,
}

/// Five messages whose order in the queue is none of accident: by priority, by due time, by id.
async fn mixed(store: &mut Store, channel: &str) -> Vec<MessageId> {
    let message = |priority, wait| NewMessage {
        priority,
        send_at: Some(NOON.after(SECOND * wait)),
        ..store.message(channel, "ann")
    };
    let messages = vec![message(0, 9), message(0, 2), message(5, 9), message(-1, 1), message(0, 2)];
    let accepted = store.accept(messages).await;
    store.pass(HOUR);
    [2, 1, 4, 0, 3].map(|index: usize| accepted[index]).into()
}

async fn claims_go_by_priority_then_due_time_then_id(mut store: Store) {
    let order = mixed(&mut store, FREE).await;
    assert_eq!(ids(&store.claim(FREE, 3).await), order[..3]);
    assert_eq!(ids(&store.claim(FREE, 3).await), order[3..]);
}

async fn claims_with_credentials_go_by_priority_then_due_time_then_id(mut store: Store) {
    let order = mixed(&mut store, BOUND).await;
    let values = ["a", "b", "c", "d", "e"];
    store.post(values.iter().map(|value| permit("ann", value)).collect()).await;
    let claimed = store.claim(BOUND, 3).await;
    assert_eq!(pairs(&claimed), order.iter().copied().zip(values.map(str::to_owned)).take(3).collect::<Vec<_>>());
    assert_eq!(ids(&store.claim(BOUND, 3).await), order[3..]);
}

async fn no_more_are_claimed_than_there_is_room_for(mut store: Store) {
    let messages = (0..10).map(|_| store.message(FREE, "ann")).collect();
    store.accept(messages).await;
    assert_eq!(store.claim(FREE, 4).await.len(), 4);
    assert_eq!(store.claim(FREE, u32::MAX).await.len(), 6);
}

async fn no_room_claims_nothing(mut store: Store) {
    store.accept_one(FREE, "ann").await;
    store.accept_one(BOUND, "ann").await;
    store.post(vec![permit("ann", "a")]).await;
    assert!(store.claim(FREE, 0).await.is_empty());
    assert!(store.claim(BOUND, 0).await.is_empty());
    assert_eq!(store.writer.count(store.channel(BOUND), State::Queued), 1);
}

async fn a_message_is_claimed_once(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let claims = vec![store.room(FREE, 5), store.room(FREE, 5)];
    assert_eq!(ids(&store.commit(Batch { claims, ..Batch::default() }).await.claimed), [id]);
    assert!(store.claim(FREE, 5).await.is_empty());
}

async fn a_claim_carries_everything_an_attempt_needs(mut store: Store) {
    let message = NewMessage {
        template: store.shipped,
        data: r#"{"a":"b"}"#.to_owned(),
        expires_at: Some(NOON.after(HOUR)),
        ..store.message(FREE, "ann")
    };
    let id = store.accept(vec![message]).await[0];
    store.pass(SECOND);
    let first = store.claim_one(FREE).await;
    assert_eq!(
        (first.message, first.generation, first.channel, first.template),
        (id, 1, store.channel(FREE), store.shipped)
    );
    assert_eq!((first.recipient.as_str(), first.data.as_str()), ("ann", r#"{"a":"b"}"#));
    assert_eq!((first.attempts, first.rescues, first.ambiguous), (0, 0, false));
    assert_eq!((first.created_at, first.first_try_at), (NOON, NOON.after(SECOND)));
    assert_eq!(first.expires_at, Some(NOON.after(HOUR)));
    assert!(first.credential.is_none());
    // In doubt, so that the first try that may have arrived stays the first.
    store.settle(vec![outcome(&first, State::Scheduled, CredentialFate::Keep)]).await;
    store.pass(SECOND);
    let second = store.claim_one(FREE).await;
    assert_eq!((second.generation, second.attempts, second.ambiguous), (2, 1, true));
    assert_eq!(second.first_try_at, NOON.after(SECOND));
    // Without doubt, the next try is the first.
    store.settle(vec![outcome(&second, State::Scheduled, CredentialFate::GiveBack)]).await;
    store.pass(SECOND);
    let third = store.claim_one(FREE).await;
    assert_eq!((third.attempts, third.ambiguous, third.first_try_at), (2, false, store.now));
}

async fn channels_are_claimed_apart(mut store: Store) {
    let bound = store.accept_one(BOUND, "ann").await;
    let free = store.accept_one(FREE, "ann").await;
    store.post(vec![permit("ann", "a")]).await;
    let claims = vec![store.room(FREE, 5), store.room(BOUND, 5)];
    let claimed = store.commit(Batch { claims, ..Batch::default() }).await.claimed;
    assert_eq!(ids(&claimed), [free, bound], "in the order they were asked for");
    assert!(claimed[0].credential.is_none() && claimed[1].credential.is_some());
}

async fn a_message_is_accepted_and_claimed_in_one_commit(mut store: Store) {
    let (messages, claims) = (vec![store.message(FREE, "ann")], vec![store.room(FREE, 1)]);
    assert_eq!(store.commit(Batch { messages, claims, ..Batch::default() }).await.claimed.len(), 1);
}

async fn an_outcome_makes_room_for_the_next_attempt_of_the_same_message(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let first = store.claim_one(FREE).await;
    let settles = vec![outcome(&first, State::Scheduled, CredentialFate::GiveBack)];
    let claims = vec![store.room(FREE, 1)];
    let claimed = store.commit(Batch { settles, claims, ..Batch::default() }).await.claimed;
    assert_eq!((claimed[0].message, claimed[0].generation), (id, 2));
}

fn at(rate: Rate, arrival: Arrival, room: ClaimRequest) -> ClaimRequest {
    ClaimRequest { rate: Some((rate, arrival)), ..room }
}

async fn a_rate_bounds_the_claims_and_its_state_survives_a_restart(mut store: Store) {
    let rate = Rate { count: 20, period: SECOND };
    let messages = (0..30).map(|_| store.message(FREE, "ann")).collect();
    store.accept(messages).await;
    let mut arrival = Arrival::default();
    let mut claimed = 0;
    for step in 0..30_u64 {
        let claims = vec![at(rate, arrival, store.room(FREE, 9))];
        let committed = store.commit(Batch { claims, ..Batch::default() }).await;
        claimed += committed.claimed.len() as u64;
        if let Some((channel, state)) = committed.arrivals.first() {
            assert_eq!(*channel, store.channel(FREE));
            arrival = *state;
        }
        let states = store.writer.channel_states().await.unwrap();
        assert_eq!(states[&store.channel(FREE)].arrival, arrival, "what was said is what is written");
        assert!(claimed <= u64::from(rate.burst()) + step, "{claimed} after {} ms at 20/s", step * 50);
        store.pass(SECOND / 20);
        if step == 10 {
            store = store.crash().await;
            let states = store.writer.channel_states().await.unwrap();
            assert_eq!(states[&store.channel(FREE)].arrival, arrival, "a restart doubles no budget");
        }
    }
    assert!(claimed >= 29, "{claimed} in a second and a half at 20/s");
}

async fn a_rate_that_allows_nothing_writes_no_state(mut store: Store) {
    let rate = Rate { count: 1, period: HOUR };
    let messages = (0..2).map(|_| store.message(FREE, "ann")).collect();
    store.accept(messages).await;
    let claims = vec![at(rate, Arrival::default(), store.room(FREE, 9))];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert_eq!((committed.claimed.len(), committed.arrivals.len()), (1, 1));
    let claims = vec![at(rate, committed.arrivals[0].1, store.room(FREE, 9))];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert_eq!((committed.claimed.len(), committed.arrivals.len()), (0, 0));
}

async fn only_what_was_claimed_is_charged_to_the_rate(mut store: Store) {
    let rate = Rate { count: 100, period: SECOND };
    let messages = ["ann", "ben", "cho"].map(|name| store.message(BOUND, name)).into();
    store.accept(messages).await;
    store.post(vec![permit("cho", "c")]).await;
    let claims = vec![at(rate, Arrival::default(), store.room(BOUND, 9))];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert_eq!(committed.claimed.len(), 1);
    assert_eq!(committed.arrivals[0].1, rate.after(Arrival::default(), 1, NOON));
}

async fn after_the_clock_was_set_back_a_retry_keeps_its_delay_and_what_was_asked_for_keeps_its_time(mut store: Store) {
    let retried = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    let mut again = outcome(&claimed, State::Scheduled, CredentialFate::GiveBack);
    again.settlement.due_at = Some(NOON.after(SECOND * 30));
    store.settle(vec![again]).await;
    let asked = NewMessage { send_at: Some(NOON.after(HOUR)), ..store.message(FREE, "ben") };
    let asked = store.accept(vec![asked]).await[0];

    store.now = NOON.before(DAY);
    let set_back = Some(DAY);
    let committed = store.commit(Batch { set_back, ..Batch::default() }).await;
    assert_eq!(committed.next_due, Some(store.now.after(SECOND * 30)));
    store.pass(SECOND * 30);
    assert_eq!(ids(&store.claim(FREE, 10).await), [retried]);
    assert_eq!(store.message_row(asked).await.due_at, NOON.after(HOUR));
}
