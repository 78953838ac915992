//! Firings and runs: a nominal time runs once, and the cursor never moves back.

use std::time::Duration;

use tidings_model::{RunId, RunState, ScheduleName, Timestamp};
use tidings_store::{
    Batch, Decided, Fired, Firing, FiringSpan, NewMessage, Noted, RunNote, Said, ScheduleChange, Verdict,
};

use crate::harness::{FREE, HOUR, NOON, Store};

for_every_store! {
    a_nominal_time_runs_once,
    a_nominal_time_runs_once_within_one_commit,
    a_nominal_time_that_has_a_verdict_keeps_it,
    a_nominal_time_that_has_a_run_and_no_verdict_runs_once_too,
    the_cursor_never_moves_back,
    runs_that_a_crash_interrupted_are_found,
    a_message_knows_its_run,
    a_pause_survives_a_restart,
    times_to_skip_are_counted_down_with_the_verdicts,
    a_removed_schedule_keeps_its_history_and_comes_back_with_it,
    the_oldest_times_of_a_long_outage_are_one_row_and_listed_in_their_place,
    what_is_run_after_all_leaves_the_row_that_stood_for_it_and_runs_once,
    a_time_of_another_line_leaves_no_row_that_stands_for_others,
    a_time_before_the_cursor_begins_no_run_whether_or_not_it_has_a_row,
    a_failed_run_shows_in_its_verdict,
    thousands_of_schedules_fire_in_one_commit_each_its_own_run,
}

const NAME: &str = "digest";

fn firing(nominal: Timestamp) -> Firing {
    Firing {
        schedule: ScheduleName::new(NAME).unwrap(),
        definition: "0 9 * * 1-5".to_owned(),
        span: None,
        verdicts: vec![decided(nominal, Verdict::Fired)],
        run: Some((nominal, "send digest".to_owned())),
        cursor_at: nominal,
        next_at: Some(nominal.after(HOUR)),
        skipped: 0,
        backfill_at: None,
    }
}

fn decided(at: Timestamp, verdict: Verdict) -> Decided {
    Decided { at, verdict, late: Duration::from_secs(2) }
}

async fn fire(store: &mut Store, firings: Vec<Firing>) -> Vec<Fired> {
    store.commit(Batch { firings, ..Batch::default() }).await.fired
}

fn run_of(fired: Fired) -> RunId {
    match fired {
        Fired::Run(run) => run,
        other => panic!("expected a run, found {other:?}"),
    }
}

async fn a_nominal_time_runs_once(mut store: Store) {
    let run = run_of(fire(&mut store, vec![firing(NOON)]).await[0]);
    assert_eq!(fire(&mut store, vec![firing(NOON)]).await, [Fired::Before(Some(run))]);
    let mut store = store.crash().await;
    assert_eq!(fire(&mut store, vec![firing(NOON)]).await, [Fired::Before(Some(run))]);
    let ended = RunNote::end(run, NAME, RunState::Done, "sent");
    store.commit(Batch { runs: vec![ended], ..Batch::default() }).await;
    assert_eq!(fire(&mut store, vec![firing(NOON)]).await, [Fired::Before(None)], "it goes on no more");
    let second = run_of(fire(&mut store, vec![firing(NOON.after(HOUR))]).await[0]);
    assert!(run < second);
    let runs = store.reader.runs(Some(NAME), None, 9).await.unwrap().rows;
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [second, run]);
    let firings = store.reader.firings(NAME, None, 9).await.unwrap().rows;
    assert_eq!(firings.iter().map(|firing| firing.run).collect::<Vec<_>>(), [Some(second), Some(run)]);
}

async fn a_nominal_time_runs_once_within_one_commit(mut store: Store) {
    let fired = fire(&mut store, vec![firing(NOON), firing(NOON)]).await;
    run_of(fired[0]);
    assert_eq!(fired[1], Fired::Before(None));
    assert_eq!(store.reader.unfinished_runs().await.unwrap().len(), 1);
}

