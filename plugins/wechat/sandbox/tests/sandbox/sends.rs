//! The three sending endpoints: bodies, recipients, permits, quotas, duplicates.

use serde_json::{Value, json};
use tidings_wechat_sandbox::{
    Api, App, ContentType, DEFAULT_APPID, DuplicateReply, EscapeCode, Options, Quotas, Template, TemplateApi, Unknowns,
    UserState,
};

use crate::phone::{OFFICIAL_SEND, Phone, SUBSCRIBE_SEND, TEMPLATE_SEND, official, subscribe, template};
use crate::tokens::to_noon;

#[tokio::test]
async fn a_template_message_arrives_and_its_form_id_is_used_up() {
    let phone = Phone::new().await;
    let form_id = phone.form_id("alice");
    let reply = phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await;
    assert_eq!(reply.json(), json!({"errcode": 0, "errmsg": "ok"}));
    let again = phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await;
    assert_eq!(again.errcode(), 41029);
    let deliveries = phone.control().deliveries(0);
    assert_eq!(deliveries.len(), 1);
    let delivery = &deliveries[0];
    assert_eq!((delivery.seq, delivery.api, delivery.appid.as_str()), (1, Api::Template, DEFAULT_APPID));
    assert_eq!(delivery.credential.as_deref(), Some(form_id.as_str()));
    assert_eq!(delivery.page.as_deref(), Some("pages/order?id=1"));
    assert_eq!(delivery.data, json!({"keyword1": {"value": "你好"}}));
}

#[tokio::test]
async fn a_form_id_that_is_wrong_missing_or_anothers_is_41028_and_stays_unused() {
    let phone = Phone::new().await;
    let form_id = phone.form_id("alice");
    assert_eq!(phone.send(TEMPLATE_SEND, &template("bob", &form_id)).await.errcode(), 41028);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", "the formId is a mock one")).await.errcode(), 41028);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", "")).await.errcode(), 41028);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await.errcode(), 0);
}

#[tokio::test]
async fn a_form_id_of_another_app_is_41028() {
    let other = App { appid: "wx-other".to_owned(), ..App::default() };
    let phone = Phone::with(Options { apps: vec![App::default(), other], ..Options::default() }).await;
    let form_id = phone.control().mint_form_ids("wx-other", "alice", 1).unwrap().remove(0);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await.errcode(), 41028);
}

#[tokio::test]
async fn a_form_id_expires_after_seven_days_used_or_not() {
    let phone = Phone::new().await;
    let (used, unused, late) = (phone.form_id("alice"), phone.form_id("alice"), phone.form_id("alice"));
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &used)).await.errcode(), 0);
    phone.advance(7 * 86_400 - 60);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &used)).await.errcode(), 41029);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &late)).await.errcode(), 0);
    phone.advance(60);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &used)).await.errcode(), 41028);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &unused)).await.errcode(), 41028);
}

#[tokio::test]
async fn a_prepay_id_carries_three_messages_of_its_payer() {
    let phone = Phone::new().await;
    let prepay_id = phone.control().mint_prepay_ids(DEFAULT_APPID, "alice", 1).unwrap().remove(0);
    let mut codes = vec![phone.send(TEMPLATE_SEND, &template("bob", &prepay_id)).await.errcode()];
    for _ in 0..4 {
        codes.push(phone.send(TEMPLATE_SEND, &template("alice", &prepay_id)).await.errcode());
    }
    assert_eq!(codes, [41028, 0, 0, 0, 41029]);
}

#[tokio::test]
async fn a_prepay_id_may_need_a_moment_behind_its_switch() {
    let unknowns = Unknowns { prepay_id_ready_after_seconds: 10, ..Unknowns::default() };
    let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
    let prepay_id = phone.control().mint_prepay_ids(DEFAULT_APPID, "alice", 1).unwrap().remove(0);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &prepay_id)).await.errcode(), 41028);
    phone.advance(10);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &prepay_id)).await.errcode(), 0);
}

#[tokio::test]
async fn a_refused_message_leaves_its_form_id_usable() {
    let phone = Phone::new().await;
    let form_id = phone.form_id("alice");
    let mut message = template("alice", &form_id);
    message["page"] = "https://example.com".into();
    assert_eq!(phone.send(TEMPLATE_SEND, &message).await.errcode(), 41030);
    message["page"] = "pages/index".into();
    assert_eq!(phone.send(TEMPLATE_SEND, &message).await.errcode(), 0);
}

