//! The control plane over HTTP, the log, the counts, and the life of the server.

use serde_json::{Value, json};
use tidings_wechat_sandbox::{Api, DEFAULT_APPID, LogPage, Options};
use tokio::net::TcpStream;

use crate::phone::{Connection, OFFICIAL_SEND, Phone, SUBSCRIBE_SEND, TEMPLATE_SEND, official, subscribe, template};

#[tokio::test]
async fn permits_and_grants_made_over_http_are_good() {
    let phone = Phone::new().await;
    let made = phone.call("POST", "/sandbox/form_ids", &json!({"openid": "alice", "count": 2})).await.json();
    let form_ids = made["form_ids"].as_array().unwrap();
    assert_eq!(form_ids.len(), 2);
    for form_id in form_ids {
        let message = template("alice", form_id.as_str().unwrap());
        assert_eq!(phone.send(TEMPLATE_SEND, &message).await.errcode(), 0);
    }
    let body = json!({"openid": "alice", "appid": DEFAULT_APPID});
    let made = phone.call("POST", "/sandbox/prepay_ids", &body).await.json();
    let message = template("alice", made["prepay_ids"][0].as_str().unwrap());
    assert_eq!(phone.send(TEMPLATE_SEND, &message).await.errcode(), 0);
    let body = json!({"openid": "alice", "template_id": "S1", "count": 3});
    assert_eq!(phone.call("POST", "/sandbox/grants", &body).await.json(), json!({"grants": 3}));
    assert_eq!(phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await.errcode(), 0);
}

#[tokio::test]
async fn users_tokens_and_the_clock_are_moved_over_http() {
    let phone = Phone::new().await;
    phone.call("POST", "/sandbox/users", &json!({"openid": "alice", "state": "unfollowed"})).await;
    assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "1")).await.errcode(), 43004);
    let token = phone.token().await;
    phone.call("POST", "/sandbox/tokens/expire", &json!({"errcode": 42001})).await;
    assert_eq!(phone.token_errcode(&token).await, 42001);
    let token = phone.token().await;
    phone.call("POST", "/sandbox/tokens/expire", &Value::Null).await;
    assert_eq!(phone.token_errcode(&token).await, 40001);
    let before = phone.control().now_ms();
    let back = phone.call("POST", "/sandbox/clock", &json!({"advance_seconds": -3600})).await.json()["now"].clone();
    let moved = before - back.as_i64().unwrap();
    assert!((3_590_000..=3_600_000).contains(&moved), "{moved}");
}

#[tokio::test]
async fn fault_rules_are_set_listed_and_taken_back_over_http() {
    let phone = Phone::new().await;
    let rules = json!([{"kind": "errcode", "errcode": -1, "errmsg": "busy", "every": 1, "times": 5}]);
    let set = phone.call("PUT", "/sandbox/faults", &rules).await.json();
    assert_eq!(set, json!({"faults": rules, "struck": [0]}));
    assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "1")).await.errcode(), -1);
    let listed = phone.call("GET", "/sandbox/faults", &Value::Null).await.json();
    assert_eq!(listed["struck"], json!([1]));
    let cleared = phone.call("DELETE", "/sandbox/faults", &Value::Null).await.json();
    assert_eq!(cleared, json!({"faults": [], "struck": []}));
    assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "1")).await.errcode(), 0);
}

#[tokio::test]
async fn a_control_call_that_makes_no_sense_is_400_with_a_sentence() {
    let phone = Phone::new().await;
    for (method, target, body, expected) in [
        ("POST", "/sandbox/form_ids", json!({"openid": ""}), "is no openid"),
        ("POST", "/sandbox/form_ids", json!({"openid": "a", "count": 0}), "expected 1 to"),
        ("POST", "/sandbox/form_ids", json!({"openid": "a", "appid": "wx9"}), "has no app `wx9`"),
        ("POST", "/sandbox/form_ids", json!({"opnid": "a"}), "unknown field `opnid`"),
        ("POST", "/sandbox/grants", json!({"openid": "a", "template_id": ""}), "`template_id` is empty"),
        ("POST", "/sandbox/users", json!({"openid": "a", "state": "gone"}), "unknown variant `gone`"),
        ("POST", "/sandbox/clock", json!({"advance_seconds": i64::MAX}), "cannot move by"),
        ("POST", "/sandbox/tokens/expire", json!({"errcode": 1}), "expected 40001 or 42001"),
        ("PUT", "/sandbox/faults", json!([{"kind": "refuse"}]), "give it `times`"),
        ("PUT", "/sandbox/faults", json!([{"kind": "latency"}]), "needs `ms`"),
        ("GET", "/sandbox/log?after=x", Value::Null, "expected a whole number"),
        ("GET", "/sandbox/log?limit=0", Value::Null, "expected 1 to"),
        ("GET", "/sandbox/log?from=1", Value::Null, "not a parameter"),
    ] {
        let reply = phone.call(method, target, &body).await;
        assert_eq!(reply.status, 400, "{target} {body}");
        assert!(reply.text().contains(expected), "{target} {body} said {:?}", reply.text());
    }
}

