//! The three sending endpoints: what a body says, and whether its message arrives (`wechat.md §2`, §3, §4).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::codes::{self, Refusal};
use crate::log::{Api, RequestPart};
use crate::options::{EscapeCode, Template, Unknowns};
use crate::users::is_openid;
use crate::values::{self, Broken};

/// A body that could be read. What it asks for may still be refused.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) openid: String,
    pub(crate) template_id: String,
    pub(crate) form_id: Option<String>,
    pub(crate) client_msg_id: Option<String>,
    /// The first thing wrong with the message itself, checked after recipient and template.
    pub(crate) fault: Option<Refusal>,
    /// What the log keeps of it, a [`RequestPart`] in JSON, written before the lock is taken.
    pub(crate) request: Arc<str>,
}

/// What the checks of a body need to know; nothing of it changes while the sandbox runs.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) unknowns: Unknowns,
    pub(crate) templates: Vec<Template>,
    pub(crate) pages: Vec<String>,
}

#[derive(Deserialize)]
struct Body {
    touser: Option<String>,
    template_id: Option<String>,
    page: Option<String>,
    form_id: Option<String>,
    client_msg_id: Option<String>,
    url: Option<String>,
    miniprogram: Option<MiniProgram>,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct MiniProgram {
    appid: Option<String>,
    pagepath: Option<String>,
    // wechat.md §4: one SDK has a switch to send `path` instead.
    path: Option<String>,
}

/// Reads a body. A refusal here is for bodies that cannot be read at all.
pub(crate) fn read(api: Api, bytes: &[u8], rules: &Rules) -> Result<Message, Refusal> {
    if bytes.is_empty() {
        return Err(codes::EMPTY_BODY);
    }
    let mut body: Body = serde_json::from_slice(bytes).map_err(|_| codes::NOT_JSON)?;
    if has_unicode_escape(bytes) {
        return Err(match rules.unknowns.escape_code {
            EscapeCode::Code40033 => codes::ESCAPED_CHARACTERS,
            EscapeCode::Code47002 => codes::ESCAPED_CHARACTERS_47002,
        });
    }
    let page = non_empty(match api {
        Api::OfficialTemplate => {
            let path = body.miniprogram.as_mut().and_then(|program| program.pagepath.take().or(program.path.take()));
            path.or(body.url.clone())
        }
        _ => body.page.take(),
    });
    let fault = check(api, &body, page.as_deref(), rules).err();
    let request = RequestPart {
        openid: body.touser.unwrap_or_default(),
        template_id: body.template_id.unwrap_or_default(),
        credential: if api == Api::Template { non_empty(body.form_id) } else { None },
        client_msg_id: if api == Api::OfficialTemplate { non_empty(body.client_msg_id) } else { None },
        page,
        data: body.data.unwrap_or(Value::Null),
    };
    let text = serde_json::to_string(&request).expect("strings and a JSON value are always JSON");
    Ok(Message {
        openid: request.openid,
        template_id: request.template_id,
        form_id: request.credential,
        client_msg_id: request.client_msg_id,
        fault,
        request: text.into(),
    })
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// `wechat.md §0`: `\uXXXX` is refused even though it is JSON. `\\u` is a backslash and a `u`, and is not meant.
fn has_unicode_escape(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        match rest.get(at + 1) {
            Some(b'u') => return true,
            Some(_) => rest = &rest[at + 2..],
            None => return false,
        }
    }
    false
}

/// Everything about a message that no state is needed for, in the order it is refused.
fn check(api: Api, body: &Body, page: Option<&str>, rules: &Rules) -> Result<(), Refusal> {
    // wechat.md §3: 40003 and 40037 are "empty or wrong".
    let openid = body.touser.as_deref().unwrap_or_default();
    if !is_openid(openid) {
        return Err(codes::WRONG_OPENID);
    }
    let template = check_template(body.template_id.as_deref().unwrap_or_default(), &rules.templates)?;
    match api {
        Api::OfficialTemplate => check_official_target(body, page)?,
        _ => check_page(page, &rules.pages)?,
    }
    check_data(api, body.data.as_ref(), template, &rules.unknowns)
}

fn check_template<'a>(template_id: &str, templates: &'a [Template]) -> Result<Option<&'a Template>, Refusal> {
    let template = templates.iter().find(|template| template.template_id == template_id);
    let exists = !template_id.is_empty() && (templates.is_empty() || template.is_some());
    if exists { Ok(template) } else { Err(codes::WRONG_TEMPLATE) }
}

