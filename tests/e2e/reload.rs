//! Config that is read again while the engine runs: all of it or none.

use serde_json::json;

use crate::harness::{World, on_each_store};
use crate::plugin_files;

on_each_store! {
    what_config_defines_changes_while_the_engine_runs,
    a_config_with_mistakes_changes_nothing_and_each_mistake_has_its_place,
    a_hangup_has_config_read_again,
    what_is_read_at_a_start_alone_is_refused_and_the_rest_with_it,
    a_channel_that_leaves_config_keeps_its_messages_and_its_pause_until_it_is_put_back,
    messages_that_wait_are_asked_again_when_another_source_could_serve_them,
    schedules_begin_change_and_end_with_the_config,
    another_secret_sets_a_halted_app_going,
}

/// Changes a piece of the config file as it stands.
#[track_caller]
fn edit(world: &World, from: &str, to: &str) {
    let text = world.read("config.toml");
    assert!(text.contains(from), "the config has no `{from}`");
    world.write("config.toml", text.replace(from, to));
}

fn what_config_defines_changes_while_the_engine_runs() {
    let world = World::running();
    world.permit("o-ann");
    edit(&world, "in_flight  = 16", "in_flight  = 3");
    world.configure_more(
        "[templates.order-again]\nchannel = \"orders\"\ntemplate_id = \"AT0002-order-again\"\n\
         data = { keyword1 = \"{{ title }}\", keyword2 = \"{{ order.id }}\" }\n",
    );
    let looked = world.ok_json(&["reload", "--dry-run", "--json"]);
    assert_eq!(looked["applied"], false, "{looked:#}");
    assert_eq!(world.channel("orders")["in_flight_max"], 16, "a dry run changes nothing");
    let change = json!({"setting": "channels.orders.in_flight", "before": "16", "after": "3"});
    assert!(looked["changes"].as_array().unwrap().contains(&change), "{looked:#}");

    let told = world.ok(&["reload", "--reason", "less at once"]);
    let record = world.ok_json(&["audit", "list", "--json"]);
    let entry = &record["items"][0];
    assert_eq!((&entry["act"], &entry["why"]), (&json!("config.reload"), &json!("less at once")), "{record:#}");
    assert!(entry["detail"].as_str().unwrap().contains("channels.orders.in_flight"), "{record:#}");
    assert!(told.contains("channels.orders.in_flight") && told.contains("in force"), "{told}");
    assert_eq!(world.channel("orders")["in_flight_max"], 3);
    let id = world.send("order-again", "o-ann", "7");
    world.until(&id, "sent");
    assert_eq!(world.deliveries()[0].template_id, "AT0002-order-again");

    // And once more: a config that was read again can be read again.
    edit(&world, "in_flight  = 3", "in_flight  = 5");
    assert_eq!(world.ok_json(&["reload", "--json"])["applied"], true);
    assert_eq!(world.channel("orders")["in_flight_max"], 5);
    assert!(world.ok(&["reload"]).contains("nothing differs"));
}

fn a_config_with_mistakes_changes_nothing_and_each_mistake_has_its_place() {
    let world = World::running();
    edit(&world, "in_flight  = 16", "in_flight  = 3\nrate = \"fast\"\ncolour = 1");
    let answer = world.post("/v1/config/reload", &json!({}));
    assert_eq!((answer.status, answer.problem().as_str()), (422, "config-invalid"));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("config.toml:17:") && detail.contains("config.toml:18:"), "{detail}");
    assert_eq!(world.channel("orders")["in_flight_max"], 16);
    world.signal("-HUP");
    world.wait("the log says why", || world.log().contains("is not used").then_some(()));
    world.permit("o-ann");
    let id = world.send("order-paid", "o-ann", "7");
    world.until(&id, "sent");
}

fn a_hangup_has_config_read_again() {
    let world = World::running();
    edit(&world, "in_flight  = 16", "in_flight  = 3");
    world.signal("-HUP");
    world.wait("the new bound is in force", || (world.channel("orders")["in_flight_max"] == 3).then_some(()));
    world.wait("the log says so", || world.log().contains("channels.orders.in_flight").then_some(()));
}

