//! Engines whose store is behind PgBouncer in transaction mode: few sessions, and another one for each transaction perhaps.

use std::collections::BTreeMap;

use tidings_cluster::{Cluster, DURABLE, Pooler, ask};

use crate::harness::{World, order_of, orders, users};

/// Sessions of the server that all connections of both engines share: each engine has up to eight connections.
const SESSIONS: u32 = 4;

/// A server that nobody else uses, with an empty database.
fn server() -> Cluster {
    let cluster = Cluster::private(&std::env::temp_dir(), &DURABLE).unwrap_or_else(|error| panic!("{}", error.whole()));
    cluster.create_database("tidings").unwrap();
    cluster
}

fn pooler(cluster: &Cluster, settings: &[(&str, &str)]) -> Pooler {
    Pooler::before(cluster, SESSIONS, settings).unwrap_or_else(|error| panic!("{}", error.whole()))
}

/// Has the world's engine go by the store behind the pooler, under that name.
fn go_by(world: &World, pooler: &Pooler, node: &str) {
    world.configure_more(&format!(
        "[store]\nurl = \"{}\"\nnode = \"{node}\"\nlease = \"2s\"\n[api]\nsocket = \"tidings.db.sock\"\n\
         [schedules.purge]\ncron = \"0 4 1 1 *\"\njob = \"purge_credentials\"\n",
        pooler.url("tidings")
    ));
}

/// How often each order of these arrived, but for those that arrived once.
fn not_once(worlds: &[&World], orders: &[(String, String)]) -> Vec<(String, usize)> {
    let mut arrived: BTreeMap<String, usize> = orders.iter().map(|(_, order)| (order.clone(), 0)).collect();
    for delivery in worlds.iter().flat_map(|world| world.deliveries()) {
        *arrived.entry(order_of(&delivery).to_owned()).or_default() += 1;
    }
    arrived.into_iter().filter(|(_, times)| *times != 1).collect()
}

#[test]
fn behind_a_pooler_two_engines_send_everything_once_though_one_is_killed_and_the_pooler_too() {
    let cluster = server();
    let mut pooler = pooler(&cluster, &[]);
    let (one, two) = (World::new(), World::new());
    go_by(&one, &pooler, "one");
    go_by(&two, &pooler, "two");
    // Both send to the same WeChat.
    let config = two.read("config.toml").replace(&two.base_url(), &one.base_url());
    two.write("config.toml", config);
    one.run();
    two.run();

    // Permits are taken, and bound to messages, a permit to each.
    let users = users(400);
    let orders = orders(&users);
    one.permits(&users);
    let (first, rest) = orders.split_at(100);
    let (second, third) = rest.split_at(150);
    one.send_many("order-paid", first);
    one.until_sent(100);

    // What one of them has on its way at its end is settled by the other: `used` at WeChat means it had arrived.
    two.send_many("order-paid", second);
    two.kill();
    one.until_sent(250);

    // The pooler ends in the midst of everything.
    one.send_many("order-paid", third);
    pooler.restart().unwrap();
    one.until_sent(400);
    assert_eq!(not_once(&[&one], &orders), []);

    // A job is run, and its run is in the store.
    one.ok(&["schedules", "run", "purge"]);
    one.wait("the job has run", || {
        let runs = one.ok_json(&["runs", "list", "--schedule", "purge", "--json"]);
        (runs["items"][0]["state"] == "done").then_some(())
    });

    // Sessions are shared, and nothing of ours is left in any: no setting, no prepared statement, nobody who listens.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'tidings' AND pid <> pg_backend_pid()";
    let shared: u32 = ask(&cluster.url("tidings"), sessions).unwrap().parse().unwrap();
    assert!((1..=SESSIONS).contains(&shared), "{shared}");
    let left = "SELECT current_setting('enable_seqscan'), current_setting('jit'),
                       (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels())";
    for _ in 0..SESSIONS {
        assert_eq!(ask(&pooler.url("tidings"), left).unwrap(), "on|on|0|0");
    }
    let told = one.log().matches("the store is behind a pooler").count();
    assert_eq!(told, 1, "{}", one.log());
    assert!(one.terminate().success());
    assert!(!one.log().contains("prepared statement"), "{}", one.log());
}

#[test]
fn a_pooler_that_drops_the_settings_of_a_session_is_found_out_too() {
    let cluster = server();
    let pooler = pooler(&cluster, &[("ignore_startup_parameters", "options, extra_float_digits")]);
    let world = World::new();
    go_by(&world, &pooler, "one");
    world.run();
    assert!(world.log().contains("the store is behind a pooler"), "{}", world.log());
    let users = users(50);
    let orders = orders(&users);
    world.permits(&users);
    world.send_many("order-paid", &orders);
    world.until_sent(50);
    assert_eq!(not_once(&[&world], &orders), []);
}
