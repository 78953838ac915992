//! The record of changes: written with the change, and only then.

use tidings_model::limits::{LIST_WALK_MAX, SWEEP_ROWS_MAX};
use tidings_model::{AuditId, Event, State};
use tidings_store::{Acts, AuditEntry, AuditFilter, AuditRow, Batch, Committed, Operation, Record, Sweep};

use crate::harness::{DAY, FREE, HOUR, NOON, SECOND, Store, act};

for_every_store! {
    an_entry_says_who_did_what_when_and_why,
    an_act_is_in_the_record_if_it_moved_a_message_and_says_how_many,
    steps_of_one_act_share_an_entry,
    a_message_knows_the_acts_that_moved_it_in_order,
    what_an_act_moved_leaves_with_the_message,
    pages_of_the_record_join_and_filters_choose,
    a_page_looks_at_a_bounded_number_of_entries_and_says_where_to_go_on,
    old_entries_leave_and_young_ones_stay,
}

fn entry(act: &'static str, subject: &str) -> AuditEntry {
    AuditEntry { who: "ops".to_owned(), act, subject: subject.to_owned(), why: None, detail: None }
}

/// All operations of a batch as one act.
fn one_act(operations: Vec<Operation>, onto: Option<AuditId>) -> Batch {
    let acts = Some(Acts { operations: 0..operations.len(), onto });
    Batch {
        records: vec![Record { entry: entry("message.cancel", "messages"), acts, of_run: None }],
        operations,
        ..Batch::default()
    }
}

async fn write(store: &mut Store, entries: Vec<AuditEntry>) -> Committed {
    let records = entries.into_iter().map(Record::from).collect();
    store.commit(Batch { records, ..Batch::default() }).await
}

async fn all(store: &Store) -> Vec<AuditRow> {
    store.reader.audit(&AuditFilter { limit: 99, ..AuditFilter::default() }).await.unwrap().rows
}

async fn an_entry_says_who_did_what_when_and_why(mut store: Store) {
    store.pass(HOUR);
    let why = Some("WeChat is down".to_owned());
    let detail = Some("for an hour".to_owned());
    let committed = write(&mut store, vec![AuditEntry { why, detail, ..entry("channel.pause", "orders") }]).await;
    let row = all(&store).await.remove(0);
    assert_eq!(committed.recorded, [Some(row.id)]);
    assert_eq!((row.at, row.who.as_str(), row.act.as_str()), (NOON.after(HOUR), "ops", "channel.pause"));
    assert_eq!((row.subject.as_str(), row.why.as_deref()), ("orders", Some("WeChat is down")));
    assert_eq!((row.detail.as_deref(), row.count), (Some("for an hour"), None));
}

async fn an_act_is_in_the_record_if_it_moved_a_message_and_says_how_many(mut store: Store) {
    let sent = store.ended(State::Sent).await;
    let first = store.accept_one(FREE, "ann").await;
    let second = store.accept_one(FREE, "ben").await;
    let nothing = store.commit(one_act(vec![act(Event::Cancel, sent)], None)).await;
    assert_eq!((nothing.recorded, all(&store).await.len()), (vec![None], 0));
    let operations = [first, sent, second].map(|id| act(Event::Cancel, id)).to_vec();
    store.commit(one_act(operations, None)).await;
    assert_eq!(all(&store).await[0].count, Some(2));
    // The number of an entry that was not written is no other's either.
    let next = write(&mut store, vec![entry("channel.pause", "orders")]).await.recorded;
    assert!(next[0] > Some(all(&store).await[1].id), "{next:?}");
}

async fn steps_of_one_act_share_an_entry(mut store: Store) {
    let mut onto = None;
    for name in ["ann", "ben", "cho"] {
        let id = store.accept_one(FREE, name).await;
        onto = store.commit(one_act(vec![act(Event::Cancel, id)], onto)).await.recorded[0];
        // A step that moves nothing leaves the entry as it is.
        onto = store.commit(one_act(vec![act(Event::Cancel, id)], onto)).await.recorded[0];
    }
    let rows = all(&store).await;
    assert_eq!((rows.len(), rows[0].count, Some(rows[0].id)), (1, Some(3), onto));
}

async fn a_message_knows_the_acts_that_moved_it_in_order(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let other = store.accept_one(FREE, "ben").await;
    for event in [Event::Hold, Event::Release, Event::Release, Event::Cancel] {
        let acts = Some(Acts { operations: 0..1, onto: None });
        let records = vec![Record { entry: entry("message.act", event.as_str()), acts, of_run: None }];
        store.commit(Batch { operations: vec![act(event, id)], records, ..Batch::default() }).await;
    }
    let acts = store.reader.acts_on(id).await.unwrap();
    let acts: Vec<&str> = acts.iter().map(|row| row.subject.as_str()).collect();
    assert_eq!(acts, ["hold", "release", "cancel"], "the second release moved nothing");
    assert_eq!(store.reader.acts_on(other).await.unwrap(), []);
}

