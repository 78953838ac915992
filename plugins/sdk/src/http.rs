//! Requests and responses as values. The engine sends the one and hands over the other.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// The HTTP methods that providers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// Every one.
    pub const ALL: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    /// The word on the wire (RFC 9110 §9).
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of that word.
    pub fn of(word: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.as_str() == word)
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 §2.3): fit for a segment of a path or a value of a query.
pub fn percent_encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let stays = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| !stays(c)) {
        let (before, other) = rest.split_at(at);
        let after = other.trim_start_matches(|c| !stays(c));
        encoded.push_str(before);
        for byte in other[..other.len() - after.len()].bytes() {
            encoded.extend(['%', char::from(HEX[usize::from(byte >> 4)]), char::from(HEX[usize::from(byte & 15)])]);
        }
        rest = after;
    }
    encoded.push_str(rest);
    encoded
}

/// The content type of [`Request::post_json`].
pub const JSON: &str = "application/json; charset=utf-8";

/// A header's name and value.
pub type Header = (Cow<'static, str>, Cow<'static, str>);

/// A request to a provider. It may carry a token in its URL or a secret in its body, so `Debug` shows the host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Scheme, host, path and query.
    pub url: String,
    /// Headers beside those the engine sets (host, length, user agent).
    pub headers: Vec<Header>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl Request {
    /// A GET without a body.
    pub fn get(url: String) -> Request {
        Request { method: Method::Get, url, headers: Vec::new(), body: Vec::new() }
    }

    /// A POST with a JSON body, in raw UTF-8: some providers refuse `\uXXXX` (wechat.md §0).
    pub fn post_json(url: String, body: &Value) -> Request {
        let headers = vec![(Cow::Borrowed("content-type"), Cow::Borrowed(JSON))];
        let body = serde_json::to_vec(body).expect("a value has no keys but strings and writes into memory");
        Request { method: Method::Post, url, headers, body }
    }

    /// The same, with one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((Cow::Borrowed(name), Cow::Owned(value.into())));
        self
    }

    /// The same, authorised by a bearer token (RFC 6750 §2.1).
    pub fn bearer(self, token: &str) -> Request {
        self.header("authorization", format!("Bearer {token}"))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key may stand in the path, too.
        let host = self.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        write!(f, "{} {host}/… ({} bytes)", self.method.as_str(), self.body.len())
    }
}

/// What came back, whole and within the engine's bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The header `Retry-After`, where it was sent.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// A response without headers of interest.
    pub fn new(status: u16, body: &'a [u8]) -> Response<'a> {
        Response { status, retry_after: None, body }
    }

    /// Reads the body as JSON, whatever the content type says, and forgives what providers are known to send: a byte
    /// order mark, raw control characters inside strings, and bytes that are not UTF-8 (wechat.md §0). `None` if it is
    /// no JSON.
    pub fn json(&self) -> Option<Value> {
        let body = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.body);
        if let Ok(value) = serde_json::from_slice(body) {
            return Some(value);
        }
        let text: String =
            String::from_utf8_lossy(body).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        serde_json::from_str(&text).ok()
    }

    /// The text at a place of a body that is JSON, by its pointer (RFC 6901): `/message/id`. A number is text, too.
    pub fn text_at(&self, pointer: &str) -> Option<String> {
        match self.json()?.pointer(pointer)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unreserved_is_encoded_byte_by_byte() {
        assert_eq!(percent_encode("a-b.c_d~e"), "a-b.c_d~e");
        assert_eq!(percent_encode("a b/é&="), "a%20b%2F%C3%A9%26%3D");
    }

    #[test]
    fn a_request_hides_its_token_and_its_body() {
        let request = Request::post_json("https://a.example/send?access_token=TOKEN".into(), &Value::from("SECRET"));
        let shown = format!("{request:?}");
        assert_eq!(shown, "POST https://a.example/… (8 bytes)");
    }

    #[test]
    fn a_request_is_authorised_by_a_header_that_it_hides() {
        let request = Request::get("https://a.example".into()).bearer("TOKEN").header("x-a", "b");
        let headers: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(headers, ["authorization: Bearer TOKEN", "x-a: b"]);
        assert!(!format!("{request:?}").contains("TOKEN"));
    }

    #[test]
    fn a_text_is_found_by_its_pointer() {
        let response = Response::new(200, br#"{"message": {"id": "m-1", "at": 7, "to": []}}"#);
        let texts = ["/message/id", "/message/at", "/message/to", "/id"].map(|pointer| response.text_at(pointer));
        assert_eq!(texts, [Some("m-1".into()), Some("7".into()), None, None]);
    }

    #[test]
    fn json_with_raw_control_characters_is_read() {
        let response = Response::new(200, b"{\"errcode\":0,\"errmsg\":\"o\x01k\n\xff\"}");
        assert_eq!(response.json().unwrap()["errcode"], 0);
        assert_eq!(Response::new(200, b"\xef\xbb\xbf[1]").json().unwrap()[0], 1);
        assert_eq!(Response::new(200, b"<html>").json(), None);
    }
}
