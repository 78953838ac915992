//! What a plugin sent, as values of ours: every text is bounded before it is copied, every number is looked at.
//!
//! Errors are what the plugin did, to stand behind "it": `put a url that is not http:// or https://`.

use std::borrow::Cow;
use std::time::Duration;

use tidings_abi::v1::{self, Bytes, Text};
use tidings_abi::{Misshapen, sized};
use tidings_sdk::{Fetched, Header, JSON, Method, Outcome, Permit, PushEvent, Reply, Request, Timestamp};

use crate::fields::Filled;
use crate::limits::{
    DETAIL_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX, NAME_BYTES_MAX, PERMIT_BYTES_MAX, RENDERED_BYTES_MAX,
    REPLY_BYTES_MAX, REQUEST_BYTES_MAX, TOKEN_BYTES_MAX, URL_BYTES_MAX,
};
use crate::lines::for_people;

/// A text that matters: whole or not at all.
///
/// # Safety
///
/// The text is readable.
unsafe fn text(text: Text, what: &str, most: usize) -> Result<String, String> {
    if text.size > most {
        return Err(format!("put {what} of {} bytes; at most {most} are read", text.size));
    }
    // SAFETY: the caller's word.
    let read = unsafe { text.read() };
    read.map(str::to_owned).map_err(|error| format!("put {what} that is {}", spoken(error)))
}

fn spoken(error: Misshapen) -> &'static str {
    match error {
        Misshapen::Text => "not UTF-8",
        _ => "NULL and not empty",
    }
}

/// The same, `None` where it is empty.
///
/// # Safety
///
/// As for [`text`].
unsafe fn some_text(value: Text, what: &str, most: usize) -> Result<Option<String>, String> {
    // SAFETY: the caller's word.
    unsafe { text(value, what, most) }.map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// A text for people: cut, and cleaned, whatever it is.
///
/// # Safety
///
/// As for [`text`].
unsafe fn detail(text: Text) -> Result<String, String> {
    // SAFETY: the caller's word; no more than the bound is looked at.
    // Twice what is kept: whoever keeps it takes the secrets out first, and a secret that was cut would not be found.
    let bytes = unsafe { text.bytes(2 * DETAIL_BYTES_MAX) };
    bytes
        .map(|bytes| for_people(bytes, 2 * DETAIL_BYTES_MAX))
        .map_err(|_| "put a detail that is NULL and not empty".into())
}

/// # Safety
///
/// As for [`text`].
unsafe fn bytes(bytes: Bytes, what: &str, most: usize) -> Result<Vec<u8>, String> {
    if bytes.size > most {
        return Err(format!("put {what} of {} bytes; at most {most} are read", bytes.size));
    }
    // SAFETY: the caller's word.
    let read = unsafe { bytes.read() };
    read.map(<[u8]>::to_vec).map_err(|error| format!("put {what} that is {}", spoken(error)))
}

/// # Safety
///
/// Everything it points to is readable.
pub(crate) unsafe fn request(request: &v1::Request) -> Result<Request, String> {
    // SAFETY: the caller's word, for this and what follows.
    let method = unsafe { request.method.bytes(NAME_BYTES_MAX) }
        .ok()
        .and_then(|method| Method::ALL.into_iter().find(|known| known.as_str().as_bytes() == method));
    let method = method.ok_or("put a method that is none of GET, POST, PUT, PATCH, DELETE")?;
    // SAFETY: as above.
    let url = unsafe { text(request.url, "a url", URL_BYTES_MAX) }?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err("put a url that is not http:// or https://".to_owned());
    }
    if has(&url, |byte| byte <= b' ' || byte == 0x7f, |c| c.is_control() || c.is_whitespace()) {
        return Err("put a url with a space or a control character".to_owned());
    }
    // SAFETY: as above.
    let (headers, body) = unsafe { (headers(request)?, bytes(request.body, "a body", REQUEST_BYTES_MAX)?) };
    Ok(Request { method, url, headers, body })
}

