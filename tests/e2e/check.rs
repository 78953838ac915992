//! `tidings check`: everything that can be found without sending, all of it at once.

use serde_json::{Value, json};

use crate::harness::{World, on_each_store};

on_each_store! {
    online_each_app_the_store_and_each_webhook_has_a_verdict,
}

/// Where a text begins in a file: line and column, both from 1.
#[track_caller]
fn place(text: &str, part: &str) -> String {
    let at = text.find(part).unwrap_or_else(|| panic!("`{part}` is not there"));
    let before = &text[..at];
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("config.toml:{}:{column}", before.matches('\n').count() + 1)
}

/// Five mistakes, each with what is expected to be said of it, and where.
fn five_mistakes(world: &World) -> Vec<(String, &'static str)> {
    world.configure(&[
        ("in_flight  = 16", "in_flihgt  = 16"),
        ("transport  = \"wechat.subscribe\"", "transport  = \"wechat.subscrbe\""),
        ("channel     = \"alerts\"", "channel     = \"alarts\""),
        ("{{ order.id }}\"\nemphasis", "{{ order.nr }}\"\nemphasis"),
        ("grace = \"5s\"", "grace = \"5 sec\""),
    ]);
    let text = world.read("config.toml");
    vec![
        (place(&text, "\"5 sec\""), "no duration"),
        (place(&text, "in_flihgt"), "`in_flight`"),
        (place(&text, "\"wechat.subscrbe\""), "`wechat.subscribe`"),
        (place(&text, "\"pages/order/show?id={{ order.nr"), "order.nr"),
        (place(&text, "\"alarts\""), "`alerts`"),
    ]
}

#[test]
fn five_mistakes_are_five_errors_with_their_places_and_the_nearest_names() {
    let world = World::new();
    let expected = five_mistakes(&world);
    let said = world.tidings(&["check"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    let lines: Vec<&str> = said.err.lines().collect();
    assert_eq!(lines.len(), 6, "{}", said.err);
    assert_eq!(lines[5], "5 mistakes in config.toml");
    for (place, part) in &expected {
        let found = lines.iter().any(|line| line.starts_with(&format!("{place}: ")) && line.contains(part));
        assert!(found, "nothing at {place} with {part} in:\n{}", said.err);
    }
}

#[test]
fn the_mistakes_are_objects_for_scripts() {
    let world = World::new();
    let expected = five_mistakes(&world);
    let said = world.tidings(&["check", "--json"]);
    assert_eq!(said.code, 2, "{said:?}");
    let found: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), 5, "{said:?}");
    for problem in &found {
        let place = format!("config.toml:{}:{}", problem["line"], problem["column"]);
        assert_eq!(problem["file"], "config.toml");
        assert!(
            expected.iter().any(|(at, part)| *at == place && problem["message"].as_str().unwrap().contains(part)),
            "unexpected: {problem}"
        );
    }
}

