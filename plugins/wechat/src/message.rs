//! What the sends share: where they go, how content becomes the wire's JSON, and how an answer is read (§0).

use serde_json::{Map, Value, json};
use tidings_sdk::{App, Delivery, Outcome, Request, Response, percent_encode};

use crate::codes::{self, Call};

/// The nearest of WeChat's hosts (§0).
pub(crate) const BASE_URL: &str = "https://api.weixin.qq.com";

/// The app's base URL without a slash at its end.
pub(crate) fn base_url(app: &App) -> &str {
    match app.settings.text("base_url").trim_end_matches('/') {
        "" => BASE_URL,
        url => url,
    }
}

/// A text of the content; empty if it was not given.
pub(crate) fn text<'a>(content: &'a Map<String, Value>, key: &str) -> &'a str {
    content.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The table `data` of the content; nothing if it was not given.
pub(crate) fn data(content: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    let table = content.get("data").and_then(Value::as_object);
    table.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

/// `{key: {"value": text}}`: bare values and data encoded as one string are refused (§3).
pub(crate) fn wire_data(content: &Map<String, Value>) -> Value {
    data(content).map(|(key, value)| (key.to_owned(), json!({"value": value}))).collect::<Map<_, _>>().into()
}

/// Puts a text under `key` unless it is empty.
pub(crate) fn put(body: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        body.insert(key.to_owned(), text.into());
    }
}

/// The request for one send call, or why there can be none.
pub(crate) fn post(delivery: &Delivery<'_>, path: &str, body: Map<String, Value>) -> Result<Request, String> {
    if delivery.token.is_empty() {
        return Err("WeChat wants an access_token; give the channel the token stage `wechat.access_token`".into());
    }
    let body = Value::Object(body);
    if !is_sendable(&body) {
        return Err("a value has a control character; JSON can only escape it, and WeChat refuses `\\uXXXX`".into());
    }
    let (base, token) = (base_url(delivery.app), percent_encode(delivery.token));
    Ok(Request::post_json(format!("{base}{path}?access_token={token}"), &body))
}

/// Whether the JSON of this character is something WeChat reads: `\uXXXX` is answered with 40033 or 47002 (§0).
pub(crate) fn is_sendable_char(c: char) -> bool {
    c >= ' ' || matches!(c, '\n' | '\r' | '\t')
}

