//! Runs: a step and the place behind it are one transaction, and what has ended says nothing more.

use std::time::Duration;

use tidings_model::{AuditId, RunId, RunState, ScheduleName, State, Timestamp};
use tidings_store::{
    Accepted, AuditEntry, AuditFilter, Batch, BulkFilter, Decided, Firing, MessageFilter, NewMessage, Planned, Record,
    RunBegin, RunFilter, RunLevel, RunLine, RunNote, RunRow, RunStep, Span, Stepped, SuppressionChange, Sweep, Verdict,
};

use crate::harness::{DAY, FREE, HOUR, NOON, Store, key, new_id, shop};

for_every_store! {
    a_run_makes_progress_and_ends_once,
    a_run_can_fail,
    a_run_that_is_resumed_keeps_its_deadline_and_is_counted,
    a_step_and_its_place_are_on_disk_together,
    a_step_that_comes_again_is_not_counted_again,
    what_became_of_each_row_is_counted,
    after_a_cancel_nothing_of_a_run_is_accepted,
    a_cancel_in_the_same_transaction_comes_first,
    a_cancel_that_came_too_late_is_not_in_the_record,
    runs_are_found_by_schedule_and_state_page_by_page,
    the_messages_of_a_run_are_found_among_those_of_others,
    a_log_is_read_in_order_and_kept_up_to_its_bound,
    a_log_leaves_with_its_run,
}

pub(crate) const NAME: &str = "digest";

pub(crate) async fn begin(store: &mut Store, schedule: &str, nominal: Timestamp) -> RunId {
    let firing = Firing {
        schedule: ScheduleName::new(schedule).unwrap(),
        definition: "0 9 * * 1-5".to_owned(),
        span: None,
        verdicts: vec![Decided { at: nominal, verdict: Verdict::Fired, late: Duration::ZERO }],
        run: Some((nominal, "send digest".to_owned())),
        cursor_at: nominal,
        next_at: None,
        skipped: 0,
        backfill_at: None,
    };
    let fired = store.commit(Batch { firings: vec![firing], ..Batch::default() }).await.fired;
    match fired[0] {
        tidings_store::Fired::Run(run) => run,
        other => panic!("expected a run, found {other:?}"),
    }
}

async fn note(store: &mut Store, note: RunNote) -> bool {
    store.commit(Batch { runs: vec![note], ..Batch::default() }).await.ran[0]
}

async fn row(store: &Store, run: RunId) -> RunRow {
    store.reader.run(run).await.unwrap().unwrap()
}

fn end(run: RunId, state: RunState, result: &str) -> RunNote {
    RunNote::end(run, NAME, state, result)
}

fn line(text: &str) -> RunLine {
    RunLine { level: RunLevel::Info, text: text.to_owned() }
}

/// A step with messages for these recipients, each with a key of its own.
pub(crate) fn step(store: &Store, run: RunId, number: i64, recipients: &[&str]) -> Batch {
    let message =
        |name: &&str| NewMessage { key: key(&format!("{run}/to-{name}")), run: Some(run), ..store.message(FREE, name) };
    let messages: Vec<NewMessage> = recipients.iter().map(message).collect();
    let step = RunStep {
        run,
        schedule: NAME.to_owned(),
        number,
        place: format!("behind step {number}"),
        messages: 0..messages.len(),
        refused: 1,
        done: u64::try_from(number).unwrap() * 10,
        total: Some(100),
        log: vec![line(&format!("step {number}"))],
        tell: false,
    };
    Batch { messages, steps: vec![step], ..Batch::default() }
}

async fn a_run_makes_progress_and_ends_once(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    let progress = |done| RunNote { done: Some(done), total: Some(u64::MAX), ..RunNote::of(run, NAME) };
    assert!(note(&mut store, progress(5)).await);
    let now = row(&store, run).await;
    assert_eq!((now.state, now.done, now.total, now.ended_at), (RunState::Running, 5, Some(i64::MAX), None));
    store.pass(HOUR);
    let runs = vec![progress(9), end(run, RunState::Done, "10 sent"), end(run, RunState::Failed, "too late")];
    assert_eq!(store.commit(Batch { runs, ..Batch::default() }).await.ran, [true, true, false]);
    let now = row(&store, run).await;
    assert_eq!((now.state, now.done, now.result.as_deref()), (RunState::Done, 9, Some("10 sent")));
    assert_eq!(now.ended_at, Some(NOON.after(HOUR)));
    assert_eq!(store.reader.schedules().await.unwrap()[0].last_run.as_ref(), Some(&now));
}

