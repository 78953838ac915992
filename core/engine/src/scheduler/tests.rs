use tidings_model::cron::Cron;
use tidings_store::{Fired, RunOwner, ScheduleChange, Verdict};

use super::plan::{Plan, Situation};
use super::*;
use crate::config::{Job, Missed, Overlap, ScheduleConfig, SchedulePolicy, Task};

fn every_hour(missed: Missed, overlap: Overlap) -> ScheduleConfig {
    let policy = SchedulePolicy { missed, overlap, grace: None, jitter: Duration::ZERO };
    let grace = (missed == Missed::Skip).then_some(Duration::from_secs(60));
    ScheduleConfig {
        cron: Cron::parse("0 * * * *").unwrap(),
        timezone: chrono_tz::Tz::UTC,
        policy: SchedulePolicy { grace, ..policy },
        job: Job { task: Task::PurgeCredentials, deadline: Duration::from_secs(3600) },
        definition: "0 * * * * UTC".to_owned(),
    }
}

const ALL: Missed = Missed::All { most: 100 };

fn name() -> ScheduleName {
    ScheduleName::new("hourly").unwrap()
}

fn plan(config: &ScheduleConfig, cursor: Timestamp, now: Timestamp, running: bool, paused: bool) -> Option<Plan> {
    let name = name();
    let situation = Situation { cursor, running, paused, ..Situation::only_of(&name, config) };
    Situation { next: situation.after(cursor), ..situation }.plan(now)
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(&format!("2026-01-02T{text}Z")).unwrap()
}

fn told(plan: &Plan) -> Vec<(String, &'static str)> {
    plan.verdicts.iter().map(|decided| (decided.at.to_string()[11..16].to_owned(), decided.verdict.as_str())).collect()
}

#[test]
fn nothing_is_due_before_its_time() {
    let hourly = every_hour(Missed::Once, Overlap::Skip);
    assert_eq!(plan(&hourly, at("03:00:00"), at("03:59:59"), false, false), None);
}

#[test]
fn a_time_that_came_is_fired() {
    let hourly = every_hour(Missed::Skip, Overlap::Skip);
    let plan = plan(&hourly, at("03:00:00"), at("04:00:00"), false, false).unwrap();
    assert_eq!((plan.run, plan.cursor), (Some(at("04:00:00")), at("04:00:00")));
}

#[test]
fn after_an_outage_once_runs_the_last_and_says_so_of_the_others() {
    let hourly = every_hour(Missed::Once, Overlap::Skip);
    let plan = plan(&hourly, at("03:00:00"), at("06:30:00"), false, false).unwrap();
    let expected = [("04:00", "coalesced"), ("05:00", "coalesced"), ("06:00", "fired")];
    assert_eq!(told(&plan), expected.map(|(at, verdict)| (at.to_owned(), verdict)));
}

#[test]
fn after_an_outage_skip_runs_none_unless_the_last_is_still_fresh() {
    let hourly = every_hour(Missed::Skip, Overlap::Skip);
    let late = plan(&hourly, at("03:00:00"), at("05:30:00"), false, false).unwrap();
    assert_eq!((late.run, late.cursor), (None, at("05:00:00")));
    let old = plan(&hourly, at("03:00:00"), at("05:00:30"), false, false).unwrap();
    assert_eq!(told(&old), [("04:00".to_owned(), "missed")]);
    let fresh = plan(&hourly, old.cursor, at("05:00:30"), false, false).unwrap();
    assert_eq!(fresh.run, Some(at("05:00:00")));
}

#[test]
fn after_an_outage_all_runs_each_in_turn() {
    let hourly = every_hour(ALL, Overlap::Allow);
    let first = plan(&hourly, at("03:00:00"), at("05:30:00"), false, false).unwrap();
    assert_eq!(first.run, Some(at("04:00:00")));
    let second = plan(&hourly, first.cursor, at("05:30:00"), true, false).unwrap();
    assert_eq!(second.run, Some(at("05:00:00")));
    assert_eq!(plan(&hourly, second.cursor, at("05:30:00"), true, false), None);
}

