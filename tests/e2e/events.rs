//! What happens, told to whoever reads along: in order, with nothing personal, and with a number for what was missed.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};
use tidings_api::client::{EventStream, Told};

use crate::harness::{World, on_each_store, orders, users};

on_each_store! {
    a_stream_tells_what_becomes_of_a_message_and_who_is_told_only_when_asked,
    another_config_and_a_token_that_cannot_be_fetched_are_told,
    permits_that_run_low_are_told_once_for_each_channel_that_wants_more,
    acts_of_operators_and_the_end_of_a_messages_time_are_told,
    a_schedule_that_an_operator_pauses_and_resumes_is_told,
    who_comes_back_is_told_what_happened_meanwhile_and_after_a_restart_that_nobody_can_say,
    a_reader_that_does_not_read_slows_nobody_and_is_told_how_much_it_missed,
    a_stream_that_is_asked_for_wrongly_is_refused,
    the_command_prints_what_there_is_and_follows_over_a_restart,
}

/// A stream that has begun: what happens from now on is told there.
#[track_caller]
fn stream(world: &World, query: &[(&str, &str)], place: Option<&str>) -> EventStream {
    let query: Vec<(&str, String)> = query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    world.wait_on(world.client().events(&query, place)).unwrap()
}

/// What the stream tells next, as it stands on the wire; `None` at its end.
#[track_caller]
fn next(world: &World, stream: &mut EventStream) -> Option<Value> {
    let told = world.wait_on(async { tokio::time::timeout(Duration::from_secs(25), stream.next()).await });
    match told.expect("something is told").unwrap()? {
        Told::Happened(event) => Some(serde_json::to_value(event).unwrap()),
        Told::Gap(gap) => Some(json!({"type": "gap", "data": gap})),
    }
}

/// Reads until an event of that type is told, and gives everything up to it.
#[track_caller]
fn until(world: &World, stream: &mut EventStream, kind: &str) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        told.push(next(world, stream).unwrap_or_else(|| panic!("no {kind}: {told:#?}")));
        if told.last().unwrap()["type"] == kind {
            return told;
        }
    }
}