fn is_sendable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().all(is_sendable_char),
        Value::Array(items) => items.iter().all(is_sendable),
        Value::Object(members) => {
            members.iter().all(|(key, value)| key.chars().all(is_sendable_char) && is_sendable(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// An answer in WeChat's form: a JSON object.
pub(crate) struct Answer {
    /// `errcode`.
    pub(crate) errcode: Errcode,
    /// `errmsg` as it came; empty if there is none.
    pub(crate) errmsg: String,
    /// The whole object.
    pub(crate) body: Value,
}

/// `errcode`, which some answers leave out and others write as text (§0).
pub(crate) enum Errcode {
    /// There is none.
    Absent,
    /// The number.
    Is(i64),
    /// There is one, and it is no number.
    Unreadable,
}

impl Answer {
    /// Reads the body, whatever the content type says. `None` if it is no JSON object.
    pub(crate) fn of(response: &Response<'_>) -> Option<Answer> {
        let body = response.json().filter(Value::is_object)?;
        let number = match body.get("errcode") {
            None => return Some(Answer { errcode: Errcode::Absent, errmsg: errmsg(&body), body }),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(other) => other.as_i64(),
        };
        Some(Answer { errcode: number.map_or(Errcode::Unreadable, Errcode::Is), errmsg: errmsg(&body), body })
    }

    /// `msgid`: a 64-bit number above what a float can hold, or a text (§0, §3).
    fn provider_id(&self) -> Option<String> {
        match self.body.get("msgid")? {
            Value::String(text) if !text.is_empty() => Some(codes::clean(text)),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            _ => None,
        }
    }
}

fn errmsg(body: &Value) -> String {
    body.get("errmsg").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Whether HTTP itself went well.
pub(crate) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Reads the answer to a send. An answer that is not WeChat's own says nothing about the message: it may have arrived.
pub(crate) fn read(call: Call, response: &Response<'_>) -> Outcome {
    let status = response.status;
    let answer = Answer::of(response);
    if status == 429 {
        let errmsg = answer.map(|answer| codes::clean(&answer.errmsg)).unwrap_or_default();
        return Outcome::Throttled {
            retry_after: response.retry_after,
            detail: format!("HTTP 429 {errmsg}").trim_end().to_owned(),
        };
    }
    let Some(answer) = answer else {
        return Outcome::Unknown { detail: format!("HTTP {status} without a readable answer") };
    };
    match answer.errcode {
        Errcode::Is(code) if code != 0 => codes::classify(call, code, &answer.errmsg),
        Errcode::Is(_) if is_success(status) => Outcome::Accepted { provider_id: answer.provider_id() },
        // Some proxy's `{"status":"ok"}` is no acceptance; WeChat's own, without an errcode, has a msgid.
        Errcode::Absent if is_success(status) && answer.provider_id().is_some() => {
            Outcome::Accepted { provider_id: answer.provider_id() }
        }
        Errcode::Is(_) => Outcome::Unknown { detail: format!("HTTP {status} with errcode 0") },
        Errcode::Absent => Outcome::Unknown { detail: format!("HTTP {status} without an errcode") },
        Errcode::Unreadable => Outcome::Unknown { detail: format!("HTTP {status} with an unreadable errcode") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TOKEN, app, delivery, object};
    use std::time::Duration;

    fn read_body(status: u16, body: &str) -> Outcome {
        read(Call::Subscribe, &Response::new(status, body.as_bytes()))
    }

    fn accepted(provider_id: Option<&str>) -> Outcome {
        Outcome::Accepted { provider_id: provider_id.map(str::to_owned) }
    }

    #[test]
    fn an_answer_with_code_zero_or_with_a_message_id_is_accepted() {
        for body in [r#"{"errcode":0,"errmsg":"ok"}"#, r#"{"errcode":"0"}"#] {
            assert_eq!(read_body(200, body), accepted(None), "{body}");
        }
        assert_eq!(read_body(200, r#"{"msgid":7}"#), accepted(Some("7")));
    }

    #[test]
    fn an_object_with_neither_is_no_acceptance() {
        for body in ["{}", r#"{"errmsg":"ok"}"#, r#"{"status":"ok"}"#] {
            assert!(matches!(read_body(200, body), Outcome::Unknown { .. }), "{body}");
        }
    }

    #[test]
    fn a_message_id_above_what_a_float_holds_is_kept_whole() {
        let id = "3557254367693750277";
        assert_eq!(read_body(200, &format!(r#"{{"errcode":0,"msgid":{id}}}"#)), accepted(Some(id)));
        assert_eq!(read_body(200, &format!(r#"{{"errcode":0,"msgid":"{id}"}}"#)), accepted(Some(id)));
        let largest = u64::MAX.to_string();
        assert_eq!(read_body(200, &format!(r#"{{"errcode":0,"msgid":{largest}}}"#)), accepted(Some(&largest)));
    }

    #[test]
    fn a_message_id_of_another_shape_is_left_out() {
        for id in ["null", "\"\"", "1.5", "[1]"] {
            assert_eq!(read_body(200, &format!(r#"{{"errcode":0,"msgid":{id}}}"#)), accepted(None), "{id}");
        }
    }

    #[test]
    fn a_code_written_as_text_is_a_code() {
        assert_eq!(read_body(200, r#"{"errcode":"40003","errmsg":"invalid openid"}"#).name(), "recipient_gone");
    }

    #[test]
    fn a_message_with_raw_control_characters_is_read() {
        let outcome = read_body(200, "{\"errcode\":47003,\"errmsg\":\"bad\u{1}\nvalue\"}");
        assert_eq!(outcome.name(), "rejected");
        assert!(outcome.detail().contains("bad value"), "{}", outcome.detail());
    }

    #[test]
    fn an_answer_that_is_not_wechats_leaves_the_message_unknown() {
        let cases = [
            (200, "<html>"),
            (200, ""),
            (200, "[]"),
            (200, "\"ok\""),
            (200, r#"{"errcode":null}"#),
            (200, r#"{"errcode":"x"}"#),
            (200, r#"{"errcode":1.5}"#),
            (302, ""),
            (412, ""),
            (413, "too large"),
            (404, "<html>"),
            (500, r#"{"message":"no"}"#),
            (502, r#"{"errcode":0}"#),
        ];
        for (status, body) in cases {
            let outcome = read_body(status, body);
            assert_eq!(outcome.name(), "unknown", "{status} {body}");
            assert!(outcome.detail().contains(&status.to_string()), "{}", outcome.detail());
        }
    }

    #[test]
    fn a_failed_status_with_a_code_goes_by_the_code() {
        assert_eq!(read_body(500, r#"{"errcode":-1,"errmsg":"system error"}"#).name(), "retry");
        assert_eq!(read_body(400, r#"{"errcode":40037,"errmsg":"invalid template_id"}"#).name(), "template_broken");
    }

    #[test]
    fn too_many_requests_throttle_for_as_long_as_the_header_says() {
        let response =
            Response { status: 429, retry_after: Some(std::time::Duration::from_secs(7)), body: b"slow down" };
        let throttled = |retry_after, detail: &str| Outcome::Throttled { retry_after, detail: detail.into() };
        assert_eq!(read(Call::Template, &response), throttled(Some(Duration::from_secs(7)), "HTTP 429"));
        assert_eq!(read_body(429, r#"{"errmsg":"slow"}"#), throttled(None, "HTTP 429 slow"));
    }

    #[test]
    fn the_token_is_encoded_into_the_address() {
        let (app, content) = (app(json!({"base_url": "https://hk.api.weixin.qq.com//"})), Map::new());
        let delivery = Delivery { token: "a+b/c", ..delivery(&app, &content, None) };
        let request = post(&delivery, "/cgi-bin/x", Map::new()).unwrap();
        assert_eq!(request.url, "https://hk.api.weixin.qq.com/cgi-bin/x?access_token=a%2Bb%2Fc");
    }

    #[test]
    fn a_channel_without_a_token_is_told_which_stage_it_lacks() {
        let (app, content) = (app(json!({})), Map::new());
        let delivery = Delivery { token: "", ..delivery(&app, &content, None) };
        let refusal = post(&delivery, "/cgi-bin/x", Map::new()).unwrap_err();
        assert!(refusal.contains("wechat.access_token"), "{refusal}");
    }

    #[test]
    fn what_json_would_escape_as_a_number_is_not_sent() {
        let (app, content) = (app(json!({})), Map::new());
        let delivery = delivery(&app, &content, None);
        let refusal = post(&delivery, "/x", object(json!({"data": {"thing1": {"value": "a\u{1}b"}}}))).unwrap_err();
        assert!(refusal.contains("control character"), "{refusal}");
        let lines = post(&delivery, "/x", object(json!({"v": "a\n\"b\"\tc\u{7f}"}))).unwrap();
        assert!(!String::from_utf8(lines.body).unwrap().contains("\\u"));
    }

    #[test]
    fn the_wire_wraps_each_value() {
        let content = object(json!({"data": {"amount2": "￥12.50", "thing1": "茶"}}));
        assert_eq!(wire_data(&content), json!({"amount2": {"value": "￥12.50"}, "thing1": {"value": "茶"}}));
        assert_eq!(wire_data(&Map::new()), json!({}));
    }

    #[test]
    fn no_send_shows_its_token() {
        let (app, content) = (app(json!({})), Map::new());
        let delivery = delivery(&app, &content, None);
        let request = post(&delivery, "/cgi-bin/x", Map::new()).unwrap();
        assert!(request.url.contains(TOKEN));
        for shown in [format!("{request:?}"), format!("{delivery:?}")] {
            assert!(!shown.contains("CANARY"), "{shown}");
        }
    }
}