#[test]
fn catching_up_waits_for_each_run_and_runs_only_the_last_hundred() {
    let hourly = every_hour(ALL, Overlap::Skip);
    assert_eq!(plan(&hourly, at("03:00:00"), at("05:30:00"), true, false), None);
    let long = plan(&hourly, Timestamp(at("03:00:00").0 - 150 * 3_600_000), at("03:00:00"), false, false).unwrap();
    assert_eq!((long.verdicts.len(), long.run), (50, None));
    assert!(long.verdicts.iter().all(|decided| decided.verdict == Verdict::Missed));
}

#[test]
fn while_the_last_run_is_under_way_skip_leaves_out_and_queue_waits() {
    let skip = plan(&every_hour(Missed::Once, Overlap::Skip), at("03:00:00"), at("04:00:00"), true, false).unwrap();
    assert_eq!((skip.run, skip.verdicts[0].verdict), (None, Verdict::SkippedOverlap));
    assert_eq!(plan(&every_hour(Missed::Once, Overlap::Queue), at("03:00:00"), at("04:00:00"), true, false), None);
}

#[test]
fn a_paused_schedule_moves_on_without_running() {
    let plan = plan(&every_hour(Missed::Once, Overlap::Skip), at("03:00:00"), at("04:00:00"), false, true).unwrap();
    assert_eq!((plan.run, plan.verdicts[0].verdict), (None, Verdict::Paused));
}

#[test]
fn a_clock_that_goes_back_fires_nothing_twice() {
    let hourly = every_hour(Missed::Once, Overlap::Skip);
    assert_eq!(plan(&hourly, at("05:00:00"), at("03:30:00"), false, false), None);
}

#[test]
fn a_long_outage_runs_once_and_is_a_hundred_rows_and_one_for_the_rest() {
    let mut minutely = every_hour(Missed::Once, Overlap::Skip);
    minutely.cron = Cron::parse("* * * * *").unwrap();
    let (cursor, now) = (at("00:00:00"), Timestamp(at("00:00:00").0 + 5_000 * 60_000));
    let outage = plan(&minutely, cursor, now, false, false).unwrap();
    let span = outage.span.unwrap();
    assert_eq!((span.first, span.count, span.verdict), (at("00:01:00"), 4_899, Verdict::Coalesced));
    assert_eq!(outage.verdicts.len(), 101, "a hundred, and the one that runs");
    assert_eq!(outage.verdicts[0].at, span.last.after(Duration::from_secs(60)));
    assert_eq!((outage.run, outage.cursor), (Some(now), now));
    assert_eq!(plan(&minutely, outage.cursor, now, false, false), None);
}