async fn a_run_can_fail(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    note(&mut store, end(run, RunState::Failed, "no such file")).await;
    let row = row(&store, run).await;
    assert_eq!((row.state, row.result.as_deref(), row.total), (RunState::Failed, Some("no such file"), None));
    assert!(store.reader.unfinished_runs().await.unwrap().is_empty());
}

async fn a_run_that_is_resumed_keeps_its_deadline_and_is_counted(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    let begin =
        |deadline_at, resumed| RunNote { begin: Some(RunBegin { deadline_at, resumed }), ..RunNote::of(run, NAME) };
    note(&mut store, begin(NOON.after(HOUR), false)).await;
    let mut store = store.crash().await;
    note(&mut store, begin(NOON.after(HOUR * 9), true)).await;
    let row = row(&store, run).await;
    assert_eq!((row.deadline_at, row.resumed), (Some(NOON.after(HOUR)), 1));
}

async fn a_step_and_its_place_are_on_disk_together(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    let batch = step(&store, run, 1, &["ann", "ben"]);
    assert_eq!(store.commit(batch).await.stepped, [Stepped::Done]);
    let store = store.crash().await;
    let now = row(&store, run).await;
    assert_eq!((now.step, now.place.as_deref(), now.done, now.total), (1, Some("behind step 1"), 10, Some(100)));
    assert_eq!(store.messages(&Default::default()).await.len(), 2);
}

async fn a_step_that_comes_again_is_not_counted_again(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    for expected in [Stepped::Done, Stepped::Before] {
        let batch = step(&store, run, 1, &["ann", "ben"]);
        assert_eq!(store.commit(batch).await.stepped, [expected]);
    }
    let now = row(&store, run).await;
    assert_eq!((now.accepted, now.duplicates, now.refused, now.done, now.log_lines), (2, 0, 1, 10, 1));
    assert_eq!(store.messages(&Default::default()).await.len(), 2);
}

async fn what_became_of_each_row_is_counted(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    let suppression = SuppressionChange::Add {
        app: shop(),
        recipient: tidings_model::Recipient::new("ben").unwrap(),
        reason: "asked for it".to_owned(),
        who: "local".to_owned(),
        expires_at: None,
    };
    store.commit(Batch { suppressions: vec![suppression], ..Batch::default() }).await;
    let batch = step(&store, run, 1, &["ann", "ann", "ben", "cho"]);
    store.commit(batch).await;
    let mut other = step(&store, run, 2, &["cho", "dan"]);
    // Somebody else's key of that name: the row is no message, and is counted as such.
    other.messages[0].body_hash = 7;
    store.commit(other).await;
    let now = row(&store, run).await;
    assert_eq!((now.accepted, now.duplicates, now.suppressed, now.refused), (3, 1, 1, 3));
}

async fn after_a_cancel_nothing_of_a_run_is_accepted(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    let batch = step(&store, run, 1, &["ann"]);
    store.commit(batch).await;
    assert!(note(&mut store, end(run, RunState::Cancelled, "by local")).await);
    let mut batch = step(&store, run, 2, &["ben", "cho"]);
    batch.messages.insert(0, store.message(FREE, "dan"));
    batch.steps[0].messages = 1..3;
    let committed = store.commit(batch).await;
    assert_eq!(committed.stepped, [Stepped::Over]);
    assert!(matches!(committed.accepted[..], [Accepted::New(_), Accepted::RunOver, Accepted::RunOver]));
    let now = row(&store, run).await;
    assert_eq!((now.state, now.step, now.accepted, now.log_lines), (RunState::Cancelled, 1, 1, 1));
    assert_eq!(store.messages(&Default::default()).await.len(), 2);
    // Its keys are free, and those that were taken stay taken.
    let again = NewMessage { key: key(&format!("{run}/to-ben")), ..store.message(FREE, "ben") };
    store.accept(vec![again]).await;
}

async fn a_cancel_in_the_same_transaction_comes_first(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    let batch = Batch { runs: vec![end(run, RunState::Cancelled, "by local")], ..step(&store, run, 1, &["ann"]) };
    let committed = store.commit(batch).await;
    assert_eq!((committed.stepped, committed.ran), (vec![Stepped::Over], vec![true]));
    assert!(store.messages(&Default::default()).await.is_empty());
}

async fn a_cancel_that_came_too_late_is_not_in_the_record(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    for expected in [Some(AuditId(1)), None] {
        let entry = AuditEntry {
            who: "local".to_owned(),
            act: "run.cancel",
            subject: run.to_string(),
            why: None,
            detail: None,
        };
        let records = vec![Record { entry, acts: None, of_run: Some(0) }];
        let batch = Batch { runs: vec![end(run, RunState::Cancelled, "by local")], records, ..Batch::default() };
        assert_eq!(store.commit(batch).await.recorded, [expected]);
    }
    let filter = AuditFilter { limit: 9, ..AuditFilter::default() };
    assert_eq!(store.reader.audit(&filter).await.unwrap().rows.len(), 1);
}

