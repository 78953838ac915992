//! What may go wrong at WeChat, or on the way there: a classified outcome, nothing lost, nothing doubled.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tidings_wechat_sandbox::{Api, App, AppKind, DEFAULT_APPID, Options};

use crate::harness::{ORDERS, World, on_each_store, orders, users};

on_each_store! {
    a_message_survives_whatever_happens_to_one_reply,
    a_reply_later_than_the_deadline_is_settled_by_the_second_answer,
    many_messages_through_a_bad_line_arrive_once_each,
    a_used_up_quota_pauses_the_channel_until_it_is_resumed_or_new,
    a_limit_of_the_minute_cools_the_channel_for_a_minute_at_most,
    a_wrong_appid_halts_its_app_alone_until_somebody_refreshes_the_token,
    an_app_that_was_set_going_again_halts_again_after_a_restart,
    a_template_that_wechat_does_not_know_is_held_after_three_tries,
    an_unreachable_provider_loses_nothing_and_is_used_when_it_is_there,
    attempts_are_bounded_and_the_failure_tells_the_last_answer,
}

/// Sends one message under a fault that strikes once; it must be sent in the end and have arrived once.
fn survives(world: &World, fault: Value, outcome: Option<&str>) {
    let order = format!("under-{}", world.deliveries().len());
    let mut rule = fault.clone();
    rule["api"] = "template".into();
    rule["times"] = 1.into();
    let form_id = world.permit("o-alice");
    world.faults(json!([rule]));
    let id = world.send("order-paid", "o-alice", &order);
    let message = world.until(&id, "sent");
    assert_eq!(world.arrived(&order), 1, "{fault}: {message:#}");
    assert_eq!(world.control().faults().struck, [1], "{fault}: the fault did not strike");
    let tries = message["tries"].as_array().cloned().unwrap_or_default();
    assert_eq!(tries.first().and_then(|first| first["outcome"].as_str()), outcome, "{fault}: {message:#}");
    // The same message went out with the same form_id each time.
    let last = world.deliveries().pop().unwrap();
    assert_eq!(last.credential.as_deref(), Some(form_id.as_str()), "{fault}");
}

fn a_message_survives_whatever_happens_to_one_reply() {
    let world = World::running();
    survives(&world, json!({"kind": "latency", "ms": 300}), None);
    survives(&world, json!({"kind": "status", "status": 502, "body": "bad gateway"}), Some("unknown"));
    survives(&world, json!({"kind": "status", "status": 504, "commit": true}), Some("unknown"));
    survives(&world, json!({"kind": "status", "status": 200, "body": ""}), Some("unknown"));
    survives(&world, json!({"kind": "errcode", "errcode": -1}), Some("retry"));
    survives(&world, json!({"kind": "garbage"}), Some("unknown"));
    survives(&world, json!({"kind": "garbage", "commit": true}), Some("unknown"));
    survives(&world, json!({"kind": "huge"}), Some("unknown"));
    survives(&world, json!({"kind": "huge", "commit": true}), Some("unknown"));
    survives(&world, json!({"kind": "control_characters"}), None);
    survives(&world, json!({"kind": "reset_before_commit"}), Some("unknown"));
    survives(&world, json!({"kind": "drop_reply"}), Some("unknown"));
}

fn a_reply_later_than_the_deadline_is_settled_by_the_second_answer() {
    let world = World::new();
    world.configure(&[("timeout    = \"5s\"", "timeout    = \"2s\"")]);
    world.run();
    world.permit("o-alice");
    world.faults(json!([{"kind": "latency", "ms": 6000, "api": "template", "times": 1}]));
    let id = world.send("order-paid", "o-alice", "1");
    let message = world.until(&id, "sent");
    assert_eq!((&message["reason"], world.deliveries().len()), (&json!("arrived_before"), 1), "{message:#}");
}

