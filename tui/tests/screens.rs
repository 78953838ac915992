//! Whole screens against text files in `tests/screens/`: what stands where, and below it how it is styled.
//! `UPDATE_SCREENS=1` writes the files; a look at their diff is then the review.

use std::path::PathBuf;

use crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};
use tidings_api::wire::Counts;

use crate::acts::Step;
use crate::calls::{Answer, Request, Trouble};
use crate::case::{
    Case, HOSTILE, LANGUAGES, SIZES, at, audit, backfill_plan, busy, channel, empty, forecast, hello, lines, messages,
    nodes, plugins, reach, reasons, run_detail, runs, schedules, styles, waiting_message, webhooks,
};
use crate::message::{Effect, Message};
use crate::words::Language;

fn check(name: &str, case: &Case) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/screens").join(format!("{name}.txt"));
    let frame = case.frame();
    let found = format!("{}\n\nstyles\n{}\n", lines(&frame).join("\n"), styles(&frame).join("\n"));
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "screen `{name}` differs; UPDATE_SCREENS=1 takes the new one\n{found}\nexpected:\n{expected}"
    );
}

/// A screen at each size in each language.
fn check_all(name: &str, case: impl Fn(Language, (u16, u16)) -> Case) {
    for (language, tag) in LANGUAGES {
        for (columns, rows) in SIZES {
            check(&format!("{name}-{columns}x{rows}-{tag}"), &case(language, (columns, rows)));
        }
    }
}

fn on_messages(language: Language, size: (u16, u16)) -> Case {
    let mut case = Case::on('2', language, size);
    case.messages(messages(2_114_911, 100, true));
    case
}

#[test]
fn overview() {
    check_all("overview", |language, size| {
        let mut case = Case::with(language, size, &busy());
        // Ten minutes that led to it, with one in which nobody looked.
        case.state.shared.trend.restart();
        let mut sent = busy().states.sent - 60_000;
        for step in (1..120).rev() {
            sent += if step % 29 == 0 { 0 } else { step * 37 % 11 * 80 };
            if !(40..52).contains(&step) {
                case.state.shared.trend.take(crate::time::parse(&at(-5 * step)).unwrap(), sent);
            }
        }
        case.overview(busy());
        case
    });
}

#[test]
fn overview_of_an_engine_with_nothing_in_it() {
    for (language, tag) in LANGUAGES {
        for (columns, rows) in [(80, 24), (40, 10)] {
            let mut case = Case::new(language, (columns, rows));
            case.overview(empty());
            check(&format!("empty-{columns}x{rows}-{tag}"), &case);
        }
    }
}

#[test]
fn messages_that_match_with_marks_and_the_cursor_off_the_first_row() {
    check_all("messages", |language, size| {
        let mut case = Case::on('2', language, size);
        case.press(KeyCode::Char('/'));
        case.typed("newer:2h");
        case.press(KeyCode::Enter);
        case.messages(messages(2_114_911, 100, true));
        case.press(KeyCode::Char(' '));
        case.press(KeyCode::Char(' '));
        case.press(KeyCode::Char('j'));
        case
    });
}

#[test]
fn channels_with_what_stopped_in_the_one_under_the_cursor() {
    check_all("channels", |language, size| {
        let mut case = Case::on('3', language, size);
        case.reasons(reasons());
        case
    });
    for (language, tag) in LANGUAGES {
        let mut case = Case::on('3', language, (80, 24));
        case.press(KeyCode::Char('P'));
        case.press(KeyCode::Enter);
        check(&format!("pause-80x24-{tag}"), &case);
    }
}

#[test]
fn a_message_that_waits() {
    check_all("message", |language, size| {
        let mut case = on_messages(language, size);
        case.press(KeyCode::Char('j'));
        case.press(KeyCode::Char('j'));
        case.press(KeyCode::Enter);
        case.message(waiting_message(), Some(reach()));
        case
    });
}

