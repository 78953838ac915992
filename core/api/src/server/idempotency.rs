//! The header `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header-07 has it: a quoted string of RFC 9651.
//! Most clients send the bare key; that is taken too.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use tidings_model::limits::IDEMPOTENCY_KEY_BYTES_MAX;

use super::problem::{Refused, key_invalid};

pub(super) const HEADER: &str = "idempotency-key";

/// The key of a request, if it has one, for a handler that wants nothing else of its head.
#[derive(Debug)]
pub(super) struct Key(pub(super) Option<String>);

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Key, Refused> {
        key(&parts.headers).map(Key)
    }
}

/// The key of a request, if it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(key_invalid("the header `Idempotency-Key` came twice"));
    }
    let text = value.to_str().map_err(|_| key_invalid("`Idempotency-Key` is not visible ASCII"))?;
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted)
            .ok_or_else(|| key_invalid("`Idempotency-Key` begins with a quote and does not end as RFC 9651 has it"))?,
        None => text.to_owned(),
    };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(key_invalid(format!(
            "`Idempotency-Key` has {} bytes; it takes 1 to {IDEMPOTENCY_KEY_BYTES_MAX}",
            key.len()
        )));
    }
    Ok(Some(key))
}

/// What stands between the quotes: `\"` and `\\` are escapes, and there is no other.
fn unquote(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(key),
            '\\' => key.push(rest.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, Refused> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        key(&headers)
    }

    #[test]
    fn the_quoted_and_the_bare_form_are_the_same_key() {
        assert_eq!(read(&[]), Ok(None));
        for same in ["k-1", "\"k-1\""] {
            assert_eq!(read(&[same]), Ok(Some("k-1".to_owned())), "{same}");
        }
        assert_eq!(read(&[r#""a\"b\\c""#]), Ok(Some(r#"a"b\c"#.to_owned())));
        assert_eq!(read(&[&"x".repeat(255)]).unwrap().unwrap().len(), 255);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in [&[""][..], &["\"\""], &["\"a"], &["\"a\"b"], &["\"a\\b\""], &["\""], &["a", "a"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(read(&[&"x".repeat(256)]).is_err());
        assert!(read(&[&format!("\"{}\"", "x".repeat(256))]).is_err());
    }
}