#[test]
fn a_connection_that_is_refused_at_once_is_tried_again() {
    let world = World::running();
    world.permit("o-alice");
    world.faults(json!([{"kind": "refuse", "times": 2}]));
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "sent");
    assert_eq!((world.deliveries().len(), world.control().counts().refused), (1, 2));
}

#[test]
fn garbled_token_answers_are_tried_again() {
    for fault in [
        json!({"kind": "garbage"}),
        json!({"kind": "huge"}),
        json!({"kind": "status", "status": 500, "body": "<html>"}),
        json!({"kind": "drop_reply"}),
    ] {
        let world = World::running();
        let mut rule = fault.clone();
        rule["api"] = "stable_token".into();
        rule["times"] = 1.into();
        world.faults(json!([rule]));
        let id = world.send("notice", "o-alice", "1");
        world.until(&id, "sent");
        assert_eq!((world.arrived("1"), world.calls(Api::StableToken)), (1, 2), "{fault}");
    }
}

#[test]
fn control_characters_in_a_token_answer_are_no_matter() {
    let world = World::running();
    world.faults(json!([{"kind": "control_characters", "api": "stable_token"}]));
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    assert_eq!(world.calls(Api::StableToken), 1);
}

fn many_messages_through_a_bad_line_arrive_once_each() {
    let world = World::running();
    let users = users(200);
    world.permits(&users);
    world.faults(json!([
        {"kind": "latency", "ms": 5},
        {"kind": "drop_reply", "probability": 0.08},
        {"kind": "garbage", "commit": true, "probability": 0.05},
        {"kind": "reset_before_commit", "probability": 0.05},
        {"kind": "status", "status": 503, "probability": 0.05},
        {"kind": "errcode", "errcode": -1, "probability": 0.05},
    ]));
    let orders = orders(&users);
    world.send_many("order-paid", &orders);
    let counts = world.until_sent(200);
    assert_eq!((counts.failed, counts.unknown), (0, 0), "{counts:?}");
    assert_eq!(world.deliveries().len(), 200);
    assert!(orders.iter().all(|(_, order)| world.arrived(order) == 1));
}

fn a_used_up_quota_pauses_the_channel_until_it_is_resumed_or_new() {
    let world = World::running();
    world.permit("o-alice");
    world.faults(json!([{"kind": "errcode", "errcode": 45009, "api": "template", "times": 1}]));
    let id = world.send("order-paid", "o-alice", "1");
    let channel = world.until_channel(ORDERS, "cooling");
    assert!(channel["until"].is_string() && channel["reason"].as_str().unwrap().contains("45009"), "{channel:#}");
    let message = world.until(&id, "queued");
    assert_eq!(message["reason"], "quota_exhausted", "{message:#}");
    // The other channels of the app go on.
    let notice = world.send("notice", "o-alice", "2");
    world.until(&notice, "sent");
    // It survives a restart, and ends when somebody says so.
    world.terminate();
    world.run();
    world.until_channel(ORDERS, "cooling");
    let listed = world.ok(&["channels", "list"]);
    assert!(listed.contains("cooling") && listed.contains("45009"), "{listed}");
    world.ok(&["channels", "resume", ORDERS]);
    world.until(&id, "sent");
    assert_eq!(world.arrived("1"), 1);
}

fn a_limit_of_the_minute_cools_the_channel_for_a_minute_at_most() {
    let world = World::running();
    world.permit("o-alice");
    world.faults(json!([{"kind": "errcode", "errcode": 45011, "api": "template", "times": 1}]));
    let id = world.send("order-paid", "o-alice", "1");
    let channel = world.until_channel(ORDERS, "cooling");
    assert!(channel["reason"].as_str().unwrap().contains("45011"), "{channel:#}");
    let (now, until) = (world.get("/v1/overview").json()["now"].clone(), channel["until"].clone());
    let seconds = |text: &Value| {
        let time = text.as_str().unwrap().split_once('T').unwrap().1.trim_end_matches('Z').to_owned();
        time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    };
    let wait = (seconds(&until) - seconds(&now)).rem_euclid(86_400.0);
    assert!((30.0..=60.0).contains(&wait), "from {now} until {until}");
    assert_eq!(world.until(&id, "queued")["attempts"], 0, "a throttle is no attempt");
    world.ok(&["channels", "resume", ORDERS]);
    world.until(&id, "sent");
}

