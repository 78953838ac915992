//! Engines whose store is behind PgBouncer in transaction mode: few sessions, and another one for each transaction perhaps.

use std::collections::BTreeSet;

use tidings_cluster::{Cluster, DURABLE, Pooler, ask};

use crate::harness::{World, not_once, orders, users};

/// Sessions of the server that all connections of both engines share: each engine has up to eight connections.
const SESSIONS: u32 = 4;

/// Has so many wait for each other in the midst of a statement, and answers with the session of each.
const MEET: &str = "CREATE SEQUENCE met;
    CREATE FUNCTION meet(many int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM nextval('met');
        WHILE (SELECT last_value < many FROM met) LOOP PERFORM pg_sleep(0.005); END LOOP;
        RETURN pg_backend_pid();
    END $$";

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
    ask(&cluster.url("tidings"), MEET).unwrap();
    let left = format!(
        "SELECT meet({SESSIONS}), current_setting('enable_seqscan'), current_setting('jit'),
                (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels())"
    );
    // All at once: the pooler lends the one that came back last, and would lend it to each of us.
    let url = pooler.url("tidings");
    let found: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..SESSIONS).map(|_| scope.spawn(|| ask(&url, &left).unwrap())).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let sessions: BTreeSet<&str> = found.iter().map(|found| found.split('|').next().unwrap()).collect();
    assert_eq!(sessions.len(), SESSIONS as usize, "{found:?}");
    assert!(found.iter().all(|found| found.ends_with("|on|on|0|0")), "{found:?}");
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

#[test]
fn a_pooler_that_lends_a_session_for_one_statement_is_refused_at_the_start() {
    let cluster = server();
    let pooler = pooler(&cluster, &[("pool_mode", "statement")]);
    let world = World::new();
    go_by(&world, &pooler, "one");
    let refused = world.tidings(&["run"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("`pool_mode` is `statement`, and must be `transaction`"), "{refused:?}");
}