#[tokio::test]
async fn the_log_is_paged_in_order_of_arrival() {
    let phone = Phone::new().await;
    for client_msg_id in ["a", "b", "c"] {
        phone.send(OFFICIAL_SEND, &official("alice", client_msg_id)).await;
    }
    let page = |after: u64, limit: usize| {
        let target = format!("/sandbox/log?after={after}&limit={limit}");
        let phone = &phone;
        async move { serde_json::from_value::<LogPage>(phone.call("GET", &target, &Value::Null).await.json()).unwrap() }
    };
    let first = page(0, 2).await;
    let ids = |page: &LogPage| {
        page.deliveries.iter().map(|delivery| delivery.client_msg_id.clone().unwrap()).collect::<Vec<String>>()
    };
    assert_eq!((ids(&first), first.next, first.dropped), (vec!["a".to_owned(), "b".to_owned()], 2, 0));
    let second = page(first.next, 2).await;
    assert_eq!((ids(&second), second.next), (vec!["c".to_owned()], 3));
    let third = page(second.next, 2).await;
    assert_eq!((third.deliveries.len(), third.next), (0, 3));
    assert_eq!(phone.control().log_since(0, 2), first);
}

#[tokio::test]
async fn a_full_log_drops_the_oldest_and_says_so() {
    let phone = Phone::with(Options { log_deliveries_max: 2, ..Options::default() }).await;
    for _ in 0..5 {
        phone.send(OFFICIAL_SEND, &official("alice", "")).await;
    }
    let page = phone.control().log_since(0, 10);
    assert_eq!(page.deliveries.iter().map(|delivery| delivery.seq).collect::<Vec<u64>>(), [4, 5]);
    assert_eq!((page.next, page.dropped), (5, 3));
    assert_eq!(phone.control().log_since(4, 10).deliveries.len(), 1);
    assert_eq!(phone.control().counts().deliveries, 5);
}

#[tokio::test]
async fn counts_tell_calls_by_endpoint_and_errcode() {
    let phone = Phone::new().await;
    let form_id = phone.form_id("alice");
    for _ in 0..3 {
        phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await;
    }
    let counts = phone.call("GET", "/sandbox/counts", &Value::Null).await.json();
    assert_eq!(counts["apis"]["template"], json!({"calls": 3, "errcodes": {"0": 1, "41029": 2}, "faults": {}}));
    assert_eq!(counts["apis"]["stable_token"]["calls"], 3);
    assert_eq!(counts["deliveries"], 1);
    assert_eq!(phone.control().counts().apis[&Api::Template].calls, 3);
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let phone = Phone::new().await;
    let mut connection = Connection::open(&phone.sandbox).await;
    for _ in 0..50 {
        assert_eq!(connection.call("GET", "/sandbox/counts", b"").await.unwrap().status, 200);
    }
    assert_eq!(phone.control().counts().connections, 1);
}

#[tokio::test]
async fn the_help_lists_what_there_is() {
    let phone = Phone::new().await;
    let help = phone.call("GET", "/sandbox/", &Value::Null).await.text();
    for route in ["/cgi-bin/stable_token", "/sandbox/form_ids", "/sandbox/log", "/sandbox/faults", "/sandbox/clock"] {
        assert!(help.contains(route), "{route}");
    }
}

#[tokio::test]
async fn a_stopped_sandbox_listens_no_more_and_lets_idle_connections_go() {
    let phone = Phone::new().await;
    let address = phone.sandbox.address();
    let mut idle = Connection::open(&phone.sandbox).await;
    idle.call("GET", "/sandbox/counts", b"").await.unwrap();
    phone.sandbox.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    assert!(idle.call("GET", "/sandbox/counts", b"").await.is_err());
}
