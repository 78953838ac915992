//! Whole screens against text files in `tests/screens/`. `UPDATE_SCREENS=1` writes the files; a look at their diff is
//! then the review.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use tidings_api::wire::{Change, Channel, Counts, Overview, Run, Schedule, Token};
use unicode_width::UnicodeWidthStr;

use crate::message::{Message, Trouble};
use crate::state::State;
use crate::update::update;
use crate::view;
use crate::words::Language;

const LANGUAGES: [(Language, &str); 2] = [(Language::En, "en"), (Language::Zh, "zh")];
const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}o\u{202e}EVIL\u{2066}\r\nrm -rf \u{200b}👍🏽 z\u{300}\u{301}\u{302}\u{303}\u{304}";

fn at(seconds: i64) -> String {
    (chrono::DateTime::from_timestamp(1_772_366_400, 0).unwrap() + chrono::TimeDelta::seconds(seconds)).to_rfc3339()
}

fn channel(name: &str, state: &str, counts: Counts) -> Channel {
    Channel {
        name: name.to_owned(),
        app: "shop".to_owned(),
        transport: "wechat.template".to_owned(),
        state: state.to_owned(),
        counts,
        in_flight_max: 64,
        ..Channel::default()
    }
}

fn schedule(name: &str, timezone: &str, job: &str, next_in: i64, last_run: Option<Run>) -> Schedule {
    Schedule {
        name: name.to_owned(),
        cron: "0 9 * * 1-5".to_owned(),
        timezone: timezone.to_owned(),
        job: job.to_owned(),
        next_at: Some(at(next_in)),
        last_run,
    }
}

fn run(state: &str, ended: i64, done: i64, total: Option<i64>, result: Option<&str>) -> Run {
    Run {
        state: state.to_owned(),
        started_at: at(ended - 8),
        ended_at: (state != "running").then(|| at(ended)),
        done,
        total,
        result: result.map(str::to_owned),
        ..Run::default()
    }
}

fn change(age: i64, id: &str, channel: &str, to: &str, state: &str, reason: Option<&str>) -> Change {
    Change {
        at: at(-age),
        id: id.to_owned(),
        channel: channel.to_owned(),
        to: to.to_owned(),
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
    }
}

/// An engine at work, with names and recipients as they come.
fn busy() -> Overview {
    let mut recent = vec![
        change(0, "msg_2114911", "order-updates", "oGx5b5TqWn8RkVJd2aZk0yq3Lw8c", "sent", None),
        change(0, "msg_2114910", "短信-华东", "张伟 (上海市浦东新区世纪大道一百号环球金融中心)", "sending", None),
        change(1, "msg_2114904", "order-updates", HOSTILE, "failed", Some("recipient_gone")),
        change(1, "msg_2114909", "wechat-notices", "oGx5b5Wb1yEvQ2t7Q4s9yKc3Pq7M", "waiting", Some("no_credential")),
        change(2, "msg_2114877", "企业微信通知", "李娜", "unknown", Some("connection_lost")),
    ];
    recent.extend((3..40).map(|age| {
        let id = format!("msg_{}", 2_114_900 - age);
        change(age, &id, "order-updates", "oGx5b5TqWn8RkVJd2aZk0yq3Lw8c", "sent", None)
    }));
    Overview {
        late_outcomes: 0,
        store_problem: None,
        webhooks: Vec::new(),
        version: "0.1.0".to_owned(),
        now: at(0),
        started_at: at(-3 * 86_400 - 4 * 3_600),
        draining: false,
        states: Counts {
            scheduled: 3_110,
            queued: 18_204,
            waiting: 15,
            sending: 96,
            held: 2,
            sent: 2_114_870,
            delivered: 12_044,
            failed: 37,
            unknown: 4,
            expired: 12,
            cancelled: 1,
        },
        channels: vec![
            channel(
                "order-updates",
                "open",
                Counts { queued: 18_204, sending: 64, waiting: 3, sent: 2_100_000, failed: 36, ..Counts::default() },
            ),
            Channel {
                reason: Some("48001 api unauthorized: the account lost the right to send templates".to_owned()),
                ..channel("wechat-notices", "halted", Counts { waiting: 12, held: 2, sent: 9_870, ..Counts::default() })
            },
            Channel {
                until: Some(at(52)),
                reason: Some("45009 reach max api daily quota limit".to_owned()),
                ..channel(
                    "短信-华东",
                    "cooling",
                    Counts { scheduled: 3_110, sending: 32, sent: 5_000, unknown: 4, ..Counts::default() },
                )
            },
            Channel {
                reason: Some("维护中 (li.wei)".to_owned()),
                ..channel("企业微信通知", "paused", Counts::default())
            },
        ],
        schedules: vec![
            schedule("keep-token", "UTC", "refresh_token shop", 173, Some(run("done", -3_427, 1, Some(1), None))),
            schedule(
                "每日对账",
                "Asia/Shanghai",
                "send digest",
                86_220,
                Some(run("failed", -180, 120, Some(1_000), Some("audience.csv: no such file"))),
            ),
            schedule("drop-stale-credentials", "UTC", "purge_credentials", 57_600, None),
            schedule(
                "morning-digest",
                "Asia/Shanghai",
                "send digest",
                66_420,
                Some(run("running", 0, 3_200, None, None)),
            ),
        ],
        tokens: vec![
            Token {
                app: "shop".to_owned(),
                state: "valid".to_owned(),
                fetched_at: Some(at(-1_080)),
                expires_at: Some(at(6_120)),
                fetches_today: 12,
                fetches_max: Some(2_000),
                problem: None,
            },
            Token {
                app: "公众号".to_owned(),
                state: "waiting".to_owned(),
                expires_at: Some(at(-380)),
                fetches_today: 1_999,
                fetches_max: None,
                problem: Some("40164 invalid ip 10.2.0.14, not in whitelist".to_owned()),
                ..Token::default()
            },
        ],
        recent,
    }
}

