//! A server of PostgreSQL, or the way to it, that falls silent: nothing is closed, and no answer comes.

use std::time::{Duration, Instant};

use tidings_cluster::{Cluster, DURABLE, Proxy};

use crate::harness::{World, not_once};

/// Within which a silent server is known to be lost: the bound that docs/OPERATIONS.md names, and a second for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(13);
/// Within which an engine ends whose grace is five seconds, whatever the store does: three more are for the last outcomes,
/// and one for a busy machine.
const ENDED_WITHIN: Duration = Duration::from_secs(9);

/// A world whose engine reaches its store by a way that can fall silent. The server lasts as long as it is held.
fn world() -> (World, Proxy, Cluster) {
    let cluster = Cluster::private(&std::env::temp_dir(), &DURABLE).unwrap_or_else(|error| panic!("{}", error.whole()));
    cluster.create_database("tidings").unwrap();
    let proxy = Proxy::before(&cluster).unwrap_or_else(|error| panic!("{}", error.whole()));
    let world = World::new();
    world.configure_more(&format!(
        "[store]\nurl = \"{}\"\nlease = \"2s\"\n[api]\nsocket = \"tidings.db.sock\"\n",
        proxy.url("tidings")
    ));
    world.run();
    (world, proxy, cluster)
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_when_there_is_a_way_again_nothing_was_lost_or_doubled() {
    let (world, proxy, _cluster) = world();
    let orders = world.send_until_some_arrive();

    let begun = Instant::now();
    proxy.shut();
    world.wait("it says so", || world.log().contains("the store does not serve").then_some(()));
    let noticed = begun.elapsed();
    assert!(noticed < NOTICED_WITHIN, "it was noticed after {noticed:?}");
    assert!(world.deliveries().len() < orders.len(), "it fell silent in the midst of it");

    proxy.open();
    world.wait("it goes on by itself", || world.log().contains("the store serves again").then_some(()));
    world.until_sent(600);
    assert_eq!(not_once(&[&world], &orders), []);
    assert!(world.terminate().success());
}

#[test]
fn a_commit_whose_answer_is_lost_is_looked_into_and_nothing_was_lost_or_doubled() {
    let (world, proxy, _cluster) = world();
    let orders = world.send_until_some_arrive();
    proxy.lose_a_commit();
    world.wait("an answer is lost", || proxy.has_lost_a_commit().then_some(()));
    assert!(world.deliveries().len() < orders.len(), "it was lost in the midst of it");
    world.until_sent(600);
    assert_eq!(not_once(&[&world], &orders), []);
    assert!(world.log().contains("the server did not answer"), "{}", world.log());
    assert!(world.terminate().success());
}

#[test]
fn an_engine_whose_server_is_silent_ends_within_its_grace_and_the_next_start_goes_on() {
    let (world, proxy, _cluster) = world();
    let orders = world.send_until_some_arrive();
    proxy.shut();
    let begun = Instant::now();
    let ended = world.terminate();
    let took = begun.elapsed();
    assert!(took < ENDED_WITHIN, "it ended after {took:?}");
    assert_eq!(ended.code(), Some(1), "what was known is not written: {}", world.log());
    assert!(world.log().contains("stop: the store did not answer in time"), "{}", world.log());

    proxy.open();
    world.run();
    world.until_sent(600);
    assert_eq!(not_once(&[&world], &orders), []);
}
