//! One trace from intake to outcome: in answers, in the log, at a collector; and what the log itself looks like.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{World, message, on_each_store};

on_each_store! {
    a_message_has_the_trace_that_its_caller_names_or_one_of_its_own,
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn send(world: &World, to: &str, traceparent: &str) -> Value {
    let headers = [("content-type", "application/json"), ("traceparent", traceparent)];
    let answer = world.http("POST", "/v1/messages", &headers, &message("notice", to, "1").to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()
}

/// The lines of a log that is one JSON object a line, and nothing else.
fn lines(world: &World) -> Vec<Value> {
    let log = world.log();
    let last_is_told_to_people = |line: &&str| !line.starts_with("note: ") && !line.starts_with("stopped: ");
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().filter(last_is_told_to_people).map(read).collect()
}

fn a_message_has_the_trace_that_its_caller_names_or_one_of_its_own() {
    let world = World::running();
    let named = send(&world, "o-alice", &traceparent("01"));
    assert_eq!(named["trace_id"], TRACE, "{named}");
    let id = named["id"].as_str().unwrap();
    assert_eq!(world.until(id, "sent")["trace_id"], TRACE);

    let own = send(&world, "o-alice", "00-nonsense");
    let (id, trace) = (own["id"].as_str().unwrap().to_owned(), own["trace_id"].as_str().unwrap().to_owned());
    assert!(trace.len() == 32 && trace != TRACE, "{own}");
    world.until(&id, "sent");
    // Nothing of it is stored, and it is the same after a restart.
    world.terminate();
    world.run();
    assert_eq!(world.message(&id)["trace_id"], trace.as_str());
}

#[test]
fn an_answer_and_a_problem_say_which_trace_they_belong_to() {
    let world = World::running();
    let header = traceparent("01");
    let answer = world.http("GET", "/v1/messages/msg_99", &[("traceparent", &header)], "");
    assert_eq!((answer.status, &answer.json()["trace_id"]), (404, &json!(TRACE)), "{answer:?}");
    assert_eq!(answer.header("traceresponse"), Some(header.as_str()));
    let without = world.get("/v1/messages/msg_99");
    assert!(without.json().get("trace_id").is_none() && without.header("traceresponse").is_none(), "{without:?}");
    let lines = format!("{}\n{}", message("notice", "o-alice", "1"), message("no", "o-alice", "1"));
    let bulk = world.http("POST", "/v1/messages/bulk", &[("traceparent", &header)], &lines);
    assert_eq!(bulk.body.matches(TRACE).count(), 2, "{bulk:?}");
}

#[test]
fn the_log_in_json_has_an_object_a_line_and_a_message_by_its_trace() {
    let world = World::new();
    world.configure_more("[log]\nformat = \"json\"\n");
    world.set("TIDINGS_LOG", "debug");
    world.run();
    let sent = send(&world, "o-alice", &traceparent("01"));
    world.until(sent["id"].as_str().unwrap(), "sent");
    world.terminate();
    let lines = lines(&world);
    let of_trace: Vec<&Value> = lines.iter().filter(|line| line["trace_id"] == TRACE).collect();
    let told: Vec<&str> = of_trace.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(told, ["message accepted", "attempt ended"], "{of_trace:?}");
    assert_eq!((&of_trace[1]["outcome"], &of_trace[1]["attempt"]), (&json!("accepted"), &json!(1)), "{of_trace:?}");
    for line in &lines {
        let parts = ["time", "level", "target", "message"].map(|part| line[part].is_string());
        assert_eq!(parts, [true; 4], "{line}");
    }
}

#[test]
fn the_form_of_the_log_is_the_flags_then_the_variables_then_the_configs() {
    let world = World::new();
    world.configure_more("[log]\nformat = \"text\"\n");
    world.set("TIDINGS_LOG_FORMAT", "json");
    world.run();
    world.terminate();
    assert!(!lines(&world).is_empty());
    let wrong = World::new();
    wrong.set("TIDINGS_LOG_FORMAT", "xml");
    let said = wrong.tidings(&["run"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("TIDINGS_LOG_FORMAT is `xml`; expected text or json"), "{said:?}");
    assert_eq!(wrong.tidings(&["run", "--log-format", "yaml"]).code, 2);
}

/// Takes what a collector of OpenTelemetry would.
struct Collector {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let kept = Arc::clone(&requests);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Collector { address, requests }
    }

    fn spans(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        let of = |body: &Value| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
        requests.iter().flat_map(|(_, body)| of(body)).collect()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<(String, Value)>>) {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut some) {
        bytes.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        kept.lock().unwrap().push((head.to_owned(), serde_json::from_str(body).unwrap()));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        bytes.clear();
    }
}

fn attribute<'a>(span: &'a Value, name: &str) -> &'a Value {
    let all = span["attributes"].as_array().unwrap();
    &all.iter().find(|attribute| attribute["key"] == name).unwrap_or_else(|| panic!("no {name}: {span}"))["value"]
}

