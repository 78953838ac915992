//! What an answer says: by its code, by its status, and by what the config knows of the provider.
//!
//! A message is never called failed, or unsent, without a word of the provider that it was not taken: a server that
//! broke down, or that answers what cannot be read, may have acted before. That is [`Word::Unknown`], and the channel's
//! `on_unknown` decides; who knows that a provider does nothing when it answers 500 writes
//! `statuses = { 5xx = "retry" }`.
//!
//! What would go wrong with every message alike stops the app: nothing is lost while it waits for its operator.

use std::time::Duration;

use serde_json::Value;
use tidings_sdk::{App, Outcome, Response};

use crate::address;
use crate::placeholder::RECIPIENT;
use crate::secret;
use crate::verdict::{Verdict, WAIT_MAX, Word, of_status};

/// Bytes of the provider's words that are kept: enough for a sentence, too few for a page of HTML.
const SAID_BYTES_MAX: usize = 300;
/// Bytes of a provider's id; what is longer is none.
const ID_BYTES_MAX: usize = 256;

/// What the answer means.
pub(crate) fn read(app: &App, response: &Response<'_>) -> Outcome {
    let json = response.json();
    let field = |setting: &str| found(json.as_ref(), app.settings.text(setting));
    let code = field("code_field").and_then(text);
    let wait = response.retry_after.or_else(|| field("retry_after_field").and_then(seconds));
    let (verdict, meaning) = judge(app, response.status, code.as_deref(), wait);
    let provider_id = field("id_field").and_then(text).filter(|id| id.len() <= ID_BYTES_MAX && !secret::shows(app, id));
    verdict.outcome(wait, provider_id, detail(app, response, code.as_deref(), field("detail_field"), meaning))
}

/// The verdict, and what to add to the provider's own words.
fn judge(app: &App, status: u16, code: Option<&str>, wait: Option<Duration>) -> (Verdict, &'static str) {
    let succeeded = (200..300).contains(&status);
    let listed = code.and_then(|code| of_code(app, code));
    match listed {
        // A code says "taken" only where the status agrees.
        Some(Verdict { word: Word::Accepted, .. }) if !succeeded => {}
        Some(verdict) => return (verdict, ""),
        None => {}
    }
    if let Some(verdict) = of_status(app, status) {
        return (verdict, "");
    }
    if !succeeded {
        let (word, meaning) = by_status(status, address::names(app.settings.text("url"), RECIPIENT), wait.is_some());
        return (word.into(), meaning);
    }
    if !expects_code(app) {
        return (Word::Accepted.into(), "");
    }
    match code {
        Some(_) => (Word::Rejected.into(), ""),
        None => (Word::Unknown.into(), "the answer has no code, so nobody can say whether it was taken"),
    }
}

/// What `codes` of the app says.
fn of_code(app: &App, code: &str) -> Option<Verdict> {
    let (_, text) = app.settings.table("codes").find(|(row, _)| *row == code)?;
    Verdict::parse(text).ok()
}

/// Whether the provider says "taken" with a code: then a status alone proves nothing.
fn expects_code(app: &App) -> bool {
    let accepted = |text| Verdict::parse(text).is_ok_and(|verdict| verdict.word == Word::Accepted);
    app.settings.table("codes").any(|(_, text)| accepted(text))
}

/// What a status that is no success means where config does not say.
fn by_status(status: u16, recipient_in_url: bool, told_to_wait: bool) -> (Word, &'static str) {
    match status {
        429 => (Word::Throttled, ""),
        503 if told_to_wait => (Word::Throttled, ""),
        401 | 403 => (Word::Halt, "the provider refuses the app; check `secret`, then resume it"),
        404 | 410 if recipient_in_url => (Word::RecipientGone, ""),
        404 | 410 => (Word::Halt, "the address is gone; check `url` and `secret` of the app, then resume it"),
        405 | 415 => {
            (Word::Halt, "the provider wants another request; check `method` and the body, then resume the app")
        }
        301 | 307 | 308 => (Word::Halt, "the provider has moved; correct `url` of the app, then resume it"),
        // The request was not complete, or not looked at (RFC 9110 §15.5.9, RFC 8470 §5.2).
        408 | 425 => (Word::Retry, ""),
        400..=499 => (Word::Rejected, ""),
        _ => (Word::Unknown, ""),
    }
}

