//! Taking messages in: what is answered, what is written, and what a key is worth.

use tidings_model::limits::{IDEMPOTENCY_LIFE, TICK_PROMOTIONS_MAX};
use tidings_model::{MessageId, State};
use tidings_store::{Accepted, Batch, MessageFilter, NewMessage};

use crate::harness::{BOUND, FREE, HOUR, NOON, SECOND, Store, key, new_id};

for_every_store! {
    an_accepted_message_reads_back,
    many_messages_at_once_are_written_as_each_by_itself,
    a_key_that_is_taken_keeps_one_of_many_messages_out_and_no_other,
    ids_rise_and_are_never_used_again_after_a_restart,
    the_same_request_under_a_key_is_accepted_once,
    another_request_under_a_taken_key_is_refused_with_the_first_message,
    of_two_messages_of_one_key_in_a_batch_the_first_wins,
    a_key_is_free_again_after_its_life_and_not_before,
    each_of_a_batch_is_answered_by_what_its_own_key_was,
    a_key_is_remembered_after_a_restart,
    a_batch_of_repeats_alone_writes_nothing,
    a_message_for_later_is_scheduled_and_queued_when_its_time_comes,
    a_message_for_the_past_is_due_at_once,
    a_message_is_due_and_claimed_in_one_commit,
    a_message_that_comes_too_late_expires_where_it_is_accepted,
    a_message_expires_from_every_state_outside_an_attempt,
    more_due_messages_than_fit_one_commit_follow_in_the_next,
    more_late_messages_than_fit_one_commit_are_not_claimed_before_they_expire,
    the_next_due_time_is_the_soonest_of_due_times_and_ends,
    an_empty_batch_changes_nothing,
}