#[test]
fn a_collector_gets_intake_attempt_and_token_fetch_under_the_callers_span() {
    let collector = Collector::start();
    let world = World::new();
    world.configure_more(&format!("[telemetry]\notlp = \"http://{}\"\n", collector.address));
    world.run();
    let sent = send(&world, "o-alice", &traceparent("01"));
    let id = sent["id"].as_str().unwrap();
    world.until(id, "sent");
    let not_recorded = send(&world, "o-alice", &traceparent("00"));
    world.until(not_recorded["id"].as_str().unwrap(), "sent");
    let own = send(&world, "o-alice", "");
    world.until(own["id"].as_str().unwrap(), "sent");
    // The last spans come with the stop, at the latest.
    world.terminate();
    let spans = collector.spans();
    let named = |name: &str, trace: &Value| -> Vec<Value> {
        spans.iter().filter(|span| span["name"] == name && span["traceId"] == *trace).cloned().collect()
    };
    let (intake, attempt) = (named("intake", &json!(TRACE)), named("attempt", &json!(TRACE)));
    assert_eq!((intake.len(), attempt.len()), (1, 1), "what the caller does not record is not told: {spans:#?}");
    assert_eq!((&intake[0]["parentSpanId"], &intake[0]["kind"]), (&json!(PARENT), &json!(2)));
    assert_eq!((&attempt[0]["parentSpanId"], &attempt[0]["kind"]), (&intake[0]["spanId"], &json!(3)));
    assert_eq!(attribute(&attempt[0], "tidings.outcome")["stringValue"], "accepted");
    assert_eq!(attribute(&attempt[0], "tidings.attempt")["intValue"], "1");
    assert_eq!(attribute(&attempt[0], "tidings.template")["stringValue"], "notice");
    assert_eq!(attribute(&intake[0], "tidings.message")["stringValue"], id);
    for time in ["startTimeUnixNano", "endTimeUnixNano"] {
        assert!(attempt[0][time].as_str().unwrap().parse::<u64>().unwrap() > 1_600_000_000_000_000_000);
    }
    assert_eq!(named("attempt", &own["trace_id"]).len(), 1, "one that nobody named is recorded by its own");
    assert!(spans.iter().any(|span| span["name"] == "token fetch"), "{spans:#?}");
    let requests = collector.requests.lock().unwrap();
    let (head, body) = &requests[0];
    assert!(head.starts_with("POST /v1/traces HTTP/1.1") && head.contains("application/json"), "{head}");
    let resource = body["resourceSpans"][0]["resource"]["attributes"].to_string();
    assert!(resource.contains("service.name") && resource.contains("tidings"), "{resource}");
    assert!(!requests.iter().any(|(_, body)| body.to_string().contains("o-alice")), "no recipient goes to a collector");
}

#[test]
fn without_its_collector_the_engine_goes_on_and_counts_what_was_dropped() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::new();
    world.configure_more(&format!("[telemetry]\notlp = \"http://{nobody}\"\n"));
    world.run();
    let sent = send(&world, "o-alice", "");
    world.until(sent["id"].as_str().unwrap(), "sent");
    world.wait("what was dropped is counted", || {
        let page = world.get("/metrics").body;
        let dropped = page.lines().find_map(|line| line.strip_prefix("tidings_spans_dropped_total ")?.parse().ok());
        dropped.filter(|count: &u64| *count >= 3)
    });
    assert_eq!(world.log().matches("takes no spans").count(), 1, "{}", world.log());
}
