//! A primary that is lost while an engine sends, and the standby that takes its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidings_cluster::{Cluster, DURABLE, Stop, ask};

use crate::harness::{World, not_once};

const LEASE: Duration = Duration::from_secs(2);

/// Connections on which an engine writes at once: its writer's, its lease's and its bell's.
const WRITES_AT_ONCE_MAX: usize = 3;

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
        "[store]\nurl = \"postgres://postgres@localhost/tidings?host={}\"\nlease = \"{}s\"\n\
         [api]\nsocket = \"tidings.db.sock\"\n",
        address.display(),
        LEASE.as_secs()
    ));
    world.run();
    (world, address)
}

#[test]
fn a_primary_that_is_lost_loses_and_doubles_nothing_where_its_commits_wait_for_a_standby() {
    let (primary, standby) = servers();
    let (world, address) = world_at(&primary);
    let orders = world.send_until_some_arrive();

    primary.stop(Stop::Immediate).unwrap();
    let arrived = world.deliveries().len();
    assert!(arrived < orders.len(), "the primary was lost in the midst of it");
    standby.promote().unwrap();
    lead(&address, &standby);

    world.until_sent(600);
    assert_eq!(not_once(&[&world], &orders), []);

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
    let orders = world.send_until_some_arrive();

    standby.stop(Stop::Fast).unwrap();
    // As the database has it, where a renewal that the standby does not know of is not seen.
    let renewed_before = || {
        let node = world.ok_json(&["nodes", "--json"])[0].clone();
        (Duration::from_millis(node["lease"]["age_ms"].as_u64().unwrap()), node["gone"] == true)
    };
    world.wait("its lease is over", || renewed_before().1.then_some(()));
    assert!(world.log().contains("renew this node's lease: no answer in time"), "{}", world.log());
    let arrived = world.deliveries().len();
    assert!(arrived < orders.len(), "nothing is claimed that the standby does not know");
    world.wait("as long again as many renewals take", || {
        assert_eq!(world.deliveries().len(), arrived, "nothing is sent behind the end of the lease");
        (renewed_before().0 > 4 * LEASE).then_some(())
    });
    // Whatever waits for the standby, or for what waits for it, waits there once, however often it was asked for.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' OR wait_event_type = 'Lock'";
    let waiting: usize = ask(&primary.url("postgres"), waiting).unwrap().parse().unwrap();
    assert!(waiting <= WRITES_AT_ONCE_MAX, "{waiting} connections wait for the standby");
    standby.start().unwrap();

    world.until_sent(600);
    assert_eq!(not_once(&[&world], &orders), []);
}
