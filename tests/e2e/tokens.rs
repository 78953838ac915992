//! The token keeper, seen from WeChat's side and from the operator's.

use serde_json::{Value, json};
use tidings_wechat_sandbox::{Api, App, AppKind, DEFAULT_APPID, Options, TokenDeath};

use crate::harness::{ORDERS, World, on_each_store, orders, users};

on_each_store! {
    two_hundred_waiting_messages_share_one_fetch,
    a_token_is_kept_across_a_restart_and_across_a_crash,
    a_token_that_died_is_fetched_once_however_many_messages_hold_it,
    a_token_that_ran_out_at_wechat_is_fetched_again,
    a_token_that_wechat_refuses_for_a_moment_costs_one_refresh_and_no_message,
    the_old_endpoint_is_used_when_config_says_so,
    a_stored_token_of_another_account_is_not_sent,
    the_days_budget_of_fetches_is_kept_and_its_end_is_told,
    a_wrong_secret_halts_the_app_and_the_right_one_sets_it_going,
    tokens_are_listed_without_the_token,
}

fn two_hundred_waiting_messages_share_one_fetch() {
    let world = World::running();
    world.faults(json!([{"kind": "latency", "ms": 400, "api": "stable_token"}]));
    let users = users(200);
    world.send_many("notice", &orders(&users));
    world.until_sent(200);
    assert_eq!(world.calls(Api::StableToken), 1);
    assert_eq!(world.token("shop")["fetches_today"], 1);
}

fn a_token_is_kept_across_a_restart_and_across_a_crash() {
    let world = World::running();
    for (order, stop) in [("1", true), ("2", false), ("3", true)] {
        let id = world.send("notice", "o-alice", order);
        world.until(&id, "sent");
        if stop {
            assert!(world.terminate().success())
        } else {
            world.kill()
        }
        world.run();
    }
    assert_eq!(world.calls(Api::StableToken), 1);
    assert_eq!(world.token("shop")["state"], "valid");
}

fn a_token_that_died_is_fetched_once_however_many_messages_hold_it() {
    for death in [TokenDeath::NotLatest, TokenDeath::Expired] {
        let world = World::running();
        let id = world.send("notice", "o-alice", "0");
        world.until(&id, "sent");
        world.control().expire_tokens(DEFAULT_APPID, death).unwrap();
        world.faults(json!([{"kind": "latency", "ms": 20}]));
        world.send_many("notice", &orders(&users(100)));
        let counts = world.until_sent(101);
        assert_eq!((counts.failed, counts.unknown), (0, 0));
        assert_eq!(world.calls(Api::StableToken), 2, "{death:?}");
        assert_eq!(world.deliveries().len(), 101);
    }
}

fn a_token_that_ran_out_at_wechat_is_fetched_again() {
    let world = World::running();
    let first = world.send("notice", "o-alice", "1");
    world.until(&first, "sent");
    world.control().advance_clock(7300).unwrap();
    let second = world.send("notice", "o-alice", "2");
    let message = world.until(&second, "sent");
    assert_eq!((&message["attempts"], world.calls(Api::StableToken)), (&json!(1), 2), "{message:#}");
}

fn a_token_that_wechat_refuses_for_a_moment_costs_one_refresh_and_no_message() {
    let world = World::running();
    world.permit("o-alice");
    world.faults(json!([{"kind": "errcode", "errcode": 40001, "api": "template", "times": 1}]));
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "sent");
    assert_eq!((world.calls(Api::StableToken), world.arrived("1")), (2, 1));
}

fn the_old_endpoint_is_used_when_config_says_so() {
    let world = World::new();
    world.configure(&[("sandbox = \"SANDBOX\"", "sandbox = \"SANDBOX\"\ntoken_endpoint = \"token\"")]);
    world.run();
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    assert_eq!((world.calls(Api::Token), world.calls(Api::StableToken)), (1, 0));
}

/// The story: after going live, a token of the sandbox was sent to WeChat until it expired.
fn a_stored_token_of_another_account_is_not_sent() {
    let world = World::running();
    let first = world.send("notice", "o-alice", "1");
    world.until(&first, "sent");
    assert!(world.terminate().success());
    world.configure(&[("sandbox = \"SANDBOX\"", "sandbox = \"SANDBOX\"\ntoken_endpoint = \"token\"")]);
    world.run();
    let second = world.send("notice", "o-alice", "2");
    world.until(&second, "sent");
    assert_eq!((world.calls(Api::StableToken), world.calls(Api::Token)), (1, 1));
}

