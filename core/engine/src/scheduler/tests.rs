use tidings_model::cron::Cron;

use super::*;
use crate::config::Task;

fn every_hour(missed: Missed, overlap: Overlap) -> ScheduleConfig {
    ScheduleConfig {
        cron: Cron::parse("0 * * * *").unwrap(),
        timezone: chrono_tz::Tz::UTC,
        missed,
        overlap,
        job: Task::PurgeCredentials.into(),
        definition: String::new(),
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(&format!("2026-01-02T{text}Z")).unwrap()
}

fn told(plan: &Plan) -> Vec<(String, &'static str)> {
    plan.verdicts.iter().map(|(at, verdict)| (at.to_string()[11..16].to_owned(), verdict.as_str())).collect()
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
    let fresh = plan(&hourly, at("03:00:00"), at("05:00:30"), false, false).unwrap();
    assert_eq!(fresh.run, Some(at("05:00:00")));
}

#[test]
fn after_an_outage_all_runs_each_in_turn() {
    let hourly = every_hour(Missed::All, Overlap::Allow);
    let first = plan(&hourly, at("03:00:00"), at("05:30:00"), false, false).unwrap();
    assert_eq!(first.run, Some(at("04:00:00")));
    let second = plan(&hourly, first.cursor, at("05:30:00"), true, false).unwrap();
    assert_eq!(second.run, Some(at("05:00:00")));
    assert_eq!(plan(&hourly, second.cursor, at("05:30:00"), true, false), None);
}

#[test]
fn catching_up_waits_for_each_run_and_runs_only_the_last_hundred() {
    let hourly = every_hour(Missed::All, Overlap::Skip);
    assert_eq!(plan(&hourly, at("03:00:00"), at("05:30:00"), true, false), None);
    let long = plan(&hourly, Timestamp(at("03:00:00").0 - 150 * 3_600_000), at("03:00:00"), false, false).unwrap();
    assert_eq!((long.verdicts.len(), long.run), (50, None));
    assert!(long.verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Missed));
}

#[test]
fn while_the_last_run_is_under_way_skip_leaves_out_and_queue_waits() {
    let skip = plan(&every_hour(Missed::Once, Overlap::Skip), at("03:00:00"), at("04:00:00"), true, false).unwrap();
    assert_eq!((skip.run, skip.verdicts[0].1), (None, Verdict::SkippedOverlap));
    assert_eq!(plan(&every_hour(Missed::Once, Overlap::Queue), at("03:00:00"), at("04:00:00"), true, false), None);
}

#[test]
fn a_paused_schedule_moves_on_without_running() {
    let plan = plan(&every_hour(Missed::Once, Overlap::Skip), at("03:00:00"), at("04:00:00"), false, true).unwrap();
    assert_eq!((plan.run, plan.verdicts[0].1), (None, Verdict::Paused));
}

#[test]
fn a_clock_that_goes_back_fires_nothing_twice() {
    let hourly = every_hour(Missed::Once, Overlap::Skip);
    assert_eq!(plan(&hourly, at("05:00:00"), at("03:30:00"), false, false), None);
}

#[test]
fn a_long_outage_is_decided_in_slices_and_runs_once() {
    let mut minutely = every_hour(Missed::Once, Overlap::Skip);
    minutely.cron = Cron::parse("* * * * *").unwrap();
    let (mut cursor, now, mut runs, mut verdicts) =
        (at("00:00:00"), Timestamp(at("00:00:00").0 + 5_000 * 60_000), 0, 0);
    while let Some(plan) = plan(&minutely, cursor, now, false, false) {
        runs += usize::from(plan.run.is_some());
        verdicts += plan.verdicts.len();
        cursor = plan.cursor;
    }
    assert_eq!((runs, verdicts), (1, 5_000));
}