#[test]
fn credentials_with_what_runs_out_when_and_one_that_is_added_unseen() {
    check_all("credentials", |language, size| {
        let mut case = Case::on('4', language, size);
        case.give(Answer::Forecast(forecast()));
        case
    });
    for (language, tag) in LANGUAGES {
        let mut case = Case::on('4', language, (80, 24));
        case.give(Answer::Forecast(forecast()));
        case.press(KeyCode::Char('A'));
        for text in ["wechat.form_id", "", "form_id=s3cret openId=o-alice"] {
            case.typed(text);
            case.press(KeyCode::Enter);
        }
        assert!(!case.text().contains("s3cret"));
        check(&format!("credential-80x24-{tag}"), &case);
    }
}

#[test]
fn tokens_with_the_one_under_the_cursor_in_full() {
    check_all("tokens", |language, size| {
        let mut case = Case::on('5', language, size);
        case.give(Answer::Tokens(busy().tokens));
        case.press(KeyCode::Char('j'));
        case
    });
}

#[test]
fn schedules_with_their_times_to_come_and_gone() {
    check_all("schedules", |language, size| {
        let mut case = Case::on('6', language, size);
        case.give(Answer::Schedules(schedules()));
        case
    });
    check_all("schedule", |language, size| {
        let mut case = Case::on('6', language, size);
        case.give(Answer::Schedules(schedules()));
        case.press(KeyCode::Enter);
        case
    });
}

#[test]
fn runs_and_one_of_them_with_its_log() {
    check_all("runs", |language, size| {
        let mut case = Case::on('7', language, size);
        case.give(Answer::Runs(runs(2_114, 100, true)));
        case.press(KeyCode::Char('j'));
        case
    });
    check_all("run", |language, size| {
        let mut case = Case::on('7', language, size);
        case.give(Answer::Runs(runs(7, 1, false)));
        case.press(KeyCode::Enter);
        case.give(Answer::Run(Box::new(run_detail())));
        case
    });
}

#[test]
fn plugins_with_what_was_counted_of_them() {
    check_all("plugins", |language, size| {
        let mut case = Case::on('8', language, size);
        case.give(Answer::Plugins(plugins()));
        case
    });
}

#[test]
fn the_record_of_changes() {
    check_all("audit", |language, size| {
        let mut case = Case::on('9', language, size);
        case.give(Answer::Audit(audit(2_114, 100, true)));
        case.press(KeyCode::Char('j'));
        case
    });
}

#[test]
fn webhooks_with_the_one_under_the_cursor_in_full() {
    check_all("webhooks", |language, size| {
        let mut case = Case::on('0', language, size);
        case.give(Answer::Webhooks(webhooks()));
        case.press(KeyCode::Char('j'));
        case
    });
}

#[test]
fn nodes_with_the_one_whose_config_differs_in_full() {
    check_all("nodes", |language, size| {
        let mut case = Case::on('n', language, size);
        case.give(Answer::Nodes(nodes()));
        case.press(KeyCode::Char('j'));
        case
    });
}

#[test]
fn runs_that_match_a_filter() {
    for (language, tag) in LANGUAGES {
        let mut case = Case::on('7', language, (80, 24));
        case.press(KeyCode::Char('/'));
        case.typed("failed sched");
        case.press(KeyCode::Tab);
        check(&format!("runs-filter-80x24-{tag}"), &case);
        case.typed("每日对账");
        case.press(KeyCode::Enter);
        case.give(Answer::Runs(runs(2_114, 9, false)));
        check(&format!("runs-filtered-80x24-{tag}"), &case);
    }
}

#[test]
fn whom_a_broadcast_would_reach_and_times_of_the_past_that_are_run() {
    for (language, tag) in LANGUAGES {
        let mut case = Case::on('6', language, (80, 24));
        case.give(Answer::Schedules(schedules()));
        case.press(KeyCode::Char('F'));
        check(&format!("preflight-asked-80x24-{tag}"), &case);
        case.give(Answer::Preflight(Box::new(run_detail().preflight.unwrap())));
        check(&format!("preflight-80x24-{tag}"), &case);
        case.press(KeyCode::Esc);
        case.press(KeyCode::Char('B'));
        case.typed("2h");
        case.press(KeyCode::Enter);
        check(&format!("backfill-80x24-{tag}"), &case);
        assert!(matches!(case.press(KeyCode::Enter), Some(Effect::Plan { dialog: 1, .. })));
        case.take(Message::Planned { dialog: 1, result: Ok(backfill_plan().into()) });
        case.typed("7");
        case.press(KeyCode::Enter);
        case.typed("audience was empty");
        case.press(KeyCode::Enter);
        check(&format!("backfill-question-80x24-{tag}"), &case);
    }
}

