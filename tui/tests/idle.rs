//! What the screen does while nothing happens: nothing. And that a frame holds for as long as it says.

use std::time::Duration;

use chrono::TimeDelta;
use crossterm::event::KeyCode;
use tidings_api::wire::Overview;

use crate::app::wake_at;
use crate::calls::{Answer, Request, Trouble};
use crate::case::{
    Case, LANGUAGES, at, audit, busy, forecast, lines, messages, plugins, reach, reasons, run_detail, runs, schedules,
    waiting_message,
};
use crate::message::Message;
use crate::words::Language;

const SIZE: (u16, u16) = (120, 36);
const PULSE: Duration = Duration::from_secs(1);

/// An engine at rest: nothing of it is young, and nothing is near.
fn at_rest() -> Overview {
    let mut overview = busy();
    overview.channels.retain(|channel| channel.until.is_none());
    overview.schedules.truncate(1);
    overview.schedules[0].next_at = None;
    overview.schedules[0].last_run.as_mut().unwrap().ended_at = Some(at(-86_400 * 2));
    overview
}

/// What the loop does with a screen, on a clock of ours: pictures come once a second, and it sleeps until it is to be shown
/// something. Says how often it woke by itself, how often it drew, and how many of the frames were other ones.
struct Idle {
    woke: usize,
    drew: usize,
    differed: usize,
}

fn idle(case: &mut Case, overview: &Overview, time: Duration) -> Idle {
    let (mut frame, mut drawn) = case.draw();
    case.drawn();
    let (mut idle, began) = (Idle { woke: 0, drew: 0, differed: 0 }, case.now);
    let engine_at = crate::time::parse(&overview.now).unwrap();
    let mut pulse_at = began + PULSE;
    while case.now < began + time {
        let wake_at = wake_at(&case.state, &drawn).filter(|wake_at| *wake_at < pulse_at);
        case.now = wake_at.unwrap_or(pulse_at).max(case.now);
        if wake_at.is_some() {
            idle.woke += 1;
            case.take(Message::Tick);
        } else {
            pulse_at += PULSE;
            let now = engine_at + TimeDelta::from_std(case.now - began).unwrap();
            case.overview(Overview { now: now.to_rfc3339(), ..overview.clone() });
        }
        if case.drawn() {
            let (next, next_drawn) = case.draw();
            idle.drew += 1;
            idle.differed += usize::from(next != frame);
            (frame, drawn) = (next, next_drawn);
        }
    }
    idle
}

#[test]
fn an_idle_overview_is_drawn_with_the_clocks_minute_and_never_else() {
    for (language, _) in LANGUAGES {
        let overview = at_rest();
        // Just begun: nothing is known of what left before.
        let mut case = Case::new(language, SIZE);
        case.overview(overview.clone());
        let first = idle(&mut case, &overview, Duration::from_secs(10));
        // By the second picture it is known how fast messages leave: not at all.
        assert!(first.differed <= 1, "{}", first.differed);
        let overview = Overview { now: at(10), ..overview };
        let hour = idle(&mut case, &overview, Duration::from_secs(3_600));
        assert_eq!((hour.differed, hour.drew, hour.woke), (60, 60, 60));
    }
}

#[test]
fn after_a_load_the_row_of_what_left_asks_for_no_frames_either() {
    let mut overview = at_rest();
    let mut case = Case::new(Language::En, SIZE);
    for second in 0..60 {
        overview.now = at(second);
        overview.states.sent += 500;
        case.overview(overview.clone());
        case.pass(1_000);
    }
    overview.now = at(60);
    case.overview(overview.clone());
    // The pace falls to nothing, and the row shows that nothing leaves.
    let after = idle(&mut case, &overview, Duration::from_secs(10));
    assert!((1..=12).contains(&after.differed), "{}", after.differed);
    overview.now = at(70);
    let minutes = idle(&mut case, &overview, Duration::from_secs(300));
    assert_eq!(minutes.differed, 5);
}

