//! The plugin as Tidings uses it, without Tidings: it speaks to a server of this test.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::json;
use tidings_sdk::Outcome;
use tidings_sdk::testing::Harness;

/// Sends one message to a server that answers like this; gives what came of it and the line that the server saw.
fn send(answer: &'static [u8]) -> (Outcome, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        stream.get_mut().write_all(answer).unwrap();
        line
    });
    let harness = Harness::new(acme_plugin::plugin(), &json!({"address": address})).unwrap();
    let outcome = harness.deliver("line", "ann", &json!({"text": "Hello"})).unwrap();
    (outcome, server.join().unwrap())
}

#[test]
fn a_message_is_sent_and_accepted() {
    assert_eq!(send(b"ok\n"), (Outcome::Accepted { provider_id: None }, "ann: Hello\n".to_owned()));
}

#[test]
fn a_refusal_is_told_and_silence_is_unknown() {
    assert_eq!(send(b"too long\n").0.name(), "rejected");
    assert_eq!(send(b"").0.name(), "unknown");
}

#[test]
fn what_never_reached_the_server_is_tried_again() {
    // A port that was ours a moment ago: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let harness = Harness::new(acme_plugin::plugin(), &json!({"address": address})).unwrap();
    assert_eq!(harness.deliver("line", "ann", &json!({"text": "Hello"})).unwrap().name(), "retry");
}

#[test]
fn an_address_that_is_none_is_told_before_anything_is_sent() {
    let harness = Harness::new(acme_plugin::plugin(), &json!({"address": "nowhere"})).unwrap();
    let problems = harness.deliver("line", "ann", &json!({"text": "Hello"})).unwrap_err();
    assert_eq!(problems[0].field, "address");
}