#[tokio::test]
async fn a_template_message_may_be_empty() {
    let phone = Phone::new().await;
    let message = json!({"touser": "alice", "template_id": "T1", "form_id": phone.form_id("alice")});
    assert_eq!(phone.send(TEMPLATE_SEND, &message).await.errcode(), 0);
}

#[tokio::test]
async fn a_retired_template_endpoint_answers_its_code() {
    for (template_api, expected) in [(TemplateApi::Gone45103, 45103), (TemplateApi::Gone45109, 45109)] {
        let unknowns = Unknowns { template_api, ..Unknowns::default() };
        let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
        let form_id = phone.form_id("alice");
        assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await.errcode(), expected);
        assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "1")).await.errcode(), 0);
    }
}

#[tokio::test]
async fn a_subscription_message_takes_one_grant_of_that_user_and_template() {
    let phone = Phone::new().await;
    assert_eq!(phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await.errcode(), 43101);
    assert_eq!(phone.control().grant(DEFAULT_APPID, "alice", "S1", 1), Ok(1));
    assert_eq!(phone.control().grant(DEFAULT_APPID, "alice", "S1", 1), Ok(2));
    assert_eq!(phone.control().grant(DEFAULT_APPID, "alice", "another", 1), Ok(1));
    phone.advance(400 * 86_400);
    let mut codes = vec![phone.send(SUBSCRIBE_SEND, &subscribe("bob")).await.errcode()];
    for _ in 0..3 {
        codes.push(phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await.errcode());
    }
    assert_eq!(codes, [43101, 0, 0, 43101]);
}

#[tokio::test]
async fn a_value_that_breaks_its_rule_is_named_and_costs_no_grant() {
    let phone = Phone::new().await;
    phone.control().grant(DEFAULT_APPID, "alice", "S1", 1).unwrap();
    for (key, entry) in [
        ("thing1", json!({"value": "字".repeat(21)})),
        ("thing1", json!({"value": ""})),
        ("number2", json!({"value": "many"})),
        ("phrase3", json!({"value": 5})),
        ("thing1", json!("bare")),
    ] {
        let mut message = subscribe("alice");
        message["data"] = json!({ key: entry });
        let reply = phone.send(SUBSCRIBE_SEND, &message).await;
        assert_eq!(reply.errcode(), 47003, "{message}");
        assert!(reply.text().contains(&format!("data.{key}.value")), "{}", reply.text());
    }
    assert_eq!(phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await.errcode(), 0);
}

#[tokio::test]
async fn a_refused_subscription_message_costs_a_grant_behind_its_switch() {
    let unknowns = Unknowns { refused_send_uses_grant: true, ..Unknowns::default() };
    let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
    phone.control().grant(DEFAULT_APPID, "alice", "S1", 1).unwrap();
    let mut message = subscribe("alice");
    message["data"] = json!({"thing1": {"value": ""}});
    assert_eq!(phone.send(SUBSCRIBE_SEND, &message).await.errcode(), 47003);
    assert_eq!(phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await.errcode(), 43101);
}

#[tokio::test]
async fn a_msgid_is_above_two_to_the_fifty_third_and_rises() {
    let phone = Phone::new().await;
    phone.control().grant(DEFAULT_APPID, "alice", "S1", 1).unwrap();
    let first = phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await.json()["msgid"].as_i64().unwrap();
    let second = phone.send(OFFICIAL_SEND, &official("alice", "1")).await.json()["msgid"].as_i64().unwrap();
    assert!(first > 1 << 53 && second > first, "{first} {second}");
}

#[tokio::test]
async fn a_subscription_reply_has_no_msgid_behind_its_switch() {
    let unknowns = Unknowns { subscribe_msgid: false, ..Unknowns::default() };
    let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
    phone.control().grant(DEFAULT_APPID, "alice", "S1", 1).unwrap();
    let reply = phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await;
    assert_eq!(reply.json(), json!({"errcode": 0, "errmsg": "ok"}));
}

#[tokio::test]
async fn a_client_msg_id_is_sent_once_in_ten_minutes_for_each_user() {
    let phone = Phone::new().await;
    let first = phone.send(OFFICIAL_SEND, &official("alice", "order-1")).await.json();
    phone.advance(590);
    let again = phone.send(OFFICIAL_SEND, &official("alice", "order-1")).await.json();
    assert_eq!(again, first);
    assert_eq!(phone.delivered(), 1);
    assert_eq!(phone.send(OFFICIAL_SEND, &official("bob", "order-1")).await.errcode(), 0);
    assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "order-2")).await.errcode(), 0);
    assert_eq!(phone.delivered(), 3);
    // The window counts from the first send and does not slide.
    phone.advance(10);
    let late = phone.send(OFFICIAL_SEND, &official("alice", "order-1")).await.json();
    assert_ne!(late["msgid"], first["msgid"]);
    assert_eq!(phone.delivered(), 4);
}

