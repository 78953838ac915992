//! `access_token`: how an app gets the token that authorises its sends (§1).
//!
//! Caching, single flight and the day's budget belong to the engine. `force_refresh` is never sent: it allows twenty
//! fetches a day and ends a token that others may hold (§1.2).

use std::time::Duration;

use serde_json::{Value, json};
use tidings_sdk::{App, Fetched, Outcome, Request, Response, TokenProvider, percent_encode};

use crate::codes::{self, Call};
use crate::message::{Answer, Errcode, base_url, is_success};

/// `POST /cgi-bin/stable_token`: everybody who asks gets the same token (§1.2).
pub(crate) const STABLE: &str = "stable";
/// `GET /cgi-bin/token`: every fetch makes a new token and ends the one before (§1.1).
pub(crate) const CLASSIC: &str = "token";

/// What WeChat allows on `/cgi-bin/stable_token` (§1.2).
const STABLE_FETCHES_PER_DAY: u32 = 500_000;
/// What WeChat allows a new account on `/cgi-bin/token` (§1.1).
const CLASSIC_FETCHES_PER_DAY: u32 = 2000;

/// WeChat's calendar is China's.
const DAY_OFFSET: Duration = Duration::from_secs(8 * 60 * 60);

/// The token provider of both endpoints.
pub(crate) struct AccessToken;

impl TokenProvider for AccessToken {
    fn request(&self, app: &App) -> Result<Request, String> {
        let (appid, secret) = (app.settings.text("appid"), app.settings.text("secret"));
        let base = base_url(app);
        if is_classic(app) {
            let (appid, secret) = (percent_encode(appid), percent_encode(secret));
            return Ok(Request::get(format!(
                "{base}/cgi-bin/token?grant_type=client_credential&appid={appid}&secret={secret}"
            )));
        }
        let body = json!({"appid": appid, "grant_type": "client_credential", "secret": secret});
        Ok(Request::post_json(format!("{base}/cgi-bin/stable_token"), &body))
    }

    fn read(&self, _app: &App, response: &Response<'_>) -> Fetched {
        let status = response.status;
        let Some(answer) = Answer::of(response) else {
            return Fetched::retry(format!("HTTP {status} without a readable answer"));
        };
        match answer.errcode {
            Errcode::Is(code) if code != 0 => refused(code, &answer.errmsg),
            Errcode::Unreadable => Fetched::retry(format!("HTTP {status} with an unreadable errcode")),
            _ if !is_success(status) => Fetched::retry(format!("HTTP {status} without an errcode")),
            _ => token(&answer.body),
        }
    }

    fn day_offset(&self) -> Duration {
        DAY_OFFSET
    }

    fn fetches_per_day(&self, app: &App) -> Option<u32> {
        let allowed = if is_classic(app) { CLASSIC_FETCHES_PER_DAY } else { STABLE_FETCHES_PER_DAY };
        let budget = app.settings.number("fetches_per_day").map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        Some(budget.unwrap_or(allowed))
    }
}

fn is_classic(app: &App) -> bool {
    app.settings.text("token_endpoint") == CLASSIC
}

