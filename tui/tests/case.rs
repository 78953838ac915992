//! What the tests of the screen share: an engine at work, made by hand, and a screen that is driven without a terminal.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use tidings_api::wire::{self, Change, Channel, Counts, Hello, Overview, Run, Schedule, Token, Webhook};
use unicode_width::UnicodeWidthStr;

use crate::calls::{Answer, Request, Trouble};
use crate::message::{Effect, Message};
use crate::state::{Look, State};
use crate::update::update;
use crate::view;
use crate::view::paint::Drawn;
use crate::words::Language;

pub(crate) const LANGUAGES: [(Language, &str); 2] = [(Language::En, "en"), (Language::Zh, "zh")];
pub(crate) const SIZES: [(u16, u16); 4] = [(120, 36), (80, 24), (60, 16), (40, 10)];
pub(crate) const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}o\u{202e}EVIL\u{2066}\r\nrm -rf \u{200b}👍🏽 z\u{300}\u{301}\u{302}\u{303}\u{304}";

pub(crate) fn at(seconds: i64) -> String {
    (chrono::DateTime::from_timestamp(1_772_366_400, 0).unwrap() + chrono::TimeDelta::seconds(seconds)).to_rfc3339()
}

pub(crate) fn channel(name: &str, state: &str, counts: Counts) -> Channel {
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

pub(crate) fn schedule(name: &str, timezone: &str, job: &str, next_in: i64, last_run: Option<Run>) -> Schedule {
    Schedule {
        name: name.to_owned(),
        cron: "0 9 * * 1-5".to_owned(),
        timezone: timezone.to_owned(),
        job: job.to_owned(),
        next_at: Some(at(next_in)),
        last_run,
        ..Schedule::default()
    }
}

pub(crate) fn run(state: &str, ended: i64, done: i64, total: Option<i64>, result: Option<&str>) -> Run {
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

pub(crate) fn change(age: i64, id: &str, channel: &str, to: &str, state: &str, reason: Option<&str>) -> Change {
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
pub(crate) fn busy() -> Overview {
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
        late_outcomes: 3,
        nodes: Vec::new(),
        store_problem: None,
        webhooks: vec![Webhook {
            name: "crm".to_owned(),
            url: "https://crm.example.com".to_owned(),
            events: Vec::new(),
            channels: Vec::new(),
            content: "thin".to_owned(),
            state: "failing".to_owned(),
            failing_since: Some(at(-900)),
            disabled_at: None,
            reason: None,
            last_failure: Some("503 Service Unavailable".to_owned()),
            pending: 42,
            told: 7,
            dropped: 0,
            given_up: 0,
        }],
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

pub(crate) fn empty() -> Overview {
    Overview { version: "0.1.0".to_owned(), now: at(0), started_at: at(-5), ..Overview::default() }
}

/// A page of messages, from the newest with that number on.
pub(crate) fn messages(newest: i64, count: i64, next: bool) -> wire::Page<wire::Message> {
    const STATES: [(&str, Option<&str>); 6] = [
        ("sent", None),
        ("failed", Some("recipient_gone")),
        ("queued", None),
        ("held", Some("crash_loop")),
        ("unknown", Some("connection_lost")),
        ("scheduled", Some("throttled")),
    ];
    let items = (0..count).map(|age| {
        let number = newest - age;
        let (state, reason) = STATES[usize::try_from(number.rem_euclid(6)).unwrap()];
        let (channel, to, template) = match number.rem_euclid(4) {
            0 => ("短信-华东", "张伟 (上海市浦东新区世纪大道一百号环球金融中心)", "登录验证码"),
            1 => ("order-updates", HOSTILE, "order-paid"),
            _ => ("order-updates", "oGx5b5TqWn8RkVJd2aZk0yq3Lw8c", "order-paid"),
        };
        wire::Message {
            id: format!("msg_{number}"),
            channel: channel.to_owned(),
            template: template.to_owned(),
            to: to.to_owned(),
            state: state.to_owned(),
            priority: 0,
            due_at: at(41),
            attempts: number.rem_euclid(3),
            ambiguous: state == "unknown",
            created_at: at(-age * 7),
            expires_at: None,
            finished_at: None,
            reason: reason.map(str::to_owned),
            detail: None,
            provider_id: None,
            run: None,
            data: None,
            content: None,
            content_problem: None,
            trace_id: None,
            timeline: Vec::new(),
            acts: Vec::new(),
            tries: Vec::new(),
        }
    });
    wire::Page { items: items.collect(), next: next.then(|| (newest - count + 1).to_string()) }
}

/// Why messages stopped.
pub(crate) fn reasons() -> Vec<wire::Reason> {
    let reason = |state: &str, reason: &str, count| wire::Reason {
        channel: "wechat-notices".to_owned(),
        template: "订单更新".to_owned(),
        state: state.to_owned(),
        reason: reason.to_owned(),
        count,
        oldest_at: at(-9_000),
        newest_at: at(-300),
        newest: "msg_2114904".to_owned(),
    };
    vec![reason("failed", "recipient_gone", 1_204), reason("held", "crash_loop", 2), reason("failed", HOSTILE, 1)]
}

/// A message that was tried and waits for a credential, with all there is to say of it.
pub(crate) fn waiting_message() -> wire::Message {
    let moment = |at: &str, what: &str, detail: Option<&str>| wire::Moment {
        at: at.to_owned(),
        what: what.to_owned(),
        detail: detail.map(str::to_owned),
    };
    wire::Message {
        state: "waiting".to_owned(),
        reason: Some("no_credential".to_owned()),
        detail: Some("no permit of this recipient fits".to_owned()),
        ambiguous: true,
        attempts: 2,
        priority: 5,
        created_at: "2026-03-01T11:59:00Z".to_owned(),
        due_at: at(-10),
        expires_at: Some(at(3_600)),
        provider_id: Some("wx-889123".to_owned()),
        run: Some("run_7".to_owned()),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        data: Some("订单已付款 \u{1b}[31m".into()),
        content: Some(
            [("keyword1".to_owned(), "已付款".into()), ("page".to_owned(), "p?x=1".into())].into_iter().collect(),
        ),
        timeline: vec![
            moment("2026-03-01T11:59:00Z", "accepted", None),
            moment("2026-03-01T11:59:00.004Z", "bound", Some("wechat.form_id")),
            moment("2026-03-01T11:59:01.310Z", "attempt", Some("unknown after 5000 ms: no whole answer: timeout")),
            moment("2026-03-01T11:59:36.900Z", "attempt", Some("credential_spent after 120 ms: 41029 form id used")),
            moment(&at(-20), "message.retry", Some("by local (li.wei): 供应商恢复")),
            moment(&at(-19), "waiting", None),
        ],
        ..messages(2_114_909, 1, false).items.remove(0)
    }
}

/// Whom the credentials reach.
pub(crate) fn forecast() -> wire::Forecasts {
    let day = |days: i64, people, people_lost, sends_lost| wire::ForecastDay {
        until: at(days * 86_400),
        people,
        people_lost,
        sends_lost,
    };
    let one = |template: &str, people, people_in_a_week, people_without_end, days| wire::Forecast {
        template: template.to_owned(),
        channel: "order-updates".to_owned(),
        app: "shop".to_owned(),
        needs_permit: true,
        by_itself: Vec::new(),
        people,
        people_in_a_week,
        people_without_end,
        sends: people * 2,
        days,
    };
    let days = vec![day(1, 19_800, 612, 1_224), day(2, 12_004, 7_796, 15_000), day(6, 4_100, 7_904, 9_000)];
    wire::Forecasts {
        now: at(0),
        items: vec![
            one("order-paid", 20_412, 4_100, 12, days),
            one("登录验证码", 0, 0, 0, Vec::new()),
            wire::Forecast {
                by_itself: vec!["wechat.window".to_owned()], ..one("客服回复", 40, 40, 0, Vec::new())
            },
            wire::Forecast { needs_permit: false, ..one(HOSTILE, 0, 0, 0, Vec::new()) },
        ],
    }
}

/// Schedules with their times to come and gone.
pub(crate) fn schedules() -> Vec<Schedule> {
    const VERDICTS: [&str; 9] =
        ["fired", "missed", "fired", "skipped_overlap", "by_hand", "coalesced", "failed", "paused", "skipped"];
    let history = (0..20_i64).map(|age| wire::Firing {
        nominal_at: at(-age * 86_400 - 180),
        count: if age == 19 { 1_204 } else { 1 },
        verdict: VERDICTS[usize::try_from(age).unwrap() % VERDICTS.len()].to_owned(),
        decided_at: at(-age * 86_400),
        late_ms: (age == 2).then_some(125_000),
        run: (age % 3 == 0).then(|| format!("run_{}", 40 - age)),
        ..wire::Firing::default()
    });
    let next = (0..10).map(|day| wire::NextTime {
        at: at(86_220 + day * 86_400),
        fires_at: at(86_223 + day * 86_400),
        skipped: day == 0,
    });
    let said = wire::Said { by: "ops".to_owned(), why: format!("供应商维护 {HOSTILE}") };
    let mut schedules = busy().schedules;
    for schedule in &mut schedules {
        schedule.state = "active".to_owned();
        schedule.words = wire::Words { en: "Mon to Fri at 09:00".to_owned(), zh: "周一至周五 09:00".to_owned() };
        schedule.policy = wire::SchedulePolicy {
            missed: "all".to_owned(),
            missed_max: Some(24),
            grace_s: Some(600),
            overlap: "queue".to_owned(),
            jitter_ms: 3_000,
        };
    }
    schedules[1] = Schedule {
        skips: 1,
        skip: Some(said),
        history: history.collect(),
        next: next.collect(),
        ..schedules[1].clone()
    };
    schedules[2].state = "paused".to_owned();
    schedules[2].paused = Some(wire::Paused { at: at(-60), by: "local (li.wei)".to_owned(), why: "维护".to_owned() });
    schedules[3].state = "removed".to_owned();
    schedules
}

/// Runs, from the one with that number on.
pub(crate) fn runs(newest: i64, many: i64, next: bool) -> wire::Page<Run> {
    let items = (0..many).map(|age| {
        let (state, total, result) = match age % 4 {
            0 => ("running", Some(1_000), None),
            1 => ("failed", Some(1_000), Some("audience.csv: no such file")),
            2 => ("interrupted", None, None),
            _ => ("done", Some(120), Some(HOSTILE)),
        };
        Run {
            id: format!("run_{}", newest - age),
            schedule: if age % 2 == 0 { "每日对账".to_owned() } else { "keep-token".to_owned() },
            nominal_at: at(-age * 600 - 9),
            job: "send digest".to_owned(),
            accepted: 118,
            refused: 2,
            ..run(state, -age * 600, 120, total, result)
        }
    });
    wire::Page { items: items.collect(), next: next.then(|| (newest - many + 1).to_string()) }
}

/// A run with what it says.
pub(crate) fn run_detail() -> wire::RunDetail {
    let line = |line: i64| wire::RunLine {
        line,
        at: at(line - 60),
        level: if line % 7 == 0 { "warn" } else { "info" }.to_owned(),
        text: if line == 1 {
            format!("audience read {HOSTILE}")
        } else {
            format!("第 {line} 批: 40 rows, 39 messages")
        },
    };
    wire::RunDetail {
        run: runs(7, 1, false).items.remove(0),
        preflight: Some(wire::Preflight {
            now: at(-60),
            rows: 1_000,
            first_only: false,
            reachable: 910,
            in_a_day: 870,
            in_a_week: 200,
            until: None,
            unreachable: vec![wire::Unreachable {
                code: "no-permit".to_owned(),
                count: 90,
                example: "row 12: no permit of `oGx5…`".to_owned(),
            }],
            obstacles: vec![wire::Obstacle {
                code: "channel-paused".to_owned(),
                detail: "channel `企业微信通知` is paused".to_owned(),
                until: None,
            }],
            by_itself: Vec::new(),
        }),
        log: (1..=30).map(line).collect(),
        log_lines: 1_204,
        next: None,
    }
}

/// A plugin that works, one from a file that was parked, and one that is not there.
pub(crate) fn plugins() -> Vec<wire::Plugin> {
    let stage = |role: &str, name: &str| wire::PluginStage { role: role.to_owned(), name: name.to_owned() };
    vec![
        wire::Plugin {
            name: "sms-gate".to_owned(),
            version: Some("1.4.0".to_owned()),
            state: "parked".to_owned(),
            reason: Some("three panics within ten minutes: index out of bounds".to_owned()),
            stages: vec![stage("transport", "sms-gate.send"), stage("credential_source", "sms-gate.quota")],
            file: Some("plugins/短信/libsms_gate.so".to_owned()),
            sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
            counters: Some(wire::PluginCounters {
                panics: 3,
                late: 12,
                log_lines: 48_000,
                log_lines_left_out: 12_345,
                ..wire::PluginCounters::default()
            }),
        },
        wire::Plugin {
            name: "wechat".to_owned(),
            version: Some("0.1.0".to_owned()),
            state: "working".to_owned(),
            stages: vec![stage("http_transport", "wechat.template"), stage("credential_source", "wechat.form_id")],
            ..wire::Plugin::default()
        },
        wire::Plugin {
            name: "旧插件".to_owned(),
            state: "absent".to_owned(),
            reason: Some("libold.so: no such file".to_owned()),
            ..wire::Plugin::default()
        },
    ]
}

/// Webhooks in every state.
pub(crate) fn webhooks() -> Vec<Webhook> {
    let failing = busy().webhooks.remove(0);
    vec![
        Webhook {
            name: "仓库".to_owned(),
            state: "ok".to_owned(),
            failing_since: None,
            last_failure: None,
            pending: 0,
            told: 120_418,
            channels: vec!["order-updates".to_owned()],
            ..failing.clone()
        },
        Webhook { events: vec!["message.failed".to_owned(), "channel.halted".to_owned()], ..failing.clone() },
        Webhook {
            name: "archive".to_owned(),
            state: "disabled".to_owned(),
            disabled_at: Some(at(-7_200)),
            reason: Some(format!("410 Gone: nobody is told here any more {HOSTILE}")),
            dropped: 1_200,
            given_up: 3,
            ..failing
        },
    ]
}

/// Engines that share a store: this one, one with another config that stops, one that left and one that crashed.
pub(crate) fn nodes() -> Vec<wire::Node> {
    let this = wire::Node {
        id: Some(7),
        name: "shanghai-1".to_owned(),
        version: "0.1.0".to_owned(),
        address: Some("10.0.0.7:7373".to_owned()),
        started_at: at(-86_400),
        lease: Some(wire::Lease { age_ms: 1_240, ends_in_ms: 13_760 }),
        in_flight: 64,
        sent_per_s: Some(1_482),
        config: "00c2ad91b7f0135e".to_owned(),
        is_self: true,
        leads: true,
        ..wire::Node::default()
    };
    let other = wire::Node { is_self: false, leads: false, address: None, ..this.clone() };
    vec![
        this,
        wire::Node {
            id: Some(9),
            name: format!("上海二号 {HOSTILE}"),
            draining: true,
            config: "91b7f0135e00c2ad".to_owned(),
            config_differs: true,
            ..other.clone()
        },
        wire::Node {
            id: Some(3),
            name: "left".to_owned(),
            gone: true,
            draining: true,
            lease: Some(wire::Lease { age_ms: 640_000, ends_in_ms: 0 }),
            in_flight: 0,
            sent_per_s: Some(0),
            ..other.clone()
        },
        wire::Node {
            id: Some(4),
            name: "crashed".to_owned(),
            gone: true,
            lease: Some(wire::Lease { age_ms: 31_000, ends_in_ms: 0 }),
            ..other
        },
    ]
}

/// Times of a schedule's past.
pub(crate) fn backfill_plan() -> wire::BackfillReply {
    wire::BackfillReply { plan: true, times: 9, ran: 2, sample: vec![at(-7_200), at(-3_600), at(0)] }
}

/// The record of changes, from the one with that number on.
pub(crate) fn audit(newest: i64, many: i64, next: bool) -> wire::Page<wire::AuditEntry> {
    let items = (0..many).map(|age| wire::AuditEntry {
        id: format!("aud_{}", newest - age),
        at: at(-age * 400),
        who: if age % 3 == 0 { "local (李伟)".to_owned() } else { "ops".to_owned() },
        act: if age % 2 == 0 { "channel.pause".to_owned() } else { "message.retry".to_owned() },
        subject: if age % 2 == 0 { "企业微信通知".to_owned() } else { "messages".to_owned() },
        why: (age % 4 < 2).then(|| format!("供应商故障 {HOSTILE}")),
        detail: (age % 2 == 1).then(|| "state=unknown channel=order-updates".to_owned()),
        count: (age % 2 == 1).then_some(1_204),
    });
    wire::Page { items: items.collect(), next: next.then(|| (newest - many + 1).to_string()) }
}

/// How its recipient can be reached.
pub(crate) fn reach() -> wire::Reachability {
    wire::Reachability {
        recipient: "o".to_owned(),
        now: at(0),
        items: vec![wire::TemplateReach {
            template: "order-paid".to_owned(),
            channel: "order-updates".to_owned(),
            app: "shop".to_owned(),
            reachable: false,
            sends: Some(0),
            until: None,
            permits: Vec::new(),
            bound: Vec::new(),
            waiting: 1,
            obstacles: vec![
                wire::Obstacle { code: "channel-paused".to_owned(), detail: "twice".to_owned(), until: None },
                wire::Obstacle {
                    code: "no-permit".to_owned(),
                    detail: "no permit of `o` fits `order-paid`".to_owned(),
                    until: Some(at(600)),
                },
            ],
            next_at: Some(at(86_400)),
        }],
        more: false,
    }
}

/// What an act on many would do.
pub(crate) fn plan() -> wire::BulkPlan {
    let group = |state: &str, channel: &str, count| wire::BulkGroup {
        state: state.to_owned(),
        channel: channel.to_owned(),
        count,
    };
    wire::BulkPlan {
        count: 1_204,
        effect: "1,204 messages are sent again from the start".to_owned(),
        groups: vec![group("unknown", "order-updates", 1_200), group("unknown", "短信-华东", 4)],
        sample: messages(2_114_911, 5, false).items,
        rate: Some("50/s".to_owned()),
        takes_s: Some(24),
        may_arrive_twice: true,
        next: Some("from-here".to_owned()),
    }
}

/// Somebody who may do that.
pub(crate) fn hello(scopes: &[&str]) -> Hello {
    Hello {
        features: Vec::new(),
        caller: "ops".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Hello::default()
    }
}

/// A screen, and what it asked for last.
pub(crate) struct Case {
    pub(crate) state: State,
    pub(crate) now: Duration,
}

impl Case {
    /// A screen that knows nothing yet.
    pub(crate) fn new(language: Language, (columns, rows): (u16, u16)) -> Case {
        let look = Look { language, colour: true, light: false };
        let mut case = Case { state: State::new("http://127.0.0.1:7380", look), now: Duration::ZERO };
        case.take(Message::Resize { columns, rows });
        case
    }

    /// A screen that shows that picture, five seconds after the one before it, to somebody who may do everything.
    pub(crate) fn with(language: Language, size: (u16, u16), overview: &Overview) -> Case {
        let mut case = Case::new(language, size);
        case.answer(Request::Hello, Ok(Answer::Hello(hello(&["send", "collect", "read", "operate"]))));
        let mut before = overview.clone();
        before.now = at(-5);
        before.states.sent -= 921;
        case.overview(before);
        case.pass(5_000);
        case.overview(overview.clone());
        case
    }

    /// The same on the page that this key shows.
    pub(crate) fn on(page: char, language: Language, size: (u16, u16)) -> Case {
        let mut case = Case::with(language, size, &busy());
        case.press(KeyCode::Char(page));
        case
    }

    /// Time goes by.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    pub(crate) fn take(&mut self, message: Message) -> Option<Effect> {
        update(&mut self.state, self.now, message)
    }

    pub(crate) fn answer(&mut self, request: Request, result: Result<Answer, Trouble>) {
        let came_at = self.now;
        assert_eq!(self.take(Message::Answered { request, result, came_at }), None);
    }

    pub(crate) fn overview(&mut self, overview: Overview) {
        self.answer(Request::Overview, Ok(Answer::Overview(Arc::new(overview))));
    }

    /// Gives the page the messages it wants.
    pub(crate) fn messages(&mut self, page: wire::Page<wire::Message>) {
        let wanted = self.state.wants().expect("the page wants something");
        assert!(matches!(wanted, Request::Messages { .. }), "{wanted:?}");
        self.answer(wanted, Ok(Answer::Messages(page)));
    }

    /// Gives the page what it wants, which is that.
    pub(crate) fn give(&mut self, answer: Answer) {
        let wanted = self.state.wants().expect("the page wants something");
        self.answer(wanted, Ok(answer));
    }

    /// Gives the page the reasons it wants.
    pub(crate) fn reasons(&mut self, reasons: Vec<wire::Reason>) {
        let wanted = self.state.wants().expect("the page wants something");
        assert!(matches!(wanted, Request::Reasons { .. }), "{wanted:?}");
        self.answer(wanted, Ok(Answer::Reasons(reasons)));
    }

    /// Gives the page the message it wants.
    pub(crate) fn message(&mut self, message: wire::Message, reach: Option<wire::Reachability>) {
        let wanted = self.state.wants().expect("the page wants something");
        assert!(matches!(wanted, Request::Message { .. }), "{wanted:?}");
        self.answer(wanted, Ok(Answer::Message(Box::new(message), reach.map(Box::new))));
    }

    pub(crate) fn press(&mut self, code: KeyCode) -> Option<Effect> {
        self.take(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    pub(crate) fn typed(&mut self, text: &str) {
        for character in text.chars() {
            assert_eq!(self.press(KeyCode::Char(character)), None);
        }
    }

    /// Whether something would be drawn, and it is drawn.
    pub(crate) fn drawn(&mut self) -> bool {
        std::mem::take(&mut self.state.dirty)
    }

    pub(crate) fn frame(&self) -> Buffer {
        self.draw().0
    }

    pub(crate) fn draw(&self) -> (Buffer, Drawn) {
        let (columns, rows) = self.state.shared.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        let drawn = view::draw(&self.state, &mut buffer);
        (buffer, drawn)
    }

    /// The text of the screen.
    pub(crate) fn text(&self) -> String {
        lines(&self.frame()).join("\n")
    }
}

/// The rows as a terminal shows them. The cell behind a wide character is hidden by it.
pub(crate) fn lines(frame: &Buffer) -> Vec<String> {
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

/// How each row is styled: runs of columns that look alike, but for those that look like nothing.
pub(crate) fn styles(frame: &Buffer) -> Vec<String> {
    let area = frame.area;
    let mut rows = Vec::new();
    for y in area.top()..area.bottom() {
        let mut runs: Vec<(u16, u16, String)> = Vec::new();
        let mut x = area.left();
        while x < area.right() {
            let cell = &frame[(x, y)];
            // The cell behind a wide character is hidden by it.
            let end = x + u16::try_from(cell.symbol().width().max(1)).unwrap() - 1;
            let style = style(cell.fg, cell.modifier);
            match runs.last_mut() {
                Some((_, last_end, last)) if *last == style && *last_end + 1 == x => *last_end = end,
                _ => runs.push((x, end, style)),
            }
            x = end + 1;
        }
        let runs: Vec<String> = runs
            .into_iter()
            .filter(|(_, _, style)| !style.is_empty())
            .map(|(start, end, style)| format!("{start}-{end} {style}"))
            .collect();
        if !runs.is_empty() {
            rows.push(format!("{y:>2}: {}", runs.join(", ")));
        }
    }
    rows
}

fn style(colour: Color, modifier: Modifier) -> String {
    let mut names = Vec::new();
    if colour != Color::Reset {
        names.push(colour.to_string().to_lowercase());
    }
    for (flag, name) in [(Modifier::BOLD, "bold"), (Modifier::DIM, "dim"), (Modifier::REVERSED, "reversed")] {
        if modifier.contains(flag) {
            names.push(name.to_owned());
        }
    }
    names.join("+")
}
