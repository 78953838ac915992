//! What differs between the kinds of permit and the three send calls: with WeChat linked in, and as a file.

use std::collections::HashSet;

use serde_json::json;
use tidings_wechat_sandbox::{Api, DEFAULT_APPID};

use crate::harness::{World, message};
use crate::plugin_files;

/// Where the WeChat plugin is.
#[derive(Clone, Copy)]
enum Wechat {
    Linked,
    File,
}

impl Wechat {
    fn running(self) -> World {
        let world = World::new();
        self.place(&world);
        world.run();
        world
    }

    /// Puts the plugin where the config finds it.
    fn place(self, world: &World) {
        if let Wechat::File = self {
            let path = plugin_files::place(world, "tidings-wechat-file", "tidings_wechat");
            world.configure_more(&format!("[plugins.wechat]\npath = {path:?}\nrequired = true\n"));
        }
    }
}

macro_rules! for_both {
    ($($name:ident,)*) => {
        mod linked {
            $(#[test] fn $name() { super::$name(super::Wechat::Linked) })*
        }
        mod file {
            $(#[test] fn $name() { super::$name(super::Wechat::File) })*
        }
    };
}

for_both! {
    a_prepay_id_carries_three_messages_and_the_fourth_waits,
    a_transaction_number_is_no_prepay_id,
    a_grant_is_for_one_user_and_one_template,
    a_grant_without_a_template_is_refused,
    grants_that_wechat_does_not_know_are_dropped_and_the_message_waits,
    a_service_account_message_carries_an_id_of_its_own_and_arrives_once_though_its_reply_is_lost,
    a_lost_reply_leaves_a_prepay_message_unknown_unless_the_channel_says_retry,
    a_user_who_does_not_follow_fails_the_message_with_the_reason,
    a_value_too_long_for_its_key_is_refused_at_accept,
}

fn a_prepay_id_carries_three_messages_and_the_fourth_waits(wechat: Wechat) {
    let world = wechat.running();
    let prepay_id = world.control().mint_prepay_ids(DEFAULT_APPID, "o-alice", 1).unwrap().remove(0);
    // As the payment call of a mini-program has it.
    let answer = world.post_form("wechat.prepay_id", &format!("prepay_id=prepay_id%3D{prepay_id}&openId=o-alice"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let ids: Vec<String> =
        ["1", "2", "3", "4"].iter().map(|order| world.send("order-paid", "o-alice", order)).collect();
    world.until_sent(3);
    world.wait("the fourth waits", || Some(()).filter(|()| world.counts().waiting == 1));
    assert!(world.deliveries().iter().all(|delivery| delivery.credential.as_deref() == Some(prepay_id.as_str())));
    assert_eq!(world.deliveries().len(), 3);
    world.permit("o-alice");
    world.until_sent(4);
    assert_eq!(ids.iter().filter(|id| world.message(id)["state"] == "sent").count(), 4);
}

fn a_transaction_number_is_no_prepay_id(wechat: Wechat) {
    let world = wechat.running();
    let answer = world.post_form("wechat.prepay_id", "prepay_id=4200001234202401011234567890&openId=o-alice");
    assert!(answer.status == 422 && answer.body.contains("transaction number"), "{answer:?}");
}

fn a_grant_is_for_one_user_and_one_template(wechat: Wechat) {
    let world = wechat.running();
    for (user, template) in [("o-alice", "SUB0001-order-shipped"), ("o-bob", "SUB0002-another")] {
        world.control().grant(DEFAULT_APPID, user, template, 1).unwrap();
        let answer = world.post_form("wechat.subscription", &format!("template_id={template}&openId={user}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let bob = world.send("order-shipped", "o-bob", "B1");
    let alice = world.send("order-shipped", "o-alice", "A1");
    let sent = world.until(&alice, "sent");
    assert!(sent["provider_id"].is_string(), "{sent:#}");
    world.until(&bob, "waiting");
    let more = world.send("order-shipped", "o-alice", "A2");
    world.until(&more, "waiting");
    let deliveries = world.deliveries();
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].api, deliveries[0].openid.as_str()), (Api::Subscribe, "o-alice"));
}

fn a_grant_without_a_template_is_refused(wechat: Wechat) {
    let world = wechat.running();
    let answer = world.post_form("wechat.subscription", "openId=o-alice");
    assert!(answer.status == 422 && answer.body.contains("template_id"), "{answer:?}");
}

fn grants_that_wechat_does_not_know_are_dropped_and_the_message_waits(wechat: Wechat) {
    let world = wechat.running();
    // The ledger believes in three; WeChat has one.
    world.control().grant(DEFAULT_APPID, "o-alice", "SUB0001-order-shipped", 1).unwrap();
    for _ in 0..3 {
        world.post_form("wechat.subscription", "template_id=SUB0001-order-shipped&openId=o-alice");
    }
    let first = world.send("order-shipped", "o-alice", "A1");
    world.until(&first, "sent");
    let second = world.send("order-shipped", "o-alice", "A2");
    let waiting = world.until(&second, "waiting");
    assert_eq!(waiting["tries"][0]["outcome"], "credential_invalid", "{waiting:#}");
    assert_eq!(world.calls(Api::Subscribe), 2, "one refusal tells of all grants");
}

fn a_service_account_message_carries_an_id_of_its_own_and_arrives_once_though_its_reply_is_lost(wechat: Wechat) {
    let world = wechat.running();
    world.faults(json!([{"kind": "drop_reply", "api": "official_template", "every": 3}]));
    let ids: Vec<String> = (0..20).map(|order| world.send("notice", "o-alice", &format!("N-{order}"))).collect();
    let counts = world.until_sent(20);
    assert_eq!((counts.failed, counts.unknown), (0, 0));
    let deliveries = world.deliveries();
    let client_ids: HashSet<String> =
        deliveries.iter().map(|delivery| delivery.client_msg_id.clone().expect("an id of its own")).collect();
    assert_eq!((deliveries.len(), client_ids.len()), (20, 20));
    assert!(world.calls(Api::OfficialTemplate) > 20, "no reply was lost");
    assert!(ids.iter().all(|id| world.message(id)["provider_id"].is_string()));
}

fn a_lost_reply_leaves_a_prepay_message_unknown_unless_the_channel_says_retry(wechat: Wechat) {
    for (on_unknown, state, arrivals) in [("stop", "unknown", 1), ("retry", "sent", 2)] {
        let world = World::new();
        let change = format!("in_flight  = 16\non_unknown = \"{on_unknown}\"");
        world.configure(&[("in_flight  = 16", &change)]);
        wechat.place(&world);
        world.run();
        world.faults(json!([{"kind": "drop_reply", "times": 1}]));
        let prepay_id = world.control().mint_prepay_ids(DEFAULT_APPID, "o-alice", 1).unwrap().remove(0);
        world.post_form("wechat.prepay_id", &format!("prepay_id={prepay_id}&openId=o-alice"));
        let id = world.send("order-paid", "o-alice", "1");
        let message = world.until(&id, state);
        assert_eq!(world.deliveries().len(), arrivals, "{on_unknown}: {message:#}");
        assert_eq!(message["tries"][0]["outcome"], "unknown", "{message:#}");
    }
}

fn a_user_who_does_not_follow_fails_the_message_with_the_reason(wechat: Wechat) {
    let world = wechat.running();
    world.control().set_user(DEFAULT_APPID, "o-gone", tidings_wechat_sandbox::UserState::Unfollowed).unwrap();
    let id = world.send("notice", "o-gone", "1");
    let message = world.until(&id, "failed");
    assert_eq!(message["reason"], "recipient_gone", "{message:#}");
    assert!(message["detail"].as_str().unwrap().contains("43004"), "{message:#}");
}

fn a_value_too_long_for_its_key_is_refused_at_accept(wechat: Wechat) {
    let world = wechat.running();
    let mut long = message("order-shipped", "o-alice", "A1");
    long["data"]["title"] = "二十个字以内才可以的标题这一个却有二十一个字哦".into();
    let answer = world.post("/v1/messages", &long);
    assert_eq!((answer.status, answer.problem().as_str()), (422, "data-invalid"), "{answer:?}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("thing2") && detail.contains("20"), "{detail}");
    assert_eq!(world.calls(Api::Subscribe), 0);
    assert_eq!(world.counts().failed, 0);
}