async fn runs_are_found_by_schedule_and_state_page_by_page(mut store: Store) {
    let (mut done, mut other) = (Vec::new(), Vec::new());
    for hour in 0..6 {
        let run = begin(&mut store, NAME, NOON.after(HOUR * hour)).await;
        other.push(begin(&mut store, "other", NOON.after(HOUR * hour)).await);
        if hour % 2 == 0 {
            note(&mut store, end(run, RunState::Done, "")).await;
            done.insert(0, run);
        }
    }
    let mut filter = RunFilter { schedule: Some(NAME.to_owned()), state: Some(RunState::Done), before: None, limit: 2 };
    let mut found = Vec::new();
    loop {
        let page = store.reader.runs_where(&filter).await.unwrap();
        found.extend(page.rows.iter().map(|row| row.id));
        let Some(next) = page.next else { break };
        filter.before = Some(next);
    }
    assert_eq!(found, done);
    let filter = RunFilter { state: Some(RunState::Running), limit: 250, ..RunFilter::default() };
    assert_eq!(store.reader.runs_where(&filter).await.unwrap().rows.len(), 9);
    assert_eq!(store.reader.unfinished_runs().await.unwrap().len(), 9);
}

async fn a_log_is_read_in_order_and_kept_up_to_its_bound(mut store: Store) {
    use tidings_model::limits::RUN_LOG_LINES_MAX;
    let run = begin(&mut store, NAME, NOON).await;
    let log: Vec<RunLine> = (1..=700).map(|number| line(&format!("line {number}"))).collect();
    for _ in 0..2 {
        note(&mut store, RunNote { log: log.clone(), ..RunNote::of(run, NAME) }).await;
    }
    let mut lines = Vec::new();
    loop {
        let page = store.reader.run_log(run, i64::try_from(lines.len()).unwrap(), 250).await.unwrap();
        lines.extend(page.rows);
        if page.next.is_none() {
            break;
        }
    }
    let numbers: Vec<i64> = lines.iter().map(|line| line.line).collect();
    assert_eq!(numbers, (1..=RUN_LOG_LINES_MAX).collect::<Vec<_>>());
    assert_eq!((lines[699].text.as_str(), lines[700].text.as_str()), ("line 700", "line 1"));
    assert_eq!(row(&store, run).await.log_lines, 1400);
}

async fn a_log_leaves_with_its_run(mut store: Store) {
    let run = begin(&mut store, NAME, NOON).await;
    let last = RunNote { log: vec![line("so it was")], ..end(run, RunState::Done, "") };
    note(&mut store, last).await;
    store.pass(DAY);
    let sweeps = vec![Sweep::Runs { after: 0, before: store.now }];
    store.commit(Batch { sweeps, ..Batch::default() }).await;
    assert!(store.reader.run(run).await.unwrap().is_none());
    assert!(store.reader.run_log(run, 0, 9).await.unwrap().rows.is_empty());
}

async fn the_messages_of_a_run_are_found_among_those_of_others(mut store: Store) {
    let (one, other) = (begin(&mut store, NAME, NOON).await, begin(&mut store, "other", NOON).await);
    let (mut of_one, mut number) = (Vec::new(), 1);
    store.accept_one(FREE, "before").await;
    for names in [["ann", "ben"], ["cho", "dan"]] {
        let batch = step(&store, one, number, &names);
        of_one.extend(store.commit(batch).await.accepted.into_iter().map(new_id));
        store.accept_one(FREE, "between").await;
        let batch = step(&store, other, number, &names);
        store.commit(batch).await;
        number += 1;
    }
    of_one.reverse();
    let of = |run| MessageFilter { run: Some(run), limit: 9, ..MessageFilter::default() };
    let found = store.reader.messages(&of(one)).await.unwrap();
    assert_eq!(found.rows.iter().map(|row| row.id).collect::<Vec<_>>(), of_one);
    assert!(store.reader.messages(&of(RunId(99))).await.unwrap().rows.is_empty());
    let filter = BulkFilter { states: vec![State::Queued], run: Some(one), ..BulkFilter::default() };
    let counted = store.reader.count_bulk(&filter, Span::ALL).await.unwrap();
    assert_eq!(counted.sum(), 4);
    let planned = Planned { at: store.now, now: store.now };
    let found = store.reader.bulk(&filter, Span::ALL, planned, 9).await.unwrap();
    assert_eq!(found.iter().rev().map(|row| row.0).collect::<Vec<_>>(), of_one);
}
