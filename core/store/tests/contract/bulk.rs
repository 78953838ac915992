//! Choosing messages: for lists that look at a bounded number of rows, and step by step for acts on many.

use tidings_model::limits::LIST_WALK_MAX;
use tidings_model::{CredentialFate, Event, MessageId, State, Timestamp};
use tidings_store::{Batch, BulkCount, BulkFilter, MessageFilter, NewMessage, Planned, Settle, Span, Sweep};

use crate::dead::ended;
use crate::harness::{BOUND, DAY, FREE, HOUR, NOON, Store, act, outcome};

for_every_store! {
    steps_of_a_bulk_act_join_without_gap_or_overlap,
    a_bulk_act_is_for_what_its_filter_says,
    a_bulk_act_is_for_many_states_at_once,
    what_ended_after_the_plan_is_not_of_it,
    what_ended_in_a_future_that_the_clock_left_is_of_the_plan,
    a_count_says_whether_any_of_them_may_have_arrived,
    counts_by_the_writer_are_those_of_the_rows,
    ages_go_by_the_order_of_acceptance,
    a_list_looks_at_a_bounded_number_of_rows_and_finds_everything_in_the_end,
    few_in_a_state_are_found_at_once_behind_many_others,
}

fn of(states: &[State]) -> BulkFilter {
    BulkFilter { states: states.to_vec(), ..BulkFilter::default() }
}

fn now(store: &Store) -> Planned {
    Planned { at: store.now, now: store.now }
}

async fn find(store: &Store, filter: &BulkFilter) -> Vec<MessageId> {
    let found = store.reader.bulk(filter, Span::ALL, now(store), 99).await.unwrap();
    found.into_iter().map(|(id, _)| id).collect()
}

async fn count(store: &Store, filter: &BulkFilter) -> BulkCount {
    store.reader.count_bulk(filter, Span::ALL).await.unwrap()
}

async fn steps_of_a_bulk_act_join_without_gap_or_overlap(mut store: Store) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(ended(&mut store, State::Failed, "rejected", false).await);
        ended(&mut store, State::Unknown, "no_answer", false).await;
    }
    for most in 1..7 {
        // Those that came after the act began are not its business.
        let (mut seen, mut span) = (Vec::new(), Span { until: ids[3], ..Span::ALL });
        loop {
            let step = store.reader.bulk(&of(&[State::Failed]), span, now(&store), most).await.unwrap();
            let Some((last, _)) = step.last() else { break };
            span.after = *last;
            seen.extend(step.into_iter().map(|(id, _)| id));
        }
        assert_eq!(seen, ids[..4], "steps of {most}");
    }
}

