//! What the sends share: where they go, how content becomes the wire's JSON, and how an answer is read (§0).

use std::borrow::Cow;

use serde_json::{Map, Value};
use tidings_sdk::{App, Delivery, JSON, Method, Outcome, Request, Response, percent_encode};

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

/// Bytes that a body seldom exceeds: it is written into one piece of memory.
const BODY_BYTES_USUAL: usize = 512;

/// The JSON object of a send, written as it goes out, in the order its members are put: it is made for every message, and
/// nobody looks at it again. It has a credential in it, so there is no `Debug`.
pub(crate) struct Body {
    json: Vec<u8>,
}

impl Body {
    pub(crate) fn new() -> Body {
        let mut json = Vec::with_capacity(BODY_BYTES_USUAL);
        json.push(b'{');
        Body { json }
    }

    /// Puts a text under `key` unless it is empty.
    pub(crate) fn put(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.key(key);
            self.text(text);
        }
    }

    /// Puts the table of the content as `data`, `{key: {"value": text}}`: bare values and data encoded as one string are
    /// refused (§3).
    pub(crate) fn put_data(&mut self, content: &Map<String, Value>) {
        self.put_object("data", |table| {
            for (key, value) in data(content) {
                table.put_object(key, |cell| {
                    cell.key("value");
                    cell.text(value);
                });
            }
        });
    }

    /// Puts an object, of what `members` puts.
    pub(crate) fn put_object(&mut self, key: &str, members: impl FnOnce(&mut Body)) {
        self.key(key);
        self.json.push(b'{');
        members(self);
        self.json.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if self.json.last() != Some(&b'{') {
            self.json.push(b',');
        }
        self.text(key);
        self.json.push(b':');
    }

    fn text(&mut self, text: &str) {
        serde_json::to_writer(&mut self.json, text).expect("a text is JSON, and memory takes it");
    }

    fn into_json(mut self) -> Vec<u8> {
        self.json.push(b'}');
        self.json
    }
}

/// The request for one send call, or why there can be none.
pub(crate) fn post(delivery: &Delivery<'_>, path: &str, body: Body) -> Result<Request, String> {
    if delivery.token.is_empty() {
        return Err("WeChat wants an access_token; give the channel the token stage `wechat.access_token`".into());
    }
    let body = body.into_json();
    if !is_sendable(&body) {
        return Err("a value has a control character; JSON can only escape it, and WeChat refuses `\\uXXXX`".into());
    }
    let (base, token) = (base_url(delivery.app), percent_encode(delivery.token));
    let url = [base, path, "?access_token=", &token].concat();
    Ok(Request { method: Method::Post, url, headers: vec![(Cow::Borrowed("content-type"), Cow::Borrowed(JSON))], body })
}

/// Whether the JSON of this character is something WeChat reads: `\uXXXX` is answered with 40033 or 47002 (§0).
pub(crate) fn is_sendable_char(c: char) -> bool {
    c >= ' ' || matches!(c, '\n' | '\r' | '\t')
}

/// Whether no character of this JSON is escaped that [`is_sendable_char`] excludes.
fn is_sendable(json: &[u8]) -> bool {
    let mut bytes = json.iter();
    // What follows a backslash is never looked at as a backslash itself.
    while bytes.any(|byte| *byte == b'\\') {
        if matches!(bytes.next(), Some(b'u' | b'b' | b'f')) {
            return false;
        }
    }
    true
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
    use serde_json::json;
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
        let request = post(&delivery, "/cgi-bin/x", Body::new()).unwrap();
        assert_eq!(request.url, "https://hk.api.weixin.qq.com/cgi-bin/x?access_token=a%2Bb%2Fc");
    }

    #[test]
    fn a_channel_without_a_token_is_told_which_stage_it_lacks() {
        let (app, content) = (app(json!({})), Map::new());
        let delivery = Delivery { token: "", ..delivery(&app, &content, None) };
        let refusal = post(&delivery, "/cgi-bin/x", Body::new()).unwrap_err();
        assert!(refusal.contains("wechat.access_token"), "{refusal}");
    }

    #[test]
    fn what_json_would_escape_as_a_number_is_not_sent() {
        let (app, content) = (app(json!({})), Map::new());
        let delivery = delivery(&app, &content, None);
        let with = |text: &str| {
            let mut body = Body::new();
            body.put("v", text);
            post(&delivery, "/x", body)
        };
        for c in (0..=0x24f_u32).chain([0x2028, 0x1f600]).filter_map(char::from_u32) {
            for text in [format!("{c}"), format!("\\{c}"), format!("a\\\\{c}u"), format!("\"{c}b")] {
                let sent = with(&text);
                assert_eq!(sent.is_ok(), is_sendable_char(c), "{text:?}");
                let Ok(sent) = sent else { continue };
                assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), json!({"v": text}));
            }
        }
        assert!(with("a\u{1}b").unwrap_err().contains("control character"));
        let mut keyed = Body::new();
        keyed.put_data(&object(json!({"data": {"thing\u{1}": "x"}})));
        assert!(post(&delivery, "/x", keyed).is_err(), "a key is looked at, too");
    }

    #[test]
    fn the_wire_wraps_each_value_and_leaves_out_what_is_empty() {
        let (app, content) = (app(json!({})), object(json!({"data": {"amount2": "￥12.50", "thing1": "茶 \"7\""}})));
        let sent = |make: &dyn Fn(&mut Body)| {
            let mut body = Body::new();
            make(&mut body);
            String::from_utf8(post(&delivery(&app, &content, None), "/x", body).unwrap().body).unwrap()
        };
        let data = r#"{"data":{"amount2":{"value":"￥12.50"},"thing1":{"value":"茶 \"7\""}}}"#;
        assert_eq!(sent(&|body| body.put_data(&content)), data);
        assert_eq!(sent(&|body| body.put_data(&Map::new())), r#"{"data":{}}"#);
        let nested = |body: &mut Body| {
            body.put("a", "");
            body.put_object("b", |inner| inner.put("c", "1"));
            body.put("d", "2");
        };
        assert_eq!(sent(&nested), r#"{"b":{"c":"1"},"d":"2"}"#);
        assert_eq!(sent(&|_| ()), "{}");
    }

    #[test]
    fn no_send_shows_its_token() {
        let (app, content) = (app(json!({})), Map::new());
        let delivery = delivery(&app, &content, None);
        let request = post(&delivery, "/cgi-bin/x", Body::new()).unwrap();
        assert!(request.url.contains(TOKEN));
        for shown in [format!("{request:?}"), format!("{delivery:?}")] {
            assert!(!shown.contains("CANARY"), "{shown}");
        }
    }
}
