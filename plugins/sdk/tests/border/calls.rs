//! What is true of every call: panics, hosts that err, and the making of instances.

use std::ptr;

use tidings_abi::empty;
use tidings_abi::v1::{self, Bytes, Text};
use tidings_sdk::Description;

use crate::host::{self, Instance, Lines, Problems, create, interface, plugin, string, tidings_plugin_entry_v1};
use crate::plugin::PANIC;
use crate::roles::field;

const ROLES: [(&str, &str); 6] = [
    ("token_provider/1", "token"),
    ("credential_source/1", "stub"),
    ("renderer/1", "fill"),
    ("http_transport/1", "http"),
    ("transport/1", "queue"),
    ("callback/1", "push"),
];

#[test]
fn the_table_describes_the_plugin_and_has_every_role_and_no_other() {
    let table = plugin();
    let description = Description::parse(&string(table.description)).unwrap();
    assert_eq!(description.name, "probe");
    for (role, stage) in ROLES {
        // SAFETY: the text is there for the call.
        assert!(!unsafe { table.get_interface.unwrap()(Text::of(role)) }.is_null(), "{role}");
        assert!(description.stages.iter().any(|it| it.name == stage && role == format!("{}/1", it.role.name())));
    }
    for role in ["transport/2", "", "token_provider"] {
        // SAFETY: the text is there for the call.
        assert!(unsafe { table.get_interface.unwrap()(Text::of(role)) }.is_null(), "{role}");
    }
}

#[test]
fn an_entry_without_a_whole_host_fails_and_a_second_one_gives_the_same_table() {
    let mut tables = [ptr::null(); 2];
    let (whole, broken) = (host::table(), v1::Host { complete: None, ..host::table() });
    // SAFETY: whole tables, whose functions stay, and NULLs.
    unsafe {
        assert_eq!(tidings_plugin_entry_v1(ptr::null(), &raw mut tables[0]), v1::FAILED);
        assert_eq!(tidings_plugin_entry_v1(&raw const broken, &raw mut tables[0]), v1::FAILED);
        assert_eq!(tidings_plugin_entry_v1(&raw const whole, ptr::null_mut()), v1::FAILED);
        assert!(tables[0].is_null());
        for table in &mut tables {
            assert_eq!(tidings_plugin_entry_v1(&raw const whole, table), v1::OK);
        }
    }
    assert!(!tables[0].is_null() && tables[0] == tables[1]);
}

#[test]
fn settings_that_do_not_fit_are_problems_and_no_instance_is_made() {
    for (role, stage, app, settings, expected) in [
        (
            "http_transport/1",
            "http",
            "shop",
            r#"{"mood": "odd"}"#,
            [("mood", "is odd"), ("", "does not fit")].as_slice(),
        ),
        ("transport/1", "queue", "closed", "{}", &[("mood", "is closed")]),
    ] {
        let (status, problems, instance) = create(role, stage, app, settings);
        let problems: Vec<_> = problems.iter().map(|(field, problem)| (field.as_str(), problem.as_str())).collect();
        assert_eq!((status, problems.as_slice()), (v1::REFUSED, expected));
        assert!(instance.this.is_null());
    }
}

#[test]
fn what_the_host_gets_wrong_is_said_without_what_it_sent() {
    for (role, stage, settings, part) in [
        ("http_transport/1", "queue", "{}", "stage `queue` of role `http_transport/1`"),
        ("sender/1", "http", "{}", "role `sender/1`"),
        ("http_transport/1", "http", "CANARY", "settings that are no JSON object"),
    ] {
        let (status, problems, instance) = create(role, stage, "shop", settings);
        assert_eq!((status, problems.len()), (v1::FAILED, 0));
        let logged = instance.told().logged;
        assert_eq!(logged.len(), 1);
        assert!(logged[0].0 == v1::LOG_ERROR && logged[0].1.contains(part), "{logged:?}");
        assert!(!logged[0].1.contains("CANARY"), "{logged:?}");
    }
}

