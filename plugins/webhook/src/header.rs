//! Headers of a request: `headers` of the app, filled in, and what goes without saying.

use std::borrow::Cow;

use tidings_sdk::{App, Header, Violation};

use crate::placeholder::{Fillings, Pattern, SECRET, check_braces};

/// Bytes a header's value may have: what servers commonly take.
pub(crate) const HEADER_BYTES_MAX: usize = 8 * 1024;

/// What the engine sets, or what belongs to the connection and not to the message.
const ENGINES: [&str; 6] = ["host", "content-length", "user-agent", "connection", "transfer-encoding", "upgrade"];

pub(crate) const AUTHORIZATION: &str = "authorization";
const CONTENT_TYPE: &str = "content-type";

/// What is wrong with a header, whatever is filled in.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err("is no name of a header".to_owned());
    }
    if ENGINES.iter().any(|engines| name.eq_ignore_ascii_case(engines)) {
        return Err("is set by the engine".to_owned());
    }
    if value.chars().any(|c| c.is_control()) {
        return Err("has a line end or another control character".to_owned());
    }
    check_braces(value)
}

/// Whether the app has a header of that name, however it is written.
pub(crate) fn has(app: &App, name: &str) -> bool {
    app.settings.table("headers").any(|(other, _)| other.eq_ignore_ascii_case(name))
}

/// The headers.
pub(crate) fn fill(app: &App, content_type: &'static str, fillings: &Fillings<'_>) -> Result<Vec<Header>, Violation> {
    let mut headers = Vec::new();
    if !content_type.is_empty() && !has(app, CONTENT_TYPE) {
        headers.push((Cow::Borrowed(CONTENT_TYPE), Cow::Borrowed(content_type)));
    }
    let username = app.settings.text("username");
    if !username.is_empty() {
        headers.push((Cow::Borrowed(AUTHORIZATION), basic(username, app.settings.text(SECRET)).into()));
    }
    for (name, value) in app.settings.table("headers") {
        let filled = check(name, value).and_then(|()| Pattern::of(value).fill(fillings, line));
        let violation = |problem: String| Violation::new(format!("headers.{name}"), problem);
        let filled = filled.map_err(violation)?;
        if filled.len() > HEADER_BYTES_MAX {
            let problem = format!("is {} bytes when filled in; at most {HEADER_BYTES_MAX} are sent", filled.len());
            return Err(violation(problem));
        }
        headers.push((Cow::Owned(name.to_owned()), filled.into()));
    }
    Ok(headers)
}

/// A value that ends a line would begin a header of its own.
fn line(name: &str, value: &str) -> Result<String, String> {
    if value.chars().any(|c| c.is_control()) {
        return Err(format!(
            "has `{{{name}}}`, in which is a line end or another control character, and no header can carry it"
        ));
    }
    Ok(value.to_owned())
}

/// A user and a password (RFC 7617).
pub(crate) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{username}:{password}").as_bytes()))
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_usize, |group, at| group << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = char::from(ALPHABET[group >> (18 - 6 * at) & 63]);
            encoded.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, object};
    use serde_json::{Value, json};

    fn filled(settings: Value, values: Value) -> Result<Vec<(String, String)>, Violation> {
        let (app, content) = (app(settings), object(json!({"values": values})));
        let headers = fill(&app, "application/json", &Fillings::new(&app, "ann", "tidings-1-7", &content))?;
        Ok(headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    #[track_caller]
    fn refused(headers: Value, values: Value, part: &str) {
        let Violation { problem, .. } = filled(json!({"headers": headers}), values).unwrap_err();
        assert!(problem.contains(part), "{problem}");
        assert!(!problem.contains("CANARY"), "{problem}");
    }

    #[test]
    fn headers_are_filled_in() {
        let headers =
            json!({"Authorization": "Bearer {secret}", "Idempotency-Key": "{dedupe_id}", "X-To": "{recipient}"});
        let headers = filled(json!({"secret": "key", "headers": headers}), json!({})).unwrap();
        let expected = [
            ("content-type", "application/json"),
            ("Authorization", "Bearer key"),
            ("Idempotency-Key", "tidings-1-7"),
            ("X-To", "ann"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_content_type_of_the_config_stands() {
        let headers = filled(json!({"headers": {"Content-Type": "application/cloudevents+json"}}), json!({})).unwrap();
        assert_eq!(headers, [("Content-Type".to_owned(), "application/cloudevents+json".to_owned())]);
    }

    #[test]
    fn a_username_makes_the_secret_a_password() {
        let headers = filled(json!({"username": "Aladdin", "secret": "open sesame"}), json!({})).unwrap();
        assert!(headers.contains(&("authorization".into(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".into())));
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (text, expected) in vectors {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn no_value_begins_a_header_of_its_own() {
        refused(
            json!({"X-Title": "{title}"}),
            json!({"title": "CANARY\r\nX-Admin: 1"}),
            "has `{title}`, in which is a line end",
        );
        refused(json!({"X-Title": "{title}"}), json!({"title": "CANARY\u{7f}"}), "control character");
        refused(json!({"X-Title": "a\nb"}), json!({}), "control character");
    }

    #[test]
    fn what_the_engine_sets_and_what_is_no_name_is_refused() {
        refused(json!({"HOST": "x"}), json!({}), "set by the engine");
        refused(json!({"Content-Length": "1"}), json!({}), "set by the engine");
        refused(json!({"X Title": "x"}), json!({}), "no name of a header");
        refused(json!({"": "x"}), json!({}), "no name of a header");
        refused(json!({"X-Title": "{{ title }}"}), json!({"title": "x"}), "`values`");
        refused(json!({"X-Title": "{titel}"}), json!({"title": "CANARY"}), "did you mean `{title}`?");
    }

    #[test]
    fn a_header_has_a_bound() {
        refused(json!({"X-Title": "{t}"}), json!({"t": "x".repeat(HEADER_BYTES_MAX + 1)}), "at most 8192");
    }
}
