//! A primary that is lost while an engine sends, and the standby that takes its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidings_cluster::{Cluster, DURABLE, Stop, ask};

use crate::harness::{World, order_of, orders, users};

/// Has the address lead there: a folder's name for the one with the server's socket, changed at once.
fn lead(address: &Path, to: &Cluster) {
    let next = address.with_extension("next");
    std::os::unix::fs::symlink(to.folder(), &next).unwrap();
    std::fs::rename(next, address).unwrap();
}

/// A server whose commits wait for another, which follows it.
fn servers() -> (Cluster, Cluster) {
    let parent = std::env::temp_dir();
    let primary = Cluster::private(&parent, &DURABLE).unwrap_or_else(|error| panic!("{}", error.whole()));
    primary.create_database("tidings").unwrap();
    let standby = primary.standby(&parent).unwrap_or_else(|error| panic!("{}", error.whole()));
    (primary, standby)
}

/// A world whose engine has its store there, by an address that may lead elsewhere.
fn world_at(primary: &Cluster) -> (World, PathBuf) {
    let world = World::new();
    let waits = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'standby' AND sync_state = 'sync'";
    world.wait("commits wait for the standby", || (ask(&primary.url("postgres"), waits).unwrap() == "1").then_some(()));
    let address = world.path("primary");
    lead(&address, primary);
    world.configure_more(&format!(
        "[store]\nurl = \"postgres://postgres@localhost/tidings?host={}\"\nlease = \"2s\"\n\
         [api]\nsocket = \"tidings.db.sock\"\n",
        address.display()
    ));
    world.run();
    (world, address)
}

/// Sends 600 messages, a permit to each, and waits until some of them have arrived.
fn send_all(world: &World) -> Vec<(String, String)> {
    let users = users(600);
    let orders = orders(&users);
    world.permits(&users);
    world.send_many("order-paid", &orders);
    world.wait("it sends", || (world.deliveries().len() >= 60).then_some(()));
    orders
}

/// Each of these arrived once.
#[track_caller]
fn once(world: &World, orders: &[(String, String)]) {
    let mut times: BTreeMap<String, usize> = orders.iter().map(|(_, order)| (order.clone(), 0)).collect();
    for delivery in world.deliveries() {
        *times.entry(order_of(&delivery).to_owned()).or_default() += 1;
    }
    times.retain(|_, times| *times != 1);
    assert_eq!(times, BTreeMap::new());
}

#[test]
fn a_primary_that_is_lost_loses_and_doubles_nothing_where_its_commits_wait_for_a_standby() {
    let (primary, standby) = servers();
    let (world, address) = world_at(&primary);
    let orders = send_all(&world);

    primary.stop(Stop::Immediate).unwrap();
    let arrived = world.deliveries().len();
    assert!(arrived < orders.len(), "the primary was lost in the midst of it");
    standby.promote().unwrap();
    lead(&address, &standby);

    world.until_sent(600);
    once(&world, &orders);

    // The engine that was there all the time takes more.
    let more = world.send("notice", "o-user-0001", "behind");
    world.until(&more, "sent");
    let standbys = ask(&standby.url("tidings"), "SELECT count(*) FROM message").unwrap();
    assert_eq!(standbys, "601");
}

#[test]
fn a_primary_that_has_lost_its_standby_has_nothing_sent_until_it_is_back() {
    let (primary, standby) = servers();
    let (world, _) = world_at(&primary);
    let orders = send_all(&world);

    standby.stop(Stop::Fast).unwrap();
    world.wait("it cannot renew its lease", || {
        world.log().contains("renew this node's lease: no answer in time").then_some(())
    });
    let arrived = world.deliveries().len();
    assert!(arrived < orders.len(), "nothing is claimed that the standby does not know");
    standby.start().unwrap();

    world.until_sent(600);
    once(&world, &orders);
}