/// Two apps at one WeChat; `second` has a channel of its own, `second`, with template `second-notice`.
fn two_apps() -> World {
    let apps = vec![
        App::default(),
        App { appid: "wx2222222222222222".into(), secret: "sandbox-secret".into(), kind: AppKind::Both },
    ];
    let world = World::with(Options { apps, ..Options::default() });
    let second = r#"
[apps.second]
plugin  = "wechat"
appid   = "wx2222222222222222"
sandbox = "SANDBOX"

[channels.second]
app       = "second"
token     = "wechat.access_token"
transport = "wechat.official_template"

[templates.second-notice]
channel     = "second"
template_id = "OFF0002-notice"
data        = { thing1 = "{{ title }}", character_string2 = "{{ order.id }}" }
"#;
    world.configure_more(&second.replace("SANDBOX", &world.base_url()));
    world
}

fn a_wrong_appid_halts_its_app_alone_until_somebody_refreshes_the_token() {
    let world = two_apps();
    world.run();
    world.permit("o-alice");
    world.faults(json!([{"kind": "errcode", "errcode": 40013, "api": "template", "times": 1}]));
    let id = world.send("order-paid", "o-alice", "1");
    let channel = world.until_channel(ORDERS, "halted");
    assert!(channel["reason"].as_str().unwrap().contains("40013"), "{channel:#}");
    assert_eq!(
        (&world.channel("alerts")["state"], &world.channel("second")["state"]),
        (&json!("halted"), &json!("open"))
    );
    let tokens = world.ok(&["tokens", "list"]);
    assert!(tokens.contains("40013"), "{tokens}");
    // The engine goes on: the other app sends, this one's messages are taken.
    let second = world.send("second-notice", "o-bob", "2");
    world.until(&second, "sent");
    world.until(&id, "queued");
    // A restart does not forget it.
    world.terminate();
    world.run();
    world.until_channel(ORDERS, "halted");
    world.ok(&["tokens", "refresh", "shop"]);
    world.until(&id, "sent");
    assert_eq!((world.arrived("1"), &world.channel(ORDERS)["state"]), (1, &json!("open")));
}

fn an_app_that_was_set_going_again_halts_again_after_a_restart() {
    let world = World::running();
    let refuse =
        || world.faults(json!([{"kind": "errcode", "errcode": 40013, "api": "official_template", "times": 1}]));
    refuse();
    let first = world.send("notice", "o-alice", "1");
    world.until_channel("alerts", "halted");
    world.ok(&["tokens", "refresh", "shop"]);
    world.until(&first, "sent");
    world.terminate();
    world.run();
    refuse();
    let second = world.send("notice", "o-alice", "2");
    let channel = world.until_channel("alerts", "halted");
    assert!(channel["reason"].as_str().unwrap().contains("40013"), "{channel:#}");
    world.until(&second, "queued");
    world.ok(&["tokens", "refresh", "shop"]);
    world.until(&second, "sent");
}

fn a_template_that_wechat_does_not_know_is_held_after_three_tries() {
    let world = World::running();
    world.faults(json!([{"kind": "errcode", "errcode": 40037, "api": "official_template"}]));
    let id = world.send("notice", "o-alice", "1");
    let message = world.until(&id, "held");
    assert_eq!((&message["reason"], &message["attempts"]), (&json!("template_broken"), &json!(3)), "{message:#}");
    world.control().clear_faults();
    world.ok(&["messages", "retry", &id]);
    world.until(&id, "sent");
}

