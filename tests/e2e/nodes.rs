//! Engines that share a store: who they are, how they do, and whose config differs.

use serde_json::{Value, json};

use crate::harness::{Store, World, with_stores_in};

/// A config for this world's engine: that of `other` under another name, its messages at another rate if there is one.
fn join(world: &World, other: &World, node: &str, rate: &str) {
    let text = other.read("config.toml").replace("node = \"one\"", &format!("node = \"{node}\""));
    world.write("config.toml", text.replace("in_flight  = 16", &format!("in_flight  = 16{rate}")));
}

fn nodes(world: &World) -> Vec<Value> {
    world.ok_json(&["nodes", "--json"]).as_array().unwrap().clone()
}

fn named<'n>(nodes: &'n [Value], name: &str) -> &'n Value {
    nodes.iter().rfind(|node| node["name"] == name).unwrap_or_else(|| panic!("no node {name} in {nodes:?}"))
}

#[test]
fn engines_that_share_a_store_are_shown_and_one_whose_config_differs_is_marked_until_it_agrees() {
    let database = tidings_cluster::fresh_database();
    let (one, two) = (World::new(), World::new());
    one.configure_more(&format!(
        "[store]\nurl = \"{}\"\nnode = \"one\"\nlease = \"2s\"\n[api]\nsocket = \"tidings.db.sock\"\n",
        database.url()
    ));
    join(&two, &one, "two", "\nrate = \"7/s\"");
    one.run();
    two.run();

    let seen = one.wait("the other's config is told", || {
        let seen = nodes(&one);
        (named(&seen, "two")["config_differs"] == true).then_some(seen)
    });
    assert_eq!(seen.len(), 2, "{seen:?}");
    let (first, second) = (named(&seen, "one"), named(&seen, "two"));
    assert_eq!((&first["self"], &second["self"]), (&Value::Bool(true), &Value::Bool(false)), "{seen:?}");
    assert_eq!((&first["leads"], &second["leads"]), (&Value::Bool(true), &Value::Bool(false)), "{seen:?}");
    assert_eq!(first["config_differs"], false, "{seen:?}");
    assert_ne!(first["config"], second["config"], "{seen:?}");
    for node in &seen {
        assert_eq!((&node["gone"], &node["draining"]), (&Value::Bool(false), &Value::Bool(false)), "{seen:?}");
        assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
        assert!(node["lease"]["age_ms"].as_u64().unwrap() < 2_000, "{seen:?}");
        assert!(node["lease"]["ends_in_ms"].as_u64().unwrap() <= 2_000, "{seen:?}");
        assert_eq!((&node["in_flight"], &node["sent_per_s"]), (&0.into(), &0.into()), "{seen:?}");
    }
    one.wait("the log says that they differ", || {
        one.log().contains("another engine goes by another config than this one").then_some(())
    });
    assert!(one.ok(&["nodes"]).contains("its config differs"));

    join(&two, &one, "two", "");
    two.ok(&["reload"]);
    one.wait("the configs agree again", || (named(&nodes(&one), "two")["config_differs"] == false).then_some(()));

    // Who leaves says so; what is left of it has no lease.
    assert!(two.terminate().success());
    one.wait("the other is gone", || {
        let seen = nodes(&one);
        let second = seen.iter().find(|node| node["name"] == "two");
        second.is_none_or(|node| node["gone"] == true && node["draining"] == true).then_some(())
    });
    drop((one, two));
    drop(database);
}

/// What only one of two engines' files has.
const MORE: &str = r#"
[webhooks.crm]
url = "http://127.0.0.1:1/"
secret = { env = "CRM_SECRET" }
events = ["message.accepted"]

[schedules.nightly]
cron = "0 4 1 1 *"
job  = "purge_credentials"
"#;

