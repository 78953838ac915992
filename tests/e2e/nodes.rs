//! Engines that share a store: who they are, how they do, and whose config differs.

use serde_json::Value;

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