/// Makes every call of a role, with the least that it takes; each is answered with a status.
fn call_all(instance: &Instance, role: &str, recipient: &'static str) -> Vec<(&'static str, i32)> {
    let this = instance.this;
    let (mut lines, mut problems) = (Lines::default(), Problems::default());
    let response = v1::Response { status: 101, body: Bytes::of(b""), ..empty() };
    let delivery = v1::Delivery { recipient: Text::of(recipient), ..empty() };
    let push: v1::Push = empty();
    let text = field(v1::FIELD_TEXT, "text", "", "x");
    let stride = size_of::<v1::Field>();
    // SAFETY: everything lives until after the calls; an instance of another role is what some tests are about, and is
    // an instance all the same.
    unsafe {
        match role {
            "token_provider/1" => {
                let role: v1::TokenProvider = interface(role);
                // It has no status: a number that is not said is how it fails.
                let fetches = role.fetches_per_day.unwrap()(this);
                vec![
                    ("request", role.request.unwrap()(this, lines.request(), problems.sink())),
                    ("read", role.read.unwrap()(this, &raw const response, lines.fetched())),
                    ("fetches_per_day", if fetches == 0 { -1 } else { v1::OK }),
                ]
            }
            "credential_source/1" => {
                let role: v1::CredentialSource = interface(role);
                let fields = [v1::Pair { name: Text::of("value"), value: Text::of("v") }];
                vec![
                    ("admit", role.admit.unwrap()(this, fields.as_ptr(), 1, 0, lines.permit(), problems.sink())),
                    ("mint", role.mint.unwrap()(this, Text::EMPTY, Text::EMPTY, 0, lines.permit(), ptr::null_mut())),
                ]
            }
            "renderer/1" => {
                let role: v1::Renderer = interface(role);
                let data = Text::of(r#"{"who": "ann"}"#);
                let render = role.render.unwrap();
                vec![("render", render(this, &raw const text, 1, stride, data, lines.field(), problems.sink()))]
            }
            "http_transport/1" => {
                let role: v1::HttpTransport = interface(role);
                vec![
                    ("check", role.check.unwrap()(this, &raw const text, 1, stride, problems.sink())),
                    ("request", role.request.unwrap()(this, &raw const delivery, lines.request(), problems.sink())),
                    ("read", role.read.unwrap()(this, &raw const response, lines.outcome())),
                ]
            }
            "transport/1" => {
                let role: v1::Transport = interface(role);
                vec![("check", role.check.unwrap()(this, &raw const text, 1, stride, problems.sink()))]
            }
            "callback/1" => {
                let role: v1::Callback = interface(role);
                vec![("receive", role.receive.unwrap()(this, &raw const push, lines.event(), lines.reply()))]
            }
            other => panic!("no role {other}"),
        }
    }
}

#[test]
fn every_call_that_does_well_says_so() {
    for (role, stage) in ROLES {
        let instance = Instance::of(role, stage, "shop");
        for (call, status) in call_all(&instance, role, "ann") {
            assert_eq!(status, v1::OK, "{role} {call}");
        }
        assert_eq!(instance.told().panicked, [""; 0], "{role}");
    }
}

#[test]
fn a_panic_in_any_call_is_caught_and_told_once_with_its_place() {
    for (role, stage) in ROLES {
        let instance = Instance::of(role, stage, "panic");
        let calls = call_all(&instance, role, "panic");
        for (call, status) in &calls {
            assert!(matches!(*status, v1::PANICKED | -1), "{role} {call}: {status}");
        }
        let told = instance.told();
        assert_eq!(told.panicked.len(), calls.len(), "{role}");
        for line in &told.panicked {
            assert!(line.contains(PANIC) && line.contains("plugin.rs:"), "{line}");
        }
        assert_eq!(told.logged, [], "{role}: a panic is told as a panic");
    }
}

#[test]
fn a_panic_in_cancel_is_told_too() {
    let instance = Instance::of("transport/1", "queue", "panic");
    let role: v1::Transport = interface("transport/1");
    // SAFETY: one number, and none.
    unsafe {
        role.cancel.unwrap()(instance.this, [1].as_ptr(), 1);
        role.cancel.unwrap()(instance.this, ptr::null(), 5);
    }
    assert_eq!(instance.told().panicked.len(), 1);
}

#[test]
fn a_call_for_another_role_or_for_no_instance_fails() {
    let (queue, http) =
        (Instance::of("transport/1", "queue", "shop"), Instance::of("http_transport/1", "http", "shop"));
    for (role, _) in ROLES {
        let other = if role == "transport/1" { &http } else { &queue };
        let nobody = Instance { id: 0, this: ptr::null_mut() };
        for instance in [other, &nobody] {
            for (call, status) in call_all(instance, role, "ann") {
                assert!(matches!(status, v1::FAILED | -1), "{role} {call}: {status}");
            }
        }
        let logged = other.told().logged;
        assert!(logged.iter().all(|(_, line)| line.contains("not of")) && !logged.is_empty(), "{role}: {logged:?}");
    }
}

#[test]
fn structs_and_texts_that_cannot_be_are_refused_before_the_plugin_sees_them() {
    let instance = Instance::of("http_transport/1", "http", "shop");
    let role: v1::HttpTransport = interface("http_transport/1");
    let fine = v1::Delivery { recipient: Text::of("ann"), ..empty() };
    let text = field(v1::FIELD_TEXT, "text", "", "x");
    let broken = Text { data: c"\xff".as_ptr(), size: 1 };
    let cases = [
        ("small", v1::Delivery { struct_size: 8, ..fine }),
        ("not UTF-8", v1::Delivery { recipient: broken, ..fine }),
        ("not UTF-8", v1::Delivery { token: broken, ..fine }),
        ("not there", v1::Delivery { dedupe_id: Text { data: ptr::null(), size: 9 }, ..fine }),
        ("no fields", v1::Delivery { field_count: 1, field_stride: 64, ..fine }),
        ("stride", v1::Delivery { fields: &raw const text, field_count: 1, field_stride: 8, ..fine }),
        ("count", v1::Delivery { fields: &raw const text, field_count: usize::MAX, field_stride: 64, ..fine }),
    ];
    for (what, delivery) in cases {
        let (mut lines, mut problems) = (Lines::default(), Problems::default());
        // SAFETY: everything that is there lives until after the call.
        let status =
            unsafe { role.request.unwrap()(instance.this, &raw const delivery, lines.request(), problems.sink()) };
        assert_eq!((status, lines.0.len()), (v1::FAILED, 0), "{what}");
        assert_eq!(instance.told().logged.len(), 1, "{what}");
    }
    let mut lines = Lines::default();
    let beyond = v1::Response { status: 65_636, ..empty() };
    // SAFETY: everything that is there lives until after the calls.
    unsafe {
        assert_eq!(role.read.unwrap()(instance.this, &raw const beyond, lines.outcome()), v1::FAILED);
        assert_eq!(role.read.unwrap()(instance.this, ptr::null(), lines.outcome()), v1::FAILED);
    }
    assert_eq!(lines.0.len(), 0);
}

#[test]
fn sinks_that_are_not_there_are_not_called() {
    let instance = Instance::of("http_transport/1", "http", "shop");
    let role: v1::HttpTransport = interface("http_transport/1");
    let response = v1::Response { status: 101, ..empty() };
    let sink = v1::OutcomeSink { context: ptr::null_mut(), put: None };
    // SAFETY: everything lives until after the call.
    assert_eq!(unsafe { role.read.unwrap()(instance.this, &raw const response, sink) }, v1::OK);
}
