//! What a call costs. Not a test of anything: run it by name, in a release build, and read.

use std::time::{Duration, Instant};

use serde_json::json;
use tidings_host::direct;
use tidings_sdk::{Credential, Delivery, Response};

use crate::fixture::{LONG, app, carrier, delivery, load, map, sender};

const CALLS: u32 = 200_000;

fn report(what: &str, calls: u32, took: Duration) {
    println!(
        "{what}: {:.0} a second, {:.2} us each",
        f64::from(calls) / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / f64::from(calls)
    );
}

#[test]
#[ignore = "a measurement"]
fn the_bare_border() {
    let plugin = direct(&load("good_bare").unwrap());
    let (app, content) = (app("shop", json!({})), map(json!({"page": "p", "data": {"a": "1"}})));
    let transport = &plugin.http_transports[0].1;
    let credential = Some(Credential { source: "form_id", value: "v" });
    let delivery = Delivery { app: &app, token: "t", credential, recipient: "ann", content: &content, dedupe_id: "1" };
    transport.request(&delivery).unwrap();
    let begun = Instant::now();
    for _ in 0..CALLS {
        transport.request(&delivery).unwrap();
    }
    report("request, direct", CALLS, begun.elapsed());
    let begun = Instant::now();
    for _ in 0..CALLS {
        transport.read(&app, &Response::new(200, b"m-1"));
    }
    report("read, direct", CALLS, begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn through_the_thread() {
    let stage = sender(&load("good_bare").unwrap());
    let begun = Instant::now();
    for _ in 0..CALLS / 10 {
        stage.request(delivery("ann")).await.unwrap();
    }
    report("request, one after the other", CALLS / 10, begun.elapsed());
    for tasks in [8, 64, 256] {
        let begun = Instant::now();
        let callers: Vec<_> = (0..tasks)
            .map(|_| {
                let stage = stage.clone();
                tokio::spawn(async move {
                    for _ in 0..CALLS / tasks {
                        stage.request(delivery("ann")).await.unwrap();
                        stage.read(200, None, b"m-1".to_vec(), LONG).await.unwrap();
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        report(&format!("request and read, {tasks} at once"), CALLS, begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn deliveries() {
    let stage = carrier(&load("good_transport").unwrap());
    for tasks in [1, 64, 256] {
        let calls = if tasks == 1 { CALLS / 10 } else { CALLS };
        let begun = Instant::now();
        let callers: Vec<_> = (0..tasks)
            .map(|_| {
                let stage = stage.clone();
                tokio::spawn(async move {
                    for _ in 0..calls / tasks {
                        stage.deliver(delivery("ann")).await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        report(&format!("deliver, {tasks} at once"), calls, begun.elapsed());
    }
}