#[test]
fn an_outage_of_ten_years_by_the_second_is_decided_at_once_and_accounts_for_every_time() {
    let begun = std::time::Instant::now();
    for (text, missed) in [("* * * * * *", Missed::Once), ("@every 1s", Missed::Skip), ("* * * * * *", ALL)] {
        let mut secondly = every_hour(missed, Overlap::Skip);
        (secondly.cron, secondly.timezone) = (Cron::parse(text).unwrap(), chrono_tz::Tz::Europe__Berlin);
        let (mut cursor, years) = (at("00:00:00"), 3653 * 86_400);
        let now = Timestamp(cursor.0 + years * 1000 + 500_000);
        let (mut count, mut rows, mut runs) = (0, 0, 0);
        while let Some(plan) = plan(&secondly, cursor, now, false, false) {
            count += plan.span.map_or(0, |span| span.count) + plan.verdicts.len() as u64;
            rows += plan.verdicts.len() + usize::from(plan.span.is_some());
            runs += usize::from(plan.run.is_some());
            cursor = plan.cursor;
        }
        assert_eq!(count, years.unsigned_abs() + 500, "{text} {missed:?}");
        assert!(rows <= 202, "{text} {missed:?} left {rows} rows");
        assert_eq!(runs, if missed == ALL { 100 } else { 1 }, "{text} {missed:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}

#[test]
fn what_is_later_than_its_grace_does_not_run_whatever_else_is_said() {
    for (missed, expected) in [(Missed::Once, 0), (Missed::Skip, 0), (ALL, 0)] {
        let mut hourly = every_hour(missed, Overlap::Skip);
        hourly.policy.grace = Some(Duration::from_secs(600));
        let plan = plan(&hourly, at("03:00:00"), at("05:11:00"), false, false).unwrap();
        assert_eq!(plan.verdicts.iter().filter(|decided| decided.verdict != Verdict::Missed).count(), expected);
        assert_eq!(plan.verdicts[1].late, Duration::from_secs(660));
    }
    let mut hourly = every_hour(Missed::Skip, Overlap::Skip);
    hourly.policy.grace = Some(Duration::from_secs(600));
    let missed = plan(&hourly, at("03:00:00"), at("05:09:00"), false, false).unwrap();
    assert_eq!(told(&missed), [("04:00".to_owned(), "missed")]);
    let late = plan(&hourly, missed.cursor, at("05:09:00"), false, false).unwrap();
    assert_eq!(told(&late), [("05:00".to_owned(), "fired")]);
}

#[test]
fn what_waited_for_the_run_before_it_is_not_late_by_that() {
    let (name, hourly) = (name(), every_hour(Missed::Skip, Overlap::Queue));
    let cursor = at("03:00:00");
    let waiting = Situation { cursor, running: true, ..Situation::only_of(&name, &hourly) };
    let waiting = Situation { next: waiting.after(cursor), ..waiting };
    assert_eq!(waiting.plan(at("04:00:00")), None);
    assert_eq!(waiting.plan(at("05:30:00")), None);
    let free = Situation { running: false, free_at: at("05:30:00"), ..waiting };
    let plan = free.plan(at("05:30:01")).unwrap();
    assert_eq!(told(&plan), [("04:00".to_owned(), "coalesced"), ("05:00".to_owned(), "fired")]);
    assert_eq!(plan.verdicts[1].late, Duration::from_secs(1801), "and how late it is, is told");
}

#[test]
fn times_that_an_operator_skips_come_first_and_are_counted() {
    let (name, hourly) = (name(), every_hour(Missed::Once, Overlap::Skip));
    let cursor = at("03:00:00");
    let situation = Situation { cursor, skips: 2, ..Situation::only_of(&name, &hourly) };
    let situation = Situation { next: situation.after(cursor), ..situation };
    let plan = situation.plan(at("06:30:00")).unwrap();
    assert_eq!(told(&plan), [("04:00".to_owned(), "skipped"), ("05:00".to_owned(), "skipped")]);
    assert_eq!((plan.skipped, plan.run), (2, None));
}

#[test]
fn jitter_delays_a_time_the_same_at_every_look_and_never_past_the_next() {
    let (name, mut hourly) = (name(), every_hour(Missed::Once, Overlap::Skip));
    hourly.policy.jitter = Duration::from_secs(24 * 3600);
    let situation = Situation::only_of(&name, &hourly);
    for hour in 0..23 {
        let nominal = at(&format!("{hour:02}:00:00"));
        let due = situation.due_at(nominal);
        assert!(due >= nominal && due < nominal.after(Duration::from_secs(3600)), "{nominal} fires at {due}");
        assert_eq!(situation.due_at(nominal), due);
        let behind = Situation { cursor: nominal.before(Duration::from_secs(1)), ..situation };
        let behind = Situation { next: Some(nominal), ..behind };
        assert_eq!(behind.plan(due.before(Duration::from_millis(1))), None);
        let plan = behind.plan(due).unwrap();
        assert_eq!((plan.run, plan.verdicts[0].late), (Some(nominal), Duration::ZERO));
    }
}

fn unfinished(id: i64, schedule: &str) -> RunRow {
    RunRow {
        id: RunId(id),
        schedule: schedule.to_owned(),
        nominal_at: at("03:00:00"),
        job: String::new(),
        state: tidings_model::RunState::Running,
        started_at: at("03:00:00"),
        ended_at: None,
        deadline_at: None,
        resumed: 0,
        owner: RunOwner::This,
        done: 0,
        total: None,
        accepted: 0,
        duplicates: 0,
        suppressed: 0,
        refused: 0,
        preflight: None,
        result: None,
        log_lines: 0,
        step: 0,
        place: None,
    }
}

/// How the store has the schedule `hourly`.
fn stored(cursor: Timestamp, next: Timestamp) -> ScheduleRow {
    ScheduleRow {
        name: "hourly".to_owned(),
        definition: "0 * * * * UTC".to_owned(),
        cursor_at: cursor,
        next_at: Some(next),
        paused: None,
        skips: 0,
        skip: None,
        backfill: None,
        removed_at: None,
        last_run: None,
    }
}

/// An agenda of `hourly` alone, which has decided everything up to three.
fn hourly_at_three() -> Agenda {
    hourly_at_three_with(Overlap::Allow)
}

fn hourly_at_three_with(overlap: Overlap) -> Agenda {
    let config = std::collections::BTreeMap::from([(name(), every_hour(Missed::Once, overlap))]);
    let stored = [stored(at("03:00:00"), at("04:00:00"))];
    Agenda::define(&Agenda::default(), &stored, &config, at("03:10:00"), true).0
}

#[test]
fn runs_of_schedules_that_config_has_no_more_are_found() {
    let agenda = hourly_at_three();
    let rows = [unfinished(1, "hourly"), unfinished(2, "gone"), unfinished(3, "no name at all")];
    let removed: Vec<i64> = agenda.removed(&rows).map(|row| row.id.0).collect();
    assert_eq!(removed, [2, 3]);
}

#[test]
fn a_schedule_that_only_another_engine_may_have_is_left_as_it_is_and_removed_when_none_has_it() {
    let stored = [stored(at("03:00:00"), at("04:00:00"))];
    let config = std::collections::BTreeMap::new();
    let define = |lets_go| Agenda::define(&Agenda::default(), &stored, &config, at("03:10:00"), lets_go);
    let (agenda, decisions) = define(false);
    assert!(decisions.is_empty());
    assert_eq!(agenda.left().iter().collect::<Vec<_>>(), [&name()]);
    let (agenda, decisions) = define(true);
    assert_eq!(decisions.changes, [(name(), ScheduleChange::Remove { at: at("03:10:00") })]);
    assert!(agenda.left().is_empty());
}

/// A run that is in the hands of another engine.
fn of_another(id: i64, schedule: &str) -> RunRow {
    RunRow { owner: RunOwner::Another, ..unfinished(id, schedule) }
}

#[test]
fn a_run_of_another_engine_is_neither_ended_nor_begun_here_and_overlaps_all_the_same() {
    let mut agenda = hourly_at_three_with(Overlap::Skip);
    let rows = [of_another(1, "hourly"), of_another(2, "gone")];
    assert_eq!(agenda.removed(&rows).count(), 0, "that engine's config may have the schedule");
    let landed = [stored(at("03:00:00"), at("04:00:00"))];
    assert_eq!(agenda.adopt(&landed, &rows), []);
    assert!(!agenda.carries(RunId(1)));
    assert_eq!(told_by(&mut agenda, at("04:00:00")), ["skipped_overlap"]);
    agenda.adopt(&[stored(at("04:00:00"), at("05:00:00"))], &[]);
    assert_eq!(told_by(&mut agenda, at("05:00:00")), ["fired"], "it has ended there");
}

#[test]
fn a_doubt_is_settled_by_what_the_store_has_and_a_run_that_it_has_begun_begins_once() {
    let mut agenda = hourly_at_three();
    let decisions = agenda.decide(at("04:00:00"), 10);
    assert_eq!(decisions.firings.len(), 1);
    // It landed, and nobody was told.
    let landed = [stored(at("04:00:00"), at("05:00:00"))];
    let begun = agenda.adopt(&landed, &[unfinished(7, "hourly"), unfinished(8, "gone")]);
    assert_eq!(begun.iter().map(|begin| begin.run.0).collect::<Vec<_>>(), [7]);
    assert!(agenda.decide(at("04:00:01"), 10).is_empty(), "four has its verdict");
    assert_eq!(agenda.adopt(&landed, &[unfinished(7, "hourly")]), [], "it goes on already");
    // A store that is behind takes no cursor back.
    agenda.adopt(&[stored(at("02:00:00"), at("03:00:00"))], &[]);
    assert!(agenda.decide(at("04:00:02"), 10).is_empty());
    assert_eq!(agenda.next_wake(), Some(at("05:00:00")));
}

#[test]
fn what_operators_asked_for_in_a_doubt_is_what_the_store_has_of_it() {
    let mut agenda = hourly_at_three();
    let said = || tidings_store::Said { by: "ann".to_owned(), note: String::new() };
    let paused = tidings_store::Noted { at: at("03:20:00"), said: said() };
    let row = ScheduleRow { paused: Some(paused), ..stored(at("03:00:00"), at("04:00:00")) };
    agenda.adopt(&[row], &[]);
    let told = told_by(&mut agenda, at("04:00:00"));
    assert_eq!(told, ["paused"]);
    let mut agenda = hourly_at_three();
    agenda.adopt(&[ScheduleRow { skips: 1, ..stored(at("03:00:00"), at("04:00:00")) }], &[]);
    assert_eq!(told_by(&mut agenda, at("04:00:00")), ["skipped"]);
    let mut agenda = hourly_at_three();
    let backfill = tidings_store::BackfillRow { at: at("00:59:59"), until: at("02:00:00"), said: said() };
    agenda.adopt(&[ScheduleRow { backfill: Some(backfill), ..stored(at("03:00:00"), at("04:00:00")) }], &[]);
    assert_eq!(told_by(&mut agenda, at("03:30:00")), ["backfilled"]);
}

fn told_by(agenda: &mut Agenda, now: Timestamp) -> Vec<&'static str> {
    let decisions = agenda.decide(now, 10);
    decisions.firings.iter().flat_map(|firing| &firing.verdicts).map(|decided| decided.verdict.as_str()).collect()
}

#[test]
fn jitter_that_is_longer_than_the_way_to_the_next_time_ends_before_it() {
    let (name, mut secondly) = (name(), every_hour(Missed::Once, Overlap::Skip));
    secondly.cron = Cron::parse("* * * * * *").unwrap();
    secondly.policy.jitter = Duration::from_secs(3_600);
    let situation = Situation::only_of(&name, &secondly);
    for second in 0..59 {
        let nominal = at(&format!("03:00:{second:02}"));
        let next = at(&format!("03:00:{:02}", second + 1));
        assert!(situation.due_at(nominal) < next, "{nominal}");
    }
}

#[test]
fn all_runs_only_what_is_in_its_grace_and_no_more_than_its_bound() {
    let mut hourly = every_hour(Missed::All { most: 2 }, Overlap::Allow);
    let plan_of = |config: &ScheduleConfig| plan(config, at("00:00:00"), at("05:30:00"), false, false).unwrap();
    let told_of = plan_of(&hourly);
    assert_eq!((told_of.verdicts.len(), told_of.run), (3, None), "one to three are missed: two may run");
    hourly.policy.missed = ALL;
    hourly.policy.grace = Some(Duration::from_secs(3_600));
    let told_of = plan_of(&hourly);
    assert_eq!((told_of.verdicts.len(), told_of.run), (4, None), "one to four are older than an hour");
}

#[test]
fn an_operators_run_is_waited_for_whatever_the_overlap_says() {
    let (name, hourly) = (name(), every_hour(Missed::Once, Overlap::Allow));
    let cursor = at("03:00:00");
    let situation = Situation { cursor, running: true, running_by_hand: true, ..Situation::only_of(&name, &hourly) };
    let situation = Situation { next: situation.after(cursor), ..situation };
    assert_eq!(situation.plan(at("04:00:00")), None);
    let alone = Situation { running_by_hand: false, ..situation };
    assert_eq!(alone.plan(at("04:00:00")).unwrap().run, Some(at("04:00:00")));
}

#[test]
fn a_run_before_it_leaves_all_that_is_due_out_and_not_only_the_last() {
    let hourly = every_hour(Missed::Once, Overlap::Skip);
    let told = told(&plan(&hourly, at("03:00:00"), at("05:30:00"), true, false).unwrap());
    assert_eq!(told, [("04:00".to_owned(), "skipped_overlap"), ("05:00".to_owned(), "skipped_overlap")]);
}

#[test]
fn what_was_decided_before_a_doubt_was_settled_takes_no_cursor_back() {
    let mut agenda = hourly_at_three();
    let decisions = agenda.decide(at("04:00:00"), 10);
    agenda.adopt(&[stored(at("05:00:00"), at("06:00:00"))], &[]);
    assert_eq!(agenda.settle(&decisions, &[Fired::Before(None)]), []);
    assert_eq!(agenda.next_wake(), Some(at("06:00:00")));
}
