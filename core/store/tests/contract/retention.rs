//! What leaves by age, and what never does.

use std::time::{Duration, Instant};

use tidings_model::limits::{IDEMPOTENCY_LIFE, SWEEP_ROWS_MAX};
use tidings_model::{CredentialFate, Event, MessageId, RunState, ScheduleName, State, Timestamp};
use tidings_store::{
    Accepted, Batch, Decided, Fired, Firing, FiringSpan, MessageFilter, NewMessage, RunNote, ScheduleChange, Sweep,
    Swept, Verdict,
};

use crate::harness::{DAY, FREE, HOUR, NOON, SECOND, Store, act, key, outcome};

for_every_store! {
    what_is_done_leaves_after_its_time_with_its_data_and_attempts,
    what_failed_stays_for_its_own_time,
    what_has_not_ended_never_leaves,
    what_somebody_asks_for_leaves_by_its_states_and_age_alone,
    a_message_that_left_keeps_its_key_taken,
    a_key_leaves_when_its_time_is_over,
    old_runs_and_verdicts_leave_and_nothing_fires_again,
    what_stood_for_old_times_leaves_and_so_does_what_config_had_long_ago,
    a_run_under_way_never_leaves,
}

mod of_a_file {
    use super::{
        a_walk_ends_at_the_first_message_that_is_too_young, a_walk_takes_a_slice_at_a_time_and_goes_on_where_it_was,
    };

    for_every_file! {
        a_walk_takes_a_slice_at_a_time_and_goes_on_where_it_was,
        a_walk_ends_at_the_first_message_that_is_too_young,
    }
}

/// History that leaves by the day.
mod of_a_database {
    use super::{
        a_day_leaves_with_its_trail, a_long_reader_delays_a_day_and_no_commit,
        two_that_drop_a_day_at_once_count_it_once, what_a_crash_began_to_drop_is_dropped_to_its_end,
    };

    for_every_server! {
        a_day_leaves_with_its_trail,
        a_long_reader_delays_a_day_and_no_commit,
        two_that_drop_a_day_at_once_count_it_once,
        what_a_crash_began_to_drop_is_dropped_to_its_end,
    }
}

async fn sweep(store: &mut Store, sweep: Sweep) -> Swept {
    store.commit(Batch { sweeps: vec![sweep], ..Batch::default() }).await.swept.remove(0)
}

/// Has everything leave that is old enough, and says how much that was. From a database days leave as a whole, and aside:
/// the answer comes with a later slice.
async fn leave(store: &mut Store, mut next: Sweep) -> u32 {
    let begun = Instant::now();
    let mut removed = 0;
    loop {
        let batch = Batch { now: store.now, sweeps: vec![next], ..Batch::default() };
        let swept = store.writer.commit(&batch).await.unwrap().swept.remove(0);
        removed += swept.removed;
        match swept.next {
            Some(again) => next = again,
            None => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "what is old leaves");
    }
    // What left aside the writer comes to know in a while.
    store.is_alone &= !store.home.is_shared();
    store.check().await;
    removed
}

/// How long after it ended a message has left for certain, of what stays for so long: the rest of its day is on top in a
/// database.
fn over(store: &Store, keep: Duration) -> Duration {
    if store.home.is_shared() { keep + DAY } else { keep }
}

/// Done for a day, failed for ten.
fn messages(store: &Store, after: i64) -> Sweep {
    Sweep::Messages { after, done_before: store.now.before(DAY), failed_before: store.now.before(DAY * 10) }
}

async fn left(store: &Store) -> Vec<MessageId> {
    store.messages(&MessageFilter::default()).await.into_iter().map(|row| row.id).collect()
}

async fn what_is_done_leaves_after_its_time_with_its_data_and_attempts(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    store.settle(vec![outcome(&claimed, State::Scheduled, CredentialFate::GiveBack)]).await;
    let claimed = store.claim_one(FREE).await;
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    assert_eq!(store.reader.message(id).await.unwrap().unwrap().1.len(), 2);
    store.pass(DAY - SECOND);
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 0);
    store.pass(over(&store, DAY) - DAY + SECOND);
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 1);
    assert!(store.reader.message(id).await.unwrap().is_none());
    // Nothing of it stays under its number, which no other message gets.
    let next = store.accept_one(FREE, "ann").await;
    assert!(next > id);
}

async fn what_failed_stays_for_its_own_time(mut store: Store) {
    let failed = store.ended(State::Failed).await;
    let unknown = store.ended(State::Unknown).await;
    store.ended(State::Sent).await;
    store.pass(DAY * 9);
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 1);
    assert_eq!(left(&store).await, [unknown, failed]);
    store.pass(over(&store, DAY * 10) - DAY * 9);
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 2);
}

async fn what_has_not_ended_never_leaves(mut store: Store) {
    let held = store.accept_one(FREE, "ann").await;
    store.commit(Batch { operations: vec![act(Event::Hold, held)], ..Batch::default() }).await;
    let later = NewMessage { send_at: Some(NOON.after(DAY * 400)), ..store.message(FREE, "ben") };
    let scheduled = store.accept(vec![later]).await[0];
    let sending = store.accept_one(FREE, "cho").await;
    store.claim_one(FREE).await;
    let queued = store.accept_one(FREE, "dan").await;
    store.pass(DAY * 300);
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 0);
    assert_eq!(left(&store).await, [queued, sending, scheduled, held]);
}