fn kinds(told: &[Value]) -> Vec<&str> {
    told.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn a_stream_tells_what_becomes_of_a_message_and_who_is_told_only_when_asked() {
    let world = World::running();
    let (mut thin, mut full) = (stream(&world, &[], None), stream(&world, &[("full", "true")], None));
    world.permit("o-alice");
    let id = world.send("order-paid", "o-alice", "1");
    let told = until(&world, &mut thin, "message.sent");
    assert_eq!(kinds(&told), ["credential.added", "message.accepted", "token.refreshed", "message.sent"]);
    assert_eq!(told[0]["data"], json!({"app": "shop", "source": "wechat.form_id", "count": 1}));
    assert_eq!(told[3]["data"], json!({"id": id, "channel": "orders", "template": "order-paid", "state": "sent"}));
    assert!(told.iter().all(|event| !event.to_string().contains("o-alice")), "{told:#?}");
    let told = until(&world, &mut full, "message.sent");
    assert_eq!(told[1]["data"]["recipient"], "o-alice");
}

fn another_config_and_a_token_that_cannot_be_fetched_are_told() {
    let world = World::running();
    let mut stream = stream(&world, &[("types", "config.*,token.*")], None);
    world.faults(json!([{"kind": "errcode", "errcode": -1, "api": "stable_token"}]));
    assert_ne!(world.tidings(&["tokens", "refresh", "shop"]).code, 0);
    let failed = until(&world, &mut stream, "token.failed").pop().unwrap();
    assert_eq!(failed["data"]["app"], "shop");
    assert!(failed["data"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{failed}");
    let config = world.read("config.toml");
    world.write("config.toml", format!("{config}\n[channels.orders.nothing]\n"));
    assert_ne!(world.tidings(&["reload"]).code, 0);
    let refused = until(&world, &mut stream, "config.refused").pop().unwrap();
    assert!(refused["data"]["reason"].as_str().unwrap().contains("nothing"), "{refused}");
    world.write("config.toml", config.replace("in_flight  = 16", "in_flight  = 3"));
    // Only a look: nothing is told of it.
    world.ok(&["reload", "--dry-run"]);
    world.ok(&["reload"]);
    let reloaded = until(&world, &mut stream, "config.reloaded");
    assert_eq!(kinds(&reloaded), ["config.reloaded"]);
    assert_eq!(reloaded[0]["data"], json!({"changes": "channels.orders.in_flight"}));
}

fn permits_that_run_low_are_told_once_for_each_channel_that_wants_more() {
    let world = World::new();
    world.run();
    world.permits(&users(3));
    world.terminate();
    world.configure(&[("in_flight  = 16", "in_flight  = 16\ncredential_low = 3")]);
    world.configure_more(
        "[channels.spare]\napp = \"shop\"\ntoken = \"wechat.access_token\"\ncredential = \"wechat.form_id\"\n\
        transport = \"wechat.template\"\ncredential_low = 2",
    );
    world.run();
    let mut low = stream(&world, &[("types", "credential.low")], None);
    let people = users(3);
    world.send("order-paid", &people[0], "1");
    let told = next(&world, &mut low).unwrap();
    assert_eq!(told["data"], json!({"channel": "orders", "app": "shop", "count": 2, "bound": 3}));
    // It stays low, and that is told already: what is told next is of another channel.
    world.send("order-paid", &people[1], "2");
    let told = next(&world, &mut low).unwrap();
    assert_eq!(told["data"], json!({"channel": "spare", "app": "shop", "count": 1, "bound": 2}));
}

fn acts_of_operators_and_the_end_of_a_messages_time_are_told() {
    let world = World::running();
    let mut stream = stream(&world, &[("types", "message.*,channel.*")], None);
    world.ok(&["channels", "pause", "orders", "--reason", "a look"]);
    let paused = until(&world, &mut stream, "channel.paused").remove(0);
    assert_eq!(paused["data"], json!({"channel": "orders", "reason": "a look"}));
    let id = world.send("order-paid", "o-alice", "1");
    for (act, kind, state) in [
        ("hold", "message.held", "held"),
        ("release", "message.released", "queued"),
        ("cancel", "message.cancelled", "cancelled"),
        ("retry", "message.retried", "queued"),
    ] {
        assert_eq!(world.post(&format!("/v1/messages/{id}/{act}"), &json!({})).status, 200);
        let told = until(&world, &mut stream, kind).pop().unwrap();
        assert_eq!((&told["data"]["id"], &told["data"]["state"]), (&json!(id), &json!(state)), "{told}");
    }
    world.ok(&["send", "order-paid", "--to", "o-ben", "--data", "title=x", "--data", "order.id=2", "--expires", "+1s"]);
    let told = until(&world, &mut stream, "message.expired").pop().unwrap();
    assert_eq!(told["data"]["reason"], "expired");
    world.ok(&["channels", "resume", "orders"]);
    until(&world, &mut stream, "channel.resumed");
    until(&world, &mut stream, "message.waiting");
}

fn a_schedule_that_an_operator_pauses_and_resumes_is_told() {
    let world = World::new();
    world.configure_more("[schedules.nightly]\ncron = \"30 4 1 1 *\"\njob = \"purge_credentials\"\n");
    world.run();
    let mut stream = stream(&world, &[("types", "schedule.*")], None);
    world.ok(&["schedules", "pause", "nightly", "--reason", "maintenance"]);
    let paused = until(&world, &mut stream, "schedule.paused").remove(0);
    assert_eq!(paused["data"], json!({"schedule": "nightly", "reason": "maintenance"}));
    world.ok(&["schedules", "resume", "nightly"]);
    let resumed = until(&world, &mut stream, "schedule.resumed").remove(0);
    assert_eq!(resumed["data"], json!({"schedule": "nightly"}));
}

fn who_comes_back_is_told_what_happened_meanwhile_and_after_a_restart_that_nobody_can_say() {
    let world = World::running();
    let query = [("types", "message.accepted")];
    let mut first = stream(&world, &query, None);
    world.send("order-paid", "o-alice", "1");
    until(&world, &mut first, "message.accepted");
    let place = first.place().unwrap().to_owned();
    drop(first);
    let missed = world.send("order-paid", "o-ben", "2");
    let mut second = stream(&world, &query, Some(&place));
    assert_eq!(next(&world, &mut second).unwrap()["data"]["id"], missed);
    let place = second.place().unwrap().to_owned();
    world.terminate();
    assert_eq!(next(&world, &mut second), None, "a stop ends a stream as streams end");
    world.run();
    let mut third = stream(&world, &query, Some(&place));
    let gap = next(&world, &mut third).unwrap();
    assert_eq!((&gap["type"], &gap["data"]["reason"]), (&json!("gap"), &json!("restarted")));
    assert!(gap["data"].get("missed").is_none(), "{gap}");
    let id = world.send("order-paid", "o-cho", "3");
    assert_eq!(next(&world, &mut third).unwrap()["data"]["id"], id);
}

fn a_reader_that_does_not_read_slows_nobody_and_is_told_how_much_it_missed() {
    let world = World::new();
    // So many are looked at in one transaction.
    world.configure(&[("in_flight  = 16", "in_flight  = 1000")]);
    world.run();
    let mut slow = UnixStream::connect(world.socket()).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
    slow.write_all(b"GET /v1/events HTTP/1.1\r\nhost: tidings\r\n\r\n").unwrap();
    let mut head = [0_u8; 1];
    slow.read_exact(&mut head).unwrap();
    // Each is accepted and waits for a permit: two events, and more than the ring and every buffer on the way hold.
    let users = users(14_000);
    world.send_many("order-paid", &orders(&users));
    world.wait("all of them wait", || (world.counts().waiting == 14_000).then_some(()));
    let last = world.send("order-shipped", "o-last", "last");
    let mut told = String::new();
    let mut bytes = [0_u8; 64 * 1024];
    while !told.contains(&format!("\"{last}\"")) {
        let count = slow.read(&mut bytes).unwrap();
        assert!(count > 0, "the stream ended");
        told.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let (before, after) = told.split_once("event: gap\n").expect("something was missed");
    let gap = after.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let gap: Value = serde_json::from_str(gap).unwrap();
    assert_eq!(gap["reason"], "too_slow");
    let shown = |text: &str| text.matches("\nevent: message.").count();
    let missed = usize::try_from(gap["missed"].as_u64().unwrap()).unwrap();
    assert!(missed > 0 && gap["since"].is_string() && gap["until"].is_string(), "{gap}");
    assert!(shown(before) > 0 && shown(before) + missed + shown(after) <= 28_002, "{missed} of {}", shown(&told));
    assert!(shown(before) + missed + shown(after) >= 28_001, "{missed} and {}", shown(&told));
}

fn a_stream_that_is_asked_for_wrongly_is_refused() {
    let world = World::running();
    for (query, says) in [
        ("types=message.snet", "did you mean `message.sent`"),
        ("types=mail", "there is no event type"),
        ("full=yes", "expected true or false"),
        ("type=message.sent", "unknown parameter"),
    ] {
        let answer = world.get(&format!("/v1/events?{query}"));
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(answer.body.contains(says), "{query}: {answer:?}");
    }
    let answer = world.http("GET", "/v1/events", &[("last-event-id", "yesterday")], "");
    assert_eq!((answer.status, answer.problem().as_str()), (400, "unreadable"));
}

fn the_command_prints_what_there_is_and_follows_over_a_restart() {
    let world = World::running();
    world.permit("o-alice");
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "sent");
    let lines = world.ok(&["events"]);
    assert!(lines.contains("message.sent") && lines.contains(&format!("id={id}")), "{lines}");
    assert!(!lines.contains("o-alice"), "{lines}");
    let last = world.ok_json(&["events", "--json", "--type", "message.*", "--channel", "orders", "--full"]);
    assert_eq!((&last["type"], &last["data"]["recipient"]), (&json!("message.sent"), &json!("o-alice")));
    let wrong = world.tidings(&["events", "--type", "message.snet"]);
    assert!(wrong.code == 1 && wrong.err.contains("did you mean `message.sent`"), "{wrong:?}");

    let out = world.path("follow.out");
    let _follows = world.spawn_into(&["events", "--follow", "--json"], &out);
    let followed = |what: &str| std::fs::read_to_string(&out).unwrap_or_default().contains(what);
    world.wait("it follows", || {
        world.ok(&["channels", "pause", "news"]);
        followed("channel.paused").then_some(())
    });
    world.terminate();
    world.run();
    world.wait("it is told of the restart", || followed("\"restarted\"").then_some(()));
    let id = world.send("order-paid", "o-ben", "2");
    world.wait("it goes on", || followed(&id).then_some(()));
}