/// How many notices wait for the webhook, and whether the schedule is there, as an engine with both in its file says.
fn waits(world: &World) -> (Value, bool) {
    let webhooks = world.ok_json(&["webhooks", "list", "--json"]);
    let schedule = world.ok_json(&["schedules", "show", "nightly", "--json"]);
    (webhooks[0]["pending"].clone(), schedule["removed_at"].is_null())
}

#[test]
fn an_engine_whose_file_lacks_something_lets_go_of_it_only_when_all_go_by_that_file() {
    let database = tidings_cluster::fresh_database();
    let (one, two) = (World::new(), World::new());
    let store = format!(
        "[store]\nurl = \"{}\"\nnode = \"one\"\nlease = \"2s\"\n[api]\nsocket = \"tidings.db.sock\"\n",
        database.url()
    );
    one.configure_more(&store);
    let without = one.read("config.toml");
    one.configure_more(MORE);
    one.set("CRM_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    one.run();
    one.send("order-paid", "o-nobody", "1");
    two.write("config.toml", without.replace("node = \"one\"", "node = \"two\""));
    two.run();
    for told in [
        "config does not have this webhook, and another",
        "config does not have this schedule, and another",
        "another engine goes by another config",
    ] {
        two.wait("it has looked", || two.log().contains(told).then_some(()));
    }
    assert_eq!(waits(&one), (1.into(), true));

    one.write("config.toml", &without);
    one.ok(&["reload"]);
    two.wait("both go by that file", || two.log().contains("what waited for it is forgotten").then_some(()));
    two.wait("the schedule is removed", || {
        let schedule = two.ok_json(&["schedules", "show", "nightly", "--json"]);
        schedule["removed_at"].is_string().then_some(())
    });
    one.write("config.toml", without + MORE);
    one.ok(&["reload"]);
    one.wait("it is there again, and nothing waits for it", || (waits(&one) == (0.into(), true)).then_some(()));
    drop((one, two));
    drop(database);
}

#[test]
fn messages_on_their_way_and_runs_are_left_to_an_engine_whose_file_has_their_channel_and_schedule() {
    let database = tidings_cluster::fresh_database();
    let (one, two, three) = (World::new(), World::new(), World::new());
    one.configure_more(&format!(
        "[store]\nurl = \"{}\"\nnode = \"one\"\nlease = \"4s\"\n[api]\nsocket = \"tidings.db.sock\"\n",
        database.url()
    ));
    let file = one.read("config.toml").replace("node = \"one\"", "node = \"two\"");
    let (channel, template) = (file.find("[channels.alerts]").unwrap(), file.find("[templates.order-paid]").unwrap());
    let (notice, store) = (file.find("[templates.notice]").unwrap(), file.find("[store]").unwrap());
    two.write("config.toml", [&file[..channel], &file[template..notice], &file[store..]].concat());
    // It takes whoever asks, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    one.configure_more(&format!(
        "[schedules.digest]\ncron = \"0 4 1 1 *\"\njob = {{ send = \"notice\", audience = {{ url = \"http://{}/\" }} }}\n",
        silent.local_addr().unwrap()
    ));
    join(&three, &one, "three", "");
    one.run();
    two.run();
    let run = one.ok_json(&["schedules", "run", "digest", "--json"])["run"].as_str().unwrap().to_owned();
    one.faults(json!([{"kind": "latency", "ms": 60_000, "api": "official_template"}]));
    let id = one.send("notice", "o-alice", "1");
    one.wait("it has arrived", || (one.deliveries().len() == 1).then_some(()));
    one.kill();
    for left in ["they are left to an engine whose config has it", "run was interrupted, and its schedule is not so"] {
        two.wait("it is left", || two.log().contains(left).then_some(()));
    }
    one.control().clear_faults();
    three.run();
    three.until(&id, "sent");
    three.wait("the run goes on", || three.log().contains("run goes on after an interruption").then_some(()));
    assert_eq!(three.ok_json(&["runs", "show", &run, "--json"])["state"], "running");
    assert_eq!(one.deliveries().len(), 1, "WeChat knew that it had it");
    assert!(!two.log().contains("in an engine that is gone; settling them"), "{}", two.log());
    drop((two, three, one));
    drop(database);
}