fn empty() -> Overview {
    Overview { version: "0.1.0".to_owned(), now: at(0), started_at: at(-5), ..Overview::default() }
}

struct Case {
    state: State,
}

impl Case {
    fn new(language: Language, (columns, rows): (u16, u16)) -> Case {
        let mut case = Case { state: State::new("http://127.0.0.1:7380", language, true) };
        case.take(0, Message::Resize { columns, rows });
        case
    }

    fn with(language: Language, size: (u16, u16), overview: &Overview) -> Case {
        let mut case = Case::new(language, size);
        let mut before = overview.clone();
        before.now = at(-5);
        before.states.sent -= 921;
        case.take(0, Message::Answered(Ok(Arc::new(before))));
        case.take(5, Message::Answered(Ok(Arc::new(overview.clone()))));
        case
    }

    fn take(&mut self, seconds: u64, message: Message) {
        update(&mut self.state, Duration::from_secs(seconds), message);
    }

    fn press(&mut self, code: KeyCode) {
        let seconds = self.state.now.as_secs();
        self.take(seconds, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    fn frame(&self) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(self.state.size.0, self.state.size.1)).unwrap();
        terminal.draw(|frame| view::draw(&self.state, frame)).unwrap();
        terminal.backend().buffer().clone()
    }
}

/// The rows as a terminal shows them. The cell behind a wide character is hidden by it.
fn lines(frame: &Buffer) -> Vec<String> {
    let area = frame.area;
    (area.top()..area.bottom())
        .map(|y| {
            let mut line = String::new();
            let mut x = area.left();
            while x < area.right() {
                let symbol = frame[(x, y)].symbol();
                line.push_str(symbol);
                x += u16::try_from(symbol.width().max(1)).unwrap();
            }
            assert_eq!(x, area.right(), "a wide character hangs over the edge: {line}");
            line.trim_end().to_owned()
        })
        .collect()
}

fn check(name: &str, case: &Case) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/screens").join(format!("{name}.txt"));
    let mut found = lines(&case.frame()).join("\n");
    found.push('\n');
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

#[test]
fn a_busy_engine_at_every_size_in_both_languages() {
    for (language, tag) in LANGUAGES {
        for (columns, rows) in [(120, 36), (80, 24), (60, 16), (40, 10)] {
            let case = Case::with(language, (columns, rows), &busy());
            check(&format!("busy-{columns}x{rows}-{tag}"), &case);
        }
    }
}

#[test]
fn an_engine_with_nothing_in_it() {
    for (language, tag) in LANGUAGES {
        for (columns, rows) in [(120, 36), (80, 24), (40, 10)] {
            let mut case = Case::new(language, (columns, rows));
            case.take(0, Message::Answered(Ok(Arc::new(empty()))));
            check(&format!("empty-{columns}x{rows}-{tag}"), &case);
        }
    }
}

#[test]
fn no_engine_yet() {
    for (language, tag) in LANGUAGES {
        for (columns, rows) in [(80, 24), (40, 10)] {
            let mut case = Case::new(language, (columns, rows));
            case.take(1, Message::Answered(Err(Trouble::Unreachable)));
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
            case.take(78, Message::Answered(Err(Trouble::Refused(format!("the key is unknown{HOSTILE}")))));
            check(&format!("gone-{columns}x{rows}-{tag}"), &case);
        }
    }
}

#[test]
fn help_is_the_key_table() {
    for (language, tag) in LANGUAGES {
        let mut case = Case::with(language, (80, 24), &busy());
        case.press(KeyCode::Char('?'));
        check(&format!("help-80x24-{tag}"), &case);
    }
}

#[test]
fn a_list_that_is_moved_says_where_it_is() {
    let mut case = Case::with(Language::En, (80, 24), &busy());
    case.press(KeyCode::PageDown);
    case.press(KeyCode::Char('j'));
    case.press(KeyCode::Tab);
    case.press(KeyCode::Char('j'));
    check("moved-80x24-en", &case);
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
            case.take(0, Message::Answered(Ok(Arc::new(overview.clone()))));
            for rows in (0..12).chain((12..=40).step_by(4)) {
                for columns in (0..6).chain((6..=130).step_by(9)).chain([39, 40, 41, 79, 80, 119, 120]) {
                    case.take(9, Message::Resize { columns, rows });
                    for help in [false, true] {
                        let frame = case.frame();
                        assert_eq!(lines(&frame).len(), usize::from(rows));
                        case.press(if help { KeyCode::Esc } else { KeyCode::Char('?') });
                        case.press(KeyCode::PageDown);
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_hostile_reaches_a_cell() {
    let frame = Case::with(Language::En, (120, 36), &busy()).frame();
    for cell in frame.content() {
        for character in cell.symbol().chars() {
            assert!(!character.is_control(), "{:?}", cell.symbol());
            assert!(!matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'));
        }
    }
}

#[test]
fn without_colours_the_same_is_told() {
    let mut case = Case::with(Language::En, (120, 36), &busy());
    let with = case.frame();
    case.state.colour = false;
    let without = case.frame();
    assert_eq!(lines(&with), lines(&without));
    assert!(with.content().iter().any(|cell| cell.fg != Color::Reset));
    assert!(without.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}
