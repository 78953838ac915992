//! The address of a request: `url` of the app, filled in.
//!
//! Who may say what is decided by where it stands. The host is config's alone: whoever may send a message must not
//! choose where the engine connects to. In the path a value is one segment, or part of one: its slashes are encoded,
//! and it cannot climb with `..`. The secret is the operator's own, and several providers hand out a piece of a path
//! (`T000/B000/XXX`), so in the path its slashes stay.

use tidings_sdk::percent_encode;

use crate::placeholder::{Fillings, Pattern, SECRET, check_braces};

/// Bytes an address may have: what servers commonly take.
pub(crate) const URL_BYTES_MAX: usize = 8 * 1024;

/// Beside the unreserved, what a segment of a path may have as it stands (RFC 3986 §3.3), and the slash.
const PATH_BYTES: &[u8] = b"!$&'()*+,;=:@/";

/// What is wrong with a `url`, whatever is filled in.
pub(crate) fn check(url: &str) -> Result<(), String> {
    check_braces(url)?;
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if Pattern::of(authority).names().next().is_some() {
        return Err("has a placeholder in its host; the host is config's alone, or whoever sends a message could \
                    choose where it goes"
            .to_owned());
    }
    if authority.contains('@') {
        return Err("has a user or a password in it; write `username` and `secret`".to_owned());
    }
    if url.contains('#') {
        return Err("has a `#`; what follows it is never sent".to_owned());
    }
    Ok(())
}

/// Whether the path says who is told: then "not found" is about the recipient.
pub(crate) fn names(url: &str, name: &str) -> bool {
    Pattern::of(url).names().any(|found| found == name)
}

/// The address.
pub(crate) fn fill(url: &str, fillings: &Fillings<'_>) -> Result<String, String> {
    check(url)?;
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut address = Pattern::of(path).fill(fillings, |name, value| match value {
        // `/topics//messages` is another resource than the one that was meant.
        "" => Err(format!("has `{{{name}}}` in its path, which is empty")),
        value if name == SECRET => Ok(encode_path(value)),
        value => Ok(percent_encode(value)),
    })?;
    let segments = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    if segments.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("has a segment `.` or `..`, which would lead to another path".to_owned());
    }
    if !query.is_empty() {
        address.push('?');
        address.push_str(&Pattern::of(query).fill(fillings, |_, value| Ok(percent_encode(value)))?);
    }
    if address.len() > URL_BYTES_MAX {
        return Err(format!("is {} bytes when filled in; at most {URL_BYTES_MAX} are sent", address.len()));
    }
    Ok(address)
}

fn encode_path(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        let stays = u8::try_from(c).is_ok_and(|byte| PATH_BYTES.contains(&byte));
        let mut buffer = [0; 4];
        let c = c.encode_utf8(&mut buffer);
        encoded.push_str(&if stays { c.to_owned() } else { percent_encode(c) });
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, object};
    use serde_json::{Value, json};

    fn filled(url: &str, secret: &str, recipient: &str, values: Value) -> Result<String, String> {
        let (app, content) = (app(json!({"secret": secret})), object(json!({"values": values})));
        fill(url, &Fillings::new(&app, recipient, "tidings-1-7", &content))
    }

    #[track_caller]
    fn sent(url: &str, secret: &str, recipient: &str, expected: &str) {
        assert_eq!(filled(url, secret, recipient, json!({"q": "a b&c=d"})), Ok(expected.to_owned()));
    }

    #[track_caller]
    fn refused(url: &str, secret: &str, recipient: &str, part: &str) {
        let problem = filled(url, secret, recipient, json!({"q": ""})).unwrap_err();
        assert!(problem.contains(part), "{problem}");
    }

    #[test]
    fn a_recipient_is_one_segment_of_the_path() {
        sent("https://a.example/t/{recipient}/m", "s", "ann", "https://a.example/t/ann/m");
        sent("https://a.example/t/{recipient}", "s", "a/b?c#d e", "https://a.example/t/a%2Fb%3Fc%23d%20e");
        sent("https://a.example/t/{recipient}", "s", "安@x:1", "https://a.example/t/%E5%AE%89%40x%3A1");
        sent("https://a.example/t/@{recipient}", "s", "..", "https://a.example/t/@..");
    }

    #[test]
    fn a_value_of_the_query_cannot_add_a_second_one() {
        sent(
            "https://a.example/?q={q}&to={recipient}",
            "s",
            "x&y=z+%",
            "https://a.example/?q=a%20b%26c%3Dd&to=x%26y%3Dz%2B%25",
        );
        sent("https://a.example?k={secret}", "a/b+c=", "x", "https://a.example?k=a%2Fb%2Bc%3D");
    }

    #[test]
    fn a_secret_may_be_a_piece_of_a_path() {
        sent("https://a.example/s/{secret}", "T0/B0/x", "x", "https://a.example/s/T0/B0/x");
        sent("https://a.example/bot{secret}/send", "12:A-b_C", "x", "https://a.example/bot12:A-b_C/send");
        sent("https://a.example/{secret}", "a b?c#d%ü", "x", "https://a.example/a%20b%3Fc%23d%25%C3%BC");
    }

    #[test]
    fn nothing_climbs_out_of_its_path() {
        for recipient in ["..", "."] {
            refused("https://a.example/t/{recipient}/m", "s", recipient, "segment `.` or `..`");
        }
        refused("https://a.example/t/.{recipient}", "s", ".", "segment `.` or `..`");
        refused("https://a.example/t/{secret}", "../admin", "x", "segment `.` or `..`");
        sent("https://a.example/t/{recipient}", "s", "%2e%2e", "https://a.example/t/%252e%252e");
        sent("https://a.example/?p={recipient}", "s", "..", "https://a.example/?p=..");
    }

    #[test]
    fn nothing_empty_stands_in_a_path() {
        refused("https://a.example/t/{recipient}/m", "s", "", "`{recipient}` in its path, which is empty");
        assert_eq!(filled("https://a.example/?q={q}", "s", "x", json!({"q": ""})), Ok("https://a.example/?q=".into()));
    }

    #[test]
    fn the_host_is_configs_alone() {
        refused("https://{recipient}", "s", "evil.example", "in its host");
        refused("https://{recipient}.a.example/x", "s", "x", "in its host");
        refused("https://a.example{recipient}/x", "s", ".evil.example", "in its host");
        refused("https://a.example:{recipient}?x", "s", "81", "in its host");
        refused("https://u:p@a.example/", "s", "x", "`username`");
        refused("https://a.example/#x", "s", "x", "`#`");
        refused("https://a.example/{{ recipient }}", "s", "x", "`values`");
    }

    #[test]
    fn a_name_that_nothing_stands_in_for_is_told_without_any_value() {
        refused("https://a.example/{title}?k={secret}", "CANARY", "x", "`{title}`");
        refused("https://a.example/{recipient:number}", "s", "x", "outside of JSON");
        refused("https://a.example/{secret}", "", "x", "no `secret`");
    }

    #[test]
    fn an_address_has_a_bound() {
        let problem = filled("https://a.example/{recipient}", "s", &"x".repeat(URL_BYTES_MAX), json!({})).unwrap_err();
        assert!(problem.contains("at most 8192"), "{problem}");
    }
}
