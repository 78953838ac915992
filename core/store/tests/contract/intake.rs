//! What comes beside the writer: the same as what comes through it, over a connection of its own.

use std::time::{Duration, Instant};

use tidings_model::limits::IDEMPOTENCY_LIFE;
use tidings_model::{MessageId, Recipient, State, Timestamp};
use tidings_store::{Accepted, Arrived, Batch, Intake, NewMessage, SuppressionChange, Sweep};

use crate::harness::{DAY, FREE, HOUR, NOON, Store, ids, key, new_id, shop};
use crate::nodes::{SOON, end_all_others, run, until_waiting};

for_every_server! {
    what_came_is_known_to_the_writer_and_claimed_in_its_order,
    what_came_before_what_was_claimed_goes_before_the_rest_at_once,
    what_came_for_later_is_made_due_in_time,
    a_key_that_was_taken_is_answered_with_its_message_whichever_way_it_came,
    one_key_that_comes_by_two_ways_at_once_is_accepted_once,
    many_keys_that_come_by_two_ways_at_once_in_another_order_are_each_accepted_once,
    a_key_that_is_being_removed_is_free_whether_or_not_it_is_gone_in_the_end,
    what_is_on_disk_is_told_though_nobody_can_say_whose_a_key_is,
    more_than_a_statement_holds_comes_all_or_not_at_all,
    whoever_is_told_nothing_is_sent_nothing,
    nobody_waits_until_another_has_counted,
    the_counts_are_right_however_often_they_are_read_meanwhile,
    what_its_node_counted_is_counted_when_that_is_forgotten,
    a_connection_that_ended_while_it_rested_refuses_nobody,
    a_connection_that_ends_in_the_middle_takes_nothing_in_and_the_next_does,
}

/// Ends the connection that waits for a lock.
const END_WHO_WAITS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Another way in.
fn intake(store: &Store) -> Intake {
    store.writer.intake().expect("a server takes messages in by several ways")
}

async fn accept(intake: &mut Intake, messages: &[NewMessage], now: Timestamp) -> Vec<Accepted> {
    let accepted = tokio::time::timeout(SOON, intake.accept(messages, now)).await.expect("an intake ends").unwrap();
    accepted.into_iter().map(|answer| answer.expect("whose key is met is known")).collect()
}

async fn take_in(intake: &mut Intake, messages: &[NewMessage], now: Timestamp) -> Vec<MessageId> {
    accept(intake, messages, now).await.into_iter().map(new_id).collect()
}

fn free(store: &Store, count: usize) -> Vec<NewMessage> {
    (0..count).map(|n| store.message(FREE, &format!("r{n}"))).collect()
}

fn keyed(store: &Store, text: &str, body_hash: i64) -> NewMessage {
    NewMessage { key: key(text), body_hash, ..store.message(FREE, "ann") }
}

async fn what_came_is_known_to_the_writer_and_claimed_in_its_order(mut store: Store) {
    let (mut one, mut two) = (intake(&store), intake(&store));
    let arrived = store.writer.arrived();
    let first = take_in(&mut one, &free(&store, 30), store.now).await;
    tokio::time::timeout(SOON, arrived.notified()).await.expect("the writer is woken");
    let second = take_in(&mut two, &free(&store, 20), store.now).await;
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 0, "nobody has looked");
    assert_eq!(store.writer.hear_intakes(), Some(Arrived { ahead: None }));
    assert_eq!(store.writer.hear_intakes(), None, "it was heard");
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 50);
    store.check().await;
    let expected: Vec<MessageId> = first.into_iter().chain(second).collect();
    assert_eq!(ids(&store.claim(FREE, 60).await), expected);
    one.close().await.unwrap();
    two.close().await.unwrap();
}

/// A claim begins behind what was claimed last, and looks from the front four times a second. What comes through an intake of
/// the same engine is not what is looked for there.
async fn what_came_before_what_was_claimed_goes_before_the_rest_at_once(mut store: Store) {
    let mut intake = self::intake(&store);
    take_in(&mut intake, &free(&store, 100), store.now).await;
    let begun = Instant::now();
    assert_eq!(store.claim(FREE, 10).await.len(), 10);
    let early = take_in(&mut intake, &free(&store, 2), NOON.before(HOUR)).await;
    let urgent = NewMessage { priority: 5, ..store.message(FREE, "ann") };
    let urgent = take_in(&mut intake, &[urgent], store.now).await;
    let claimed = ids(&store.claim(FREE, 3).await);
    assert_eq!(claimed, [urgent, early].concat());
    assert!(begun.elapsed() < Duration::from_millis(250), "or it may have been found from the front: nothing is shown");
}