async fn a_message_that_left_keeps_its_key_taken(mut store: Store) {
    let message = NewMessage { key: key("order-7"), ..store.message(FREE, "ann") };
    let id = store.accept(vec![message.clone()]).await[0];
    let claimed = store.claim_one(FREE).await;
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    store.pass(over(&store, DAY));
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 1);
    let again = store.commit(Batch { messages: vec![message], ..Batch::default() }).await.accepted;
    assert_eq!(again, [Accepted::Repeat(id)]);
}

async fn a_key_leaves_when_its_time_is_over(mut store: Store) {
    let message = NewMessage { key: key("order-7"), ..store.message(FREE, "ann") };
    store.accept(vec![message]).await;
    store.pass(IDEMPOTENCY_LIFE - SECOND);
    let walk = || Sweep::Keys { after: String::new() };
    assert_eq!(sweep(&mut store, walk()).await.removed, 0);
    store.pass(SECOND);
    assert_eq!(sweep(&mut store, walk()).await, Swept { removed: 1, unused: 0, next: None });
}

async fn a_walk_takes_a_slice_at_a_time_and_goes_on_where_it_was(mut store: Store) {
    let rows = usize::try_from(SWEEP_ROWS_MAX).unwrap();
    let mut new = vec![store.message(FREE, "ann"); rows + 7];
    for message in &mut new {
        message.expires_at = Some(NOON);
    }
    store.accept(new).await;
    store.pass(DAY);
    let request = messages(&store, 0);
    let first = sweep(&mut store, request).await;
    assert_eq!(first.removed, SWEEP_ROWS_MAX);
    let second = sweep(&mut store, first.next.expect("there is more")).await;
    assert_eq!(second, Swept { removed: 7, unused: 0, next: None });
}

async fn a_walk_ends_at_the_first_message_that_is_too_young(mut store: Store) {
    let rows = usize::try_from(SWEEP_ROWS_MAX).unwrap();
    store.accept(vec![store.message(FREE, "ann"); rows]).await;
    store.accept_one(FREE, "ben").await;
    let request = messages(&store, 0);
    assert_eq!(sweep(&mut store, request).await.next, None, "a full slice of young ones");
    store.pass(DAY * 2);
    let request = messages(&store, 0);
    assert!(sweep(&mut store, request).await.next.is_some(), "a full slice of old ones that have not ended");
}

fn firing(nominal: Timestamp) -> Firing {
    Firing {
        schedule: ScheduleName::new("digest").unwrap(),
        definition: "0 9 * * 1-5".to_owned(),
        span: None,
        verdicts: vec![Decided { at: nominal, verdict: Verdict::Fired, late: Duration::ZERO }],
        run: Some((nominal, "send digest".to_owned())),
        cursor_at: nominal,
        next_at: Some(nominal.after(HOUR)),
        skipped: 0,
        backfill_at: None,
    }
}

async fn old_runs_and_verdicts_leave_and_nothing_fires_again(mut store: Store) {
    let fired = store.commit(Batch { firings: vec![firing(NOON)], ..Batch::default() }).await.fired;
    let Fired::Run(run) = fired[0] else { panic!("it ran") };
    let ended = RunNote::end(run, "digest", RunState::Done, "done");
    store.commit(Batch { runs: vec![ended], ..Batch::default() }).await;
    store.pass(DAY * 100);
    let before = store.now.before(DAY);
    let swept = sweep(&mut store, Sweep::Runs { after: 0, before }).await;
    assert_eq!(swept, Swept { removed: 2, unused: 0, next: None }, "the run and its verdict");
    assert!(store.reader.runs(None, None, 10).await.unwrap().rows.is_empty());
    assert!(store.reader.firings("digest", None, 10).await.unwrap().rows.is_empty());
    let schedule = store.reader.schedules().await.unwrap().remove(0);
    assert_eq!(schedule.cursor_at, NOON, "the cursor stays");
}

async fn what_stood_for_old_times_leaves_and_so_does_what_config_had_long_ago(mut store: Store) {
    let span = FiringSpan { first: NOON.before(DAY), last: NOON, count: 7, verdict: Verdict::Missed };
    let old = Firing { span: Some(span), run: None, verdicts: vec![], ..firing(NOON) };
    store.commit(Batch { firings: vec![old], ..Batch::default() }).await;
    let name = ScheduleName::new("digest").unwrap();
    let removed = vec![(name, ScheduleChange::Remove { at: NOON })];
    store.commit(Batch { schedules: removed, ..Batch::default() }).await;
    sweep(&mut store, Sweep::Runs { after: 0, before: NOON }).await;
    assert_eq!(store.reader.firings("digest", None, 10).await.unwrap().rows.len(), 1, "it is no older than that");
    assert_eq!(store.reader.schedules().await.unwrap().len(), 1);
    sweep(&mut store, Sweep::Runs { after: 0, before: NOON.after(DAY) }).await;
    assert!(store.reader.firings("digest", None, 10).await.unwrap().rows.is_empty());
    assert!(store.reader.schedules().await.unwrap().is_empty());
}

