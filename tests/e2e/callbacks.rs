//! What WeChat pushes: receipts, grants, refusals, from the simulated WeChat through the running engine.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tidings_wechat_sandbox::{Callback, DEFAULT_APPID, PushEvent, PushFormat, Pushed, UserState};

use crate::api::{TCP, tcp_address};
use crate::harness::{World, http_tcp, on_each_store};
use crate::plugin_files::place;

on_each_store! {
    a_message_is_delivered_when_its_receipt_says_so,
    a_message_that_did_not_arrive_fails_with_wechats_reason,
    a_grant_that_is_pushed_releases_who_waits_and_is_counted_once,
    what_a_user_withdraws_is_sent_to_nobody,
    a_push_that_is_not_wechats_changes_nothing_and_is_told_why,
    the_address_is_checked_as_wechats_console_does_it,
    strangers_learn_nothing_at_a_callback_and_cannot_fill_it,
    a_receipt_that_overtakes_the_answer_to_the_send_waits_for_it,
}

const TOKEN: &str = "CanaryToken7";
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFb";
const TEMPLATE: &str = "SUB0001-order-shipped";
const ENCRYPTED: &str = "callback_token = { env = \"T\" }\ncallback_key = { env = \"K\" }\nsandbox = \"SANDBOX\"";
const PLAIN: &str = "callback_token = { env = \"T\" }\nsandbox = \"SANDBOX\"";

/// A running engine that takes pushes, and WeChat pushing to it as `change` has it.
fn pushing(settings: &str, change: impl FnOnce(Callback) -> Callback) -> (World, SocketAddr) {
    let world = World::new();
    world.set("T", TOKEN);
    world.set("K", KEY);
    world.configure(&[("sandbox = \"SANDBOX\"", settings)]);
    world.configure_more(TCP);
    world.run();
    let address = tcp_address(&world);
    push_to(&world, address, change);
    (world, address)
}

fn push_to(world: &World, address: SocketAddr, change: impl FnOnce(Callback) -> Callback) {
    let url = format!("http://{address}/callbacks/shop");
    let key = Some(KEY.to_owned());
    let callback = Callback { url, token: TOKEN.to_owned(), key, format: PushFormat::Xml, copies: 1 };
    world.control().set_callback(Some(change(callback))).unwrap();
}

/// Waits for so many pushes to end, and gives them all.
#[track_caller]
fn pushed(world: &World, count: usize) -> Vec<Pushed> {
    world.wait("the pushes are answered", || Some(world.control().pushes()).filter(|pushes| pushes.len() >= count))
}

#[track_caller]
fn in_state(world: &World, id: &str, state: &str) -> Value {
    world.wait(&format!("{id} is {state}"), || Some(world.message(id)).filter(|message| message["state"] == state))
}

fn usable(world: &World) -> usize {
    let page = world.get("/v1/credentials?source=wechat.subscription&usable=true").json();
    page["items"].as_array().unwrap().len()
}

fn a_message_is_delivered_when_its_receipt_says_so() {
    for (settings, format) in [
        (ENCRYPTED, PushFormat::Xml),
        (ENCRYPTED, PushFormat::Json),
        (PLAIN, PushFormat::Xml),
        (PLAIN, PushFormat::Json),
    ] {
        let key = (settings == ENCRYPTED).then(|| KEY.to_owned());
        let (world, _) = pushing(settings, |callback| Callback { key, format, ..callback });
        let notice = world.send("notice", "o-ann", "1");
        let message = in_state(&world, &notice, "delivered");
        assert_eq!(world.arrived("1"), 1, "{message:#}");
        world.control().answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
        let shipped = world.send("order-shipped", "o-ann", "2");
        in_state(&world, &shipped, "delivered");
        let answers: Vec<(u16, u32)> = pushed(&world, 3).iter().map(|push| (push.status, push.tries)).collect();
        assert_eq!(answers, [(200, 1); 3]);
        assert_eq!(world.counts().delivered, 2);
    }
}

fn a_message_that_did_not_arrive_fails_with_wechats_reason() {
    let (world, _) = pushing(ENCRYPTED, |callback| callback);
    world.control().set_user(DEFAULT_APPID, "o-ben", UserState::Refusing).unwrap();
    let notice = world.send("notice", "o-ben", "1");
    let message = in_state(&world, &notice, "failed");
    assert_eq!(message["reason"], "bounced", "{message:#}");
    assert!(message["detail"].as_str().unwrap().contains("user block"), "{message:#}");
    world.control().answer(DEFAULT_APPID, "o-ben", TEMPLATE, true).unwrap();
    let shipped = world.send("order-shipped", "o-ben", "2");
    let message = in_state(&world, &shipped, "failed");
    assert!(message["detail"].as_str().unwrap().contains("43101"), "{message:#}");
    assert_eq!(world.deliveries().len(), 0);
}

