//! A primary that is lost while an engine sends, and the standby that takes its place.

use std::collections::BTreeMap;
use std::path::Path;

use tidings_cluster::{Cluster, DURABLE, Stop, ask};

use crate::harness::{World, order_of, orders, users};

/// Has the address lead there: a folder's name for the one with the server's socket, changed at once.
fn lead(address: &Path, to: &Cluster) {
    let next = address.with_extension("next");
    std::os::unix::fs::symlink(to.folder(), &next).unwrap();
    std::fs::rename(next, address).unwrap();
}

#[test]
fn a_primary_that_is_lost_loses_and_doubles_nothing_where_its_commits_wait_for_a_standby() {
    let parent = std::env::temp_dir();
    let primary = Cluster::private(&parent, &DURABLE).unwrap_or_else(|error| panic!("{}", error.whole()));
    primary.create_database("tidings").unwrap();
    let standby = primary.standby(&parent).unwrap_or_else(|error| panic!("{}", error.whole()));
    let world = World::new();
    let waits = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'standby' AND sync_state = 'sync'";
    world.wait("commits wait for the standby", || (ask(&primary.url("postgres"), waits).unwrap() == "1").then_some(()));

    let address = world.path("primary");
    lead(&address, &primary);
    world.configure_more(&format!(
        "[store]\nurl = \"postgres://postgres@localhost/tidings?host={}\"\nlease = \"2s\"\n\
         [api]\nsocket = \"tidings.db.sock\"\n",
        address.display()
    ));
    world.run();
    let users = users(600);
    let orders = orders(&users);
    world.permits(&users);
    world.send_many("order-paid", &orders);
    world.wait("it sends", || (world.deliveries().len() >= 60).then_some(()));

    primary.stop(Stop::Immediate).unwrap();
    let arrived = world.deliveries().len();
    assert!(arrived < orders.len(), "the primary was lost in the midst of it");
    standby.promote().unwrap();
    lead(&address, &standby);

    world.until_sent(600);
    let mut times: BTreeMap<String, usize> = orders.iter().map(|(_, order)| (order.clone(), 0)).collect();
    for delivery in world.deliveries() {
        *times.entry(order_of(&delivery).to_owned()).or_default() += 1;
    }
    times.retain(|_, times| *times != 1);
    assert_eq!(times, BTreeMap::new(), "of {} there were {arrived} at the end of the primary", orders.len());

    // The engine that was there all the time takes more.
    let more = world.send("notice", "o-user-0001", "behind");
    world.until(&more, "sent");
    let standbys = ask(&standby.url("tidings"), "SELECT count(*) FROM message").unwrap();
    assert_eq!(standbys, "601");
}