async fn a_nominal_time_that_has_a_verdict_keeps_it(mut store: Store) {
    let mut missed = firing(NOON.after(HOUR));
    missed.verdicts = vec![decided(NOON, Verdict::Missed), decided(NOON.after(HOUR), Verdict::Paused)];
    missed.run = None;
    assert_eq!(fire(&mut store, vec![missed]).await, [Fired::Nothing]);
    let mut later = firing(NOON);
    later.verdicts = vec![decided(NOON, Verdict::Fired)];
    assert_eq!(fire(&mut store, vec![later]).await, [Fired::Before(None)]);
    let verdicts: Vec<String> =
        store.reader.firings(NAME, None, 9).await.unwrap().rows.into_iter().map(|firing| firing.verdict).collect();
    assert_eq!(verdicts, ["paused", "missed"]);
    assert!(store.reader.runs(None, None, 9).await.unwrap().rows.is_empty());
}

async fn a_nominal_time_that_has_a_run_and_no_verdict_runs_once_too(mut store: Store) {
    let silent = || Firing { verdicts: Vec::new(), ..firing(NOON) };
    let run = run_of(fire(&mut store, vec![silent()]).await[0]);
    let id = store.accept_one(FREE, "ann").await;
    // The second is told so, and what shares its transaction is none the worse for it.
    let batch = Batch { firings: vec![silent(), firing(NOON)], claims: vec![store.room(FREE, 1)], ..Batch::default() };
    let committed = store.commit(batch).await;
    assert_eq!(committed.fired, [Fired::Before(Some(run)); 2]);
    assert_eq!(committed.claimed[0].message, id);
    let runs = store.reader.runs(Some(NAME), None, 9).await.unwrap().rows;
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
}

async fn the_cursor_never_moves_back(mut store: Store) {
    fire(&mut store, vec![firing(NOON.after(HOUR))]).await;
    fire(&mut store, vec![firing(NOON)]).await;
    let schedule = store.reader.schedules().await.unwrap().remove(0);
    assert_eq!(schedule.cursor_at, NOON.after(HOUR));
    fire(&mut store, vec![firing(NOON.after(HOUR * 2))]).await;
    assert_eq!(store.reader.schedules().await.unwrap()[0].cursor_at, NOON.after(HOUR * 2));
}

async fn runs_that_a_crash_interrupted_are_found(mut store: Store) {
    let run = run_of(fire(&mut store, vec![firing(NOON)]).await[0]);
    let store = store.crash().await;
    let unfinished = store.reader.unfinished_runs().await.unwrap();
    assert_eq!(unfinished.iter().map(|row| row.id).collect::<Vec<_>>(), [run]);
}

async fn a_message_knows_its_run(mut store: Store) {
    let run = run_of(fire(&mut store, vec![firing(NOON)]).await[0]);
    let message = NewMessage { run: Some(run), ..store.message(FREE, "ann") };
    let id = store.accept(vec![message]).await[0];
    assert_eq!(store.message_row(id).await.run, Some(run));
}

async fn change(store: &mut Store, change: ScheduleChange) {
    let schedules = vec![(ScheduleName::new(NAME).unwrap(), change)];
    store.commit(Batch { schedules, ..Batch::default() }).await;
}

fn said() -> Said {
    Said { by: "ann".to_owned(), note: "holiday".to_owned() }
}

async fn a_pause_survives_a_restart(mut store: Store) {
    fire(&mut store, vec![Firing { run: None, verdicts: vec![], ..firing(NOON) }]).await;
    let Said { by, note } = said();
    change(&mut store, ScheduleChange::Pause { at: NOON, by, note }).await;
    let mut store = store.crash().await;
    let schedule = store.reader.schedules().await.unwrap().remove(0);
    assert_eq!((schedule.paused, schedule.last_run), (Some(Noted { at: NOON, said: said() }), None));
    fire(&mut store, vec![Firing { run: None, verdicts: vec![], ..firing(NOON.after(HOUR)) }]).await;
    assert!(store.reader.schedules().await.unwrap()[0].paused.is_some(), "a firing is no resume");
    change(&mut store, ScheduleChange::Resume).await;
    assert_eq!(store.reader.schedule(NAME).await.unwrap().unwrap().paused, None);
}