fn a_receipt_that_overtakes_the_answer_to_the_send_waits_for_it() {
    let (world, _) = pushing(ENCRYPTED, |callback| callback);
    world.faults(json!([{"kind": "latency", "ms": 1500, "api": "official_template"}]));
    let first = world.send("notice", "o-ann", "1");
    assert_eq!(pushed(&world, 1)[0].status, 200);
    assert_eq!(world.message(&first)["state"], "sending", "the receipt came first");
    in_state(&world, &first, "delivered");

    // Nor does it get lost with the engine: the message is sent again with the same id, which WeChat knows.
    let second = world.send("notice", "o-ann", "2");
    pushed(&world, 2);
    assert_eq!(world.message(&second)["state"], "sending");
    world.kill();
    world.run();
    in_state(&world, &second, "delivered");
    assert_eq!((world.arrived("1"), world.arrived("2")), (1, 1));
}

fn a_grant_that_is_pushed_releases_who_waits_and_is_counted_once() {
    let (world, _) = pushing(ENCRYPTED, |callback| Callback { copies: 3, ..callback });
    let id = world.send("order-shipped", "o-ann", "1");
    world.until(&id, "waiting");
    world.control().answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    in_state(&world, &id, "delivered");
    // Three of the grant, three of the receipt.
    let pushes = pushed(&world, 6);
    assert!(pushes.iter().all(|push| push.status == 200 && push.answer == "success"), "{pushes:?}");
    assert_eq!(usable(&world), 0);
    let all = world.get("/v1/credentials?source=wechat.subscription").json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all:#}");
    let next = world.send("order-shipped", "o-ann", "2");
    world.until(&next, "waiting");
    assert_eq!(world.deliveries().len(), 1);
}

fn what_a_user_withdraws_is_sent_to_nobody() {
    let (world, _) = pushing(ENCRYPTED, |callback| callback);
    let control = world.control();
    control.answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    control.answer(DEFAULT_APPID, "o-ben", TEMPLATE, true).unwrap();
    control.answer(DEFAULT_APPID, "o-ann", TEMPLATE, false).unwrap();
    pushed(&world, 3);
    assert_eq!(usable(&world), 2, "a dialog that was refused gives none, and takes none");
    control.withdraw(DEFAULT_APPID, "o-ann", TEMPLATE).unwrap();
    pushed(&world, 4);
    assert_eq!(usable(&world), 1);
    let ann = world.send("order-shipped", "o-ann", "1");
    world.until(&ann, "waiting");
    let ben = world.send("order-shipped", "o-ben", "2");
    in_state(&world, &ben, "delivered");
    assert_eq!(world.message(&ann)["state"], "waiting");
}

fn a_push_that_is_not_wechats_changes_nothing_and_is_told_why() {
    let (world, address) = pushing(ENCRYPTED, |callback| Callback { token: "another1".into(), ..callback });
    let control = world.control();
    let id = world.send("order-shipped", "o-ann", "1");
    world.until(&id, "waiting");
    control.answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    control.check_callback(DEFAULT_APPID).unwrap();
    push_to(&world, address, |callback| Callback { key: None, ..callback });
    control.answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    push_to(&world, address, |callback| Callback { key: Some("A".repeat(43)), ..callback });
    control.answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    let pushes = pushed(&world, 4);
    let mut kinds: Vec<(u16, &str)> = pushes
        .iter()
        .map(|push| (push.status, push.answer.split("problem:").nth(1).unwrap_or_default().split('"').next().unwrap()))
        .collect();
    kinds.sort_unstable();
    let (unproved, malformed) = ((401, "push-unproved"), (400, "push-malformed"));
    assert_eq!(kinds, [malformed, malformed, unproved, unproved], "{pushes:?}");
    assert_eq!((usable(&world), world.message(&id)["state"].as_str()), (0, Some("waiting")));
    for answer in pushes.iter().map(|push| &push.answer) {
        assert!(!answer.contains(TOKEN) && !answer.contains(KEY), "{answer}");
    }
    assert!(!world.log().contains(TOKEN) && !world.log().contains(KEY));
}

fn the_address_is_checked_as_wechats_console_does_it() {
    let (world, _) = pushing(ENCRYPTED, |callback| callback);
    world.control().check_callback(DEFAULT_APPID).unwrap();
    let push = pushed(&world, 1).remove(0);
    assert_eq!((push.event, push.status), (PushEvent::Check, 200));
    assert!(push.answer.parse::<u64>().is_ok(), "the echostr comes back as it was sent: {}", push.answer);
}

