//! Each role, there and back.

use std::ptr;

use tidings_abi::empty;
use tidings_abi::v1::{self, Bytes, Pair, Text};

use crate::host::{Grown, Instance, Lines, Problems, interface};
use crate::plugin::outcomes;

/// A field.
pub(crate) fn field(kind: u32, key: &'static str, row: &'static str, value: &'static str) -> v1::Field {
    v1::Field { kind, key: Text::of(key), row: Text::of(row), value: Text::of(value), ..empty() }
}

fn response(status: u32, body: &'static str) -> v1::Response {
    v1::Response { status, body: Bytes::of(body.as_bytes()), ..empty() }
}

#[test]
fn a_request_has_all_that_the_delivery_says_also_of_a_newer_host() {
    let instance = Instance::of("http_transport/1", "http", "shop");
    let role: v1::HttpTransport = interface("http_transport/1");
    let fields = Grown::of(&[
        field(v1::FIELD_TEXT, "text", "", "已发货"),
        field(v1::FIELD_ROW, "data", "k1", "v1"),
        field(v1::FIELD_ROW, "data", "k2", ""),
        field(v1::FIELD_JSON, "count", "", "[7, true]"),
    ]);
    let delivery = v1::Delivery {
        recipient: Text::of("ann"),
        token: Text::of("TOKEN"),
        credential_source: Text::of("stub"),
        credential: Text::of("VALUE"),
        dedupe_id: Text::of("d-1"),
        fields: fields.pointer(),
        field_count: 4,
        field_stride: fields.stride,
        ..empty()
    };
    let delivery = Grown::of(&[delivery]);
    let (mut requests, mut problems) = (Lines::default(), Problems::default());
    // SAFETY: everything lives until after the call.
    let status =
        unsafe { role.request.unwrap()(instance.this, delivery.pointer(), requests.request(), problems.sink()) };
    assert_eq!((status, problems.0), (v1::OK, vec![]));
    assert_eq!(
        requests.0,
        [concat!(
            r#"POST https://a.example/send ["content-type: application/json; charset=utf-8"] "#,
            r#"{"app":"shop","content":{"count":[7,true],"data":{"k1":"v1","k2":""},"text":"已发货"},"#,
            r#""credential":["stub","VALUE"],"dedupe_id":"d-1","recipient":"ann","token":"TOKEN"}"#
        )]
    );
    let told = instance.told();
    assert_eq!(told.logged[0], (v1::LOG_INFO, "a request for shop".to_owned()));
    let traced = cfg!(feature = "tracing").then(|| (v1::LOG_WARN, "a request count=7 to=ann".to_owned()));
    assert!(told.logged[1..].iter().eq(&traced), "{told:?}");
    assert_eq!(told.panicked, [""; 0]);
}