async fn an_accepted_message_reads_back(mut store: Store) {
    let message = NewMessage {
        data: r#"{"order":7}"#.to_owned(),
        expires_at: Some(NOON.after(HOUR)),
        priority: -3,
        ..store.message(BOUND, "ann")
    };
    let id = store.accept(vec![message]).await[0];
    let (row, attempts) = store.reader.message(id).await.unwrap().unwrap();
    assert_eq!(
        (row.id, row.channel.as_str(), row.template.as_str(), row.recipient.as_str()),
        (id, BOUND, "paid", "ann")
    );
    assert_eq!((row.state, row.priority, row.due_at, row.created_at), (State::Queued, -3, NOON, NOON));
    assert_eq!((row.expires_at, row.data.as_deref()), (Some(NOON.after(HOUR)), Some(r#"{"order":7}"#)));
    assert_eq!((row.finished_at, row.reason, attempts.len()), (None, None, 0));
    assert_eq!(store.reader.message(MessageId(id.0 + 1)).await.unwrap(), None);
}

/// As many as no list of a store takes in one go.
const MANY: usize = 1100;

async fn many_messages_at_once_are_written_as_each_by_itself(mut store: Store) {
    let texts = ["{}", "磁盘已满", "a\0b", "\\N\t\r\n\"", ""];
    let message = |store: &Store, i: usize| NewMessage {
        data: texts[i % texts.len()].repeat(if i == 7 { 20_000 } else { 1 }),
        key: i.is_multiple_of(3).then(|| key(&format!("key{i}"))).flatten(),
        body_hash: -5,
        send_at: i.is_multiple_of(4).then(|| NOON.after(SECOND)),
        expires_at: i.is_multiple_of(2).then(|| NOON.after(HOUR)),
        priority: [-128, 0, 127][i % 3],
        trace: i.is_multiple_of(5).then(|| "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ..store.message([FREE, BOUND][i % 2], &format!("user 用户 {i}"))
    };
    let many = (0..MANY).map(|i| message(&store, i)).collect();
    let at_once = store.accept(many).await;
    for i in (0..60).chain([MANY - 1]) {
        let alone = NewMessage { key: None, ..message(&store, i) };
        let alone = store.commit(Batch { messages: vec![alone], ..Batch::default() }).await.accepted[0];
        let (mut row, _) = store.reader.message(new_id(alone)).await.unwrap().unwrap();
        row.id = at_once[i];
        assert_eq!(store.reader.message(at_once[i]).await.unwrap().unwrap().0, row, "message {i}");
        assert_eq!(row.data, Some(store.home.reads_back(&message(&store, i).data)));
    }
    let again: Vec<NewMessage> = (0..MANY).map(|i| message(&store, i)).filter(|it| it.key.is_some()).collect();
    let again = store.commit(Batch { messages: again, ..Batch::default() }).await.accepted;
    let first: Vec<Accepted> = at_once.iter().step_by(3).map(|id| Accepted::Repeat(*id)).collect();
    assert_eq!(again, first);
}

async fn a_key_that_is_taken_keeps_one_of_many_messages_out_and_no_other(mut store: Store) {
    let message = |store: &Store, i: usize| NewMessage {
        key: key(&format!("key{i}")),
        ..store.message(FREE, &format!("user{i}"))
    };
    let first = message(&store, 40);
    let first = store.accept(vec![first]).await[0];
    let messages = (0..100).map(|i| message(&store, i)).collect();
    let accepted = store.commit(Batch { messages, ..Batch::default() }).await.accepted;
    for (i, accepted) in accepted.iter().enumerate() {
        assert_eq!(*accepted == Accepted::Repeat(first), i == 40, "{accepted:?} of message {i}");
        assert_eq!(matches!(accepted, Accepted::New(_)), i != 40, "{accepted:?} of message {i}");
    }
    assert_eq!(store.messages(&MessageFilter::default()).await.len(), 100);
}

async fn ids_rise_and_are_never_used_again_after_a_restart(mut store: Store) {
    let message = |store: &Store, k| NewMessage { key: key(k), ..store.message(FREE, "ann") };
    let first = vec![message(&store, "a"), message(&store, "a"), message(&store, "b")];
    let committed = store.commit(Batch { messages: first, ..Batch::default() }).await;
    let (a, b) = (new_id(committed.accepted[0]), new_id(committed.accepted[2]));
    assert!(a < b);
    let mut store = store.crash().await;
    let c = store.accept_one(FREE, "ann").await;
    assert!(b < c, "{b} was given before the restart, {c} after it");
}

async fn the_same_request_under_a_key_is_accepted_once(mut store: Store) {
    let message = || NewMessage { key: key("order-7"), body_hash: -5, ..store.message(FREE, "ann") };
    let (first, again) = (message(), message());
    let id = store.accept(vec![first]).await[0];
    let committed = store.commit(Batch { messages: vec![again], ..Batch::default() }).await;
    assert_eq!(committed.accepted, [Accepted::Repeat(id)]);
    assert_eq!(store.messages(&MessageFilter::default()).await.len(), 1);
}

async fn another_request_under_a_taken_key_is_refused_with_the_first_message(mut store: Store) {
    let message = |hash| NewMessage { key: key("order-7"), body_hash: hash, ..store.message(FREE, "ann") };
    let (first, other) = (message(i64::MAX), message(i64::MIN));
    let id = store.accept(vec![first]).await[0];
    let committed = store.commit(Batch { messages: vec![other], ..Batch::default() }).await;
    assert_eq!(committed.accepted, [Accepted::KeyTaken(id)]);
    assert_eq!(store.messages(&MessageFilter::default()).await.len(), 1);
}

async fn of_two_messages_of_one_key_in_a_batch_the_first_wins(mut store: Store) {
    let message = |k, hash| NewMessage { key: key(k), body_hash: hash, ..store.message(FREE, "ann") };
    let messages = vec![message("k", 1), message("k", 1), message("k", 2), message("K", 3)];
    let accepted = store.commit(Batch { messages, ..Batch::default() }).await.accepted;
    let first = new_id(accepted[0]);
    assert_eq!(accepted[1..3], [Accepted::Repeat(first), Accepted::KeyTaken(first)]);
    new_id(accepted[3]);
    assert_eq!(store.messages(&MessageFilter::default()).await.len(), 2);
}

async fn a_key_is_free_again_after_its_life_and_not_before(mut store: Store) {
    let message = |store: &Store, hash| NewMessage { key: key("k"), body_hash: hash, ..store.message(FREE, "ann") };
    let first = store.message(FREE, "ann");
    let first = store.accept(vec![NewMessage { key: key("k"), ..first }]).await[0];
    store.pass(IDEMPOTENCY_LIFE - SECOND);
    let messages = vec![message(&store, 0)];
    assert_eq!(store.commit(Batch { messages, ..Batch::default() }).await.accepted, [Accepted::Repeat(first)]);
    store.pass(SECOND);
    let messages = vec![message(&store, 9), message(&store, 9)];
    let accepted = store.commit(Batch { messages, ..Batch::default() }).await.accepted;
    let second = new_id(accepted[0]);
    assert!(first < second);
    assert_eq!(accepted[1], Accepted::Repeat(second));
    let messages = vec![message(&store, 0)];
    assert_eq!(store.commit(Batch { messages, ..Batch::default() }).await.accepted, [Accepted::KeyTaken(second)]);
}

async fn each_of_a_batch_is_answered_by_what_its_own_key_was(mut store: Store) {
    let message = |store: &Store, name: Option<&str>, hash| NewMessage {
        key: name.and_then(key),
        body_hash: hash,
        ..store.message(FREE, name.unwrap_or("nobody"))
    };
    let old = vec![message(&store, Some("old"), 0)];
    let old = store.accept(old).await[0];
    store.pass(IDEMPOTENCY_LIFE);
    let known = vec![message(&store, Some("known"), 0)];
    let known = store.accept(known).await[0];
    let names = [Some("z"), None, Some("known"), Some("old"), Some("known"), None, Some("a"), Some("z")];
    let messages =
        names.iter().zip([0, 0, 0, 0, 9, 0, 0, 0]).map(|(name, hash)| message(&store, *name, hash)).collect();
    let accepted = store.commit(Batch { messages, ..Batch::default() }).await.accepted;
    let [z, none, Accepted::Repeat(first), again, Accepted::KeyTaken(same), other, a, Accepted::Repeat(twice)] =
        accepted[..]
    else {
        panic!("{accepted:?}")
    };
    let new = [z, none, again, other, a].map(new_id);
    assert!(new.is_sorted() && new[0] > known && known > old, "{new:?}");
    assert_eq!((first, same, twice), (known, known, new[0]));
    store.check().await;
}

async fn a_key_is_remembered_after_a_restart(mut store: Store) {
    let message = |store: &Store| NewMessage { key: key("k"), ..store.message(FREE, "ann") };
    let first = vec![message(&store)];
    let id = store.accept(first).await[0];
    let mut store = store.crash().await;
    let messages = vec![message(&store)];
    assert_eq!(store.commit(Batch { messages, ..Batch::default() }).await.accepted, [Accepted::Repeat(id)]);
}

async fn a_batch_of_repeats_alone_writes_nothing(mut store: Store) {
    let message = |store: &Store| NewMessage { key: key("k"), ..store.message(FREE, "ann") };
    let first = vec![message(&store)];
    let id = store.accept(first).await[0];
    for _ in 0..3 {
        let messages = vec![message(&store), message(&store)];
        let accepted = store.commit(Batch { messages, ..Batch::default() }).await.accepted;
        assert_eq!(accepted, [Accepted::Repeat(id); 2]);
    }
    assert!(id < store.accept_one(FREE, "ann").await);
}

async fn a_message_for_later_is_scheduled_and_queued_when_its_time_comes(mut store: Store) {
    let later = NewMessage { send_at: Some(NOON.after(HOUR)), ..store.message(FREE, "ann") };
    let messages = vec![later];
    let committed = store.commit(Batch { messages, claims: vec![store.room(FREE, 5)], ..Batch::default() }).await;
    let id = new_id(committed.accepted[0]);
    assert_eq!(committed.next_due, Some(NOON.after(HOUR)));
    assert!(committed.claimed.is_empty());
    store.pass(HOUR - SECOND);
    assert!(store.claim(FREE, 5).await.is_empty());
    assert_eq!(store.state(id).await, State::Scheduled);
    store.pass(SECOND);
    assert_eq!(store.commit(Batch::default()).await.next_due, None);
    assert_eq!(store.state(id).await, State::Queued);
}

async fn a_message_for_the_past_is_due_at_once(mut store: Store) {
    let message = NewMessage { send_at: Some(NOON.before(HOUR)), ..store.message(FREE, "ann") };
    let id = store.accept(vec![message]).await[0];
    let row = store.message_row(id).await;
    assert_eq!((row.state, row.due_at), (State::Queued, NOON));
}

async fn a_message_is_due_and_claimed_in_one_commit(mut store: Store) {
    let message = NewMessage { send_at: Some(NOON.after(HOUR)), ..store.message(FREE, "ann") };
    let id = store.accept(vec![message]).await[0];
    store.pass(HOUR);
    assert_eq!(store.claim_one(FREE).await.message, id);
}

async fn a_message_that_comes_too_late_expires_where_it_is_accepted(mut store: Store) {
    let message = NewMessage { expires_at: Some(NOON), ..store.message(FREE, "ann") };
    let batch = Batch { messages: vec![message], claims: vec![store.room(FREE, 5)], ..Batch::default() };
    let committed = store.commit(batch).await;
    assert!(committed.claimed.is_empty());
    let told = &committed.moved[0];
    assert_eq!((told.event, told.to, told.recipient.as_str()), (tidings_model::Event::Expire, State::Expired, "ann"));
    let row = store.message_row(new_id(committed.accepted[0])).await;
    assert_eq!((row.state, row.reason.as_deref(), row.finished_at), (State::Expired, Some("expired"), Some(NOON)));
}

async fn a_message_expires_from_every_state_outside_an_attempt(mut store: Store) {
    use tidings_model::Event;
    let end = Some(NOON.after(HOUR));
    let message = |channel: &str| NewMessage { expires_at: end, ..store.message(channel, "ann") };
    let scheduled = NewMessage { send_at: Some(NOON.after(HOUR * 2)), ..message(FREE) };
    let messages = vec![scheduled, message(FREE), message(BOUND), message(FREE), message(SENDS)];
    let ids = store.accept(messages).await;
    let hold = crate::harness::act(Event::Hold, ids[3]);
    let needless = tidings_store::ClaimRequest { needs: None, ..store.room(SENDS, 1) };
    let batch = Batch { operations: vec![hold], claims: vec![store.room(BOUND, 1), needless], ..Batch::default() };
    store.commit(batch).await;
    let mut states = Vec::new();
    for id in &ids {
        states.push(store.state(*id).await);
    }
    use State::{Expired, Held, Queued, Scheduled, Sending, Waiting};
    assert_eq!(states, [Scheduled, Queued, Waiting, Held, Sending]);
    store.pass(HOUR);
    store.commit(Batch::default()).await;
    let mut states = Vec::new();
    for id in &ids {
        states.push(store.state(*id).await);
    }
    assert_eq!(states, [Expired, Expired, Expired, Expired, Sending]);
}

/// A channel of its own, so that one message is sending.
const SENDS: &str = crate::harness::SISTER;

async fn more_due_messages_than_fit_one_commit_follow_in_the_next(mut store: Store) {
    let message = |n| NewMessage { send_at: Some(NOON.after(SECOND * n)), ..store.message(FREE, "ann") };
    let count = u32::try_from(TICK_PROMOTIONS_MAX + 3).unwrap();
    let ids = (1..=count).map(message).collect();
    let ids = store.accept(ids).await;
    store.pass(HOUR * 9);
    let first = store.commit(Batch::default()).await;
    assert!(first.more, "three are left");
    assert_eq!(store.state(ids[TICK_PROMOTIONS_MAX - 1]).await, State::Queued, "those due longest go first");
    assert_eq!(store.state(ids[TICK_PROMOTIONS_MAX]).await, State::Scheduled);
    let second = store.commit(Batch::default()).await;
    assert!(!second.more);
    assert_eq!(second.next_due, None);
    assert_eq!(store.state(*ids.last().unwrap()).await, State::Queued);
}

async fn more_late_messages_than_fit_one_commit_are_not_claimed_before_they_expire(mut store: Store) {
    let message = |_| NewMessage { expires_at: Some(NOON.after(SECOND)), ..store.message(FREE, "ann") };
    let messages: Vec<_> = (0..TICK_PROMOTIONS_MAX + 3).map(message).collect();
    store.accept(messages).await;
    store.pass(SECOND);
    let committed = store.commit(Batch { claims: vec![store.room(FREE, 9)], ..Batch::default() }).await;
    assert!(committed.claimed.is_empty());
    assert!(committed.more);
    let committed = store.commit(Batch { claims: vec![store.room(FREE, 9)], ..Batch::default() }).await;
    assert!(committed.claimed.is_empty() && !committed.more);
    let expired = MessageFilter { state: Some(State::Expired), ..MessageFilter::default() };
    assert_eq!(store.messages(&expired).await.len(), TICK_PROMOTIONS_MAX + 3);
}

async fn the_next_due_time_is_the_soonest_of_due_times_and_ends(mut store: Store) {
    let due = NewMessage { send_at: Some(NOON.after(HOUR * 2)), ..store.message(FREE, "ann") };
    let ends = NewMessage { expires_at: Some(NOON.after(HOUR)), ..store.message(FREE, "ann") };
    let committed = store.commit(Batch { messages: vec![due, ends], ..Batch::default() }).await;
    assert_eq!(committed.next_due, Some(NOON.after(HOUR)));
    store.pass(HOUR);
    assert_eq!(store.commit(Batch::default()).await.next_due, Some(NOON.after(HOUR * 2)));
}

async fn an_empty_batch_changes_nothing(mut store: Store) {
    store.accept_one(FREE, "ann").await;
    let before = store.messages(&MessageFilter::default()).await;
    let committed = store.commit(Batch::default()).await;
    assert!(!committed.more);
    assert_eq!(store.messages(&MessageFilter::default()).await, before);
}
