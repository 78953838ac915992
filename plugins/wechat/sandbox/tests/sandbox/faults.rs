//! Faults, as a client meets them.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_wechat_sandbox::{Fault, FaultFile, Options, ReplyFate};

use crate::phone::{Connection, Phone, Reply, TEMPLATE_SEND, template};

fn rules(rules: &Value) -> Vec<Fault> {
    serde_json::from_value(rules.clone()).unwrap()
}

/// Sends a good message through a sandbox with these rules; returns what the caller saw and how many messages arrived.
async fn send_under(faults: &Value) -> (Phone, io::Result<Reply>, String) {
    let phone = Phone::with(Options { faults: rules(faults), ..Options::default() }).await;
    let token = phone.token().await;
    let form_id = phone.form_id("alice");
    let target = format!("{TEMPLATE_SEND}?access_token={token}");
    let reply = phone.try_call("POST", &target, template("alice", &form_id).to_string().as_bytes()).await;
    (phone, reply, form_id)
}

fn is_closed(reply: &io::Result<Reply>) -> bool {
    matches!(reply, Err(error) if matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    ))
}

#[tokio::test]
async fn a_reset_before_commit_closes_without_a_reply_and_without_effect() {
    let (phone, reply, form_id) = send_under(&json!([{"kind": "reset_before_commit", "times": 1}])).await;
    assert!(is_closed(&reply));
    assert_eq!(phone.delivered(), 0);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await.errcode(), 0);
}

#[tokio::test]
async fn a_dropped_reply_closes_after_the_message_arrived() {
    let (phone, reply, form_id) = send_under(&json!([{"kind": "drop_reply", "times": 1}])).await;
    assert!(is_closed(&reply));
    assert_eq!(phone.control().deliveries(0)[0].reply, ReplyFate::Dropped);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await.errcode(), 41029);
    assert_eq!(phone.delivered(), 1);
}

#[tokio::test]
async fn a_refused_connection_closes_at_once_and_the_next_is_served() {
    let phone = Phone::new().await;
    phone.control().set_faults(rules(&json!([{"kind": "refuse", "every": 2}]))).unwrap();
    let mut closed = Vec::new();
    for _ in 0..4 {
        closed.push(is_closed(&phone.try_call("GET", "/sandbox/counts", b"").await));
    }
    assert_eq!(closed, [false, true, false, true]);
    assert_eq!(phone.control().counts().refused, 2);
}

#[tokio::test]
async fn a_status_fault_answers_like_a_gateway() {
    let rule = json!([{"kind": "status", "status": 502, "body": "bad gateway"}]);
    let (phone, reply, _) = send_under(&rule).await;
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (502, "bad gateway"));
    assert_eq!(phone.delivered(), 0);
}

#[tokio::test]
async fn a_status_fault_may_come_after_the_commit() {
    let (phone, reply, _) = send_under(&json!([{"kind": "status", "status": 504, "commit": true}])).await;
    assert_eq!(reply.unwrap().status, 504);
    assert_eq!(phone.control().deliveries(0)[0].reply, ReplyFate::Dropped);
}

#[tokio::test]
async fn an_errcode_fault_refuses_without_effect() {
    let rule = json!([{"kind": "errcode", "errcode": -1, "errmsg": "system error"}]);
    let (phone, reply, _) = send_under(&rule).await;
    let reply = reply.unwrap().json();
    assert_eq!(reply["errcode"], -1);
    assert!(reply["errmsg"].as_str().unwrap().starts_with("system error rid: "));
    assert_eq!(phone.delivered(), 0);
}

#[tokio::test]
async fn garbage_is_not_json() {
    for (commit, delivered) in [(false, 0), (true, 1)] {
        let (phone, reply, _) = send_under(&json!([{"kind": "garbage", "commit": commit}])).await;
        assert!(serde_json::from_slice::<Value>(&reply.unwrap().body).is_err());
        assert_eq!(phone.delivered(), delivered);
    }
}

#[tokio::test]
async fn a_huge_reply_is_ten_megabytes_of_truth() {
    for (commit, errcode, delivered) in [(false, -1, 0), (true, 0, 1)] {
        let (phone, reply, _) = send_under(&json!([{"kind": "huge", "commit": commit}])).await;
        let reply = reply.unwrap();
        assert!(reply.body.len() > 10_000_000);
        assert_eq!(reply.errcode(), errcode);
        assert_eq!(phone.delivered(), delivered);
    }
}