/// # Safety
///
/// As for [`request`].
unsafe fn headers(request: &v1::Request) -> Result<Vec<Header>, String> {
    let count = request.header_count;
    if count > HEADERS_MAX {
        return Err(format!("put {count} headers; at most {HEADERS_MAX} are sent"));
    }
    if count > 0 && request.headers.is_null() {
        return Err("put headers that are NULL and not none".to_owned());
    }
    let mut headers = Vec::with_capacity(count);
    for place in 0..count {
        // SAFETY: the array has `count` pairs by the caller's word; a pair never changes its shape. It need not be
        // aligned.
        let pair = unsafe { request.headers.add(place).read_unaligned() };
        // SAFETY: the caller's word.
        let (name, value) = unsafe { (header_name(pair.name)?, header_value(pair.value)?) };
        // Both are ours, letter for letter.
        if let (Cow::Borrowed(_), Cow::Borrowed(_)) = (&name, &value) {
            headers.push((name, value));
            continue;
        }
        if FRAMING.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(format!("put the header `{name}`, which is the host's to set"));
        }
        if has(&value, |byte| byte < b' ' && byte != b'\t' || byte == 0x7f, char::is_control) {
            return Err(format!("put the header `{name}` with a control character in it"));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

/// Headers that say where a request goes and where it ends.
const FRAMING: [&str; 6] = ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te"];

/// Whether a text has such a character. Most texts are ASCII, and every request comes by here: all bytes are looked at
/// without stopping at the first, which is many at once for the machine.
fn has(text: &str, byte: impl Fn(u8) -> bool, other: impl Fn(char) -> bool) -> bool {
    text.bytes().fold(false, |found, next| found | byte(next))
        || !text.is_ascii() && text.chars().any(|c| !c.is_ascii() && other(c))
}

/// The name and the value that nearly every request has are not copied.
///
/// # Safety
///
/// The text is readable.
unsafe fn header_name(name: Text) -> Result<Cow<'static, str>, String> {
    const USUAL: &str = "content-type";
    // SAFETY: the caller's word.
    if unsafe { name.bytes(USUAL.len() + 1) } == Ok(USUAL.as_bytes()) {
        return Ok(Cow::Borrowed(USUAL));
    }
    // SAFETY: the caller's word.
    let name = unsafe { text(name, "a header's name", NAME_BYTES_MAX) }?;
    if is_header_name(&name) {
        Ok(Cow::Owned(name))
    } else {
        Err(format!("put the header name {name:?}, which has characters that no header has"))
    }
}

/// # Safety
///
/// The text is readable.
unsafe fn header_value(value: Text) -> Result<Cow<'static, str>, String> {
    // SAFETY: the caller's word.
    if unsafe { value.bytes(JSON.len() + 1) } == Ok(JSON.as_bytes()) {
        return Ok(Cow::Borrowed(JSON));
    }
    // SAFETY: the caller's word.
    unsafe { text(value, "a header", HEADER_BYTES_MAX) }.map(Cow::Owned)
}

/// A token of RFC 9110 §5.6.2.
fn is_header_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// # Safety
///
/// As for [`request`].
pub(crate) unsafe fn outcome(outcome: &v1::Outcome) -> Result<Outcome, String> {
    // SAFETY: the caller's word. What is said beside the outcome does not change it.
    let detail = unsafe { detail(outcome.detail) }.unwrap_or_default();
    let after = some_millis(outcome.retry_after_ms);
    Ok(match outcome.outcome {
        v1::ACCEPTED => {
            // SAFETY: the caller's word.
            // An id that cannot be kept makes nothing of the message's fate unknown.
            let provider_id = unsafe { some_text(outcome.provider_id, "a provider's id", NAME_BYTES_MAX) };
            Outcome::Accepted { provider_id: provider_id.unwrap_or_default() }
        }
        v1::DUPLICATE => Outcome::Duplicate { detail },
        v1::REJECTED => Outcome::Rejected { reason: detail },
        v1::CREDENTIAL_SPENT => Outcome::CredentialSpent { detail },
        v1::CREDENTIAL_INVALID => Outcome::CredentialInvalid { detail },
        v1::RECIPIENT_GONE => Outcome::RecipientGone { detail },
        v1::TOKEN_REJECTED => Outcome::TokenRejected { detail },
        v1::THROTTLED => Outcome::Throttled { retry_after: after, detail },
        v1::QUOTA_EXHAUSTED => Outcome::QuotaExhausted { until: some_time(outcome.until_unix_ms), detail },
        v1::RETRY => Outcome::Retry { after, detail },
        v1::TEMPLATE_BROKEN => Outcome::TemplateBroken { detail },
        v1::HALT => Outcome::Halt { reason: detail },
        // By the contract: what the host does not know may have arrived.
        v1::UNKNOWN => Outcome::Unknown { detail },
        code => Outcome::Unknown {
            detail: format!("the plugin answered {code}, which this engine does not know; {detail}"),
        },
    })
}

fn some_millis(millis: u64) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis))
}

fn some_time(unix_ms: i64) -> Option<Timestamp> {
    (unix_ms != 0).then_some(Timestamp(unix_ms))
}

