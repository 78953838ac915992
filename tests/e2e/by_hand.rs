//! The article's flow by hand: a form post, a message, WeChat's log; and what the ledger takes and refuses.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{World, on_each_store, seconds_ago};

on_each_store! {
    a_posted_form_id_carries_a_template_message_to_its_user,
    a_message_without_a_form_id_waits_and_leaves_within_a_second_of_one_being_posted,
    the_history_of_a_message_is_told_in_order_with_what_it_waited_for,
    a_form_id_is_used_once_and_the_next_message_waits_for_another,
    what_cannot_work_is_refused_with_its_reason,
    a_repeated_value_is_refused_even_after_it_was_used_and_for_whomever_it_is_posted,
    of_many_posted_as_json_each_has_its_own_answer,
    another_users_form_id_is_never_used,
    the_form_id_that_ends_soonest_goes_first,
    a_form_id_near_its_end_is_not_bound,
    how_near_its_end_is_for_config_to_say,
    a_message_that_waits_is_looked_at_again_when_the_engine_starts_by_another_config,
    a_form_id_that_wechat_refuses_is_dropped_and_the_next_one_is_tried,
    the_ledger_is_shown_without_its_values,
}

fn a_posted_form_id_carries_a_template_message_to_its_user() {
    let world = World::running();
    let form_id = world.mint("o-alice");
    let answer = world.post_form("wechat.form_id", &format!("form_id={form_id}&openId=o-alice"));
    assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(1)), "{answer:?}");
    let id = world.send("order-paid", "o-alice", "A 7&b");
    let message = world.until(&id, "sent");
    assert_eq!((&message["attempts"], &message["channel"]), (&json!(1), &json!("orders")), "{message}");
    let deliveries = world.deliveries();
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].credential.as_deref(), Some(form_id.as_str()));
    assert_eq!(deliveries[0].openid, "o-alice");
    assert_eq!(deliveries[0].template_id, "AT0001-order-paid");
    assert_eq!(deliveries[0].page.as_deref(), Some("pages/order/show?id=A%207%26b"));
    assert_eq!(deliveries[0].data, json!({"keyword1": {"value": "已付款"}, "keyword2": {"value": "A 7&b"}}));
    // What the message says is told as it was sent.
    let content = &message["content"];
    assert_eq!(
        (&content["data"]["keyword2"], &content["page"]),
        (&json!("A 7&b"), &json!("pages/order/show?id=A%207%26b"))
    );
    assert_eq!(message["content_problem"], json!(null));
}

fn a_message_without_a_form_id_waits_and_leaves_within_a_second_of_one_being_posted() {
    let world = World::running();
    let id = world.send("order-paid", "o-bob", "1");
    world.until(&id, "waiting");
    // The token is there before the clock is watched: what is measured is the wake, not the first fetch.
    world.ok(&["tokens", "refresh", "shop"]);
    let form_id = world.mint("o-bob");
    let posted = Instant::now();
    world.post_form("wechat.form_id", &format!("form_id={form_id}&openId=o-bob"));
    world.wait("the message arrives", || world.deliveries().first().map(|delivery| delivery.credential.clone()));
    assert!(posted.elapsed() < Duration::from_secs(1), "it took {:?}", posted.elapsed());
    world.until(&id, "sent");
}

