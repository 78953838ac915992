//! The API as curl meets it: who may call, what an error looks like.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::harness::{World, http_tcp, message, on_each_store};

on_each_store! {
    tcp_needs_the_key_and_the_health_checks_do_not,
    the_key_is_made_once_for_its_owner_alone_and_so_is_the_socket,
    commands_reach_an_engine_elsewhere_by_its_url_and_key,
    a_bulk_answer_has_a_line_for_each_line,
    a_repeat_by_header_is_told_by_header,
    an_engine_that_stops_is_not_ready,
}

/// What has the API listen on TCP, too.
pub(crate) const TCP: &str = "[api]\nlisten = \"127.0.0.1:0\"\nkey = { file = \"tidings.key\", create = true }\n";

/// An engine that listens on TCP too, where, and its key.
pub(crate) fn over_tcp() -> (World, SocketAddr, String) {
    let world = World::new();
    world.configure_more(TCP);
    world.run();
    let address = tcp_address(&world);
    let key = world.read("tidings.key").trim().to_owned();
    (world, address, key)
}

/// The log says which port the system chose.
pub(crate) fn tcp_address(world: &World) -> SocketAddr {
    let log = world.wait("the log names the port", || Some(world.log()).filter(|log| log.contains("tidings runs")));
    let (_, rest) = log.rsplit_once(" and http://").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn mode(world: &World, name: &str) -> u32 {
    fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777
}

fn tcp_needs_the_key_and_the_health_checks_do_not() {
    let (world, address, key) = over_tcp();
    let right = format!("Bearer {key}");
    let lower = format!("Bearer {}", key.to_uppercase());
    let get = |path: &str, headers: &[(&str, &str)]| http_tcp(address, "GET", path, headers, "");
    for headers in
        [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", &lower)], &[("authorization", &key)]]
    {
        let answer = get("/v1/messages", headers);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorised"), "{headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let answer = http_tcp(address, "POST", "/v1/messages", headers, &message("notice", "o-alice", "1").to_string());
        assert_eq!(answer.status, 401);
        assert_eq!(get("/v1/nothing", headers).status, 401, "a stranger learns no paths");
    }
    assert_eq!(get("/v1/messages", &[("authorization", &right)]).status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(path, &[]).status, 200);
    }
    let sent = message("notice", "o-alice", "1").to_string();
    assert_eq!(http_tcp(address, "POST", "/v1/messages", &[("authorization", &right)], &sent).status, 202);
    world.until_sent(1);
}

fn the_key_is_made_once_for_its_owner_alone_and_so_is_the_socket() {
    let (world, _, key) = over_tcp();
    let socket = world.socket();
    let socket = socket.file_name().unwrap().to_str().unwrap();
    assert_eq!((mode(&world, "tidings.key"), mode(&world, socket)), (0o600, 0o600));
    assert!(key.len() >= 32, "a key of {} characters", key.len());
    world.terminate();
    world.run();
    assert_eq!(world.read("tidings.key").trim(), key);
    assert!(!world.log().contains(&key), "the key is in the log");
}

fn commands_reach_an_engine_elsewhere_by_its_url_and_key() {
    let (world, address, key) = over_tcp();
    let url = format!("http://{address}");
    let without = world.tidings(&["messages", "list", "--url", &url]);
    assert!(without.code == 1 && without.err.contains("Authorization"), "{without:?}");
    world.set("TIDINGS_API_KEY", &key);
    let out =
        world.ok(&["send", "notice", "--to", "o-alice", "--data", "title=x", "--data", "order.id=1", "--url", &url]);
    assert!(out.contains("queued"), "{out}");
    world.ok(&["tokens", "list", "--url", &url]);
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_is_claimed() {
    let (world, address, _) = over_tcp();
    let other = World::new();
    other.configure_more(&TCP.replace("127.0.0.1:0", &address.to_string()));
    let said = other.tidings(&["run"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains(&address.to_string()) && said.err.contains("listen"), "{said:?}");
    drop(world);
}

#[test]
fn what_cannot_be_read_is_a_problem_that_says_what_was_expected() {
    let world = World::running();
    let check = |method: &str, path: &str, body: &str, expected: (u16, &str), part: &str| {
        let answer = world.http(method, path, &[("content-type", "application/json")], body);
        assert_eq!((answer.status, answer.problem().as_str()), expected, "{method} {path}: {answer:?}");
        assert!(answer.body.contains(part), "{method} {path}: `{part}` is not in {}", answer.body);
    };
    check("POST", "/v1/messages", "{", (400, "unreadable"), "body");
    check("POST", "/v1/messages", "", (400, "unreadable"), "body");
    check("POST", "/v1/messages", r#"{"template":"notice","to":"a","dta":{}}"#, (400, "unreadable"), "dta");
    check("POST", "/v1/messages", r#"{"template":"notice","to":7}"#, (400, "unreadable"), "string");
    check("POST", "/v1/messages", r#"{"template":"notcie","to":"a"}"#, (404, "template-unknown"), "notice");
    check("POST", "/v1/messages?dryrun=1", "{}", (400, "unreadable"), "dry_run");
    check("GET", "/v1/messages?stat=sent", "", (400, "unreadable"), "state");
    check("GET", "/v1/messages?state=snet", "", (400, "unreadable"), "sent");
    check("GET", "/v1/messages?limit=0", "", (400, "unreadable"), "limit");
    check("GET", "/v1/messages?limit=251", "", (400, "unreadable"), "250");
    check("GET", "/v1/messages?cursor=x", "", (400, "unreadable"), "cursor");
    check("GET", "/v1/messages/x", "", (400, "unreadable"), "msg_");
    check("GET", "/v1/messages/msg_42", "", (404, "message-unknown"), "msg_42");
    check("POST", "/v1/messages/msg_42/cancel", "", (404, "message-unknown"), "msg_42");
    check("POST", "/v1/messages/msg_42/explode", "", (404, "no-route"), "explode");
    check("POST", "/v1/credentials/wechat.fromid", r#"{"form_id":"F"}"#, (404, "source-unknown"), "wechat.form_id");
    check("POST", "/v1/credentials/wechat.form_id", "nonsense", (400, "unreadable"), "JSON");
    check("POST", "/v1/credentials/wechat.form_id?apps=x", "{}", (400, "unreadable"), "app");
    check("POST", "/v1/channels/none/pause", "", (404, "channel-unknown"), "none");
    check("POST", "/v1/tokens/none/refresh", "", (404, "app-unknown"), "shop");
    check("GET", "/v1/runs?schedul=x", "", (400, "unreadable"), "schedule");
    check("GET", "/v2/messages", "", (404, "no-route"), "/v2/messages");
    check("POST", "/v1/messages/msg_1/cancel", r#"{"raeson":"x"}"#, (400, "unreadable"), "raeson");
}

#[test]
fn a_parameter_that_nobody_reads_is_an_error_on_every_path() {
    let world = World::running();
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    let mut silent = Vec::new();
    for (method, path) in [
        ("GET", "/v1/overview"),
        ("GET", "/v1/channels"),
        ("GET", "/v1/tokens"),
        ("GET", "/v1/schedules"),
        ("GET", &format!("/v1/messages/{id}")),
        ("POST", "/v1/channels/orders/pause"),
        ("POST", "/v1/tokens/shop/refresh"),
        ("POST", &format!("/v1/messages/{id}/cancel")),
    ] {
        let answer = world.http(method, &format!("{path}?dry_run=true"), &[], "");
        if answer.status != 400 {
            silent.push(format!("{method} {path} answers {}", answer.status));
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn a_wrong_method_a_wrong_escape_and_a_body_too_large_are_problems_too() {
    let world = World::running();
    let mut plain = Vec::new();
    let mut look = |what: &str, answer: crate::harness::Answer, status: u16| {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if answer.header("content-type") != Some("application/problem+json") {
            plain.push(format!("{what}: {:?} {:?}", answer.header("content-type"), answer.body));
        }
    };
    look("a wrong method", world.http("DELETE", "/v1/messages", &[], ""), 405);
    look("a wrong escape in the path", world.get("/v1/messages/%ff"), 400);
    look("a body of nine megabytes", world.http("POST", "/v1/messages", &[], &"x".repeat(9 << 20)), 413);
    assert!(plain.is_empty(), "{plain:#?}");
}

fn a_bulk_answer_has_a_line_for_each_line() {
    let world = World::running();
    let lines = [
        message("notice", "o-alice", "1").to_string(),
        "{".to_owned(),
        message("notcie", "o-alice", "2").to_string(),
        String::new(),
        message("notice", "o-bob", "3").to_string(),
    ];
    let answer =
        world.http("POST", "/v1/messages/bulk", &[("content-type", "application/x-ndjson")], &lines.join("\n"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    let replies: Vec<serde_json::Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(u64, bool)> =
        replies.iter().map(|reply| (reply["line"].as_u64().unwrap(), reply["accepted"].is_object())).collect();
    assert_eq!(told, [(1, true), (2, false), (3, false), (5, true)]);
    assert_eq!(replies[2]["problem"]["type"], "urn:tidings:problem:template-unknown");
    world.until_sent(2);
}

fn a_repeat_by_header_is_told_by_header() {
    let world = World::running();
    let body = message("notice", "o-alice", "1").to_string();
    let post = |body: &str| world.http("POST", "/v1/messages", &[("idempotency-key", "\"k-1\"")], body);
    let first = post(&body);
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), Some(format!("/v1/messages/{id}").as_str()));
    let again = post(&body);
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(again.json()["id"], id.as_str());
    let other = post(&message("notice", "o-alice", "2").to_string());
    assert_eq!((other.status, other.problem().as_str()), (422, "key-taken"));
}

fn an_engine_that_stops_is_not_ready() {
    let (world, address, _) = over_tcp();
    world.faults(json!([{"kind": "latency", "ms": 1500}]));
    let id = world.send("notice", "o-alice", "1");
    world.wait("it is on its way", || {
        Some(()).filter(|()| world.message(&id)["state"] == "sending" && world.deliveries().len() == 1)
    });
    world.signal("-TERM");
    world.wait("it says that it stops", || {
        let answer = http_tcp(address, "GET", "/readyz", &[], "");
        (answer.status == 503).then_some(())
    });
    assert_eq!(http_tcp(address, "GET", "/healthz", &[], "").status, 200);
    assert!(world.ended().success());
}
