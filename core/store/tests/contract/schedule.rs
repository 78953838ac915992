//! Firings and runs: a nominal time runs once, and the cursor never moves back.

use tidings_model::{RunId, ScheduleName, Timestamp};
use tidings_store::{Batch, Fired, Firing, NewMessage, Verdict};

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
}

const NAME: &str = "digest";

fn firing(nominal: Timestamp) -> Firing {
    Firing {
        schedule: ScheduleName::new(NAME).unwrap(),
        definition: "0 9 * * 1-5".to_owned(),
        verdicts: vec![(nominal, Verdict::Fired)],
        run: Some((nominal, "send digest".to_owned())),
        cursor_at: nominal,
        next_at: Some(nominal.after(HOUR)),
        paused: None,
    }
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
    assert_eq!(fire(&mut store, vec![firing(NOON)]).await, [Fired::Before]);
    let mut store = store.crash().await;
    assert_eq!(fire(&mut store, vec![firing(NOON)]).await, [Fired::Before]);
    let second = run_of(fire(&mut store, vec![firing(NOON.after(HOUR))]).await[0]);
    assert!(run < second);
    let runs = store.reader.runs(Some(NAME), None, 9).await.unwrap().rows;
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [second, run]);
    let firings = store.reader.firings(NAME, 9).await.unwrap();
    assert_eq!(firings.iter().map(|firing| firing.run).collect::<Vec<_>>(), [Some(second), Some(run)]);
}

async fn a_nominal_time_runs_once_within_one_commit(mut store: Store) {
    let fired = fire(&mut store, vec![firing(NOON), firing(NOON)]).await;
    run_of(fired[0]);
    assert_eq!(fired[1], Fired::Before);
    assert_eq!(store.reader.unfinished_runs().await.unwrap().len(), 1);
}

async fn a_nominal_time_that_has_a_verdict_keeps_it(mut store: Store) {
    let mut missed = firing(NOON.after(HOUR));
    missed.verdicts = vec![(NOON, Verdict::Missed), (NOON.after(HOUR), Verdict::Paused)];
    missed.run = None;
    assert_eq!(fire(&mut store, vec![missed]).await, [Fired::Nothing]);
    let mut later = firing(NOON);
    later.verdicts = vec![(NOON, Verdict::Fired)];
    assert_eq!(fire(&mut store, vec![later]).await, [Fired::Before]);
    let verdicts: Vec<String> =
        store.reader.firings(NAME, 9).await.unwrap().into_iter().map(|firing| firing.verdict).collect();
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
    assert_eq!(committed.fired, [Fired::Before, Fired::Before]);
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

async fn a_pause_survives_a_restart(mut store: Store) {
    let paused = Firing { run: None, verdicts: vec![], paused: Some((NOON, "holiday".to_owned())), ..firing(NOON) };
    fire(&mut store, vec![paused]).await;
    let mut store = store.crash().await;
    let schedule = store.reader.schedules().await.unwrap().remove(0);
    assert_eq!((schedule.paused, schedule.last_run), (Some((NOON, "holiday".to_owned())), None));
    let resumed = Firing { run: None, verdicts: vec![], ..firing(NOON) };
    fire(&mut store, vec![resumed]).await;
    assert_eq!(store.reader.schedules().await.unwrap()[0].paused, None);
}