#[test]
fn of_a_store_in_a_file_there_is_the_one_engine_without_a_lease() {
    let world = World::running();
    let seen = nodes(&world);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((&seen[0]["self"], &seen[0]["leads"]), (&Value::Bool(true), &Value::Bool(true)), "{seen:?}");
    assert_eq!((&seen[0]["gone"], &seen[0]["config_differs"]), (&Value::Bool(false), &Value::Bool(false)), "{seen:?}");
    assert!(seen[0].get("lease").is_none() && seen[0].get("id").is_none(), "{seen:?}");
}

#[test]
fn a_second_engine_in_one_folder_is_refused_before_it_takes_anything_and_the_first_keeps_its_socket() {
    with_stores_in(Store::Server, || {
        let world = World::running();
        let refused = world.tidings(&["run"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let first = format!("another engine answers there (process {})", world.pid());
        assert!(refused.err.contains(&first) && refused.err.contains("`[api] socket`"), "{refused:?}");
        assert_eq!(nodes(&world).len(), 1, "the second was never a node");
        assert_eq!(world.get("/healthz").status, 200, "the first one's socket is where it was");

        // With a place of its own it runs, and takes away its own file alone when it stops.
        let other = world.read("config.toml") + "\n[api]\nsocket = \"other.sock\"\n";
        world.write("other.toml", other);
        let mut second = world.spawn(&["-c", "other.toml", "run"], "other.log");
        world.wait("the second runs", || (nodes(&world).len() == 2).then_some(()));
        let stopped = std::process::Command::new("kill").arg(second.0.id().to_string()).status().unwrap();
        assert!(stopped.success());
        world.wait("the second stops", || second.0.try_wait().unwrap());
        assert!(!world.path("other.sock").exists());
        assert_eq!(world.get("/healthz").status, 200);
    });
}

/// Sets the clock by which the database tells the time: ahead by so many milliseconds.
fn set_database_clock(url: &str, ahead_ms: i64) {
    let set = format!(
        "CREATE OR REPLACE FUNCTION tidings_now() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE
         AS 'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + {ahead_ms}'"
    );
    tidings_cluster::ask(url, &set).unwrap();
}

#[test]
fn an_engine_whose_clock_is_off_takes_messages_and_sends_none_until_it_is_in_step_again() {
    let database = tidings_cluster::fresh_database();
    let world = World::new();
    world.configure_more(&format!(
        "[store]\nurl = \"{}\"\nlease = \"2s\"\n[api]\nsocket = \"tidings.db.sock\"\n",
        database.url()
    ));
    world.run();
    let first = world.send("notice", "o-alice", "1");
    world.until(&first, "sent");
    assert!(nodes(&world)[0]["clock_ahead_ms"].as_i64().unwrap().abs() < 1_000);

    // Eight minutes ahead of the database's.
    set_database_clock(database.url(), -480_000);
    world.wait("the engine says so", || {
        let ready = world.get("/readyz");
        (ready.status == 503 && ready.body.contains("480.") && ready.body.contains("ahead of the database's"))
            .then_some(())
    });
    assert!(world.ok(&["nodes"]).contains("s ahead of the database's"));
    let second = world.send("notice", "o-alice", "2");
    let shown = |id: &str| world.ok_json(&["messages", "show", id, "--json"])["state"].clone();
    assert_eq!(shown(&second), "queued");
    let retried = world.get("/v1/overview").json()["states"]["queued"].clone();
    assert_eq!(retried, 1, "it is taken, and not sent");

    set_database_clock(database.url(), 0);
    world.until(&second, "sent");
    world.wait("the engine is ready", || (world.get("/readyz").status == 200).then_some(()));
    assert!(world.log().contains("nothing due"), "what it did not do was told: {}", world.log());
    assert!(world.log().contains("agrees with the database's again"), "{}", world.log());
    drop(world);
    drop(database);
}