#[test]
fn a_picture_that_says_something_is_drawn_whatever_it_is() {
    let base = at_rest();
    type Change = fn(&mut Overview);
    let changes: [Change; 12] = [
        |overview| overview.version = "0.2.0".to_owned(),
        |overview| overview.started_at = at(-5),
        |overview| overview.draining = true,
        |overview| overview.states.held += 1,
        |overview| overview.late_outcomes += 1,
        |overview| overview.store_problem = Some("the disk is full".to_owned()),
        |overview| overview.channels[0].state = "paused".to_owned(),
        |overview| overview.schedules[0].state = "paused".to_owned(),
        |overview| overview.tokens[0].state = "halted".to_owned(),
        |overview| overview.webhooks[0].pending += 1,
        |overview| overview.nodes = crate::case::nodes(),
        |overview| overview.recent.truncate(3),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut case = Case::new(Language::En, SIZE);
        for _ in 0..3 {
            case.overview(base.clone());
        }
        case.drawn();
        case.overview(base.clone());
        assert!(!case.drawn(), "the same says nothing");
        let mut other = base.clone();
        change(&mut other);
        case.overview(other);
        assert!(case.drawn(), "change {index}");
    }
}

#[test]
fn an_engine_that_comes_back_or_sets_its_clock_is_drawn() {
    let base = at_rest();
    let mut case = Case::new(Language::En, SIZE);
    case.overview(base.clone());
    case.overview(base.clone());
    case.drawn();
    case.pass(3_000);
    case.take(Message::Tick);
    assert!(case.text().contains("STALE"));
    case.drawn();
    case.overview(Overview { now: at(3), ..base.clone() });
    assert!(case.drawn() && case.text().contains("LIVE"));
    case.answer(Request::Overview, Err(Trouble::Slow));
    case.drawn();
    case.overview(Overview { now: at(3), ..base.clone() });
    assert!(case.drawn() && case.text().contains("LIVE"));
    case.overview(Overview { now: at(7_203), ..base });
    assert!(case.drawn() && case.text().contains("14:00 UTC"), "{}", case.text());
}

#[test]
fn a_frame_holds_for_as_long_as_it_says_on_every_page() {
    for page in ["1", "2", "2\r", "3", "4", "5", "6", "6\r", "7", "7\r", "8", "9", "?"] {
        let mut case = Case::with(Language::En, SIZE, &busy());
        for key in page.chars() {
            case.press(if key == '\r' { KeyCode::Enter } else { KeyCode::Char(key) });
            match case.state.wants() {
                Some(Request::Messages { .. }) => case.messages(messages(2_114_911, 100, true)),
                Some(Request::Message { .. }) => case.message(waiting_message(), Some(reach())),
                Some(Request::Reasons { .. }) => case.reasons(reasons()),
                Some(Request::Forecast) => case.give(Answer::Forecast(forecast())),
                Some(Request::Tokens) => case.give(Answer::Tokens(busy().tokens)),
                Some(Request::Runs { .. }) => case.give(Answer::Runs(runs(700, 100, true))),
                Some(Request::Run { .. }) => case.give(Answer::Run(Box::new(run_detail()))),
                Some(Request::Schedules) => case.give(Answer::Schedules(schedules())),
                Some(Request::Plugins) => case.give(Answer::Plugins(plugins())),
                Some(Request::Audit { .. }) => case.give(Answer::Audit(audit(700, 100, true))),
                Some(other) => panic!("{page}: {other:?}"),
                None => {}
            }
        }
        // More than a minute without a word from the engine, so that everything ages.
        let (mut frame, mut drawn) = case.draw();
        case.drawn();
        let end = case.now + Duration::from_secs(70);
        while case.now < end {
            case.pass(333);
            let wake_at = wake_at(&case.state, &drawn);
            if wake_at.is_some_and(|wake_at| wake_at <= case.now) {
                case.take(Message::Tick);
                (frame, drawn) = case.draw();
                case.drawn();
            } else {
                case.state.shared.now = case.now;
                assert_eq!(lines(&case.draw().0), lines(&frame), "{page}: it changed before its time");
            }
        }
    }
}
