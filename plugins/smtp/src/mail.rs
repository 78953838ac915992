//! A delivery as the bytes of a mail.
//!
//! Header lines and bodies are ASCII and encoded (RFC 2047, quoted-printable, base64), so every server on the way takes
//! them. The one exception is an address that is not ASCII itself.

use std::time::SystemTime;

use lettre::address::Address;
use lettre::message::header::{ContentTransferEncoding, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MultiPart, SinglePart};
use serde_json::{Map, Value};
use tidings_sdk::{OwnedDelivery, Violation};

use crate::account::Account;

/// Characters of a subject, and of the value of a header.
const LINE_CHARS_MAX: usize = 900;
/// Headers that a template may add.
const HEADERS_MAX: usize = 32;
/// Characters of a header's name.
const HEADER_NAME_CHARS_MAX: usize = 76;
/// Bytes of the text, and of the HTML.
const PART_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Characters of a boundary after its first two; a whole one may have 70 (RFC 2046 §5.1.1).
const BOUNDARY_CHARS_MAX: usize = 60;

/// Headers that are the plugin's, or that servers act upon: what they say is said by settings.
const OWN_HEADERS: &[&str] = &[
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "return-path",
    "received",
    "dkim-signature",
];
/// The same of whole families.
const OWN_PREFIXES: &[&str] = &["content-", "resent-", "arc-"];

/// Says to whoever answers mail by itself that there is nobody to answer (RFC 3834).
const AUTO_SUBMITTED: &str = "Auto-Submitted";

/// A mail as it goes out.
pub(crate) struct Mail {
    pub(crate) from: Address,
    pub(crate) to: Address,
    /// Its Message-ID: the same for every try.
    pub(crate) id: String,
    /// Headers and body, every line closed by CR LF.
    pub(crate) text: String,
}

/// Everything that is wrong with rendered content.
pub(crate) fn check(content: &Map<String, Value>) -> Vec<Violation> {
    let mut problems = Vec::new();
    let text = |key: &str| content.get(key).and_then(Value::as_str).unwrap_or_default();
    if let Err(problem) = one_line(text("subject")) {
        problems.push(Violation::new("subject", problem));
    }
    for key in ["text", "html"] {
        let size = text(key).len();
        if size > PART_BYTES_MAX {
            problems.push(Violation::new(key, format!("has {size} bytes; at most {PART_BYTES_MAX} are sent")));
        }
    }
    let headers: Vec<_> = headers(content).collect();
    if headers.len() > HEADERS_MAX {
        let problem = format!("has {} entries; at most {HEADERS_MAX} are sent", headers.len());
        problems.push(Violation::new("headers", problem));
    }
    for (name, value) in headers {
        if let Err(problem) = header_name(name).and_then(|()| one_line(value)) {
            problems.push(Violation::new(format!("headers.{}", name.escape_debug()), problem));
        }
    }
    problems
}

fn headers(content: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    let table = content.get("headers").and_then(Value::as_object);
    table.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// A line break would begin another header, written by whoever wrote the value.
fn one_line(value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err("has a line break or another control character; it is one line".to_owned());
    }
    let size = value.chars().count();
    if size > LINE_CHARS_MAX {
        return Err(format!("has {size} characters; at most {LINE_CHARS_MAX} are sent"));
    }
    Ok(())
}

fn header_name(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if OWN_HEADERS.contains(&lower.as_str()) || OWN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err("is a header that cannot be set here".to_owned());
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > HEADER_NAME_CHARS_MAX || !name.bytes().all(fits) {
        return Err(format!("is no name of a header: letters, digits, - and _, at most {HEADER_NAME_CHARS_MAX}"));
    }
    Ok(())
}