#[test]
fn a_filter_that_is_typed_and_is_none() {
    for (language, tag) in LANGUAGES {
        let mut case = on_messages(language, (80, 24));
        case.press(KeyCode::Char('/'));
        case.typed("channel:短信-华东 colour:red");
        case.press(KeyCode::Enter);
        let (_, drawn) = case.draw();
        assert_eq!(drawn.cursor.map(|cursor| (cursor.x, cursor.y)), Some((1 + 28, 2)), "behind what was typed");
        check(&format!("filter-80x24-{tag}"), &case);
    }
}

#[test]
fn acts_on_many_are_planned_asked_about_and_told_of() {
    let planned = |language, size| {
        let mut case = on_messages(language, size);
        case.press(KeyCode::Char('/'));
        case.typed("unknown channel:order-updates");
        case.press(KeyCode::Enter);
        case.messages(messages(2_114_911, 30, false));
        assert!(matches!(case.press(KeyCode::Char('Q')), Some(Effect::Plan { dialog: 1, .. })));
        case.take(Message::Planned { dialog: 1, result: Ok(crate::case::plan().into()) });
        case
    };
    check_all("plan", planned);
    for (language, tag) in LANGUAGES {
        let mut case = planned(language, (80, 24));
        case.typed("1204");
        case.press(KeyCode::Enter);
        case.typed("供应商故障 13:10");
        case.press(KeyCode::Enter);
        check(&format!("question-80x24-{tag}"), &case);
        case.pass(500);
        case.overview(busy());
        assert!(matches!(case.press(KeyCode::Char('Q')), Some(Effect::CarryOut { .. })));
        let step = Step { moved: 1_200, passed_over: 4, ..Step::default() };
        case.take(Message::Advanced { dialog: 1, result: Ok(step) });
        check(&format!("done-80x24-{tag}"), &case);
    }
}

#[test]
fn no_engine_yet() {
    for (language, tag) in LANGUAGES {
        for (columns, rows) in [(80, 24), (40, 10)] {
            let mut case = Case::new(language, (columns, rows));
            case.answer(Request::Overview, Err(Trouble::Unreachable));
            check(&format!("absent-{columns}x{rows}-{tag}"), &case);
        }
    }
}

#[test]
fn an_engine_that_went_away() {
    for (language, tag) in LANGUAGES {
        for (columns, rows) in [(80, 24), (40, 10)] {
            let mut overview = busy();
            overview.draining = true;
            let mut case = Case::with(language, (columns, rows), &overview);
            case.pass(78_000);
            case.answer(Request::Overview, Err(Trouble::Refused(format!("the key is unknown{HOSTILE}"))));
            check(&format!("gone-{columns}x{rows}-{tag}"), &case);
        }
    }
}

#[test]
fn help_is_the_key_table_with_why_a_key_does_nothing() {
    for (language, tag) in LANGUAGES {
        let mut case = on_messages(language, (120, 36));
        case.answer(Request::Hello, Ok(Answer::Hello(hello(&["read"]))));
        case.press(KeyCode::Char('?'));
        check(&format!("help-120x36-{tag}"), &case);
    }
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    let case = Case::with(Language::En, (39, 10), &busy());
    assert_eq!(lines(&case.frame())[0], "LIVE  39x10: needs 40x10  q quit");
    let case = Case::with(Language::Zh, (8, 1), &busy());
    assert_eq!(lines(&case.frame())[0], "实时  8~");
}