fn what_is_read_at_a_start_alone_is_refused_and_the_rest_with_it() {
    let world = World::running();
    edit(&world, "in_flight  = 16", "in_flight  = 3");
    edit(&world, "grace = \"5s\"", "grace = \"6s\"");
    let answer = world.post("/v1/config/reload", &json!({}));
    assert_eq!((answer.status, answer.problem().as_str()), (409, "needs-restart"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("engine.grace"), "{answer:?}");
    assert_eq!(world.channel("orders")["in_flight_max"], 16);
}

fn a_channel_that_leaves_config_keeps_its_messages_and_its_pause_until_it_is_put_back() {
    let world = World::running();
    let with_it = world.read("config.toml");
    world.ok(&["channels", "pause", "alerts", "--reason", "not today"]);
    let id = world.send("notice", "o-ann", "7");
    let start = with_it.find("[channels.alerts]").unwrap();
    let end = with_it.find("[templates.order-paid]").unwrap();
    let notice = with_it.find("[templates.notice]").unwrap();
    world.write("config.toml", format!("{}{}", &with_it[..start], &with_it[end..notice]));
    assert_eq!(world.ok_json(&["reload", "--json"])["applied"], true);
    let channels = world.ok(&["channels", "list"]);
    assert!(!channels.contains("alerts"), "{channels}");
    let answer = world.post("/v1/messages", &crate::harness::message("notice", "o-ann", "8"));
    assert_eq!(answer.problem(), "template-unknown");
    assert!(world.log().contains("config no longer has"), "{}", world.log());
    assert_eq!(world.message(&id)["state"], "queued");

    world.write("config.toml", with_it);
    assert_eq!(world.ok_json(&["reload", "--json"])["applied"], true);
    let channel = world.channel("alerts");
    assert_eq!((&channel["state"], &channel["reason"]), (&json!("paused"), &json!("not today")));
    world.ok(&["channels", "resume", "alerts"]);
    world.until(&id, "sent");
}

fn messages_that_wait_are_asked_again_when_another_source_could_serve_them() {
    let world = World::new();
    edit(&world, "credential = [\"wechat.form_id\", \"wechat.prepay_id\"]", "credential = \"wechat.prepay_id\"");
    world.run();
    // Nothing of the channel takes form ids yet; they are in the ledger by way of another.
    world.configure_more(
        "[channels.other]\napp = \"shop\"\ntoken = \"wechat.access_token\"\n\
         credential = \"wechat.form_id\"\ntransport = \"wechat.template\"\n",
    );
    world.ok(&["reload"]);
    let id = world.send("order-paid", "o-ann", "7");
    world.until(&id, "waiting");
    world.permit("o-ann");
    assert_eq!(world.message(&id)["state"], "waiting");
    edit(&world, "credential = \"wechat.prepay_id\"", "credential = [\"wechat.form_id\", \"wechat.prepay_id\"]");
    world.ok(&["reload"]);
    world.until(&id, "sent");
}

fn schedules_begin_change_and_end_with_the_config() {
    let world = World::running();
    world.configure_more("[schedules.purge]\ncron = \"@every 1s\"\njob = \"purge_credentials\"\n");
    world.ok(&["reload"]);
    let runs = || world.ok_json(&["runs", "list", "--schedule", "purge", "--json"])["items"].as_array().unwrap().len();
    world.wait("it has run", || (runs() >= 2).then_some(()));
    edit(&world, "@every 1s", "0 4 * * *");
    world.ok(&["reload"]);
    assert_eq!(world.ok_json(&["schedules", "list", "--json"])[0]["cron"], "0 4 * * *");
    world.wait("its next time is that of the new line", || {
        let schedules = world.ok_json(&["schedules", "list", "--json"]);
        schedules[0]["next_at"].as_str().filter(|at| at.contains("T04:00:00")).map(drop)
    });
    let text = world.read("config.toml");
    world.write("config.toml", &text[..text.find("[schedules.purge]").unwrap()]);
    world.ok(&["reload"]);
    let runs_then = runs();
    let gone = world.wait("it is told as removed", || {
        let schedule = world.ok_json(&["schedules", "show", "purge", "--json"]);
        schedule["removed_at"].is_string().then_some(schedule)
    });
    assert_eq!((&gone["state"], gone["next_at"].is_null()), (&json!("removed"), true), "{gone:#}");
    assert!(gone["history"].as_array().unwrap().len() >= 2, "its history stays: {gone:#}");
    assert_eq!(runs(), runs_then, "it runs no more");
    assert_eq!(world.get("/v1/overview").json()["schedules"], json!([]));
}

fn another_secret_sets_a_halted_app_going() {
    let world = World::new();
    world.configure(&[("sandbox = \"SANDBOX\"", "base_url = \"SANDBOX\"\nsecret = { file = \"secret\" }")]);
    world.write("secret", "not-the-secret");
    world.run();
    world.permit("o-ann");
    let id = world.send("order-paid", "o-ann", "7");
    world.until_channel("orders", "halted");
    world.write("secret", tidings_wechat_sandbox::DEFAULT_SECRET);
    let told = world.ok(&["reload"]);
    assert!(told.contains("apps.shop") && !told.contains(tidings_wechat_sandbox::DEFAULT_SECRET), "{told}");
    world.until(&id, "sent");
}

#[test]
fn a_plugin_file_that_is_another_one_needs_a_start_and_the_loaded_one_goes_on() {
    let world = World::new();
    let library = plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    world.configure_more("[plugins.syslog]\npath = \"libsyslog.so\"\n");
    world.run();
    // The same file is not loaded again.
    edit(&world, "in_flight  = 16", "in_flight  = 3");
    assert_eq!(world.ok_json(&["reload", "--json"])["applied"], true);
    let mut bytes = std::fs::read(&library).unwrap();
    bytes.extend_from_slice(b"another");
    let other = world.path("other.so");
    std::fs::write(&other, bytes).unwrap();
    std::fs::rename(other, library).unwrap();
    edit(&world, "in_flight  = 3", "in_flight  = 4");
    let answer = world.post("/v1/config/reload", &json!({}));
    assert_eq!((answer.status, answer.problem().as_str()), (409, "needs-restart"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("syslog"), "{answer:?}");
    assert_eq!(world.channel("orders")["in_flight_max"], 3);
}
