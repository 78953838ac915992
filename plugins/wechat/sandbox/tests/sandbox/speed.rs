//! How fast it answers: not a test of behaviour, so run by hand, in release:
//! `cargo test --release -p tidings-wechat-sandbox -- --ignored --nocapture`.

use std::time::Instant;

use tidings_wechat_sandbox::{DEFAULT_APPID, Options, Quotas};
use tokio::task::JoinSet;

use crate::phone::{Connection, Phone, TEMPLATE_SEND, template};

const CONNECTIONS: u64 = 32;
const SENDS_EACH: u64 = 5_000;

#[tokio::test]
#[ignore = "a measurement, for release builds"]
async fn sends_each_second_with_client_and_server_on_one_thread() {
    let phone = Phone::with(Options { quotas: Quotas::UNLIMITED, ..Options::default() }).await;
    let target = format!("{TEMPLATE_SEND}?access_token={}", phone.token().await);
    let mut senders = JoinSet::new();
    let mut work = Vec::new();
    for _ in 0..CONNECTIONS {
        let form_ids = phone.control().mint_form_ids(DEFAULT_APPID, "alice", SENDS_EACH).unwrap();
        let bodies: Vec<String> = form_ids.iter().map(|form_id| template("alice", form_id).to_string()).collect();
        work.push((Connection::open(&phone.sandbox).await, bodies));
    }
    let started = Instant::now();
    for (mut connection, bodies) in work {
        let target = target.clone();
        senders.spawn(async move {
            for body in bodies {
                assert_eq!(connection.call("POST", &target, body.as_bytes()).await.unwrap().status, 200);
            }
        });
    }
    while senders.join_next().await.transpose().unwrap().is_some() {}
    let elapsed = started.elapsed();
    let sends = CONNECTIONS * SENDS_EACH;
    assert_eq!(phone.control().counts().deliveries, sends);
    println!("{sends} sends in {elapsed:?}: {:.0} each second", sends as f64 / elapsed.as_secs_f64());
}