fn strangers_learn_nothing_at_a_callback_and_cannot_fill_it() {
    let (world, address) = pushing(PLAIN, |callback| Callback { key: None, ..callback });
    let ask = |method: &str, path: &str, body: &str| http_tcp(address, method, path, &[], body);
    let unknown = ask("POST", "/callbacks/nobody?signature=1", "{}");
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "callback-unknown"));
    assert_eq!(ask("GET", "/callbacks/shop", "").problem(), "push-malformed");
    assert_eq!(ask("PUT", "/callbacks/shop", "{}").status, 401, "other methods are nobody's business");
    let large = ask("POST", "/callbacks/shop?signature=1&timestamp=1&nonce=1", &"x".repeat(300 * 1024));
    assert_eq!((large.status, large.problem().as_str()), (413, "too-large"));
    assert!(large.body.contains("262144"), "it is refused before its plugin reads it: {large:?}");
    drop(world);

    let world = World::new();
    world.configure_more(TCP);
    world.run();
    let without = http_tcp(tcp_address(&world), "POST", "/callbacks/shop?signature=1", &[], "{}");
    let detail = |answer: &str| answer.replace("nobody", "shop");
    assert_eq!(detail(&without.body), detail(&unknown.body), "an app without the settings is none");
}

#[test]
fn a_plugin_from_a_file_reads_pushes_as_the_one_that_is_built_in() {
    let world = World::new();
    place(&world, "tidings-wechat-file", "tidings_wechat");
    world.set("T", TOKEN);
    world.set("K", KEY);
    world.configure(&[("sandbox = \"SANDBOX\"", ENCRYPTED)]);
    world.configure_more(&format!("{TCP}\n[plugins.wechat]\npath = \"libtidings_wechat.so\"\n"));
    world.run();
    push_to(&world, tcp_address(&world), |callback| callback);
    let notice = world.send("notice", "o-ann", "1");
    in_state(&world, &notice, "delivered");
    world.control().answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    let shipped = world.send("order-shipped", "o-ann", "2");
    in_state(&world, &shipped, "delivered");
    assert!(world.log().contains("takes the place of the one that is built in"), "{}", world.log());
}

#[test]
fn the_sandbox_pushes_where_it_is_told_on_the_command_line() {
    let (world, address) = pushing(ENCRYPTED, |callback| callback);
    let url = format!("http://{address}/callbacks/shop");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = free.to_string();
    let args = ["sandbox", "--listen", &listen, "--callback", &url, "--callback-token", TOKEN, "--callback-key", KEY];
    let _sandbox = world.spawn(&args, "sandbox.log");
    world.wait("it listens", || Some(world.read("sandbox.log")).filter(|log| log.contains(&listen)));
    let answer = json!({"openid": "o-ann", "template_id": TEMPLATE, "answer": "accept"}).to_string();
    assert_eq!(http_tcp(free, "POST", "/sandbox/answers", &[], &answer).status, 200);
    let pushes = world.wait("the push is answered", || {
        Some(http_tcp(free, "GET", "/sandbox/pushes", &[], "").json()).filter(|pushes| pushes[0].is_object())
    });
    assert_eq!(usable(&world), 1);
    assert_eq!(pushes[0]["event"]["event"], "popup", "{pushes:#}");
    let said = world.tidings(&[
        "sandbox",
        "--listen",
        "127.0.0.1:0",
        "--callback",
        "https://a.example",
        "--callback-token",
        "t",
    ]);
    assert!(said.code == 2 && said.err.contains("http://"), "{said:?}");
    let said = world.tidings(&["sandbox", "--callback", "http://127.0.0.1:1/callbacks/shop"]);
    assert!(said.code == 2 && said.err.contains("--callback-token"), "{said:?}");
}

/// Has the store for itself, as long as it lives.
struct Hog(Child);

impl Hog {
    fn take(store: &Path) -> Hog {
        let hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20); \
                    c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()";
        let mut command = Command::new("python3");
        command.args(["-c", hold]).arg(store).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Hog(child)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_push_is_answered_within_wechats_five_seconds_however_slow_the_store_is() {
    let (world, _) = pushing(PLAIN, |callback| Callback { key: None, ..callback });
    let hog = Hog::take(&world.path("tidings.db"));
    world.control().answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    // An answer after five seconds is none for WeChat: the simulated one has 0 for it.
    let late = pushed(&world, 1).remove(0);
    assert_eq!((late.status, late.tries), (503, 3), "{late:?}");
    assert_eq!(usable(&world), 0);
    drop(hog);
    world.control().answer(DEFAULT_APPID, "o-ann", TEMPLATE, true).unwrap();
    let pushes = pushed(&world, 2);
    assert_eq!(pushes[1].status, 200, "{pushes:?}");
}