#[test]
fn a_delivery_without_a_credential_has_none_and_without_a_recipient_is_refused() {
    let instance = Instance::of("http_transport/1", "http", "shop");
    let role: v1::HttpTransport = interface("http_transport/1");
    let mut delivery = v1::Delivery { recipient: Text::of("ann"), ..empty() };
    let (mut requests, mut problems) = (Lines::default(), Problems::default());
    let mut request = |delivery: &v1::Delivery| {
        // SAFETY: everything lives until after the call.
        unsafe { role.request.unwrap()(instance.this, delivery, requests.request(), problems.sink()) }
    };
    assert_eq!(request(&delivery), v1::OK);
    delivery.recipient = Text::EMPTY;
    assert_eq!(request(&delivery), v1::REFUSED);
    assert_eq!(requests.0.len(), 1);
    assert!(requests.0[0].contains(r#""credential":null"#), "{requests:?}");
    assert_eq!(problems.0, [(String::new(), "there is nobody".to_owned())]);
}

#[test]
fn content_is_checked_and_what_is_wrong_is_put() {
    for (role, stage) in [("http_transport/1", "http"), ("transport/1", "queue")] {
        let instance = Instance::of(role, stage, "shop");
        let check = match stage {
            "http" => interface::<v1::HttpTransport>(role).check,
            _ => interface::<v1::Transport>(role).check,
        };
        for (key, expected) in [("good", v1::OK), ("bad", v1::REFUSED)] {
            let fields = [field(v1::FIELD_TEXT, key, "", "x")];
            let mut problems = Problems::default();
            let stride = size_of::<v1::Field>();
            // SAFETY: everything lives until after the call.
            let status = unsafe { check.unwrap()(instance.this, fields.as_ptr(), 1, stride, problems.sink()) };
            assert_eq!((status, problems.0.len()), (expected, usize::from(key == "bad")));
        }
    }
}

#[test]
fn every_outcome_has_the_number_of_the_header() {
    let instance = Instance::of("http_transport/1", "http", "shop");
    let role: v1::HttpTransport = interface("http_transport/1");
    let mut lines = Lines::default();
    for index in 0..u32::try_from(outcomes().len()).unwrap() {
        let response = Grown::of(&[response(100 + index, "")]);
        // SAFETY: everything lives until after the call.
        let status = unsafe { role.read.unwrap()(instance.this, response.pointer(), lines.outcome()) };
        assert_eq!(status, v1::OK);
    }
    assert_eq!(
        lines.0,
        [
            r#"0 0 0 "" "why""#,
            r#"1 0 0 "p-1" """#,
            r#"2 0 0 "" "why""#,
            r#"3 0 0 "" "why""#,
            r#"4 0 0 "" "why""#,
            r#"5 0 0 "" "why""#,
            r#"6 0 0 "" "why""#,
            r#"7 0 0 "" "why""#,
            r#"8 1500 0 "" "why""#,
            r#"9 0 99 "" "why""#,
            // Less than a millisecond was said, and zero would say nothing.
            r#"10 1 0 "" "why""#,
            r#"11 0 0 "" "why""#,
            r#"12 0 0 "" "why""#,
        ]
    );
}

#[test]
fn a_token_provider_asks_with_its_secret_and_reads_every_answer() {
    let instance = Instance::of("token_provider/1", "token", "shop");
    let role: v1::TokenProvider = interface("token_provider/1");
    let (mut lines, mut problems) = (Lines::default(), Problems::default());
    // SAFETY: everything lives until after the calls.
    unsafe {
        assert_eq!(role.request.unwrap()(instance.this, lines.request(), problems.sink()), v1::OK);
        assert_eq!(role.fetches_per_day.unwrap()(instance.this), 2000);
        for (status, body) in [(200, "TOKEN"), (503, "busy"), (429, "no more"), (403, "blocked")] {
            let answer = v1::Response { retry_after_ms: 1500, ..response(status, body) };
            assert_eq!(role.read.unwrap()(instance.this, &raw const answer, lines.fetched()), v1::OK);
        }
    }
    assert_eq!(
        lines.0,
        [
            "GET https://a.example/token?mood=calm&key=CANARY [] ",
            r#"1 7200000 0 "TOKEN" """#,
            r#"0 0 1500 "" "busy""#,
            r#"2 0 0 "" "no more""#,
            r#"3 0 0 "" "blocked""#,
        ]
    );
}

#[test]
fn a_credential_source_admits_refuses_and_mints() {
    let instance = Instance::of("credential_source/1", "stub", "shop");
    let role: v1::CredentialSource = interface("credential_source/1");
    let (mut lines, mut problems) = (Lines::default(), Problems::default());
    let pair = |name, value| Pair { name: Text::of(name), value: Text::of(value) };
    let posted = [pair("recipient", "ann"), pair("value", "v")];
    let mut next = -1;
    // SAFETY: everything lives until after the calls.
    unsafe {
        let admit = role.admit.unwrap();
        assert_eq!(admit(instance.this, posted.as_ptr(), 2, 40, lines.permit(), problems.sink()), v1::OK);
        assert_eq!(admit(instance.this, ptr::null(), 0, 40, lines.permit(), problems.sink()), v1::REFUSED);
        let mint = role.mint.unwrap();
        let (ann, scope) = (Text::of("ann"), Text::of("T"));
        assert_eq!(mint(instance.this, ann, scope, 40, lines.permit(), &raw mut next), v1::OK);
        assert_eq!(mint(instance.this, ann, scope, 40, lines.permit(), ptr::null_mut()), v1::OK);
    }
    assert_eq!(lines.0[0], r#"3 40 45 "ann" "T" "v" "id-v""#);
    assert_eq!(lines.0[1..], [r#"0 0 0 "ann" "T" "" """#; 2]);
    assert_eq!(next, 1040);
    assert_eq!(problems.0, [(String::new(), "`value` is missing".to_owned())]);
}

fn render(fields: &[v1::Field], data: &'static str) -> (i32, Vec<String>, Vec<(String, String)>) {
    let instance = Instance::of("renderer/1", "fill", "shop");
    let role: v1::Renderer = interface("renderer/1");
    let (mut lines, mut problems) = (Lines::default(), Problems::default());
    let grown = Grown::of(fields);
    // SAFETY: everything lives until after the call.
    let status = unsafe {
        role.render.unwrap()(
            instance.this,
            grown.pointer(),
            fields.len(),
            grown.stride,
            Text::of(data),
            lines.field(),
            problems.sink(),
        )
    };
    (status, lines.0, problems.0)
}

#[test]
fn a_renderer_puts_every_field_back_in_order_and_fills_those_that_are_marked() {
    let (status, lines, problems) = render(
        &[
            field(v1::FIELD_TEXT, "z_fixed", "", "$"),
            field(v1::FIELD_TEXT | v1::FIELD_FILL, "text", "", "to $"),
            field(v1::FIELD_TEXT | v1::FIELD_FILL | v1::FIELD_PAGE, "page", "", "p?$"),
            field(v1::FIELD_ROW | v1::FIELD_FILL, "data", "k2", "$2"),
            field(v1::FIELD_ROW | v1::FIELD_FILL, "data", "k1", "$1"),
            field(v1::FIELD_ROW, "names", "a", "$"),
            field(v1::FIELD_JSON, "count", "", "7"),
        ],
        r#"{"who": "ann"}"#,
    );
    assert_eq!((status, problems), (v1::OK, vec![]));
    assert_eq!(
        lines,
        [
            r#"0x0 "z_fixed" "" "$""#,
            r#"0x0 "text" "" "text to ann""#,
            r#"0x0 "page" "" "page p?ann""#,
            r#"0x2 "data" "k2" "row ann2""#,
            r#"0x2 "data" "k1" "row ann1""#,
            r#"0x2 "names" "a" "$""#,
            r#"0x1 "count" "" "7""#,
        ]
    );
}

#[test]
fn what_cannot_be_rendered_is_a_problem_and_what_is_left_out_a_failure() {
    let text = field(v1::FIELD_TEXT | v1::FIELD_FILL, "text", "", "$");
    let (status, lines, problems) = render(&[text], "{}");
    assert_eq!((status, lines.len()), (v1::REFUSED, 0));
    assert_eq!(problems, [("text".to_owned(), "`who` is missing".to_owned())]);
    let forgotten = field(v1::FIELD_TEXT | v1::FIELD_FILL, "forgotten", "", "$");
    let mixed = [field(v1::FIELD_ROW, "d", "a", ""), field(v1::FIELD_ROW | v1::FIELD_FILL, "d", "b", "")];
    let unknown = field(9, "x", "", "");
    for fields in [&[forgotten][..], &mixed, &[unknown]] {
        assert_eq!(render(fields, r#"{"who": "ann"}"#).0, v1::FAILED);
    }
    assert_eq!(render(&[text], "no JSON").0, v1::FAILED);
}

#[test]
fn a_push_becomes_events_and_a_reply() {
    let instance = Instance::of("callback/1", "push", "shop");
    let role: v1::Callback = interface("callback/1");
    let headers = [Pair { name: Text::of("x-a"), value: Text::of("b") }];
    let push = v1::Push {
        now_unix_ms: 40,
        method: Text::of("POST"),
        query: Text::of("a=b"),
        headers: headers.as_ptr(),
        header_count: 1,
        body: Bytes::of(b"body"),
        ..empty()
    };
    let push = Grown::of(&[push]);
    let (mut events, mut replies) = (Lines::default(), Lines::default());
    // SAFETY: everything lives until after the call.
    let status = unsafe { role.receive.unwrap()(instance.this, push.pointer(), events.event(), replies.reply()) };
    assert_eq!(status, v1::OK);
    assert_eq!(
        events.0,
        [
            r#"1 "stub" "" "" 0 0 0 "ann" "" "v" """#,
            r#"2 "stub" "" "" 0 0 0 "ann" "" "v" """#,
            r#"3 "" "p-1" "" "#,
            r#"4 "" "p-2" "why" "#,
        ]
    );
    assert_eq!(replies.0, [r#"202 text/plain POST a=b [("x-a", "b")] 4 at 40"#]);
}
