//! How an engine stops, by request and by force, and what the next one finds.

use serde_json::json;
use tidings_wechat_sandbox::Api;

use crate::harness::{World, on_each_store, orders, users};

on_each_store! {
    a_stop_waits_for_what_is_on_its_way_and_says_what_it_left,
    a_stop_does_not_wait_longer_than_its_grace,
    an_idle_engine_stops_quickly_with_a_client_connected,
    what_was_accepted_is_there_after_a_kill,
    a_socket_that_a_crash_left_is_replaced,
    an_engine_that_starts_paused_sends_nothing_before_a_channel_is_resumed,
    a_second_signal_ends_it_at_once,
    a_kill_in_the_middle_of_sends_loses_nothing_and_doubles_nothing,
    a_kill_in_the_middle_of_service_account_messages_doubles_none_inside_wechats_window,
}

/// Messages in every state a stop may meet: so many on their way as the channel allows, and the rest not.
fn busy(world: &World, latency_ms: u64) -> Vec<(String, String)> {
    world.configure(&[("in_flight  = 16", "in_flight  = 5")]);
    world.run();
    world.ok(&["tokens", "refresh", "shop"]);
    let users = users(15);
    world.permits(&users);
    world.faults(json!([{"kind": "latency", "ms": latency_ms, "api": "template"}]));
    let waiting = world.send("order-paid", "o-nobody", "waits");
    world.until(&waiting, "waiting");
    world.ok(&[
        "send",
        "order-paid",
        "--to",
        "o-later",
        "--data",
        "title=x",
        "--data",
        "order.id=later",
        "--at",
        "+1h",
    ]);
    let orders = orders(&users);
    world.send_many("order-paid", &orders);
    world.wait("five have arrived", || Some(()).filter(|()| world.deliveries().len() == 5));
    orders
}

fn a_stop_waits_for_what_is_on_its_way_and_says_what_it_left() {
    let world = World::new();
    busy(&world, 1500);
    assert!(world.terminate().success());
    let log = world.log();
    let expected = "stopped: nothing was interrupted; left for the next start: 10 queued, 1 waiting, 1 scheduled";
    assert!(log.contains(expected), "{log}");
    assert_eq!(world.deliveries().len(), 5);
    assert!(!world.socket().exists(), "the socket is taken away");
    world.control().clear_faults();
    world.run();
    world.until_sent(15);
    assert_eq!((world.deliveries().len(), world.counts().waiting, world.counts().scheduled), (15, 1, 1));
}

fn a_stop_does_not_wait_longer_than_its_grace() {
    let world = World::new();
    world.configure(&[]);
    busy_with_short_grace(&world);
    let begun = std::time::Instant::now();
    assert!(world.terminate().success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "it took {:?}", begun.elapsed());
    let log = world.log();
    assert!(log.contains("stopped: 5 were still on their way and are settled at the next start"), "{log}");
    world.control().clear_faults();
    world.run();
    // WeChat had taken those five: the second try is told "used", which says that they had arrived.
    world.until_sent(5);
    assert_eq!(world.deliveries().len(), 5);
}

fn busy_with_short_grace(world: &World) {
    world.configure(&[("grace = \"5s\"", "grace = \"300ms\""), ("timeout    = \"5s\"", "timeout    = \"20s\"")]);
    world.run();
    world.ok(&["tokens", "refresh", "shop"]);
    let users = users(5);
    world.permits(&users);
    world.faults(json!([{"kind": "latency", "ms": 15_000, "api": "template"}]));
    world.send_many("order-paid", &orders(&users));
    world.wait("five have arrived", || Some(()).filter(|()| world.deliveries().len() == 5));
}

fn a_second_signal_ends_it_at_once() {
    let world = World::new();
    world.configure(&[("grace = \"5s\"", "grace = \"60s\""), ("timeout    = \"5s\"", "timeout    = \"90s\"")]);
    world.run();
    world.permit("o-alice");
    world.faults(json!([{"kind": "latency", "ms": 60_000, "api": "template"}]));
    let id = world.send("order-paid", "o-alice", "1");
    world.wait("it has arrived", || Some(()).filter(|()| world.deliveries().len() == 1));
    world.signal("-TERM");
    world.wait("it is stopping", || Some(()).filter(|()| world.log().contains("stopping")));
    world.signal("-INT");
    assert_eq!(world.ended().code(), Some(1));
    assert!(world.log().contains("ended by a second signal"), "{}", world.log());
    world.control().clear_faults();
    world.run();
    world.until(&id, "sent");
    assert_eq!(world.deliveries().len(), 1);
}

fn an_idle_engine_stops_quickly_with_a_client_connected() {
    let world = World::running();
    let _open = std::os::unix::net::UnixStream::connect(world.socket()).unwrap();
    let begun = std::time::Instant::now();
    assert!(world.terminate().success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "it took {:?}", begun.elapsed());
}