#[tokio::test]
async fn a_duplicate_client_msg_id_is_40241_behind_its_switch() {
    let unknowns = Unknowns { duplicate_client_msg_id: DuplicateReply::Code40241, ..Unknowns::default() };
    let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
    assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "order-1")).await.errcode(), 0);
    assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "order-1")).await.errcode(), 40241);
    assert_eq!(phone.delivered(), 1);
}

#[tokio::test]
async fn an_official_message_without_a_client_msg_id_is_sent_every_time() {
    let phone = Phone::new().await;
    for _ in 0..2 {
        assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "")).await.errcode(), 0);
    }
    assert_eq!(phone.delivered(), 2);
}

#[tokio::test]
async fn a_user_who_left_blocked_or_belongs_to_another_app_is_told_by_code() {
    let phone = Phone::new().await;
    let form_id = phone.form_id("alice");
    phone.control().grant(DEFAULT_APPID, "alice", "S1", 9).unwrap();
    for (state, official_code, subscribe_code) in [
        (UserState::Unfollowed, 43004, 0),
        (UserState::Blocked, 43019, 43101),
        (UserState::Foreign, 40003, 40003),
        (UserState::Following, 0, 0),
    ] {
        phone.control().set_user(DEFAULT_APPID, "alice", state).unwrap();
        assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "")).await.errcode(), official_code, "{state:?}");
        assert_eq!(phone.send(SUBSCRIBE_SEND, &subscribe("alice")).await.errcode(), subscribe_code, "{state:?}");
    }
    phone.control().set_user(DEFAULT_APPID, "alice", UserState::Foreign).unwrap();
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &form_id)).await.errcode(), 40003);
}

#[tokio::test]
async fn a_target_of_an_official_message_must_make_sense() {
    let phone = Phone::new().await;
    for (miniprogram, url, expected) in [
        (Value::Null, json!("ftp://example.com"), 40039),
        (json!({}), Value::Null, 40166),
        (json!({"appid": "wx1", "pagepath": "a b"}), Value::Null, 40165),
        (json!({"appid": "wx1", "pagepath": "pages/a"}), json!("https://example.com"), 0),
        (Value::Null, Value::Null, 0),
    ] {
        let mut message = official("alice", "");
        message["miniprogram"] = miniprogram;
        message["url"] = url;
        assert_eq!(phone.send(OFFICIAL_SEND, &message).await.errcode(), expected, "{message}");
    }
    assert_eq!(phone.control().deliveries(0)[0].page.as_deref(), Some("pages/a"));
}

#[tokio::test]
async fn official_messages_follow_the_value_rules_unless_switched_off() {
    let mut message = official("alice", "");
    message["data"] = json!({"phrase1": {"value": "not chinese"}});
    let phone = Phone::new().await;
    assert_eq!(phone.send(OFFICIAL_SEND, &message).await.errcode(), 47003);
    let unknowns = Unknowns { official_template_values: false, ..Unknowns::default() };
    let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
    assert_eq!(phone.send(OFFICIAL_SEND, &message).await.errcode(), 0);
}

#[tokio::test]
async fn an_openid_or_template_that_cannot_be_is_refused_everywhere() {
    let phone = Phone::new().await;
    for endpoint in [TEMPLATE_SEND, SUBSCRIBE_SEND, OFFICIAL_SEND] {
        for (openid, template_id, expected) in
            [("", "T1", 40003), ("a b", "T1", 40003), (&"x".repeat(65), "T1", 40003), ("alice", "", 40037)]
        {
            let message = json!({"touser": openid, "template_id": template_id, "data": {}});
            assert_eq!(phone.send(endpoint, &message).await.errcode(), expected, "{endpoint} {message}");
        }
    }
}