/// # Safety
///
/// As for [`request`].
pub(crate) unsafe fn fetched(fetched: &v1::Fetched) -> Result<Fetched, String> {
    // SAFETY: the caller's word.
    let detail = unsafe { detail(fetched.detail) }?;
    match fetched.fetched {
        v1::FETCH_TOKEN => {
            // SAFETY: the caller's word.
            let value = unsafe { text(fetched.token, "a token", TOKEN_BYTES_MAX) }?;
            if value.is_empty() {
                return Err("put a token that is empty".to_owned());
            }
            Ok(Fetched::Token { value, life: Duration::from_millis(fetched.life_ms) })
        }
        v1::FETCH_RETRY => Ok(Fetched::Retry { after: some_millis(fetched.retry_after_ms), detail }),
        v1::FETCH_QUOTA_EXHAUSTED => Ok(Fetched::QuotaExhausted { detail }),
        v1::FETCH_HALT => Ok(Fetched::Halt { reason: detail }),
        code => Err(format!("put {code} as what a fetch came to, which means nothing")),
    }
}

/// # Safety
///
/// As for [`request`].
pub(crate) unsafe fn permit(permit: &v1::Permit) -> Result<Permit, String> {
    // SAFETY: the caller's word.
    unsafe {
        Ok(Permit {
            recipient: text(permit.recipient, "a recipient", PERMIT_BYTES_MAX)?,
            scope: some_text(permit.scope, "a scope", PERMIT_BYTES_MAX)?,
            value: text(permit.value, "a permit's value", PERMIT_BYTES_MAX)?,
            identity: some_text(permit.identity, "a permit's identity", PERMIT_BYTES_MAX)?,
            made_at: some_time(permit.made_at_unix_ms),
            expires_at: some_time(permit.expires_at_unix_ms),
            uses: Some(permit.uses).filter(|uses| *uses > 0),
        })
    }
}

/// An event, or none that concerns anybody.
///
/// # Safety
///
/// As for [`request`].
pub(crate) unsafe fn event(event: &v1::Event) -> Result<Option<PushEvent>, String> {
    // SAFETY: the caller's word, for this and what follows.
    let source = || unsafe { text(event.source, "a source", NAME_BYTES_MAX) };
    let given = || {
        // SAFETY: as above.
        let read = unsafe { sized(event.permit) };
        let read = read.map_err(|error| format!("put an event whose permit is {error}"))?;
        // SAFETY: as above.
        unsafe { permit(&read) }
    };
    let provider_id = || {
        // SAFETY: as above.
        let id = unsafe { some_text(event.provider_id, "a provider's id", NAME_BYTES_MAX) }?;
        id.ok_or_else(|| "put a receipt without a provider's id".to_owned())
    };
    Ok(match event.event {
        v1::EVENT_NONE => None,
        v1::EVENT_PERMIT => Some(PushEvent::Permit { source: source()?, permit: given()? }),
        v1::EVENT_REFUSAL => Some(PushEvent::Refusal { source: source()?, permit: given()? }),
        v1::EVENT_DELIVERED => Some(PushEvent::Delivered { provider_id: provider_id()? }),
        v1::EVENT_FAILED => {
            // SAFETY: as above.
            Some(PushEvent::Failed { provider_id: provider_id()?, detail: unsafe { detail(event.detail) }? })
        }
        code => return Err(format!("put the event {code}, which means nothing")),
    })
}

/// # Safety
///
/// As for [`request`].
pub(crate) unsafe fn reply(reply: &v1::Reply) -> Result<Reply, String> {
    let status = u16::try_from(reply.status).ok().filter(|status| (200..=599).contains(status));
    let status = status.ok_or_else(|| format!("put a reply with the status {}", reply.status))?;
    // SAFETY: the caller's word, for both.
    let content_type = unsafe { text(reply.content_type, "a content type", NAME_BYTES_MAX) }?;
    if content_type.chars().any(char::is_control) {
        return Err("put a content type with a control character".to_owned());
    }
    // SAFETY: as above.
    Ok(Reply { status, content_type, body: unsafe { bytes(reply.body, "a reply", REPLY_BYTES_MAX) }? })
}

/// # Safety
///
/// As for [`request`].
pub(crate) unsafe fn field(field: &v1::Field) -> Result<Filled, String> {
    // SAFETY: the caller's word.
    unsafe {
        Ok(Filled {
            kind: field.kind,
            key: text(field.key, "a key", NAME_BYTES_MAX)?,
            row: text(field.row, "a row", NAME_BYTES_MAX)?,
            value: text(field.value, "a value", RENDERED_BYTES_MAX)?,
        })
    }
}