fn the_history_of_a_message_is_told_in_order_with_what_it_waited_for() {
    let world = World::running();
    let id = world.send("order-paid", "o-bob", "1");
    world.until(&id, "waiting");
    world.ok(&["messages", "hold", &id, "--note", "a wrong price"]);
    world.ok(&["messages", "release", &id]);
    world.until(&id, "waiting");
    world.permit("o-bob");
    let message = world.until(&id, "sent");
    let told: Vec<&str> =
        message["timeline"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        ["accepted", "waiting", "message.hold", "message.release", "bound", "attempt", "sent"],
        "{message:#}"
    );
    let times: Vec<&str> =
        message["timeline"].as_array().unwrap().iter().map(|moment| moment["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(
        (times[0], times.last().copied()),
        (message["created_at"].as_str().unwrap(), message["finished_at"].as_str())
    );
    let shown = world.ok(&["messages", "show", &id]);
    for part in ["  accepted\n", "  waiting\n", ": a wrong price\n", "bound  wechat.form_id, taken in 20"] {
        assert!(shown.contains(part), "`{part}` is not in {shown}");
    }
}

fn a_form_id_is_used_once_and_the_next_message_waits_for_another() {
    let world = World::running();
    world.permit("o-alice");
    let first = world.send("order-paid", "o-alice", "1");
    world.until(&first, "sent");
    let second = world.send("order-paid", "o-alice", "2");
    world.until(&second, "waiting");
    world.permit("o-alice");
    world.until(&second, "sent");
    assert_eq!(world.deliveries().len(), 2);
}

fn what_cannot_work_is_refused_with_its_reason() {
    let world = World::running();
    let check = |form: &str, reason: &str| {
        let answer = world.post_form("wechat.form_id", form);
        assert_eq!((answer.status, answer.problem().as_str()), (422, "credential-refused"), "{form}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason), "{form}: {detail}");
    };
    check("form_id=the+formId+is+a+mock+one&openId=o-alice", "the formId is a mock one");
    check("form_id=the%20formId%20is%20a%20mock%20one&openId=o-alice", "the formId is a mock one");
    check("form_id=F-1&openId=", "`recipient` is empty");
    check("form_id=F-1", "`recipient` is missing");
    check("form_id=&openId=o-alice", "`form_id` is empty");
    check("openId=o-alice", "`form_id` is missing");
    check("form_id=undefined&openId=o-alice", "undefined");
    check("form_id=F-1&openId=o-alice&open_di=x", "open_di");
    check(&format!("form_id=F-1&openId=o-alice&created_at={}", seconds_ago(8 * 86_400)), "expired");
    assert_eq!(world.get("/v1/credentials").json()["items"], json!([]));
}

fn a_repeated_value_is_refused_even_after_it_was_used_and_for_whomever_it_is_posted() {
    let world = World::running();
    let form_id = world.permit("o-alice");
    for user in ["o-alice", "o-mallory"] {
        let again = world.post_form("wechat.form_id", &format!("form_id={form_id}&openId={user}"));
        assert_eq!(again.status, 422, "{again:?}");
        assert!(again.body.contains("posted before"), "{again:?}");
    }
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "sent");
    let used = world.post_form("wechat.form_id", &format!("form_id={form_id}&openId=o-alice"));
    assert!(used.status == 422 && used.body.contains("posted before"), "{used:?}");
}

fn of_many_posted_as_json_each_has_its_own_answer() {
    let world = World::running();
    let items = json!([
        {"form_id": "F-1", "openId": "o-alice"},
        {"form_id": "the formId is a mock one", "openId": "o-alice"},
        {"formId": "F-2", "openid": "o-bob"},
        {"form_id": "F-1", "openId": "o-alice"},
        {"form_id": "F-3", "openId": ""},
    ]);
    let reply = world.post("/v1/credentials/wechat.form_id", &items).json();
    assert_eq!((&reply["accepted"], &reply["refused"]), (&json!(2), &json!(3)), "{reply:#}");
    let refused: Vec<bool> =
        reply["items"].as_array().unwrap().iter().map(|item| item["refused"].is_string()).collect();
    assert_eq!(refused, [false, true, false, true, true]);
}

fn another_users_form_id_is_never_used() {
    let world = World::running();
    world.permit("o-alice");
    let id = world.send("order-paid", "o-bob", "1");
    world.until(&id, "waiting");
    let alice = world.send("order-paid", "o-alice", "2");
    world.until(&alice, "sent");
    assert_eq!(world.message(&id)["state"], "waiting");
    assert_eq!(world.deliveries().len(), 1);
}

fn the_form_id_that_ends_soonest_goes_first() {
    let world = World::running();
    let ages = [1_u64, 4, 2];
    let form_ids: Vec<String> = ages.iter().map(|_| world.mint("o-alice")).collect();
    for (form_id, days) in form_ids.iter().zip(ages) {
        let made = seconds_ago(days * 86_400);
        let answer = world.post_form("wechat.form_id", &format!("form_id={form_id}&openId=o-alice&created_at={made}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for order in ["1", "2", "3"] {
        let id = world.send("order-paid", "o-alice", order);
        world.until(&id, "sent");
    }
    let used: Vec<String> = world.deliveries().into_iter().filter_map(|delivery| delivery.credential).collect();
    assert_eq!(used, [form_ids[1].clone(), form_ids[2].clone(), form_ids[0].clone()]);
}

/// A form_id whose last day has begun.
fn post_old(world: &World) {
    let form_id = world.mint("o-alice");
    let made = seconds_ago(6 * 86_400 + 3600);
    let answer = world.post_form("wechat.form_id", &format!("form_id={form_id}&openId=o-alice&created_at={made}"));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The margin is the operator's to choose.
const SMALL_MARGIN: (&str, &str) = ("in_flight  = 16", "in_flight  = 16\ncredential_margin = \"1h\"");

fn a_form_id_near_its_end_is_not_bound() {
    let world = World::running();
    post_old(&world);
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "waiting");
    assert_eq!(world.deliveries().len(), 0);
    let good = world.permit("o-alice");
    world.until(&id, "sent");
    assert_eq!(world.deliveries()[0].credential.as_deref(), Some(good.as_str()));
}

fn how_near_its_end_is_for_config_to_say() {
    let world = World::new();
    world.configure(&[SMALL_MARGIN]);
    world.run();
    post_old(&world);
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "sent");
}

fn a_message_that_waits_is_looked_at_again_when_the_engine_starts_by_another_config() {
    let world = World::running();
    post_old(&world);
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "waiting");
    world.terminate();
    world.configure(&[SMALL_MARGIN]);
    world.run();
    world.until(&id, "sent");
}

fn a_form_id_that_wechat_refuses_is_dropped_and_the_next_one_is_tried() {
    let world = World::running();
    // WeChat never made this one: 41028. It ends sooner, so it is tried first.
    let made = seconds_ago(86_400);
    world.post_form("wechat.form_id", &format!("form_id=never-made&openId=o-alice&created_at={made}"));
    let good = world.permit("o-alice");
    let id = world.send("order-paid", "o-alice", "1");
    let message = world.until(&id, "sent");
    assert_eq!(message["tries"][0]["outcome"], "credential_invalid", "{message:#}");
    assert_eq!(world.deliveries()[0].credential.as_deref(), Some(good.as_str()));
}

fn the_ledger_is_shown_without_its_values() {
    let world = World::running();
    let form_id = world.permit("o-alice");
    let said = world.tidings(&["credentials", "add", "wechat.form_id", "form_id=F-9", "openId=o-bob"]);
    assert_eq!((said.code, said.out.trim()), (0, "1 accepted, 0 refused"), "{said:?}");
    let again = world.tidings(&["credentials", "add", "wechat.form_id", "form_id=F-9", "openId=o-bob"]);
    assert_eq!(again.code, 1);
    assert!(again.all().contains("posted before"), "{again:?}");
    let list = world.ok(&["credentials", "list", "--recipient", "o-alice"]);
    assert!(list.contains("o-alice") && !list.contains("o-bob") && !list.contains(&form_id), "{list}");
    let json = world.ok_json(&["credentials", "list", "--json", "--usable"]);
    assert_eq!(json["items"].as_array().unwrap().len(), 2, "{json:#}");
    assert!(!json.to_string().contains(&form_id) && !json.to_string().contains("F-9"), "{json}");
}