/// `wechat.md §2`, §3: an own page, query allowed, that the released version has; absent means no jump.
fn check_page(page: Option<&str>, pages: &[String]) -> Result<(), Refusal> {
    let Some(page) = page else { return Ok(()) };
    let path = page.split('?').next().unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(path);
    let is_own =
        !path.is_empty() && !path.contains("://") && !page.chars().any(|c| c.is_control() || c.is_whitespace());
    let is_released = pages.is_empty() || pages.iter().any(|known| known == path);
    if is_own && is_released { Ok(()) } else { Err(codes::WRONG_PAGE) }
}

/// `wechat.md §4`: 40165 for a bad pagepath, 40166 for a bad mini-program appid, 40039 for a bad url. The object is to be
/// omitted when unused, so an empty one is a bad appid.
fn check_official_target(body: &Body, page: Option<&str>) -> Result<(), Refusal> {
    if let Some(url) = body.url.as_deref().filter(|url| !url.is_empty())
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(codes::WRONG_URL);
    }
    let Some(program) = &body.miniprogram else { return Ok(()) };
    if !program.appid.as_deref().is_some_and(|appid| appid.starts_with("wx")) {
        return Err(codes::WRONG_MINI_PROGRAM);
    }
    // With both, the mini-program wins; the url was only its fallback.
    match page {
        Some(path) if body.url.as_deref() != Some(path) => {
            check_page(Some(path), &[]).map_err(|_| codes::WRONG_PAGEPATH)
        }
        _ => Ok(()),
    }
}

fn check_data(api: Api, data: Option<&Value>, template: Option<&Template>, unknowns: &Unknowns) -> Result<(), Refusal> {
    let data = match data {
        Some(Value::Object(data)) => data,
        // wechat.md §2: absent means an empty template, there only.
        None | Some(Value::Null) if api == Api::Template => return Ok(()),
        // wechat.md §3: string-encoded data is an error; its code is not on record.
        _ => return Err(codes::NOT_JSON),
    };
    if api == Api::Template {
        // wechat.md §2 states no value rules, only the shape.
        let shaped = data.values().all(|entry| entry.get("value").is_some());
        return if shaped { Ok(()) } else { Err(codes::NOT_JSON) };
    }
    // wechat.md §4: category templates follow the table, sandbox accounts do not.
    if api == Api::OfficialTemplate && !unknowns.official_template_values {
        return Ok(());
    }
    if let Some(keys) = template.and_then(|template| template.keys.as_ref())
        && (keys.len() != data.len() || !keys.iter().all(|key| data.contains_key(key)))
    {
        return Err(codes::keys_refused());
    }
    check_values(data, unknowns)
}

fn check_values(data: &Map<String, Value>, unknowns: &Unknowns) -> Result<(), Refusal> {
    for (key, entry) in data {
        // wechat.md §3: bare values are errors; a value that is no string is none of the table's types.
        let checked = match entry.get("value") {
            Some(Value::String(value)) => values::check(key, value, unknowns.character_unit),
            None | Some(Value::Null) => Err(Broken::Empty),
            Some(_) => Err(Broken::Invalid),
        };
        checked.map_err(|broken| codes::value_refused(key, broken == Broken::Empty))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_unicode_escape_counts_as_one() {
        assert!(has_unicode_escape(br#"{"a":"\u4e2d"}"#));
        assert!(has_unicode_escape(br#"{"a":"\\\u4e2d"}"#));
        assert!(!has_unicode_escape(br#"{"a":"\\u4e2d \n \""}"#));
        assert!(!has_unicode_escape("{\"a\":\"中\"}".as_bytes()));
    }
}