impl Mail {
    /// The mail of a delivery, dated `now`.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent as it is.
    pub(crate) fn build(account: &Account, delivery: &OwnedDelivery, now: SystemTime) -> Result<Mail, String> {
        if let Some(Violation { field, problem }) = check(&delivery.content).into_iter().next() {
            return Err(format!("`{field}` {problem}"));
        }
        let to = recipient(&delivery.recipient)?;
        let word = id_word(&delivery.dedupe_id);
        let id = format!("<{word}@{}>", account.from.email.domain());
        let mut mail = Message::builder()
            .from(account.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(delivery.text("subject"))
            .date(now)
            .message_id(Some(id.clone()));
        if let Some(reply_to) = &account.reply_to {
            mail = mail.reply_to(reply_to.clone());
        }
        if !headers(&delivery.content).any(|(name, _)| name.eq_ignore_ascii_case(AUTO_SUBMITTED)) {
            mail = mail.raw_header(header(AUTO_SUBMITTED, "auto-generated")?);
        }
        for (name, value) in headers(&delivery.content) {
            mail = mail.raw_header(header(name, value)?);
        }
        let text = SinglePart::plain(encoded(delivery.text("text")));
        let built = match delivery.text("html") {
            "" => mail.singlepart(text),
            html => {
                // No encoded body has `=_` in it (RFC 2045 §6.7), so nobody's text can end a part.
                let word: String = word.chars().take(BOUNDARY_CHARS_MAX).collect();
                let parts = MultiPart::alternative().boundary(format!("=_{word}"));
                mail.multipart(parts.singlepart(text).singlepart(SinglePart::html(encoded(html))))
            }
        };
        let built = built.map_err(|error| format!("the mail cannot be put together: {error}"))?;
        let text = String::from_utf8(built.formatted()).map_err(|_| "the mail is no text".to_owned())?;
        Ok(Mail { from: account.from.email.clone(), to, id, text })
    }

    /// Whether the server has to take characters beyond ASCII in an address.
    pub(crate) fn needs_utf8(&self) -> bool {
        !self.text.is_ascii() || !AsRef::<str>::as_ref(&self.to).is_ascii()
    }

    /// The mail as it is said: a line that begins with a dot has another one before it, and a dot alone ends it.
    pub(crate) fn to_wire(&self) -> String {
        let mut wire = String::with_capacity(self.text.len() + self.text.len() / 64 + 8);
        for line in self.text.split_inclusive("\r\n") {
            if line.starts_with('.') {
                wire.push('.');
            }
            wire.push_str(line);
        }
        if !wire.ends_with("\r\n") {
            wire.push_str("\r\n");
        }
        wire.push_str(".\r\n");
        wire
    }
}

fn recipient(text: &str) -> Result<Address, String> {
    let expected = "the recipient is no e-mail address such as ann@example.org";
    if text.chars().any(char::is_control) {
        return Err(expected.to_owned());
    }
    text.parse().map_err(|_| expected.to_owned())
}

fn header(name: &str, value: &str) -> Result<HeaderValue, String> {
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| "a header has no valid name".to_owned())?;
    Ok(HeaderValue::new(name, value.to_owned()))
}

/// A dedupe id as the left side of a Message-ID (RFC 5322 dot-atom): other characters are written as their bytes.
fn id_word(dedupe_id: &str) -> String {
    let mut word = String::with_capacity(dedupe_id.len());
    for byte in dedupe_id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => word.push(char::from(byte)),
            other => word.push_str(&format!("+{other:02x}")),
        }
    }
    word
}