async fn what_came_for_later_is_made_due_in_time(mut store: Store) {
    let mut intake = self::intake(&store);
    // From here on the writer knows that nothing becomes due.
    assert_eq!(store.commit(Batch::default()).await.next_due, None);
    let (due, over) = (store.now.after(HOUR), store.now.after(HOUR * 2));
    let later = NewMessage { send_at: Some(due), expires_at: Some(over), ..store.message(FREE, "ann") };
    let later = take_in(&mut intake, &[later], store.now).await;
    // A look takes over what came; it was lost to whoever sleeps until something is due.
    store.writer.news(store.now, false).await.unwrap();
    assert_eq!(store.writer.hear_intakes(), Some(Arrived { ahead: Some(due) }));
    assert_eq!(store.commit(Batch::default()).await.next_due, Some(due));
    store.pass(HOUR);
    assert_eq!(ids(&store.claim(FREE, 9).await), later);
}

async fn a_key_that_was_taken_is_answered_with_its_message_whichever_way_it_came(mut store: Store) {
    let mut intake = self::intake(&store);
    let first = store.accept(vec![keyed(&store, "a", 1)]).await[0];
    let messages = [keyed(&store, "a", 1), keyed(&store, "a", 2), keyed(&store, "b", 1), keyed(&store, "b", 1)];
    let answers = accept(&mut intake, &messages, store.now).await;
    let Accepted::New(second) = answers[2] else { panic!("{answers:?}") };
    assert_eq!(
        answers,
        [Accepted::Repeat(first), Accepted::KeyTaken(first), Accepted::New(second), Accepted::Repeat(second)]
    );
    let batch = Batch { messages: vec![keyed(&store, "b", 1)], ..Batch::default() };
    assert_eq!(store.commit(batch).await.accepted, [Accepted::Repeat(second)]);
    // A life later they are free.
    store.pass(IDEMPOTENCY_LIFE);
    assert!(matches!(accept(&mut intake, &[keyed(&store, "a", 3)], store.now).await[..], [Accepted::New(_)]));
}

/// Both are held up until both are there: neither sees the other's key before it writes its own.
async fn one_key_that_comes_by_two_ways_at_once_is_accepted_once(mut store: Store) {
    let (mut one, mut two) = (intake(&store), intake(&store));
    let messages = [keyed(&store, "a", 1)];
    let mut third = store.home.connect().await;
    run(&mut third, "BEGIN; LOCK TABLE idempotency IN SHARE MODE").await;
    let release = async {
        until_waiting(&mut third, 2).await;
        run(&mut third, "COMMIT").await;
    };
    let now = store.now;
    let (mine, theirs, ()) = tokio::join!(accept(&mut one, &messages, now), accept(&mut two, &messages, now), release);
    let (new, repeat) = if matches!(mine[0], Accepted::New(_)) { (mine[0], theirs[0]) } else { (theirs[0], mine[0]) };
    assert_eq!(repeat, Accepted::Repeat(new_id(new)));
    store.writer.hear_intakes();
    store.check().await;
}

/// Whoever wrote keys in the order in which they came would wait for the other, and the other for him.
async fn many_keys_that_come_by_two_ways_at_once_in_another_order_are_each_accepted_once(mut store: Store) {
    let (mut one, mut two) = (intake(&store), intake(&store));
    let now = store.now;
    for round in 0..20 {
        let messages: Vec<NewMessage> = (0..200).map(|n| keyed(&store, &format!("{round}-{n}"), 1)).collect();
        let reversed: Vec<NewMessage> = messages.iter().rev().cloned().collect();
        let (mine, mut theirs) = tokio::join!(accept(&mut one, &messages, now), accept(&mut two, &reversed, now));
        theirs.reverse();
        for answers in mine.into_iter().zip(theirs) {
            let ((Accepted::New(new), Accepted::Repeat(repeat)) | (Accepted::Repeat(repeat), Accepted::New(new))) =
                answers
            else {
                panic!("{answers:?}")
            };
            assert_eq!(new, repeat);
        }
    }
    store.writer.hear_intakes();
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 20 * 200);
    store.check().await;
}