#[tokio::test]
async fn control_characters_stand_raw_inside_a_string_of_a_true_reply() {
    let (phone, reply, _) = send_under(&json!([{"kind": "control_characters"}])).await;
    let body = reply.unwrap().body;
    assert!(serde_json::from_slice::<Value>(&body).is_err());
    let cleaned: Vec<u8> = body.into_iter().filter(|byte| *byte >= 0x20).collect();
    assert_eq!(serde_json::from_slice::<Value>(&cleaned).unwrap(), json!({"errcode": 0, "errmsg": "ok"}));
    assert_eq!(phone.delivered(), 1);
}

#[tokio::test]
async fn control_characters_reach_the_token_endpoint_too() {
    let faults = rules(&json!([{"kind": "control_characters", "api": "stable_token"}]));
    let phone = Phone::with(Options { faults, ..Options::default() }).await;
    let body = phone.stable_token(false).await.body;
    assert!(serde_json::from_slice::<Value>(&body).is_err());
    let cleaned: Vec<u8> = body.into_iter().filter(|byte| *byte >= 0x20).collect();
    assert!(serde_json::from_slice::<Value>(&cleaned).unwrap()["access_token"].is_string());
}

#[tokio::test]
async fn latency_delays_the_reply_and_not_the_message() {
    let started = Instant::now();
    let (phone, reply, _) = send_under(&json!([{"kind": "latency", "ms": 80}])).await;
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert_eq!(reply.unwrap().errcode(), 0);
    let counts = phone.control().counts();
    assert_eq!(counts.apis[&tidings_wechat_sandbox::Api::Template].faults["latency"], 1);
}

#[tokio::test]
async fn a_caller_who_gives_up_on_a_late_reply_has_still_sent_the_message() {
    let faults = rules(&json!([{"kind": "latency", "ms": 60_000}]));
    let phone = Phone::with(Options { faults, ..Options::default() }).await;
    let target = format!("{TEMPLATE_SEND}?access_token={}", phone.token().await);
    let body = template("alice", &phone.form_id("alice")).to_string();
    let mut connection = Connection::open(&phone.sandbox).await;
    let call = connection.call("POST", &target, body.as_bytes());
    let arrived = async {
        while phone.delivered() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = call => panic!("the reply came before its time"),
        () = arrived => {}
    }
    drop(connection);
    assert_eq!(phone.delivered(), 1);
}

#[tokio::test]
async fn a_dropped_token_reply_has_still_replaced_the_token() {
    let phone = Phone::new().await;
    let old = phone.token().await;
    phone.control().set_faults(rules(&json!([{"kind": "drop_reply", "api": "stable_token", "times": 1}]))).unwrap();
    let body = json!({
        "grant_type": "client_credential", "appid": tidings_wechat_sandbox::DEFAULT_APPID,
        "secret": tidings_wechat_sandbox::DEFAULT_SECRET, "force_refresh": true,
    });
    assert!(is_closed(&phone.try_call("POST", "/cgi-bin/stable_token", body.to_string().as_bytes()).await));
    assert_eq!(phone.token_errcode(&old).await, 40001);
}

#[tokio::test]
async fn the_same_seed_and_calls_meet_the_same_faults() {
    let mut seen = Vec::new();
    for seed in [3, 3, 4] {
        let faults = rules(&json!([{"kind": "errcode", "errcode": -1, "probability": 0.5}]));
        let phone = Phone::with(Options { faults, seed, ..Options::default() }).await;
        let token = phone.token().await;
        let mut codes = Vec::new();
        for _ in 0..40 {
            codes.push(phone.token_errcode(&token).await);
        }
        seen.push(codes);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}

#[tokio::test]
async fn a_fault_file_refuses_keys_it_does_not_know() {
    let file: FaultFile = serde_json::from_value(json!({"faults": [{"kind": "garbage"}]})).unwrap();
    assert_eq!(file.faults.len(), 1);
    assert!(serde_json::from_value::<FaultFile>(json!({"fault": []})).is_err());
}
