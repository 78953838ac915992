//! Messages that stopped short of being sent, by reason.

use tidings_model::{CredentialFate, Event, MessageId, State};
use tidings_store::{Batch, MessageFilter, NewMessage, ReasonRow, Settle};

use crate::harness::{BOUND, FREE, HOUR, NOON, Store, act, outcome};

for_every_store! {
    what_stopped_is_counted_by_channel_reason_and_template,
    a_group_says_when_its_first_and_last_ended_and_names_the_newest,
    reasons_of_a_channel_are_its_own,
    what_goes_on_is_in_no_group,
    a_list_by_reason_has_those_and_no_others,
}

/// Accepts, claims and ends a message of the channel without credentials for that reason.
pub(crate) async fn ended(store: &mut Store, state: State, reason: &'static str, shipped: bool) -> MessageId {
    let template = if shipped { store.shipped } else { store.paid };
    let message = NewMessage { template, ..store.message(FREE, "ann") };
    let id = store.accept(vec![message]).await[0];
    let claimed = store.claim_one(FREE).await;
    let mut settle: Settle = outcome(&claimed, state, CredentialFate::Spend);
    settle.settlement.reason = Some(reason);
    assert_eq!(store.settle(vec![settle]).await, [true]);
    id
}

fn told(groups: &[ReasonRow]) -> Vec<String> {
    groups
        .iter()
        .map(|group| {
            let reason = group.reason.as_deref().unwrap_or("-");
            format!("{} {} {reason} {} x{}", group.channel, group.state, group.template, group.count)
        })
        .collect()
}

async fn what_stopped_is_counted_by_channel_reason_and_template(mut store: Store) {
    for _ in 0..3 {
        ended(&mut store, State::Failed, "rejected", false).await;
    }
    for _ in 0..2 {
        ended(&mut store, State::Failed, "recipient_gone", false).await;
    }
    ended(&mut store, State::Failed, "rejected", true).await;
    for _ in 0..4 {
        ended(&mut store, State::Unknown, "no_answer", false).await;
    }
    let states = [State::Held, State::Failed, State::Unknown];
    let (groups, more) = store.reader.reasons(&states, None).await.unwrap();
    assert!(!more);
    let expected = [
        "free unknown no_answer paid x4",
        "free failed rejected paid x3",
        "free failed recipient_gone paid x2",
        "free failed rejected shipped x1",
    ];
    assert_eq!(told(&groups), expected);
    let (groups, _) = store.reader.reasons(&[State::Failed], None).await.unwrap();
    assert_eq!(told(&groups), expected[1..]);
}

async fn a_group_says_when_its_first_and_last_ended_and_names_the_newest(mut store: Store) {
    ended(&mut store, State::Failed, "rejected", false).await;
    store.pass(HOUR);
    ended(&mut store, State::Failed, "rejected", false).await;
    store.pass(HOUR);
    let newest = ended(&mut store, State::Failed, "rejected", false).await;
    let held = ended(&mut store, State::Held, "template_broken", false).await;
    let (groups, _) = store.reader.reasons(&[State::Failed, State::Held], None).await.unwrap();
    let facts = |group: &ReasonRow| (group.oldest_at, group.newest_at, group.newest);
    assert_eq!(facts(&groups[0]), (NOON, NOON.after(HOUR * 2), newest));
    // What is held has not ended: it was due then.
    assert_eq!(facts(&groups[1]), (NOON.after(HOUR * 2), NOON.after(HOUR * 2), held));
}

async fn reasons_of_a_channel_are_its_own(mut store: Store) {
    ended(&mut store, State::Failed, "rejected", false).await;
    let id = store.accept_one(BOUND, "ben").await;
    store.commit(Batch { operations: vec![act(Event::Hold, id)], ..Batch::default() }).await;
    let states = [State::Held, State::Failed];
    let of = |channel| store.reader.reasons(&states, Some(channel));
    assert_eq!(told(&of(FREE).await.unwrap().0), ["free failed rejected paid x1"]);
    assert_eq!(told(&of(BOUND).await.unwrap().0), ["bound held held paid x1"]);
    assert!(of("no-such-channel").await.unwrap().0.is_empty());
}

async fn what_goes_on_is_in_no_group(mut store: Store) {
    store.ended(State::Sent).await;
    store.accept_one(BOUND, "ann").await;
    store.claim(BOUND, 1).await;
    let failed = ended(&mut store, State::Failed, "rejected", false).await;
    store.commit(Batch { operations: vec![act(Event::Retry, failed)], ..Batch::default() }).await;
    let dead: Vec<State> = State::ALL.into_iter().filter(|state| state.is_dead()).collect();
    assert_eq!(store.reader.reasons(&dead, None).await.unwrap(), (vec![], false));
}

async fn a_list_by_reason_has_those_and_no_others(mut store: Store) {
    let first = ended(&mut store, State::Failed, "rejected", false).await;
    ended(&mut store, State::Failed, "recipient_gone", false).await;
    let unknown = ended(&mut store, State::Unknown, "rejected", false).await;
    let last = ended(&mut store, State::Failed, "rejected", true).await;
    let some = |text: &str| Some(text.to_owned());
    let of = |state, channel| MessageFilter { state, channel, reason: some("rejected"), ..MessageFilter::default() };
    let cases = [
        (of(Some(State::Failed), None), vec![last, first]),
        (of(Some(State::Failed), some(FREE)), vec![last, first]),
        (of(Some(State::Failed), some(BOUND)), vec![]),
        (of(None, None), vec![last, unknown, first]),
    ];
    for (filter, expected) in cases {
        let seen: Vec<_> = store.messages(&filter).await.iter().map(|row| row.id).collect();
        assert_eq!(seen, expected, "{filter:?}");
    }
}