async fn what_an_act_moved_leaves_with_the_message(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    store.commit(one_act(vec![act(Event::Cancel, id)], None)).await;
    store.pass(DAY);
    let sweep = Sweep::Ended { after: 0, states: vec![State::Cancelled], before: store.now };
    store.commit(Batch { sweeps: vec![sweep], ..Batch::default() }).await;
    assert_eq!(store.reader.acts_on(id).await.unwrap(), []);
    assert_eq!(all(&store).await.len(), 1, "the record itself stays");
}

async fn pages_of_the_record_join_and_filters_choose(mut store: Store) {
    let acts = ["channel.pause", "channel.resume", "message.cancel", "messages.cancel"];
    for (number, act) in acts.into_iter().enumerate() {
        let subject = if number % 2 == 0 { "orders" } else { "news" };
        let who = if number < 2 { "ops" } else { "billing" }.to_owned();
        write(&mut store, vec![AuditEntry { who, ..entry(act, subject) }]).await;
        store.pass(HOUR);
    }
    for limit in 1..6 {
        let (mut seen, mut filter) = (Vec::new(), AuditFilter { limit, ..AuditFilter::default() });
        loop {
            let page = store.reader.audit(&filter).await.unwrap();
            seen.extend(page.rows.into_iter().map(|row| row.act));
            let Some(next) = page.next else { break };
            filter.before = Some(next);
        }
        assert!(seen.iter().map(String::as_str).eq(acts.into_iter().rev()), "pages of {limit}: {seen:?}");
    }
    let some = |text: &str| Some(text.to_owned());
    let nothing = AuditFilter::default;
    let cases = [
        (AuditFilter { who: some("billing"), ..nothing() }, vec![3, 2]),
        (AuditFilter { act: some("channel.pause"), ..nothing() }, vec![0]),
        (AuditFilter { act: some("message"), ..nothing() }, vec![2]),
        (AuditFilter { act: some("mess"), ..nothing() }, vec![]),
        (AuditFilter { subject: some("orders"), ..nothing() }, vec![2, 0]),
        (AuditFilter { subject: some("orders"), who: some("ops"), ..nothing() }, vec![0]),
        (AuditFilter { since: Some(NOON.after(HOUR * 2)), ..nothing() }, vec![3, 2]),
        (AuditFilter { since: Some(NOON.after(HOUR + SECOND)), subject: some("news"), ..nothing() }, vec![3]),
        (AuditFilter { since: Some(NOON.after(DAY)), ..nothing() }, vec![]),
    ];
    for (filter, expected) in cases {
        let page = store.reader.audit(&AuditFilter { limit: 9, ..filter.clone() }).await.unwrap();
        let seen: Vec<&str> = page.rows.iter().map(|row| row.act.as_str()).collect();
        assert_eq!(seen, expected.into_iter().map(|number| acts[number]).collect::<Vec<_>>(), "{filter:?}");
    }
}

async fn a_page_looks_at_a_bounded_number_of_entries_and_says_where_to_go_on(mut store: Store) {
    let rare = write(&mut store, vec![entry("key.add", "billing")]).await.recorded[0].unwrap();
    let many = usize::try_from(LIST_WALK_MAX).unwrap();
    write(&mut store, vec![entry("message.cancel", "msg_1"); many]).await;
    let mut filter = AuditFilter { act: Some("key".to_owned()), limit: 9, ..AuditFilter::default() };
    let first = store.reader.audit(&filter).await.unwrap();
    assert_eq!(first.rows, [], "it is behind as many entries as a page looks at");
    filter.before = first.next;
    let second = store.reader.audit(&filter).await.unwrap();
    assert_eq!((second.rows[0].id, second.next), (rare, None));
}

async fn old_entries_leave_and_young_ones_stay(mut store: Store) {
    let many = usize::try_from(SWEEP_ROWS_MAX).unwrap() + 7;
    write(&mut store, vec![entry("message.cancel", "msg_1"); many]).await;
    store.pass(DAY);
    write(&mut store, vec![entry("channel.pause", "orders")]).await;
    let mut next = Some(Sweep::Audit { after: 0, before: NOON });
    let mut removed = 0;
    while let Some(sweep) = next.take() {
        let swept = store.commit(Batch { sweeps: vec![sweep], ..Batch::default() }).await.swept.remove(0);
        removed += swept.removed;
        assert!(swept.removed <= SWEEP_ROWS_MAX);
        next = swept.next;
    }
    assert_eq!(usize::try_from(removed).unwrap(), many);
    assert_eq!(all(&store).await.len(), 1);
}