/// The token and its life. A life of zero would mean "for ever" to some caches, so it is no token at all (§1.2).
fn token(body: &Value) -> Fetched {
    let value = body["access_token"].as_str().unwrap_or_default();
    let seconds = match &body["expires_in"] {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    match seconds {
        _ if value.is_empty() => Fetched::retry("the answer has no `access_token`"),
        Some(seconds @ 1..) => Fetched::Token { value: value.to_owned(), life: Duration::from_secs(seconds) },
        _ => Fetched::retry("the answer's `expires_in` is not a number of seconds above zero"),
    }
}

/// Stops the app only where the table says that nobody but an operator can help; what it does not know is tried again.
fn refused(errcode: i64, errmsg: &str) -> Fetched {
    match codes::classify(Call::Token, errcode, errmsg) {
        Outcome::Halt { reason } => Fetched::Halt { reason },
        Outcome::QuotaExhausted { detail, .. } => Fetched::QuotaExhausted { detail },
        other => Fetched::retry(other.detail().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SECRET, TOKEN, access_token, app, body};
    use tidings_sdk::Method;

    fn read(status: u16, body: &str) -> Fetched {
        access_token().read(&app(json!({})), &Response::new(status, body.as_bytes()))
    }

    fn fetched(value: &str, seconds: u64) -> Fetched {
        Fetched::Token { value: value.into(), life: Duration::from_secs(seconds) }
    }

    #[track_caller]
    fn check_retry(fetched: Fetched, part: &str) {
        let Fetched::Retry { detail, .. } = &fetched else { panic!("{fetched:?} is no retry") };
        assert!(detail.contains(part), "{detail}");
    }

    #[track_caller]
    fn halt(errcode: i64, errmsg: &str) -> String {
        let answer = json!({"errcode": errcode, "errmsg": errmsg}).to_string();
        match read(200, &answer) {
            Fetched::Halt { reason } => reason,
            other => panic!("{errcode} is {other:?}"),
        }
    }

    #[test]
    fn the_stable_endpoint_is_asked_in_normal_mode() {
        let request = access_token().request(&app(json!({"token_endpoint": "stable"}))).unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!(request.url, "https://api.weixin.qq.com/cgi-bin/stable_token");
        assert_eq!(
            body(&request),
            r#"{"appid":"wx0123456789abcdef","grant_type":"client_credential","secret":"CANARY-appsecret"}"#
        );
    }

    #[test]
    fn an_app_that_says_nothing_uses_the_stable_endpoint() {
        assert_eq!(
            access_token().request(&app(json!({}))).unwrap(),
            access_token().request(&app(json!({"token_endpoint": "stable"}))).unwrap()
        );
    }

    #[test]
    fn the_token_endpoint_is_asked_by_get_with_its_values_encoded() {
        let settings = json!({"token_endpoint": "token", "base_url": "http://127.0.0.1:8080/", "secret": "a&b=c d/é"});
        let request = access_token().request(&app(settings)).unwrap();
        assert_eq!(request.method, Method::Get);
        assert_eq!(
            request.url,
            "http://127.0.0.1:8080/cgi-bin/token?grant_type=client_credential&appid=wx0123456789abcdef&secret=a%26b%3Dc%20d%2F%C3%A9"
        );
        assert!(request.body.is_empty());
    }

    #[test]
    fn neither_request_shows_the_secret() {
        for endpoint in [STABLE, CLASSIC] {
            let request = access_token().request(&app(json!({"token_endpoint": endpoint}))).unwrap();
            assert!(!format!("{request:?}").contains(SECRET), "{request:?}");
        }
    }

    #[test]
    fn a_token_is_read_with_its_life_as_number_or_text() {
        assert_eq!(read(200, r#"{"access_token":"T","expires_in":7200}"#), fetched("T", 7200));
        assert_eq!(read(200, r#"{"access_token":"T","expires_in":"300"}"#), fetched("T", 300));
        assert_eq!(read(200, r#"{"errcode":0,"errmsg":"ok","access_token":"T","expires_in":1}"#), fetched("T", 1));
        assert_eq!(read(200, r#"{"errcode":"0","access_token":"T","expires_in":1}"#), fetched("T", 1));
    }

    #[test]
    fn a_life_that_is_not_above_zero_is_no_token() {
        for life in ["0", "-1", "\"0\"", "\"soon\"", "null", "1.5", "99999999999999999999"] {
            check_retry(read(200, &format!(r#"{{"access_token":"T","expires_in":{life}}}"#)), "expires_in");
        }
        check_retry(read(200, r#"{"access_token":"T"}"#), "expires_in");
    }

    #[test]
    fn an_answer_without_a_token_is_tried_again() {
        for body in ["{}", r#"{"access_token":"","expires_in":7200}"#, r#"{"access_token":7,"expires_in":7200}"#] {
            check_retry(read(200, body), "access_token");
        }
    }

    #[test]
    fn a_failure_of_http_is_tried_again() {
        check_retry(read(502, "<html>"), "HTTP 502");
        check_retry(read(200, "<html>"), "HTTP 200");
        check_retry(read(200, "[]"), "HTTP 200");
        check_retry(read(429, ""), "HTTP 429");
        check_retry(read(500, r#"{"access_token":"T","expires_in":7200}"#), "HTTP 500");
        check_retry(read(200, r#"{"errcode":"x"}"#), "unreadable errcode");
    }

    #[test]
    fn a_busy_or_hurried_or_unknown_answer_is_tried_again() {
        check_retry(read(200, r#"{"errcode":-1,"errmsg":"system error"}"#), "system error");
        check_retry(read(200, r#"{"errcode":45011,"errmsg":"must slower"}"#), "must slower");
        check_retry(read(200, r#"{"errcode":99999,"errmsg":"what is this"}"#), "99999: what is this");
        check_retry(read(503, r#"{"errcode":-1,"errmsg":"system error"}"#), "system error");
    }

    #[test]
    fn a_used_up_quota_is_said_so() {
        let answer = read(200, r#"{"errcode":45009,"errmsg":"reach max api daily quota limit"}"#);
        assert!(matches!(answer, Fetched::QuotaExhausted { .. }), "{answer:?}");
    }

    #[test]
    fn what_only_an_operator_can_mend_stops_the_app() {
        let codes = [
            40001, 40002, 40013, 40125, 40164, 61004, 45035, 40243, 41002, 41004, 50004, 89501, 89502, 89503, 89504,
            89505, 89506, 89507,
        ];
        for code in codes {
            let reason = halt(code, "no");
            assert!(reason.contains(&code.to_string()) && reason.contains("; "), "{reason}");
        }
    }

    #[test]
    fn a_wrong_secret_names_the_setting_to_mend() {
        let reason = halt(40001, "invalid credential, access_token is invalid or not latest rid: 5f-a");
        assert!(reason.contains("`secret`"), "{reason}");
    }

    #[test]
    fn an_ip_that_is_not_listed_is_named() {
        let errmsg = "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: 63-b";
        let reason = halt(40164, errmsg);
        assert!(reason.contains("add 203.0.113.9 to the IP whitelist"), "{reason}");
        assert!(reason.ends_with("[rid 63-b]"), "{reason}");
    }

    #[test]
    fn the_budget_is_the_operators_or_the_providers() {
        let of = |settings| access_token().fetches_per_day(&app(settings));
        assert_eq!(of(json!({})), Some(500_000));
        assert_eq!(of(json!({"token_endpoint": "token"})), Some(2000));
        assert_eq!(of(json!({"token_endpoint": "token", "fetches_per_day": 50})), Some(50));
        assert_eq!(of(json!({"fetches_per_day": 10_000_000_000u64})), Some(u32::MAX));
    }

    #[test]
    fn the_day_is_chinas() {
        assert_eq!(access_token().day_offset(), Duration::from_secs(8 * 3600));
    }

    #[test]
    fn no_answer_shows_its_token() {
        for (status, life) in [(200, "7200"), (200, "0"), (500, "7200")] {
            let answer = read(status, &format!(r#"{{"access_token":"{TOKEN}","expires_in":{life}}}"#));
            assert!(!format!("{answer:?}").contains(TOKEN), "{answer:?}");
        }
    }
}