#[test]
fn an_engine_does_not_start_by_a_config_with_mistakes() {
    let world = World::new();
    five_mistakes(&world);
    let said = world.tidings(&["run"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("in_flihgt") && said.err.contains("alarts"), "{said:?}");
    assert!(!world.path("tidings.db").exists(), "nothing is made by a config that is wrong");
}

#[test]
fn a_right_config_is_said_to_be_right_and_nothing_is_made() {
    let world = World::new();
    world.configure_more(concat!(
        "[api]\nlisten = \"127.0.0.1:0\"\nkey = { file = \"tidings.key\", create = true }\n",
        "[schedules.nightly]\ncron = \"30 4 * * *\"\ntimezone = \"Asia/Shanghai\"\njob = \"purge_credentials\"\n",
    ));
    let said = world.tidings(&["check"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("config.toml is right: 1 app, 3 channels, 3 templates"), "{said:?}");
    assert!(said.out.contains("nightly") && said.out.contains("04:30 every day"), "{said:?}");
    assert!(said.out.contains(" 04:30:00 +08:00"), "{said:?}");
    assert!(said.err.contains("note: app `shop` sends to the sandbox"), "{said:?}");
    let json = world.ok_json(&["check", "--json"]);
    assert_eq!((&json["apps"], &json["channels"]), (&json!(["shop"]), &json!(["alerts", "news", "orders"])), "{json}");
    let nightly = &json["schedules"][0];
    assert_eq!(nightly["words"], json!({"en": "at 04:30 every day", "zh": "每天 04:30"}), "{nightly}");
    assert!(nightly["next_at"].as_str().unwrap().contains("T20:30:00"), "04:30 in Shanghai is 20:30 UTC: {nightly}");
    for made in ["tidings.key", "tidings.db"] {
        assert!(!world.path(made).exists(), "a check made `{made}`");
    }
}

#[test]
fn the_config_of_the_repository_is_right() {
    let world = World::new();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
    let said = world.tidings(&["check", "-c", config]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let world = World::new();
    world.write("config.toml", "version = 1\n[store\nurl = 3\n");
    let said = world.tidings(&["check"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("config.toml:2:"), "{said:?}");
}

#[test]
fn a_missing_config_is_told_by_every_command() {
    let world = World::new();
    for args in [&["check"][..], &["run"], &["messages", "list"]] {
        let mut args = args.to_vec();
        args.extend(["-c", "none.toml"]);
        let said = world.tidings(&args);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("none.toml") && said.err.contains("-c FILE"), "{said:?}");
    }
}

/// One change, and what must be said of it.
#[track_caller]
fn check(world: &World, change: (&str, &str), parts: &[&str]) {
    world.configure(&[change]);
    let said = world.tidings(&["check"]);
    assert_eq!(said.code, 2, "{change:?}: {said:?}");
    assert_eq!(said.err.lines().count(), 2, "{change:?} is one mistake: {said:?}");
    for part in parts {
        assert!(said.err.contains(part), "{change:?}: `{part}` is not in {said:?}");
    }
}

#[test]
fn each_kind_of_mistake_is_one_error_that_says_what_to_do() {
    let world = World::new();
    check(&world, ("plugin  = \"wechat\"", "plugin  = \"wechta\""), &["wechat"]);
    check(&world, ("sandbox = \"SANDBOX\"", "secret = \"in-the-file\""), &["env", "file"]);
    check(&world, ("sandbox = \"SANDBOX\"", "secret = { env = \"NOBODY_SET_THIS\" }"), &["NOBODY_SET_THIS"]);
    check(&world, ("sandbox = \"SANDBOX\"", "secret = { file = \"none.secret\" }"), &["none.secret"]);
    check(&world, ("sandbox = \"SANDBOX\"\n", ""), &["secret"]);
    check(&world, ("\"wechat.form_id\", ", "\"wechat.fromid\", "), &["wechat.fromid"]);
    check(
        &world,
        ("credential = \"wechat.subscription\"", "credential = \"wechat.form_id\""),
        &["wechat.subscription"],
    );
    check(&world, ("credential = \"wechat.subscription\"\n", ""), &["wechat.subscription"]);
    check(&world, ("in_flight  = 16", "rate = \"fast\""), &["100/s"]);
    check(&world, ("emphasis    = \"keyword1\"", "emphasis    = \"keyword9\""), &["keyword9", "keyword1"]);
    check(&world, ("thing2 = \"{{ title }}\"", "thing2 = \"{{ title\""), &["data.thing2"]);
    check(&world, ("title = \"已发货\"", "title = \"a title that is longer than twenty\""), &["thing2", "20"]);
    check(&world, ("version = 1", "version = 2"), &["version"]);
    check(&world, ("version = 1", "version = 1\n[store]\nurl = \"mysql://root:CANARY-pw@db\""), &["sqlite://"]);
    assert!(!world.heard().contains("CANARY-pw"), "a password in an address is not shown");
}

#[test]
fn mistakes_in_schedules_are_found() {
    let world = World::new();
    let check = |lines: &str, part: &str| {
        world.configure(&[]);
        world.configure_more(&format!("[schedules.digest]\n{lines}\n"));
        let said = world.tidings(&["check"]);
        assert!(said.code == 2 && said.err.contains(part), "{lines}: `{part}` is not in {said:?}");
        assert!(said.err.contains("config.toml:"), "{said:?}");
    };
    check("cron = \"61 * * * *\"\njob = \"purge_credentials\"", "61");
    check("cron = \"* * * *\"\njob = \"purge_credentials\"", "cron");
    check("cron = \"@hourly\"\njob = \"purge_credential\"", "purge_credentials");
    check("cron = \"@hourly\"\njob = { refresh_token = \"shpo\" }", "`shop`");
    check("cron = \"@hourly\"\njob = { send = \"notcie\", audience = \"everyone\" }", "`notice`");
    check("cron = \"@hourly\"\ntimezone = \"Asia/Shanghia\"\njob = \"purge_credentials\"", "Shanghai");
    check("cron = \"@hourly\"\noverlap = \"skp\"\njob = \"purge_credentials\"", "`skip`");
    check("job = \"purge_credentials\"", "cron");
}

fn online_each_app_the_store_and_each_webhook_has_a_verdict() {
    let world = World::new();
    world.set("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let hook = |url: &str| {
        format!("[webhooks.crm]\nurl = \"{url}\"\nsecret = {{ env = \"HOOK_SECRET\" }}\nevents = [\"message.*\"]\n")
    };
    let config = world.read("config.toml");
    world.write("config.toml", format!("{config}\n{}", hook("http://127.0.0.1:9/a-secret-path")));
    let said = world.tidings(&["check", "--online"]);
    assert_eq!(said.code, 0, "{said:?}");
    let store = if world.is_on_a_server() { "ok     store postgres://" } else { "ok     store sqlite://" };
    for part in ["ok     app shop: a token that lasts", store, "ok     webhook crm: http://127.0.0.1:9 is"] {
        assert!(said.out.contains(part), "`{part}` is not in {said:?}");
    }
    assert!(said.out.contains("a start makes it") && !world.path("tidings.db").exists(), "nothing is made: {said:?}");
    assert!(!said.all().contains("a-secret-path"), "{said:?}");

    // Beside an engine that runs, and everything wrong at once.
    world.run();
    world.write("config.toml", format!("{config}\n{}", hook("http://nobody-has-this-name.invalid/x")));
    world.faults(json!([{"kind": "errcode", "errcode": 40125, "errmsg": "invalid appsecret", "api": "stable_token"}]));
    let said = world.tidings(&["check", "--online", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let object: Value = serde_json::from_str(&said.out).unwrap();
    let online = object["online"].as_array().unwrap();
    let verdict = |what: &str| online.iter().find(|verdict| verdict["what"] == what).unwrap();
    assert_eq!(
        (&verdict("app")["ok"], &verdict("store")["ok"], &verdict("webhook")["ok"]),
        (&json!(false), &json!(true), &json!(false)),
        "{object:#}"
    );
    assert!(verdict("app")["detail"].as_str().unwrap().contains("40125"), "{object:#}");
    assert!(verdict("webhook")["detail"].as_str().unwrap().contains("nobody-has-this-name.invalid"), "{object:#}");
    assert!(said.err.contains("2 of them do not work"), "{said:?}");
    assert_eq!(world.ok_json(&["check", "--json"])["online"], Value::Null, "only when it is asked for");
}