/// Encoded, whatever it is: then no line is too long, no dot stands alone, and no `=_` is in it.
fn encoded(text: &str) -> Body {
    let best = Body::new(text.to_owned());
    match best.encoding() {
        ContentTransferEncoding::Base64 | ContentTransferEncoding::QuotedPrintable => best,
        _ => Body::new_with_encoding(text.to_owned(), ContentTransferEncoding::QuotedPrintable).unwrap_or(best),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::{app, delivery, object};

    fn account(settings: Value) -> Account {
        Account::read(&app(settings)).unwrap()
    }

    /// 2026-01-02T03:04:05Z
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
    }

    fn build(content: Value) -> Result<Mail, String> {
        Mail::build(&account(json!({})), &delivery(content), now())
    }

    fn text(content: Value) -> String {
        build(content).map(|mail| mail.text).unwrap()
    }

    #[test]
    fn a_mail_of_text_alone() {
        let expected = "From: Shop <news@example.com>\r\n\
            To: ann@example.org\r\n\
            Subject: Paid\r\n\
            Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n\
            Message-ID: <tidings-abc-17@example.com>\r\n\
            Auto-Submitted: auto-generated\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\
            \r\n\
            Thank you.\r\n";
        assert_eq!(text(json!({"subject": "Paid", "text": "Thank you."})), expected);
    }

    #[test]
    fn a_chinese_mail_of_text_and_html() {
        let mail = build(json!({
            "subject": "您的订单已付款",
            "text": "您好，安：\n您的订单 42 已付款。\n",
            "html": "<p>您好，安：<br>您的订单 42 已付款。</p>",
            "headers": {"List-Unsubscribe": "<https://shop.example.com/u/1>"},
        }));
        let expected = "From: Shop <news@example.com>\r\n\
            To: ann@example.org\r\n\
            Subject: =?utf-8?b?5oKo55qE6K6i5Y2V5bey5LuY5qy+?=\r\n\
            Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n\
            Message-ID: <tidings-abc-17@example.com>\r\n\
            Auto-Submitted: auto-generated\r\n\
            List-Unsubscribe: <https://shop.example.com/u/1>\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: multipart/alternative; boundary=\"=_tidings-abc-17\"\r\n\
            \r\n\
            --=_tidings-abc-17\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: base64\r\n\
            \r\n\
            5oKo5aW977yM5a6J77yaDQrmgqjnmoTorqLljZUgNDIg5bey5LuY5qy+44CCDQo=\r\n\
            --=_tidings-abc-17\r\n\
            Content-Type: text/html; charset=utf-8\r\n\
            Content-Transfer-Encoding: base64\r\n\
            \r\n\
            PHA+5oKo5aW977yM5a6J77yaPGJyPuaCqOeahOiuouWNlSA0MiDlt7Lku5jmrL7jgII8L3A+\r\n\
            --=_tidings-abc-17--\r\n";
        assert_eq!(mail.unwrap().text, expected);
    }

    #[test]
    fn every_try_of_a_message_is_the_same_mail() {
        let content = || json!({"subject": "a", "text": "b", "html": "c"});
        let (first, second) = (build(content()).unwrap(), build(content()).unwrap());
        assert_eq!((first.id.as_str(), &first.text), ("<tidings-abc-17@example.com>", &second.text));
    }

    #[test]
    fn a_dedupe_id_is_written_so_that_a_mail_can_bear_it() {
        assert_eq!(id_word("tidings-1_Z"), "tidings-1_Z");
        assert_eq!(id_word("a@b> c+é"), "a+40b+3e+20c+2b+c3+a9");
        assert_ne!(id_word("a+40b"), id_word("a@b"));
    }

    #[test]
    fn an_answer_goes_where_the_app_says() {
        let account = account(json!({"reply_to": "Help <help@example.com>"}));
        let mail = Mail::build(&account, &delivery(json!({"subject": "a", "text": "b"})), now()).unwrap();
        assert!(mail.text.contains("\r\nReply-To: Help <help@example.com>\r\n"), "{}", mail.text);
    }

    #[test]
    fn a_template_may_say_by_itself_who_wrote_the_mail() {
        let mail = text(json!({"subject": "a", "text": "b", "headers": {"auto-submitted": "no"}}));
        assert!(mail.contains("\r\nauto-submitted: no\r\n") && !mail.contains("auto-generated"), "{mail}");
    }

    #[test]
    fn a_recipient_is_one_address() {
        let to = |recipient: &str| {
            let delivery =
                OwnedDelivery { recipient: recipient.into(), ..delivery(json!({"subject": "a", "text": "b"})) };
            Mail::build(&account(json!({})), &delivery, now()).map(|mail| mail.needs_utf8())
        };
        assert_eq!(to("ann.o+tag@mail.example.org"), Ok(false));
        assert_eq!(to("安@example.org"), Ok(true));
        for recipient in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "a@b, c@d",
            "Ann <ann@example.org>",
            "<ann@example.org>",
            "a@b\r\nDATA",
            "a b@c.d",
        ] {
            let refusal = to(recipient).unwrap_err();
            assert!(refusal.contains("no e-mail address"), "{recipient:?}: {refusal}");
        }
    }

    #[test]
    fn what_would_begin_another_header_is_refused_before_the_send() {
        for (content, field) in [
            (json!({"subject": "a\r\nBcc: b@c.d"}), "subject"),
            (json!({"subject": "a\nb"}), "subject"),
            (json!({"subject": "a\u{1}"}), "subject"),
            (json!({"subject": "x".repeat(901)}), "subject"),
            (json!({"headers": {"X-A": "1\r\nBcc: b@c.d"}}), "headers.X-A"),
            (json!({"headers": {"X-A": "1\u{85}"}}), "headers.X-A"),
            (json!({"headers": {"X-A\r\nBcc": "b@c.d"}}), "headers.X-A\\r\\nBcc"),
            (json!({"headers": {"X A": "1"}}), "headers.X A"),
            (json!({"headers": {"X-A:": "1"}}), "headers.X-A:"),
            (json!({"headers": {"": "1"}}), "headers."),
            (json!({"headers": {"bCC": "b@c.d"}}), "headers.bCC"),
            (json!({"headers": {"From": "b@c.d"}}), "headers.From"),
            (json!({"headers": {"to": "b@c.d"}}), "headers.to"),
            (json!({"headers": {"Resent-To": "b@c.d"}}), "headers.Resent-To"),
            (json!({"headers": {"Content-Type": "text/html"}}), "headers.Content-Type"),
            (json!({"text": "x".repeat(PART_BYTES_MAX + 1)}), "text"),
            (json!({"html": "x".repeat(PART_BYTES_MAX + 1)}), "html"),
        ] {
            let problems = check(&object(content.clone()));
            let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
            assert_eq!(fields, [field], "{problems:?}");
            assert!(build(content).is_err(), "{field}");
        }
        let many: Map<String, Value> = (0..=HEADERS_MAX).map(|n| (format!("X-{n}"), json!("1"))).collect();
        assert_eq!(check(&object(json!({"headers": many})))[0].field, "headers");
    }

    #[test]
    fn a_refusal_does_not_show_what_was_written() {
        let content = json!({"subject": "CANARY\n", "headers": {"X-A": "CANARY\n"}});
        assert!(!format!("{:?} {:?}", check(&object(content.clone())), build(content).err()).contains("CANARY"));
    }

    #[test]
    fn a_dot_alone_does_not_end_the_mail() {
        let mail = Mail { text: ".\r\n..\r\na.b\r\n.c".into(), ..build(json!({"subject": "a", "text": "b"})).unwrap() };
        assert_eq!(mail.to_wire(), "..\r\n...\r\na.b\r\n..c\r\n.\r\n");
    }

    proptest! {
        /// Whatever is written, the mail is ASCII in lines that every server takes, it ends where it ends, and its
        /// headers are those that were meant.
        #[test]
        fn any_content_is_one_well_formed_mail(
            subject in "[^\\p{C}\u{2028}]{0,80}",
            text in "(?s)[\\x00-\\x7f\u{4e2d}\r\n.=_-]{0,200}",
            html in "(?s).{0,100}",
            value in "[^\\p{C}]{0,200}",
        ) {
            let content = json!({"subject": subject, "text": text, "html": html, "headers": {"X-A": value}});
            let mail = build(content).unwrap();
            prop_assert!(!mail.needs_utf8());
            let lines: Vec<&str> = mail.text.split("\r\n").collect();
            prop_assert!(lines.iter().all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
            let wire = mail.to_wire();
            prop_assert_eq!(wire.find("\r\n.\r\n"), Some(wire.len() - 5));
            let head = mail.text.split("\r\n\r\n").next().unwrap();
            let names: Vec<&str> = head
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split(':').next().unwrap())
                .collect();
            let mut expected =
                vec!["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-A", "MIME-Version"];
            expected.push("Content-Type");
            if html.is_empty() {
                expected.push("Content-Transfer-Encoding");
            }
            prop_assert_eq!(names, expected);
            if !html.is_empty() {
                prop_assert_eq!(mail.text.matches("--=_tidings-abc-17").count(), 3);
            }
        }
    }
}