fn an_unreachable_provider_loses_nothing_and_is_used_when_it_is_there() {
    let world = World::new();
    // A port that was free a moment ago: nobody listens there.
    let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.configure(&[("SANDBOX", &format!("http://{address}"))]);
    world.run();
    let id = world.send("notice", "o-alice", "1");
    let channel = world.until_channel("alerts", "cooling");
    assert!(channel["reason"].as_str().unwrap().contains("no token"), "{channel:#}");
    world.until(&id, "queued");
    let problem = world.token("shop")["problem"].as_str().unwrap().to_owned();
    assert!(problem.to_lowercase().contains("connect"), "{problem}");
    let sandbox = world.another_sandbox(address, Options::default());
    world.until(&id, "sent");
    assert_eq!(sandbox.control().deliveries(0).len(), 1);
    // It goes away with the token known, and comes back knowing nothing of it.
    world.wait_on(sandbox.stop());
    let second = world.send("notice", "o-alice", "2");
    world.wait("a try that did not get through", || {
        Some(world.message(&second)).filter(|message| message["tries"][0]["outcome"] == "retry")
    });
    let sandbox = world.another_sandbox(address, Options::default());
    world.until(&second, "sent");
    assert_eq!(sandbox.control().deliveries(0).len(), 1);
}

fn attempts_are_bounded_and_the_failure_tells_the_last_answer() {
    let world = World::new();
    world.configure(&[("attempts = 12, base = \"40ms\"", "attempts = 3, base = \"10ms\"")]);
    world.run();
    let form_id = world.permit("o-alice");
    world.faults(json!([{"kind": "errcode", "errcode": -1, "errmsg": "system error"}]));
    let id = world.send("order-paid", "o-alice", "1");
    let message = world.until(&id, "failed");
    assert_eq!((&message["reason"], &message["attempts"]), (&json!("attempts_exhausted"), &json!(3)), "{message:#}");
    assert!(message["detail"].as_str().unwrap().contains("-1"), "{message:#}");
    // The form_id was not used, and serves the next message.
    world.control().clear_faults();
    let next = world.send("order-paid", "o-alice", "2");
    world.until(&next, "sent");
    assert_eq!(world.deliveries()[0].credential.as_deref(), Some(form_id.as_str()));
}

#[test]
fn a_fault_file_is_read_by_the_sandbox_command_and_the_program_sends_through_it() {
    let world = World::new();
    let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.write("faults.toml", "[[faults]]\nkind = \"drop_reply\"\nevery = 2\n");
    let listen = address.to_string();
    let _sandbox = world.spawn(&["sandbox", "--listen", &listen, "--faults", "faults.toml"], "sandbox.log");
    world.wait("the sandbox says where it is", || {
        Some(world.read("sandbox.log")).filter(|log| log.contains(&listen) && log.contains(DEFAULT_APPID))
    });
    world.configure(&[("SANDBOX", &format!("http://{address}"))]);
    world.run();
    let sandbox = |method, path, body| crate::harness::http_tcp(address, method, path, &[], body);
    let minted = sandbox("POST", "/sandbox/form_ids", r#"{"openid":"o-alice","count":4}"#).json();
    for (order, form_id) in (1..).zip(minted["form_ids"].as_array().unwrap()) {
        let posted =
            world.post_form("wechat.form_id", &format!("form_id={}&openId=o-alice", form_id.as_str().unwrap()));
        assert_eq!(posted.status, 200, "{posted:?}");
        let id = world.send("order-paid", "o-alice", &order.to_string());
        world.until(&id, "sent");
    }
    let log = sandbox("GET", "/sandbox/log", "").json();
    assert_eq!(log["deliveries"].as_array().unwrap().len(), 4, "{log:#}");
    // A fault file with a mistake is a mistake of typing.
    world.write("faults.toml", "[[faults]]\nkind = \"latency\"\n");
    let said = world.tidings(&["sandbox", "--listen", "127.0.0.1:0", "--faults", "faults.toml"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("faults.toml") && said.err.contains("ms"), "{said:?}");
}
