//! What the screen does about what happens to it: keys and answers in, state and effects out.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tidings_api::wire::{Counts, Forecasts, RunLine};

use crate::acts::{Act, Deed, Place, Step, Timing};
use crate::calls::{Answer, Request, Trouble};
use crate::case::{
    Case, at, audit, busy, empty, forecast, hello, messages, nodes, plan, reach, run_detail, runs, schedules,
    waiting_message, webhooks,
};
use crate::filter::{self, Filter};
use crate::keys::Action;
use crate::message::{Effect, Message};
use crate::page::Kind;
use crate::state::{Link, Overlay, STALE_AFTER};
use crate::view::paint::Hit;
use crate::words::Language;

const SIZE: (u16, u16) = (80, 24);

fn on_messages() -> Case {
    let mut case = Case::on('2', Language::En, SIZE);
    case.messages(messages(1_000, 100, true));
    case
}

/// On messages that match.
fn filtered(text: &str) -> Case {
    let mut case = on_messages();
    case.press(KeyCode::Char('/'));
    case.typed(text);
    case.press(KeyCode::Enter);
    case.messages(messages(1_000, 60, false));
    case
}

fn all_runs(cursor: Option<&str>) -> Request {
    Request::Runs { filter: Filter::all(filter::RUNS), cursor: cursor.map(str::to_owned) }
}

fn control(character: char) -> Message {
    Message::Key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::CONTROL))
}

fn kind(case: &Case) -> Kind {
    case.state.shown().page.kind()
}

fn note(case: &Case) -> &str {
    case.state.note.as_ref().map_or("", |note| note.text.as_str())
}