fn the_days_budget_of_fetches_is_kept_and_its_end_is_told() {
    let world = World::new();
    world.configure(&[("sandbox = \"SANDBOX\"", "sandbox = \"SANDBOX\"\nfetches_per_day = 1")]);
    world.run();
    let first = world.send("notice", "o-alice", "1");
    world.until(&first, "sent");
    world.control().expire_tokens(DEFAULT_APPID, TokenDeath::Expired).unwrap();
    let second = world.send("notice", "o-alice", "2");
    let channel = world.until_channel("alerts", "cooling");
    assert!(channel["reason"].as_str().unwrap().contains("budget of 1 fetches"), "{channel:#}");
    let check = || {
        let token = world.token("shop");
        assert_eq!(
            (&token["state"], &token["fetches_today"], &token["fetches_max"]),
            (&json!("exhausted"), &json!(1), &json!(1))
        );
        let listed = world.ok(&["tokens", "list"]);
        assert!(listed.contains("exhausted") && listed.contains("fetches_per_day"), "{listed}");
    };
    check();
    let said = world.tidings(&["tokens", "refresh", "shop"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("budget of 1 fetches a day"), "{said:?}");
    check();
    // A restart does not give the day new fetches.
    world.terminate();
    world.run();
    drop(world.tidings(&["tokens", "refresh", "shop"]));
    assert_eq!(world.calls(Api::StableToken), 1);
    world.until(&second, "queued");
}

fn a_wrong_secret_halts_the_app_and_the_right_one_sets_it_going() {
    let secret = "the-right-appsecret-00000000000000";
    let apps = vec![App { appid: DEFAULT_APPID.into(), secret: secret.into(), kind: AppKind::Both }];
    let world = World::with(Options { apps, ..Options::default() });
    world.configure(&[("sandbox = \"SANDBOX\"", "base_url = \"SANDBOX\"\nsecret = { file = \"secret\" }")]);
    world.write("secret", "a-wrong-appsecret\n");
    world.run();
    world.permit("o-alice");
    let id = world.send("order-paid", "o-alice", "1");
    let channel = world.until_channel(ORDERS, "halted");
    assert!(channel["reason"].as_str().unwrap().contains("secret"), "{channel:#}");
    assert_eq!(world.token("shop")["state"], "halted");
    world.until(&id, "queued");
    let refresh = world.tidings(&["tokens", "refresh", "shop"]);
    assert!(refresh.code == 1 && refresh.err.contains("40001"), "{refresh:?}");
    let fetches = world.calls(Api::StableToken);
    // The engine is alive and takes messages meanwhile, and hammers nobody.
    let more = world.send("notice", "o-alice", "2");
    world.wait("the message is queued", || Some(()).filter(|()| world.message(&more)["state"] == "queued"));
    assert_eq!(world.calls(Api::StableToken), fetches);
    world.terminate();
    world.write("secret", secret);
    world.run();
    world.until(&id, "sent");
    world.until(&more, "sent");
}

fn tokens_are_listed_without_the_token() {
    let world = World::running();
    let before = world.ok_json(&["tokens", "list", "--json"]);
    assert_eq!((&before[0]["state"], &before[0]["fetches_today"]), (&json!("none"), &json!(0)), "{before}");
    let refreshed = world.ok_json(&["tokens", "refresh", "shop", "--json"]);
    assert_eq!((&refreshed["state"], &refreshed["fetches_today"]), (&json!("valid"), &json!(1)), "{refreshed}");
    let members: Vec<&String> = refreshed.as_object().map(|members| members.keys().collect()).unwrap();
    assert_eq!(members, ["app", "expires_at", "fetched_at", "fetches_max", "fetches_today", "state"]);
    let unknown = world.tidings(&["tokens", "refresh", "shpo"]);
    assert!(unknown.code == 1 && unknown.err.contains("shop"), "{unknown:?}");
    assert_eq!(world.calls(Api::StableToken), 1);
    assert_ne!(before, Value::Null);
}