async fn times_to_skip_are_counted_down_with_the_verdicts(mut store: Store) {
    fire(&mut store, vec![firing(NOON)]).await;
    let Said { by, note } = said();
    change(&mut store, ScheduleChange::Skip { count: 2, by, note }).await;
    let skips = |store: &Store| {
        let reader = store.reader.clone();
        async move {
            let row = reader.schedule(NAME).await.unwrap().unwrap();
            (row.skips, row.skip)
        }
    };
    let mut store = store.crash().await;
    assert_eq!(skips(&store).await, (2, Some(said())));
    let skip = |hours: u32| {
        let at = NOON.after(HOUR * hours);
        Firing { run: None, verdicts: vec![decided(at, Verdict::Skipped)], skipped: 1, ..firing(at) }
    };
    fire(&mut store, vec![skip(1)]).await;
    assert_eq!(skips(&store).await.0, 1);
    fire(&mut store, vec![skip(2)]).await;
    assert_eq!(skips(&store).await, (0, None));
}

async fn a_removed_schedule_keeps_its_history_and_comes_back_with_it(mut store: Store) {
    fire(&mut store, vec![firing(NOON)]).await;
    change(&mut store, ScheduleChange::Remove { at: NOON.after(HOUR) }).await;
    let row = store.reader.schedule(NAME).await.unwrap().unwrap();
    assert_eq!((row.removed_at, row.next_at), (Some(NOON.after(HOUR)), None));
    assert_eq!(store.reader.firings(NAME, None, 9).await.unwrap().rows.len(), 1);
    fire(&mut store, vec![Firing { run: None, verdicts: vec![], ..firing(NOON.after(HOUR * 2)) }]).await;
    let row = store.reader.schedule(NAME).await.unwrap().unwrap();
    assert_eq!((row.removed_at, row.next_at), (None, Some(NOON.after(HOUR * 3))));
}

async fn the_oldest_times_of_a_long_outage_are_one_row_and_listed_in_their_place(mut store: Store) {
    let end = NOON.after(HOUR * 1000);
    let span = FiringSpan { first: NOON, last: end.before(HOUR), count: 1000, verdict: Verdict::Missed };
    let later = Firing { span: Some(span), ..firing(end) };
    fire(&mut store, vec![later]).await;
    let page = store.reader.firings(NAME, None, 1).await.unwrap();
    assert_eq!((page.rows[0].nominal_at, page.rows[0].count, page.rows[0].late_ms), (end, 1, Some(2000)));
    let rest = store.reader.firings(NAME, page.next, 9).await.unwrap();
    assert_eq!(rest.next, None);
    let [row] = &rest.rows[..] else { panic!("one row: {rest:?}") };
    assert_eq!((row.first_at, row.nominal_at, row.count), (NOON, end.before(HOUR), 1000));
    assert_eq!(row.verdict, "missed");
}