/// A sweep has chosen one whose time is over and locked it, and has removed another, when both come again.
async fn a_key_that_is_being_removed_is_free_whether_or_not_it_is_gone_in_the_end(mut store: Store) {
    let mut intake = self::intake(&store);
    let keyed = |store: &Store, body_hash| ["chosen", "removed", "new"].map(|text| keyed(store, text, body_hash));
    take_in(&mut intake, &keyed(&store, 0), store.now).await;
    let ends = ["DELETE FROM idempotency WHERE key = 'chosen'; COMMIT", "ROLLBACK"];
    for (end, body_hash) in ends.into_iter().zip(1..) {
        store.pass(IDEMPOTENCY_LIFE);
        let mut third = store.home.connect().await;
        run(&mut third, "BEGIN; SELECT FROM idempotency WHERE key = 'chosen' FOR UPDATE").await;
        run(&mut third, "DELETE FROM idempotency WHERE key = 'removed'").await;
        let sweep_ends = async {
            until_waiting(&mut third, 1).await;
            run(&mut third, end).await;
        };
        let messages = keyed(&store, body_hash);
        let (new, ()) = tokio::join!(take_in(&mut intake, &messages, store.now), sweep_ends);
        let repeats: Vec<Accepted> = new.into_iter().map(Accepted::Repeat).collect();
        assert_eq!(accept(&mut intake, &messages, store.now).await, repeats);
    }
    store.writer.hear_intakes();
    store.check().await;
}

/// A statement has 1024 rows at most. The second of these waits for a key until its connection ends.
async fn more_than_a_statement_holds_comes_all_or_not_at_all(mut store: Store) {
    let mut intake = self::intake(&store);
    let mut messages = free(&store, 1500);
    messages[1400].key = key("late");
    let mut third = store.home.connect().await;
    run(&mut third, "BEGIN; INSERT INTO idempotency (key, message_id, body_hash, expires_at) VALUES ('late', 1, 1, 1)")
        .await;
    let cut = async {
        until_waiting(&mut third, 1).await;
        run(&mut third, END_WHO_WAITS).await;
    };
    let (error, ()) = tokio::join!(intake.accept(&messages, store.now), cut);
    assert!(error.unwrap_err().is_away());
    // The time of what has its key is over.
    run(&mut third, "COMMIT").await;
    store.writer.news(store.now, true).await.unwrap();
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 0);
    store.check().await;
    assert_eq!(take_in(&mut intake, &messages, store.now).await.len(), 1500);
    store.writer.hear_intakes();
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 1500);
    store.check().await;
}

/// The answer to what was written was lost with the answer to the look behind it, and whoever has no key sent it again.
async fn what_is_on_disk_is_told_though_nobody_can_say_whose_a_key_is(mut store: Store) {
    let mut intake = self::intake(&store);
    let first = store.accept(vec![keyed(&store, "a", 1)]).await[0];
    let mut third = store.home.connect().await;
    // The last thing that is done is to count: from its next statement on a session finds none of our tables.
    run(
        &mut third,
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM set_config('search_path', 'nowhere', false); RETURN NULL; END $$;
         CREATE TRIGGER lose AFTER INSERT ON tally FOR EACH STATEMENT EXECUTE FUNCTION lose()",
    )
    .await;
    let messages = [keyed(&store, "a", 1), store.message(FREE, "ben"), keyed(&store, "b", 1), keyed(&store, "b", 1)];
    let answers = intake.accept(&messages, store.now).await.unwrap();
    let [None, Some(Accepted::New(_)), Some(Accepted::New(second)), Some(Accepted::Repeat(same))] = answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(second, same);
    run(&mut third, "DROP TRIGGER lose ON tally").await;
    assert_eq!(accept(&mut intake, &messages[..1], store.now).await, [Accepted::Repeat(first)]);
    store.writer.hear_intakes();
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 3);
    store.check().await;
}

async fn whoever_is_told_nothing_is_sent_nothing(mut store: Store) {
    let mut intake = self::intake(&store);
    let suppression = SuppressionChange::Add {
        app: shop(),
        recipient: Recipient::new("ann").unwrap(),
        reason: "asked for it".to_owned(),
        who: "ops".to_owned(),
        expires_at: None,
    };
    store.commit(Batch { suppressions: vec![suppression], ..Batch::default() }).await;
    let messages = [store.message(FREE, "ann"), store.message(FREE, "ben")];
    let answers = accept(&mut intake, &messages, store.now).await;
    assert!(matches!(answers[..], [Accepted::Suppressed(None), Accepted::New(_)]), "{answers:?}");
}