fn a_kill_in_the_middle_of_sends_loses_nothing_and_doubles_nothing() {
    let world = World::running();
    let users = users(240);
    world.permits(&users);
    world.faults(json!([
        {"kind": "latency", "ms": 25, "api": "template"},
        {"kind": "drop_reply", "api": "template", "every": 15},
    ]));
    let orders = orders(&users);
    world.send_many("order-paid", &orders);
    for round in 1..=4 {
        // Each time others are on their way: whoever is there at three crashes is held.
        world.wait("a part has arrived", || Some(()).filter(|()| world.deliveries().len() >= round * 45));
        world.kill();
        world.run();
    }
    let counts = world.until_sent(240);
    assert_eq!((counts.failed, counts.unknown, counts.held), (0, 0, 0), "{counts:?}");
    let wrong: Vec<_> =
        orders.iter().map(|(_, order)| (order, world.arrived(order))).filter(|(_, n)| *n != 1).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(world.calls(Api::StableToken), 1, "the token outlives a crash");
}

fn a_kill_in_the_middle_of_service_account_messages_doubles_none_inside_wechats_window() {
    let world = World::running();
    world.faults(json!([{"kind": "latency", "ms": 30, "api": "official_template"}]));
    let orders = orders(&users(300));
    world.send_many("notice", &orders);
    for round in 1..=2 {
        world.wait("a part has arrived", || Some(()).filter(|()| world.deliveries().len() >= round * 100));
        world.kill();
        world.run();
    }
    world.until_sent(300);
    assert_eq!(world.deliveries().len(), 300);
    assert!(orders.iter().all(|(_, order)| world.arrived(order) == 1));
}

fn what_was_accepted_is_there_after_a_kill() {
    let world = World::running();
    for round in 0..3 {
        let id = world.send("order-paid", "o-nobody", &format!("{round}"));
        world.kill();
        world.run();
        world.until(&id, "waiting");
    }
    assert_eq!(world.counts().waiting, 3);
}

fn an_engine_that_starts_paused_sends_nothing_before_a_channel_is_resumed() {
    let world = World::new();
    let alerts = "transport  = \"wechat.official_template\"\n";
    world.configure(&[(alerts, &format!("{alerts}in_flight  = 1\n"))]);
    world.run();
    world.faults(json!([{"kind": "latency", "ms": 60_000, "api": "official_template"}]));
    let (under_way, queued) = (world.send("notice", "o-alice", "1"), world.send("notice", "o-bob", "2"));
    world.wait("the first has arrived", || (world.deliveries().len() == 1).then_some(()));
    world.kill();
    world.control().clear_faults();

    world.run_with(&["--paused"]);
    assert!(world.log().contains("`tidings channels resume NAME`"), "{}", world.log());
    assert_eq!(world.channel("alerts")["state"], "paused");
    let record = world.ok_json(&["audit", "list", "--act", "channel", "--json"]);
    assert_eq!(record["items"].as_array().unwrap().len(), 3, "{record}");
    // One channel goes on, and the other does not with it.
    world.ok(&["channels", "resume", "orders"]);
    world.permit("o-carol");
    let other = world.send("order-paid", "o-carol", "3");
    world.until(&other, "sent");
    for id in [&under_way, &queued] {
        // What was on its way is so until the lease of its engine is over, where there are leases.
        world.wait("it is to be sent again", || {
            let state = world.message(id)["state"].clone();
            assert!(["sending", "queued", "scheduled"].iter().any(|may| state == *may), "{id} is {state}");
            (state != "sending").then_some(())
        });
    }
    assert_eq!(world.deliveries().len(), 2);

    // It is an operator's pause: a start without it changes nothing.
    assert!(world.terminate().success());
    world.run();
    assert_eq!(world.channel("alerts")["state"], "paused");
    world.ok(&["channels", "resume", "alerts"]);
    world.until(&under_way, "sent");
    world.until(&queued, "sent");
    assert_eq!(["1", "2", "3"].map(|order| world.arrived(order)), [1, 1, 1]);
}

#[test]
fn a_second_engine_on_the_same_store_is_refused_with_the_name_of_the_first() {
    let world = World::running();
    let said = world.tidings(&["run"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("tidings.db") && said.err.contains(&world.pid().to_string()), "{said:?}");
    assert!(said.err.contains("another store"), "{said:?}");
    // The first one is none the worse for it.
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    assert_eq!(world.tidings(&["messages", "list"]).code, 0);
}

fn a_socket_that_a_crash_left_is_replaced() {
    let world = World::running();
    world.kill();
    assert!(world.socket().exists());
    world.run();
    assert_eq!(world.get("/healthz").status, 200);
}

#[test]
fn a_socket_path_that_is_too_long_is_said() {
    let world = World::new();
    let deep = "d".repeat(90);
    world.configure_more(&format!("[api]\nsocket = \"{deep}/engine.sock\"\n"));
    let said = world.tidings(&["run"]);
    assert!(said.code != 0 && said.err.contains("socket"), "{said:?}");
}