/// `HTTP 200, code 93000: invalid webhook url; …`, without the app's secret.
fn detail(app: &App, response: &Response<'_>, code: Option<&str>, told: Option<&Value>, meaning: &str) -> String {
    let told = told.and_then(text).unwrap_or_else(|| String::from_utf8_lossy(response.body).into_owned());
    // A provider without numbers is told apart by its sentences: one of them is enough.
    let code = code.filter(|code| *code != told).map_or_else(String::new, |code| format!(", code {}", said(app, code)));
    let told = said(app, &told);
    let said: Vec<&str> = [told.as_str(), meaning].into_iter().filter(|part| !part.is_empty()).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    format!("HTTP {}{code}{colon}{}", response.status, said.join("; "))
}

/// The provider's words, on one line, without the secret, and not too many. Hidden before it is cut: half a secret is
/// none that could be found.
fn said(app: &App, text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let hidden = secret::hidden(app, &words.join(" "));
    hidden[..hidden.floor_char_boundary(SAID_BYTES_MAX)].to_owned()
}

/// What stands at a path: `result.message_id`, `errors.0.code`, or a JSON pointer for keys that have dots.
fn found<'v>(json: Option<&'v Value>, path: &str) -> Option<&'v Value> {
    let pointer = match path {
        "" => return None,
        pointer if pointer.starts_with('/') => pointer.to_owned(),
        path => format!("/{}", path.replace('~', "~0").replace('/', "~1").replace('.', "/")),
    };
    json?.pointer(&pointer)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Seconds, maybe with a fraction, maybe as text.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| *wait <= WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CANARY, app};
    use serde_json::json;

    fn answered(settings: Value, status: u16, body: &str) -> Outcome {
        read(&app(settings), &Response::new(status, body.as_bytes()))
    }

    #[track_caller]
    fn check(settings: Value, status: u16, body: &str, expected: &str) {
        let outcome = answered(settings, status, body);
        assert_eq!(outcome.name(), expected, "HTTP {status} {body}: {outcome:?}");
    }

    fn robot() -> Value {
        json!({
            "code_field": "errcode", "detail_field": "errmsg",
            "codes": {"0": "accepted", "-1": "retry", "45009": "throttled 1m", "93000": "halt"},
        })
    }

    #[test]
    fn every_status_has_a_meaning_without_config() {
        let named = |status: u16| match status {
            200..=299 => "accepted",
            301 | 307 | 308 | 401 | 403 | 404 | 405 | 410 | 415 => "halt",
            408 | 425 => "retry",
            429 => "throttled",
            400..=499 => "rejected",
            _ => "unknown",
        };
        for status in 100..600 {
            check(json!({}), status, "", named(status));
        }
    }

    #[test]
    fn not_found_is_the_recipients_where_the_address_names_the_recipient() {
        for status in [404, 410] {
            check(json!({"url": "https://a.example/t/{recipient}"}), status, "", "recipient_gone");
            check(json!({"url": "https://a.example/t/{secret}"}), status, "", "halt");
        }
    }

    #[test]
    fn who_is_told_to_wait_waits() {
        let wait = Some(Duration::from_secs(7));
        for status in [429, 503] {
            let response = Response { status, retry_after: wait, body: b"slow down" };
            let expected = Outcome::Throttled { retry_after: wait, detail: format!("HTTP {status}: slow down") };
            assert_eq!(read(&app(json!({})), &response), expected);
        }
        check(json!({}), 503, "", "unknown");
        let response = Response { status: 500, retry_after: wait, body: b"" };
        assert_eq!(read(&app(json!({})), &response).name(), "unknown");
    }

    #[test]
    fn a_field_may_say_how_long_to_wait() {
        let settings = json!({"retry_after_field": "parameters.retry_after"});
        for (body, wait) in [
            (r#"{"parameters": {"retry_after": 14}}"#, Some(Duration::from_secs(14))),
            (r#"{"parameters": {"retry_after": 0.25}}"#, Some(Duration::from_millis(250))),
            (r#"{"parameters": {"retry_after": "3"}}"#, Some(Duration::from_secs(3))),
            (r#"{"parameters": {"retry_after": -1}}"#, None),
            (r#"{"parameters": {"retry_after": 1e300}}"#, None),
            (r#"{"parameters": {"retry_after": 86401}}"#, None),
            (r#"{"parameters": {"retry_after": "soon"}}"#, None),
            (r#"{"parameters": 7}"#, None),
            ("soon", None),
        ] {
            let Outcome::Throttled { retry_after, .. } = answered(settings.clone(), 429, body) else {
                panic!("{body}")
            };
            assert_eq!(retry_after, wait, "{body}");
        }
    }

    #[test]
    fn a_code_decides_where_the_provider_says_taken_with_one() {
        check(robot(), 200, r#"{"errcode": 0, "errmsg": "ok"}"#, "accepted");
        check(robot(), 200, r#"{"errcode": "0"}"#, "accepted");
        check(robot(), 200, r#"{"errcode": 93000}"#, "halt");
        check(robot(), 200, r#"{"errcode": -1}"#, "retry");
        check(robot(), 400, r#"{"errcode": 93000}"#, "halt");
        check(robot(), 500, r#"{"errcode": -1}"#, "retry");
        check(robot(), 200, r#"{"errcode": 40058}"#, "rejected");
        let wait = Some(Duration::from_secs(60));
        let detail = "HTTP 200, code 45009: too fast".to_owned();
        let outcome = answered(robot(), 200, r#"{"errcode": 45009, "errmsg": "too fast"}"#);
        assert_eq!(outcome, Outcome::Throttled { retry_after: wait, detail });
    }

    #[test]
    fn a_success_that_cannot_be_read_may_have_been_one() {
        for body in
            ["", "<html>ok</html>", "{}", r#"{"errcode": null}"#, r#"{"errcode": [0]}"#, "0", r#"{"errcode": 0"#]
        {
            check(robot(), 200, body, "unknown");
        }
        let detail = answered(robot(), 200, "<html>").detail().to_owned();
        assert_eq!(detail, "HTTP 200: <html>; the answer has no code, so nobody can say whether it was taken");
    }

    #[test]
    fn a_code_of_success_does_not_outvote_a_status_of_failure() {
        check(robot(), 502, r#"{"errcode": 0}"#, "unknown");
        check(robot(), 400, r#"{"errcode": 0}"#, "rejected");
        check(robot(), 500, r#"{"errcode": 40058}"#, "unknown");
    }

    #[test]
    fn codes_without_a_success_only_add_to_the_statuses() {
        let settings = json!({"code_field": "description", "codes": {"Bad Request: chat not found": "recipient_gone"}});
        check(settings.clone(), 200, r#"{"ok": true}"#, "accepted");
        check(settings.clone(), 400, r#"{"description": "Bad Request: chat not found"}"#, "recipient_gone");
        check(settings.clone(), 400, r#"{"description": "Bad Request: message text is empty"}"#, "rejected");
        let mut settings = settings;
        settings["detail_field"] = "description".into();
        let outcome = answered(settings, 400, r#"{"description": "Bad Request: chat not found"}"#);
        assert_eq!(outcome.detail(), "HTTP 400: Bad Request: chat not found");
    }

    #[test]
    fn config_says_what_a_status_means() {
        check(json!({"statuses": {"5xx": "retry"}}), 502, "", "retry");
        check(json!({"statuses": {"403": "recipient_gone"}}), 403, "", "recipient_gone");
        check(json!({"statuses": {"409": "duplicate"}}), 409, "", "duplicate");
        check(json!({"statuses": {"200": "rejected"}}), 200, "", "rejected");
        let mut settings = robot();
        settings["statuses"] = json!({"5xx": "retry"});
        check(settings.clone(), 500, r#"{"errcode": 93000}"#, "halt");
        check(settings, 500, r#"{"errcode": 0}"#, "retry");
    }

    #[test]
    fn the_id_of_the_message_is_found() {
        for (field, body, id) in [
            ("id", r#"{"id": "m-1"}"#, Some("m-1")),
            ("result.message_id", r#"{"result": {"message_id": 365}}"#, Some("365")),
            ("messages.0.id", r#"{"messages": [{"id": "a"}]}"#, Some("a")),
            ("/a.b/c~1d", r#"{"a.b": {"c/d": "e"}}"#, Some("e")),
            ("a/b.c~d", r#"{"a/b": {"c~d": "e"}}"#, Some("e")),
            ("id", r#"{"id": {"a": 1}}"#, None),
            ("id", "{}", None),
            ("id", "", None),
            ("", r#"{"": "x"}"#, None),
        ] {
            let accepted = Outcome::Accepted { provider_id: id.map(str::to_owned) };
            assert_eq!(answered(json!({"id_field": field}), 200, body), accepted, "{field} in {body}");
        }
        let long = format!(r#"{{"id": "{}"}}"#, "x".repeat(ID_BYTES_MAX + 1));
        assert_eq!(answered(json!({"id_field": "id"}), 200, &long), Outcome::Accepted { provider_id: None });
    }

    #[test]
    fn the_providers_words_are_cut_and_stand_on_one_line() {
        let outcome = answered(json!({}), 400, &format!("no\r\n\tgo\u{0} {}", "ü".repeat(1000)));
        assert!(outcome.detail().starts_with("HTTP 400: no go ü"), "{}", outcome.detail());
        assert!(outcome.detail().len() <= SAID_BYTES_MAX + 20);
        assert_eq!(read(&app(json!({})), &Response::new(400, b"\xff\xfe")).detail(), "HTTP 400: \u{fffd}\u{fffd}");
        assert_eq!(
            answered(json!({"detail_field": "error.text"}), 400, r#"{"error": {"text": "no"}}"#).detail(),
            "HTTP 400: no"
        );
        assert_eq!(answered(json!({"detail_field": "x"}), 400, r#"{"a":1}"#).detail(), r#"HTTP 400: {"a":1}"#);
    }

    #[test]
    fn what_stops_an_app_says_what_to_do() {
        assert_eq!(
            answered(json!({}), 403, "invalid_token").detail(),
            "HTTP 403: invalid_token; the provider refuses the app; check `secret`, then resume it"
        );
        assert!(answered(json!({}), 404, "").detail().contains("check `url`"));
    }

    #[test]
    fn an_answer_that_echoes_the_secret_is_kept_without_it() {
        let settings = json!({"id_field": "id", "code_field": "code", "detail_field": "said"});
        for status in [200, 400, 401, 429, 500] {
            let body = json!({"id": CANARY, "code": CANARY, "said": format!("no hook {CANARY}")}).to_string();
            let outcome = answered(settings.clone(), status, &body);
            assert!(!format!("{outcome:?}").contains("CANARY"), "{outcome:?}");
            let outcome = answered(json!({}), status, &body);
            assert!(!format!("{outcome:?}").contains("CANARY"), "{outcome:?}");
        }
        let edge = format!("{}{CANARY}", "x".repeat(SAID_BYTES_MAX - 15));
        assert!(!answered(json!({}), 400, &edge).detail().contains("CANARY"));
    }
}