async fn a_run_under_way_never_leaves(mut store: Store) {
    store.commit(Batch { firings: vec![firing(NOON)], ..Batch::default() }).await;
    store.pass(DAY * 100);
    let before = store.now;
    sweep(&mut store, Sweep::Runs { after: 0, before }).await;
    assert_eq!(store.reader.unfinished_runs().await.unwrap().len(), 1);
}

async fn what_somebody_asks_for_leaves_by_its_states_and_age_alone(mut store: Store) {
    let old: Vec<MessageId> = {
        let mut old = Vec::new();
        for state in [State::Sent, State::Failed, State::Unknown] {
            old.push(store.ended(state).await);
        }
        old
    };
    let queued = store.accept_one(FREE, "ann").await;
    store.pass(HOUR);
    let request =
        Sweep::Ended { after: 0, states: vec![State::Failed, State::Cancelled], before: store.now.before(SECOND) };
    assert_eq!(sweep(&mut store, request).await, Swept { removed: 1, unused: 0, next: None });
    assert_eq!(left(&store).await, [queued, old[2], old[0]]);
    let request = Sweep::Ended { after: 0, states: vec![State::Sent], before: store.now.before(HOUR + SECOND) };
    assert_eq!(sweep(&mut store, request).await.removed, 0, "it ended later");
}

/// Tables of days, and rows of trails.
async fn standing(store: &Store) -> (i64, i64) {
    let mut third = store.home.connect().await;
    let days =
        sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname LIKE 'message_done_2%' AND relkind = 'r'");
    let trail = "SELECT (SELECT count(*) FROM attempt) + (SELECT count(*) FROM acted) + (SELECT count(*) FROM moment)";
    (days.fetch_one(&mut third).await.unwrap(), sqlx::query_scalar(trail).fetch_one(&mut third).await.unwrap())
}

async fn a_day_leaves_with_its_trail(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    store.settle(vec![outcome(&claimed, State::Scheduled, CredentialFate::GiveBack)]).await;
    let claimed = store.claim_one(FREE).await;
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    store.pass(DAY);
    let younger = store.ended(State::Sent).await;
    let (days, trail) = standing(&store).await;
    assert!(days >= 3 && trail > 0, "{days} days, {trail} rows of trails");
    store.pass(DAY);
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 1);
    assert!(store.reader.message(id).await.unwrap().is_none());
    assert_eq!(left(&store).await, [younger]);
    assert_eq!(standing(&store).await, (days, 0), "a day went, and tomorrow came");
}

async fn a_long_reader_delays_a_day_and_no_commit(mut store: Store) {
    let old = store.ended(State::Sent).await;
    store.pass(DAY * 3);
    store.commit(Batch::default()).await;
    let mut third = store.home.connect().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM message")
        .execute(&mut third)
        .await
        .unwrap();
    let mut next = Some(messages(&store, 0));
    let begun = Instant::now();
    while let Some(request) = next {
        // What is done meanwhile is done.
        let now = store.now;
        let message = store.message(FREE, "ben");
        let batch = Batch { now, messages: vec![message], sweeps: vec![request], ..Batch::default() };
        let commit = tokio::time::timeout(Duration::from_secs(3), store.writer.commit(&batch)).await;
        let committed = commit.expect("no commit waits for who reads").unwrap();
        next = committed.swept[0].next.clone();
        assert_eq!(committed.swept[0].removed, 0, "a reader still sees the day");
        assert!(begun.elapsed() < Duration::from_secs(60), "who drops a day gives up after a while");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut third).await.unwrap();
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 1);
    assert!(store.reader.message(old).await.unwrap().is_none());
}

async fn two_that_drop_a_day_at_once_count_it_once(mut store: Store) {
    for _ in 0..3 {
        store.ended(State::Sent).await;
        store.ended(State::Failed).await;
    }
    store.pass(DAY * 20);
    let mut other = store.beside().await;
    let (mine, theirs) = (messages(&store, 0), messages(&other, 0));
    let (mine, theirs) = tokio::join!(leave(&mut store, mine), leave(&mut other, theirs));
    // One of them may have given a day up that the other dropped.
    let request = messages(&store, 0);
    assert_eq!(mine + theirs + leave(&mut store, request).await, 6);
    assert!(left(&store).await.is_empty());
}

async fn what_a_crash_began_to_drop_is_dropped_to_its_end(mut store: Store) {
    store.ended(State::Sent).await;
    store.pass(DAY * 20);
    let mut third = store.home.connect().await;
    let day = "ALTER TABLE message_done DETACH PARTITION message_done_20231114 CONCURRENTLY";
    sqlx::raw_sql(day).execute(&mut third).await.unwrap();
    let request = messages(&store, 0);
    assert_eq!(leave(&mut store, request).await, 1);
}