fn under_cursor(case: &Case) -> String {
    let text = case.text();
    let row = text.lines().find(|line| line.starts_with('>') && !line.starts_with(">>")).unwrap_or_default();
    row.trim_start_matches('>')
        .split_whitespace()
        .find(|word| word.starts_with("msg_") || word.starts_with("run_"))
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_first_frame_is_drawn_before_anything_is_known() {
    let mut case = Case::new(Language::En, SIZE);
    assert!(case.drawn());
    assert!(case.text().contains("CONNECTING"));
}

#[test]
fn q_and_control_c_leave_from_everywhere_but_where_q_is_text() {
    let mut case = Case::new(Language::En, SIZE);
    assert_eq!(case.press(KeyCode::Char('q')), Some(Effect::Quit));
    case.press(KeyCode::Char('?'));
    assert_eq!(case.press(KeyCode::Char('q')), Some(Effect::Quit));
    case.press(KeyCode::Char(':'));
    assert_eq!(case.press(KeyCode::Char('q')), None);
    assert_eq!(case.take(control('c')), Some(Effect::Quit));
}

#[test]
fn r_asks_the_engine_and_changes_nothing_by_itself() {
    let mut case = Case::with(Language::En, SIZE, &busy());
    case.drawn();
    assert_eq!(case.press(KeyCode::Char('r')), Some(Effect::Refresh));
    assert!(!case.drawn());
}

#[test]
fn a_picture_that_differs_in_its_clock_by_a_second_looks_the_same() {
    let mut overview = busy();
    // What counts seconds here: a channel that cools, a run that is under way.
    overview.channels.retain(|channel| channel.until.is_none());
    overview.schedules.clear();
    let mut case = Case::new(Language::En, SIZE);
    case.overview(overview.clone());
    let before = case.text();
    case.pass(1_000);
    case.take(Message::Tick);
    assert_eq!(case.text(), before);
    overview.now = at(1);
    overview.states.sent += 1;
    case.overview(overview);
    assert_ne!(case.text(), before);
}

#[test]
fn silence_makes_the_picture_stale_and_it_stays_and_ages() {
    let mut case = Case::with(Language::En, SIZE, &busy());
    assert_eq!(case.state.shared.link(), Link::Live);
    assert_eq!(case.state.stale_at(), Some(case.now + STALE_AFTER), "the loop wakes then");
    case.pass(1_999);
    case.take(Message::Tick);
    assert_eq!(case.state.shared.link(), Link::Live);
    case.pass(1);
    case.take(Message::Tick);
    assert_eq!(case.state.shared.link(), Link::Stale(STALE_AFTER));
    assert_eq!(case.state.stale_at(), None);
    case.answer(Request::Overview, Err(Trouble::Slow));
    case.pass(7_000);
    case.take(Message::Tick);
    assert!(case.text().contains("STALE 9s"), "{}", case.text());
    assert!(case.text().contains("order-updates"));
    case.overview(busy());
    assert_eq!(case.state.shared.link(), Link::Live);
}

#[test]
fn an_answer_that_waited_to_be_looked_at_is_as_old_as_it_is() {
    let mut case = Case::with(Language::En, SIZE, &busy());
    let came_at = case.now;
    case.pass(10_000);
    let request = Request::Overview;
    let result = Ok(Answer::Overview(std::sync::Arc::new(busy())));
    case.take(Message::Answered { request, result, came_at });
    assert_eq!(case.state.shared.link(), Link::Stale(Duration::from_secs(10)));
}

#[test]
fn an_engine_that_never_answered_is_no_engine_yet() {
    let mut case = Case::new(Language::En, SIZE);
    assert_eq!(case.state.shared.link(), Link::Connecting);
    case.answer(Request::Overview, Err(Trouble::Slow));
    assert_eq!(case.state.shared.link(), Link::NoEngine);
}

#[test]
fn throughput_is_the_difference_of_pictures_and_starts_anew_with_the_engine() {
    let mut case = Case::with(Language::En, SIZE, &busy());
    assert_eq!(case.state.shared.pace.tenths_per_second(), Some(1_842));
    let mut again = busy();
    again.started_at = at(0);
    again.now = at(1);
    case.overview(again);
    assert_eq!(case.state.shared.pace.tenths_per_second(), None);
}

#[test]
fn pages_are_shown_by_digit_by_command_and_by_mouse() {
    let mut case = Case::with(Language::En, SIZE, &busy());
    case.press(KeyCode::Char('2'));
    assert_eq!(kind(&case), Kind::Messages);
    case.press(KeyCode::Char(':'));
    case.typed("over");
    case.press(KeyCode::Enter);
    assert_eq!(kind(&case), Kind::Overview);
    let (_, drawn) = case.draw();
    let tab = drawn.hits.iter().find(|(_, hit)| *hit == Hit::Action(Action::Go(Kind::Messages))).unwrap().0;
    let hit = drawn.hit(tab.x, tab.y).unwrap();
    case.take(Message::Click(hit));
    assert_eq!(kind(&case), Kind::Messages);
}

#[test]
fn a_command_takes_a_filter_and_says_what_it_does_not_know() {
    let mut case = Case::with(Language::Zh, SIZE, &busy());
    case.press(KeyCode::Char('：'));
    case.typed("消息 state:failed");
    case.press(KeyCode::Enter);
    assert_eq!(case.state.shown().page.filter().as_deref(), Some("state:failed"));
    case.press(KeyCode::Char(':'));
    case.typed("dance");
    case.press(KeyCode::Enter);
    assert!(matches!(&case.state.overlay, Overlay::Prompt(prompt) if prompt.problem.is_some()));
    case.press(KeyCode::Esc);
    assert!(matches!(case.state.overlay, Overlay::None));
}

#[test]
fn tab_completes_what_is_typed_and_names_what_it_may_be() {
    let mut case = on_messages();
    case.press(KeyCode::Char('/'));
    case.typed("unk");
    case.press(KeyCode::Tab);
    case.typed("chan");
    case.press(KeyCode::Tab);
    case.press(KeyCode::Tab);
    assert!(case.text().contains("channel:order-updates  channel:wechat-notices"), "{}", case.text());
    case.typed("ord");
    case.press(KeyCode::Tab);
    case.press(KeyCode::Enter);
    assert_eq!(case.state.shown().page.filter().as_deref(), Some("state:unknown channel:order-updates"));
}

#[test]
fn only_what_the_page_that_is_shown_wants_is_asked_and_taken() {
    let mut case = Case::with(Language::En, SIZE, &busy());
    assert_eq!(case.state.wants(), None, "the overview lives by the pulse");
    case.press(KeyCode::Char('2'));
    let all = case.state.wants().unwrap();
    case.press(KeyCode::Char(':'));
    case.typed("messages failed");
    case.press(KeyCode::Enter);
    let failed = case.state.wants().unwrap();
    assert_ne!(all, failed);
    case.answer(all.clone(), Ok(Answer::Messages(messages(1_000, 100, true))));
    assert!(!case.text().contains("msg_1000"), "the answer to another question came late");
    case.answer(all, Err(Trouble::Refused("of long ago".to_owned())));
    assert!(!case.text().contains("of long ago"), "and so did its trouble");
    case.answer(failed, Ok(Answer::Messages(messages(900, 10, false))));
    assert!(case.text().contains("msg_900"));
}

#[test]
fn a_page_whose_call_came_to_nothing_keeps_its_rows_and_says_so() {
    let mut case = on_messages();
    let wanted = case.state.wants().unwrap();
    case.answer(wanted, Err(Trouble::Refused("the store is away".to_owned())));
    assert!(case.text().contains("msg_1000") && case.text().contains("the store is away"));
}

#[test]
fn the_list_follows_what_is_newest_until_the_cursor_leaves_the_first_row() {
    let mut case = on_messages();
    case.messages(messages(1_005, 100, true));
    assert_eq!(under_cursor(&case), "msg_1005");
    case.press(KeyCode::Char('j'));
    let Some(Request::Messages { pin: Some(_), .. }) = case.state.wants() else {
        panic!("{:?}", case.state.wants());
    };
    assert_eq!(under_cursor(&case), "msg_1004");
    case.messages(messages(1_005, 100, true));
    assert_eq!(under_cursor(&case), "msg_1004");
    case.press(KeyCode::Char('g'));
    assert!(matches!(case.state.wants(), Some(Request::Messages { pin: None, cursor: None, .. })));
    case.messages(messages(2_000, 100, true));
    assert_eq!(under_cursor(&case), "msg_2000");
}

#[test]
fn marks_are_by_id_and_escape_takes_back_marks_then_filter() {
    let mut case = filtered("newer:2h");
    case.press(KeyCode::Char(' '));
    case.press(KeyCode::Char(' '));
    assert!(case.text().contains("2 marked"));
    case.press(KeyCode::Esc);
    assert!(!case.text().contains("marked"));
    assert_eq!(case.state.shown().page.filter().as_deref(), Some("newer:2h"));
    case.press(KeyCode::Esc);
    assert_eq!(case.state.shown().page.filter().as_deref(), Some(""));
    case.drawn();
    case.press(KeyCode::Esc);
    assert!(!case.drawn(), "there is nothing left to go back from");
}

#[test]
fn an_act_on_one_message_is_asked_about_and_carried_out_for_that_message() {
    let mut case = on_messages();
    // 1000 is unknown: it may be sent again.
    assert_eq!(case.press(KeyCode::Char('R')), None);
    assert!(matches!(case.state.overlay, Overlay::Dialog(_)));
    // What comes meanwhile changes nothing in what was asked.
    case.messages(messages(1_700, 100, true));
    case.press(KeyCode::Enter);
    case.pass(400);
    let effect = case.press(KeyCode::Char('R'));
    let act = Act::Messages { deed: Deed::Retry, ids: vec!["msg_1000".to_owned()] };
    assert_eq!(effect, Some(Effect::CarryOut { dialog: 1, act, reason: None, place: Place::default() }));
    assert_eq!(case.state.under_way, 1);
    case.take(Message::Advanced { dialog: 1, result: Ok(Step { moved: 1, ..Step::default() }) });
    assert_eq!(case.state.under_way, 0);
    assert!(case.text().contains("done: 1"));
    case.press(KeyCode::Esc);
    assert!(matches!(case.state.overlay, Overlay::None));
}

#[test]
fn what_a_message_does_not_allow_is_refused_with_why() {
    let mut case = on_messages();
    case.press(KeyCode::Char('C'));
    assert_eq!(note(&case), "msg_1000 is unknown");
    assert!(matches!(case.state.overlay, Overlay::None));
    case.press(KeyCode::Char('j'));
    assert_eq!(note(&case), "", "until the next key");
    // 999 is held: the key that holds releases it.
    case.press(KeyCode::Char('W'));
    assert!(case.text().contains("Release: msg_999"), "{}", case.text());
}

#[test]
fn marked_messages_are_acted_on_together_and_their_number_is_typed() {
    let mut case = on_messages();
    case.press(KeyCode::Char(' '));
    case.press(KeyCode::Char(' '));
    case.press(KeyCode::Char('R'));
    case.typed("2");
    case.press(KeyCode::Enter);
    case.typed("again");
    case.press(KeyCode::Enter);
    case.pass(400);
    let Some(Effect::CarryOut { act, reason, .. }) = case.press(KeyCode::Char('R')) else { panic!("not carried out") };
    let ids = vec!["msg_1000".to_owned(), "msg_999".to_owned()];
    assert_eq!((act, reason.as_deref()), (Act::Messages { deed: Deed::Retry, ids }, Some("again")));
}

#[test]
fn everything_that_matches_is_planned_by_the_engine_and_done_from_its_cursor() {
    let mut case = on_messages();
    case.press(KeyCode::Char('Q'));
    assert!(note(&case).starts_with("name a state"), "a list of everything is nothing to send again: {}", note(&case));
    let mut case = filtered("unknown");
    let act = Act::Matching { deed: Deed::Retry, filter: Filter::parse("unknown").unwrap() };
    assert_eq!(case.press(KeyCode::Char('Q')), Some(Effect::Plan { dialog: 1, act: act.clone() }));
    case.take(Message::Planned { dialog: 7, result: Err(Trouble::Slow) });
    assert!(case.text().contains("asking the engine"), "the answer to another dialog is none to this one");
    case.take(Message::Planned { dialog: 1, result: Ok(plan().into()) });
    assert!(case.text().contains("1,204 messages match"));
    case.typed("1204");
    case.press(KeyCode::Enter);
    case.typed("outage");
    case.press(KeyCode::Enter);
    case.pass(400);
    let place = Place::Cursor("from-here".to_owned());
    let reason = Some("outage".to_owned());
    assert_eq!(case.press(KeyCode::Char('Q')), Some(Effect::CarryOut { dialog: 1, act, reason, place }));
}

#[test]
fn an_act_goes_on_when_its_dialog_is_closed_and_holds_up_leaving() {
    let mut case = on_messages();
    case.press(KeyCode::Char('R'));
    case.press(KeyCode::Enter);
    case.pass(400);
    assert!(case.press(KeyCode::Char('R')).is_some());
    case.press(KeyCode::Esc);
    assert!(note(&case).contains("goes on"));
    assert_eq!(case.press(KeyCode::Char('q')), None);
    assert!(note(&case).contains("under way"));
    assert_eq!(case.take(control('c')), Some(Effect::Quit));
    case.take(Message::Advanced { dialog: 1, result: Ok(Step { moved: 1, ..Step::default() }) });
    assert!(note(&case).contains("came to its end"));
    assert_eq!(case.press(KeyCode::Char('q')), Some(Effect::Quit));
}

#[test]
fn who_may_not_operate_is_told_so_at_each_key_and_nothing_is_asked_of_the_engine() {
    let mut case = filtered("unknown");
    case.answer(Request::Hello, Ok(Answer::Hello(hello(&["read"]))));
    assert!(case.text().contains("READ-ONLY"));
    for key in ['R', 'C', 'W', 'Q'] {
        assert_eq!(case.press(KeyCode::Char(key)), None);
        assert_eq!(note(&case), "the key `ops` has no scope `operate`");
        assert!(matches!(case.state.overlay, Overlay::None));
    }
}

#[test]
fn nothing_is_changed_in_an_engine_that_does_not_answer() {
    let mut case = on_messages();
    case.press(KeyCode::Char('R'));
    case.press(KeyCode::Enter);
    case.pass(5_000);
    assert_eq!(case.press(KeyCode::Char('R')), None, "the question stands");
    assert!(matches!(case.state.overlay, Overlay::Dialog(_)));
    case.overview(busy());
    case.pass(200);
    assert!(case.press(KeyCode::Char('R')).is_some());
    case.press(KeyCode::Esc);
    case.pass(5_000);
    case.press(KeyCode::Char('R'));
    assert_eq!(note(&case), "not now: the engine does not answer");
}

#[test]
fn pasted_text_goes_into_what_is_typed_and_is_never_a_command() {
    let mut case = on_messages();
    case.take(Message::Paste("RRR\n".to_owned()));
    assert!(matches!(case.state.overlay, Overlay::None));
    case.press(KeyCode::Char('/'));
    case.take(Message::Paste("to:o-alice\n".to_owned()));
    case.press(KeyCode::Enter);
    assert_eq!(case.state.shown().page.filter().as_deref(), Some("to:o-alice"));
}

#[test]
fn the_mouse_moves_the_cursor_and_the_wheel_the_list_and_neither_answers_a_question() {
    let mut case = on_messages();
    let (_, drawn) = case.draw();
    let (area, hit) = *drawn.hits.iter().find(|(_, hit)| matches!(hit, Hit::Row { row: 3, .. })).unwrap();
    assert_eq!(drawn.hit(area.x + 5, area.y), Some(hit));
    case.take(Message::Click(hit));
    assert_eq!(under_cursor(&case), "msg_997");
    case.take(Message::Wheel { down: true });
    assert_eq!(under_cursor(&case), "msg_994");
    case.press(KeyCode::Char('R'));
    let overlay = format!("{:?}", case.state.overlay);
    case.take(Message::Click(hit));
    case.take(Message::Wheel { down: true });
    assert_eq!(format!("{:?}", case.state.overlay), overlay);
}

#[test]
fn the_overviews_lists_take_the_keys_in_turn_and_lead_to_their_messages() {
    let mut case = Case::with(Language::En, (120, 36), &busy());
    case.press(KeyCode::Tab);
    case.press(KeyCode::Char('j'));
    let text = case.text();
    assert!(text.contains(">> Needs you"), "{text}");
    case.press(KeyCode::Enter);
    assert_eq!(kind(&case), Kind::Tokens, "the second is a token that cannot be had");
    case.press(KeyCode::Char('1'));
    case.press(KeyCode::Tab);
    case.press(KeyCode::Enter);
    assert_eq!(kind(&case), Kind::Messages);
    assert_eq!(case.state.shown().page.filter().as_deref(), Some("channel:wechat-notices"));
}

#[test]
fn a_message_is_opened_acted_on_and_left_and_the_list_is_as_it_was() {
    let mut case = filtered("newer:2h");
    case.press(KeyCode::Char('j'));
    case.messages(messages(1_000, 60, false));
    case.press(KeyCode::Enter);
    assert_eq!(case.state.wants(), Some(Request::Message { id: "msg_999".to_owned() }));
    assert_eq!(case.press(KeyCode::Char('R')), None);
    assert_eq!(note(&case), "there is nothing under the cursor", "before it is known nothing is done to it");
    case.message(waiting_message(), Some(reach()));
    case.press(KeyCode::Char('R'));
    assert!(note(&case).ends_with("is waiting"));
    case.press(KeyCode::Char('C'));
    case.press(KeyCode::Enter);
    case.pass(400);
    let Some(Effect::CarryOut { act, .. }) = case.press(KeyCode::Char('C')) else { panic!("not carried out") };
    assert_eq!(act, Act::Messages { deed: Deed::Cancel, ids: vec!["msg_999".to_owned()] });
    case.press(KeyCode::Esc);
    case.press(KeyCode::Esc);
    assert_eq!(kind(&case), Kind::Messages);
    assert_eq!(under_cursor(&case), "msg_999");
    assert_eq!(case.state.shown().page.filter().as_deref(), Some("newer:2h"));
}

#[test]
fn a_channel_is_paused_with_a_reason_and_resumed_with_or_without() {
    let mut case = Case::on('3', Language::En, SIZE);
    assert_eq!(case.state.wants(), Some(Request::Reasons { channel: "wechat-notices".to_owned() }));
    case.press(KeyCode::Char('P'));
    case.press(KeyCode::Enter);
    case.pass(400);
    assert_eq!(case.press(KeyCode::Char('P')), None, "who pauses says why: that P is the beginning of it");
    case.typed("rovider down");
    case.press(KeyCode::Enter);
    case.pass(400);
    let Some(Effect::CarryOut { act, reason, .. }) = case.press(KeyCode::Char('P')) else { panic!("not carried out") };
    assert_eq!(act, Act::Channel { pause: true, name: "wechat-notices".to_owned() });
    assert_eq!(reason.as_deref(), Some("Provider down"));
    case.press(KeyCode::Esc);
    // The cursor stays with its channel when the order changes.
    let mut overview = busy();
    overview.channels[1].state = "paused".to_owned();
    overview.channels[2].state = "halted".to_owned();
    case.overview(overview);
    case.press(KeyCode::Char('j'));
    case.press(KeyCode::Char('P'));
    assert!(case.text().contains("Resume: wechat-notices"), "{}", case.text());
    case.press(KeyCode::Enter);
    case.pass(400);
    assert!(matches!(case.press(KeyCode::Char('P')), Some(Effect::CarryOut { reason: None, .. })));
}

#[test]
fn a_channel_leads_to_its_messages_and_has_a_pace_of_its_own() {
    let mut case = Case::on('3', Language::En, (120, 36));
    let mut overview = busy();
    overview.now = at(1);
    overview.channels[1].counts.sent += 12;
    case.overview(overview);
    let line = case.text().lines().find(|line| line.contains("wechat-notices")).unwrap().to_owned();
    assert!(line.contains(" 2.0 "), "12 more in six seconds: {line}");
    case.press(KeyCode::Enter);
    assert_eq!(case.state.shown().page.filter().as_deref(), Some("channel:wechat-notices"));
}

#[test]
fn a_message_is_shown_by_its_id() {
    let mut case = Case::with(Language::En, SIZE, &busy());
    for id in ["42", "msg_42"] {
        case.press(KeyCode::Char(':'));
        case.typed(&format!("message {id}"));
        case.press(KeyCode::Enter);
        assert_eq!(case.state.wants(), Some(Request::Message { id: "msg_42".to_owned() }));
    }
    let wanted = case.state.wants().unwrap();
    case.answer(wanted, Err(Trouble::Refused("there is no message msg_42".to_owned())));
    assert!(case.text().contains("there is no message msg_42"));
    for _ in 0..50 {
        case.press(KeyCode::Char(':'));
        case.typed("message 7");
        case.press(KeyCode::Enter);
    }
    assert!(case.state.details.len() <= 8);
}

#[test]
fn a_message_says_why_it_is_not_sending() {
    let why = |change: fn(&mut tidings_api::wire::Message), with_reach: bool| {
        let mut case = Case::with(Language::En, (120, 36), &busy());
        case.press(KeyCode::Char(':'));
        case.typed("message 7");
        case.press(KeyCode::Enter);
        let mut message = waiting_message();
        message.channel = "order-updates".to_owned();
        change(&mut message);
        case.message(message, with_reach.then(reach));
        case.text()
    };
    let waiting = why(|_| {}, true);
    for sentence in
        ["no usable credential yet", "no permit of `o` fits `order-paid` (in 10m)", "another credential in 1d"]
    {
        assert!(waiting.contains(sentence), "{sentence}: {waiting}");
    }
    assert!(!waiting.contains("twice"), "what the channel says, the overview says newer");
    let queued = why(|message| message.state = "queued".to_owned(), false);
    assert!(queued.contains("full: 64 of 64") && queued.contains("18,203 others"), "{queued}");
    let paused = why(|message| message.channel = "企业微信通知".to_owned(), false);
    assert!(paused.contains("is paused: 维护中 (li.wei)"), "{paused}");
    let cooling = why(|message| message.channel = "短信-华东".to_owned(), false);
    assert!(cooling.contains("opens by itself in 52s"), "{cooling}");
    let gone = why(|message| message.channel = "old".to_owned(), false);
    assert!(gone.contains("no channel `old`"), "{gone}");
    let sent = why(|message| message.state = "sent".to_owned(), false);
    assert!(!sent.contains("not sending"), "{sent}");
}

#[test]
fn help_opens_closes_and_takes_the_movement() {
    let mut case = on_messages();
    case.take(Message::Resize { columns: 80, rows: 12 });
    case.press(KeyCode::Char('?'));
    case.press(KeyCode::End);
    assert!(matches!(case.state.overlay, Overlay::Help(top) if top > 0));
    case.take(Message::Resize { columns: 80, rows: 60 });
    assert!(matches!(case.state.overlay, Overlay::Help(0)));
    case.press(KeyCode::Esc);
    assert!(matches!(case.state.overlay, Overlay::None));
    assert_eq!(under_cursor(&case), "msg_1000");
}

#[test]
fn counts_at_the_end_of_their_range_are_drawn() {
    let mut overview = busy();
    overview.states = Counts { queued: i64::MAX, held: i64::MIN, ..Counts::default() };
    let case = Case::with(Language::En, SIZE, &overview);
    assert!(case.text().contains("9,223,372,036,854,775,807"));
}

#[test]
fn a_list_holds_a_window_follows_at_its_start_and_stays_with_its_row_elsewhere() {
    let mut case = Case::on('7', Language::En, SIZE);
    case.give(Answer::Runs(runs(1_000, 100, true)));
    case.give(Answer::Runs(runs(1_002, 100, true)));
    assert_eq!(under_cursor(&case), "run_1002", "at its start it follows");
    for _ in 0..70 {
        case.press(KeyCode::Char('j'));
    }
    assert_eq!(case.state.wants(), Some(all_runs(Some("903"))));
    case.give(Answer::Runs(runs(902, 100, true)));
    let under = under_cursor(&case);
    // What is new at the start moves nothing and loses nothing.
    assert_eq!(case.state.wants(), Some(all_runs(None)));
    case.give(Answer::Runs(runs(1_050, 100, true)));
    assert_eq!(under_cursor(&case), under);
    let mut seen = Vec::new();
    case.press(KeyCode::Char('g'));
    for _ in 0..199 {
        seen.push(under_cursor(&case));
        case.press(KeyCode::Char('j'));
    }
    let expected: Vec<String> = (0..199).map(|age| format!("run_{}", 1_002 - age)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_run_is_cancelled_while_it_runs_and_from_its_own_page_too() {
    let mut case = Case::on('7', Language::En, SIZE);
    assert_eq!(case.press(KeyCode::Char('C')), None);
    assert_eq!(note(&case), "there is nothing under the cursor");
    case.give(Answer::Runs(runs(7, 4, false)));
    case.press(KeyCode::Char('j'));
    case.press(KeyCode::Char('C'));
    assert_eq!(note(&case), "run_6 is failed");
    case.press(KeyCode::Char('k'));
    case.press(KeyCode::Enter);
    assert_eq!(case.state.wants(), Some(Request::Run { id: "run_7".to_owned() }));
    case.give(Answer::Run(Box::new(run_detail())));
    case.press(KeyCode::Char('C'));
    case.press(KeyCode::Enter);
    case.pass(400);
    let Some(Effect::CarryOut { act, .. }) = case.press(KeyCode::Char('C')) else { panic!("not carried out") };
    assert_eq!(act, Act::Run { id: "run_7".to_owned() });
}

#[test]
fn the_log_of_a_run_is_followed_from_its_end() {
    let mut case = Case::on('7', Language::En, SIZE);
    case.give(Answer::Runs(runs(7, 1, false)));
    case.press(KeyCode::Enter);
    let mut detail = run_detail();
    case.give(Answer::Run(Box::new(detail.clone())));
    assert!(!case.text().contains("第 30 批"));
    case.press(KeyCode::Char('G'));
    assert!(case.text().contains("第 30 批"), "{}", case.text());
    detail.log.push(RunLine { line: 31, at: at(0), level: "info".to_owned(), text: "the newest".to_owned() });
    case.give(Answer::Run(Box::new(detail.clone())));
    assert!(case.text().contains("the newest"));
    case.press(KeyCode::Char('k'));
    detail.log.push(RunLine { line: 32, at: at(0), level: "info".to_owned(), text: "newer still".to_owned() });
    case.give(Answer::Run(Box::new(detail)));
    assert!(!case.text().contains("newer still"), "who looks back is left where they look");
}

#[test]
fn a_token_is_fetched_for_the_app_under_the_cursor() {
    let mut case = Case::on('5', Language::En, SIZE);
    case.give(Answer::Tokens(busy().tokens));
    case.press(KeyCode::Char('j'));
    case.press(KeyCode::Char('R'));
    case.press(KeyCode::Enter);
    case.pass(400);
    let Some(Effect::CarryOut { act, .. }) = case.press(KeyCode::Char('R')) else { panic!("not carried out") };
    assert_eq!(act, Act::Token { app: "公众号".to_owned() });
}

#[test]
fn a_credential_is_added_by_its_fields_and_is_seen_nowhere() {
    let mut case = Case::on('4', Language::En, SIZE);
    case.give(Answer::Forecast(Forecasts { now: at(0), items: Vec::new() }));
    // There need be no row for it.
    case.press(KeyCode::Char('A'));
    case.typed("wechat.form_id");
    case.press(KeyCode::Enter);
    case.typed("shop");
    case.press(KeyCode::Enter);
    case.typed("s3cret");
    case.press(KeyCode::Enter);
    assert!(case.text().contains("not that"), "a value without a name: {}", case.text());
    case.take(control('u'));
    case.take(Message::Paste("form_id=s3cret openId=o-alice\n".to_owned()));
    case.press(KeyCode::Enter);
    case.pass(400);
    assert!(!case.text().contains("s3cret") && !format!("{:?}", case.state).contains("s3cret"));
    let effect = case.press(KeyCode::Char('A')).unwrap();
    assert!(!format!("{effect:?}").contains("s3cret"));
    let Effect::CarryOut { act: Act::Credential(credential), reason: None, .. } = effect else { panic!("{effect:?}") };
    assert_eq!((credential.source.as_str(), credential.app.as_str()), ("wechat.form_id", "shop"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(credential.fields.pairs(), [pair("form_id", "s3cret"), pair("openId", "o-alice")]);
}

#[test]
fn who_may_only_collect_adds_credentials_and_fetches_no_token() {
    let mut case = Case::on('4', Language::En, SIZE);
    case.answer(Request::Hello, Ok(Answer::Hello(hello(&["read", "collect"]))));
    case.give(Answer::Forecast(forecast()));
    case.press(KeyCode::Char('A'));
    assert!(matches!(case.state.overlay, Overlay::Dialog(_)));
    case.press(KeyCode::Esc);
    case.press(KeyCode::Char('5'));
    case.give(Answer::Tokens(busy().tokens));
    case.press(KeyCode::Char('R'));
    assert_eq!(note(&case), "the key `ops` has no scope `operate`");
}

#[test]
fn a_row_in_full_takes_the_page_and_gives_it_back_and_stays_the_same_row() {
    let mut case = Case::on('9', Language::En, (40, 10));
    case.give(Answer::Audit(audit(50, 50, false)));
    case.press(KeyCode::Enter);
    assert!(case.text().contains("aud_50  channel.pause"), "{}", case.text());
    case.give(Answer::Audit(audit(52, 52, false)));
    assert!(case.text().contains("aud_50  channel.pause"), "what is new does not take its place: {}", case.text());
    case.press(KeyCode::Esc);
    assert!(!case.text().contains("aud_50  channel.pause"));
    case.press(KeyCode::Enter);
    case.give(Answer::Audit(audit(9, 3, false)));
    assert_eq!(kind(&case), Kind::Audit);
    assert!(case.text().contains('>'), "a row that is gone leaves the list: {}", case.text());
}

#[test]
fn a_schedule_is_run_paused_with_a_reason_and_its_next_time_left_out_or_not() {
    let mut case = Case::on('6', Language::En, SIZE);
    case.give(Answer::Schedules(schedules()));
    let asked = |case: &mut Case, key: char, reason: &str| {
        case.overview(busy());
        case.press(KeyCode::Char(key));
        case.typed(reason);
        case.press(KeyCode::Enter);
        case.pass(400);
        let effect = case.press(KeyCode::Char(key));
        case.press(KeyCode::Esc);
        case.take(Message::Advanced { dialog: case.state.dialogs, result: Ok(Step::default()) });
        match effect {
            Some(Effect::CarryOut { act: Act::Schedule { timing, name }, .. }) => Some((timing, name)),
            _ => None,
        }
    };
    // The one that failed stands first, and its next time is left out already.
    let failed = "每日对账".to_owned();
    assert_eq!(asked(&mut case, 'T', ""), Some((Timing::Run, failed.clone())));
    assert_eq!(asked(&mut case, 'S', ""), Some((Timing::Unskip, failed.clone())));
    assert_eq!(asked(&mut case, 'P', ""), None, "who pauses says why");
    assert_eq!(asked(&mut case, 'P', "outage"), Some((Timing::Pause, failed)));
    case.press(KeyCode::Char('j'));
    assert_eq!(asked(&mut case, 'S', ""), Some((Timing::Skip, "keep-token".to_owned())));
    case.press(KeyCode::Char('j'));
    assert_eq!(asked(&mut case, 'P', ""), Some((Timing::Resume, "drop-stale-credentials".to_owned())));
    case.press(KeyCode::Char('j'));
    for key in ['T', 'P', 'S'] {
        case.press(KeyCode::Char(key));
        assert_eq!(note(&case), "morning-digest is removed");
    }
}

#[test]
fn runs_and_changes_are_filtered_and_an_unknown_word_is_refused() {
    let mut case = Case::on('7', Language::En, SIZE);
    case.give(Answer::Runs(runs(1_000, 100, true)));
    case.press(KeyCode::Char('/'));
    case.typed("channel:x");
    case.press(KeyCode::Enter);
    assert!(case.text().contains("no `channel:` here"), "{}", case.text());
    for _ in 0..9 {
        case.press(KeyCode::Backspace);
    }
    case.typed("failed schedule:keep-token");
    case.press(KeyCode::Enter);
    let wanted = case.state.wants();
    let filter = Filter::of(filter::RUNS, "failed schedule:keep-token").unwrap();
    assert_eq!(wanted, Some(Request::Runs { filter, cursor: None }));
    // An answer to the question before is for the list before.
    case.answer(all_runs(None), Ok(Answer::Runs(runs(1_000, 100, true))));
    assert_eq!(under_cursor(&case), "");
    case.give(Answer::Runs(runs(900, 3, false)));
    assert_eq!(under_cursor(&case), "run_900");
    case.press(KeyCode::Esc);
    assert_eq!(case.state.wants(), Some(all_runs(None)), "Esc takes the filter away");

    let mut case = Case::on('9', Language::En, SIZE);
    case.press(KeyCode::Char(':'));
    case.typed("audit channel.pause newer:2h");
    case.press(KeyCode::Enter);
    let filter = Filter::of(filter::AUDIT, "act:channel.pause newer:2h").unwrap();
    assert_eq!(case.state.wants(), Some(Request::Audit { filter, cursor: None }));
    assert_eq!(case.press(KeyCode::Char('/')), None);
    assert!(case.text().contains("act:channel.pause newer:2h"));
}

#[test]
fn a_webhook_that_takes_nothing_is_set_going_again_and_any_may_be_tried() {
    let mut case = Case::on('0', Language::En, SIZE);
    case.give(Answer::Webhooks(webhooks()));
    case.press(KeyCode::Char('P'));
    assert_eq!(note(&case), "仓库 is ok");
    case.press(KeyCode::Char('G'));
    case.press(KeyCode::Char('P'));
    case.press(KeyCode::Enter);
    case.pass(1_000);
    case.overview(busy());
    let act = Act::Webhook { test: false, name: "archive".to_owned() };
    let effect = case.press(KeyCode::Char('P'));
    assert!(matches!(effect, Some(Effect::CarryOut { act: found, .. }) if found == act));
    case.press(KeyCode::Esc);
    case.press(KeyCode::Char('T'));
    case.pass(1_000);
    case.overview(busy());
    let act = Act::Webhook { test: true, name: "archive".to_owned() };
    let effect = case.press(KeyCode::Char('T'));
    assert!(matches!(effect, Some(Effect::CarryOut { act: found, reason: None, .. }) if found == act));
    let refused = Some("HTTP 410 Gone".to_owned());
    case.take(Message::Advanced { dialog: 2, result: Ok(Step { refused, ..Step::default() }) });
    assert!(case.text().contains("HTTP 410 Gone"), "{}", case.text());
}

#[test]
fn nodes_lie_over_the_page_they_were_opened_from_and_what_needs_somebody_leads_there() {
    let mut case = Case::on('2', Language::En, SIZE);
    case.press(KeyCode::Char('n'));
    assert_eq!(case.state.wants(), Some(Request::Nodes));
    case.give(Answer::Nodes(nodes()));
    case.press(KeyCode::Char('n'));
    assert!(case.text().contains("shanghai-1"), "{}", case.text());
    case.press(KeyCode::Esc);
    assert!(matches!(case.state.wants(), Some(Request::Messages { .. })));
    let mut overview = empty();
    overview.nodes = nodes();
    let mut case = Case::with(Language::En, SIZE, &overview);
    assert!(case.text().contains("its config is not this engine's"), "{}", case.text());
    assert!(case.text().contains("this engine is gone"), "{}", case.text());
    case.press(KeyCode::Tab);
    case.press(KeyCode::Enter);
    assert_eq!(case.state.wants(), Some(Request::Nodes));
}

#[test]
fn whom_a_broadcast_would_reach_is_asked_once_and_only_of_a_broadcast() {
    let mut case = Case::on('6', Language::En, SIZE);
    case.give(Answer::Schedules(schedules()));
    for _ in 0..10 {
        case.press(KeyCode::Char('F'));
        if kind(&case) == Kind::Preflight {
            break;
        }
        let refused = note(&case).to_owned();
        assert!(refused.ends_with("sends to no audience") || refused.ends_with("is removed"), "{refused}");
        case.press(KeyCode::Char('j'));
    }
    let wanted = case.state.wants().unwrap();
    assert_eq!(wanted, Request::Preflight { schedule: "每日对账".to_owned() });
    assert!(wanted.answer_max() > Request::Overview.answer_max(), "an audience is walked for minutes");
    case.give(Answer::Preflight(Box::new(run_detail().preflight.unwrap())));
    assert!(case.text().contains("910"), "{}", case.text());
    assert_eq!(case.state.wants(), None, "it is not walked again by itself");
    case.press(KeyCode::Esc);
    assert_eq!(kind(&case), Kind::Schedules);
}

#[test]
fn a_backfill_that_goes_on_is_stopped_by_the_key_that_begins_one() {
    let mut case = Case::on('6', Language::En, SIZE);
    let mut all = schedules();
    all.truncate(1);
    all[0].backfill = Some(Default::default());
    case.give(Answer::Schedules(all));
    case.press(KeyCode::Char('B'));
    case.press(KeyCode::Enter);
    case.pass(1_000);
    case.overview(busy());
    let act = Act::Schedule { timing: Timing::EndBackfill, name: "keep-token".to_owned() };
    let effect = case.press(KeyCode::Char('B'));
    assert!(matches!(effect, Some(Effect::CarryOut { act: found, .. }) if found == act));
}