#[tokio::test]
async fn listed_templates_and_pages_are_the_only_ones() {
    let template_s1 = Template { template_id: "S1".to_owned(), keys: Some(vec!["thing1".to_owned()]) };
    let options = Options { templates: vec![template_s1], pages: vec!["pages/order".to_owned()], ..Options::default() };
    let phone = Phone::with(options).await;
    phone.control().grant(DEFAULT_APPID, "alice", "S1", 9).unwrap();
    let mut message = subscribe("alice");
    message["page"] = "pages/order?id=1".into();
    assert_eq!(phone.send(SUBSCRIBE_SEND, &message).await.errcode(), 0);
    message["page"] = "pages/none".into();
    assert_eq!(phone.send(SUBSCRIBE_SEND, &message).await.errcode(), 41030);
    message["page"] = "".into();
    message["data"] = json!({"thing2": {"value": "x"}});
    assert_eq!(phone.send(SUBSCRIBE_SEND, &message).await.errcode(), 47003);
    message["template_id"] = "S2".into();
    assert_eq!(phone.send(SUBSCRIBE_SEND, &message).await.errcode(), 40037);
}

#[tokio::test]
async fn a_body_that_is_no_json_empty_or_of_the_wrong_shape_is_refused() {
    let phone = Phone::new().await;
    let target = format!("{SUBSCRIBE_SEND}?access_token={}", phone.token().await);
    for (body, expected) in [
        ("not json", 47001),
        ("", 44002),
        (r#"{"touser": 5}"#, 47001),
        (r#"{"touser":"alice","template_id":"S1","data":"{}"}"#, 47001),
    ] {
        let reply = phone.try_call("POST", &target, body.as_bytes()).await.unwrap();
        assert_eq!(reply.errcode(), expected, "{body}");
    }
    let body = vec![b' '; (1 << 20) + 1];
    // The reply comes before the body is read, so it may be lost behind the close; what counts is that nothing hangs.
    if let Ok(reply) = phone.try_call("POST", &target, &body).await {
        assert_eq!(reply.errcode(), 45002);
    }
}

#[tokio::test]
async fn unicode_escapes_are_refused_by_either_code() {
    let body = br#"{"touser":"alice","template_id":"S1","data":{"thing1":{"value":"\u4f60"}}}"#;
    for (escape_code, expected) in [(EscapeCode::Code40033, 40033), (EscapeCode::Code47002, 47002)] {
        let unknowns = Unknowns { escape_code, ..Unknowns::default() };
        let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
        let target = format!("{SUBSCRIBE_SEND}?access_token={}", phone.token().await);
        assert_eq!(phone.try_call("POST", &target, body).await.unwrap().errcode(), expected);
    }
}

#[tokio::test]
async fn the_wrong_method_is_named() {
    let phone = Phone::new().await;
    assert_eq!(phone.call("GET", TEMPLATE_SEND, &Value::Null).await.errcode(), 43002);
    assert_eq!(phone.call("POST", "/cgi-bin/token", &Value::Null).await.errcode(), 43001);
}

#[tokio::test]
async fn an_errmsg_ends_in_a_rid_of_its_own() {
    let phone = Phone::new().await;
    let mut rids = Vec::new();
    for _ in 0..2 {
        let reply = phone.send(TEMPLATE_SEND, &template("alice", "f")).await.json();
        let (text, rid) = reply["errmsg"].as_str().unwrap().split_once(" rid: ").unwrap();
        assert_eq!(text, "invalid form id");
        assert_eq!(rid.split('-').count(), 3);
        rids.push(rid.to_owned());
    }
    assert_ne!(rids[0], rids[1]);
}

#[tokio::test]
async fn sends_are_limited_by_the_minute_and_by_the_day_for_each_endpoint() {
    let quotas = Quotas { sends_per_minute: 2, official_template_per_day: 3, ..Quotas::default() };
    let phone = Phone::with(Options { quotas, ..Options::default() }).await;
    to_noon(&phone);
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(phone.send(OFFICIAL_SEND, &official("alice", "")).await.errcode());
    }
    phone.advance(60);
    for _ in 0..2 {
        codes.push(phone.send(OFFICIAL_SEND, &official("alice", "")).await.errcode());
    }
    assert_eq!(codes, [0, 0, 45011, 0, 45009]);
    assert_eq!(phone.send(TEMPLATE_SEND, &template("alice", &phone.form_id("alice"))).await.errcode(), 0);
    phone.advance(86_400);
    assert_eq!(phone.send(OFFICIAL_SEND, &official("alice", "")).await.errcode(), 0);
}

#[tokio::test]
async fn the_content_type_is_switchable() {
    for (content_type, expected) in [(ContentType::Json, "application/json"), (ContentType::Text, "text/plain")] {
        let phone = Phone::with(Options { content_type, ..Options::default() }).await;
        let head = phone.stable_token(false).await.head;
        assert!(head.contains(&format!("content-type: {expected}")), "{head}");
    }
}