/// The last thing a transaction does is to count. In the writer's rows an intake would wait until that is on disk, and the
/// writer for it; and so would one intake for another.
async fn nobody_waits_until_another_has_counted(mut store: Store) {
    let mut intake = self::intake(&store);
    store.accept(free(&store, 2)).await;
    take_in(&mut intake, &free(&store, 1), store.now).await;
    let mut third = store.home.connect().await;
    // What the writer has locked at its end.
    run(&mut third, "BEGIN; SELECT FROM tally WHERE node_id > 0 FOR UPDATE").await;
    take_in(&mut intake, &free(&store, 2), store.now).await;
    // What another intake has, until its commit is on disk.
    let mut other = self::intake(&store);
    run(&mut third, "COMMIT; BEGIN; SELECT FROM tally WHERE node_id < 0 FOR UPDATE").await;
    let (now, messages) = (store.now, free(&store, 2));
    let batch = Batch { now, messages, ..Batch::default() };
    tokio::time::timeout(SOON, store.writer.commit(&batch)).await.expect("nobody is waited for").unwrap();
    take_in(&mut other, &free(&store, 2), store.now).await;
    run(&mut third, "COMMIT").await;
    store.writer.hear_intakes();
    store.check().await;
}

async fn the_counts_are_right_however_often_they_are_read_meanwhile(mut store: Store) {
    let mut intake = self::intake(&store);
    for turn in 0_i64..4 {
        take_in(&mut intake, &free(&store, 5), store.now).await;
        store.writer.news(store.now, turn % 2 == 0).await.unwrap();
        assert_eq!(
            store.writer.hear_intakes(),
            Some(Arrived { ahead: None }),
            "whoever looks does not hear for others"
        );
        assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 5 * (turn + 1), "it is in what was read");
        store.check().await;
    }
    take_in(&mut intake, &free(&store, 5), store.now).await;
    store.commit(Batch::default()).await;
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 25);
}

async fn what_its_node_counted_is_counted_when_that_is_forgotten(mut store: Store) {
    let mut intake = self::intake(&store);
    take_in(&mut intake, &free(&store, 3), store.now).await;
    intake.close().await.unwrap();
    let home = store.home.clone();
    store.accept(free(&store, 2)).await;
    drop(store);
    let mut third = home.connect().await;
    run(&mut third, "UPDATE node SET lease_until = 0").await;
    // One of them was written behind the end of a node that was forgotten before.
    run(
        &mut third,
        "UPDATE tally SET count = count - 1 WHERE node_id < 0;
         INSERT INTO tally SELECT -999 * 16, channel_id, state, 1 FROM tally WHERE node_id < 0",
    )
    .await;
    let mut next = Store::new(home).await;
    next.check().await;
    let sweep = Sweep::Messages { after: 0, done_before: NOON.before(DAY), failed_before: NOON.before(DAY) };
    let begun = Instant::now();
    loop {
        next.commit(Batch { sweeps: vec![sweep.clone()], ..Batch::default() }).await;
        let counts: Vec<(i64, i64)> =
            sqlx::query_as("SELECT node_id, sum(count)::bigint FROM tally WHERE count <> 0 GROUP BY node_id")
                .fetch_all(&mut third)
                .await
                .unwrap();
        if counts == [(0, 5)] {
            return;
        }
        assert!(begun.elapsed() < SOON, "{counts:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The writer looks around once a second and finds out; an intake was told of it by the next message, which was refused.
async fn a_connection_that_ended_while_it_rested_refuses_nobody(mut store: Store) {
    let mut intake = self::intake(&store);
    take_in(&mut intake, &free(&store, 1), store.now).await;
    end_all_others(&store.home).await;
    // As long as a connection may rest without being asked whether it is there.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    take_in(&mut intake, &free(&store, 1), store.now).await;
    store.writer.news(store.now, true).await.unwrap_err();
    store.writer.news(store.now, true).await.unwrap();
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 2);
    store.check().await;
}

async fn a_connection_that_ends_in_the_middle_takes_nothing_in_and_the_next_does(mut store: Store) {
    let mut intake = self::intake(&store);
    let messages = [keyed(&store, "a", 1)];
    let mut third = store.home.connect().await;
    run(&mut third, "BEGIN; LOCK TABLE idempotency IN SHARE MODE").await;
    let cut = async {
        until_waiting(&mut third, 1).await;
        run(&mut third, END_WHO_WAITS).await;
    };
    let (error, ()) = tokio::join!(intake.accept(&messages, store.now), cut);
    assert!(error.unwrap_err().is_away());
    run(&mut third, "COMMIT").await;
    assert!(matches!(accept(&mut intake, &messages, store.now).await[..], [Accepted::New(_)]));
    store.writer.hear_intakes();
    assert_eq!(store.writer.count(store.channel(FREE), State::Queued), 1);
    store.check().await;
}