async fn what_is_run_after_all_leaves_the_row_that_stood_for_it_and_runs_once(mut store: Store) {
    let span = FiringSpan { first: NOON, last: NOON.after(HOUR), count: 2, verdict: Verdict::Missed };
    fire(&mut store, vec![Firing { span: Some(span), ..firing(NOON.after(HOUR * 2)) }]).await;
    let Said { by, note } = said();
    let until = NOON.after(HOUR * 2);
    change(&mut store, ScheduleChange::Backfill { after: NOON.before(HOUR), until, by, note }).await;
    let backfill = |at: Timestamp| Firing {
        verdicts: vec![decided(at, Verdict::Backfilled)],
        run: Some((at, "send digest".to_owned())),
        backfill_at: Some(at),
        ..firing(until)
    };
    let run = run_of(fire(&mut store, vec![backfill(NOON)]).await[0]);
    let row = store.reader.schedule(NAME).await.unwrap().unwrap();
    let going = row.backfill.expect("it goes on");
    assert_eq!((going.at, going.until, going.said), (NOON, until, said()));
    let told = |store: &Store| {
        let reader = store.reader.clone();
        async move {
            let rows = reader.firings(NAME, None, 9).await.unwrap().rows;
            rows.into_iter().map(|row| (row.nominal_at, row.count, row.verdict)).collect::<Vec<_>>()
        }
    };
    let expected = [(until, 1, "fired"), (NOON.after(HOUR), 1, "missed"), (NOON, 1, "backfilled")];
    assert_eq!(told(&store).await, expected.map(|(at, count, verdict)| (at, count, verdict.to_owned())));
    assert_eq!(fire(&mut store, vec![backfill(NOON)]).await, [Fired::Before(Some(run))]);
    run_of(fire(&mut store, vec![backfill(NOON.after(HOUR))]).await[0]);
    assert_eq!(told(&store).await.len(), 3, "nothing stands for nothing");
    // The schedule itself had run then, and its verdict stays.
    assert!(matches!(fire(&mut store, vec![backfill(until)]).await[0], Fired::Before(Some(_))));
    assert_eq!(told(&store).await[0].2, "fired");
    change(&mut store, ScheduleChange::EndBackfill).await;
    assert_eq!(store.reader.schedule(NAME).await.unwrap().unwrap().backfill, None);
}

async fn a_time_of_another_line_leaves_no_row_that_stands_for_others(mut store: Store) {
    let span = FiringSpan { first: NOON, last: NOON.after(HOUR), count: 2, verdict: Verdict::Missed };
    fire(&mut store, vec![Firing { span: Some(span), ..firing(NOON.after(HOUR * 2)) }]).await;
    let at = NOON.after(HOUR / 2);
    let other = Firing {
        definition: "30 * * * *".to_owned(),
        verdicts: vec![decided(at, Verdict::Backfilled)],
        run: Some((at, "send digest".to_owned())),
        ..firing(NOON.after(HOUR * 2))
    };
    run_of(fire(&mut store, vec![other]).await[0]);
    let rows = store.reader.firings(NAME, None, 9).await.unwrap().rows;
    let told: Vec<(i64, &str)> = rows.iter().map(|row| (row.count, row.verdict.as_str())).collect();
    assert_eq!(told, [(1, "fired"), (2, "missed"), (1, "backfilled")]);
}

async fn a_time_before_the_cursor_begins_no_run_whether_or_not_it_has_a_row(mut store: Store) {
    fire(&mut store, vec![firing(NOON.after(HOUR))]).await;
    assert_eq!(fire(&mut store, vec![firing(NOON)]).await, [Fired::Before(None)]);
    assert_eq!(store.reader.runs(None, None, 9).await.unwrap().rows.len(), 1);
}

async fn a_failed_run_shows_in_its_verdict(mut store: Store) {
    let run = run_of(fire(&mut store, vec![firing(NOON)]).await[0]);
    let ended = RunNote::end(run, NAME, RunState::Failed, "no such file");
    store.commit(Batch { runs: vec![ended], ..Batch::default() }).await;
    assert_eq!(store.reader.firings(NAME, None, 9).await.unwrap().rows[0].verdict, "failed");
}

async fn thousands_of_schedules_fire_in_one_commit_each_its_own_run(mut store: Store) {
    let many: Vec<Firing> = (0..2500)
        .map(|number| Firing { schedule: ScheduleName::new(format!("s{number}")).unwrap(), ..firing(NOON) })
        .collect();
    let fired = fire(&mut store, many.clone()).await;
    let runs: std::collections::BTreeSet<RunId> = fired.iter().map(|fired| run_of(*fired)).collect();
    assert_eq!(runs.len(), 2500);
    for (firing, fired) in many.iter().zip(&fired).step_by(777) {
        let row = store.reader.schedule(firing.schedule.as_str()).await.unwrap().unwrap();
        assert_eq!(row.last_run.map(|run| run.id), Some(run_of(*fired)));
    }
    assert!(fire(&mut store, many).await.iter().all(|fired| matches!(fired, Fired::Before(Some(_)))));
}