async fn a_bulk_act_is_for_what_its_filter_says(mut store: Store) {
    let first = ended(&mut store, State::Failed, "rejected", false).await;
    let gone = ended(&mut store, State::Failed, "recipient_gone", false).await;
    let shipped = ended(&mut store, State::Failed, "rejected", true).await;
    let unknown = ended(&mut store, State::Unknown, "rejected", false).await;
    let some = |text: &str| Some(text.to_owned());
    let failed = || of(&[State::Failed]);
    let cases = [
        (failed(), vec![first, gone, shipped]),
        (of(&[State::Unknown]), vec![unknown]),
        (of(&[]), vec![]),
        (BulkFilter { reason: some("rejected"), ..failed() }, vec![first, shipped]),
        (BulkFilter { template: some("shipped"), ..failed() }, vec![shipped]),
        (BulkFilter { channel: some(FREE), reason: some("recipient_gone"), ..failed() }, vec![gone]),
        (BulkFilter { recipient: some("ann"), ..failed() }, vec![first, gone, shipped]),
        (BulkFilter { recipient: some("ben"), ..failed() }, vec![]),
        (BulkFilter { channel: some(BOUND), ..failed() }, vec![]),
        (BulkFilter { channel: some("no-such-channel"), ..failed() }, vec![]),
        (BulkFilter { template: some("no-such-template"), ..failed() }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(find(&store, &filter).await, expected, "{filter}");
        let counted = count(&store, &filter).await;
        assert_eq!(usize::try_from(counted.sum()).unwrap(), expected.len(), "{filter}");
    }
}

async fn a_bulk_act_is_for_many_states_at_once(mut store: Store) {
    let waiting = store.accept_one(BOUND, "ann").await;
    store.claim(BOUND, 9).await;
    let later = NewMessage { send_at: Some(NOON.after(HOUR)), ..store.message(FREE, "ben") };
    let scheduled = store.accept(vec![later]).await[0];
    let held = store.accept_one(BOUND, "ben").await;
    store.commit(Batch { operations: vec![act(Event::Hold, held)], ..Batch::default() }).await;
    let queued = store.accept_one(BOUND, "cho").await;
    let live = of(&[State::Scheduled, State::Queued, State::Waiting, State::Held]);
    let found = store.reader.bulk(&live, Span::ALL, now(&store), 99).await.unwrap();
    let expected =
        [(waiting, State::Waiting), (scheduled, State::Scheduled), (held, State::Held), (queued, State::Queued)];
    assert_eq!(found, expected, "the oldest first, whatever their states");
    let mut step = store.reader.bulk(&live, Span::ALL, now(&store), 3).await.unwrap();
    let span = Span { after: step.pop().unwrap().0, ..Span::ALL };
    assert_eq!(store.reader.bulk(&live, span, now(&store), 3).await.unwrap(), expected[3..]);
    let ben = BulkFilter { recipient: Some("ben".to_owned()), ..live };
    assert_eq!(find(&store, &ben).await, [scheduled, held]);
}

async fn what_ended_after_the_plan_is_not_of_it(mut store: Store) {
    let later = NewMessage { send_at: Some(NOON.after(HOUR)), ..store.message(FREE, "ann") };
    let early = store.accept(vec![later]).await[0];
    let failed = ended(&mut store, State::Failed, "rejected", false).await;
    let planned_at = store.now;
    store.pass(HOUR);
    // Within the stretch of the plan, but no message that had failed when it was made.
    let claimed = store.claim_one(FREE).await;
    assert_eq!(claimed.message, early);
    let ended_at = store.now;
    store.settle(vec![Settle { ended_at, ..outcome(&claimed, State::Failed, CredentialFate::Spend) }]).await;
    let planned = Planned { at: planned_at, now: store.now };
    let found = store.reader.bulk(&of(&[State::Failed]), Span::ALL, planned, 9).await.unwrap();
    assert_eq!(found, [(failed, State::Failed)]);
    assert_eq!(find(&store, &of(&[State::Failed])).await, [early, failed]);
}

async fn what_ended_in_a_future_that_the_clock_left_is_of_the_plan(mut store: Store) {
    store.pass(DAY);
    let failed = ended(&mut store, State::Failed, "rejected", false).await;
    store.now = NOON;
    assert_eq!(find(&store, &of(&[State::Failed])).await, [failed]);
}

async fn a_count_says_whether_any_of_them_may_have_arrived(mut store: Store) {
    let cancelled = of(&[State::Cancelled]);
    let id = store.accept_one(FREE, "ann").await;
    store.commit(Batch { operations: vec![act(Event::Cancel, id)], ..Batch::default() }).await;
    assert!(!count(&store, &cancelled).await.ambiguous);
    // Held in the middle of an attempt, and withdrawn then: nobody saw what came of that attempt.
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    store.settle(vec![outcome(&claimed, State::Held, CredentialFate::Keep)]).await;
    store.commit(Batch { operations: vec![act(Event::Cancel, id)], ..Batch::default() }).await;
    assert!(count(&store, &cancelled).await.ambiguous);
    assert!(!count(&store, &of(&[State::Failed])).await.ambiguous, "of none");
}

async fn counts_by_the_writer_are_those_of_the_rows(mut store: Store) {
    for name in ["ann", "ben", "cho"] {
        store.accept_one(BOUND, name).await;
    }
    let last = store.accept_one(FREE, "ann").await;
    let queued = of(&[State::Queued, State::Waiting]);
    let quick = count(&store, &queued).await;
    let expected = [(State::Queued, BOUND.to_owned(), 3), (State::Queued, FREE.to_owned(), 1)];
    assert_eq!((quick.groups.as_slice(), quick.last), (&expected[..], Some(last)));
    // A stretch has to be counted.
    let span = Span { until: last, ..Span::ALL };
    let mut slow = store.reader.count_bulk(&queued, span).await.unwrap();
    slow.groups.sort();
    assert_eq!(slow.groups, expected);
    let free = BulkFilter { channel: Some(FREE.to_owned()), ..queued };
    assert_eq!(count(&store, &free).await.groups, expected[1..]);
}

async fn ages_go_by_the_order_of_acceptance(mut store: Store) {
    let mut ids = Vec::new();
    for _ in 0..9 {
        ids.push(store.accept_one(FREE, "ann").await);
        store.pass(HOUR);
    }
    // A hole in the ids: what left is nobody's age.
    store.commit(Batch { operations: vec![act(Event::Cancel, ids[4])], ..Batch::default() }).await;
    let sweep = Sweep::Ended { after: 0, states: vec![State::Cancelled], before: store.now };
    store.commit(Batch { sweeps: vec![sweep], ..Batch::default() }).await;
    let hours = |count: u32| Some(NOON.after(HOUR * count));
    let list =
        |newer_than: Option<Timestamp>, older_than| MessageFilter { newer_than, older_than, ..Default::default() };
    let cases = [
        (list(hours(7), None), vec![8, 7]),
        (list(None, hours(2)), vec![1, 0]),
        (list(hours(3), hours(6)), vec![5, 3]),
        (list(hours(4), hours(5)), vec![]),
        (list(hours(20), None), vec![]),
        (list(None, Some(NOON)), vec![]),
    ];
    for (filter, expected) in cases {
        let expected: Vec<MessageId> = expected.into_iter().map(|place: usize| ids[place]).collect();
        let seen: Vec<MessageId> = store.messages(&filter).await.iter().map(|row| row.id).collect();
        assert_eq!(seen, expected, "{filter:?}");
        let span = store.reader.span(&filter).await.unwrap();
        assert!(expected.iter().all(|id| span.after < *id && *id <= span.until), "{filter:?}: {span:?}");
    }
}

/// Accepts so many messages of the channel without credentials, quickly.
async fn many(store: &mut Store, name: &str, mut left: usize) {
    while left > 0 {
        let now = left.min(1024);
        let messages = vec![store.message(FREE, name); now];
        // Nothing is compared here: that would read all of them each time.
        store.writer.commit(&Batch { now: store.now, messages, ..Batch::default() }).await.unwrap();
        left -= now;
    }
}

async fn a_list_looks_at_a_bounded_number_of_rows_and_finds_everything_in_the_end(mut store: Store) {
    let shipped = |store: &Store| NewMessage { template: store.shipped, ..store.message(FREE, "rare") };
    let rare = store.accept(vec![shipped(&store)]).await[0];
    many(&mut store, "ann", usize::try_from(LIST_WALK_MAX).unwrap() + 5).await;
    let recent = store.accept(vec![shipped(&store)]).await[0];
    let mut filter = MessageFilter { recipient: Some("rare".to_owned()), limit: 9, ..MessageFilter::default() };
    if store.home.is_shared() {
        // There indexes lead from a recipient to all messages, and none from a template.
        for state in [None, Some(State::Queued)] {
            let page = store.reader.messages(&MessageFilter { state, ..filter.clone() }).await.unwrap();
            assert_eq!(page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [recent, rare], "{state:?}");
            assert_eq!(page.next, None, "{state:?}");
        }
        filter = MessageFilter { recipient: None, template: Some("shipped".to_owned()), ..filter };
    }
    let first = store.reader.messages(&filter).await.unwrap();
    assert_eq!(first.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [recent]);
    let looked = recent.0 - first.next.unwrap() + 1;
    assert_eq!(looked, LIST_WALK_MAX, "it looks at so many rows and no more");
    filter.before = first.next;
    let second = store.reader.messages(&filter).await.unwrap();
    assert_eq!(second.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [rare]);
    assert_eq!(second.next, None);
}

async fn few_in_a_state_are_found_at_once_behind_many_others(mut store: Store) {
    let later = NewMessage { send_at: Some(NOON.after(HOUR)), ..store.message(FREE, "rare") };
    let scheduled = store.accept(vec![later]).await[0];
    let held = store.accept_one(FREE, "rare").await;
    store.commit(Batch { operations: vec![act(Event::Hold, held)], ..Batch::default() }).await;
    many(&mut store, "ann", usize::try_from(LIST_WALK_MAX).unwrap()).await;
    for (state, expected) in [(State::Scheduled, scheduled), (State::Held, held)] {
        let filter = MessageFilter { state: Some(state), limit: 9, ..MessageFilter::default() };
        let page = store.reader.messages(&filter).await.unwrap();
        assert_eq!((page.rows.len(), page.rows[0].id, page.next), (1, expected, None), "{state}");
    }
}
