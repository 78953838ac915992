//! The two token endpoints, and what a send says of a token.

use serde_json::{Value, json};
use tidings_wechat_sandbox::{
    App, AppKind, DEFAULT_APPID, DEFAULT_SECRET, Options, Quotas, TokenDeath, Unknowns, WrongSecretCode,
};

use crate::phone::{OFFICIAL_SEND, Phone, SUBSCRIBE_SEND, TEMPLATE_SEND, access_token, official, subscribe, template};

/// The errcode that says a token was accepted: everything held but the form_id.
const TOKEN_HOLDS: i64 = 41028;

#[tokio::test]
async fn a_token_is_handed_out_for_two_hours_without_an_errcode() {
    let phone = Phone::new().await;
    for reply in [phone.legacy_token().await, phone.stable_token(false).await] {
        let body = reply.json();
        assert_eq!(body["expires_in"], 7200);
        assert!(body.get("errcode").is_none());
        assert_eq!(phone.token_errcode(&access_token(&reply)).await, TOKEN_HOLDS);
    }
}

#[tokio::test]
async fn a_wrong_secret_appid_or_grant_type_is_named() {
    let phone = Phone::new().await;
    for (query, expected) in [
        (format!("grant_type=client_credential&appid={DEFAULT_APPID}&secret=wrong"), 40001),
        (format!("grant_type=client_credential&appid=wx1&secret={DEFAULT_SECRET}"), 40013),
        (format!("grant_type=client_credential&secret={DEFAULT_SECRET}"), 41002),
        (format!("grant_type=client_credential&appid={DEFAULT_APPID}"), 41004),
        (format!("grant_type=password&appid={DEFAULT_APPID}&secret={DEFAULT_SECRET}"), 40002),
    ] {
        let reply = phone.call("GET", &format!("/cgi-bin/token?{query}"), &Value::Null).await;
        assert_eq!(reply.errcode(), expected, "{query}");
        let mut body = json!({});
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            body[name] = value.into();
        }
        assert_eq!(phone.call("POST", "/cgi-bin/stable_token", &body).await.errcode(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_40125_behind_its_switch() {
    let unknowns = Unknowns { wrong_secret: WrongSecretCode::Code40125, ..Unknowns::default() };
    let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
    let target = format!("/cgi-bin/token?grant_type=client_credential&appid={DEFAULT_APPID}&secret=wrong");
    assert_eq!(phone.call("GET", &target, &Value::Null).await.errcode(), 40125);
}

#[tokio::test]
async fn a_new_legacy_token_leaves_the_old_one_five_minutes() {
    let phone = Phone::new().await;
    let old = access_token(&phone.legacy_token().await);
    let new = access_token(&phone.legacy_token().await);
    assert_ne!(old, new);
    phone.advance(299);
    assert_eq!(phone.token_errcode(&old).await, TOKEN_HOLDS);
    phone.advance(1);
    assert_eq!(phone.token_errcode(&old).await, 40001);
    assert_eq!(phone.token_errcode(&new).await, TOKEN_HOLDS);
}

#[tokio::test]
async fn the_stable_token_stays_the_same_with_the_life_it_has_left() {
    let phone = Phone::new().await;
    let first = access_token(&phone.stable_token(false).await);
    phone.advance(1_000);
    let again = phone.stable_token(false).await;
    assert_eq!(access_token(&again), first);
    let left = again.json()["expires_in"].as_i64().unwrap();
    assert!((6_190..=6_200).contains(&left), "{left}");
}

#[tokio::test]
async fn the_stable_token_changes_in_its_last_five_minutes_and_both_work() {
    let phone = Phone::new().await;
    let old = access_token(&phone.stable_token(false).await);
    phone.advance(7_200 - 300);
    let renewed = phone.stable_token(false).await;
    let new = access_token(&renewed);
    assert_ne!(old, new);
    assert_eq!(renewed.json()["expires_in"], 7200);
    assert_eq!(phone.token_errcode(&old).await, TOKEN_HOLDS);
    phone.advance(300);
    assert_eq!(phone.token_errcode(&old).await, 42001);
    assert_eq!(phone.token_errcode(&new).await, TOKEN_HOLDS);
}

#[tokio::test]
async fn a_token_not_renewed_expires() {
    let phone = Phone::new().await;
    let token = phone.token().await;
    phone.advance(7_200);
    assert_eq!(phone.token_errcode(&token).await, 42001);
}

#[tokio::test]
async fn a_forced_refresh_kills_the_old_token_at_once() {
    let phone = Phone::new().await;
    let old = access_token(&phone.stable_token(false).await);
    let new = access_token(&phone.stable_token(true).await);
    assert_ne!(old, new);
    assert_eq!(phone.token_errcode(&old).await, 40001);
    assert_eq!(phone.token_errcode(&new).await, TOKEN_HOLDS);
}

#[tokio::test]
async fn two_forced_refreshes_kill_a_leaked_token_even_where_one_leaves_an_overlap() {
    let unknowns = Unknowns { force_keeps_overlap: true, ..Unknowns::default() };
    let phone = Phone::with(Options { unknowns, ..Options::default() }).await;
    let leaked = access_token(&phone.stable_token(false).await);
    phone.stable_token(true).await;
    assert_eq!(phone.token_errcode(&leaked).await, TOKEN_HOLDS);
    phone.advance(30);
    phone.stable_token(true).await;
    assert_eq!(phone.token_errcode(&leaked).await, 40001);
}

#[tokio::test]
async fn a_second_force_within_thirty_seconds_refreshes_nothing() {
    let phone = Phone::new().await;
    let first = access_token(&phone.stable_token(true).await);
    phone.advance(20);
    assert_eq!(access_token(&phone.stable_token(true).await), first);
    phone.advance(10);
    assert_ne!(access_token(&phone.stable_token(true).await), first);
}

#[tokio::test]
async fn the_twenty_first_force_of_a_day_is_refused_and_the_next_day_is_new() {
    let phone = Phone::new().await;
    to_noon(&phone);
    for _ in 0..20 {
        assert_eq!(phone.stable_token(true).await.errcode(), 0);
        phone.advance(30);
    }
    assert_eq!(phone.stable_token(true).await.errcode(), 45009);
    assert_eq!(phone.stable_token(false).await.errcode(), 0);
    phone.advance(86_400);
    assert_eq!(phone.stable_token(true).await.errcode(), 0);
}

#[tokio::test]
async fn the_legacy_endpoint_gives_two_thousand_tokens_a_day() {
    let phone = Phone::new().await;
    to_noon(&phone);
    for _ in 0..2_000 {
        assert_eq!(phone.legacy_token().await.errcode(), 0);
    }
    assert_eq!(phone.legacy_token().await.errcode(), 45009);
    // The endpoints are isolated, quotas included.
    assert_eq!(phone.stable_token(false).await.errcode(), 0);
    phone.advance(86_400);
    assert_eq!(phone.legacy_token().await.errcode(), 0);
}

#[tokio::test]
async fn the_stable_endpoint_is_limited_by_the_minute_and_by_the_day() {
    let quotas = Quotas { stable_token_per_minute: 2, stable_token_per_day: 3, ..Quotas::default() };
    let phone = Phone::with(Options { quotas, ..Options::default() }).await;
    to_noon(&phone);
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(phone.stable_token(false).await.errcode());
    }
    assert_eq!(codes, [0, 0, 45011]);
    phone.advance(60);
    assert_eq!(phone.stable_token(false).await.errcode(), 0);
    assert_eq!(phone.stable_token(false).await.errcode(), 45009);
}

#[tokio::test]
async fn neither_endpoint_invalidates_the_token_of_the_other() {
    let phone = Phone::new().await;
    let legacy = access_token(&phone.legacy_token().await);
    let stable = access_token(&phone.stable_token(true).await);
    phone.advance(30);
    phone.stable_token(true).await;
    phone.advance(600);
    assert_eq!(phone.token_errcode(&legacy).await, TOKEN_HOLDS);
    assert_eq!(phone.token_errcode(&stable).await, 40001);
}

#[tokio::test]
async fn a_missing_a_malformed_and_an_unknown_token_are_told_apart() {
    let phone = Phone::new().await;
    let unknown = format!("12_{}", "a".repeat(133));
    assert_eq!(phone.token_errcode("").await, 41001);
    assert_eq!(phone.token_errcode("nonsense").await, 40014);
    assert_eq!(phone.token_errcode(&unknown).await, 40001);
    let reply = phone.call("POST", TEMPLATE_SEND, &template("alice", "f")).await;
    assert_eq!(reply.errcode(), 41001);
}

#[tokio::test]
async fn killed_tokens_answer_as_asked_and_the_next_fetch_gives_new_ones() {
    let phone = Phone::new().await;
    for (death, expected) in [(TokenDeath::NotLatest, 40001), (TokenDeath::Expired, 42001)] {
        let (stable, legacy) = (phone.token().await, access_token(&phone.legacy_token().await));
        phone.control().expire_tokens(DEFAULT_APPID, death).unwrap();
        assert_eq!(phone.token_errcode(&stable).await, expected);
        assert_eq!(phone.token_errcode(&legacy).await, expected);
        assert_ne!(phone.token().await, stable);
    }
}

#[tokio::test]
async fn a_token_of_the_wrong_kind_of_account_is_refused() {
    let app = |appid: &str, kind| App { appid: appid.to_owned(), secret: "s".to_owned(), kind };
    let apps = vec![app("wx-mini", AppKind::MiniProgram), app("wx-service", AppKind::ServiceAccount)];
    let phone = Phone::with(Options { apps, ..Options::default() }).await;
    let mut tokens = Vec::new();
    for appid in ["wx-mini", "wx-service"] {
        let target = format!("/cgi-bin/token?grant_type=client_credential&appid={appid}&secret=s");
        tokens.push(access_token(&phone.call("GET", &target, &Value::Null).await));
    }
    let official = official("alice", "1");
    assert_eq!(phone.send_with(&tokens[0], OFFICIAL_SEND, &official).await.errcode(), 48001);
    assert_eq!(phone.send_with(&tokens[1], OFFICIAL_SEND, &official).await.errcode(), 0);
    assert_eq!(phone.send_with(&tokens[1], SUBSCRIBE_SEND, &subscribe("alice")).await.errcode(), 45063);
    assert_eq!(phone.send_with(&tokens[1], TEMPLATE_SEND, &template("alice", "f")).await.errcode(), 45063);
}

/// Moves the clock to just after noon in UTC+8, so that no quota window turns during a test.
pub(crate) fn to_noon(phone: &Phone) {
    let day_ms = 86_400_000;
    let since_noon_ms = (phone.control().now_ms() + (8 - 12) * 3_600_000).rem_euclid(day_ms);
    phone.advance((day_ms - since_noon_ms) / 1_000 + 1);
}