#[test]
fn no_size_breaks_the_screen_and_every_row_is_as_wide_as_the_terminal() {
    let mut extreme = busy();
    extreme.states = Counts { queued: i64::MAX, sent: i64::MIN, failed: i64::MAX, ..extreme.states };
    extreme.channels.extend((0..200).map(|n| channel(&"渠".repeat(n), "open", extreme.states)));
    extreme.now = "whenever".to_owned();
    for overview in [empty(), busy(), extreme] {
        for (language, _) in LANGUAGES {
            let mut case = Case::new(language, (0, 0));
            case.overview(overview.clone());
            case.answer(Request::Hello, Ok(Answer::Hello(hello(&["operate"]))));
            case.press(KeyCode::Char('2'));
            case.messages(messages(2_114_911, 100, true));
            for rows in [0, 1, 2, 9, 10, 11, 15, 16, 23, 24, 36] {
                for columns in [0, 1, 2, 39, 40, 41, 60, 79, 80, 119, 120, 250] {
                    case.take(Message::Resize { columns, rows });
                    for keys in [
                        "1", "3", "4", "A", "x", "\n", "5", "R", "\n", "6", "T", "\n", "B", "x", "\n", "F", "\n", "\r",
                        "7", "\r", "\n", "8", "\r", "9", "\r", "n", "\r", "\n", "\n", "0", "P", "\n", "\r", "2", "?",
                        "?", "/x", "\n", "R", "y", "\n", "\r", "G",
                    ] {
                        for key in keys.chars() {
                            case.press(match key {
                                '\n' => KeyCode::Esc,
                                '\r' => KeyCode::Enter,
                                key => KeyCode::Char(key),
                            });
                        }
                        match case.state.wants() {
                            Some(Request::Message { .. }) => case.message(waiting_message(), Some(reach())),
                            Some(Request::Forecast) => case.give(Answer::Forecast(forecast())),
                            Some(Request::Tokens) => case.give(Answer::Tokens(busy().tokens)),
                            Some(Request::Runs { cursor: None, .. }) => case.give(Answer::Runs(runs(700, 100, true))),
                            Some(Request::Run { .. }) => case.give(Answer::Run(Box::new(run_detail()))),
                            Some(Request::Schedules) => case.give(Answer::Schedules(schedules())),
                            Some(Request::Plugins) => case.give(Answer::Plugins(plugins())),
                            Some(Request::Webhooks) => case.give(Answer::Webhooks(webhooks())),
                            Some(Request::Nodes) => case.give(Answer::Nodes(nodes())),
                            Some(Request::Preflight { .. }) => {
                                case.give(Answer::Preflight(Box::new(run_detail().preflight.unwrap())));
                            }
                            Some(Request::Audit { cursor: None, .. }) => {
                                case.give(Answer::Audit(audit(700, 100, true)))
                            }
                            _ => {}
                        }
                        assert_eq!(lines(&case.frame()).len(), usize::from(rows));
                        case.press(KeyCode::PageDown);
                    }
                    case.press(KeyCode::Esc);
                }
            }
        }
    }
}

#[test]
fn nothing_hostile_reaches_a_cell() {
    for case in [Case::with(Language::En, (120, 36), &busy()), on_messages(Language::En, (120, 36))] {
        assert!(case.text().contains("\\x1b[2J"), "{}", case.text());
        for cell in case.frame().content() {
            for character in cell.symbol().chars() {
                assert!(!character.is_control(), "{:?}", cell.symbol());
                assert!(
                    !matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
                );
            }
        }
    }
}

#[test]
fn without_colours_the_same_is_told_and_the_cursor_still_stands_out() {
    let mut case = on_messages(Language::En, (120, 36));
    let with = case.frame();
    case.state.shared.look.colour = false;
    let without = case.frame();
    assert_eq!(lines(&with), lines(&without));
    assert!(with.content().iter().any(|cell| cell.fg != Color::Reset));
    assert!(without.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let row = lines(&without).iter().position(|line| line.starts_with('>')).unwrap();
    let y = u16::try_from(row).unwrap();
    assert!((0..120).all(|x| without[(x, y)].modifier.contains(Modifier::REVERSED)));
}

#[test]
fn on_a_light_background_nothing_is_yellow_or_cyan() {
    let mut case = Case::with(Language::En, (120, 36), &busy());
    case.state.shared.look.light = true;
    for cell in case.frame().content() {
        assert!(!matches!(cell.fg, Color::Yellow | Color::Cyan), "{cell:?}");
    }
    assert!(case.text().contains(&at(0)[11..16]), "and the clock stands");
}
