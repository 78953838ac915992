//! Posted credentials as the fields a plugin looks at, whether they came as a form or as JSON.

use serde_json::{Map, Value};
use tidings_sdk::Intake;

use super::problem::{Refused, unreadable};

/// Fields of a posted credential: sources know a handful.
const FIELDS_MAX: usize = 32;

/// A form post, as a mini-program sends it: one credential. A field that comes twice is a mistake.
pub(super) fn form(body: &[u8]) -> Result<Intake, Refused> {
    let text = std::str::from_utf8(body).map_err(|_| unreadable("the form is not UTF-8"))?;
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if fields.len() == FIELDS_MAX {
            return Err(unreadable(format!("the form has more than {FIELDS_MAX} fields")));
        }
        if fields.iter().any(|(known, _)| *known == name) {
            return Err(unreadable(format!("the form has `{}` twice", name.escape_debug())));
        }
        fields.push((name, value));
    }
    Ok(Intake::new(fields))
}

/// A JSON object in a line of its own.
pub(super) fn object(line: &[u8]) -> Result<Intake, Refused> {
    let object = serde_json::from_slice(line)
        .map_err(|error| unreadable(format!("the line is not the JSON object of a credential: {error}")))?;
    members(object)
}

/// A JSON object, or an array of them.
pub(super) fn json(body: &[u8]) -> Result<Vec<Intake>, Refused> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| unreadable(format!("the body is neither a form nor JSON: {error}")))?;
    match value {
        Value::Object(object) => Ok(vec![members(object)?]),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(object) => members(object),
                _ => Err(unreadable("expected an array of objects")),
            })
            .collect(),
        _ => Err(unreadable("expected an object or an array of objects")),
    }
}

fn members(object: Map<String, Value>) -> Result<Intake, Refused> {
    if object.len() > FIELDS_MAX {
        return Err(unreadable(format!("a credential has more than {FIELDS_MAX} members")));
    }
    let mut fields = Vec::with_capacity(object.len());
    for (name, value) in object {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Null => continue,
            _ => return Err(unreadable(format!("`{}` is neither text nor a number", name.escape_debug()))),
        };
        fields.push((name, text));
    }
    Ok(Intake::new(fields))
}

/// `application/x-www-form-urlencoded` (the URL Standard): `+` is a space, `%XX` a byte.
fn decode(text: &str) -> Result<String, Refused> {
    let wrong = || unreadable("the form is not URL-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().ok_or_else(wrong)?, rest.next().ok_or_else(wrong)?];
                let digits = std::str::from_utf8(&digits).map_err(|_| wrong())?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return Err(wrong());
                }
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| unreadable("the form is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_a_mini_program_sends_it() {
        let intake = form("form_id=the+formId+is+a+mock+one&openId=o%E8%AE%A2".as_bytes()).unwrap();
        assert_eq!(intake.any(&["form_id"]), Some("the formId is a mock one"));
        assert_eq!(intake.any(&["openId"]), Some("o订"));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let many: String = (0..=FIELDS_MAX).map(|n| format!("a{n}=1&")).collect();
        assert!(form(many.as_bytes()).is_err());
        for wrong in ["a=%", "a=%2", "a=%zz", "a=%+1", "a=%ff", "a=1&a=2"] {
            assert!(form(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn json_is_one_object_or_many() {
        assert_eq!(json(br#"{"form_id":"a","openId":"b"}"#).unwrap().len(), 1);
        assert_eq!(json(br#"[{"form_id":"a"},{"form_id":7}]"#).unwrap().len(), 2);
        for wrong in ["3", "[3]", r#"{"a":[]}"#, "nonsense"] {
            assert!(json(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
